"""How aliases move in a folder: one writer at a time, nothing acknowledged is lost."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from homeostat.adapters.registry import LocalRegistry
from homeostat.domain.alias import AliasChange
from homeostat.domain.errors import ConflictError, StorageError
from homeostat.domain.model import ModelVersion
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import NOW


@pytest.fixture
def registry(tmp_path: Path) -> LocalRegistry:
    made = LocalRegistry(tmp_path / "registry", SimulatedClock(NOW))
    for version in ("1", "2"):
        (tmp_path / "artifact").write_text(version)
        made.register(ModelVersion("fraud", version, "linear", "", NOW), tmp_path / "artifact")
    return made


def to(version: str, before: str = "") -> AliasChange:
    return AliasChange("fraud", "champion", version, before, NOW)


def history(registry: LocalRegistry) -> Path:
    return registry.root / "fraud" / "aliases.jsonl"


def test_a_torn_line_was_never_acknowledged(registry: LocalRegistry) -> None:
    registry.point(to("1"))
    whole = history(registry).read_bytes()
    with history(registry).open("ab") as file:
        file.write(whole[:-9])
    assert registry.aliases("fraud") == {"champion": "1"}
    registry.point(to("2", "1"))
    assert registry.moves("fraud") == (to("1"), to("2", "1"))
    assert history(registry).read_bytes().startswith(whole), "the history only grows"


def test_a_full_disk_moves_nothing(
    registry: LocalRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.point(to("1"))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="cannot move champion of fraud: "):
            registry.point(to("2", "1"))
    assert registry.aliases("fraud") == {"champion": "1"}


def test_one_of_many_rivals_wins(registry: LocalRegistry) -> None:
    registry.point(to("1"))

    def attempt(_: int) -> bool:
        other = LocalRegistry(registry.root, registry.clock)
        try:
            other.point(to("2", "1"))
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(16))) == 1
    with pytest.raises(ConflictError, match="points at 2, not at 1 any more"):
        registry.point(to("2", "1"))


def test_a_damaged_history_is_told(registry: LocalRegistry) -> None:
    history(registry).write_text("no change\n")
    with pytest.raises(StorageError, match="a stored AliasChange cannot be read"):
        registry.aliases("fraud")
    history(registry).unlink()
    history(registry).mkdir()
    with pytest.raises(StorageError, match="cannot read the aliases of fraud"):
        registry.moves("fraud")
