"""What gateways answered, as expressions of PromQL over a time that an owner chose."""

from __future__ import annotations

from datetime import timedelta

from homeostat.detectors.service.detector import FAULTS
from homeostat.entrypoints.monitoring.limits import DURATION, bound
from homeostat.entrypoints.settings.values import format_duration
from homeostat.serving.plan import Reason

LEAST = timedelta(minutes=2)
"""A range holds eight scrapes at least; on Prometheus 3 one scrape less than on 2."""
CHOSEN = {
    "error_rate": f'reason=~"{"|".join(FAULTS)}"',
    "fallback_share": 'tier!="model"',
    "breaker_open": f'reason="{Reason.BREAKER_OPEN.value}"',
}
"""Which rows a share counts; its rows are those that no caller chose the version of."""


def expected(model: str) -> str:
    """Return a series of the model that is always there.

    Examples
    --------
    >>> expected("fraud")
    'label_replace(vector(1), "model", "fraud", "", "")'
    """
    return f'label_replace(vector(1), "model", "{model}", "", "")'


def rows_in(model: str, span: timedelta) -> str:
    """Return the rows that were answered in a time; nothing where there is no such series.

    Of a time shorter than `LEAST` it is so many as are usual in it.

    Examples
    --------
    >>> rows_in("m", timedelta(seconds=30))
    '0.25 * sum by (model) (increase(homeostat_predictions_total{model="m", role!="override"}[2m]))'
    """
    counted = f"sum by (model) (increase({_rows(model)}[{_range(span)}]))"
    return f"{span / LEAST:.10g} * {counted}" if span < LEAST else counted


def total_in(model: str, span: timedelta) -> str:
    """Return the rows that were answered in a time; 0 where there is no such series."""
    return f"({rows_in(model, span)} or on (model) 0 * {expected(model)})"


def covered(span: timedelta) -> str:
    """Return something if Prometheus scraped already when a time began, and nothing if it is new.

    Examples
    --------
    >>> covered(timedelta(minutes=15))
    'count(up offset 15m) > 0'
    """
    return f"count(up offset {_range(span)}) > 0"


def share_of(name: str, model: str, span: timedelta) -> str:
    """Return the share of rows that is bad; nothing where no row was answered.

    Parameters
    ----------
    name : str
        One of `CHOSEN`.
    model : str
    span : timedelta
        At least `LEAST` is taken.
    """
    within = _range(span)
    every = f"sum by (model) (rate({_rows(model)}[{within}]))"
    bad = f"sum by (model) (rate({_rows(model, CHOSEN[name])}[{within}]))"
    # The numerator is 0 before the first fault.
    return f"(({bad} or on (model) 0 * {every}) / ({every} > 0))"


def slow_share(model: str, span: timedelta, latency: timedelta) -> str:
    """Return the share of requests slower than the end of the bucket that holds a latency."""
    mine, within = f'model="{model}", tier="model"', _range(span)
    le = bound(latency)
    inside = f'sum by (model) (rate({DURATION}_bucket{{{mine}, le="{le}"}}[{within}]))'
    every = f"sum by (model) (rate({DURATION}_count{{{mine}}}[{within}]))"
    return f"(1 - {inside} / ({every} > 0))"


def _rows(model: str, chosen: str = "") -> str:
    more = f", {chosen}" if chosen else ""
    return f'homeostat_predictions_total{{model="{model}", role!="override"{more}}}'


def _range(span: timedelta) -> str:
    return format_duration(max(span, LEAST))
