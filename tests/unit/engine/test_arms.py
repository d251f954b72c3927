"""Arms and shadows beside a rollout: who may publish them, who wins, and what gateways are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from homeostat.domain.errors import ConflictError, DataError
from homeostat.domain.route import Route
from homeostat.engine.arms import (
    ATTEMPTS,
    MOST_SHADOWS,
    OPERATOR,
    Arms,
    arms_of,
    by_hand,
    follow,
    publish_arms,
    set_shadow,
    withdraw_arms,
)
from homeostat.engine.commands import Command, Request, submit
from homeostat.engine.ports import UnitOfWork
from homeostat.engine.watch import rollout_key
from homeostat.rollout.state import RolloutState, Stage
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRecords
from simulation.fitting import contrary
from simulation.test_world import register
from simulation.world import MODEL, Fate, World, memory_world

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
STATE = RolloutState("fraud", Stage.CHAMPION, "v1", lineage=("v0",))


@pytest.fixture
def records() -> MemoryRecords:
    found = MemoryRecords(SimulatedClock(NOW))
    with found.begin() as uow:
        uow.save(rollout_key("fraud"), STATE)
    return found


def publish(
    records: MemoryRecords,
    shares: Mapping[str, float],
    owner: str = OPERATOR,
    now: datetime = NOW,
    experiment: str = "",
) -> Arms:
    def change(uow: UnitOfWork) -> Arms:
        return publish_arms(
            uow, "fraud", shares,
            owner=owner, actor="ana", reason="why", now=now, experiment=experiment,
        )  # fmt: skip

    return by_hand(records, change)


def shadow(records: MemoryRecords, version: str, *, on: bool = True) -> Arms:
    return by_hand(
        records,
        lambda uow: set_shadow(uow, "fraud", version, on=on, actor="ana", reason="look", now=NOW),
    )


def withdraw(records: MemoryRecords, owner: str = "") -> Arms:
    return by_hand(
        records,
        lambda uow: withdraw_arms(uow, "fraud", actor="ben", reason="over", now=LATER, owner=owner),
    )


def followed(records: MemoryRecords, state: RolloutState, *commands: Command) -> Arms:
    return by_hand(records, lambda uow: follow(uow, state, LATER, commands))


def made(records: MemoryRecords) -> list[tuple[str, str, str]]:
    return [(d.actor, d.action, d.subject) for d in records.decisions("fraud")]


def test_arms_keep_their_entities_when_their_owner_moves_shares(records: MemoryRecords) -> None:
    first = publish(records, {"v2": 0.1, "v3": 0.1}, "experiment:prices")
    second = publish(records, {"v2": 0.1, "v3": 0.2}, "experiment:prices", LATER)
    assert second.arms[0] == first.arms[0]
    assert second.arms[1].slots[0][0] == first.arms[1].slots[0][0]
    assert (second.since, arms_of(records, "fraud")) == (NOW, second)
    assert second.shares == {"v2": 0.1, "v3": 0.2}
    assert records.decisions("fraud")[-1].evidence == (("share v2", 0.1), ("share v3", 0.2))


def test_another_experiment_deals_entities_out_anew(records: MemoryRecords) -> None:
    publish(records, {"v2": 0.1, "v3": 0.1}, experiment="a")
    again = publish(records, {"v3": 0.1, "v2": 0.1}, now=LATER, experiment="b")
    assert again.arms[0].slots == ((0, 1000),)
    assert (again.experiment, again.since) == ("b", LATER)


def test_arms_of_one_owner_stand_until_they_are_withdrawn(records: MemoryRecords) -> None:
    publish(records, {"v2": 0.1}, "bandit:prices")
    with pytest.raises(DataError, match=r"arms of bandit:prices stand for fraud; withdraw them"):
        publish(records, {"v2": 0.5})
    assert withdraw(records, "experiment:other").owner == "bandit:prices"
    assert withdraw(records, "bandit:prices") == Arms(actor="ben", reason="over", since=LATER)
    assert withdraw(records).owner == ""
    assert publish(records, {"v2": 0.5}).owner == OPERATOR
    assert made(records) == [
        ("ana", "publish_arms", "v2=0.1"),
        ("ben", "withdraw_arms", "v2"),
        ("ana", "publish_arms", "v2=0.5"),
    ]


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ({"v2": 0.7, "v3": 0.7}, "together at most 1"),
        ({"": 0.5}, "needs the name of a version"),
        ({"v2": float("nan")}, "must be in"),
    ],
    ids=["too much", "no name", "nan"],
)
def test_shares_that_are_none_are_refused(
    records: MemoryRecords, shares: dict[str, float], told: str
) -> None:
    with pytest.raises(DataError, match=f"arms of fraud: .*{told}"):
        publish(records, shares)
    assert made(records) == []


def test_an_aborted_version_gets_no_entities(records: MemoryRecords) -> None:
    with records.begin() as uow:
        uow.load(rollout_key("fraud"), RolloutState)
        uow.save(rollout_key("fraud"), replace(STATE, aborted=("v2",)))
    with pytest.raises(DataError, match="v2 of fraud was aborted"):
        publish(records, {"v2": 0.1, "v3": 0.1})


@pytest.mark.parametrize("state", [None, RolloutState("fraud")], ids=["unknown", "empty"])
def test_a_model_without_a_champion_has_no_arms(state: RolloutState | None) -> None:
    records = MemoryRecords(SimulatedClock(NOW))
    if state is not None:
        with records.begin() as uow:
            uow.save(rollout_key("fraud"), state)
    with pytest.raises(DataError, match="fraud has no champion yet"):
        publish(records, {"v2": 0.1})


def test_shadows_are_added_and_taken_away_once(records: MemoryRecords) -> None:
    for on in (True, True, False, False):
        shadow(records, "v2", on=on)
    assert made(records) == [("ana", "add_shadow", "v2"), ("ana", "remove_shadow", "v2")]
    with pytest.raises(DataError, match="needs the name"):
        shadow(records, "")
    for number in range(MOST_SHADOWS):
        shadow(records, f"v{number}")
    with pytest.raises(DataError, match="5 shadows already: v0, v1, v2, v3, v4"):
        shadow(records, "v9")


def test_a_new_champion_ends_arms_and_shadows_stay(records: MemoryRecords) -> None:
    publish(records, {"v2": 0.1})
    shadow(records, "v5")
    left = followed(records, replace(STATE, champion="v9"))
    assert (left.owner, left.arms, left.shadows) == ("", (), ("v5",))
    assert records.decisions("fraud")[-1].reason == ("operator: v9 is champion now, in place of v1")


def test_an_aborted_version_loses_its_entities_and_the_others_keep_theirs(
    records: MemoryRecords,
) -> None:
    before = publish(records, {"v2": 0.1, "v3": 0.1})
    left = followed(records, replace(STATE, aborted=("v2",)))
    assert left.arms == before.arms[1:]
    left = followed(records, replace(STATE, aborted=("v2", "v3")))
    assert (left.owner, left.arms) == ("", ())
    assert made(records)[1:] == [
        ("homeostat", "drop_arm", "v2"),
        ("homeostat", "withdraw_arms", "v3"),
    ]


@pytest.mark.parametrize(
    ("request_", "subject", "ends"),
    [
        (Request.ROLL_BACK, "", True),
        (Request.PUSH, "v1", True),
        (Request.PUSH, "nobody knows it", False),
        (Request.ABORT, "", False),
    ],
    ids=["roll back", "push", "push refused", "abort"],
)
def test_what_a_person_asks_for_everybody_ends_arms(
    records: MemoryRecords, request_: Request, subject: str, *, ends: bool
) -> None:
    publish(records, {"v1": 0.5, "v2": 0.5})
    left = followed(records, STATE, Command(request_, "fraud", "ben", subject))
    assert (left.owner == "") is ends


class Contested(MemoryRecords):
    """Records in which others are first a number of times."""

    rivals = 0

    def _commit(self, unit: object) -> None:
        self.rivals -= 1
        if self.rivals >= 0:
            raise ConflictError("somebody was first")
        super()._commit(unit)  # type: ignore[arg-type]


def test_a_change_by_hand_is_tried_again(records: MemoryRecords) -> None:
    contested = Contested(records.clock, records._states)
    contested.rivals = ATTEMPTS - 1
    assert publish(contested, {"v2": 0.1}).owner == OPERATOR
    contested.rivals = ATTEMPTS
    with pytest.raises(ConflictError):
        publish(contested, {"v2": 0.2})


def test_gateways_are_told_at_the_next_tick_and_after_each_one(tmp_path: Path) -> None:
    world = memory_world(tmp_path, Fate(3))
    good = register(world, world.ports.registry.path(MODEL, "1"))
    bad = register(world, contrary(tmp_path / "bad"))
    by_hand(
        world.ports.records,
        lambda uow: publish_arms(
            uow, MODEL, {"1": 0.5, good: 0.5},
            owner=OPERATOR, actor="ana", reason="", now=world.clock.now(),
        ),
    )  # fmt: skip
    by_hand(
        world.ports.records,
        lambda uow: set_shadow(
            uow, MODEL, bad, on=True, actor="ana", reason="", now=world.clock.now()
        ),
    )
    for _ in range(2):
        world.problems += world.engine.tick(world.clock.advance(timedelta(minutes=1)))
        route = published(world)
        assert (route.champion, route.shares, route.shadows) == (
            "1",
            {"1": 0.5, good: 0.5},
            (bad,),
        )
        assert route.experiment == OPERATOR
    submit(world.ports.records, Command(Request.PUSH, MODEL, "ana", good), world.clock.now())
    world.problems += world.engine.tick(world.clock.advance(timedelta(minutes=1)))
    route = published(world)
    assert (route.champion, route.arms, route.shadows) == (good, (), ("1", bad))
    assert world.problems == []


def published(world: World) -> Route:
    route = world.ports.routes.current(MODEL)
    assert route is not None
    return route
