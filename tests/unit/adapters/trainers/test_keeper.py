"""The keeper of a training, here without the process of its own that it has."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from homeostat.adapters.trainers.keeper import Job, keep, size, start_time

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
PLAIN: Job = {
    "argv": [], "folder": "", "environ": {}, "inherit": ["PATH"],
    "reports": False, "stop": [], "seconds": 20.0,
    "memory": 0, "disk": 0, "free": 0, "log": 1_000_000,
}  # fmt: skip
GOOD = 'echo "{}" > "$HOMEOSTAT_ARTIFACT/model.json"'
Kept = Callable[..., dict[str, object]]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Return a function that keeps a shell script and returns its result."""

    def run(script: str, **changes: object) -> dict[str, object]:
        environ = {"HOMEOSTAT_ARTIFACT": str(tmp_path / "artifact")}
        job = {**PLAIN, "argv": ["sh", "-c", script], "environ": environ, **changes}
        (tmp_path / "job.json").write_text(json.dumps(job))
        ended: list[list[str]] = []
        keep(tmp_path, (), ended.append)
        assert ended == [job["stop"]]
        found: dict[str, object] = json.loads((tmp_path / "result.json").read_text())
        return found

    return run


def test_what_it_prints_is_understood_kept_and_bounded(kept: Kept, tmp_path: Path) -> None:
    script = (
        "echo 'progress: 25%'; echo 'progress: 0.75'; echo 'progress: .'; echo 'metric: auc = 0.9'"
        "; echo 'metric: auc 0.8'; echo 'metric: auc=high'; head -c 3000 /dev/zero; "
    )
    found = kept(f"{script}{GOOD}", log=2000, stop=["true"])
    assert found == {"metrics": {"auc": 0.8}}
    assert (tmp_path / "progress").read_text() == "0.7500"
    assert sum(file.stat().st_size for file in tmp_path.glob("log*.txt")) <= 2000
    number, _, began = (tmp_path / "pid").read_text().partition(" ")
    assert began == start_time(int(number)) != ""
    assert start_time(2**22 + 1) == ""


@pytest.mark.parametrize(
    ("script", "changes", "said"),
    [
        ("printf 'no end of line'; exit 4", {}, "ended with exit code 4: no end of line"),
        ("true", {}, "wrote nothing into the folder"),
        ("true", {"reports": True}, "ended with exit code 0 and without a result"),
        ("kill -11 $$", {}, "was ended by SIGSEGV"),
        ("exec 1>&-; exec 2>&-; sleep 0.3; kill -25 $$", {}, "SIGXFSZ: it wrote a file that is"),
        ("sleep 9", {"seconds": 0.1}, "training took longer than 0:00:00.100000"),
        ("head -c 400000 /dev/zero > $TMPDIR/x; sleep 9", {"disk": 300_000}, "MB of disk"),
        ("sleep 9", {"free": 10**18}, "must stay"),
        ("", {"argv": ["no-such-program"]}, "cannot begin: [Errno 2]"),
        ("", {"folder": "no-such-folder"}, "cannot begin: [Errno 2]"),
    ],
    ids=["exit", "nothing", "silent", "signal", "file", "late", "disk", "free", "program", "place"],
)
def test_what_goes_wrong_is_told(
    kept: Kept, tmp_path: Path, script: str, changes: dict[str, object], said: str
) -> None:
    assert said in str(kept(script, **changes)["problem"])
    assert not (tmp_path / "artifact").exists()
    assert not (tmp_path / "tmp").exists()


def test_a_training_that_reports_by_itself_is_believed(kept: Kept, tmp_path: Path) -> None:
    script = f"""{GOOD}; echo '{{"metrics": {{"n": 1}}}}' > {tmp_path}/result.json; exit 3"""
    assert kept(script, reports=True) == {"metrics": {"n": 1}}


def test_limits_are_those_of_the_training(kept: Kept, tmp_path: Path) -> None:
    kept(f"ulimit -v > {tmp_path}/memory; ulimit -f > {tmp_path}/file; {GOOD}",
         memory=512_000_000, disk=51_200_000)  # fmt: skip
    assert (tmp_path / "memory").read_text().strip() == "500000"
    assert int((tmp_path / "file").read_text()) in {50_000, 100_000}


def test_a_folder_that_cannot_be_used_is_told(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "artifact").write_text("in the way")
    assert "the training cannot go on" in str(kept("true")["problem"])


def test_size_is_what_files_take(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "x").write_bytes(b"x" * 10_000)
    assert 10_000 <= size(tmp_path) <= 20_000
