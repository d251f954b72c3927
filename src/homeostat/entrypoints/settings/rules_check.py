"""Refuses alert rules that nothing can make fire, or that name what there is not."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase

from homeostat.alerting.conditions.band import rarest
from homeostat.alerting.conditions.relative import FEWEST
from homeostat.alerting.rules import MISSING, default_rules
from homeostat.detectors.drift.correlations import SUBJECT as CORRELATIONS
from homeostat.detectors.performance.realized import NAMES
from homeostat.domain.model import Task
from homeostat.domain.verdict import DEGRADED, Monitor
from homeostat.engine.estimates import PREFIX
from homeostat.engine.signals_figures import COVERAGE, DRIFTED, GAUGES, OPERATIONAL
from homeostat.engine.signals_served import QUANTILES, SHARES
from homeostat.entrypoints.settings.metrics import useless
from homeostat.entrypoints.settings.model import Model
from homeostat.entrypoints.settings.rules import AlertDefaults, OwnRule
from homeostat.entrypoints.settings.rules_plan import (
    GOOD,
    applies,
    condition_of,
    rules_of,
    series_of,
)
from homeostat.entrypoints.settings.values import format_duration, nearest, wrong

BURNS = frozenset({*(set(SHARES)), *GOOD})
ON_ANSWERS = frozenset({"macro_auc", "log_loss", "brier"})
"""Metrics of a multi-class model that need its probabilities, which a reference does not keep."""

Path = tuple[str | int, ...]


def check_rules(
    defaults: AlertDefaults,
    models: Sequence[Model],
    receivers: Collection[str],
    deadline: timedelta | None,
) -> None:
    """Raise about the first alert rule that is wrong.

    Parameters
    ----------
    defaults : AlertDefaults
        The deployment's rules.
    models : sequence of Model
    receivers : collection of str
    deadline : timedelta or None
        The gateway's, if the owner set it: no answer of a model takes longer.
    """
    builtin = {rule.name for rule in default_rules(())}
    for name, rule in defaults.rules.items():
        if not any(applies(rule, model) for model in models):
            _unknown_metric(rule, models[0], ("alerts", "rules", name))
    for number, model in enumerate(models):
        above: Path = ("models", number, "alerts", "rules")
        for name, own in model.alerts.rules.items():
            if own is None and name not in defaults.rules:
                problem, remedy = "is no rule of the deployment's", "remove the line"
                raise wrong(
                    problem,
                    nearest(name, defaults.rules) if defaults.rules else remedy,
                    *above,
                    name,
                )
        rules = rules_of(defaults.rules, model)
        for name, rule in rules.items():
            place = (*above, name) if name in model.alerts.rules else ("alerts", "rules", name)
            if name in builtin:
                remedy = "give it another name, or write what differs under overrides"
                raise wrong("is the name of a built-in rule", remedy, *place)
            if name.endswith(MISSING):
                problem = f"a name that ends in {MISSING} is that of missing data of another rule"
                raise wrong(problem, "give it another name", *place)
            _check(rule, model, place)
            _check_latency(rule, deadline, place)
            _check_names(rule, {*builtin, *rules} - {name}, receivers, place)


def _check(rule: OwnRule, model: Model, place: Path) -> None:
    if rule.verdicts is not None:
        _check_subjects(rule, rule.verdicts, model, place)
        return
    if not applies(rule, model):
        _unknown_metric(rule, model, place)
    if rule.metric in OPERATIONAL & model.business.keys():
        problem = f"{rule.metric!r} is also a business metric"
        raise wrong(problem, "rename that one", *place, "metric")
    if rule.metric in OPERATIONAL and rule.segment:
        raise wrong(
            "there are no figures of segments of this metric", "remove it", *place, "segment"
        )
    model.check_segment(rule.metric, rule.segment, *place, "segment")
    _check_limits(rule, model, place)
    _check_change(rule, model, place)
    _check_burn(rule, model, place)
    _check_band(rule, model, place)
    _check_missing(rule, model, place)
    condition_of(rule, model)


def _unknown_metric(rule: OwnRule, model: Model, place: Path) -> None:
    known = sorted({*OPERATIONAL, *model.written()})
    problem = f"nobody writes a metric {rule.metric!r} of a {model.task} model"
    raise wrong(problem, nearest(rule.metric, known), *place, "metric")


def _span(name: str, model: Model) -> tuple[float, float]:
    if name == DRIFTED:
        return 0.0, float(len(model.features))
    if name in {COVERAGE, *SHARES}:
        return 0.0, 1.0
    return (0.0, math.inf) if name in OPERATIONAL else model.span(name)


def _check_limits(rule: OwnRule, model: Model, place: Path) -> None:
    low, high = _span(rule.metric, model)
    found = useless((low, high), rule.above, rule.below)
    if found is not None:
        raise wrong(found[1], _between(low, high), *place, found[0])


def _between(low: float, high: float) -> str:
    parts = [f"above {low:g}"] if math.isfinite(low) else []
    parts += [f"below {high:g}"] if math.isfinite(high) else []
    return f"write a value {' and '.join(parts)}"


def _check_change(rule: OwnRule, model: Model, place: Path) -> None:
    way = "drop" if rule.drop is not None else "rise"
    amount = rule.drop or rule.rise
    if amount is None:
        return
    low, high = _span(rule.metric, model)
    most = 1.0 if rule.ratio and low >= 0.0 and way == "drop" else math.inf
    most = most if rule.ratio else high - low
    if amount >= most:
        problem = f"it cannot {way} by {amount:g}, and there would never be an alarm"
        raise wrong(problem, f"write a value below {most:g}", *place, way)
    if rule.against != "reference":
        every = series_of(rule, model).every
        if rule.against < FEWEST * every:
            problem = f"a figure of {rule.metric} is of {format_duration(every)}: that is too few"
            remedy = f"write {format_duration(FEWEST * every)} or more"
            raise wrong(problem, remedy, *place, "against")
        return
    name = rule.metric.removeprefix(PREFIX)
    known = set(NAMES[model.task])
    if model.task is Task.MULTICLASS:
        known -= ON_ANSWERS
    if name not in known or rule.segment:
        problem = f"there is no reference of {rule.metric}"
        problem += " in a segment" if rule.segment else ""
        raise wrong(problem, "add a line such as against: 28d", *place, way)


def _check_burn(rule: OwnRule, model: Model, place: Path) -> None:
    if rule.burn is None:
        return
    if rule.metric not in BURNS:
        problem = f"{rule.metric} is no share of good or bad rows"
        raise wrong(problem, f"use one of {', '.join(sorted(BURNS))}", *place, "metric")
    every = series_of(rule, model).every
    given = rule.burn.pairs
    if given is None and every > timedelta(minutes=5):
        problem = f"a figure of {rule.metric} is of {format_duration(every)}, longer than a window"
        raise wrong(problem, "write pairs of longer windows", *place, "burn")
    most = 1.0 / round(1.0 - rule.burn.objective, 12)
    for number, pair in enumerate(given or ()):
        at = (*place, "burn", "pairs", number)
        if pair.short < every:
            problem = f"a figure of {rule.metric} is of {format_duration(every)}"
            raise wrong(problem, "write a longer window", *at, "short")
        if pair.factor > most:
            problem = (
                f"{pair.factor:g} times the budget of {1.0 / most:g} is more than all rows: "
                "it can never fire"
            )
            raise wrong(problem, f"write at most {most:g}", *at, "factor")


def _check_band(rule: OwnRule, model: Model, place: Path) -> None:
    if rule.band is None or rule.band.rare is None:
        return
    every = series_of(rule, model).every
    shortest = rarest(every)
    if rule.band.rare < shortest:
        problem = f"a figure of {rule.metric} is of {format_duration(every)}: that is too often"
        remedy = f"write {format_duration(shortest)} or more"
        raise wrong(problem, remedy, *place, "band", "rare")


def _check_missing(rule: OwnRule, model: Model, place: Path) -> None:
    every = series_of(rule, model).every
    if rule.missing is not None and rule.missing.after <= every and rule.metric not in GAUGES:
        problem = f"{rule.metric} has a figure only every {format_duration(every)}"
        raise wrong(problem, "write a longer time", *place, "missing", "after")


def _check_latency(rule: OwnRule, deadline: timedelta | None, place: Path) -> None:
    if deadline is None or rule.metric not in QUANTILES or rule.above is None:
        return
    if timedelta(milliseconds=rule.above) >= deadline:
        shown = format_duration(deadline)
        problem = f"no answer takes longer than gateway.deadline ({shown}): it can never fire"
        raise wrong(problem, "write fewer milliseconds", *place, "above")


def _check_subjects(rule: OwnRule, monitor: Monitor, model: Model, place: Path) -> None:
    known = subjects(monitor, model)
    bare = rule.subject.partition("[")[0].rstrip() or "*"
    matched = [name for name in known if fnmatchcase(name, bare)]
    if not matched:
        problem = f"{monitor} says nothing about {rule.subject!r}"
        raise wrong(problem, nearest(rule.subject, known), *place, "subject")
    segmented = monitor is Monitor.DATA_DRIFT and model.segments
    if rule.more_than >= len(matched) and not segmented:
        problem = f"it says something about {len(matched)} of them at most: it can never fire"
        raise wrong(problem, f"write less than {len(matched)}", *place, "more_than")


def subjects(monitor: Monitor, model: Model) -> tuple[str, ...]:
    """Return what a monitor's verdicts are about, segments left out."""
    features = tuple(model.features)
    metrics = model.business
    return {
        Monitor.DATA_DRIFT: (*features, CORRELATIONS),
        Monitor.PREDICTION_DRIFT: ("score",),
        Monitor.DATA_QUALITY: features,
        Monitor.VOLUME: ("",),
        Monitor.PERFORMANCE: ("loss",),
        Monitor.CALIBRATION: ("calibration",),
        Monitor.SERVICE: ("availability", "latency_p99", DEGRADED),
        Monitor.VALUE: tuple(name for name, part in metrics.items() if part.alert),
        Monitor.METRIC: tuple(part.name for part in model.monitors.thresholds),
    }[monitor]


def _check_names(
    rule: OwnRule, others: Collection[str], receivers: Collection[str], place: Path
) -> None:
    for setting, named, known, what in (
        ("receivers", rule.receivers or (), receivers, "receiver"),
        ("inhibited_by", rule.inhibited_by, others, "other alert rule"),
    ):
        for number, name in enumerate(named):
            if name not in known:
                problem = f"no {what} is named {name!r}"
                raise wrong(problem, nearest(name, known), *place, setting, number)
