"""That a series has no figures any more, as a condition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from homeostat.alerting.conditions.signal import Facts, Series, Signal, kept
from homeostat.domain.point import Point


@dataclass(frozen=True, slots=True)
class MissingState:
    """Since when no figure has come; None: there was one in the newest tick."""

    since: datetime | None
    kind: Literal["missing"] = "missing"


@dataclass(frozen=True, slots=True)
class Missing:
    """That no figure came for a time: none at all, or none that is a number.

    Examples
    --------
    >>> from datetime import UTC
    >>> hour, start = timedelta(hours=1), datetime(2024, 1, 1, tzinfo=UTC)
    >>> silent = Missing(Series("error_rate", timedelta(minutes=5)), hour)
    >>> state, _ = silent.evaluate(None, [], Facts(start))
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
        self, state: object, points: Sequence[Point], facts: Facts, /
    ) -> tuple[MissingState, Signal | None]:
        """Note whether a figure came; see `SeriesCondition`."""
        before = kept(state, MissingState)
        if any(point.usable for point in points):
            # A series of moments has one in each tick: none of them is worth a change of state.
            since = None if self.series.gauge else facts.now
            now = MissingState(since)
        else:
            known = before.since if before else None
            now = before if before and known else MissingState(facts.now)
        silent = now.since is not None and facts.now - now.since >= self.after
        if not silent:
            return now, Signal(False, f"{self.series}: figures come again")
        reason = f"{self.series}: no figure since {now.since:%Y-%m-%dT%H:%M}"
        return now, Signal(True, reason, (str(self.series),))
