"""The story of an incident, read from the records: its timeline, charts and post-mortem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeostat.alerting.episode import IncidentState
from homeostat.alerting.timeline import BEFORE, Entry, Episode, Kind, Told, concerning, timeline
from homeostat.domain.clock import Clock
from homeostat.domain.model import ModelSpec
from homeostat.domain.verdict import MetricPoint, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.ports import Records
from homeostat.engine.watch import incident_key
from homeostat.entrypoints.http.reading import Reader
from homeostat.reports.figure import Curve, curves, figure, metric_curves
from homeostat.reports.health import IncidentLine
from homeostat.reports.postmortem import Line, PostMortem, impact

MOST_DELIVERIES = 500
LEAST_FRAME = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one episode of an incident.

    Attributes
    ----------
    line : IncidentLine
    episode : Episode
    state : IncidentState or None
        None if a newer episode has taken its place.
    entries : tuple of Entry
        The timeline, oldest first.
    told : tuple of Told
    verdicts : tuple of Verdict
        Of the incident's subjects, from some time before it.
    points : tuple of MetricPoint
        Of the metrics that it is about.
    frame : Window
        What charts show.
    now : datetime
    """

    line: IncidentLine
    episode: Episode
    state: IncidentState | None
    entries: tuple[Entry, ...]
    told: tuple[Told, ...]
    verdicts: tuple[Verdict, ...]
    points: tuple[MetricPoint, ...]
    frame: Window
    now: datetime

    @property
    def span(self) -> Window:
        """From when it fired until it was over, or now."""
        start = self.line.opened or self.now
        least = start + self.frame.length / 1000
        return Window(start, max(self.line.resolved or self.now, least))

    @property
    def curves(self) -> tuple[Curve, ...]:
        """What its charts show."""
        return curves(self.verdicts) or metric_curves(self.points, self.episode.subjects)

    def charts(self) -> tuple[str, ...]:
        """Return its charts as SVG."""
        return tuple(figure(curve, self.span, self.frame) for curve in self.curves)


@dataclass(frozen=True)
class Stories:
    """Tells the stories of incidents.

    Parameters
    ----------
    records : Records
    specs : mapping of model name to ModelSpec
    clock : Clock
    """

    records: Records
    specs: Mapping[str, ModelSpec]
    clock: Clock

    def of(self, key: str) -> Story:
        """Return the story of the episode with this key; raises NotFoundError."""
        now = self.clock.now()
        line = Reader(self.records, self.specs, self.clock).incident(key)
        rule = key.removeprefix(f"{line.model}:").rpartition(":")[0]
        found = self.records.read(incident_key(line.model, rule), IncidentState)
        state = found if found is not None and found.key == key else None
        opened, over = line.opened or now, line.resolved or now
        began = None if state is None else state.began
        subjects = () if state is None else state.subjects
        episode = Episode(key, line.model, rule, began, line.opened, line.resolved, subjects)
        frame = _frame(opened, over)
        verdicts = self.records.verdicts(line.model, since=frame.start - BEFORE, until=frame.end)
        mine = concerning(episode, verdicts)
        told = self._told(key)
        since = min(opened, began or opened)
        decisions = self.records.decisions(line.model, since=since)
        entries = timeline(episode, decisions, told, mine, now)
        points = self._points(episode, frame)
        return Story(line, episode, state, entries, told, mine, points, frame, now)

    def _points(self, episode: Episode, frame: Window) -> tuple[MetricPoint, ...]:
        """Return the figures that an incident on a metric is about."""
        names = {subject.partition(" of ")[0] for subject in episode.subjects}
        return tuple(
            point
            for name in sorted(names)
            for point in self.records.metrics(
                episode.model, name, frame.start - BEFORE, frame.end, segment=None
            )
        )

    def _told(self, key: str) -> tuple[Told, ...]:
        found = self.records.deliveries(MOST_DELIVERIES, incident=key)
        return tuple(
            Told(
                max(d.at, d.notice.at),
                d.notice.receiver,
                d.notice.action.value,
                d.status,
                d.attempts,
                d.said,
            )
            for d in reversed(found)
        )

    def postmortem(self, story: Story) -> PostMortem:
        """Return what the document of an incident holds."""
        span, model = story.span, story.line.model
        before = Window(span.start - max(span.length, BEFORE), span.start)
        verdicts = self.records.verdicts(model, since=before.start, until=span.end)
        points = self.records.metrics(model, since=before.start, until=span.end)
        lines = tuple(
            Line(each.at, each.kind.value, each.words, each.actor, each.evidence)
            for each in story.entries
        )
        drifted = (v.window.start for v in story.verdicts if v.status is Status.DRIFT)
        taken = (each.at for each in story.told if each.status == "done")
        acknowledged = (e.at for e in story.entries if e.kind is Kind.ACKNOWLEDGED)
        first = min((start for start in drifted if start <= span.start), default=None)
        return PostMortem(
            incident=story.line,
            began=first if first is not None else story.episode.began,
            told=min(taken, default=None),
            acknowledged=min(acknowledged, default=None),
            lines=lines,
            done=tuple(line for line in lines if line.kind == Kind.ACTION.value),
            impact=impact(verdicts, points, span, before),
            curves=story.curves,
            frame=story.frame,
            generated=story.now,
        )


def _frame(opened: datetime, over: datetime) -> Window:
    """Return what charts show: the incident, and as much before it and a little after."""
    length = max(over - opened, LEAST_FRAME)
    return Window(opened - min(2 * length, BEFORE), max(over, opened) + length / 4)


def told_of(story: Story) -> dict[str, object]:
    """Return a story for machines."""
    line, state = story.line, story.state
    return {
        "key": line.key,
        "model": line.model,
        "rule": story.episode.rule,
        "title": line.title,
        "severity": line.severity,
        "stage": line.stage,
        "open": line.open,
        "began": story.episode.began,
        "opened": line.opened,
        "resolved": line.resolved,
        "reason": line.reason,
        "cause": line.cause,
        "subjects": story.episode.subjects,
        "runbook": line.runbook,
        "acknowledged_by": line.acknowledged_by,
        "silenced": None if state is None else state.silenced or None,
        "told": [] if state is None else state.told,
        "timeline": story.entries,
    }
