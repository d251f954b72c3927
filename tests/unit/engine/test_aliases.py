"""The registry's aliases follow the rollout's state, whatever happens between."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.alias import AliasChange, pointing
from homeostat.domain.errors import ConflictError, StorageError
from homeostat.domain.model import ModelVersion
from homeostat.engine.aliases import mirror
from homeostat.engine.loop import Engine
from homeostat.engine.ports import Ports
from homeostat.rollout.state import RolloutState, Stage
from homeostat.simulation.fakes.models import MemoryRegistry
from simulation.world import MODEL, START, TICK, Fate, memory_world

VERSIONS = ("", "1", "2", "3")


def filled(registry: MemoryRegistry, folder: Path) -> MemoryRegistry:
    for version in VERSIONS[1:]:
        (folder / version).write_text(version)
        registry.register(ModelVersion("fraud", version, "linear", "", START), folder / version)
    return registry


@given(
    st.lists(st.tuples(*(st.sampled_from(VERSIONS) for _ in range(3))), max_size=6),
    st.lists(st.tuples(st.sampled_from(("champion", "theirs")), st.sampled_from(VERSIONS))),
)
def test_aliases_are_what_the_state_says(
    states: list[tuple[str, str, str]], by_hand: list[tuple[str, str]]
) -> None:
    with TemporaryDirectory() as folder:
        registry = filled(MemoryRegistry(), Path(folder))
    for number, (champion, challenger, previous) in enumerate(states):
        if number < len(by_hand):
            alias, version = by_hand[number]
            before = registry.aliases("fraud").get(alias, "")
            registry.point(AliasChange("fraud", alias, version, before, START, "somebody"))
        theirs = registry.aliases("fraud").get("theirs")
        lineage = (previous,) if previous else ()
        state = RolloutState("fraud", Stage.SHADOW, champion, lineage, challenger)
        mirror(registry, state, START)
        wanted = {"champion": champion, "challenger": challenger, "previous": previous}
        wanted["theirs"] = theirs or ""
        assert registry.aliases("fraud") == {k: v for k, v in wanted.items() if v}
        moves = registry.moves("fraud")
        mirror(registry, state, START)
        assert registry.moves("fraud") == moves, "nothing to do is nothing on record"
        assert pointing(moves) == registry.aliases("fraud")


def test_a_version_that_is_not_there_is_pointed_at_by_none(tmp_path: Path) -> None:
    registry = filled(MemoryRegistry(), tmp_path)
    mirror(registry, RolloutState("fraud", Stage.CHAMPION, "1"), START)
    for _ in range(2):
        mirror(registry, RolloutState("fraud", Stage.CHAMPION, "lost"), START)
    assert registry.aliases("fraud") == {}
    last = registry.moves("fraud")[-1]
    assert (last.before, last.reason) == ("1", "version lost is not in the registry")


@dataclass
class Failing(MemoryRegistry):
    """A registry that is away, or in which somebody else is always first."""

    error: Exception | None = None

    def point(self, change: AliasChange) -> None:
        if self.error is not None:
            raise self.error
        super().point(change)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StorageError("no connection"), (f"{MODEL}: aliases not moved: no connection",)),
        (ConflictError("moved"), ()),
    ],
    ids=["away", "raced"],
)
def test_a_tick_mends_what_an_earlier_one_could_not(
    tmp_path: Path, error: Exception, told: tuple[str, ...]
) -> None:
    world = memory_world(tmp_path, Fate(6))
    champion = world.rollout.champion
    registry = Failing()
    (tmp_path / "artifact").write_text("x")
    registry.register(ModelVersion(MODEL, champion, "linear", "", START), tmp_path / "artifact")
    registry.error = error
    ports: Ports = replace(world.ports, registry=registry)
    engine = Engine(ports, world.engine.plans)
    assert engine.tick(START + TICK) == told
    assert registry.aliases(MODEL) == {}
    registry.error = None
    assert engine.tick(START + 2 * TICK) == ()
    assert registry.aliases(MODEL)["champion"] == champion
