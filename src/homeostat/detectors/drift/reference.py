"""What the owner accepts, and what the reference looked like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

import numpy as np

from homeostat.detectors.cells import FloatArray, count_cells
from homeostat.domain.model import Schema
from homeostat.domain.verdict import AlarmBudget
from homeostat.domain.window import Window
from homeostat.profiles.compare import Binning, bin_reference
from homeostat.profiles.profile import ColumnProfile, Profile, merge_all
from homeostat.stats.dispersion import Dispersion, fit_dispersion

SCORE = "score"
"""Profile column that holds the model's answers."""

Match = Literal["none", "hour", "weekday"]

FEW_WINDOWS = 4  # below, the reference's own error is in every comparison: no adding up
SHORT_SPAN = timedelta(days=7)  # a shorter reference has not seen every weekday
GROUP_WINDOWS = 3  # reference windows of the same hour or weekday from which they are a reference


@dataclass(frozen=True, slots=True)
class DriftConfig:
    """What the owner accepts and cares about.

    Attributes
    ----------
    budget : AlarmBudget
    every : timedelta
        Length of the schedule: one evaluation per `every`.
    share : float
        Part of the budget that this monitor may spend, in (0, 1].
    min_rows : int
        Rows below which a window is inconclusive and leaves the evidence as it is.
    min_effect : float
        Distance from which the owner cares, in units close to the population stability index.
    match : {"none", "hour", "weekday"}
        Compare with reference windows that start in the same hour or on the same weekday, where
        there are at least `GROUP_WINDOWS` of them.
    """

    budget: AlarmBudget = field(default_factory=AlarmBudget)
    every: timedelta = timedelta(days=1)
    share: float = 0.25
    min_rows: int = 50
    min_effect: float = 0.1
    match: Match = "none"

    @property
    def threshold(self) -> float:
        """Average evidence over the columns at which the budget is spent."""
        return self.budget.threshold(self.every, self.share)


@dataclass(frozen=True, slots=True, eq=False)
class ColumnReference:
    """What a column looked like: counts over its cells, all together and by group."""

    binning: Binning
    pooled: FloatArray
    groups: dict[int, FloatArray]
    dispersion: Dispersion

    def expected(self, group: int) -> FloatArray:
        """Return the counts to compare with: those of the group where there are enough windows."""
        return self.groups.get(group, self.pooled)


@dataclass(frozen=True, slots=True, eq=False)
class DriftReference:
    """Fitted reference of a model version.

    ``key`` names it: evidence against one reference does not count against another.
    """

    key: str
    windows: int
    rows: int
    span: timedelta
    columns: dict[str, ColumnReference]

    @property
    def partial(self) -> bool:
        """Whether it is too short for evidence to add up over windows."""
        return self.windows < FEW_WINDOWS or self.span < SHORT_SPAN


def fit(
    reference: Sequence[tuple[Window, Profile]], schema: Schema, config: DriftConfig
) -> DriftReference:
    """Learn cells and the variation between windows, of the features and of `SCORE`.

    Parameters
    ----------
    reference : sequence of (Window, Profile)
        Windows of healthy traffic, best of the length that will be judged; 14 or more make the
        detector sharp; with fewer than `FEW_WINDOWS`, or under `SHORT_SPAN`, evidence does not add
        up over windows and anything short of overwhelming is inconclusive.
    schema : Schema
    config : DriftConfig

    Raises
    ------
    ValueError
        If the reference has no rows.
    """
    used = [(window, profile) for window, profile in reference if profile.rows > 0]
    if not used:
        raise ValueError("the drift reference has no rows: give it windows of healthy traffic")
    whole = merge_all(profile for _, profile in used)
    groups = [group_of(window, config.match) for window, _ in used]
    start, end = min(w.start for w, _ in used), max(w.end for w, _ in used)
    names = [name for name in (*schema.names, SCORE) if name in whole.columns]
    key = f"{start:%Y-%m-%dT%H:%M}/{end:%Y-%m-%dT%H:%M}/{whole.rows}/{config.match}"
    columns = {
        name: _fit_column(whole.columns[name], [p.columns.get(name) for _, p in used], groups)
        for name in names
    }
    return DriftReference(key, len(used), whole.rows, end - start, columns)


def group_of(window: Window, match: Match) -> int:
    """Return the hour or weekday (Monday is 0) that decides what a window is compared with."""
    if match == "hour":
        return window.start.hour
    return window.start.weekday() if match == "weekday" else 0


def _fit_column(
    whole: ColumnProfile, parts: Sequence[ColumnProfile | None], groups: Sequence[int]
) -> ColumnReference:
    binning = bin_reference(whole)
    empty = np.zeros(binning.cells + 1)
    table = np.asarray([empty if p is None else count_cells(p, binning) for p in parts])
    labels = np.asarray(groups)
    pooled = table.sum(axis=0)
    filled = table.sum(axis=1) > 0
    enough = {
        int(label): table[labels == label].sum(axis=0)
        for label in np.unique(labels)
        if int((filled & (labels == label)).sum()) >= GROUP_WINDOWS
    }
    # Windows without enough of their own kind are compared with all, and so vary more: one group.
    shared = [label if label in enough else -1 for label in groups]
    if len(enough) < len(set(groups)):
        enough, shared = {}, [0] * len(groups)
    return ColumnReference(binning, pooled, enough, fit_dispersion(table, shared))
