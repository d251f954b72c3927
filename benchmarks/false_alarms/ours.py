"""Homeostat's own drift detector as a rule: the shipped defaults, through its public surface."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from worlds import CATEGORICAL, COLUMNS, NUMERIC, Day

from homeostat.detectors.drift.correlations import SUBJECT
from homeostat.detectors.drift.detector import (
    DriftConfig,
    DriftReference,
    DriftState,
    evaluate,
    fit,
)
from homeostat.domain.model import ColumnKind
from homeostat.domain.verdict import Status
from homeostat.domain.window import Window
from homeostat.profiles.build import profile_table
from homeostat.profiles.profile import Profile

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KINDS = dict.fromkeys(NUMERIC, ColumnKind.NUMERIC) | dict.fromkeys(
    CATEGORICAL, ColumnKind.CATEGORICAL
)


@dataclass(frozen=True, slots=True)
class HomeostatRule:
    """The drift detector with the whole alarm budget to itself."""

    config: DriftConfig = field(default_factory=lambda: DriftConfig(share=1.0))

    def fit(self, reference: tuple[Day, ...]) -> HomeostatJudge:
        """Fit the detector on the profiles of the reference's windows."""
        windows = [(_window(day), _profile(day)) for day in reference]
        return HomeostatJudge(self.config, fit(windows, COLUMNS, self.config))


@dataclass(slots=True)
class HomeostatJudge:
    """The fitted detector and its state so far."""

    config: DriftConfig
    reference: DriftReference
    state: DriftState = field(default_factory=DriftState)

    def judge(self, day: Day) -> frozenset[str]:
        """Return the columns with verdict ``drift``, and both of each pair that goes otherwise."""
        self.state, verdicts = evaluate(
            self.reference, self.state, "model", _window(day), _profile(day), self.config
        )
        drifted = [v for v in verdicts if v.subject and v.status is Status.DRIFT]
        named = {v.subject for v in drifted if v.subject != SUBJECT}
        pairs = [name for v in drifted if v.subject == SUBJECT for name, _ in v.details]
        return frozenset(named.union(*(name.split(" ~ ") for name in pairs if " ~ " in name)))


def _window(day: Day) -> Window:
    start = MONDAY + day.index * DAY
    return Window(start, start + DAY)


def _profile(day: Day) -> Profile:
    return profile_table(day.table(), KINDS, pairs=True)
