"""What became of effects is written by the leader alone, paused or not, whatever clocks show."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias

import pytest
import sqlalchemy as sa
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from databases import open_records
from homeostat.adapters.records import DatabaseRecords
from homeostat.adapters.records.tables import effects
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.errors import ConflictError
from homeostat.engine.act import LONGEST_LIFE
from homeostat.engine.lease import LEASE, FencedRecords, Leadership, Lease
from homeostat.engine.ports import Settled, UnitOfWork
from homeostat.simulation.conformance.log import NOW

LEASE_TIME = timedelta(seconds=30)
SKEW = timedelta(days=400)
Status: TypeAlias = Literal["done", "pending", "dead"]
Act: TypeAlias = tuple[int, str, int, float]

pytestmark = pytest.mark.usefixtures("both")


@dataclass
class Nowhere:
    """The post of a machine of its own: nobody waits there for a dead leader."""

    name: str = ""

    def occupy(self) -> bool:
        return False

    def leave(self) -> None:
        pass


@dataclass(frozen=True)
class Effect:
    """What a model expects of an effect."""

    status: str = "pending"
    attempts: int = 0
    by: int = 0


@dataclass
class World:
    """Two control planes, units of work that pause, and a model of all effects.

    Plane 0's clocks are ahead and fast, those of plane 1 behind and slow.
    """

    records: DatabaseRecords
    turn: int
    outcomes: Counter[str] = field(default_factory=Counter)
    true: float = 0.0
    planes: list[Leadership] = field(default_factory=list)
    opened: dict[int, tuple[int, Settled, AbstractContextManager[UnitOfWork]]] = field(
        default_factory=dict
    )
    model: dict[int, Effect] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("a", "b"):
            holder = f"{self.turn} {name}"
            self.planes.append(Leadership(self.records, holder, LEASE_TIME, Nowhere()))
        with self.records.begin() as unit:
            lease = unit.load(LEASE, Lease) or Lease()
            unit.save(LEASE, Lease(term=lease.term))
            unit.settle(*(Settled(p.number, "dead", NOW) for p in self.records.pending(NOW + SKEW)))

    def wall(self, plane: int) -> datetime:
        return NOW + (SKEW if plane == 0 else -SKEW) + timedelta(seconds=self.true)

    def moment(self, plane: int, slow: float = 0.0) -> float:
        return (1e6 + 1.03 * (self.true - slow)) if plane == 0 else 0.97 * (self.true - slow)

    def act(self, plane: int, act: str, which: int, wait: float) -> None:
        leads = self.planes[plane].leads(self.moment(plane))
        match act:
            case "step":
                self.planes[plane].step(self.wall(plane), self.moment(plane))
            case "slow":  # paused after it read its clock
                self.planes[plane].step(self.wall(plane), self.moment(plane, wait))
            case "intend":
                self.intend(plane)
            case "resign":
                self.planes[plane].resign()
            case "commit" if plane in self.opened:
                self.commit(plane)
            case "done" | "pending" | "dead" if leads and plane not in self.opened and self.model:
                numbers = sorted(self.model)
                self.open(plane, numbers[which % len(numbers)], act)
        self.true += wait

    def intend(self, plane: int) -> None:
        name = f"{self.turn}-{len(self.model)}"
        words = ("m", "title", "body", "")
        notice = Notify(name, NotifyAction.TRIGGER, "duty", Severity.INFO, *words, NOW)
        known = {p.number for p in self.records.pending(NOW + 2 * SKEW)}
        try:
            with FencedRecords(self.records, self.planes[plane]).begin() as unit:
                unit.intend(notice)
        except ConflictError:
            return
        for pending in self.records.pending(NOW + 2 * SKEW):
            if pending.number not in known:
                self.model[pending.number] = Effect()

    def open(self, plane: int, number: int, status: Status) -> None:
        """Begin to settle an effect that was carried out or failed, and pause."""
        leadership = self.planes[plane]
        work = FencedRecords(self.records, leadership).begin()
        settled = Settled(number, status, self.wall(plane), "" if status == "done" else "busy")
        try:
            work.__enter__().settle(settled)
        except ConflictError:
            return
        self.opened[plane] = leadership.term, settled, work

    def commit(self, plane: int) -> None:
        term, settled, work = self.opened.pop(plane)
        lease = self.records.read(LEASE, Lease)
        assert lease is not None
        before = self.model[settled.number]
        taken = lease.term == term and lease.holder and before.status == "pending"
        try:
            work.__exit__(None, None, None)
        except ConflictError:
            assert not taken, "a leader's own word is taken"
            self.outcomes["refused"] += 1
            return
        assert taken, "nobody else's is"
        self.outcomes["taken"] += 1
        tried = before.attempts + (settled.status != "done")
        self.model[settled.number] = Effect(settled.status, tried, term)

    def check(self) -> None:
        """Compare the records with the model."""
        query = sa.select(effects.c.number, effects.c.status, effects.c.attempts)
        with self.records.database.read() as connection:
            rows = connection.execute(query.where(effects.c.number.in_(self.model))).all()
        found = {row.number: (row.status, row.attempts) for row in rows}
        assert found == {n: (e.status, e.attempts) for n, e in self.model.items()}


ACTS = ("step", "step", "slow", "intend", "done", "pending", "dead", "commit", "commit", "resign")
acts = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(ACTS),
        st.integers(0, 5),
        st.sampled_from([0.0, 1.0, 4.0, 9.0]),
    ),
    min_size=40,
    max_size=80,
)


def test_only_the_leader_of_the_moment_settles_effects(tmp_path: Path) -> None:
    """Any order of steps, pauses in the middle of a unit, take-overs and resignations."""
    records, turns, outcomes = open_records(tmp_path), iter(range(10**6)), Counter[str]()

    @settings(max_examples=18, derandomize=True, phases=(Phase.explicit, Phase.generate))
    @given(acts)
    def live(todo: list[Act]) -> None:
        world = World(records, next(turns))
        for first in ("step", "intend", "intend", "intend"):
            world.act(0, first, 0, 0.0)
        for act in todo:
            world.act(*act)
        world.check()
        outcomes.update(world.outcomes)

    live()
    assert min(outcomes["taken"], outcomes["refused"]) >= 5, "both happened"


class Settling(threading.Thread):
    """Commits that an effect is done as soon as the other side is about to take over."""

    def __init__(self, work: AbstractContextManager[UnitOfWork], number: int) -> None:
        super().__init__()
        self.work, self.barrier, self.refused = work, threading.Barrier(2), False
        work.__enter__().settle(Settled(number, "done", NOW))

    def run(self) -> None:
        self.barrier.wait(30)
        try:
            self.work.__exit__(None, None, None)
        except ConflictError:
            self.refused = True


def test_a_take_over_and_a_settlement_at_one_time_have_an_order(tmp_path: Path) -> None:
    """If who took over saw the effect pending, the former leader's word comes too late."""
    records, others = open_records(tmp_path), open_records(tmp_path)
    world = World(records, 0)
    old, fresh = world.planes[0], Leadership(others, "next", LEASE_TIME, Nowhere())
    outcomes = set()
    for turn in range(25):
        assert old.step(NOW, 0.0)
        world.model.clear()
        world.turn = turn
        world.intend(0)
        (number,) = world.model
        settling = Settling(FencedRecords(records, old).begin(), number)
        settling.start()
        with others.begin() as unit:
            lease = unit.load(LEASE, Lease)
            assert lease is not None
            unit.save(LEASE, replace(lease, holder="next", term=lease.term + 1))
            settling.barrier.wait()
        seen = {p.number for p in others.pending(NOW + LONGEST_LIFE)}
        settling.join()
        left = {p.number for p in others.pending(NOW + LONGEST_LIFE)}
        assert left == seen, "nothing is settled after the take-over"
        assert settling.refused == (number in left)
        outcomes.add(settling.refused)
        with others.begin() as unit:
            unit.load(LEASE, Lease)
            unit.save(LEASE, Lease(term=lease.term + 1))
            unit.settle(*(Settled(n, "dead", NOW) for n in left))
    assert not fresh.leads(0.0)
    assert outcomes
