import errno
import os
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.adapters.registry import LocalRegistry
from homeostat.domain.errors import ArtifactError, StorageError
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import NOW
from homeostat.simulation.conformance.models import artifact, card


def opened(folder: Path) -> LocalRegistry:
    return LocalRegistry(folder / "registry", SimulatedClock(NOW))


def test_versions_survive_a_restart_and_are_dated(tmp_path: Path) -> None:
    clock = SimulatedClock(NOW)
    registry = LocalRegistry(tmp_path / "registry", clock)
    for name in ("b", "a"):
        registry.register(card(name), artifact(tmp_path, name, name))
        clock.advance(timedelta(hours=1))
    found = opened(tmp_path).versions("fraud")
    assert [version.version for version in found] == ["b", "a"]
    assert found[0].created == NOW


def test_hostile_names_stay_inside_the_root(tmp_path: Path) -> None:
    registry = opened(tmp_path)
    hostile = replace(card("../../v"), model="../evil")
    kept = registry.register(hostile, artifact(tmp_path, "a", "one"))
    assert registry.path("../evil", "../../v").is_relative_to(tmp_path / "registry")
    assert registry.versions("../evil") == (kept,)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "registry"]


def test_full_disk_registers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = opened(tmp_path)
    file = artifact(tmp_path, "a", "one")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for owner, name in ((shutil, "copy2"), (os, "fsync")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, full)
            with pytest.raises(StorageError, match="No space left"):
                registry.register(card("1"), file)
        assert registry.versions("fraud") == ()
        assert not list((tmp_path / "registry").rglob("*.json"))
    assert registry.register(card("1"), file).version == "1"


def test_damaged_card_or_lost_artifact_is_an_artifact_error(tmp_path: Path) -> None:
    registry = opened(tmp_path)
    kept = registry.register(card(), artifact(tmp_path, "a", "one"))
    registry.path("fraud", kept.version).unlink()
    with pytest.raises(ArtifactError, match="missing"):
        registry.path("fraud", kept.version)
    (tmp_path / "registry" / "fraud" / kept.version / "card.json").write_text("{")
    with pytest.raises(ArtifactError, match="card"):
        registry.get("fraud", kept.version)


def test_a_damaged_card_is_in_nobody_s_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = opened(tmp_path)
    for name in ("a", "b"):
        registry.register(card(""), artifact(tmp_path, name, name))
    (tmp_path / "registry" / "fraud" / "2" / "card.json").write_bytes(b"\xff")
    (kept,) = registry.versions("fraud")
    assert kept.version == "1"
    assert registry.register(card(""), artifact(tmp_path, "c", "c")).version == "3"
    assert len([record for record in caplog.records if "is damaged" in record.message]) == 1


def test_root_that_cannot_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "registry").write_text("a file")
    with pytest.raises(StorageError, match="cannot be made"):
        opened(tmp_path)


def test_the_size_is_that_of_all_files(tmp_path: Path) -> None:
    registry = opened(tmp_path)
    folder = tmp_path / "two"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_bytes(b"0" * 10)
    (folder / "deep" / "b").write_bytes(b"0" * 5)
    registry.register(card("1"), folder)
    registry.register(card("2"), folder / "a")
    assert registry.size("fraud", "1") == 15
    assert registry.size("fraud", "2") == 10


@pytest.mark.parametrize("nested", [False, True])
def test_links_are_not_followed(tmp_path: Path, nested: bool) -> None:
    secret, made = tmp_path / "secret", tmp_path / "made"
    secret.write_text("token")
    made.mkdir()
    (made / "model.txt").write_text("m")
    (made / "model.json").symlink_to(secret)
    if not nested:
        (tmp_path / "link").symlink_to(made)
        made = tmp_path / "link"
    with pytest.raises(ArtifactError, match="holds a link"):
        opened(tmp_path).register(card("a"), made)
    assert not list((tmp_path / "registry").rglob("model.*"))
