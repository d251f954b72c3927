"""A place that one process occupies, and that is free as soon as it dies."""

import subprocess
import sys
from pathlib import Path

import pytest

from homeostat.adapters.post import FilePost
from homeostat.domain.errors import StorageError

HOLD = """
import sys
from pathlib import Path
from homeostat.adapters.post import FilePost
post = FilePost(Path(sys.argv[1]))
print(post.occupy(), post.name, flush=True)
sys.stdin.read()
"""


def test_one_at_a_time_and_free_at_death(tmp_path: Path) -> None:
    path = tmp_path / "post"
    mine = FilePost(path)
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline().split() == ["True", mine.name]
        assert not mine.occupy()
        other.kill()
        other.wait()
    assert mine.occupy()
    assert mine.occupy(), "it is kept"
    assert not FilePost(path).occupy()
    mine.leave()
    mine.leave()
    assert FilePost(path).occupy()


def test_other_places_have_other_names(tmp_path: Path) -> None:
    assert FilePost(tmp_path / "a").name != FilePost(tmp_path / "b").name


def test_a_place_that_cannot_be_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be opened"):
        FilePost(tmp_path / "none" / "post")
