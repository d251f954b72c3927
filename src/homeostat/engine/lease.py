"""Who of several control planes leads: one ticks, the others wait to take over.

No wall clock decides anything. The leader counts its beats in the records; who waits takes over
once it has seen the same beat for three beats by its own monotonic clock, counted from a moment
after it first saw it. The leader believes in itself for two and a half beats from a moment before
its last one. So two never believe it at once, however wrong their wall clocks are, as long as one
clock does not run a sixth faster than the other. One that was paused in the middle of a unit of
work finds out late: its term is compared at each commit, in the same transaction, and the commit
is refused. (Leases: Gray & Cheriton 1989; the token is what keeps a paused holder out.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from homeostat.domain.decision import Decision
from homeostat.domain.errors import ConflictError
from homeostat.domain.verdict import MetricPoint, Verdict
from homeostat.domain.window import Window
from homeostat.engine.ports import Delivery, PendingEffect, Records, UnitOfWork
from homeostat.profiles.profile import Profile

S = TypeVar("S")

LEASE = "lease:engine"
BEAT = "beat:engine"
BEATS_PER_LEASE = 6
SILENT_BEATS = 3
"""Beats after which a leader is dead. Its last one is seen a beat late, timed from the next on,
and acted on another one later: a lease in all."""
BELIEVED_BEATS = 2.5
"""Beats for which a leader believes in itself."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who leads. It changes only when somebody takes over or gives up.

    ``term`` counts the takeovers: the fencing token. ``post`` names the place on one machine that
    the leader occupies, if it could; ``since`` is for people to read.
    """

    holder: str = ""
    term: int = 0
    post: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Beat:
    """The leader's sign of life. ``at`` is for people to read."""

    term: int = 0
    count: int = 0
    at: datetime | None = None


class Post(Protocol):
    """A place that one process can occupy, and that is free at once when it dies."""

    @property
    def name(self) -> str:
        """Names the place; the same in every process that could occupy it."""
        ...

    def occupy(self) -> bool:
        """Take the place, or keep it; False if another process has it."""
        ...

    def leave(self) -> None:
        """Give the place up."""
        ...


@dataclass
class Leadership:
    """One control plane's part in the election.

    Parameters
    ----------
    records : Records
    holder : str
        Names this control plane, as no other is named.
    lease : timedelta
        Time after a crash within which another one leads, if all step every `beat`.
    post : Post
        Whoever waits at the same post as a dead leader need not wait for its silence.
    """

    records: Records
    holder: str
    lease: timedelta
    post: Post
    _mine: Lease | None = field(default=None, init=False)
    _renewed: float = field(default=0.0, init=False)
    _seen: tuple[int, int] | None = field(default=None, init=False)
    _seen_at: float | None = field(default=None, init=False)

    @property
    def beat(self) -> float:
        """Seconds between two steps."""
        return self.lease.total_seconds() / BEATS_PER_LEASE

    @property
    def silence(self) -> float:
        """Seconds of one and the same beat after which its leader is dead."""
        return self.beat * SILENT_BEATS

    def leads(self, moment: float) -> bool:
        """Say whether this one may work; `moment` is monotonic, in seconds."""
        return self._mine is not None and moment - self._renewed < self.beat * BELIEVED_BEATS

    @property
    def term(self) -> int:
        """The fencing token of what was last won; 0: nothing."""
        return 0 if self._mine is None else self._mine.term

    def step(self, now: datetime, moment: float) -> bool:
        """Beat if this one leads, else take over if it may; return whether it leads now.

        Parameters
        ----------
        now : datetime
            Only written down.
        moment : float
            Monotonic seconds, read before this call.

        Raises
        ------
        StorageError
            If the records cannot be read or written: this one leads a little longer.
        """
        try:
            with self.records.begin() as uow:
                lease = uow.load(LEASE, Lease) or Lease()
                beat = uow.load(BEAT, Beat) or Beat()
                if self._mine is not None and lease == self._mine:
                    uow.save(BEAT, replace(beat, count=beat.count + 1, at=now))
                    won = lease
                elif self._free(lease, beat, moment):
                    won = self._claim(lease, now)
                    uow.save(LEASE, won)
                    uow.save(BEAT, Beat(won.term, 0, now))
                else:
                    self._give_up()
                    return False
        except ConflictError:
            self._give_up()
            return False
        self._mine, self._renewed = won, moment
        return True

    def _claim(self, lease: Lease, now: datetime) -> Lease:
        post = self.post.name if self.post.occupy() else ""
        return Lease(self.holder, lease.term + 1, post, now)

    def _free(self, lease: Lease, beat: Beat, moment: float) -> bool:
        if not lease.holder:
            return True
        if lease.post and lease.post == self.post.name and self.post.occupy():
            return True  # a leader at a post occupies it as long as it lives
        seen = (lease.term, beat.count)
        if seen != self._seen:
            # The beat may be younger than `moment`: it is timed from the next step on.
            self._seen, self._seen_at = seen, None
            return False
        if self._seen_at is None:
            self._seen_at = moment
        return moment - self._seen_at >= self.silence

    def _give_up(self) -> None:
        self._mine = None
        self.post.leave()

    def resign(self) -> None:
        """Let another one lead at once; raises StorageError if that cannot be written."""
        mine, self._mine = self._mine, None
        try:
            if mine is not None:
                with self.records.begin() as uow:
                    if uow.load(LEASE, Lease) == mine:
                        uow.save(LEASE, Lease(term=mine.term))
        except ConflictError:
            pass  # another one leads already
        finally:
            self.post.leave()

    def fence(self, uow: UnitOfWork) -> None:
        """Have a unit of work fail, at the latest at its commit, if this one leads no more.

        Raises
        ------
        ConflictError
            If another one leads already.
        """
        found = uow.load(LEASE, Lease)
        if self._mine is None or found != self._mine:
            raise ConflictError(f"{self.holder} leads no more; another control plane goes on")
        uow.hold(LEASE)


