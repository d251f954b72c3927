"""How good a model is thought to be while its labels are not known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from homeostat.domain.errors import NotFoundError
from homeostat.domain.model import Task
from homeostat.domain.notebook import fragment
from homeostat.domain.text import lines, printable

NAN = float("nan")

_SHOWN = 20


class Standing(StrEnum):
    """Whether there is an estimate."""

    ESTIMATED = "estimated"
    NOT_IDENTIFIABLE = "not identifiable"


@dataclass(frozen=True, slots=True)
class MetricEstimate:
    """One metric of one window.

    Attributes
    ----------
    metric : str
    standing : Standing
    value, lower, upper : float
        The estimate and the interval in which the realized metric will lie with 95 % chance if
        labels go on to follow from inputs as they did; NaN if not identifiable.
    n : int
        Rows that it is about.
    reason : str
        Why it is not identifiable; else empty.
    cross_checks : mapping of str to float
        What other methods say: ``reference`` (nothing has changed), ``score_only`` (calibrated
        scores, whatever the other columns say), and of accuracy ``thresholded_confidence`` and
        ``confidence_difference``. ``label_shift`` is
        what it is if only classes have become more or less frequent, where rows fit that too: the
        interval reaches there. They are shown even where nothing is identifiable, with what
        would have been estimated as ``withheld``.
    """

    metric: str
    standing: Standing
    value: float
    lower: float
    upper: float
    n: int
    reason: str = ""
    cross_checks: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.standing is Standing.NOT_IDENTIFIABLE:
            return f"{self.metric}: {self.standing.value}, {self.reason}"
        return f"{self.metric}: {self.value:.4g} [{self.lower:.4g}, {self.upper:.4g}], n {self.n:,}"


@dataclass(frozen=True, slots=True)
class WindowEstimate:
    """The metrics of one window of the current rows.

    Attributes
    ----------
    first, last : int
        Its rows, in order of time: from `first` to before `last`.
    begin, end : datetime or None
        Earliest and latest time in it, if the rows have times.
    n : int
        Rows that can be used: those with a score or prediction.
    estimates : tuple of MetricEstimate
    outside : float
        Share of rows with a value or category that the reference has not.
    unsupported : float
        Share of rows where the reference is less than a tenth as dense; NaN if not told, as where
        the reference itself is not stable.
    partial : bool
        Whether rows begin or end within it, so that it is about a part of its time or rows only.
    """

    first: int
    last: int
    begin: datetime | None
    end: datetime | None
    n: int
    estimates: tuple[MetricEstimate, ...]
    outside: float
    unsupported: float
    partial: bool = False

    def __getitem__(self, metric: str) -> MetricEstimate:
        for estimate in self.estimates:
            if estimate.metric == metric:
                return estimate
        names = ", ".join(estimate.metric for estimate in self.estimates)
        raise NotFoundError(f"no estimate of {metric!r}; there are {names}")

    def __str__(self) -> str:
        times = (
            "" if self.begin is None else f", {self.begin:%Y-%m-%d %H:%M} to {self.end:%F %H:%M}"
        )
        return lines(
            [f"rows {self.first + 1:,} to {self.last:,}{times}", *map(str, self.estimates)]
        )


@dataclass(frozen=True, slots=True)
class Estimation:
    """Estimates of each window, and what they rest on.

    Attributes
    ----------
    task : Task
    windows : tuple of WindowEstimate
        In order of time.
    reference : mapping of str to float
        Realized metrics of the reference.
    method : str
        How the estimates were made, in a sentence.
    drift : mapping of str to float
        Standard error of the estimates on stretches of the reference that they were not learnt on,
        beyond what sampling explains. It is part of every interval.
    problems : tuple of str
        What was wrong with rows or columns and what was done about it, a sentence each.
    """

    task: Task
    windows: tuple[WindowEstimate, ...]
    reference: Mapping[str, float]
    method: str
    drift: Mapping[str, float]
    problems: tuple[str, ...] = ()

    @property
    def identifiable(self) -> bool:
        """Whether every estimate is a number."""
        return all(
            estimate.standing is Standing.ESTIMATED
            for window in self.windows
            for estimate in window.estimates
        )

    def __str__(self) -> str:
        shown = [str(window) for window in self.windows[:_SHOWN]]
        hidden = len(self.windows) - len(shown)
        more = [f"... and {hidden:,} more windows"] if hidden else []
        return "\n".join([printable(self.method), *shown, *more, lines(self.problems)]).rstrip()

    def _repr_html_(self) -> str:
        cells = [
            (_place(window), each.metric, *_shown(each), f"{each.n:,}")
            for window in self.windows
            for each in window.estimates
        ]
        titles = ("window", "metric", "estimate", "95 % interval", "n")
        return fragment(self.method, titles, cells, len(cells), self.problems)

    def to_dict(self) -> dict[str, object]:
        """Return plain values, as JSON has them; None for NaN."""
        return {
            "task": self.task.value,
            "method": self.method,
            "reference": {name: _plain(value) for name, value in self.reference.items()},
            "drift": {name: _plain(value) for name, value in self.drift.items()},
            "problems": list(self.problems),
            "windows": [_window(window) for window in self.windows],
        }


def _place(window: WindowEstimate) -> str:
    if window.begin is None:
        return f"rows {window.first + 1:,} to {window.last:,}"
    return f"{window.begin:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M}"


def _shown(estimate: MetricEstimate) -> tuple[str, str]:
    if estimate.standing is Standing.NOT_IDENTIFIABLE:
        return "—", f"{estimate.standing}: {estimate.reason}"
    return f"{estimate.value:.4g}", f"{estimate.lower:.4g} to {estimate.upper:.4g}"


def _window(window: WindowEstimate) -> dict[str, object]:
    return {
        "first": window.first,
        "last": window.last,
        "begin": window.begin.isoformat() if window.begin else None,
        "end": window.end.isoformat() if window.end else None,
        "n": window.n,
        "partial": window.partial,
        "outside": _plain(window.outside),
        "unsupported": _plain(window.unsupported),
        "estimates": [
            {
                "metric": each.metric,
                "standing": each.standing.value,
                "value": _plain(each.value),
                "lower": _plain(each.lower),
                "upper": _plain(each.upper),
                "n": each.n,
                "reason": each.reason,
                "cross_checks": {name: _plain(said) for name, said in each.cross_checks.items()},
            }
            for each in window.estimates
        ],
    }


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
