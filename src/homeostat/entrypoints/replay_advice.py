"""Advice on alert rules as a table, and as lines for homeostat.yaml."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import Enum

import yaml

from homeostat.alerting.budget import rate_interval
from homeostat.alerting.replay import WEEK, Score, Trouble, score
from homeostat.alerting.rules import DEGRADED_ANSWERS, METRIC_THRESHOLD
from homeostat.domain.errors import DataError
from homeostat.domain.verdict import DEGRADED
from homeostat.domain.window import Window
from homeostat.engine.knobs import Setting
from homeostat.engine.tuning import FEWEST_WEEKS, Advice, Advised, Option, Tuner
from homeostat.entrypoints.replay import Lived, Progress, grace, within
from homeostat.entrypoints.settings import Settings
from homeostat.entrypoints.settings.part import Part
from homeostat.entrypoints.settings.rules_plan import rule_part
from homeostat.entrypoints.settings.values import format_duration

UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is proposed for one model.

    ``score`` is that of everything that is proposed together; None: the truth is not known.
    """

    model: str
    budget: float
    advised: Advised
    span: Window
    score: Score | None
    snippet: str
    only_false: bool

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the numbers cannot carry."""
        found: list[str] = []
        weeks, needed = self.advised.weeks, self.advised.needed
        if weeks < needed:
            found.append(
                f"the history is too short for this budget: {weeks:.1f} weeks; {needed:.0f} "
                f"without a page would show (at 95 %) that at most {self.budget:g} a week come"
            )
        stuck = [
            a for a in self.advised.advice if a.pages > a.level and a.best is None and not a.spared
        ]
        spared = [a for a in self.advised.advice if a.spared]
        found += (
            f"{_name(a)}: it is critical: no hold duration was tried; --critical asks for one"
            for a in spared
        )
        found += (
            f"{_name(a)}: it is critical, and would be told {_shown(a.best.value)} after it began"
            for a in self.advised.advice
            if a.critical and a.best is not None and a.best.knob == "hold"
        )
        found += (f"{_name(a)}: nothing tried keeps it within the budget" for a in stuck)
        return tuple(found)

    @property
    def what(self) -> str:
        """What is counted."""
        return "false pages" if self.only_false else "pages"

    @property
    def titles(self) -> tuple[str, ...]:
        """Heads of the table."""
        return (
            "rule", f"{self.what} a week (95 %)", "may have", "proposed", "then",
            "in other weeks (95 %)", "missed", "delay", "instead", "strictest within budget",
        )  # fmt: skip

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Yield a line for each rule or threshold."""
        for a in self.advised.advice:
            best = a.best
            others = [_set(each) for each in a.options if each is not best]
            strict = a.strictest
            yield (
                _name(a),
                f"{a.pages:.2g} ({a.interval.lower:.2g} to {a.interval.upper:.2g})",
                f"{a.level:.2g}",
                "nothing" if best is None else f"{_set(best)}, now {_shown(best.now)}",
                "-" if best is None else f"{best.pages:.2g}",
                "-" if best is None else _expected(best),
                "-" if best is None else _counted(best.missed),
                "-" if best is None else _delay(best),
                " or ".join(others) or "-",
                "-" if strict is None or strict.value == strict.now else _set(strict),
            )

    @property
    def after(self) -> str:
        """What all of it together would have meant, in words."""
        counts = self.advised.counts
        weeks = self.span.length / WEEK
        found = rate_interval(counts, weeks)
        rate = sum(counts) / weeks
        told = f"{rate:.2g} {self.what} a week ({found.lower:.2g} to {found.upper:.2g})"
        if self.score is None:
            return f"{told}; missed incidents and delays are not known; give --incidents FILE.csv"
        delay = UNKNOWN if self.score.delay is None else format_duration(_minutes(self.score.delay))
        return (
            f"{told}; incidents found: {len(self.score.found)}, missed: {len(self.score.missed)}, "
            f"false pages: {len(self.score.false)}, median delay: {delay}"
        )

    def values(self) -> dict[str, object]:
        """Return it for machines."""
        return asdict(self) | {"warnings": self.warnings}


