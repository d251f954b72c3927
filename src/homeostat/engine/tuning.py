"""Which limits and durations would have kept pages within a budget, and what they would cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property

from homeostat.alerting.budget import (
    LeftOut,
    allotted,
    left_out,
    rate_interval,
    strictest,
    weeks_needed,
)
from homeostat.alerting.conditions.signal import Signal
from homeostat.alerting.replay import WEEK, Episode, Trouble, score, weekly
from homeostat.alerting.rules import AlertRule
from homeostat.domain.decision import Severity
from homeostat.domain.point import Point
from homeostat.domain.verdict import Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.knobs import (
    Figures,
    Knob,
    Setting,
    Unit,
    knobs,
    units,
    with_setting,
)
from homeostat.engine.plan import ModelPlan
from homeostat.engine.replay import replay, with_parents
from homeostat.engine.tape import Tape
from homeostat.stats.intervals import Interval

FEWEST_WEEKS = 2
SAYS = {Status.DRIFT: True, Status.OK: False}


@dataclass(frozen=True, slots=True)
class Option:
    """One setting, and what it would have meant.

    Attributes
    ----------
    knob : {"above", "below", "windows", "min_rows", "hold"}
    now, value : float, int or timedelta
    pages : float
        A week, over the whole history.
    expected : LeftOut
        In weeks that had no part in the choice.
    missed : int or None
        Troubles that no rule would have told; None: it is not known what was wrong.
    delay : timedelta or None
        Median, of those that this rule would have told.
    """

    knob: str
    now: Setting
    value: Setting
    pages: float
    expected: LeftOut
    missed: int | None
    delay: timedelta | None


@dataclass(frozen=True, slots=True)
class Advice:
    """What may be done about one rule, or one threshold of it.

    Attributes
    ----------
    rule : str
    subject : str
        The threshold; empty: the rule as a whole.
    pages, interval
        A week, as it is set now.
    level : float
        Pages a week that it may have.
    options : tuple of Option
        The strictest value of each knob that keeps within the level; empty: nothing has to change,
        or nothing helps.
    best : Option or None
        Of those: fewest missed troubles, then the shortest delay, then in the order of knobs.
    strictest : Option or None
        Strictest limit that keeps within the level, or what is left of the budget.
    critical : bool
        Whether the rule is.
    spared : bool
        Whether it pages too much, and longer hold durations were not tried because it is critical.
    """

    rule: str
    subject: str
    pages: float
    interval: Interval
    level: float
    options: tuple[Option, ...] = ()
    best: Option | None = None
    strictest: Option | None = None
    critical: bool = False
    spared: bool = False


@dataclass(frozen=True, slots=True)
class Advised:
    """Advice on all rules of a model.

    Attributes
    ----------
    weeks : float
    needed : float
        Weeks without a page that would show that the budget is kept.
    pages : float
        A week, as everything is set now.
    advice : tuple of Advice
        The one that pages most first.
    after : tuple of Episode
        With every best option in place.
    counts : tuple of int
        Of each week, those of them that count.
    """

    weeks: float
    needed: float
    pages: float
    advice: tuple[Advice, ...]
    after: tuple[Episode, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Source:
    """The figures of one unit, when each was known, and as which verdict if it was judged."""

    times: tuple[datetime, ...]
    figures: Figures
    verdicts: tuple[Verdict, ...] = ()

    def applied(self, tape: Tape, unit: Unit, judged: Iterable[tuple[int, Status]]) -> Tape:
        """Return the tape as it were with these statuses from these places on."""
        if unit.subject is None:
            name = unit.rule.name
            heard = ((self.times[n], name, Signal(SAYS.get(s), s.value)) for n, s in judged)
            return tape.with_signals(heard)
        told = ((self.times[n], replace(self.verdicts[n], status=s)) for n, s in judged)
        return tape.with_verdicts(unit.subject, told)


@dataclass
class Tuner:
    """Tries settings on the tape of one model.

    Parameters
    ----------
    plan : ModelPlan
    tape : Tape
    span : Window
        What of it counts.
    budget : float
        Pages a week that all rules together may have.
    troubles : tuple of Trouble or None
        None: it is not known what was wrong.
    grace : timedelta
    errors : mapping
        Standard errors of judged figures by threshold and window, for limits that ask for them.
    series : mapping
        What rules on series looked at, by rule: when, and the figure.
    only_false : bool
        Whether pages about real trouble are left out of all counts.
    critical : bool
        Whether hold durations are tried for critical rules that are built in, too: who holds such
        a page back hears as much later that the model is down.
    """

    plan: ModelPlan
    tape: Tape
    span: Window
    budget: float
    troubles: tuple[Trouble, ...] | None = None
    grace: timedelta = timedelta(0)
    errors: Mapping[tuple[str, Window], float] = field(default_factory=dict)
    series: Mapping[str, Sequence[tuple[datetime, Point]]] = field(default_factory=dict)
    only_false: bool = False
    critical: bool = False
    _sources: dict[Unit, Source] = field(default_factory=dict, init=False)
    _parts: dict[Unit, Tape] = field(default_factory=dict, init=False)

    @property
    def weeks(self) -> float:
        """Length of the history."""
        return self.span.length / WEEK

    @cached_property
    def now(self) -> Mapping[Unit, tuple[Episode, ...]]:
        """What each unit did as it is set now."""
        return {unit: self._play(unit.alone, self._part(unit)) for unit in units(self.plan)}

    def advise(self, progress: Callable[[float], None] = lambda _: None) -> Advised:
        """Return advice on every rule; `progress` is told the share that is done."""
        counts = {unit: self._weekly(found) for unit, found in self.now.items()}
        tried: dict[Unit, Advice] = {}
        stuck: set[Unit] = set()
        while True:
            rooms = self._rooms({unit: sum(found) for unit, found in counts.items()}, stuck)
            for place, (unit, room) in enumerate(rooms.items()):
                known = tried.get(unit)
                if known is None or known.level != room / self.weeks:
                    tried[unit] = self._advise(unit, counts[unit], room)
                progress((place + 1) / len(rooms))
            more = {unit for unit, one in tried.items() if one.pages > one.level and not one.best}
            if more <= stuck:
                break
            stuck |= more
        after = self._together(tried)
        return Advised(
            self.weeks,
            weeks_needed(self.budget),
            sum(self._weekly(replay(self.plan.rules, self.tape))) / self.weeks,
            tuple(sorted(tried.values(), key=lambda each: (-each.pages, each.rule, each.subject))),
            after,
            self._weekly(after),
        )

    def _rooms(self, pages: Mapping[Unit, int], stuck: Collection[Unit]) -> dict[Unit, float]:
        """Return the pages that each unit may have, when some cannot come down."""
        budget = self.budget * self.weeks
        spare = max(0.0, budget - sum(pages.values()))
        loose = {unit: count for unit, count in pages.items() if unit not in stuck}
        left = max(0.0, budget - sum(pages[unit] for unit in stuck))
        rooms = dict(zip(loose, allotted(tuple(loose.values()), left), strict=True))
        return {unit: rooms.get(unit, 0) + spare for unit in pages}

    def _together(self, advice: Mapping[Unit, Advice]) -> tuple[Episode, ...]:
        """Return what there would have been with all that is proposed."""
        rules, tape = {rule.name: rule for rule in self.plan.rules}, self.tape
        for unit, one in advice.items():
            if one.best is not None:
                rule = rules[unit.rule.name]
                rules[rule.name], tape = self._changed(
                    unit, rule, tape, one.best.knob, one.best.value
                )
        return tuple(e for e in replay(rules.values(), tape) if e.began in self.span)

    def _advise(self, unit: Unit, counts: Sequence[int], room: float) -> Advice:
        name = "" if unit.subject is None else unit.subject[1]
        pages, level = sum(counts) / self.weeks, room / self.weeks
        interval = rate_interval(counts, self.weeks)
        critical = unit.rule.severity is Severity.CRITICAL
        spared = critical and not unit.rule.own and not self.critical
        every = tuple(knobs(unit, self._source(unit).figures))
        both = ((k, (*k.stricter, k.now, *k.looser)) for k in every if k.name in {"below", "above"})
        tried = (self._try(unit, knob, values, room) for knob, values in both)
        plain = Advice(
            unit.rule.name, name, pages, interval, level, (), None, next(tried, None), critical
        )
        if sum(counts) <= room:
            return plain
        left = [knob for knob in every if not spared or knob.name != "hold"]
        tried = (self._try(unit, knob, (knob.now, *knob.looser), room) for knob in left)
        options = tuple(option for option in tried if option is not None)
        best = min(options, key=_cost, default=None)
        return replace(plain, options=options, best=best, spared=len(left) < len(every))

    def _try(self, unit: Unit, knob: Knob, values: Sequence[Setting], room: float) -> Option | None:
        """Return the strictest of the values that keeps within the room; None: none does."""
        part = self._part(unit)
        counts: list[tuple[int, ...]] = []
        found: list[tuple[Episode, ...]] = []
        for value in reversed(values):
            rule, tape = self._changed(unit, unit.alone, part, knob.name, value)
            found.insert(0, self._play(rule, tape))
            counts.insert(0, self._weekly(found[0]))
            if sum(counts[0]) - max(counts[0]) > room:
                break  # whichever week is left out, it pages too much
        values = values[len(values) - len(counts) :]
        place = strictest(counts, room)
        if place is None:
            return None
        missed, delay = self._scored(unit, found[place])
        pages = sum(counts[place]) / self.weeks
        expected = left_out(counts, self.weeks, room)
        return Option(knob.name, knob.now, values[place], pages, expected, missed, delay)

    def _scored(self, unit: Unit, mine: tuple[Episode, ...]) -> tuple[int | None, timedelta | None]:
        if self.troubles is None:
            return None, None
        grace = {self.tape.model: self.grace}
        others = (e for other, found in self.now.items() if other != unit for e in found)
        every = sorted((*others, *mine), key=lambda e: (e.began, e.rule))
        missed = score(every, self.troubles, self.span, grace).missed
        return len(missed), score(mine, self.troubles, self.span, grace).delay

    def _weekly(self, episodes: Sequence[Episode]) -> tuple[int, ...]:
        """Return the pages of each week that count."""
        if self.only_false and self.troubles is not None:
            grace = {self.tape.model: self.grace}
            episodes = score(episodes, self.troubles, self.span, grace).false
        return weekly(episodes, self.span)

    def _part(self, unit: Unit) -> Tape:
        """Return what bears on a unit: what it and its parents are given."""
        known = self._parts.get(unit)
        if known is None:
            rules = with_parents(self.plan.rules, unit.rule.name)
            known = self._parts[unit] = self.tape.of(rules)
        return known

    def _play(self, rule: AlertRule, tape: Tape) -> tuple[Episode, ...]:
        rules = (rule, *(each for each in self.plan.rules if each.name != rule.name))
        found = replay(with_parents(rules, rule.name), tape)
        return tuple(e for e in found if e.rule == rule.name and e.began in self.span)

    def _changed(
        self, unit: Unit, rule: AlertRule, tape: Tape, knob: str, value: Setting
    ) -> tuple[AlertRule, Tape]:
        """Return the rule and the tape as they were with another setting."""
        if isinstance(value, timedelta):
            return replace(rule, hold=value), tape
        assert unit.limit is not None
        source = self._source(unit)
        judged = source.figures.judged(with_setting(unit.limit, knob, value))
        return rule, source.applied(tape, unit, judged)

    def _source(self, unit: Unit) -> Source:
        known = self._sources.get(unit)
        if known is None:
            series = self.series.get(unit.rule.name, ())
            found = Source(tuple(at for at, _ in series), Figures([p for _, p in series]))
            known = found if unit.subject is None else self._judged(unit)
            self._sources[unit] = known
        return known

    def _judged(self, unit: Unit) -> Source:
        mine = [p for p in self.tape.figures if (p[1].monitor, p[1].subject) == unit.subject]
        sure = unit.limit is not None and unit.limit.sure  # without its error nothing is sure
        points = (
            Point(
                v.window,
                v.score,
                self.errors.get((v.subject, v.window), math.nan) if sure else 0.0,
                v.n_current,
            )
            for _, v in mine
        )
        times, verdicts = tuple(at for at, _ in mine), tuple(v for _, v in mine)
        return Source(times, Figures(tuple(points)), verdicts)


def _cost(option: Option) -> tuple[int, timedelta]:
    if option.missed is None:
        return 0, timedelta(0)
    return option.missed, timedelta.max if option.delay is None else option.delay
