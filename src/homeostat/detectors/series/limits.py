"""Whether a figure is beyond limits that its owner set."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from homeostat.detectors.series.point import Point
from homeostat.domain.verdict import Monitor, Status, Verdict


@dataclass(frozen=True, slots=True)
class LimitConfig:
    """Limits of a figure, and how long it may be beyond them.

    Attributes
    ----------
    above, below : float or None
        The figure must not lie above, or below.
    windows : int
        Windows in a row beyond a limit that make an alarm, and within that end it.
    min_rows : int
        Windows with fewer rows are not judged.
    sure : bool
        Only count a window whose 95 % interval is beyond the limit.
    monitor : Monitor

    Raises
    ------
    ValueError
        If there is no limit, they exclude each other, or there are no windows.
    """

    above: float | None = None
    below: float | None = None
    windows: int = 1
    min_rows: int = 0
    sure: bool = False
    monitor: Monitor = Monitor.METRIC

    def __post_init__(self) -> None:
        if self.above is None and self.below is None:
            raise ValueError("a static threshold needs a limit: above, below or both")
        if self.above is not None and self.below is not None and self.above < self.below:
            raise ValueError(f"nothing lies between below {self.below:g} and above {self.above:g}")
        if self.windows < 1:
            raise ValueError(f"an alarm needs at least one window, not {self.windows}")


@dataclass(frozen=True, slots=True)
class LimitState:
    """Windows in a row that say the opposite of ``firing``."""

    firing: bool = False
    against: int = 0


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
    margin = 1.96 * point.error if config.sure else 0.0
    low = config.below is not None and point.value + margin < config.below
    high = config.above is not None and point.value - margin > config.above
    against = state.against + 1 if (low or high) != state.firing else 0
    turned = against >= config.windows
    state = LimitState(not state.firing) if turned else replace(state, against=against)
    status = Status.DRIFT if state.firing else Status.OK
    reason = _reason(config, subject, point, low=low, high=high)
    beyond = 0 if not (low or high) else against or config.windows
    return state, _verdict(config, model, subject, point, status, reason, beyond)


def _reason(config: LimitConfig, subject: str, point: Point, *, low: bool, high: bool) -> str:
    if low:
        return f"{subject} is {point.value:.4g}, below the limit of {config.below:.4g}"
    if high:
        return f"{subject} is {point.value:.4g}, above the limit of {config.above:.4g}"
    return f"{subject} is {point.value:.4g}, within its limits"


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
