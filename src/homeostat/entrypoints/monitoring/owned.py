"""The owner's alert rules as rules of Prometheus, as far as it can tell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from homeostat.alerting.conditions.band import Band
from homeostat.alerting.conditions.burn import Burn
from homeostat.alerting.conditions.kinds import Condition
from homeostat.alerting.conditions.missing import Missing
from homeostat.alerting.conditions.relative import FEWEST, Relative
from homeostat.alerting.conditions.signal import Series
from homeostat.alerting.conditions.static import Static
from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.rules import AlertRule
from homeostat.domain.limit import Limit
from homeostat.engine.estimates import PREFIX
from homeostat.engine.importance import IMPORTANCE
from homeostat.engine.signals_figures import COVERAGE, DRIFTED, GAUGES, LABEL_AGE, VERSION_AGE
from homeostat.engine.signals_served import QUANTILES, REQUESTS, SERVED
from homeostat.entrypoints.monitoring.served_figures import (
    covered,
    expected,
    rows_in,
    share_of,
    slow_share,
    total_in,
)
from homeostat.entrypoints.settings.deployment import Settings
from homeostat.entrypoints.settings.rules_plan import own_rules
from homeostat.entrypoints.settings.values import format_duration

DAY = timedelta(days=1)
FIGURE = "homeostat:figure"
RECORDED = re.compile(rf'{FIGURE}(\w*){{[^}}]*metric="([^"]+)"}}')
"""A metric's newest figure in an expression, or its rows, its interval, its reference."""

LIKE = """\
# Rules of the owner (alerts.rules of homeostat.yaml), as near as Prometheus comes to them:
# figures in a row are a time that it lasts; latencies are counted by the end of their bucket, and
# by request; against: reference is the mean of the version's first 28 windows; a time such as 28d
# is a mean over time and not over rows, and begins when these rules do.
"""

Rule = dict[str, object]


class NotTold(Exception):  # noqa: N818 - not an error: the reason is written down
    """Prometheus cannot tell whether a rule should fire, and why."""


@dataclass(frozen=True, slots=True)
class Owned:
    """An owner's rule, and how Prometheus has it.

    Attributes
    ----------
    model : str
    rule : AlertRule
    expr : str
        Gives one series, with the label ``model``, while it should fire; empty: it cannot be told.
    why : str
        Why not.
    """

    model: str
    rule: AlertRule
    expr: str = ""
    why: str = ""

    @property
    def alert(self) -> str:
        """The alert's name: that of the rule in the form that alerts have."""
        words = self.rule.name.replace(".", "_").replace("-", "_").split("_")
        return "HomeostatOwn" + "".join(word[:1].upper() + word[1:] for word in words)

    @property
    def lasts(self) -> timedelta:
        """How long it must hold: a figure stands until the next, and so many must be beyond."""
        condition = self.rule.condition
        if isinstance(condition, Missing):
            return condition.after
        windows, every = 1, timedelta(0)
        if isinstance(condition, Static):
            windows, every = condition.limit.windows, condition.series.every
        elif isinstance(condition, Relative):
            windows, every = condition.windows, condition.series.every
        return self.rule.hold + (windows - 1) * every


