"""What the alert rules of a model were given, tick by tick, as its records tell afterwards.

Verdicts are recorded with the time that they judge and not with that at which they were known. This
follows from how the engine works: windows are judged at the first tick after their end, or after
their labels are complete, and ticks are where service verdicts begin and end.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np

from homeostat.alerting.conditions.signal import Signal
from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.rules import AlertRule
from homeostat.domain.decision import Decision
from homeostat.domain.verdict import DEGRADED, MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.cohort import cohorts
from homeostat.engine.estimates import PREFIX
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Records
from homeostat.engine.retire import REASON
from homeostat.engine.signals_served import Served
from homeostat.engine.turn import ABOUT_VERSION, AUTOMATIC, ON_LABELS

CHUNK = timedelta(days=7)
IN_TURN = frozenset({"fire", "resolve", "inhibit", "acknowledge", "begin_fault", "end_fault"})
"""Decisions that are made in a tick and dated by it."""
NEW_CHAMPION = frozenset({"promote", "push", "roll_back"})
LABELLED = frozenset({Monitor.PERFORMANCE, Monitor.CALIBRATION})
FIGURES = frozenset({Monitor.METRIC, Monitor.VALUE})

Subject = tuple[Monitor, str]
Progress = Callable[[datetime], None]


@dataclass(frozen=True, slots=True)
class Closed:
    """An incident that a person ended by hand."""

    rule: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Change:
    """What was new at one tick.

    Attributes
    ----------
    at : datetime
    forgotten : frozenset of Monitor
        Whose newest verdicts no longer counted, before those of this tick.
    verdicts : tuple of Verdict
    closed : tuple of Closed
    signals : tuple of (str, Signal)
        What rules on series say from then on.
    """

    at: datetime
    forgotten: frozenset[Monitor] = frozenset()
    verdicts: tuple[Verdict, ...] = ()
    closed: tuple[Closed, ...] = ()
    signals: tuple[tuple[str, Signal], ...] = ()


@dataclass(frozen=True, slots=True)
class Tape:
    """All changes of one model in a stretch of time, and the ticks.

    Verdicts that say the same to the rules as the one before are left out of the changes.
    ``figures`` holds every verdict on a figure with an owner's limit, with its tick.
    """

    model: str
    ticks: tuple[datetime, ...]
    changes: tuple[Change, ...]
    figures: tuple[tuple[datetime, Verdict], ...] = ()

    def of(self, rules: Iterable[AlertRule]) -> Tape:
        """Return what bears on some rules."""
        wanted = tuple(rules)
        names = {rule.name for rule in wanted}
        monitors = {r.condition.monitor for r in wanted if isinstance(r.condition, Verdicts)}
        changes = (
            replace(
                change,
                verdicts=tuple(v for v in change.verdicts if v.monitor in monitors),
                signals=tuple(pair for pair in change.signals if pair[0] in names),
            )
            for change in self.changes
        )
        kept = tuple(c for c in changes if c.verdicts or c.forgotten or c.closed or c.signals)
        return replace(self, changes=kept)

    def after(self, moment: datetime) -> datetime | None:
        """Return the first tick after a moment; None: there is none."""
        place = bisect_right(self.ticks, moment)
        return self.ticks[place] if place < len(self.ticks) else None

    def with_signals(self, heard: Iterable[tuple[datetime, str, Signal]]) -> Tape:
        """Return the tape with what rules on series say, in place of what they said on it."""
        mine: dict[datetime, list[tuple[str, Signal]]] = {}
        names: set[str] = set()
        for at, rule, signal in heard:
            mine.setdefault(at, []).append((rule, signal))
            names.add(rule)
        kept = {
            c.at: replace(c, signals=tuple(pair for pair in c.signals if pair[0] not in names))
            for c in self.changes
        }
        for at, told in mine.items():
            change = kept.get(at, Change(at))
            kept[at] = replace(change, signals=(*change.signals, *told))
        return replace(self, changes=tuple(kept[at] for at in sorted(kept)))

    def with_verdicts(self, subject: Subject, judged: Iterable[tuple[datetime, Verdict]]) -> Tape:
        """Return the tape as it were if one subject had been judged otherwise."""
        mine: dict[datetime, list[Verdict]] = {}
        for at, verdict in judged:
            mine.setdefault(at, []).append(verdict)
        changes: list[Change] = []
        for change in self.changes:
            kept = [v for v in change.verdicts if (v.monitor, v.subject) != subject]
            found = (*kept, *mine.pop(change.at, ()))
            changes.append(replace(change, verdicts=found))
        changes += (Change(at, verdicts=tuple(found)) for at, found in mine.items())
        ordered = tuple(sorted(changes, key=lambda change: change.at))
        return replace(self, changes=ordered)


@dataclass(frozen=True, slots=True)
class Past:
    """What rules on series look at, by the tick at which it was known.

    ``champions`` says from when on which version answered.
    """

    champions: tuple[tuple[datetime, str], ...] = ()
    points: Mapping[datetime, tuple[MetricPoint, ...]] = field(default_factory=dict)
    served: Mapping[datetime, Served] = field(default_factory=dict)

    def champion(self, now: datetime) -> str:
        """Return the version that answered; empty: there was none."""
        place = bisect_right(self.champions, now, key=lambda pair: pair[0])
        return self.champions[place - 1][1] if place else ""


@dataclass
class Recorded:
    """Reads one model's records as a tape, and leaves them as they are.

    Parameters
    ----------
    records : Records
    plan : ModelPlan
    step : timedelta
        Time between two ticks where the records do not tell: in hours without a request.
    ticks : sequence of datetime, optional
        All of them, by time, where they are known.
    """

    records: Records
    plan: ModelPlan
    step: timedelta
    ticks: Sequence[datetime] = ()
    _kept: list[tuple[datetime, Verdict]] = field(default_factory=list, init=False)
    _figures: list[tuple[datetime, Verdict]] = field(default_factory=list, init=False)
    _first: datetime | None = field(default=None, init=False)
    _last: datetime | None = field(default=None, init=False)
    _turns: dict[Window, Served] = field(default_factory=dict, init=False)
    _broken: dict[tuple[str, datetime], Window] = field(default_factory=dict, init=False)

    def read(self, span: Window, progress: Progress = lambda _: None) -> tuple[Tape, Past]:
        """Read what was known in a stretch of time."""
        name = self.plan.spec.name
        every = self.records.decisions(name)
        decisions = [d for d in every if span.start <= d.at <= span.end]
        replaced = [d.at for d in decisions if d.action in NEW_CHAMPION]
        faults = [d.at for d in decisions if d.action == "begin_fault"]
        self._read(span, sorted(replaced + faults), progress)
        ticks = tuple(self.ticks) or self._ticks(decisions, span)
        changes = self._changes(ticks, decisions)
        placed = ((_tick(ticks, known), v) for known, v in self._figures)
        figures = tuple((at, verdict) for at, verdict in placed if at is not None)
        past = Past(_champions(every), self._points(ticks, span), self._served(ticks))
        return Tape(name, ticks, changes, figures), past

    def _read(self, span: Window, forgetting: list[datetime], progress: Progress) -> None:
        """Keep what says something new, and when: a year has a million verdicts."""
        newest: dict[Subject, tuple[Status, int, int, int]] = {}
        enough = _fewest_rows(self.plan.rules)
        start = span.start - self.plan.spec.labels.maturity - CHUNK
        while start < span.end:
            end = min(start + CHUNK, span.end)
            for verdict in self.records.verdicts(self.plan.spec.name, start, end):
                known = self.known(verdict)
                if not span.start <= known <= span.end:
                    continue
                self._first = min(self._first or known, known)
                self._last = max(self._last or known, known)
                self._note(verdict, known)
                soon = bisect_right(forgetting, known + 2 * self.step)
                place = bisect_right(enough.get(verdict.monitor, ()), verdict.n_current)
                now = (verdict.status, place, bisect_left(forgetting, known), soon)
                subject = (verdict.monitor, verdict.subject)
                if newest.get(subject) != now:
                    newest[subject] = now
                    self._kept.append((known, verdict))
            start += CHUNK
            progress(min(start, span.end))

    def _note(self, verdict: Verdict, known: datetime) -> None:
        """Keep of a verdict what is needed besides its status."""
        service = verdict.monitor is Monitor.SERVICE and REASON not in verdict.reason
        if service and verdict.subject == "availability":
            reasons = {name: int(count) for name, count in verdict.details}
            self._turns[verdict.window] = Served(
                verdict.window, verdict.n_current, 0, reasons, np.empty(0)
            )
        if verdict.monitor is Monitor.DATA_QUALITY and verdict.status is Status.DRIFT:
            self._broken[verdict.subject, known] = verdict.window
        if verdict.monitor in FIGURES or verdict.subject == DEGRADED:
            self._figures.append((known, verdict))

    def _points(
        self, ticks: Sequence[datetime], span: Window
    ) -> dict[datetime, tuple[MetricPoint, ...]]:
        """Return the figures that rules look at, as they are on record now."""
        spec = self.plan.spec
        wanted: dict[tuple[str, str], timedelta] = {}
        for rule in self.plan.rules:
            series = rule.series
            if series is not None:
                key = (series.name, series.segment)
                wanted[key] = max(series.every, wanted.get(key, series.every))
        found: dict[datetime, list[MetricPoint]] = {}
        for (name, segment), every in sorted(wanted.items()):
            late = timedelta(0) if name.startswith(PREFIX) else spec.labels.maturity
            since = span.start - late - every
            for point in self.records.metrics(spec.name, name, since, span.end, segment=segment):
                at = _tick(ticks, point.window.end + late)
                if at is not None and point.window.end + late >= span.start:
                    found.setdefault(at, []).append(point)
        return {at: tuple(points) for at, points in found.items()}

    def _served(self, ticks: Sequence[datetime]) -> dict[datetime, Served]:
        """Return what was answered up to each tick since the one before."""
        if all(rule.series is None for rule in self.plan.rules):
            return {}
        by_end = {window.end: served for window, served in self._turns.items()}
        return {
            after: by_end.get(after) or Served(Window(before, after), 0, 0, {}, np.empty(0))
            for before, after in pairwise(ticks)
        }

    def known(self, verdict: Verdict) -> datetime:
        """Return from when on a verdict may have been known."""
        end = verdict.window.end
        if REASON in verdict.reason:
            return end
        if verdict.monitor in LABELLED:
            return end + cohorts(self.plan.spec)[0].maturity
        if verdict.monitor in FIGURES and not self._estimated(verdict.subject):
            return end + self.plan.spec.labels.maturity
        return end

    def _estimated(self, name: str) -> bool:
        metric = next((t.metric for t in self.plan.thresholds if t.name == name), "")
        return metric.startswith(PREFIX)

    def _ticks(self, decisions: Iterable[Decision], span: Window) -> tuple[datetime, ...]:
        """Return when the engine looked: surely where it said so, else as often as it should."""
        turns = {(window.start, window.end) for window in self._turns}
        sure = {moment for turn in turns for moment in turn}
        sure |= {d.at for d in decisions if d.action in IN_TURN}
        if self._first and self._last and not turns:
            sure |= {self._first, self._last}
        known = sorted(moment for moment in sure if span.start <= moment <= span.end)
        found = known[:1]
        for before, after in pairwise(known):
            moment = before + self.step
            while (before, after) not in turns and after - moment >= self.step / 2:
                found.append(moment)
                moment += self.step
            found.append(after)
        last = self._last or span.start
        while found and found[-1] < last:
            found.append(found[-1] + self.step)
        return tuple(found)

    def _changes(
        self, ticks: tuple[datetime, ...], decisions: Sequence[Decision]
    ) -> tuple[Change, ...]:
        verdicts: dict[datetime, list[Verdict]] = {}
        for known, verdict in sorted(self._kept, key=lambda pair: pair[0]):
            at = _tick(ticks, known)
            if at is not None:
                verdicts.setdefault(at, []).append(verdict)
        forgotten: dict[datetime, frozenset[Monitor]] = {}
        for at, monitors in self._forgotten(ticks, decisions):
            forgotten[at] = forgotten.get(at, frozenset()) | monitors
        closed: dict[datetime, list[Closed]] = {}
        for d in decisions:
            if d.action == "resolve" and d.actor != AUTOMATIC:
                rule = d.subject.rpartition(":")[0].partition(":")[2]
                closed.setdefault(d.at, []).append(Closed(rule, d.actor, d.reason))
        return tuple(
            Change(
                at,
                forgotten.get(at, frozenset()),
                tuple(verdicts.get(at, ())),
                tuple(closed.get(at, ())),
            )
            for at in sorted({*verdicts, *forgotten, *closed})
        )

    def _forgotten(
        self, ticks: tuple[datetime, ...], decisions: Iterable[Decision]
    ) -> Iterator[tuple[datetime, frozenset[Monitor]]]:
        """Yield when evidence was dropped: on a champion that went, and from broken rows."""
        for d in decisions:
            place = bisect_left(ticks, d.at)
            if d.action in NEW_CHAMPION:
                # What people ask for is done before the tick looks, the rest after.
                after = place if d.actor != AUTOMATIC else place + 1
                if after < len(ticks):
                    yield ticks[after], frozenset(ABOUT_VERSION)
            elif d.action == "begin_fault" and place < len(ticks) and self._spoilt(ticks, place, d):
                yield d.at, frozenset(ON_LABELS)

    def _spoilt(self, ticks: tuple[datetime, ...], place: int, fault: Decision) -> bool:
        """Whether rows of a fault had been judged before it was found."""
        if place == 0:
            return False
        judged = ticks[place - 1] - cohorts(self.plan.spec)[0].maturity
        windows = (
            window
            for (column, known), window in self._broken.items()
            if column == fault.subject and ticks[place - 1] < known <= fault.at
        )
        first = min(windows, default=None)
        return first is None or first.start - first.length < judged


def _fewest_rows(rules: Iterable[AlertRule]) -> dict[Monitor, tuple[int, ...]]:
    """Return how many rows rules on verdicts want, by monitor, in order."""
    found: dict[Monitor, set[int]] = {}
    for rule in rules:
        if isinstance(rule.condition, Verdicts):
            found.setdefault(rule.condition.monitor, set()).add(rule.condition.min_rows)
    return {monitor: tuple(sorted(wanted)) for monitor, wanted in found.items()}


def _tick(ticks: Sequence[datetime], known: datetime) -> datetime | None:
    """Return the first tick at which something was known; None: there was none any more."""
    place = bisect_left(ticks, known)
    return ticks[place] if place < len(ticks) else None


def _champions(decisions: Iterable[Decision]) -> tuple[tuple[datetime, str], ...]:
    lineage: list[str] = []
    found: list[tuple[datetime, str]] = []
    for d in decisions:
        if d.action in {"install", "promote", "push"}:
            lineage.append(d.subject)
        elif d.action == "roll_back" and lineage:
            lineage.pop()
        else:
            continue
        # The engine promotes at the end of a tick, people before it looks.
        later = timedelta(microseconds=int(d.actor == AUTOMATIC and d.action != "install"))
        found.append((d.at + later, lineage[-1] if lineage else ""))
    return tuple(found)
