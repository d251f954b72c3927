from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters import durable
from homeostat.adapters.profiles import files as profile_files
from homeostat.adapters.profiles import load_profile, save_profile
from homeostat.domain.errors import DataError, NotFoundError
from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_table
from homeostat.profiles.format import to_bytes
from homeostat.profiles.profile import EMPTY


def test_a_profile_comes_back_as_it_was(tmp_path: Path) -> None:
    table = pa.table({"x": np.arange(9.0), "y": [f"{i}" for i in range(9)]})
    kinds = {"x": ColumnKind.NUMERIC, "y": ColumnKind.CATEGORICAL}
    profile = profile_table(table, kinds, pairs=True)
    path = tmp_path / "monday.profile"
    save_profile(EMPTY, path)
    save_profile(profile, path)
    assert load_profile(path) == profile
    assert path.read_bytes() == to_bytes(profile)
    assert [file.name for file in tmp_path.iterdir()] == ["monday.profile"]


def test_a_saved_profile_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(durable, "sync", synced.append)
    save_profile(EMPTY, tmp_path / "p")
    assert [path.parent for path in synced] == [tmp_path, tmp_path.parent]


def test_a_failed_write_leaves_the_old_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p"
    save_profile(EMPTY, path)

    def full(temporary: Path, final: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(profile_files, "publish", full)
    with pytest.raises(DataError, match=r"p cannot be written: No space left on device"):
        save_profile(EMPTY, path)
    assert [file.name for file in tmp_path.iterdir()] == ["p"]
    assert load_profile(path) == EMPTY


def test_refusals_name_the_path(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"PAR1")
    (tmp_path / "cut").write_bytes(to_bytes(EMPTY)[:-1])
    with pytest.raises(NotFoundError, match=r"there is no file .*absent"):
        load_profile(tmp_path / "absent")
    with pytest.raises(DataError, match=r"other: not a profile"):
        load_profile(tmp_path / "other")
    with pytest.raises(DataError, match=r"cut: profile is cut short"):
        load_profile(tmp_path / "cut")
    with pytest.raises(DataError, match=r"cannot be read: Is a directory"):
        load_profile(tmp_path)
    with pytest.raises(DataError, match=r"is a folder"):
        save_profile(EMPTY, tmp_path)
    with pytest.raises(NotFoundError, match=r"there is no folder .*absent"):
        save_profile(EMPTY, tmp_path / "absent" / "p")


def test_a_folder_that_takes_no_files_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(profile_files.tempfile, "NamedTemporaryFile", refused)
    with pytest.raises(DataError, match=r"p cannot be written: Permission denied"):
        save_profile(EMPTY, tmp_path / "p")
