"""The alarms of a backtest, held to what its owner knows was really wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from homeostat.alerting.replay import Episode, Score, Trouble, score
from homeostat.domain.decision import Decision
from homeostat.domain.window import Window
from homeostat.engine.plan import ModelPlan
from homeostat.entrypoints.replay_truth import FOREVER


@dataclass(frozen=True, slots=True)
class Alarms:
    """What fired, by time; ``score`` is None where nobody says what was wrong."""

    episodes: tuple[Episode, ...]
    score: Score | None = None

    @property
    def precision(self) -> float | None:
        """Share of the alarms that were about a known incident; None: no alarms, or no truth."""
        if self.score is None or not self.episodes:
            return None
        return 1.0 - len(self.score.false) / len(self.episodes)

    @property
    def recall(self) -> float | None:
        """Share of the known incidents that were told; None: there are none, or no truth."""
        if self.score is None:
            return None
        whole = len(self.score.found) + len(self.score.missed)
        return len(self.score.found) / whole if whole else None

    def delay(self, episode: Episode) -> timedelta | None:
        """Return how long after the begin of the first incident that it told an alarm fired."""
        found = () if self.score is None else self.score.found
        return next((each.delay for each in found if each.episode == episode), None)


def alarms(
    plan: ModelPlan,
    decisions: Iterable[Decision],
    span: Window,
    truth: Sequence[Trouble] | None = None,
) -> Alarms:
    """Return the alarms among the decisions of a backtest.

    Parameters
    ----------
    plan : ModelPlan
        An incident may still be told until the last labels of its end are in and measured.
    decisions : iterable of Decision
        By time.
    span : Window
        What was lived through; a known incident that goes on ends with it.
    truth : sequence of Trouble, optional
        Those of other models are passed over.
    """
    name = plan.spec.name
    episodes = tuple(_episodes(plan, decisions))
    if truth is None:
        return Alarms(episodes)
    cut = (replace(each, end=span.end) if each.end == FOREVER else each for each in truth)
    mine = [each for each in cut if each.model == name and each.start < each.end]
    late = plan.spec.labels.maturity + plan.metric_window
    return Alarms(episodes, score(episodes, mine, span, {name: late}))


def _episodes(plan: ModelPlan, decisions: Iterable[Decision]) -> list[Episode]:
    severities = {rule.name: rule.severity for rule in plan.rules}
    begun: dict[str, tuple[Episode, datetime | None]] = {}
    for decision in decisions:
        if decision.action == "fire":
            rule = decision.subject.removeprefix(f"{plan.spec.name}:").rpartition(":")[0]
            begun[decision.subject] = (
                Episode(
                    plan.spec.name, rule, severities[rule], decision.at, reason=decision.reason
                ),
                None,
            )
        elif decision.action == "resolve" and decision.subject in begun:
            begun[decision.subject] = (begun[decision.subject][0], decision.at)
    return [replace(episode, ended=ended) for episode, ended in begun.values()]
