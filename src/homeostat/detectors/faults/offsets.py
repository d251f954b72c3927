"""A column that one source moves by a constant, while all other sources stand still."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import Values
from homeostat.detectors.faults.config import FaultConfig
from homeostat.detectors.faults.masses import FaultyRows
from homeostat.detectors.faults.scales import Fit, distance, explain_offset
from homeostat.domain.explanation import DataFault, FaultKind
from homeostat.stats.special import kolmogorov_sf

Floats = NDArray[np.float64]
Sources = Mapping[str, tuple[Values, Values]]

_NOISE = 1.63  # Kolmogorov's 99 % quantile
_MOVED = 0.12  # distance from which a source has moved
_BESIDE = 0.2  # share of it by which the other sources may have moved
_LEFT = 0.05  # share of it that may be left
_MOST = 0.5  # share of a source's rows from which the source is at fault
_STEPS = 30  # distinct values up to which numbers come in steps
_TRIED = 4  # commonest steps
_UNSEEN = 0.005  # share of a step in any source up to which nobody used it
_MOSTLY = 0.95  # share of rows on the steps of a column that has them
_NEW = 0.2  # share of rows on such steps that no mix of rows brings


def find_offset(
    name: str,
    one: Values,
    two: Values,
    sources: Sources,
    config: FaultConfig,
    *,
    suspect: bool = False,
) -> FaultyRows | None:
    """Find the one source whose values are a constant more than they were.

    Parameters
    ----------
    name : str
    one, two : Values
        Numbers.
    sources : mapping of str to tuple of Values
        Columns that may name the source, as texts.
    config : FaultConfig
    suspect : bool
        Look instead for what may as well be a change of this source's rows: a constant that brings
        no values that nobody used. Only what goes with the column can tell.
    """
    looks = max(1, sum(len(pair[1].words) for pair in sources.values()) * config.looks)
    found = [
        (gap, source, fit, hit)
        for source, pair in sources.items()
        if source != name
        for gap, fit, hit in _moved(one, two, pair, config, looks)
        if _unheard(one, two.take(hit[1])) != suspect
    ]
    if not found:
        return None
    _, source, fit, (ours, theirs) = max(found, key=lambda item: item[0])
    words = sources[source][1]
    said = f"{source}={words.words[int(words.codes[theirs][0])]}"
    way = "more" if fit.offset > 0.0 else "less"
    some = "" if fit.share == 1.0 else f" in {fit.share:.0%} of its rows"
    text = f"{name}: values are {abs(fit.offset):.4g} {way} than they were{some}"
    fault = DataFault(
        FaultKind.UNIT,
        (name,),
        f"{text}, only where {said}",
        float(theirs.mean()),
        source=said,
        offset=fit.offset,
    )
    return FaultyRows(fault, theirs, ours)


_Masks = tuple[NDArray[np.bool_], NDArray[np.bool_]]


def _moved(
    one: Values,
    two: Values,
    pair: tuple[Values, Values],
    config: FaultConfig,
    looks: int,
) -> Iterator[tuple[float, Fit, _Masks]]:
    """Find sources that moved by a constant, and how much more than all others."""
    for place in np.unique(pair[1].codes[pair[1].codes >= 0]).tolist():
        inside = pair[0].codes == place, pair[1].codes == place
        before, now = (_finite(side, rows) for side, rows in zip((one, two), inside, strict=True))
        rest = [_finite(side, ~rows) for side, rows in zip((one, two), inside, strict=True)]
        if min(before.size, now.size, *(side.size for side in rest)) < 2 * config.min_rows:
            continue
        gap, level = distance(before, now), _level(before, now)
        if gap < _MOVED or kolmogorov_sf(gap / level) * looks > config.level:
            continue
        others = distance(rest[0], rest[1])
        if others > max(_NOISE * _level(rest[0], rest[1]), _BESIDE * gap):
            continue
        fits = [explain_offset(before, now, offset) for offset in _offsets(before, now)]
        fits = [
            fit
            for fit in fits
            if fit.share >= _MOST and fit.left <= max(_NOISE * level, _LEFT * gap)
        ]
        if fits:
            yield gap - others, min(fits, key=lambda fit: fit.left), inside


def _offsets(before: Floats, now: Floats) -> list[float]:
    """Return constants that may have been added."""
    levels, counts = np.unique(before, return_counts=True)
    again, sizes = np.unique(now, return_counts=True)
    if levels.size > _STEPS or again.size > 2 * _STEPS:
        middle = float(np.median(now) - np.median(before))
        return [middle] if middle else []
    first = levels[np.argsort(-counts, kind="stable")[:_TRIED]]
    then = again[np.argsort(-sizes, kind="stable")[:_TRIED]]
    return [float(gap) for gap in np.unique(np.round(then[:, None] - first, 9)) if gap]


def _unheard(one: Values, moved: Values) -> bool:
    """Whether values come in steps, and many are on steps that nobody used."""
    before = one.numbers[np.isfinite(one.numbers)]
    now = moved.numbers[np.isfinite(moved.numbers)]
    levels, counts = np.unique(before, return_counts=True)
    often = counts > _UNSEEN * before.size
    steps = np.count_nonzero(often) <= _STEPS and counts[often].sum() >= _MOSTLY * before.size
    return bool(steps) and float((~np.isin(now, levels[often])).mean()) >= _NEW


def _finite(values: Values, rows: NDArray[np.bool_]) -> Floats:
    numbers = values.numbers[rows]
    return np.sort(numbers[np.isfinite(numbers)])


def _level(before: Floats, now: Floats) -> float:
    return float(np.sqrt(1.0 / before.size + 1.0 / now.size))
