"""Faults that PromQL of others has, and how to see them in a query or a rule.

Each was run against promtool in reference tests: it fires when it should not, or never does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

SCRAPE = 15.0
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
COUNTED = ("_total", "_sum", "_count", "_bucket")
RATIO = re.compile(r"homeostat:(?:errors|fallback|accuracy)[a-z_:0-9]* *(?:>|<|>=|<=)")

Rule = Mapping[str, object]


@dataclass(frozen=True)
class Fault:
    """A fault, how it is told, and an example that has it."""

    told: Callable[[str], bool]
    example: str


def flat(expr: str) -> str:
    return " ".join(expr.split())


def _rated(expr: str) -> list[tuple[str, str]]:
    """Return the selectors inside rate() and increase(), with their ranges."""
    return re.findall(r"\b(?:rate|increase)\(\s*([\w:]+)(?:\{[^}]*\})?\[([^\]]+)\]", expr)


def _bare_quantile(expr: str) -> bool:
    asked = expr.count("histogram_quantile(")
    sound = re.findall(
        r"histogram_quantile\( ?[\d.]+, sum by \([^)]*\ble\b[^)]*\) \( ?rate\(", expr
    )
    return asked != len(sound)


def _short_range(expr: str) -> bool:
    spans = [span for _, span in _rated(expr) if span != "$__rate_interval"]
    return any(int(span[:-1]) * SECONDS[span[-1]] < 4 * SCRAPE for span in spans)


def _half_absence(expr: str) -> bool:
    asked = re.search(r"\bup\{[^}]*\}\)? == 0", expr) is not None
    return asked and " or absent(up{" not in expr


def _lost_numerator(expr: str) -> bool:
    """Whether a share has a numerator that is not there before the first fault."""
    chosen = re.search(r'(?:reason=~|tier!=)"[^"]*"', expr) is not None
    return chosen and "/" in expr and " or 0 * " not in expr


def _lost_labels(expr: str) -> bool:
    """Whether two metrics are compared without saying on what."""
    return re.search(r"[\w:})] (?:>|<|>=|<=) (?!on |bool )homeostat:", expr) is not None


def _means_of_shares(expr: str) -> bool:
    return re.search(r"\bavg(?:_over_time)?(?: by \([^)]*\))? ?\(", expr) is not None


def _few(expr: str) -> bool:
    """Whether a share alarms whatever it rests on."""
    return RATIO.search(expr) is not None and re.search(r">= (?:\d+|on .*limit_rows)", expr) is None


def _nan(expr: str) -> bool:
    low = re.search(r"(homeostat:\w+) < ", expr)
    return low is not None and f"{low[1]} != {low[1]}" not in expr


def _uncapped(expr: str) -> bool:
    return re.search(r"\b\d+(?:\.\d+)? \* homeostat:limit_\w+_ratio", expr) is not None and (
        "clamp_max(" not in expr
    )


def _gaps(expr: str) -> bool:
    """Whether a figure of the control plane is asked for at one moment only."""
    figures = re.findall(r"(\S*)\bhomeostat_(?:metric|drift|verdicts|data|champion)\w*", expr)
    return any("last_over_time(" not in before for before in figures)


QUERIES: dict[str, Fault] = {
    "a quantile needs the rate of buckets, summed by le": Fault(
        _bare_quantile, "histogram_quantile(0.95, homeostat_request_duration_seconds_bucket)"
    ),
    "a histogram has no series of its base name": Fault(
        lambda expr: re.search(r"_duration_seconds(?!_|\w)", expr) is not None,
        "homeostat_request_duration_seconds > 0.5",
    ),
    "only counters have rates": Fault(
        lambda expr: any(not name.endswith(COUNTED) for name, _ in _rated(expr)),
        "rate(homeostat_drifted_features[5m]) > 0",
    ),
    "a range holds four scrapes": Fault(_short_range, "rate(homeostat_predictions_total[30s])"),
    "absent() of a comparison fires while all is well": Fault(
        lambda expr: re.search(r"absent\([^()]*(?:\{[^}]*\})? ?(?:==|<|>)", expr) is not None,
        'absent(up{job="m"} == 1)',
    ),
    "a target that is gone is not up == 0": Fault(_half_absence, 'up{job="m"} == 0'),
    "increase() misses the first event of a new series": Fault(
        lambda expr: re.search(r"increase\([^()]*\) > 0", expr) is not None,
        "increase(homeostat_incident_episodes_total[5m]) > 0",
    ),
    "errors are 0 before the first one": Fault(
        _lost_numerator,
        'sum(rate(homeostat_predictions_total{reason=~"error"}[5m]))'
        " / sum(rate(homeostat_predictions_total[5m]))",
    ),
    "a mean of shares is not the share": Fault(
        _means_of_shares, "avg by (model) (homeostat:errors:ratio_rate5m)"
    ),
}
"""Of any query."""

ALERTS: dict[str, Fault] = {
    "a quantile ends at the last bucket, and is NaN where nobody asks": Fault(
        lambda expr: re.search(r"histogram_quantile\(|:p\d+_", expr) is not None,
        "homeostat:request_duration_seconds:p99_rate5m > 10",
    ),
    "a rate is no share": Fault(
        lambda expr: "rate(" in expr, 'rate(homeostat_predictions_total{reason="error"}[5m]) > 0.05'
    ),
    "metrics are matched on labels that are named": Fault(
        _lost_labels, "homeostat:errors:ratio_rate5m > homeostat:limit_error_ratio"
    ),
    "a share needs rows behind it": Fault(
        _few, "homeostat:accuracy < on (model) homeostat:limit_accuracy"
    ),
    "NaN is below nothing": Fault(
        _nan, "homeostat:accuracy < on (model) homeostat:limit_accuracy and 1 >= 100"
    ),
    "a burn rate above 1 over the budget cannot be": Fault(
        _uncapped, "homeostat:errors:ratio_rate5m >= on (model) 14.4 * homeostat:limit_error_ratio"
    ),
    "a gauge with gaps never lasts": Fault(_gaps, "homeostat_drifted_features > 3"),
}
"""Of the query of an alert."""


def labelled_by_value(rule: Rule) -> bool:
    """Whether labels hold the value: then each evaluation is another alert, and none lasts."""
    return "$value" in str(rule.get("labels", {}))
