"""Ends what a monitor said last when its owner takes it away: nobody would take it back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from homeostat.domain.decision import Decision
from homeostat.domain.verdict import DEGRADED, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.outcomes import Found
from homeostat.engine.plan import ModelPlan
from homeostat.engine.watch import Watch

AUTOMATIC = "homeostat"
REASON = "no longer judged: its monitor was removed, renamed or switched off"


def retire(plan: ModelPlan, watch: Watch, now: datetime) -> Found:
    """Return an ok verdict, and a decision, for each newest verdict that the plan no longer judges.

    What is ok already stays as it is.
    """
    gone = [v for v in watch.latest if v.status is not Status.OK and not _judged(plan, v)]
    return Found(
        watch,
        tuple(_ended(verdict, now) for verdict in gone),
        decisions=tuple(
            Decision(
                watch.model, now, AUTOMATIC, "retire", v.subject,
                f"{v.monitor} of {v.subject!r}, {v.status} at last, is {REASON}",
            )
            for v in gone
        ),
    )  # fmt: skip


def _judged(plan: ModelPlan, verdict: Verdict) -> bool:
    if verdict.monitor is Monitor.CALIBRATION:
        return plan.calibration is not None
    if verdict.monitor in {Monitor.VALUE, Monitor.METRIC}:
        known = {(t.config.monitor, t.name) for t in plan.thresholds}
        return (verdict.monitor, verdict.subject) in known
    if (verdict.monitor, verdict.subject) == (Monitor.SERVICE, DEGRADED):
        return plan.degraded is not None
    return True


def _ended(verdict: Verdict, now: datetime) -> Verdict:
    end = verdict.window.end
    window = Window(end, max(now, end + timedelta(microseconds=1)))
    return replace(
        verdict, status=Status.OK, window=window, reason=f"{verdict.subject} is {REASON}"
    )
