"""The power or the disk fails: nothing acknowledged is lost or counted twice.

`benchmarks/log_faults.py` cuts it more often.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from faults.disk import build, preload
from faults.survival import cut_powers, record


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None and os.environ.get("CI") != "true":
        pytest.skip("there is no C compiler: apt-get install gcc libc6-dev")
    return build(tmp_path_factory.mktemp("cut"))


def test_a_power_cut_loses_and_doubles_nothing(library: Path, tmp_path: Path) -> None:
    done = record(library, tmp_path, 10)
    found = cut_powers(tmp_path, done, cuts=4, seed=1)
    assert [problems for _, problems in found] == [[]] * 4, found


@pytest.mark.parametrize(("part", "told"), [("log", "cannot be read"), ("records", "lost")])
def test_what_does_not_sync_is_found_out(
    library: Path, tmp_path: Path, part: str, told: str
) -> None:
    done = record(library, tmp_path, 8, ("a",), f"careless-{part}")
    found = cut_powers(tmp_path, done, cuts=6, seed=2)
    assert any(told in problem for _, problems in found for problem in problems), found


def test_a_full_read_only_broken_or_slow_disk(library: Path, tmp_path: Path) -> None:
    root, faults = tmp_path / "root", tmp_path / "faults"
    root.mkdir()
    faults.write_bytes(bytes(4096))
    environment = preload(library, root, tmp_path / "journal", faults)
    script = Path(__file__).with_name("weather.py")
    done = subprocess.run(
        [sys.executable, script, root.resolve(), faults],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
