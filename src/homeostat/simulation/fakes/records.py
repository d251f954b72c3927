"""Records in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Literal, TypeVar

from homeostat.domain.clock import Clock
from homeostat.domain.decision import Decision
from homeostat.domain.effect import Effect, Notify
from homeostat.domain.errors import ConflictError, NotFoundError, StorageError
from homeostat.domain.verdict import MetricPoint, Verdict
from homeostat.domain.window import EPOCH, Window
from homeostat.engine.ports import Delivery, PendingEffect, Settled
from homeostat.profiles.profile import Profile

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class _State:
    version: int
    value: object | None  # None: deleted


@dataclass(frozen=True, slots=True)
class _Entry:
    pending: PendingEffect
    status: Literal["pending", "done", "dead"] = "pending"
    problem: str = ""
    at: datetime = EPOCH


MetricKey = tuple[str, Window, str, str, str, str]


def _typed(key: str, value: object | None, kind: type[S]) -> S | None:
    if value is None or isinstance(value, kind):
        return value
    raise StorageError(f"state {key!r} is a {type(value).__name__}, not a {kind.__name__}")


class MemoryUnit:
    """A unit of work on `MemoryRecords`."""

    def __init__(self, records: MemoryRecords) -> None:
        self._records = records
        self._versions: dict[str, int] = {}
        self._values: dict[str, object | None] = {}
        self._held: set[str] = set()
        self.decisions: list[Decision] = []
        self.effects: list[Effect] = []
        self.settled: list[Settled] = []
        self.verdicts: list[Verdict] = []
        self.points: list[MetricPoint] = []
        self.withdrawn: list[MetricPoint] = []

    def prepare(self, keys: Sequence[str]) -> None:
        """Nothing to do: everything is at hand."""

    def load(self, key: str, kind: type[S]) -> S | None:
        """Return the state under `key`, this unit's own change included, and note its version."""
        if key in self._values:
            return _typed(key, self._values[key], kind)
        state = self._records.state(key)
        if self._versions.setdefault(key, state.version) != state.version:
            raise ConflictError(f"state {key!r} changed while it was in use; begin again")
        return _typed(key, state.value, kind)

    def save(self, key: str, state: object) -> None:
        """Store a state at commit; one that was not loaded first is taken to be new."""
        self._values[key] = state

    def delete(self, key: str) -> None:
        """Remove the state under `key` at commit."""
        self._versions.setdefault(key, self._records.state(key).version)
        self._values[key] = None

    def hold(self, key: str) -> None:
        """Have the commit fail if the state that was loaded has changed by then."""
        self._held.add(key)

    def decide(self, *decisions: Decision) -> None:
        """Append to the decision log at commit."""
        self.decisions += decisions

    def intend(self, *effects: Effect) -> None:
        """Record effects at commit; the first of a key stays."""
        self.effects += effects

    def settle(self, *settled: Settled) -> None:
        """Write down what became of effects, at commit."""
        self.settled += settled

    def judge(self, *verdicts: Verdict) -> None:
        """Append verdicts at commit."""
        self.verdicts += verdicts

    def measure(self, *points: MetricPoint) -> None:
        """Write metric points at commit."""
        self.points += points

    def withdraw(self, *points: MetricPoint) -> None:
        """Remove metric points at commit."""
        self.withdrawn += points

    def held(self) -> dict[str, int]:
        """Return the versions of the states that must not have changed."""
        return {key: self._versions.get(key, 0) for key in self._held}

    @property
    def writes(self) -> bool:
        """Whether there is anything to commit."""
        lists = (self.decisions, self.effects, self.verdicts, self.points, self.withdrawn)
        return bool(self._values or self.settled) or any(lists)

    def changes(self) -> dict[str, tuple[int, object | None]]:
        """Return the changed states with the versions that they replace."""
        return {key: (self._versions.get(key, 0), value) for key, value in self._values.items()}


