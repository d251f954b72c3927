"""Small makers that the engine's tests share."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.watch import Watch, fresh
from simulation.world import DAY, MODEL, START

TODAY = Window(START, START + DAY)


def verdict(
    monitor: Monitor,
    subject: str = "",
    status: Status = Status.DRIFT,
    *,
    score: float = 1.0,
    details: tuple[tuple[str, float], ...] = (),
) -> Verdict:
    return Verdict(
        monitor=monitor,
        model=MODEL,
        subject=subject,
        window=TODAY,
        status=status,
        score=score,
        effect_threshold=0.1,
        evidence=1e6,
        evidence_threshold=100.0,
        p_value=math.nan,
        n_reference=1000,
        n_current=100,
        reason=f"{monitor} {status}",
        details=details,
    )


def watch(now: datetime = START) -> Watch:
    return fresh(MODEL, "1", now, ("matured",))


def hours(count: float) -> timedelta:
    return timedelta(hours=count)
