"""Whether a figure is beyond limits that its owner set."""

from __future__ import annotations

import math
from dataclasses import dataclass

from homeostat.domain.limit import Limit, LimitState
from homeostat.domain.point import Point
from homeostat.domain.verdict import Monitor, Status, Verdict


@dataclass(frozen=True, slots=True)
class LimitConfig(Limit):
    """Limits of a figure that a monitor judges."""

    monitor: Monitor = Monitor.METRIC


def evaluate(
    config: LimitConfig, state: LimitState, model: str, subject: str, point: Point
) -> tuple[LimitState, Verdict]:
    """Judge one window; call it once a window, in order of time.

    The owner's limit costs nothing of the alarm budget: how often it is crossed by chance is the
    owner's choice.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> from homeostat.domain.window import Window
    >>> start = datetime(2024, 1, 1, tzinfo=UTC)
    >>> point = Point(Window(start, start + timedelta(days=1)), 0.71, rows=500)
    >>> _, verdict = evaluate(LimitConfig(below=0.75), LimitState(), "fraud", "auc", point)
    >>> verdict.status.value, verdict.reason
    ('drift', 'auc is 0.71, below the limit of 0.75')
    """
    unjudged = point.unjudged(config.min_rows)
    if unjudged is not None:
        status, problem = unjudged
        return state, _verdict(config, model, subject, point, status, f"{subject}: {problem}")
    side = config.side(point)
    against = state.against + 1 if bool(side) != state.firing else 0
    state = state.after(beyond=bool(side), windows=config.windows)
    status = Status.DRIFT if state.firing else Status.OK
    reason = f"{subject} {config.told(side, point)}"
    beyond = 0 if not side else against or config.windows
    return state, _verdict(config, model, subject, point, status, reason, beyond)


def _verdict(
    config: LimitConfig,
    model: str,
    subject: str,
    point: Point,
    status: Status,
    reason: str,
    beyond: int = 0,
) -> Verdict:
    limits = [limit for limit in (config.below, config.above) if limit is not None]
    nearest = min(limits, key=lambda limit: abs(limit - point.value))
    return Verdict(
        monitor=config.monitor,
        model=model,
        subject=subject,
        window=point.window,
        status=status,
        score=point.value,
        effect_threshold=nearest,
        evidence=float(beyond),
        evidence_threshold=float(config.windows),
        p_value=math.nan,
        n_reference=0,
        n_current=point.rows,
        reason=reason,
        details=tuple(
            (name, limit)
            for name, limit in (("below", config.below), ("above", config.above))
            if limit is not None
        ),
    )
