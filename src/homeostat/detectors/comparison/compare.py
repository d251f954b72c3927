"""Every column of two profiles judged: drift is a change that is real and that matters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from homeostat.detectors.comparison.config import DEFAULT, ComparisonConfig
from homeostat.detectors.comparison.evidence import Aspect, aspects, comparable
from homeostat.detectors.comparison.quality import quality
from homeostat.detectors.comparison.unseen import unknowable
from homeostat.detectors.comparison.wording import tell
from homeostat.detectors.drift.presets import PresetDecision
from homeostat.domain.comparison import ColumnComparison, Comparison, Fact
from homeostat.domain.model import ColumnKind
from homeostat.domain.verdict import Status
from homeostat.profiles import compare
from homeostat.profiles.cast import Reading, Readings
from homeostat.profiles.profile import ColumnProfile, Profile
from homeostat.stats.distances import shares
from homeostat.stats.multiple import holm

NAN = float("nan")


def compare_profiles(
    reference: Profile,
    current: Profile,
    config: ComparisonConfig = DEFAULT,
    *,
    readings: tuple[Readings, Readings] = ({}, {}),
    decided: Mapping[str, PresetDecision] | None = None,
) -> Comparison:
    """Compare the columns of two profiles.

    A column drifted if one of its aspects (numbers: location, shape, missing rate; others:
    categories, values that only one side has, missing rate) changed by at least what the owner
    cares about, and the change has an adjusted p-value of at most ``config.alpha`` (Holm 1979, over
    all aspects of all columns). So the probability of naming any column when nothing changed is at
    most alpha, and a change too small to matter is no drift however many rows show it.

    Parameters
    ----------
    reference, current : Profile
    config : ComparisonConfig
    readings : pair of mappings of str to Reading
        How the columns were read, where that is known.
    decided : mapping of str to PresetDecision, optional
        Another tool's decisions by column, in place of the one above; p-values are then NaN.

    Examples
    --------
    >>> from homeostat.profiles.build import profile_numbers
    >>> rng = np.random.default_rng(0)
    >>> before = Profile(5000, {"x": profile_numbers(rng.normal(0, 1, 5000))})
    >>> after = Profile(5000, {"x": profile_numbers(rng.normal(1, 1, 5000))})
    >>> found = compare_profiles(before, after)
    >>> print(found.drifted, found["x"].reason.partition(" (")[0])
    ['x'] values rose by 0.98 standard deviations
    """
    names = list(dict.fromkeys((*reference.columns, *readings[0], *current.columns, *readings[1])))
    cases = [
        _Case(
            name,
            reference.columns.get(name),
            current.columns.get(name),
            (readings[0].get(name, Reading()), readings[1].get(name, Reading())),
            len(names),
        )
        for name in names
    ]
    judged = [case for case in cases if case.excuse(config) is None]
    if decided is None:
        verdicts = _judge_all(judged, config)
    else:
        verdicts = {
            case.name: _follow(case, decided[case.name], config)
            for case in judged
            if case.name in decided
        }
    columns = tuple(verdicts.get(case.name) or _excuse(case, config) for case in cases)
    return Comparison(columns, reference.rows, current.rows, config.dataset_share)


def statistics(reference: ColumnProfile, current: ColumnProfile) -> dict[str, float]:
    """Return every distance and test of two columns of one kind, by name.

    Those of `homeostat.profiles.compare.statistics`, and ``linf`` (largest change of a cell's
    share); for numbers also ``wasserstein_normed`` (in standard deviations of the reference).

    Examples
    --------
    >>> from homeostat.profiles.build import profile_numbers
    >>> column = profile_numbers(np.arange(1.0, 101.0))
    >>> found = statistics(column, profile_numbers(np.arange(26.0, 126.0)))
    >>> round(found["wasserstein_normed"], 2), round(found["linf"], 2)
    (0.87, 0.25)
    """
    found = compare.statistics(reference, current)
    binning = compare.bin_reference(reference)
    before, after = compare.rebin(reference, binning), compare.rebin(current, binning)
    found["linf"] = float(np.abs(shares(before) - shares(after)).max())
    if reference.kind is ColumnKind.NUMERIC:
        spread = math.sqrt(reference.variance)
        distance = found["wasserstein"]
        found["wasserstein_normed"] = distance / spread if spread > 0.0 else NAN
    return found


@dataclass(frozen=True, slots=True)
class _Case:
    """One column of `columns`, on both sides."""

    name: str
    reference: ColumnProfile | None
    current: ColumnProfile | None
    readings: tuple[Reading, Reading]
    columns: int

    @property
    def kind(self) -> ColumnKind | None:
        side = self.reference or self.current
        return None if side is None else side.kind

    @property
    def pair(self) -> tuple[ColumnProfile, ColumnProfile]:
        assert self.reference is not None
        assert self.current is not None
        return self.reference, self.current

    def excuse(self, config: ComparisonConfig) -> tuple[Status, str] | None:
        """Return why the column is not judged; None if it can be."""
        for side, reading in zip(("reference", "current data"), self.readings, strict=True):
            if reading.problem:
                kind = f", {self.kind} in the other" if self.kind else ""
                return Status.ERROR, f"the {side} cannot be compared{kind}: {reading.problem}"
        if self.reference is None and self.current is None:
            return Status.NO_DATA, "no values on either side"
        if self.reference is None:
            return Status.NO_DATA, "new: the reference has no such column"
        if self.current is None:
            return Status.ERROR, "absent from the current data"
        if self.reference.kind is not self.current.kind:
            kinds = f"{self.reference.kind} in the reference, {self.current.kind} in the current"
            return Status.ERROR, f"{kinds} profile: profile both as one kind"
        return _no_rows(self.reference, self.current, config)


def _no_rows(
    reference: ColumnProfile, current: ColumnProfile, config: ComparisonConfig
) -> tuple[Status, str] | None:
    """Return why not even the missing rates can be compared; None if they can."""
    sides = (("reference", reference), ("current data", current))
    for side, column in sides:
        if not column.count:
            return Status.NO_DATA, f"the {side} has no rows"
    if not (reference.present or current.present):
        return Status.NO_DATA, "no values on either side"
    few = any(column.count < config.min_rows for _, column in sides)
    return _no_values(reference, current, config) if few else None


def _no_values(
    reference: ColumnProfile, current: ColumnProfile, config: ComparisonConfig
) -> tuple[Status, str]:
    """Return why the values of a side are too few to be compared."""
    sides = (("reference", reference), ("current data", current))
    for side, column in sides:
        if not column.present:
            return Status.NO_DATA, f"the {side} has no values in {column.count:,} rows"
    side, column = min(sides, key=lambda found: found[1].present)
    needed = f"{config.min_rows} rows with values are needed"
    return Status.INCONCLUSIVE, f"the {side} has {column.present:,}; {needed}"


def _judge_all(cases: Sequence[_Case], config: ComparisonConfig) -> dict[str, ColumnComparison]:
    found = [aspects(*case.pair, config) for case in cases]
    adjusted = iter(holm([way.p_value for ways in found for way in ways]).tolist())
    return {
        case.name: _judge(case, ways, list(islice(adjusted, len(ways))), config)
        for case, ways in zip(cases, found, strict=True)
    }


def _judge(
    case: _Case, ways: Sequence[Aspect], adjusted: Sequence[float], config: ComparisonConfig
) -> ColumnComparison:
    reference, current = case.pair
    pairs = list(zip(ways, adjusted, strict=True))
    drifted = [way for way, p in pairs if way.score >= 1.0 and p <= config.alpha]
    values = comparable(reference, current, config)
    if not (values or drifted):
        return _excused(case, *_no_values(reference, current, config), config)
    real = any(p <= config.alpha for p in adjusted)
    score = max(way.score for way in ways)
    status = Status.DRIFT if drifted else Status.OK
    reason = tell(reference, current, drifted or ways, drifted=bool(drifted), real=real)
    hidden = None if drifted else unknowable(reference, current, config)
    if hidden:
        status, reason = Status.INCONCLUSIVE, hidden
    facts = quality(reference, current, case.readings, config, case.columns)
    found = statistics(reference, current) if values else {}
    return ColumnComparison(
        case.name, reference.kind, status, score, min(adjusted), found, facts, reason
    )


def _follow(case: _Case, said: PresetDecision, config: ComparisonConfig) -> ColumnComparison:
    """Report another tool's decision."""
    reference, current = case.pair
    if not comparable(reference, current, config):
        return _excused(case, *_no_values(reference, current, config), config)
    name, value, threshold = said.statistic_name, said.statistic, said.threshold
    score = _ratio(threshold, value) if name.endswith("p_value") else _ratio(value, threshold)
    status = Status.DRIFT if said.drifted else Status.OK
    if math.isnan(value):
        status = Status.NO_DATA
    words = name.replace("_", " ")
    reason = f"by the preset: {words} {value:.4g}, threshold {threshold:.4g}"
    facts = quality(reference, current, case.readings, config, case.columns)
    found = statistics(reference, current)
    return ColumnComparison(case.name, reference.kind, status, score, NAN, found, facts, reason)


def _ratio(amount: float, whole: float) -> float:
    return amount / whole if whole > 0.0 else math.inf if amount > 0.0 else NAN


def _excuse(case: _Case, config: ComparisonConfig) -> ColumnComparison:
    status, reason = case.excuse(config) or (Status.NO_DATA, "the preset does not judge it")
    return _excused(case, status, reason, config)


def _excused(
    case: _Case, status: Status, reason: str, config: ComparisonConfig
) -> ColumnComparison:
    sides = [side for side in (case.reference, case.current) if side is not None]
    same = len({side.kind for side in sides}) < 2
    facts: dict[str, Fact] = {"findings": ()}
    if same:
        facts = quality(case.reference, case.current, case.readings, config, case.columns)
    found = facts["findings"]
    if status is Status.ERROR and isinstance(found, tuple):
        facts["findings"] = (*found, reason)
    return ColumnComparison(case.name, case.kind, status, NAN, NAN, {}, facts, reason)
