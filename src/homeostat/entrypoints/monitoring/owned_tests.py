"""promtool's tests of the owner's alert rules: each fires, and each is silent.

Made from the conditions and not from the expressions, so that they are a check of those.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from homeostat.alerting.conditions.burn import Burn
from homeostat.alerting.conditions.missing import Missing
from homeostat.alerting.conditions.relative import FEWEST, Relative
from homeostat.alerting.conditions.static import Static
from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.engine.signals_figures import DRIFTED, LABEL_AGE, VERSION_AGE
from homeostat.engine.signals_served import QUANTILES, REQUESTS, SERVED
from homeostat.entrypoints.monitoring.limits import DURATION, bound
from homeostat.entrypoints.monitoring.owned import Owned, annotations_of, cohort_of
from homeostat.entrypoints.settings.values import format_duration

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
SETTLED = 20 * MINUTE
"""Beyond what a rule asks for, until it is looked at."""
LONG = timedelta(hours=6)
"""From here on rules are evaluated every quarter of an hour only: promtool takes long over it."""
LOOK = 5 * MINUTE
"""How often they are else."""
VERSION = "1"

Values = dict[str, str]
Tree = dict[str, object]


@dataclass(frozen=True, slots=True)
class Case:
    """A course of figures, and whether the rule fires at its end."""

    owned: Owned
    series: Values
    fires: bool
    after: timedelta
    step: timedelta

    def tree(self) -> Tree:
        """Return the test as promtool has it."""
        owned = self.owned
        labels = {
            "severity": str(owned.rule.severity),
            "source": "homeostat",
            "rule": owned.rule.name,
            "model": owned.model,
        }
        alert = {"exp_labels": labels, "exp_annotations": annotations_of(owned)}
        what = "fires" if self.fires else "is silent"
        asked = {
            "eval_time": format_duration(self.after),
            "alertname": owned.alert,
            "exp_alerts": [alert] if self.fires else [],
        }
        given = [{"series": name, "values": values} for name, values in self.series.items()]
        return {
            "name": f"{owned.model} / {owned.rule.name} {what}",
            "interval": format_duration(self.step),
            "input_series": given,
            "alert_rule_test": [asked],
        }


def owned_tests(
    told: Iterable[Owned], files: Iterable[str], groups: Iterable[str]
) -> dict[str, Tree]:
    """Return test files by their names: one of short courses, and one of long ones.

    Parameters
    ----------
    told : iterable of Owned
        Rules that have an expression.
    files : iterable of str
        Rule files, as seen from the tests.
    groups : iterable of str
        All groups in them, in the order in which they must be evaluated: what is recorded first.
    """
    order = list(groups)
    cases = [case for owned in told for case in _cases(owned)]
    kinds = {
        "own_test.yml": ("5m", [case for case in cases if case.after < LONG]),
        "own_slow_test.yml": ("15m", [case for case in cases if case.after >= LONG]),
    }
    return {
        name: {
            "rule_files": list(files),
            "evaluation_interval": every,
            "group_eval_order": order,
            "tests": [case.tree() for case in some],
        }
        for name, (every, some) in kinds.items()
        if some
    }


def _cases(owned: Owned) -> Iterator[Case]:
    condition = owned.rule.condition
    after = owned.lasts + SETTLED
    if isinstance(condition, Relative) and condition.trailing is not None:
        after += (FEWEST + 1) * condition.series.every
    elif not isinstance(condition, Verdicts) and condition.series.name in SERVED:
        after += condition.series.every
        after += condition.pairs[0].long if isinstance(condition, Burn) else timedelta(0)
    counted = not isinstance(condition, Verdicts) and condition.series.name in SERVED
    after = math.ceil(after / LOOK) * LOOK
    step = MINUTE if counted else LOOK
    course = _Course(owned, math.ceil(after / step) + 1, step)
    for fires in (True, False):
        yield Case(owned, course.of(fires=fires), fires, after, step)


@dataclass(frozen=True, slots=True)
class _Course:
    """Makes series that go on for so many steps."""

    owned: Owned
    steps: int
    step: timedelta

    def of(self, *, fires: bool) -> Values:
        """Return the course on which the rule fires, or one close to it on which it does not."""
        condition = self.owned.rule.condition
        if isinstance(condition, Verdicts):
            labels = f'monitor="{condition.monitor}", status="drift"'
            return self._always(f"homeostat_verdicts{{{self._mine}, {labels}}}", float(fires))
        name = condition.series.name
        if isinstance(condition, Missing):
            if name in SERVED:
                return {} if fires else self._answered(600.0, 0.0, name)
            return {} if fires else self._figure(name, 1.0, 1)
        if isinstance(condition, Burn):
            return self._answered(_per_minute(condition.min_rows, MINUTE), float(fires), name)
        if isinstance(condition, Relative):
            return self._changed(condition, fires=fires)
        return self._limited(condition, fires=fires) if isinstance(condition, Static) else {}

    @property
    def _mine(self) -> str:
        return f'model="{self.owned.model}"'

    def _always(self, series: str, value: float) -> Values:
        return {series: f"{value:.10g}x{self.steps}"}

    def _limited(self, condition: Static, *, fires: bool) -> Values:
        limit, name, every = condition.limit, condition.series.name, condition.series.every
        low, high = limit.below, limit.above
        side, far = (low, -1.0) if low is not None else (high, 1.0)
        assert side is not None
        if name in QUANTILES:
            return self._slow(side, _per_minute(limit.min_rows, every), fires=fires)
        if name == REQUESTS:
            scraped = self._always('up{job="homeostat"}', 1.0)
            if fires and low is not None:  # nobody asks: there is not even a series
                return scraped
            value = side + far * max(1.0, side / 2) * (1.0 if fires else -1.0)
            asked = self._answered(max(value, 0.0) * (MINUTE / every), 0.0, "error_rate")
            return asked | scraped
        if name in SERVED:
            room = side if (far < 0) == fires else 1.0 - side
            value = side + far * (room / 2 if fires else -room / 2)
            return self._answered(_per_minute(limit.min_rows, every), value, name)
        away = far * max(abs(side), 0.5) / 10
        between = side if low is None or high is None else (low + high) / 2
        value = side + away if fires else (between if between != side else side - away)
        return self._figure(name, value, max(limit.min_rows, 1))

    def _changed(self, condition: Relative, *, fires: bool) -> Values:
        name, rows = condition.series.name, max(condition.min_rows, 1)
        usual = 1.0
        change = condition.amount * (1.5 if fires else 0.5)
        value = usual - change if condition.falls else usual + change
        if condition.trailing is None:
            return self._figure(name, value, rows, reference=usual)
        before = math.ceil((FEWEST + 1) * condition.series.every / self.step)
        course = f"{usual:.10g}x{before} {value:.10g}x{max(self.steps - before, 1)}"
        series = self._figure(name, usual, rows)
        fixed = ("_rows{", "_info{")
        return {
            key: given if any(part in key for part in fixed) else course
            for key, given in series.items()
        }

    def _figure(self, name: str, value: float, rows: int, reference: float | None = None) -> Values:
        """Return series of a metric's newest figure, also as what it is worth."""
        champion = f'homeostat_model_info{{{self._mine}, task="binary", champion="{VERSION}"}}'
        info = self._always(champion, 1.0)
        if name == VERSION_AGE:
            made = f'homeostat_champion_trained_timestamp_seconds{{{self._mine}, version="1"}}'
            return self._always(made, -value * DAY.total_seconds()) | info
        if name == LABEL_AGE:
            end = f'homeostat_metric_timestamp_seconds{{{self._mine}, cohort="matured"}}'
            return self._always(end, -value * DAY.total_seconds())
        if name == DRIFTED:
            return self._always(f"homeostat_drifted_features{{{self._mine}}}", value)
        found: Mapping[str, float | None] = {
            "value": value, "lower": value, "upper": value, "rows": rows,
            "reference_value": reference,
        }  # fmt: skip
        bare, cohort = cohort_of(name)
        labels = f'{self._mine}, metric="{bare}", cohort="{cohort}", version="{VERSION}"'
        series: Values = {}
        for part, number in found.items():
            if number is not None:
                series |= self._always(f"homeostat_metric_{part}{{{labels}}}", float(number))
                ending = "" if part == "value" else f"_{part}"
                worth = f'homeostat_business_value{ending}{{{self._mine}, metric="{name}"}}'
                series |= self._always(worth, float(number))
        return series | info

    def _answered(self, per_minute: float, share: float, name: str) -> Values:
        """Return counters of rows, of which a share is bad."""
        tier, reason = "default", "breaker_open" if name == "breaker_open" else "error"
        served = f'{self._mine}, version="{VERSION}", role="champion"'
        good = f'homeostat_predictions_total{{{served}, tier="model", reason=""}}'
        bad = f'homeostat_predictions_total{{{served}, tier="{tier}", reason="{reason}"}}'
        every = per_minute * (self.step / MINUTE)
        series = {good: f"0+{every * (1 - share):.10g}x{self.steps}"}
        return series | ({bad: f"0+{every * share:.10g}x{self.steps}"} if share else {})

    def _slow(self, milliseconds: float, per_minute: float, *, fires: bool) -> Values:
        le = bound(timedelta(milliseconds=milliseconds))
        labels = f'{self._mine}, tier="model"'
        every = per_minute * (self.step / MINUTE)
        inside = 0.0 if fires else every
        return self._answered(per_minute, 0.0, "error_rate") | {
            f'{DURATION}_bucket{{{labels}, le="{le}"}}': f"0+{inside:.10g}x{self.steps}",
            f"{DURATION}_count{{{labels}}}": f"0+{every:.10g}x{self.steps}",
        }


def _per_minute(least: int, every: timedelta) -> float:
    """Return rows a minute that are enough for `least` in that time."""
    return max(600.0, 2.0 * least * (MINUTE / every))
