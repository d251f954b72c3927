"""What pages and reports show, read from the records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from homeostat.alerting.episode import IncidentState
from homeostat.domain.clock import Clock
from homeostat.domain.decision import Decision, Severity
from homeostat.domain.errors import NotFoundError
from homeostat.domain.model import ModelSpec
from homeostat.domain.verdict import MetricPoint, Verdict
from homeostat.domain.window import Window
from homeostat.engine.commands import Command, Inbox, inbox_key
from homeostat.engine.importance import IMPORTANCE
from homeostat.engine.ports import Records
from homeostat.engine.watch import retraining_key, rollout_key
from homeostat.entrypoints.current import Late, Why, late, why
from homeostat.reports.document import Report, model_report
from homeostat.reports.health import Health, IncidentLine, MonitorLine, health, monitors
from homeostat.retraining.run import RunState
from homeostat.rollout.state import RolloutState

LATELY = timedelta(days=2)
LONG_AGO = timedelta(days=90)
EPISODE_ACTIONS = frozenset({"fire", "acknowledge", "resolve"})
ABOUT_INCIDENTS = EPISODE_ACTIONS | {"inhibit"}


@dataclass(frozen=True, slots=True)
class Glance:
    """One model in the overview."""

    model: str
    task: str
    health: Health
    rollout: RolloutState | None
    open_incidents: int


def incident_line(state: IncidentState) -> IncidentLine:
    """Return an incident's current episode as pages show it."""
    return IncidentLine(
        key=state.key,
        model=state.model,
        title=state.title or state.rule,
        severity=state.severity,
        stage=state.stage.value,
        open=state.open,
        reason=state.reason,
        opened=state.fired_at,
        resolved=state.resolved_at,
        cause=state.cause,
        runbook=state.runbook,
        acknowledged_by=state.acknowledged_by,
    )


def past_episodes(decisions: Sequence[Decision]) -> dict[str, IncidentLine]:
    """Rebuild incidents from the decision log, by key; later ones replace only what they say."""
    found: dict[str, IncidentLine] = {}
    for decision in decisions:
        if decision.action not in EPISODE_ACTIONS:
            continue
        line = found.get(decision.subject)
        if line is None:
            rule = decision.subject.removeprefix(f"{decision.model}:").rpartition(":")[0]
            title = f"{decision.model}: {rule.replace('_', ' ')}"
            key, reason = decision.subject, decision.reason
            line = IncidentLine(
                key, decision.model, title, Severity.WARNING, "fired", open=False, reason=reason
            )
        match decision.action:
            case "fire":
                line = replace(line, opened=decision.at, reason=decision.reason)
            case "acknowledge":
                line = replace(line, acknowledged_by=decision.actor)
            case _:
                line = replace(line, resolved=decision.at, stage="resolved")
        found[decision.subject] = line
    return found


