"""Takes back how far a model was judged when the clock turns out to have been ahead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from homeostat.alerting.episode import IncidentState
from homeostat.domain.decision import Decision
from homeostat.domain.window import floor
from homeostat.engine.cohort import MATURED, cohorts
from homeostat.engine.early import early_key
from homeostat.engine.estimates import estimates_key
from homeostat.engine.importance import ImportanceMemory, importance_key
from homeostat.engine.late import HOUR, LateMemory, late_key
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import UnitOfWork
from homeostat.engine.series import SeriesMemory, series_key
from homeostat.engine.signals import Remembered, RulesMemory
from homeostat.engine.watch import (
    DriftMemory,
    Pairing,
    Progress,
    Watch,
    drift_key,
    incident_key,
    rules_key,
)

AUTOMATIC = "homeostat"
S = TypeVar("S")
Back = Callable[[datetime, datetime], datetime]
"""Returns a cursor, or if it lies beyond a moment that moment."""


def rewind(
    plan: ModelPlan, uow: UnitOfWork, watch: Watch, now: datetime
) -> tuple[Watch, tuple[Decision, ...]]:
    """Return the watch with no cursor beyond now; every tick looks whether that is needed.

    The newest tick on record is later than now where the clock was ahead and was put right, or
    was set back. Cursors only go forward: left alone, nothing would be judged until time has
    caught up. They go back to where a tick at this time would have left them, and what is judged
    twice by that changes evidence a little, and no alarm: an incident that is open stays the same
    one. Evidence for a promotion begins anew. What else is dated later than now, such as since
    when an incident is clear, counts from now on.

    Parameters
    ----------
    plan : ModelPlan
    uow : UnitOfWork
        Gets the model's other states as they are from now on.
    watch : Watch
    now : datetime

    Returns
    -------
    Watch, tuple of Decision
        A decision if something was taken back.
    """
    newest = watch.service_until
    if newest <= now:
        return watch, ()
    since = min(watch.since, now)
    back = partial(_back, since)
    _states(plan, uow, back, now)
    told = f"the clock reads {now:%Y-%m-%d %H:%M:%S}, earlier than the newest look at the model, "
    told += f"of {newest:%Y-%m-%d %H:%M:%S}: judged from here on again"
    decision = Decision(watch.model, now, AUTOMATIC, "rewind", "clock", told)
    return _watch(plan, replace(watch, since=since), back, now), (decision,)


def _back(since: datetime, cursor: datetime, to: datetime) -> datetime:
    return cursor if cursor <= to else min(cursor, max(to, since))


def _watch(plan: ModelPlan, watch: Watch, back: Back, now: datetime) -> Watch:
    complete = {each.name: each.maturity for each in cohorts(plan.spec)}
    step, zero = plan.metric_window, timedelta(0)
    metrics = {
        name: back(until, floor(now - complete.get(name, zero), step))
        for name, until in watch.metrics_until
    }
    measured = metrics.get(MATURED, watch.since)
    degraded, restated = watch.degraded_until, watch.restated_until
    if degraded is not None and plan.degraded is not None:
        degraded = back(degraded, floor(now, plan.degraded.every))
    loss_until = back(watch.loss_until, now - cohorts(plan.spec)[0].maturity)
    if loss_until < watch.loss_until:
        # A promotion rests on it: no row may speak twice, and none that was not mature.
        watch = replace(watch, challenger=Pairing(), warm=Pairing())
    return replace(
        watch,
        inputs_until=back(watch.inputs_until, floor(now, plan.drift.every)),
        quality_until=back(watch.quality_until, floor(now, plan.quality.every)),
        volume_until=back(watch.volume_until, floor(now, plan.volume.every)),
        service_until=now,
        loss_until=loss_until,
        metrics_until=tuple(metrics.items()),
        matured=tuple(m for m in watch.matured if m.window.end <= measured),
        drop_since=None if watch.drop_since is None else min(watch.drop_since, now),
        restated_until=None if restated is None else back(restated, floor(now, step)),
        degraded_until=degraded,
        sound_until=tuple((name, min(end, now)) for name, end in watch.sound_until),
    )


def _states(plan: ModelPlan, uow: UnitOfWork, back: Back, now: datetime) -> None:
    name, step = plan.spec.name, plan.metric_window
    closed = floor(now, step)
    complete = now - plan.spec.labels.maturity

    def until(memory: Progress) -> Progress:
        return replace(memory, until=memory.until and back(memory.until, closed))

    def anchored(memory: DriftMemory) -> DriftMemory:
        last = floor(now, plan.drift.every)
        return replace(memory, anchor=memory.anchor and back(memory.anchor, last))

    def measured(memory: ImportanceMemory) -> ImportanceMemory:
        return replace(memory, until=memory.until and back(memory.until, complete))

    def valued(memory: SeriesMemory) -> SeriesMemory:
        last = floor(complete, step)
        series = tuple(
            (name, start and back(start, last - step), state, limit)
            for name, start, state, limit in memory.series
        )
        return SeriesMemory(memory.valued_until and back(memory.valued_until, last), series)

    def heard(memory: RulesMemory) -> RulesMemory:
        every = {rule.name: rule.series.every for rule in plan.rules if rule.series is not None}
        rules = (
            _remembered(each, complete - every.get(each.rule, step), now) for each in memory.rules
        )
        return replace(memory, rules=tuple(rules))

    _pull(uow, estimates_key(name), Progress, until)
    _pull(uow, early_key(name), Progress, until)
    _pull(uow, drift_key(name), DriftMemory, anchored)
    _pull(uow, importance_key(name), ImportanceMemory, measured)
    _pull(uow, series_key(name), SeriesMemory, valued)
    _pull(uow, late_key(name), LateMemory, partial(_counted, floor(now, HOUR)))
    _pull(uow, rules_key(name), RulesMemory, heard)
    for rule in plan.rules:
        _pull(uow, incident_key(name, rule.name), IncidentState, partial(_incident, now))


def _pull(uow: UnitOfWork, key: str, kind: type[S], change: Callable[[S], S]) -> None:
    before = uow.load(key, kind)
    if before is None:
        return
    after = change(before)
    if after != before:
        uow.save(key, after)


def _remembered(entry: Remembered, seen: datetime, now: datetime) -> Remembered:
    state = entry.state
    if state is not None and state.since is not None:
        state = replace(state, since=min(state.since, now))
    return replace(
        entry,
        state=state,
        seen=entry.seen and min(entry.seen, seen),
        came=entry.came and min(entry.came, now),
    )


def _counted(until: datetime, memory: LateMemory) -> LateMemory:
    """Forget the counts of hours that have not come yet."""
    if memory.until is None or memory.until <= until:
        return memory
    kept = max(0, len(memory.counts) - (memory.until - until) // HOUR)
    return replace(memory, until=until, counts=memory.counts[:kept])


def _incident(now: datetime, state: IncidentState) -> IncidentState:
    return replace(
        state,
        pending_since=state.pending_since and min(state.pending_since, now),
        clear_since=state.clear_since and min(state.clear_since, now),
        unknown_since=state.unknown_since and min(state.unknown_since, now),
        resolved_at=state.resolved_at and min(state.resolved_at, now),
        escalates_from=state.escalates_from and min(state.escalates_from, now),
    )
