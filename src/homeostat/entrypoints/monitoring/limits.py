"""Limits of alert rules, one series a model, from what the owner configured.

Alert rules compare figures with these series (``homeostat:limit_...``), so that the rules are the
same for every model and every deployment.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from homeostat.domain.model import Task
from homeostat.engine.cohort import cohorts
from homeostat.entrypoints.gateway.metrics import BOUNDS
from homeostat.entrypoints.settings.deployment import Settings
from homeostat.entrypoints.settings.model import Model

DURATION = "homeostat_request_duration_seconds"
ACCURACY = "accuracy"
LEAST_ACCURACY, MOST_DROP, MOST_ERRORS = 0.8, 0.05, 0.01
MOST_DRIFTED = 3
LEAST_ROWS = 100
AGE, SPARE = timedelta(days=30), timedelta(days=7)
WINDOWS_LATE = 3
RANGES = ("5m", "1h")

Rule = dict[str, object]


def limits(settings: Settings, *, gateway: bool = True) -> dict[str, object]:
    """Return the rule file of limits, as YAML has it."""
    groups: list[Rule] = []
    for model in settings.models:
        rules = [*(_served(model) if gateway else ()), *_judged(model)]
        name = f"homeostat-limits-{model.name}"
        groups.append({"name": name, "interval": "30s", "rules": rules})
    return {"groups": groups}


def _served(model: Model) -> Iterator[Rule]:
    service = model.monitors.service
    yield _limit(model, "expected", 1)
    yield _limit(model, "limit_error_ratio", MOST_ERRORS)
    yield _limit(model, "limit_fallback_ratio", service.max_fallback)
    yield from _slow(model, bound(service.max_latency))


def _judged(model: Model) -> Iterator[Rule]:
    if model.task is not Task.REGRESSION:
        least = least_accuracy(model)
        if least is None:
            yield _limit(model, "limit_accuracy", LEAST_ACCURACY, given="default")
        else:
            yield _limit(model, "limit_accuracy", least, given="configured")
        yield _limit(model, "limit_accuracy_drop", MOST_DROP)
        rows = max(LEAST_ROWS, model.monitors.performance.min_rows)
        yield _limit(model, "limit_rows", rows)
    yield _limit(model, "limit_drifted_features", MOST_DRIFTED)
    yield _limit(model, "limit_version_age_seconds", oldest(model).total_seconds())
    for cohort in cohorts(model.spec()):
        late = cohort.maturity + WINDOWS_LATE * model.monitors.performance.window
        yield _limit(model, "limit_label_age_seconds", late.total_seconds(), cohort=cohort.name)


def _limit(model: Model, name: str, number: float, **labels: str) -> Rule:
    told = f"vector({number:.10g})"
    return {
        "record": f"homeostat:{name}",
        "expr": told,
        "labels": {"model": model.name, **labels},
    }


def _slow(model: Model, limit: float) -> Iterator[Rule]:
    """Yield the share of requests above a bucket's bound, over each range."""
    mine = f'model="{model.name}"'
    for span in RANGES:
        inside = f'sum by (model) (rate({DURATION}_bucket{{{mine}, le="{limit}"}}[{span}]))'
        count = f"sum by (model) (rate({DURATION}_count{{{mine}}}[{span}]))"
        yield {
            "record": f"homeostat:slow_requests:ratio_rate{span}",
            "expr": f"1 - {inside} / ({count} > 0)",
            "labels": {"limit": f"{limit:g}"},
        }


def bound(limit: timedelta) -> float:
    """Return the bucket that ends at a latency limit or next above it, at most the last one.

    Examples
    --------
    >>> bound(timedelta(milliseconds=200)), bound(timedelta(milliseconds=500))
    (0.25, 0.5)
    >>> bound(timedelta(minutes=1))
    10.0
    """
    seconds = limit.total_seconds()
    return next((bound for bound in BOUNDS if bound >= seconds), BOUNDS[-1])


def least_accuracy(model: Model) -> float | None:
    """Return the accuracy below which the owner wants to be told; None if there is none."""
    for threshold in model.monitors.thresholds:
        plain = threshold.metric == ACCURACY and not threshold.segment
        if plain and threshold.below is not None:
            return threshold.below
    return model.retraining.floor.get(ACCURACY) if model.retraining else None


def oldest(model: Model) -> timedelta:
    """Return the age at which a version is old: a week beyond its schedule, else 30 days."""
    schedule = model.retraining.schedule if model.retraining else None
    return AGE if schedule is None else schedule + SPARE