@dataclass(frozen=True)
class Owners:
    """All rules that owners wrote.

    Parameters
    ----------
    settings : Settings
    gateway : bool
        Whether gateways are scraped.
    runbooks : str
        Address below which runbooks are found.
    """

    settings: Settings
    gateway: bool
    runbooks: str
    rules: tuple[Owned, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", tuple(self._found()))

    def _found(self) -> Iterator[Owned]:
        for model in self.settings.models:
            for rule in own_rules(self.settings.alerts.rules, model, (), self.runbooks):
                try:
                    expr = self._expr(model.name, rule)
                except NotTold as error:
                    yield Owned(model.name, rule, why=str(error))
                else:
                    yield Owned(model.name, rule, expr)

    @property
    def told(self) -> tuple[Owned, ...]:
        """Those that Prometheus can tell."""
        return tuple(owned for owned in self.rules if owned.expr)

    def tree(self) -> dict[str, list[Rule]]:
        """Return the rule file."""
        asked = {
            (part, name, name in self._worth(owned.model))
            for owned in self.told
            for part, name in RECORDED.findall(owned.expr)
        }
        recorded = [_recording(*one) for one in sorted(asked)]
        groups: list[Rule] = []
        if recorded:
            groups.append({"name": "homeostat-own-recorded", "interval": "30s", "rules": recorded})
        for model in dict.fromkeys(owned.model for owned in self.told):
            rules = [alert_of(owned) for owned in self.told if owned.model == model]
            groups.append({"name": f"homeostat-own-{model}", "interval": "30s", "rules": rules})
        return {"groups": groups}

    def head(self) -> str:
        """Return comments: what differs, and which rules Prometheus cannot tell."""
        lines = [
            f"#   {owned.model} / {owned.rule.name}: {owned.why}\n"
            for owned in self.rules
            if owned.why
        ]
        head = "# Not here, since Prometheus cannot tell (Homeostat's own alerts do):\n"
        return LIKE + ("".join([head, *lines]) if lines else "")

    def _worth(self, model: str) -> Mapping[str, object]:
        return next(each.business for each in self.settings.models if each.name == model)

    def _expr(self, model: str, rule: AlertRule) -> str:
        made = _Expression(model, self.gateway).of(rule.condition)
        if not rule.inhibited_by:
            return made
        causes = "|".join(rule.inhibited_by)
        opened = f'homeostat_incident_open{{model="{model}", rule=~"{causes}"}}'
        return f"{made} unless on (model) (max by (model) ({opened}) == 1)"


def alert_of(owned: Owned) -> Rule:
    """Return an alert as it stands in a rule file."""
    rule = owned.rule
    kept = rule.keep_firing + owned.lasts - rule.hold
    told: Rule = {
        "alert": owned.alert,
        "expr": owned.expr,
        "for": format_duration(owned.lasts),
        "keep_firing_for": format_duration(kept),
        "labels": {"severity": str(rule.severity), "source": "homeostat", "rule": rule.name},
        "annotations": annotations_of(owned),
    }
    if isinstance(rule.condition, Missing):
        del told["keep_firing_for"]
    return told


def annotations_of(owned: Owned) -> dict[str, str]:
    """Return an alert's texts, which hold nothing that changes."""
    condition = owned.rule.condition
    about = condition.monitor if isinstance(condition, Verdicts) else condition.series
    return {
        "summary": f"{owned.rule.name} of {owned.model}",
        "description": f"The owner's rule {owned.rule.name} of homeostat.yaml, on {about}.",
        "runbook_url": owned.rule.runbook,
    }


def _stored(name: str) -> bool:
    return name not in {*SERVED, *GAUGES, COVERAGE}


def _recording(part: str, name: str, worth: bool) -> Rule:  # noqa: FBT001 - of a tuple
    """Return the newest figure of a metric, of the champion and with all labels."""
    if worth:
        asked = f'homeostat_business_value{part}{{metric="{name}"}}'
        expr = f"max by (model) (last_over_time({asked}[15m]))"
    else:
        bare, cohort = cohort_of(name)
        ending = {"": "value", "_reference": "reference_value"}.get(part, part[1:])
        asked = f'homeostat_metric_{ending}{{metric="{bare}", cohort="{cohort}"}}'
        newest = f"max by (model, version) (last_over_time({asked}[15m]))"
        expr = f"max by (model) ({newest} and on (model, version) homeostat:champion)"
    return {"record": FIGURE + part, "expr": expr, "labels": {"metric": name}}


def cohort_of(name: str) -> tuple[str, str]:
    """Return the name by which a metric is exported, and of which cohort.

    Examples
    --------
    >>> cohort_of("accuracy"), cohort_of("estimated_accuracy")
    (('accuracy', 'matured'), ('accuracy', 'estimated'))
    """
    bare = name.removeprefix(PREFIX)
    return bare, "matured" if bare == name else "estimated"


@dataclass(frozen=True, slots=True)
class _Expression:
    """Writes conditions of one model in PromQL."""

    model: str
    gateway: bool

    def of(self, condition: Condition) -> str:
        """Return the expression, or raise NotTold."""
        if isinstance(condition, Verdicts):
            return self._verdicts(condition)
        series = condition.series
        if series.segment:
            raise NotTold("figures of segments are not exported")
        if series.name.startswith(IMPORTANCE):
            raise NotTold("importances are not exported")
        if series.name == COVERAGE:
            raise NotTold("the rows behind label_coverage are not exported")
        if series.name in SERVED and not self.gateway:
            raise NotTold("no gateway is scraped")
        if isinstance(condition, Band):
            raise NotTold("what is usual is learnt here, a point at a time")
        if isinstance(condition, Static):
            return self._static(condition.series, condition.limit)
        if isinstance(condition, Relative):
            return self._relative(condition)
        if isinstance(condition, Burn):
            return self._burn(condition)
        return self._missing(condition)

    def _verdicts(self, condition: Verdicts) -> str:
        if condition.more_than or condition.min_rows or condition.subject != "*":
            raise NotTold("verdicts are exported by monitor, not by subject and rows")
        asked = f'homeostat:drifted_verdicts{{model="{self.model}", monitor="{condition.monitor}"}}'
        return f"max by (model) ({asked} > 0)"

    def _static(self, series: Series, limit: Limit) -> str:
        name = series.name
        if name in QUANTILES:
            if limit.above is None or limit.below is not None:
                raise NotTold("a latency below a limit is not counted")
            shown = slow_share(self.model, series.every, timedelta(milliseconds=limit.above))
            return self._enough(f"({shown} > {1 - QUANTILES[name]:.10g})", series, limit.min_rows)
        if limit.sure and name in SERVED:
            raise NotTold("shares of rows are exported without their interval")
        low = self._figure(series, "_upper" if limit.sure else "")
        high = self._figure(series, "_lower" if limit.sure else "")
        scale = DAY.total_seconds() if name in {VERSION_AGE, LABEL_AGE} else 1.0
        sides = [f"{low} < {limit.below * scale:.10g}"] if limit.below is not None else []
        if name == REQUESTS and sides:
            # None are counted yet by a Prometheus that has only begun.
            sides = [f"({sides[0]} and on () {covered(series.every)})"]
        sides += [f"{high} > {limit.above * scale:.10g}"] if limit.above is not None else []
        return self._enough(f"({' or '.join(sides)})", series, limit.min_rows)

    def _relative(self, condition: Relative) -> str:
        series, name = condition.series, condition.series.name
        if not _stored(name):
            raise NotTold("what was answered is compared with limits only")
        now = self._figure(series)
        edge = self._figure(series, "_upper" if condition.falls else "_lower")
        shown = edge if condition.sure else now
        if condition.trailing is None:
            usual = self._figure(series, "_reference")
        else:
            first = f"{now} offset {format_duration(FEWEST * series.every)}"
            span, every = format_duration(condition.trailing), format_duration(series.every)
            usual = f"(avg_over_time({now}[{span}] offset {every}) and {first})"
        change = f"{usual} - {shown}" if condition.falls else f"{shown} - {usual}"
        allowed = f"{condition.amount:.10g}"
        if condition.ratio:
            allowed += f" * abs({usual})"
        return self._enough(f"({change} > {allowed})", series, condition.min_rows)

    def _burn(self, condition: Burn) -> str:
        series = condition.series
        if series.name not in SERVED:
            raise NotTold("windows of labelled rows are longer than burn rates ask for")
        pairs = []
        for pair in condition.pairs:
            limit = f"{min(pair.factor * condition.budget, 1.0):.10g}"
            long, short = (
                f"{share_of(series.name, self.model, span)} >= {limit}"
                for span in (pair.long, pair.short)
            )
            rows = ""
            if condition.min_rows:
                rows = f" and on (model) {rows_in(self.model, pair.long)} >= {condition.min_rows}"
            pairs.append(f"({long} and on (model) {short}{rows})")
        return f"max by (model) ({' or '.join(pairs)})"

    def _missing(self, condition: Missing) -> str:
        series = condition.series
        if series.name in SERVED:
            known = f"{rows_in(self.model, series.every)} > 0"
        elif series.name in GAUGES:
            known = self._figure(series)
        else:
            raise NotTold("the newest figure is exported until another one comes")
        return f"{expected(self.model)} unless on (model) ({known})"

    def _figure(self, series: Series, part: str = "") -> str:
        mine = f'model="{self.model}"'
        name = series.name
        if name == REQUESTS:
            return total_in(self.model, series.every)
        if name in SERVED:
            return share_of(name, self.model, series.every)
        gauges = {
            VERSION_AGE: f"homeostat:version_age_seconds{{{mine}}}",
            LABEL_AGE: f'homeostat:label_age_seconds{{{mine}, cohort="matured"}}',
            DRIFTED: f"homeostat:drifted_features{{{mine}}}",
        }
        if name in gauges:
            return gauges[name]
        return f'{FIGURE}{part}{{{mine}, metric="{name}"}}'

    def _enough(self, expr: str, series: Series, least: int) -> str:
        """Return the expression where there are rows behind the figure."""
        if least:
            found = (
                rows_in(self.model, series.every)
                if series.name in SERVED
                else self._figure(series, "_rows")
            )
            expr += f" and on (model) {found} >= {least}"
        return f"max by (model) ({expr})"
