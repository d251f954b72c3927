"""A model that says the same of many rows: an answer in the place of a score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import Kind, Values
from homeostat.detectors.faults.config import FaultConfig
from homeostat.detectors.faults.masses import FaultyRows, find_missing, rise_p
from homeostat.domain.explanation import DataFault, FaultKind
from homeostat.domain.predictions import from_micros

Floats = NDArray[np.float64]
Micros = NDArray[np.int64]

_CONSTANT = 0.95
_LEAST = 0.03  # share of rows beyond the commonest score of the reference
_ROWS = 10
_FEW = 3  # answers in the place of scores; more are those of a coarser model
_SMOOTH = 0.01  # share of the commonest score up to which scores are continuous
_KNOWN = 0.9  # share of other rows whose scores there were, where scores are steps
_NEAR = 5  # steps on either side that a change of inputs moves along
_FASTER = 3.0  # times as much as those
_ONSET = 1.63  # Kolmogorov's 99 % quantile
_WINDOW = 0.02  # width of what counts as one answer, of the width of nine tenths of usual scores
_FLANK = 2  # widths beside it on either side
_HEAP = 0.05  # share of rows beyond what is usual beside those
_SURE = 5.0  # standard errors
_MOST_STEPS = 100_000


def find_constant_score(
    before: Floats,
    now: Floats,
    config: FaultConfig,
    times: Micros | None = None,
    *,
    sound: bool = True,
) -> FaultyRows | None:
    """Find a model that says the same of all rows, or of a share of them, or nothing of many.

    A default or fallback answer is one score that more rows hold than any score did. The ends of
    the range are left out, as a shift of inputs brings more rows to where scores are clipped; and
    scores that come in steps may be held by more rows if the steps next to them are, too.

    Parameters
    ----------
    before, now : ndarray of float64, shapes (n,) and (m,)
        Scores.
    config : FaultConfig
    times : ndarray of int64, shape (m,), optional
        When the current rows were scored, in microseconds since 1970.
    sound : bool
        Whether inputs are sound: broken ones may bring many rows to nearly the same score.

    Examples
    --------
    >>> before, now = np.linspace(0.0, 1.0, 500), np.linspace(0.0, 1.0, 400)
    >>> now[:100] = 0.07
    >>> find_constant_score(before, now, FaultConfig()).fault.text
    'the score is 0.07 in 25% of rows, 0.0% had it'
    """
    if min(before.size, now.size) < config.min_rows:
        return None
    missing = find_missing("the score", _number(before), _number(now), config)
    if missing:
        return missing
    there, were = now[np.isfinite(now)], before[np.isfinite(before)]
    if min(there.size, were.size) < config.min_rows:
        return None
    values, counts = np.unique(there, return_counts=True)
    levels = np.unique(were, return_counts=True)
    top = values[np.argmax(counts)]
    smooth = max(levels[1].max(), np.sort(counts)[:-1].max(initial=0)) <= _SMOOTH * min(
        were.size, there.size
    )
    heap = _find_heap(were, there, float(top)) if sound and smooth else None
    if heap is not None:
        return _told_heap(heap, before, now, times)
    if counts.max() >= _CONSTANT * there.size and levels[1].max() <= 0.5 * were.size:
        return _told([float(top)], were, there, now, times)
    usual = float(levels[1].max()) / were.size
    places = np.flatnonzero(counts >= max(_ROWS, (usual + _LEAST) * there.size))
    hits = [float(v) for v in values[places] if _is_answer(float(v), were, there, levels, config)]
    return _told(hits, were, there, now, times) if 0 < len(hits) <= _FEW else None


@dataclass(frozen=True, slots=True)
class _Heap:
    """Scores from ``low`` on, below ``high``."""

    low: float
    high: float

    def holds(self, scores: Floats) -> NDArray[np.bool_]:
        """Return which scores are in it."""
        found: NDArray[np.bool_] = (scores >= self.low) & (scores < self.high)
        return found


def _find_heap(were: Floats, there: Floats, top: float) -> _Heap | None:
    """Find scores that are nearly the same, and have none beside them: an answer with some noise.

    The commonest score does not count: alone it is an answer without noise.
    Where a shift of inputs brings more rows, it brings them to the scores on either side, too.
    """
    rest = there[there != top]
    low, high = np.quantile(were, [0.05, 0.95])
    step = _WINDOW / 2.0 * float(high - low)
    ends = float(min(were.min(), there.min())), float(max(were.max(), there.max()))
    if step <= 0.0 or (ends[1] - ends[0]) / step > _MOST_STEPS:
        return None
    edges = ends[0] + step * np.arange(np.ceil((ends[1] - ends[0]) / step) + 2)
    pad = 2 * _FLANK
    inner, outer = [], []
    for side in (were, rest):
        counts = np.bincount(((side - ends[0]) / step).astype(np.int64), minlength=edges.size)
        counts = np.pad(counts, pad + 1)
        sums = np.concatenate(([0], np.cumsum(counts)))
        first = np.arange(pad, pad + edges.size)
        window = sums[first + 2] - sums[first]
        inner.append(window)
        outer.append(sums[first + 2 + pad] - sums[first - pad] - window)
    usual = np.maximum((inner[0] + 1.0) * (outer[1] + 1.0) / (outer[0] + 1.0), outer[1] / 4.0)
    rise = inner[1] - usual
    error = np.sqrt(usual * (1.0 + usual / (inner[0] + 1.0)) + 1.0)
    plain = (rise >= _HEAP * there.size) & (inner[1] > _FASTER * usual) & (rise > _SURE * error)
    if ends[0] >= 0.0 and ends[1] <= 1.0:
        # Inputs far off, broken or not, bring chances as near to certainty.
        plain &= (edges > 3.0 * step) & (edges < 1.0 - 2.0 * step)
    if not plain.any():
        return None
    start = ends[0] + step * (int(np.argmax(np.where(plain, rise, 0.0))) - 1)
    return _Heap(start, start + 2.0 * step)


def _told_heap(heap: _Heap, before: Floats, now: Floats, times: Micros | None) -> FaultyRows:
    rows, alike = heap.holds(now), heap.holds(before)
    share, was = (
        float(hits.sum() / np.isfinite(side).sum()) for hits, side in ((rows, now), (alike, before))
    )
    since = "" if times is None else _since(rows, times)
    middle = float(np.median(now[rows]))
    text = f"the score is about {middle:.4g} in {share:.0%} of rows{since}, {was:.1%} had it"
    fault = DataFault(FaultKind.CONSTANT_SCORE, ("the score",), text, share)
    return FaultyRows(fault, rows, alike)


def _is_answer(
    value: float, were: Floats, there: Floats, levels: tuple[Floats, Micros], config: FaultConfig
) -> bool:
    known, counts = levels
    was, share = float((were == value).mean()), float((there == value).mean())
    if rise_p(was, were.size, share, there.size) > config.level:
        return False
    at_end = value in {float(known[0]), float(known[-1])}
    if at_end and was * were.size >= 2.0:
        return False
    smooth = np.sort(counts)[:-_FEW]
    if not smooth.size or smooth[-1] <= _SMOOTH * were.size:
        # A few rows that share a score come by chance; most have one of their own.
        return known.size > 20 or _others_known(value, there, known)
    if not was:
        return _others_known(value, there, known)
    if known.size <= 2 * _NEAR:
        return False
    place = int(np.searchsorted(known, value))
    near = np.r_[known[max(0, place - _NEAR) : place], known[place + 1 : place + 1 + _NEAR]]
    held = [float((there == step).mean()) for step in near]
    grew = (sum(held) + 1.0 / there.size) / float(np.isin(were, near).mean())
    return share > _FASTER * max(*held, was * max(1.0, grew))


def _others_known(value: float, there: Floats, known: Floats) -> bool:
    others = there[there != value]
    return not others.size or bool(np.isin(others, known).mean() >= _KNOWN)


def _told(
    hits: list[float], were: Floats, there: Floats, now: Floats, times: Micros | None
) -> FaultyRows:
    rows = np.isin(now, hits)
    share, was = float(np.isin(there, hits).mean()), float(np.isin(were, hits).mean())
    said = " or ".join(f"{value:.4g}" for value in hits)
    since = "" if times is None else _since(rows, times)
    text = f"the score is {said} in {share:.0%} of rows{since}, {was:.1%} had it"
    fault = DataFault(FaultKind.CONSTANT_SCORE, ("the score",), text, share)
    return FaultyRows(fault, rows)


def _since(rows: NDArray[np.bool_], times: Micros) -> str:
    """Say from when on rows hold the answer: where their share rises most."""
    order = np.argsort(times, kind="stable")
    hit = rows[order].astype(np.float64)
    share = float(hit.mean())
    path = np.cumsum(hit - share)
    low = int(np.argmin(path))
    noise = _ONSET * float(np.sqrt(hit.size * share * (1.0 - share)))
    start = low + 1 if -path[low] > noise else int(np.argmax(hit))
    moment = from_micros(int(times[order][start]))
    return f" since {moment:%Y-%m-%d %H:%M} UTC"


def _number(values: Floats) -> Values:
    return Values(Kind.NUMBER, "double", values, np.full(values.size, -1, dtype=np.int64))