@dataclass(frozen=True)
class FencedRecords:
    """Records for a leader: what it writes after another one took over is refused.

    Implements `homeostat.engine.ports.Records`. That holds for what became of effects, too: one
    that a former leader has carried out stays pending, and its follower, which may have begun with
    it already, does it again under the same key.
    """

    records: Records
    leadership: Leadership

    @contextmanager
    def begin(self) -> Iterator[UnitOfWork]:
        """Open a unit of work of the leader; raises ConflictError if another one leads."""
        with self.records.begin() as uow:
            self.leadership.fence(uow)
            yield uow

    def pending(self, now: datetime) -> tuple[PendingEffect, ...]:
        """Return effects due at `now`, oldest first; raises ConflictError if another one leads."""
        with self.records.begin() as uow:
            self.leadership.fence(uow)
        return self.records.pending(now)

    def deliveries(
        self, limit: int, receiver: str = "", incident: str = ""
    ) -> tuple[Delivery, ...]:
        """Return the newest notices and what became of them, newest first."""
        return self.records.deliveries(limit, receiver, incident)

    def read(self, key: str, kind: type[S]) -> S | None:
        """Return a state without intent to change it."""
        return self.records.read(key, kind)

    def keys(self, prefix: str) -> tuple[str, ...]:
        """Return the state keys with the prefix, sorted."""
        return self.records.keys(prefix)

    def decisions(
        self, model: str = "", since: datetime | None = None, limit: int | None = None
    ) -> tuple[Decision, ...]:
        """Return decisions in the order written; with `limit`, the newest ones."""
        return self.records.decisions(model, since, limit)

    def verdicts(
        self, model: str, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Verdict, ...]:
        """Return verdicts whose window starts in the period, in the order written."""
        return self.records.verdicts(model, since, until)

    def metrics(
        self,
        model: str,
        name: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        segment: str | None = "",
        limit: int | None = None,
    ) -> tuple[MetricPoint, ...]:
        """Return metric points whose window starts in the period."""
        return self.records.metrics(model, name, since, until, segment, limit)

    def save_reference(
        self, model: str, version: str, profiles: Sequence[tuple[Window, Profile]]
    ) -> None:
        """Store the reference windows of a version, replacing earlier ones."""
        self.records.save_reference(model, version, profiles)

    def reference(self, model: str, version: str) -> tuple[tuple[Window, Profile], ...]:
        """Return the reference windows of a version, by time; empty if there are none."""
        return self.records.reference(model, version)
