"""All figures of the control plane: its own, and those of every model."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from homeostat import __version__
from homeostat.adapters.remote_write import RemoteWrite
from homeostat.domain.clock import Clock
from homeostat.domain.effect import Notify
from homeostat.engine.loop import state_keys
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Records, Registry
from homeostat.engine.watch import Watch, watch_key
from homeostat.entrypoints import current
from homeostat.entrypoints.exposition import Family, Sheet
from homeostat.entrypoints.monitoring.definitions import DEFINITIONS
from homeostat.entrypoints.monitoring.measured import Measured
from homeostat.entrypoints.monitoring.watched import Watched
from homeostat.entrypoints.worker import Pulse

PART = "server"
HORIZON = timedelta(days=3650)
"""Notifications that wait for longer than this do not count."""


@dataclass
class ControlFigures:
    """Reads figures from the records whenever it is asked.

    Of several control planes each answers for all models: whoever adds up takes the largest.

    Parameters
    ----------
    records : Records
    registry : Registry
    plans : mapping of model name to ModelPlan
    clock : Clock
    pulse : Pulse
        Of this process's worker.
    every : timedelta
        Between two ticks.
    undelivered : callable
        Returns the notifications that were given up, by receiver.
    writer : RemoteWrite, optional
        What sends these figures.
    """

    records: Records
    registry: Registry
    plans: Mapping[str, ModelPlan]
    clock: Clock
    pulse: Pulse
    every: timedelta
    undelivered: Callable[[], Mapping[str, int]] = dict
    writer: RemoteWrite | None = None
    _began: datetime = field(init=False)
    _measured: Measured = field(init=False)
    _watched: Watched = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock.now()
        self._measured = Measured(self.records, self.clock)
        self._watched = Watched(self.records, self.registry, self.clock)

    def families(self) -> tuple[Family, ...]:
        """Return all figures as they are now.

        Raises
        ------
        StorageError
            If the records cannot be read.
        """
        sheet = Sheet(DEFINITIONS)
        self._put_engine(sheet)
        self._put_notifications(sheet)
        if self.writer is not None:
            _put_writer(sheet, self.writer)
        for plan in self.plans.values():
            with self.records.begin() as uow:  # to read many states together; nothing is written
                uow.prepare(state_keys(plan))
                watch = uow.load(watch_key(plan.spec.name), Watch)
                rollout = self._watched.put(sheet, plan, uow, watch)
                if watch is not None:
                    self._measured.put(sheet, plan, uow, watch, rollout)
        return sheet.families()

    def _put_engine(self, sheet: Sheet) -> None:
        pulse, name = self.pulse, "homeostat_tick_duration_seconds"
        sheet.put("homeostat_build", __version__, platform.python_version(), PART, number=1)
        began = self._began.timestamp()
        sheet.put("homeostat_process_start_time_seconds", number=began)
        sheet.put("homeostat_leading", number=int(pulse.leads))
        leader = current.leader(self.records)
        if leader is not None and leader.heard is not None:
            heard = leader.heard.timestamp()
            sheet.put("homeostat_leader_beat_timestamp_seconds", number=heard)
        sheet.put("homeostat_tick_interval_seconds", number=self.every.total_seconds())
        sheet.put("homeostat_ticks", number=pulse.ticks)
        sheet.put("homeostat_failed_ticks", number=pulse.failed)
        sheet.put(name, number=pulse.seconds, ending="_sum")
        sheet.put(name, number=pulse.ticks, ending="_count")
        if pulse.succeeded is not None:
            succeeded = pulse.succeeded.timestamp()
            sheet.put("homeostat_tick_last_success_timestamp_seconds", number=succeeded)

    def _put_notifications(self, sheet: Sheet) -> None:
        waiting, failing = Counter[str](), Counter[str]()
        for pending in self.records.pending(self.clock.now() + HORIZON):
            if isinstance(pending.effect, Notify):
                waiting[pending.effect.receiver] += 1
                # One whose time was long ago is held, by a silence or quiet hours, and not refused.
                lately = pending.not_before > self.clock.now() - 2 * self.every
                failing[pending.effect.receiver] += pending.attempts > 0 and lately
        lost = self.undelivered()
        known = {name for plan in self.plans.values() for name in _receivers(plan)}
        for receiver in sorted({*known, *waiting, *lost}):
            sheet.put("homeostat_notifications_waiting", receiver, number=waiting[receiver])
            sheet.put("homeostat_notifications_failing", receiver, number=failing[receiver])
            number = lost.get(receiver, 0)
            sheet.put("homeostat_notifications_undelivered", receiver, number=number)


def _receivers(plan: ModelPlan) -> Iterator[str]:
    """Yield whom a model's rules, their routes and its escalation may tell."""
    for rule in plan.rules:
        yield from rule.receivers
        for route in rule.routes:
            yield from route.receivers
    for step in plan.escalation:
        yield from step.receivers


def _put_writer(sheet: Sheet, writer: RemoteWrite) -> None:
    for fate in ("sent", "refused", "dropped"):
        sheet.put("homeostat_remote_write_samples", fate, number=writer.counts[fate])
    sheet.put("homeostat_remote_write_retries", number=writer.counts["retries"])
    sheet.put("homeostat_remote_write_waiting", number=writer.waiting)
