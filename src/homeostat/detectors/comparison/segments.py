"""The same comparison within each segment, and which segment carries a drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from homeostat.detectors.comparison.compare import compare_profiles
from homeostat.detectors.comparison.config import DEFAULT, ComparisonConfig
from homeostat.domain.comparison import Comparison, SegmentComparison
from homeostat.domain.verdict import Status
from homeostat.profiles.profile import EMPTY, Profile, merge_all

MOST_TRIED = 50
"""Segments, the largest, that are left out one at a time to find what carries a drift."""


@dataclass(frozen=True, slots=True)
class SegmentProfiles:
    """The rows of one segment on both sides."""

    segment: Mapping[str, str]
    reference: Profile = EMPTY
    current: Profile = EMPTY

    @property
    def rows(self) -> int:
        """Rows on both sides."""
        return self.reference.rows + self.current.rows


def compare_segments(
    whole: Comparison,
    parts: Sequence[SegmentProfiles],
    config: ComparisonConfig = DEFAULT,
) -> Comparison:
    """Add to a comparison that of each segment, and say which of them carries each drift.

    The segments share one further ``config.alpha`` (Bonferroni over those with enough rows); a
    segment with too few rows is ``no_data`` or ``inconclusive``.

    Parameters
    ----------
    whole : Comparison
        Of all rows.
    parts : sequence of SegmentProfiles
        Rows of different segments, together all rows.
    config : ComparisonConfig

    Examples
    --------
    >>> import numpy as np
    >>> from homeostat.profiles.build import profile_numbers
    >>> def rows(mean: float) -> Profile:
    ...     values = np.random.default_rng(0).normal(mean, 1, 2000)
    ...     return Profile(2000, {"x": profile_numbers(values)})
    >>> north = SegmentProfiles({"region": "north"}, rows(0), rows(1))
    >>> south = SegmentProfiles({"region": "south"}, rows(0), rows(0))
    >>> whole = compare_profiles(rows(0).merge(rows(0)), rows(1).merge(rows(0)))
    >>> compare_segments(whole, [north, south]).carriers["x"]
    'region=north carries it: without its rows there is no drift'
    """
    enough = [
        part for part in parts if min(part.reference.rows, part.current.rows) >= config.min_rows
    ]
    strict = replace(config, alpha=config.alpha / max(1, len(enough)))
    segments = tuple(
        SegmentComparison(part.segment, compare_profiles(part.reference, part.current, strict))
        for part in sorted(parts, key=lambda part: -part.rows)
    )
    carriers = {
        name: _carrier(name, whole, parts, segments, config)
        for name in dict.fromkeys(
            (*whole.drifted, *(n for s in segments for n in s.comparison.drifted))
        )
    }
    return replace(whole, segments=segments, carriers=carriers)


def _carrier(
    name: str,
    whole: Comparison,
    parts: Sequence[SegmentProfiles],
    segments: Sequence[SegmentComparison],
    config: ComparisonConfig,
) -> str:
    """Say in which segments a column drifted, and whether one of them explains it all."""
    within = [
        segment.name
        for segment in sorted(segments, key=lambda segment: -_score(segment.comparison, name))
        if name in segment.comparison.drifted
    ]
    named = ", ".join(within[:3]) + (", ..." if len(within) > 3 else "")
    judged = sum(
        _status(segment.comparison, name) in {Status.OK, Status.DRIFT} for segment in segments
    )
    if name not in whole.drifted:
        return f"only within {named}: all rows together do not show it"
    alone = _needed(name, parts, config)
    if alone:
        return f"{alone} carries it: without its rows there is no drift"
    if not within:
        return "not within any segment: the segments' shares of the rows changed"
    if len(within) == judged:
        return f"in all {judged} segments that have enough rows"
    return f"in {len(within)} of {judged} segments: {named}"


def _needed(name: str, parts: Sequence[SegmentProfiles], config: ComparisonConfig) -> str:
    """Return the one segment without which the column does not drift; empty if there is none."""
    sides = [(_only(part.reference, name), _only(part.current, name)) for part in parts]
    largest = sorted(range(len(parts)), key=lambda index: -parts[index].rows)[:MOST_TRIED]
    found = []
    for left_out in largest:
        rest = [side for index, side in enumerate(sides) if index != left_out]
        reference, current = (merge_all(side[k] for side in rest) for k in (0, 1))
        comparison = compare_profiles(reference, current, config)
        if _status(comparison, name) is Status.OK and comparison[name].drift_score < 1.0:
            found.append(parts[left_out])
    if len(found) != 1:
        return ""
    return SegmentComparison(found[0].segment, Comparison((), 0, 0)).name


def _only(profile: Profile, name: str) -> Profile:
    columns = {name: profile.columns[name]} if name in profile.columns else {}
    return Profile(profile.rows, columns)


def _status(comparison: Comparison, name: str) -> Status | None:
    return next((c.verdict for c in comparison.columns if c.name == name), None)


def _score(comparison: Comparison, name: str) -> float:
    return next((c.drift_score for c in comparison.columns if c.name == name), 0.0)
