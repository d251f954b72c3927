"""That a series has no figures any more, as a condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from homeostat.alerting.conditions.signal import ZERO, Facts, Series, Signal, State
from homeostat.domain.point import Point


@dataclass(frozen=True, slots=True)
class Missing:
    """That no figure came for a time: none at all, or none that is a number.

    One look at it is not enough. Where nobody looked for long, because the engine stood still or
    its clock jumped, at most half of the time counts: of what came next nothing is known yet.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> hour, start = timedelta(hours=1), datetime(2024, 1, 1, tzinfo=UTC)
    >>> silent = Missing(Series("error_rate", timedelta(minutes=5)), hour)
    >>> state, _ = silent.evaluate(State(), [], Facts(start))
    >>> silent.evaluate(state, [], Facts(start + hour))[1].reason
    'error_rate: no figure since 2024-01-01T00:00'
    """

    series: Series
    after: timedelta

    @property
    def reach(self) -> timedelta:
        """The time that it waits."""
        return self.after

    def evaluate(
        self, state: State, points: Sequence[Point], facts: Facts, /
    ) -> tuple[State, Signal | None]:
        """Note whether a figure came; see `SeriesCondition`."""
        if any(point.usable for point in points):
            # A series of moments has one in each tick: none of them is worth a change of state.
            since = None if self.series.gauge else facts.now
        else:
            unseen = max(facts.gap - self.after / 2, ZERO)
            since = min((state.since or facts.now) + unseen, facts.now)
        state = state if since == state.since else replace(state, since=since)
        if since is None or facts.now - since < self.after:
            return state, Signal(False, f"{self.series}: figures come again")
        reason = f"{self.series}: no figure since {since:%Y-%m-%dT%H:%M}"
        return state, Signal(True, reason, (str(self.series),))