def propose(
    settings: Settings,
    lived: Lived,
    budget: float,
    troubles: Sequence[Trouble] | None,
    given: timedelta | None,
    progress: Progress,
    *,
    only_false: bool = False,
    critical: bool = False,
) -> Proposal:
    """Tune one model's rules on its past.

    Raises
    ------
    DataError
        If there are less than two weeks.
    """
    name, span = lived.plan.spec.name, lived.span
    if span.length < FEWEST_WEEKS * WEEK:
        raise DataError(
            f"{name}: {span.length / WEEK:.1f} weeks are too short to propose anything; "
            f"{FEWEST_WEEKS} are the least, and few weeks say little"
        )
    late = grace(lived.plan, given)

    def listening(at: datetime) -> None:
        progress(f"listening to {name}", (at - span.start) / span.length)

    mine = None if troubles is None else within(troubles, [lived])
    looked = lived.listener.looked_at(lived.tape, lived.past, listening)
    tuner = Tuner(
        lived.plan, lived.tape, span, budget, mine, late, lived.errors, looked, only_false, critical
    )
    advised = tuner.advise(lambda share: progress(f"tuning {name}", share))
    scored = None if mine is None else score(advised.after, mine, span, {name: late})
    lines = snippet(settings, name, advised.advice)
    return Proposal(name, budget, advised, span, scored, lines, only_false)


def snippet(settings: Settings, name: str, advice: Sequence[Advice]) -> str:
    """Return what to change in homeostat.yaml, as it is to be written; empty: nothing."""
    changes = {(a.rule, a.subject): a.best for a in advice if a.best is not None}
    model = settings.model(name)
    service = changes.pop((DEGRADED_ANSWERS, DEGRADED), None)
    thresholds = [
        _changed(part, changes.pop((METRIC_THRESHOLD, part.name), None))
        for part in model.monitors.thresholds
    ]
    monitors: dict[str, object] = {}
    if any(changed for _, changed in thresholds):
        monitors["thresholds"] = [body for body, _ in thresholds]
    if service is not None:
        field = "max_degraded" if service.knob == "above" else service.knob
        monitors["service"] = _written(model.monitors.service) | {field: service.value}
    alerts: dict[str, dict[str, object]] = {}
    shared: dict[str, object] = {}
    for (rule, _), option in changes.items():
        part = rule_part(settings.alerts.rules, model, rule)
        if part is None:
            known = model.alerts.overrides.get(rule)
            body = {} if known is None else _written(known)
            changed = body | {option.knob: _plain(option.value)}
            alerts.setdefault("overrides", {})[rule] = changed
        elif rule in model.alerts.rules or len(settings.models) > 1:
            # What all models share stays as it is for the others.
            alerts.setdefault("rules", {})[rule] = _changed(part, option)[0]
        else:
            shared[rule] = _changed(part, option)[0]
    parts = {"monitors": monitors, "alerts": alerts}
    mine = {key: part for key, part in parts.items() if part}
    whole: dict[str, object] = {"alerts": {"rules": shared}} if shared else {}
    if mine:
        whole["models"] = [{"name": name, **mine}]
    if not whole:
        return ""
    text = yaml.safe_dump(whole, sort_keys=False, default_flow_style=None, width=100)
    return f"# in homeostat.yaml, each of these in place of what has its name there\n{text}"


def _written(part: Part) -> dict[str, object]:
    """Return settings as they are written in the file."""
    return {key: _plain(value) for key, value in part.model_dump(exclude_unset=True).items()}


def _changed(part: Part, option: Option | None) -> tuple[dict[str, object], bool]:
    """Return settings as they are written in the file, one of them changed perhaps."""
    body = _written(part)
    if option is None:
        return body, False
    return body | {option.knob: _plain(option.value)}, True


def _plain(value: object) -> object:
    """Return a value as YAML has it."""
    match value:
        case timedelta():
            return format_duration(value)
        case Enum():
            return value.value
        case dict():
            return {key: _plain(one) for key, one in value.items()}
        case tuple() | list():
            return [_plain(one) for one in value]
        case _:
            return value


def _name(advice: Advice) -> str:
    return f"{advice.rule}: {advice.subject}" if advice.subject else advice.rule


def _set(option: Option) -> str:
    return f"{option.knob} {_shown(option.value)}"


def _shown(value: Setting) -> str:
    return format_duration(value) if isinstance(value, timedelta) else f"{value:g}"


def _expected(option: Option) -> str:
    found = option.expected
    return f"{found.rate:.2g} ({found.interval.lower:.2g} to {found.interval.upper:.2g})"


def _counted(missed: int | None) -> str:
    return UNKNOWN if missed is None else str(missed)


def _delay(option: Option) -> str:
    if option.delay is None:
        return UNKNOWN if option.missed is None else "finds none"
    return format_duration(_minutes(option.delay))


def _minutes(length: timedelta) -> timedelta:
    return timedelta(minutes=round(length / timedelta(minutes=1)))
