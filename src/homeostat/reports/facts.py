"""What reports rest on: the records of one model, gathered, and never its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite

from homeostat.domain.decision import Decision, Diagnosis
from homeostat.domain.model import ModelSpec, ModelVersion, Task
from homeostat.domain.verdict import AlarmBudget, MetricPoint, Verdict
from homeostat.domain.window import Window
from homeostat.reports.health import IncidentLine
from homeostat.reports.plots import Spread

IMPORTANCE, ESTIMATED = "importance:", "estimated"
"""As `homeostat.engine.importance` and `homeostat.engine.estimates` name their points."""
MATURED, WEIGHTED = "matured", "weighted"
WHOLE = "all versions"
"""Version of the figures of all rows together: `homeostat.engine.figures.WHOLE`."""
HIGHER = frozenset(
    {
        "auc", "macro_auc", "average_precision", "accuracy", "precision",
        "recall", "specificity", "f1", "macro_f1", "weighted_f1", "macro_precision",
        "macro_recall", "mcc", "r2",
    }
)  # fmt: skip
LOWER = frozenset(
    {
        "brier", "log_loss", "ece", "calibration_error", "mae", "rmse", "mape", "wape", "pinball",
    }
)  # fmt: skip
FIRST = {
    Task.BINARY: ("auc", "log_loss", "brier", "accuracy"),
    Task.MULTICLASS: ("accuracy", "macro_f1", "log_loss"),
    Task.REGRESSION: ("mae", "rmse", "r2"),
}


@dataclass(frozen=True, slots=True)
class Business:
    """A figure of what predictions are worth; a total counts for all versions together."""

    name: str
    better: str = "higher"
    total: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """The records of one model.

    Attributes
    ----------
    spec : ModelSpec
    window : Window
        What the report is about; `verdicts`, `decisions` and `incidents` may begin earlier.
    generated : datetime
    champion : str
        Empty: there is no version yet.
    promoted : datetime or None
        Since when it is champion.
    verdicts : tuple of Verdict
        From one window's length before it.
    points : tuple of MetricPoint
        Of all segments, from so long before that labels have matured since.
    decisions : tuple of Decision
    incidents : tuple of IncidentLine
        Open ones, and those that fired in the window.
    versions : tuple of ModelVersion
        Cards, oldest first.
    lineage : tuple of str
        Champions before, that can be gone back to.
    business : tuple of Business
    baseline : tuple of (str, float)
        Metrics of the champion on rows that it was not trained on, before it served.
    diagnosis : Diagnosis or None
        The present one.
    budget : AlarmBudget
    pages : tuple of (str, int)
        Notices that each receiver took in the window.
    answered : tuple of (Window, int)
        Rows of each day.
    spreads : tuple of (str, tuple of Spread)
        Quantiles by day of the score and of columns.
    problems : tuple of str
        What could not be read.
    """

    spec: ModelSpec
    window: Window
    generated: datetime
    champion: str = ""
    promoted: datetime | None = None
    verdicts: tuple[Verdict, ...] = ()
    points: tuple[MetricPoint, ...] = ()
    decisions: tuple[Decision, ...] = ()
    incidents: tuple[IncidentLine, ...] = ()
    versions: tuple[ModelVersion, ...] = ()
    lineage: tuple[str, ...] = ()
    business: tuple[Business, ...] = ()
    baseline: tuple[tuple[str, float], ...] = ()
    diagnosis: Diagnosis | None = None
    budget: AlarmBudget = field(default_factory=AlarmBudget)
    pages: tuple[tuple[str, int], ...] = ()
    answered: tuple[tuple[Window, int], ...] = ()
    spreads: tuple[tuple[str, tuple[Spread, ...]], ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def done(self) -> tuple[Decision, ...]:
        """What was decided in the window."""
        return tuple(each for each in self.decisions if each.at in self.window)

    @property
    def judged(self) -> tuple[Verdict, ...]:
        """Verdicts on windows that end in the window."""
        start, end = self.window.start, self.window.end
        return tuple(v for v in self.verdicts if start < v.window.end <= end)

    @property
    def answering(self) -> tuple[str, ...]:
        """The versions that answered in the window, as far as figures tell, else the champion."""
        found = {
            point.version
            for point in self.points
            if point.version not in {"", WHOLE} and point.window.start in self.window
        }
        return tuple(sorted(found)) or (self.champion or "no version",)

    @property
    def totals(self) -> frozenset[str]:
        """Names of figures that are sums of windows."""
        return frozenset(each.name for each in self.business if each.total)

    def realized(self, name: str) -> tuple[MetricPoint, ...]:
        """Return the figures of one metric on complete labels and all rows, by time."""
        return tuple(
            point
            for point in sorted(self.points, key=lambda point: (point.window, point.version))
            if point.name == name and point.cohort == MATURED and not point.segment
        )

    def estimated(self, name: str) -> tuple[MetricPoint, ...]:
        """Return the estimates of one metric, by time."""
        return tuple(
            point
            for point in sorted(self.points, key=lambda point: (point.window, point.version))
            if point.name == f"{ESTIMATED}_{name}" and point.cohort == ESTIMATED
        )

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the model's metrics, the most usual ones of its task first."""
        found = {
            point.name.removeprefix(f"{ESTIMATED}_") if point.cohort == ESTIMATED else point.name
            for point in self.points
            if not point.segment and not point.name.startswith(IMPORTANCE)
        }
        found -= {each.name for each in self.business}
        usual = FIRST[self.spec.task]
        rank = {name: place for place, name in enumerate(usual)}
        return tuple(sorted(found, key=lambda name: (rank.get(name, len(usual)), name)))


def better(facts: Facts, name: str) -> str:
    """Return whether a figure is better ``higher`` or ``lower``; empty if that is not known.

    Examples
    --------
    >>> [("auc" in HIGHER), ("mae" in LOWER)]
    [True, True]
    """
    for each in facts.business:
        if each.name == name:
            return each.better
    if name in HIGHER:
        return "higher"
    return "lower" if name in LOWER else ""


def ratio(verdict: Verdict) -> float:
    """Return an effect in units of the one from which the owner cares; NaN if there is none."""
    if not isfinite(verdict.score) or not verdict.effect_threshold > 0:
        return float("nan")
    return abs(verdict.score) / verdict.effect_threshold
