"""Carries out recorded effects: at least once, in order, with back-off, never silently dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa

from homeostat.alerting.delivery import Manners
from homeostat.domain.effect import (
    CancelTraining,
    Effect,
    Notify,
    NotifyAction,
    StartTraining,
)
from homeostat.domain.errors import DeliveryError, HomeostatError, NotFoundError
from homeostat.domain.model import ModelSpec
from homeostat.domain.window import EPOCH
from homeostat.engine.outbox import Outbox, stands_for
from homeostat.engine.ports import (
    Notifier,
    PendingEffect,
    Records,
    Renewing,
    Settled,
    Trainer,
)
from homeostat.engine.unreached import give_up

FIRST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(minutes=10)
LONGEST_REST = timedelta(hours=1)
"""A receiver may ask to be left alone; for longer it is not believed."""
MOST_ATTEMPTS = 50
MOST_AT_ONCE = 200
"""Notices to one receiver in one call: a flood must not keep the engine from looking for long."""
LONGEST_LIFE = timedelta(days=365)  # far longer than any effect is tried
MOMENT = timedelta(microseconds=1)
TRAINING = (StartTraining, CancelTraining)
ALL = (Notify, *TRAINING)


def _lane(effect: Effect) -> str:
    if isinstance(effect, Notify):
        return f"{effect.receiver}:{effect.incident}"
    return effect.run_id


def _asked(
    effect: Effect, kinds: tuple[type[Effect], ...], incidents: frozenset[str] | None
) -> bool:
    if not isinstance(effect, kinds):
        return False
    return incidents is None or not isinstance(effect, Notify) or effect.incident in incidents


BeforeTraining = Callable[[ModelSpec, StartTraining, pa.Table, Trainer], None]


def backoff(attempts: int) -> timedelta:
    """Return how long to wait after the given number of failed attempts.

    Examples
    --------
    >>> [int(backoff(n).total_seconds()) for n in (1, 2, 3, 20)]
    [5, 10, 20, 600]
    """
    doublings: int = 1 << min(max(attempts - 1, 0), 16)
    return min(FIRST_WAIT * doublings, LONGEST_WAIT)


@dataclass(frozen=True)
class Dispatcher:
    """Does the effects that units of work have recorded.

    Parameters
    ----------
    records : Records
    notifiers : mapping of receiver name to Notifier
    trainers : mapping of model name to Trainer
    specs : mapping of model name to ModelSpec
    training_rows : callable
        Returns the rows of a training request, as they are known at its ``as_of``.
    manners : mapping of receiver name to Manners
    before_training : callable, optional
        Is told the rows of a training that is about to begin, and its trainer.
    """

    records: Records
    notifiers: Mapping[str, Notifier]
    trainers: Mapping[str, Trainer]
    specs: Mapping[str, ModelSpec]
    training_rows: Callable[[ModelSpec, StartTraining], pa.Table]
    manners: Mapping[str, Manners] = field(default_factory=dict)
    before_training: BeforeTraining | None = None
    _outbox: Outbox = field(init=False)
    _resting: dict[str, tuple[datetime, datetime]] = field(default_factory=dict, init=False)
    _tried: dict[int, datetime] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_outbox", Outbox(self.records, self.manners))

    def run(
        self,
        now: datetime,
        kinds: tuple[type[Effect], ...] = ALL,
        incidents: frozenset[str] | None = None,
    ) -> int:
        """Try every effect that is due; return how many were done.

        Effects about one incident and receiver, or one training run, keep their order: none is
        tried while an older one waits, or a resolve could arrive before its trigger. A receiver
        that failed is left alone for the rest of this call, and for as long as it asked for: one
        that hangs costs its time once. Where the clock was put back a wait is over: none takes
        longer than it was meant to.

        Parameters
        ----------
        now : datetime
        kinds : tuple of type
            Only these; the others wait for another call.
        incidents : frozenset of str, optional
            Of notices only those about these.

        Raises
        ------
        ConflictError
            If another control plane leads, or settled one of them, meanwhile.
        """
        waiting: set[str] = set()
        sent = Counter[str]()
        done = 0
        held = frozenset[int]()
        if Notify in kinds:
            held = self._outbox.sort(self.records.pending(now + LONGEST_LIFE), now)
        for pending in self.records.pending(now + LONGEST_LIFE):
            lane = _lane(pending.effect)
            if lane in waiting or not _asked(pending.effect, kinds, incidents):
                continue
            receiver = pending.effect.receiver if isinstance(pending.effect, Notify) else ""
            room = sent[receiver] < MOST_AT_ONCE and not self._rests(receiver, now)
            if room and self._due(pending, now) and pending.number not in held:
                sent[receiver] += bool(receiver)
                if self._attempt(pending, now):
                    done += 1
                    continue
            waiting.add(lane)
        return done

    def renew(self, firing: Sequence[Notify], now: datetime) -> tuple[str, ...]:
        """Tell receivers that forget by themselves what still fires; return what failed.

        Parameters
        ----------
        firing : sequence of Notify
            The triggers of open incidents. One of which something waits still is left out.
        now : datetime

        Raises
        ------
        ConflictError
            If another control plane leads.
        """
        due: dict[str, list[Notify]] = {}
        for notice in firing:
            if isinstance(self.notifiers.get(notice.receiver), Renewing):
                due.setdefault(notice.receiver, []).append(notice)
        waiting = {_lane(p.effect) for p in self.records.pending(now + LONGEST_LIFE)} if due else ()
        problems = []
        for receiver, notices in due.items():
            told = [notice for notice in notices if _lane(notice) not in waiting]
            notifier = self.notifiers[receiver]
            if told and isinstance(notifier, Renewing):
                try:
                    notifier.renew(told, now)
                except DeliveryError as error:
                    problems.append(f"{receiver}: alerts not renewed: {error}")
        return tuple(problems)

    def _rests(self, receiver: str, now: datetime) -> bool:
        since, until = self._resting.get(receiver, (now, EPOCH))
        return since <= now <= until

    def _due(self, pending: PendingEffect, now: datetime) -> bool:
        """Whether its time has come; what another process postponed waits for an hour at most."""
        wait = pending.not_before - now
        moved = now < self._tried.get(pending.number, EPOCH) or wait > LONGEST_REST
        return wait <= timedelta(0) or moved

    def _attempt(self, pending: PendingEffect, now: datetime) -> bool:
        try:
            said = self._do(pending.effect)
        except HomeostatError as error:
            return self._failed(pending, error, now)
        except Exception as error:  # noqa: BLE001 - one effect's fault must not stop the others
            fault = HomeostatError(f"a fault in Homeostat: {type(error).__name__}: {error}")
            return self._failed(pending, fault, now)
        self._settle(Settled(pending.number, "done", now, said or ""), now)
        if isinstance(pending.effect, Notify):
            self._outbox.sent(pending.effect, now)
        return True

    def _failed(self, pending: PendingEffect, error: HomeostatError, now: datetime) -> bool:
        """Postpone or give up; never done."""
        final = isinstance(error, DeliveryError) and not error.retry
        if final or isinstance(error, NotFoundError) or pending.attempts + 1 >= MOST_ATTEMPTS:
            self._bury(pending, str(error), now)
        else:
            wait = backoff(pending.attempts + 1)
            if isinstance(error, DeliveryError) and isinstance(pending.effect, Notify):
                asked = error.after
                wait = wait if asked is None else min(max(asked, FIRST_WAIT), LONGEST_REST)
                rests = now if asked is None else now + wait - MOMENT
                self._resting[pending.effect.receiver] = (now, rests)
            self._settle(Settled(pending.number, "pending", now + wait, str(error)), now)
        return False

    def _bury(self, pending: PendingEffect, said: str, now: datetime) -> None:
        effect = pending.effect
        with self.records.begin() as uow:
            uow.settle(Settled(pending.number, "dead", now, said))
            if isinstance(effect, Notify) and effect.action is NotifyAction.TRIGGER:
                give_up(uow, effect.receiver, stands_for(self.records, effect))
        self._tried.pop(pending.number, None)

    def _settle(self, settled: Settled, now: datetime) -> None:
        with self.records.begin() as uow:
            uow.settle(settled)
        if settled.status == "pending":
            self._tried[settled.number] = now
        else:
            self._tried.pop(settled.number, None)

    def _do(self, effect: Effect) -> str | None:
        match effect:
            case Notify():
                return self._notifier(effect.receiver).send(effect)
            case StartTraining():
                trainer, spec = self._trainer(effect.model), self.specs.get(effect.model)
                if spec is None:
                    raise NotFoundError(f"model {effect.model!r} is not configured any more")
                rows = self.training_rows(spec, effect)
                if self.before_training is not None:
                    self.before_training(spec, effect, rows, trainer)
                trainer.start(effect, spec, rows)
            case _:
                self._trainer(effect.model).cancel(effect.model, effect.run_id)
        return None

    def _notifier(self, receiver: str) -> Notifier:
        if receiver not in self.notifiers:
            raise NotFoundError(f"no receiver named {receiver!r} is configured")
        return self.notifiers[receiver]

    def _trainer(self, model: str) -> Trainer:
        if model not in self.trainers:
            raise NotFoundError(f"model {model!r} has no trainer configured")
        return self.trainers[model]