@dataclass
class MemoryRecords:
    """Implements `homeostat.engine.ports.Records`; what it holds ends with the process."""

    clock: Clock
    _states: dict[str, _State] = field(default_factory=dict)
    _decisions: list[Decision] = field(default_factory=list)
    _effects: dict[str, _Entry] = field(default_factory=dict)
    _numbers: list[str] = field(default_factory=list)
    _verdicts: list[Verdict] = field(default_factory=list)
    _points: dict[MetricKey, MetricPoint] = field(default_factory=dict)
    _references: dict[tuple[str, str], tuple[tuple[Window, Profile], ...]] = field(
        default_factory=dict
    )
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @contextmanager
    def begin(self) -> Iterator[MemoryUnit]:
        """Open a unit of work; it commits at the end of the block, an exception discards it."""
        unit = MemoryUnit(self)
        yield unit
        with self._lock:
            self._commit(unit)

    def _commit(self, unit: MemoryUnit) -> None:
        if not unit.writes:
            return
        changes = unit.changes()
        expected = {key: version for key, (version, _) in changes.items()} | unit.held()
        for key, version in expected.items():
            if self.state(key).version != version:
                raise ConflictError(f"state {key!r} was changed by another writer; try again")
        self._settle(unit.settled)
        for key, (version, value) in changes.items():
            self._states[key] = _State(version + 1, value)
        self._decisions += unit.decisions
        self._verdicts += unit.verdicts
        for effect in unit.effects:
            if effect.key not in self._effects:
                self._numbers.append(effect.key)
                pending = PendingEffect(len(self._numbers), effect, 0, EPOCH)
                self._effects[effect.key] = _Entry(pending)
        for p in unit.withdrawn:
            self._points.pop((p.model, *_order(p)), None)
        for p in unit.points:
            self._points[p.model, *_order(p)] = p

    def _settle(self, settled: Sequence[Settled]) -> None:
        """Write down what became of effects: of all of them, or of none."""
        entries = [self._entry(one.number) for one in settled]
        for one, entry in zip(settled, entries, strict=True):
            if entry.status != "pending":
                raise ConflictError(f"effect number {one.number} was settled by another writer")
        for one, entry in zip(settled, entries, strict=True):
            self._effects[self._numbers[one.number - 1]] = _after(entry, one)

    def state(self, key: str) -> _State:
        """Return a state with its version; version 0 if there never was one."""
        return self._states.get(key, _State(0, None))

    def read(self, key: str, kind: type[S]) -> S | None:
        """Return a state without intent to change it."""
        return _typed(key, self.state(key).value, kind)

    def keys(self, prefix: str) -> tuple[str, ...]:
        """Return the state keys with the prefix, sorted."""
        with self._lock:
            found = [k for k, state in self._states.items() if state.value is not None]
        return tuple(sorted(key for key in found if key.startswith(prefix)))

    def decisions(
        self, model: str = "", since: datetime | None = None, limit: int | None = None
    ) -> tuple[Decision, ...]:
        """Return decisions in the order written; with `limit`, the newest ones."""
        found = [
            d
            for d in self._decisions
            if model in {"", d.model} and (since is None or d.at >= since)
        ]
        return tuple(found if limit is None else found[max(len(found) - limit, 0) :])

    def verdicts(
        self, model: str, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Verdict, ...]:
        """Return verdicts whose window starts in [since, until), in the order written."""
        return tuple(
            v for v in self._verdicts if v.model == model and _starts_in(v.window, since, until)
        )

    def metrics(
        self,
        model: str,
        name: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        segment: str | None = "",
        limit: int | None = None,
    ) -> tuple[MetricPoint, ...]:
        """Return points whose window starts in [since, until), by window, name, version, cohort.

        Of all rows; with `segment` of that segment, with None of every one. Of more than `limit`
        points the last in that order.
        """
        found = [
            p
            for p in self._points.values()
            if p.model == model
            and name in {"", p.name}
            and segment in {None, p.segment}
            and _starts_in(p.window, since, until)
        ]
        return tuple(sorted(found, key=_order)[-limit if limit else None :])

    def pending(self, now: datetime) -> tuple[PendingEffect, ...]:
        """Return effects due at `now`, oldest first."""
        return tuple(
            entry.pending
            for entry in self._effects.values()
            if entry.status == "pending" and entry.pending.not_before <= now
        )

    def deliveries(
        self, limit: int, receiver: str = "", incident: str = ""
    ) -> tuple[Delivery, ...]:
        """Return the newest notices and what became of them, newest first."""
        found = (_delivery(entry) for entry in reversed(self._effects.values()))
        mine = (
            d
            for d in found
            if d is not None
            and receiver in {"", d.notice.receiver}
            and incident in {"", d.notice.incident}
        )
        return tuple(islice(mine, limit))

    def _entry(self, number: int) -> _Entry:
        if not 1 <= number <= len(self._numbers):
            raise NotFoundError(f"there is no effect number {number}")
        return self._effects[self._numbers[number - 1]]

    def save_reference(
        self, model: str, version: str, profiles: Sequence[tuple[Window, Profile]]
    ) -> None:
        """Store the reference windows of a version, replacing earlier ones."""
        self._references[model, version] = tuple(sorted(profiles, key=lambda pair: pair[0]))

    def reference(self, model: str, version: str) -> tuple[tuple[Window, Profile], ...]:
        """Return the reference windows of a version, by time; empty if there are none."""
        return self._references.get((model, version), ())


def _delivery(entry: _Entry) -> Delivery | None:
    pending = entry.pending
    if not isinstance(pending.effect, Notify):
        return None
    attempts = pending.attempts + (entry.status == "done")
    return Delivery(pending.number, pending.effect, entry.status, attempts, entry.at, entry.problem)


def _after(entry: _Entry, settled: Settled) -> _Entry:
    pending = entry.pending
    if settled.status != "done":
        pending = replace(pending, attempts=pending.attempts + 1)
    if settled.status == "pending":
        pending = replace(pending, not_before=settled.at)
    return _Entry(pending, settled.status, settled.said, settled.at)


def _order(point: MetricPoint) -> tuple[Window, str, str, str, str]:
    return point.window, point.name, point.version, point.cohort, point.segment


def _starts_in(window: Window, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or window.start >= since) and (until is None or window.start < until)
