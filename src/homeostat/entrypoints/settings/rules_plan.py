"""From the owner's alert rules in homeostat.yaml to those of the engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta

from homeostat.alerting.conditions import burn
from homeostat.alerting.conditions.band import Band, rarest
from homeostat.alerting.conditions.burn import Burn
from homeostat.alerting.conditions.kinds import Condition, OnSeries
from homeostat.alerting.conditions.missing import Missing
from homeostat.alerting.conditions.relative import Relative
from homeostat.alerting.conditions.signal import Series
from homeostat.alerting.conditions.static import Static
from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.rules import MISSING, AlertRule
from homeostat.domain.limit import Limit
from homeostat.engine.signals_figures import GAUGES, OPERATIONAL
from homeostat.engine.signals_served import SERVED
from homeostat.entrypoints.settings.model import Model
from homeostat.entrypoints.settings.rules import OwnRule

GOOD = frozenset({"accuracy", "label_coverage"})
"""Series that are shares of good rows; the other shares are of bad ones."""


def rules_of(defaults: Mapping[str, OwnRule], model: Model) -> dict[str, OwnRule]:
    """Return the rules that hold for a model, by name: the deployment's, and its own."""
    own = model.alerts.rules
    found = {n: r for n, r in defaults.items() if n not in own and applies(r, model)}
    return found | {name: rule for name, rule in own.items() if rule is not None}


def applies(rule: OwnRule, model: Model) -> bool:
    """Whether the model writes the metric that the rule is on."""
    return not rule.metric or rule.metric in {*OPERATIONAL, *model.written()}


def own_rules(
    defaults: Mapping[str, OwnRule], model: Model, receivers: tuple[str, ...], base: str
) -> tuple[AlertRule, ...]:
    """Return a model's own rules, and those that tell of their missing data.

    Parameters
    ----------
    defaults : mapping of str to OwnRule
        The deployment's.
    model : Model
    receivers : tuple of str
        Who is told where a rule does not say.
    base : str
        Folder or address of the runbooks.
    """
    parts = rules_of(defaults, model)
    return tuple(
        rule for name, part in parts.items() for rule in _rules(name, part, model, receivers, base)
    )


def rule_part(defaults: Mapping[str, OwnRule], model: Model, name: str) -> OwnRule | None:
    """Return the settings behind one of a model's own rules; None if it is built in."""
    return rules_of(defaults, model).get(name.removesuffix(MISSING))


def _rules(
    name: str, part: OwnRule, model: Model, receivers: tuple[str, ...], base: str
) -> Iterable[AlertRule]:
    condition = condition_of(part, model)
    told = receivers if part.receivers is None else part.receivers
    runbook = _runbook(base, part.runbook)
    yield AlertRule(
        name, condition, part.severity, runbook, part.hold, part.keep_firing, told,
        part.inhibited_by, own=True,
    )  # fmt: skip
    if part.missing is not None and not isinstance(condition, Verdicts):
        lost = part.missing
        yield AlertRule(
            name + MISSING,
            Missing(condition.series, lost.after),
            lost.severity,
            _runbook(base, lost.runbook) if lost.runbook else runbook,
            receivers=told,
            inhibited_by=part.inhibited_by,
            own=True,
        )


def _runbook(base: str, name: str) -> str:
    return name if "://" in name else f"{base}/{name}"


def series_of(part: OwnRule, model: Model) -> Series:
    """Return the series that a rule on a metric is on."""
    name = part.metric
    if name in SERVED:
        return Series(name, part.over)
    if name in GAUGES:
        return Series(name, timedelta(0))
    return Series(name, model.every(name), part.segment)


def condition_of(part: OwnRule, model: Model) -> Condition:
    """Return a rule's condition.

    Raises
    ------
    ValueError
        If it can never be true.
    """
    if part.verdicts is not None:
        return Verdicts(part.verdicts, part.subject, part.more_than, part.least)
    return _on_series(part, series_of(part, model))


def _on_series(part: OwnRule, series: Series) -> OnSeries:
    if part.burn is not None:
        objective, given = part.burn.objective, part.burn.pairs
        pairs = burn.usual_pairs(objective)
        if given is not None:
            pairs = tuple(burn.Pair(pair.long, pair.short, pair.factor) for pair in given)
        return Burn(series, objective, pairs, series.name in GOOD, part.least)
    if part.band is not None:
        rare = part.band.rare or rarest(series.every)
        return Band(series, rare, part.band.ways, part.band.min_change, part.least)
    amount = part.drop or part.rise
    if amount is not None:
        trailing = None if part.against == "reference" else part.against
        return Relative(
            series, amount, part.drop is not None, part.ratio, trailing, part.windows, part.least,
            part.sure,
        )  # fmt: skip
    return Static(series, Limit(part.above, part.below, part.windows, part.least, part.sure))
