"""Judges how many answers came from fallback tiers, whatever the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.detectors.series import limits
from homeostat.domain.columns import by_split, micros, texts
from homeostat.domain.limit import LimitState
from homeostat.domain.point import Point
from homeostat.domain.verdict import DEGRADED, Status, Verdict
from homeostat.domain.window import EPOCH, Window, closed_windows
from homeostat.engine.outcomes import Found
from homeostat.engine.plan import DegradedPolicy, ModelPlan
from homeostat.engine.ports import PredictionLog
from homeostat.engine.watch import Watch
from homeostat.serving.plan import Answerer, Reason

MODEL, OTHER = Answerer.MODEL.value, "other"
TIERS, REASONS = frozenset(Answerer), frozenset(Reason)
NAMED = 3  # kinds of answers that are told
COLUMNS = ("timestamp", "role", "tier", "reason")
MICROSECOND = timedelta(microseconds=1)


def judge_degraded(plan: ModelPlan, log: PredictionLog, watch: Watch, now: datetime) -> Found:
    """Hold each closed window's share of answers by other tiers to the owner's limit.

    Shadows answer nobody and do not count, nor do versions that callers name. The share is
    counted, not estimated, and the limit is the owner's: it spends nothing of the alarm budget.
    Windows of too few answers say nothing. Of one tick only the newest verdict is told, and those
    that begin or end an alarm.
    """
    policy = plan.degraded
    if policy is None:
        return Found(replace(watch, degraded=LimitState(), degraded_until=None))
    since = watch.degraded_until or watch.service_until
    windows = list(closed_windows(since, now, policy.every))
    if not windows:
        return Found(replace(watch, degraded_until=since))
    span = Window(windows[0].start, windows[-1].end)
    first, step = (span.start - EPOCH) // MICROSECOND, policy.every // MICROSECOND
    totals = np.zeros(len(windows), np.intp)
    others = [Counter[tuple[str, str]]() for _ in windows]
    for stretch in log.stretches(plan.spec, span):  # a window may have millions of rows
        rows = by_split(log.rows(plan.spec, stretch, COLUMNS))
        places = (micros(rows, "timestamp") - first) // step
        totals += np.bincount(places, minlength=len(windows))
        elsewhere = np.asarray(pc.not_equal(rows["tier"], pa.scalar(MODEL)), np.bool_)
        rows = rows.filter(pa.array(elsewhere))
        marks = zip(texts(rows, "tier"), texts(rows, "reason"), strict=True)
        for place, (tier, reason) in zip(places[elsewhere].tolist(), marks, strict=True):
            others[place][_known(tier, TIERS), _known(reason, REASONS)] += 1
    state, told = watch.degraded, list[Verdict]()
    newest: Verdict | None = None
    for window, total, kinds in zip(windows, totals.tolist(), others, strict=True):
        was = state.firing
        state, verdict = _judge(policy, state, plan.spec.name, window, total, kinds)
        if verdict.status not in {Status.OK, Status.DRIFT}:
            continue
        newest = verdict
        if state.firing != was:
            told.append(verdict)
    if newest is not None and newest not in told:
        told.append(newest)
    watch = replace(watch, degraded=state, degraded_until=span.end)
    return Found(watch, tuple(told))


def _judge(
    policy: DegradedPolicy,
    state: LimitState,
    model: str,
    window: Window,
    total: int,
    others: Counter[tuple[str, str]],
) -> tuple[LimitState, Verdict]:
    """Judge one window from its answers, and of those by other tiers the tiers and reasons."""
    count = others.total()
    share = count / total if total else 0.0
    state, verdict = limits.evaluate(
        policy.limit, state, model, DEGRADED, Point(window, share, rows=total)
    )
    kinds = others.most_common(NAMED)
    listed = ", ".join(f"{n} {tier}{f' for {why}' if why else ''}" for (tier, why), n in kinds)
    more = f" and {len(others) - NAMED} more kinds" if len(others) > NAMED else ""
    reason = f"{count} of {total} answers came from fallback tiers"
    reason += f" ({listed}{more})" if listed else ""
    tiers = Counter(tier for tier, _ in others.elements())
    details = tuple((tier, float(n)) for tier, n in sorted(tiers.items()))
    return state, replace(
        verdict,
        reason=f"{reason}; the limit is {policy.limit.above:g}",
        details=(*verdict.details, *details),
    )


def _known(text: str, known: Collection[str]) -> str:
    """Return what callers wrote into the log only if it is one of our words."""
    return text if text in known else OTHER
