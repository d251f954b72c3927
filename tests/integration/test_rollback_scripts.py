"""The roll-back scripts as programs, with the commands that they call standing in for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "maintenance" / "rollback"
STAND_IN = """#!{python}
import json, sys
from pathlib import Path
calls = Path({calls!r})
calls.write_text(calls.read_text() + json.dumps(sys.argv[1:]) + "\\n")
{body}
"""
KSERVE = """
if sys.argv[1] == "get":
    print(json.dumps({{"status": {{"components": {{"predictor": {status}}}}}}}))
elif sys.argv[1] == "patch" and {refuse}:
    sys.exit("forbidden")
"""
HOMEOSTAT = """
asked = any('"rollback"' in line for line in calls.read_text().splitlines())
if sys.argv[1] == "rollout":
    champion = "1" if asked and {works} else "2"
    print(json.dumps({{"rollouts": [{{"champion": champion, "challenger": ""}}]}}))
elif "--drill" in sys.argv:
    print("fraud: from 2 to 1; nothing was changed")
"""


class Bench:
    """A folder with one command in it, and what it was called with."""

    def __init__(self, folder: Path, command: str, body: str) -> None:
        self.folder, self.calls = folder, folder / "calls"
        self.calls.write_text("")
        text = STAND_IN.format(python=sys.executable, calls=str(self.calls), body=body)
        (folder / command).write_text(text)
        (folder / command).chmod(0o755)

    def run(self, script: str, *arguments: str) -> tuple[int, str]:
        environ = os.environ | {"PATH": f"{self.folder}:{os.environ['PATH']}"}
        done = subprocess.run(
            [sys.executable, "-I", str(SCRIPTS / script), *arguments],
            env=environ, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    @property
    def called(self) -> list[list[str]]:
        return [json.loads(line) for line in self.calls.read_text().splitlines()]


def kserve(folder: Path, *, refuse: bool = False, earlier: str = "fraud-00001") -> Bench:
    status = {"latestRolledoutRevision": "fraud-00002", "previousRolledoutRevision": earlier}
    return Bench(folder, "kubectl", KSERVE.format(status=json.dumps(status), refuse=refuse))


def test_kserve(tmp_path: Path) -> None:
    bench = kserve(tmp_path)
    code, said = bench.run("kserve.py", "fraud", "-n", "models")
    assert (code, said.partition(" (")[0]) == (
        0,
        "fraud: sent all traffic from fraud-00002 to fraud-00001",
    )
    assert [call[0] for call in bench.called] == ["get", "patch", "wait"]
    assert json.loads(bench.called[1][-1]) == {"spec": {"predictor": {"canaryTrafficPercent": 0}}}


def test_kserve_drill_changes_nothing(tmp_path: Path) -> None:
    bench = kserve(tmp_path)
    code, said = bench.run("kserve.py", "fraud", "--drill")
    assert (code, "would send" in said) == (0, True)
    assert [call[0] for call in bench.called] == ["get", "patch"]
    assert bench.called[1][-1] == "--dry-run=server"


@pytest.mark.parametrize(
    ("refuse", "earlier", "told"),
    [(True, "fraud-00001", "forbidden"), (False, "", "no earlier revision")],
    ids=["forbidden", "first"],
)
def test_kserve_that_cannot(tmp_path: Path, refuse: bool, earlier: str, told: str) -> None:
    code, said = kserve(tmp_path, refuse=refuse, earlier=earlier).run("kserve.py", "fraud")
    assert (code, told in said) == (1, True)


def test_local(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "homeostat", HOMEOSTAT.format(works=True))
    code, said = bench.run("local.py", "-m", "fraud", "--reason", "wrong scores")
    assert (code, said.partition(" in ")[0]) == (0, "fraud: 2 -> 1")
    where = ["-c", "homeostat.yaml", "-m", "fraud"]
    assert ["rollback", *where, "--reason", "wrong scores"] in bench.called


def test_local_drill_asks_for_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "homeostat", HOMEOSTAT.format(works=True))
    code, said = bench.run("local.py", "-m", "fraud", "--drill")
    assert (code, said) == (0, "fraud: from 2 to 1; nothing was changed\n")
    assert [call[:2] for call in bench.called] == [["rollback", "--drill"]]


def test_local_without_a_control_plane(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "homeostat", HOMEOSTAT.format(works=False))
    code, said = bench.run("local.py", "-m", "fraud", "--timeout", "0")
    assert (code, "is a control plane running" in said) == (1, True)


def test_local_passes_on_what_the_command_says(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "homeostat", 'print("no such model", file=sys.stderr)\nsys.exit(2)')
    assert bench.run("local.py", "-m", "fraud") == (2, "no such model\n")
