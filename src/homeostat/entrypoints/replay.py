"""What alert rules would have done: over a labelled history, or over what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from homeostat.alerting.budget import rate_interval
from homeostat.alerting.episode import IncidentState
from homeostat.alerting.replay import WEEK, Episode, Score, Trouble, score, told, weekly
from homeostat.alerting.silences import Silences
from homeostat.domain.decision import Severity
from homeostat.domain.errors import DataError, NotFoundError
from homeostat.domain.record import TIMESTAMP
from homeostat.domain.window import Window
from homeostat.engine.backtest import steps
from homeostat.engine.figures import REACH
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Records, Registry
from homeostat.engine.replay import replay
from homeostat.engine.replay_series import Listener, unrecorded
from homeostat.engine.silencing import SILENCES
from homeostat.engine.tape import Past, Recorded, Tape
from homeostat.entrypoints.backtest import Backtest, midway
from homeostat.entrypoints.history import read_history
from homeostat.entrypoints.replay_truth import FOREVER, read_truth
from homeostat.entrypoints.settings import Settings
from homeostat.entrypoints.settings.plan import model_plan
from homeostat.entrypoints.settings.receivers import manners_of
from homeostat.stats.intervals import Interval

Progress = Callable[[str, float], None]
"""Is told what is done, and the share of it."""

LOOKBACK = timedelta(days=30)
"""So much earlier than asked the replay of records begins: incidents may be open by then."""


@dataclass(frozen=True, slots=True)
class Lived:
    """One model's past: its plan as it is now, and what its rules were given.

    ``fired`` holds what is on record: the rule, and when it fired. ``errors`` are the standard
    errors of figures, by threshold and window.
    """

    plan: ModelPlan
    tape: Tape
    span: Window
    fired: tuple[tuple[str, datetime], ...]
    errors: Mapping[tuple[str, Window], float]
    listener: Listener
    past: Past
    silences: Silences

    @property
    def unknown(self) -> tuple[str, ...]:
        """Rules that look at what is not on record: they are not replayed."""
        return tuple(rule.name for rule in unrecorded(self.plan.rules))


@dataclass(frozen=True, slots=True)
class RuleFigures:
    """What one rule of one model came to."""

    model: str
    rule: str
    severity: Severity
    pages: int
    rate: float
    interval: Interval
    worst: int
    flaps: int
    median: timedelta
    longest: timedelta
    false: int | None


@dataclass(frozen=True, slots=True)
class ReceiverFigures:
    """How often a receiver was told: at once, after quiet hours or a silence, or not at all."""

    receiver: str
    at_once: int
    later: int
    never: int
    rate: float


@dataclass(frozen=True, slots=True)
class Report:
    """What the rules did.

    Attributes
    ----------
    span : Window
    episodes : tuple of Episode
    rules : tuple of RuleFigures
        Those that fired, the one that paged most first.
    receivers : tuple of ReceiverFigures
    weeks : tuple of int
        Pages of each week from the start of the span.
    score : Score or None
        None: what was really wrong is not known.
    recorded, same : int
        Incidents on record in the span, and those of them that the replay fires at the same tick.
    """

    span: Window
    episodes: tuple[Episode, ...]
    rules: tuple[RuleFigures, ...]
    receivers: tuple[ReceiverFigures, ...]
    weeks: tuple[int, ...]
    score: Score | None
    recorded: int
    same: int

    @property
    def rate(self) -> float:
        """Pages a week."""
        return len(self.episodes) / (self.span.length / WEEK)

    @property
    def interval(self) -> Interval:
        """95 % interval of the rate."""
        return rate_interval(self.weeks, self.span.length / WEEK)


def from_history(
    settings: Settings,
    model: str,
    file: Path,
    period: tuple[datetime | None, datetime | None],
    every: timedelta,
    folder: Path,
    progress: Progress,
) -> Lived:
    """Live through a labelled history with the engine, and take what it recorded.

    Parameters
    ----------
    settings : Settings
    model : str
    file : Path
    period : (datetime or None, datetime or None)
        From when, half-way through the history if None, until when.
    every : timedelta
        Time between two ticks.
    folder : Path
        For training runs.
    progress : callable

    Raises
    ------
    DataError
        If the period is not inside the history or the wrong way round.
    """
    name = settings.model(model).name
    rows = read_history(settings, name, file)
    begin, end = period
    start = midway(rows) if begin is None else begin
    if end is not None:
        _forwards(start, end)
        rows = rows.filter(pc.field("timestamp") < pa.scalar(end, TIMESTAMP))
        if not rows.num_rows:
            raise DataError(f"{file} has no rows before --to {end:%Y-%m-%d}")
    past = Backtest(settings, name, rows, start, folder)
    span = Window(start, past.end)
    past.progress = lambda _, now: progress(f"living through {name}", _share(span, now))
    ports = past.live(every)
    ticks = (start, *(window.end for window in steps(start, past.end, every)))
    recorded = Recorded(ports.records, past.plan, every, ticks)
    tape, known = recorded.read(Window(start, past.end + every))
    listener = Listener(past.plan, ports.records, ports.registry)
    return _lived(listener, tape, known, span, progress)


def from_records(
    settings: Settings,
    records: Records,
    registry: Registry,
    model: str,
    period: tuple[datetime | None, datetime | None],
    now: datetime,
    progress: Progress,
) -> Lived:
    """Read what a deployment recorded of one model; nothing is written.

    Raises
    ------
    NotFoundError
        If nothing was judged in the period.
    DataError
        If the period ends before it begins.
    """
    plan = model_plan(settings, model)
    name, (begin, end) = plan.spec.name, period
    if begin is not None and end is not None:
        _forwards(begin, end)
    first = next((d.at for d in records.decisions(name)), None)
    until = min(end or now, now)
    if first is None or first >= until:
        raise NotFoundError(f"nothing is recorded of {name} before {until:%Y-%m-%d %H:%M}")
    start = max(first, begin - LOOKBACK) if begin else first
    if start >= until:
        raise NotFoundError(f"nothing is recorded of {name} since {start:%Y-%m-%d %H:%M}")
    whole = Window(start, until)
    recorded = Recorded(records, plan, settings.server.tick)
    tape, past = recorded.read(whole, lambda at: progress(f"reading {name}", _share(whole, at)))
    since = max(begin or start, start)
    ticks = [at for at in tape.ticks if since <= at]
    if not ticks:
        raise NotFoundError(f"nothing was judged of {name} from {since:%Y-%m-%d} on")
    span = Window(since, ticks[-1] + timedelta(microseconds=1))
    return _lived(Listener(plan, records, registry), tape, past, span, progress)


def _lived(listener: Listener, tape: Tape, past: Past, span: Window, progress: Progress) -> Lived:
    """Add what rules on series would have said, and what is on record for comparison."""
    plan, records = listener.plan, listener.records
    name = plan.spec.name
    said = listener.heard(tape, past, lambda at: progress(f"listening to {name}", _share(span, at)))
    tape = tape.with_signals((at, rule, signal) for at, told in said for rule, signal in told)
    decisions = (d for d in records.decisions(name, span.start) if d.action == "fire")
    fired = tuple(
        (d.subject.removeprefix(f"{name}:").rpartition(":")[0], d.at)
        for d in decisions
        if d.at in span
    )
    errors: dict[tuple[str, Window], float] = {}
    for threshold in plan.thresholds:
        if getattr(threshold.config, "sure", False):
            points = records.metrics(name, threshold.metric, segment=threshold.segment)
            for p in points:
                errors[threshold.name, p.window] = (p.upper - p.lower) / (2.0 * REACH)
    silences = records.read(SILENCES, Silences) or Silences()
    return Lived(plan, tape, span, fired, errors, listener, past, silences)


def _forwards(start: datetime, end: datetime) -> None:
    if end <= start:
        raise DataError(f"--to {end:%Y-%m-%d} is not after --from {start:%Y-%m-%d}; swap the two")


def _share(span: Window, now: datetime) -> float:
    return (now - span.start) / span.length


def truth(settings: Settings, file: Path | None) -> tuple[Trouble, ...] | None:
    """Read what was really wrong; None: nobody says."""
    if file is None:
        return None
    rules = {
        part.name: [rule.name for rule in model_plan(settings, part.name).rules]
        for part in settings.models
    }
    return read_truth(file, rules)


def within(troubles: Iterable[Trouble], lived: Sequence[Lived]) -> tuple[Trouble, ...]:
    """Return the troubles of models that were replayed; those that go on end with the past."""
    until = max(each.span.end for each in lived)
    shown = {each.plan.spec.name for each in lived}
    cut = (replace(t, end=until) if t.end == FOREVER else t for t in troubles)
    return tuple(t for t in cut if t.model in shown and t.start < t.end)


def grace(plan: ModelPlan, given: timedelta | None) -> timedelta:
    """Return how long after its end a trouble may come to light: when its last labels are in."""
    return plan.spec.labels.maturity + plan.metric_window if given is None else given


def report(
    settings: Settings,
    lived: Sequence[Lived],
    troubles: Sequence[Trouble] | None,
    given: timedelta | None,
    progress: Progress,
) -> Report:
    """Replay the rules of all models over their past."""
    episodes: list[Episode] = []
    same = 0
    for each in lived:
        found = replay(each.plan.rules, each.tape, _telling(progress, "replaying", each))
        mine = [e for e in found if e.began in each.span]
        same += len({(e.rule, e.began) for e in mine} & set(each.fired))
        episodes += mine
    episodes.sort(key=lambda e: (e.began, e.model, e.rule))
    span = Window(min(e.span.start for e in lived), max(e.span.end for e in lived))
    scored = None
    if troubles is not None:
        late = {each.plan.spec.name: grace(each.plan, given) for each in lived}
        scored = score(episodes, within(troubles, lived), span, late)
    return Report(
        span,
        tuple(episodes),
        _by_rule(episodes, span, scored),
        _by_receiver(settings, episodes, lived[0].silences, span),
        weekly(episodes, span),
        scored,
        sum(len(each.fired) for each in lived),
        same,
    )


def _telling(progress: Progress, what: str, lived: Lived) -> Callable[[datetime], None]:
    name, span = lived.plan.spec.name, lived.span
    return lambda at: progress(f"{what} {name}", _share(span, at))


def _by_rule(
    episodes: Sequence[Episode], span: Window, scored: Score | None
) -> tuple[RuleFigures, ...]:
    groups: dict[tuple[str, str, Severity], list[Episode]] = {}
    for episode in episodes:
        groups.setdefault((episode.model, episode.rule, episode.severity), []).append(episode)
    weeks = span.length / WEEK
    found: list[RuleFigures] = []
    for (model, rule, severity), mine in groups.items():
        counts = weekly(mine, span)
        lengths = sorted(e.length(span.end) for e in mine)
        found.append(
            RuleFigures(
                model,
                rule,
                severity,
                len(mine),
                len(mine) / weeks,
                rate_interval(counts, weeks),
                max(counts),
                sum(e.flap for e in mine),
                lengths[len(lengths) // 2],
                lengths[-1],
                None if scored is None else sum(e in scored.false for e in mine),
            )
        )
    return tuple(sorted(found, key=lambda f: (-f.pages, f.model, f.rule)))


def _state(episode: Episode) -> IncidentState:
    """Return the incident as silences see it."""
    e = episode
    return IncidentState(e.model, e.rule, severity=e.severity, subjects=e.subjects)


def _by_receiver(
    settings: Settings, episodes: Sequence[Episode], silences: Silences, span: Window
) -> tuple[ReceiverFigures, ...]:
    manners = manners_of(settings.receivers)
    counts: dict[str, list[int]] = {}
    for episode in episodes:
        muted = [
            Window(each.start, each.end)
            for each in silences.silences
            if each.matcher.matches(_state(episode)) and each.start < each.end
        ]
        for name, moment in told(episode, manners, muted).items():
            place = 2 if moment is None else int(moment > episode.began)
            counts.setdefault(name, [0, 0, 0])[place] += 1
    weeks = span.length / WEEK
    return tuple(
        ReceiverFigures(name, at_once, later, never, (at_once + later) / weeks)
        for name, (at_once, later, never) in sorted(counts.items())
    )
