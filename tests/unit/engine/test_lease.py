"""Of several control planes one leads: whatever their clocks show, pause or crash."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.domain.errors import ConflictError
from homeostat.engine.lease import BEAT, LEASE, Beat, FencedRecords, Leadership, Lease
from homeostat.engine.ports import UnitOfWork
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import NOW
from homeostat.simulation.fakes import MemoryRecords

LEASE_TIME = timedelta(seconds=30)


@dataclass
class Seat:
    """A post of one machine in memory."""

    name: str
    taken: dict[str, object]

    def occupy(self) -> bool:
        return self.taken.setdefault(self.name, self) is self

    def leave(self) -> None:
        if self.taken.get(self.name) is self:
            del self.taken[self.name]


@dataclass
class Plane:
    """A control plane whose clocks are its own."""

    records: MemoryRecords
    number: int
    offset: float
    rate: float
    seats: dict[str, object]
    shared: bool
    lives: int = 0
    leadership: Leadership = field(init=False)
    alive: bool = True
    stepped: float = 0.0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        name = "here" if self.shared else f"host {self.number}"
        self.seat = Seat(name, self.seats)
        holder = f"{self.number}.{self.lives}"
        self.leadership = Leadership(self.records, holder, LEASE_TIME, self.seat)
        self.alive, self.lives = True, self.lives + 1

    def crash(self) -> None:
        self.alive = False
        self.seat.leave()

    def moment(self, true: float) -> float:
        return self.offset + self.rate * true

    def step(self, true: float, slow: float = 0.0) -> bool:
        """Step, up to `slow` seconds after it read its clock: not before its last step ended."""
        wall = NOW + timedelta(seconds=50 * self.offset)
        read, self.stepped = max(true - slow, self.stepped), true
        return self.leadership.step(wall, self.moment(read))

    def believes(self, true: float) -> bool:
        return self.alive and self.leadership.leads(self.moment(true))


def planes(count: int, *, shared: bool = False, rates: tuple[float, ...] = ()) -> list[Plane]:
    records, seats = MemoryRecords(SimulatedClock(NOW)), dict[str, object]()
    return [
        Plane(records, n, 1e4 * (n + 1) ** 2, rates[n] if rates else 1.0, seats, shared)
        for n in range(count)
    ]


def test_one_leads_and_the_others_take_over_within_the_lease() -> None:
    for phase in (0.0, 0.3, 0.9):
        first, second, third = planes(3)
        assert first.step(0.0)
        crash = 17.0
        for beat in range(4):
            assert first.step(5.0 * beat)
            for other in (second, third):
                assert not other.step(5.0 * (beat + phase))
        first.crash()
        led = [
            5.0 * (beat + phase)
            for beat in range(4, 12)
            if any([second.step(5.0 * (beat + phase)), third.step(5.0 * (beat + phase))])
        ]
        assert led[0] <= crash + LEASE_TIME.total_seconds()
        assert [p.believes(led[0]) for p in (second, third)] == [True, False]


@pytest.mark.parametrize("slow", [0.0, 2.5, 4.9])
def test_the_old_leader_has_stopped_before_another_begins(slow: float) -> None:
    """Also if who waits read its clock before the last beat, and asked the records after it."""
    first, second = planes(2, rates=(1.0, 1.07))
    first.step(95.0)
    first.step(100.0)
    second.leadership.step(NOW, second.moment(100.0 - slow))
    moment = 100.0
    while not second.step(moment):
        moment += 0.5
    assert not first.believes(moment)
    assert second.believes(moment)


def test_whoever_waits_at_the_post_of_the_dead_leads_at_once() -> None:
    first, second = planes(2, shared=True)
    assert first.step(0.0)
    assert not second.step(0.1)
    first.crash()
    assert second.step(0.2)
    first.start()
    assert not first.step(0.3)


def test_a_leader_that_resigns_is_followed_at_once() -> None:
    first, second = planes(2)
    first.step(0.0)
    first.leadership.resign()
    assert not first.believes(0.1)
    assert second.step(0.2)
    assert second.leadership.term == 2
    first.leadership.resign()
    assert second.step(0.3), "one that does not lead cannot resign for others"


def test_a_late_resignation_takes_nothing_from_the_next_leader() -> None:
    first, second = planes(2)
    first.step(0.0)
    for moment in range(0, 40, 5):
        second.step(float(moment))
    first.leadership.resign()
    lease = second.records.read(LEASE, Lease)
    assert lease is not None
    assert (lease.holder, lease.term) == ("1.0", 2)


def test_two_that_find_it_free_at_once_are_one_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = planes(2)
    occupy = first.seat.occupy

    def slowly() -> bool:
        assert second.step(0.0)
        return occupy()

    monkeypatch.setattr(first.seat, "occupy", slowly)
    assert not first.step(0.0)
    assert second.believes(0.1)


def test_work_of_a_leader_that_slept_too_long_is_refused() -> None:
    first, second = planes(2)
    first.step(0.0)
    fenced = FencedRecords(first.records, first.leadership)
    with fenced.begin() as uow:
        uow.save("mine", Beat(1))

    def work_and_sleep() -> None:
        with fenced.begin() as uow:
            for moment in range(0, 40, 5):
                second.step(float(moment))
            uow.save("late", Beat(2))

    with pytest.raises(ConflictError):
        work_and_sleep()
    assert first.records.read("late", Beat) is None
    assert first.records.read("mine", Beat) == Beat(1)
    with pytest.raises(ConflictError, match="leads no more"), fenced.begin():
        pass
    with pytest.raises(ConflictError, match="leads no more"):
        fenced.pending(NOW)


Act = tuple[int, str, float]
acts = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["step", "step", "step", "slow", "open", "commit", "crash", "start"]),
        st.floats(0.0, 12.0, allow_nan=False),
    ),
    min_size=20,
    max_size=120,
)


class World:
    """Three control planes, and units of work that were opened and not yet committed."""

    def __init__(self, *, shared: bool) -> None:
        self.crowd = planes(3, shared=shared, rates=(0.97, 1.0, 1.03))
        self.records, self.true = self.crowd[0].records, 0.0
        self.opened: dict[int, tuple[int, AbstractContextManager[UnitOfWork]]] = {}
        self.written: list[int] = []

    def act(self, number: int, act: str, wait: float) -> None:
        plane = self.crowd[number]
        if act == "start" and not plane.alive:
            plane.start()
        elif act == "crash":
            plane.crash()
            self.opened.pop(number, None)
        elif act == "step" and plane.alive:
            plane.step(self.true)
        elif act == "slow" and plane.alive:  # paused after it read its clock
            plane.step(self.true, wait)
        elif act == "open" and plane.believes(self.true):
            self.open(number)
        elif act == "commit" and number in self.opened:
            self.commit(number)
        self.true += wait

    def open(self, number: int) -> None:
        leadership = self.crowd[number].leadership
        work = FencedRecords(self.records, leadership).begin()
        try:
            work.__enter__().save(f"{len(self.written)} {number}", Beat())
        except ConflictError:
            return
        self.opened[number] = leadership.term, work

    def commit(self, number: int) -> None:
        term, work = self.opened.pop(number)
        lease = self.records.read(LEASE, Lease)
        assert lease is not None
        try:
            work.__exit__(None, None, None)
        except ConflictError:
            assert lease.term != term, "a leader's own work is taken"
        else:
            assert lease.term == term
            self.written.append(term)


@settings(max_examples=150)
@given(acts, st.booleans())
def test_terms_only_grow_and_two_never_believe(todo: list[Act], shared: bool) -> None:
    """Any order of steps, slow steps, units of work across pauses, crashes and restarts."""
    world = World(shared=shared)
    for act in todo:
        world.act(*act)
        assert sum(plane.believes(world.true) for plane in world.crowd) <= 1
    assert world.written == sorted(world.written)


@settings(max_examples=40)
@given(st.lists(st.floats(0.0, 4.99), min_size=3, max_size=3), st.floats(0.0, 60.0))
def test_somebody_leads_within_a_lease_of_any_crash(phases: list[float], crash: float) -> None:
    crowd = planes(3)
    dead: Plane | None = None
    schedule = sorted((phase + 5.0 * n, i) for i, phase in enumerate(phases) for n in range(30))
    for true, number in schedule:
        if dead is None and true >= crash:
            dead = next((plane for plane in crowd if plane.believes(true)), None)
            if dead is not None:
                dead.crash()
                crash = true
        elif dead is not None and true > crash + LEASE_TIME.total_seconds():
            break
        if crowd[number].alive:
            crowd[number].step(true)
    assert dead is not None
    assert sum(p.believes(crash + LEASE_TIME.total_seconds()) for p in crowd) == 1


def test_what_is_read_through_the_fence_is_what_is_recorded() -> None:
    (one,) = planes(1)
    one.step(0.0)
    fenced = FencedRecords(one.records, one.leadership)
    assert fenced.keys("") == (BEAT, LEASE)
    assert fenced.read(BEAT, Beat) == Beat(1, 0, NOW + timedelta(seconds=50 * one.offset))