@dataclass(frozen=True)
class Reader:
    """Answers the pages' questions.

    Parameters
    ----------
    records : Records
    specs : mapping of model name to ModelSpec
    clock : Clock
    """

    records: Records
    specs: Mapping[str, ModelSpec]
    clock: Clock

    def spec(self, model: str) -> ModelSpec:
        """Return a model's specification; raises NotFoundError."""
        try:
            return self.specs[model]
        except KeyError:
            raise NotFoundError(
                f"no model is named {model!r}; the overview lists those there are"
            ) from None

    def current_incidents(self) -> tuple[IncidentLine, ...]:
        """Return the last episode of every rule that ever fired, of every model."""
        states = (self.records.read(key, IncidentState) for key in self.records.keys("incident:"))
        return tuple(incident_line(state) for state in states if state and state.episode)

    def incidents(self, model: str, window: Window) -> tuple[IncidentLine, ...]:
        """Return a model's open incidents, and those that opened in the window; newest first."""
        found = past_episodes(self.records.decisions(model, since=window.start))
        found |= {line.key: line for line in self.current_incidents() if line.model == model}
        shown = [
            line
            for line in found.values()
            if line.open or (line.opened is not None and line.opened in window)
        ]
        shown.sort(key=lambda line: (line.open, line.opened or window.start), reverse=True)
        return tuple(shown)

    def incident(self, key: str) -> IncidentLine:
        """Return one episode, open or long past; raises NotFoundError."""
        for line in self.current_incidents():
            if line.key == key:
                return line
        model = max(
            (name for name in self.specs if key.startswith(f"{name}:")), key=len, default=""
        )
        line_or_none = past_episodes(self.records.decisions(model)).get(key) if model else None
        if line_or_none is None:
            raise NotFoundError(f"no incident has the key {key!r}")
        return line_or_none

    def timeline(self, line: IncidentLine) -> tuple[Decision, ...]:
        """Return what was decided about the model while the incident lasted, oldest first."""
        until = line.resolved or self.clock.now()
        return tuple(
            decision
            for decision in self.records.decisions(line.model, since=line.opened)
            if decision.subject == line.key
            or (decision.action not in ABOUT_INCIDENTS and decision.at <= until)
        )

    def rollout(self, model: str) -> RolloutState | None:
        """Return the rollout's state, None before the first version."""
        return self.records.read(rollout_key(model), RolloutState)

    def retraining(self, model: str) -> RunState | None:
        """Return the model's latest retraining run, None if there was none."""
        run = self.records.read(retraining_key(model), RunState)
        return run if run and run.number else None

    def why(self, model: str) -> Why:
        """Return the model's present diagnosis and what rows said of it."""
        return why(self.records, model)

    def late(self, model: str) -> Late:
        """Return what has come after it was judged or measured."""
        return late(self.records, model)

    def asked(self, model: str) -> tuple[Command, ...]:
        """Return what people asked for and the engine has not yet done."""
        inbox = self.records.read(inbox_key(model), Inbox)
        return inbox.commands if inbox else ()

    def lately(self, model: str, now: datetime) -> tuple[Verdict, ...]:
        """Return recent verdicts, or the last ones of a model that fell silent."""
        recent = self.records.verdicts(model, since=now - LATELY)
        return recent or self.records.verdicts(model, since=now - LONG_AGO)

    def state(self, model: str, now: datetime) -> tuple[Health, tuple[MonitorLine, ...]]:
        """Return a model's health and what each of its monitors says."""
        verdicts = self.lately(model, now)
        fires = [line for line in self.current_incidents() if line.model == model]
        return health(verdicts, fires, now), monitors(verdicts)

    def overview(self) -> tuple[Glance, ...]:
        """Return every model, the most troubled first."""
        now = self.clock.now()
        incidents = self.current_incidents()
        glances = []
        for model, spec in self.specs.items():
            fires = [line for line in incidents if line.model == model]
            judged = health(self.lately(model, now), fires, now)
            count = sum(line.open for line in fires)
            glances.append(Glance(model, spec.task.value, judged, self.rollout(model), count))
        return tuple(sorted(glances, key=lambda glance: (glance.health.level.rank, glance.model)))

    def points(self, model: str, window: Window) -> tuple[MetricPoint, ...]:
        """Return the metric points whose window starts in the period, but for importances."""
        found = self.records.metrics(model, since=window.start, until=window.end)
        return tuple(point for point in found if not point.name.startswith(IMPORTANCE))

    def report(self, models: Sequence[str], window: Window, title: str) -> Report:
        """Collect a period into a report."""
        now = self.clock.now()
        return Report(
            title=title,
            window=window,
            generated=now,
            models=tuple(
                model_report(
                    self.spec(model),
                    self.records.verdicts(model, since=window.start, until=window.end),
                    self.points(model, window),
                    tuple(reversed(self.incidents(model, window))),
                    self._decisions(model, window),
                    now,
                )
                for model in models
            ),
        )

    def _decisions(self, model: str, window: Window) -> tuple[Decision, ...]:
        decisions = self.records.decisions(model, since=window.start)
        return tuple(decision for decision in decisions if decision.at <= window.end)
