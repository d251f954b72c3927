"""What the peers would say about a window: their default rules, on whole windows at once.

Each window is compared with the 28 days of the reference taken together. A rule gives each column a
score in units of its own threshold (1 is where the peer calls it drifted), so that one factor
re-tunes the whole rule. `homeostat.detectors.drift.presets` has the same rules for two samples and
is checked against the real packages; the tests hold the two together.

============  ==================================================================================
evidently     distances at 0.1 (a reference of more than 1000 rows): Wasserstein in standard
              deviations of the reference; Jensen-Shannon distance, in nats, of categories
nannyml       Jensen-Shannon distance to base 2; above its mean over the days of the reference by
              more than 3 standard deviations
psi-0.2       population stability index over the reference's deciles, or categories, above 0.2
ks-0.05       Kolmogorov-Smirnov and chi-squared tests at 5 %
bonferroni    the same tests at 5 % divided by the number of columns
============  ==================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr
from scipy.stats import chi2, kstwo
from worlds import CATEGORICAL, COLUMNS, LEVELS, NUMERIC, Day

Floats: TypeAlias = NDArray[np.float64]
ZERO_FILL = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Sorted:
    """Windows taken together: each numeric column ascending, without NaN; counts of levels."""

    numbers: tuple[Floats, ...]
    counts: Floats


@lru_cache(maxsize=2)
def pool(days: tuple[Day, ...]) -> Sorted:
    """Take windows together; what all rules ask for again is kept."""
    numbers = []
    for i in range(len(NUMERIC)):
        values = np.sort(np.concatenate([day.numbers[i] for day in days]))
        numbers.append(values[: values.size - np.count_nonzero(np.isnan(values))])
    counts = np.zeros((len(CATEGORICAL), len(LEVELS)))
    for day in days:
        for j, codes in enumerate(day.codes):
            counts[j] += np.bincount(codes[codes >= 0], minlength=len(LEVELS))
    return Sorted(tuple(numbers), counts)


Scorer: TypeAlias = Callable[[Sorted], Floats]
"""Gives the scores of the 35 columns of a window, in the order of `COLUMNS`."""


@dataclass(frozen=True, slots=True)
class PeerRule:
    """A peer's rule with its threshold multiplied by `factor`."""

    fitter: Callable[[tuple[Day, ...]], Scorer]
    factor: float = 1.0

    def fit(self, reference: tuple[Day, ...]) -> PeerJudge:
        """Fit the peer's rule."""
        return PeerJudge(self.fitter(reference), self.factor)


@dataclass(frozen=True, slots=True)
class PeerJudge:
    """A fitted rule; it keeps no state."""

    scorer: Scorer
    factor: float

    def scores(self, day: Day) -> Floats:
        """Return the scores of all columns."""
        return self.scorer(pool((day,)))

    def judge(self, day: Day) -> frozenset[str]:
        """Return the columns at or above the threshold."""
        return frozenset(COLUMNS[i] for i in np.flatnonzero(self.scores(day) >= self.factor))


def fit_evidently(reference: tuple[Day, ...]) -> Scorer:
    """Distances above a fixed 0.1."""
    known = pool(reference)
    if known.numbers[0].size <= 1000:
        raise ValueError("below 1000 reference rows evidently tests instead; give more")
    mass = [np.concatenate(([0.0], np.cumsum(values))) for values in known.numbers]
    norm = np.array([max(float(np.std(values)), 0.001) for values in known.numbers])

    def scorer(window: Sorted) -> Floats:
        parts = zip(known.numbers, mass, window.numbers, strict=True)
        moved = np.array([_wasserstein(ref, sums, cur) for ref, sums, cur in parts]) / norm
        return np.concatenate((moved, _js(known.counts, window.counts))) / 0.1

    return scorer


def fit_nannyml(reference: tuple[Day, ...]) -> Scorer:
    """Jensen-Shannon distance above the usual by three deviations between reference days."""
    known = pool(reference)
    edges = [np.histogram_bin_edges(values, bins="doane") for values in known.numbers]
    binned = [_bin(edge, values) for edge, values in zip(edges, known.numbers, strict=True)]

    def distances(window: Sorted) -> Floats:
        parts = zip(edges, binned, window.numbers, strict=True)
        moved = [float(_js(ref, _bin(edge, cur))) for edge, ref, cur in parts]
        nats = np.concatenate((moved, _js(known.counts, window.counts)))
        return np.asarray(nats / np.sqrt(np.log(2.0)))

    history = np.stack([distances(pool((day,))) for day in reference])
    center, spread = history.mean(axis=0), history.std(axis=0)

    def scorer(window: Sorted) -> Floats:
        return np.asarray((distances(window) - center) / (3.0 * spread))

    return scorer


def fit_psi(reference: tuple[Day, ...]) -> Scorer:
    """Population stability index above 0.2."""
    known = pool(reference)
    tenths = np.arange(1, 10) / 10.0
    cuts = [np.quantile(values, tenths) for values in known.numbers]

    def deciles(sample: Sorted) -> Floats:
        ranks = [
            np.searchsorted(v, cut, "left") for v, cut in zip(sample.numbers, cuts, strict=True)
        ]
        sizes = [values.size for values in sample.numbers]
        return np.stack(
            [np.diff(r, prepend=0, append=n) for r, n in zip(ranks, sizes, strict=True)]
        )

    base = deciles(known)

    def scorer(window: Sorted) -> Floats:
        numeric, levels = _psi(base, deciles(window)), _psi(known.counts, window.counts)
        return np.concatenate((numeric, levels)) / 0.2

    return scorer


def fit_ks(reference: tuple[Day, ...], level: float = 0.05) -> Scorer:
    """Kolmogorov-Smirnov and chi-squared tests, each at the same level."""
    known = pool(reference)

    def scorer(window: Sorted) -> Floats:
        gaps = [_ks(ref, cur) for ref, cur in zip(known.numbers, window.numbers, strict=True)]
        sizes = [
            (ref.size, cur.size) for ref, cur in zip(known.numbers, window.numbers, strict=True)
        ]
        effective = [round(n * m / (n + m)) for n, m in sizes]
        p_values = np.concatenate((kstwo.sf(gaps, effective), _chi2(known.counts, window.counts)))
        return level / np.maximum(p_values, np.finfo(np.float64).tiny)

    return scorer


def fit_bonferroni(reference: tuple[Day, ...]) -> Scorer:
    """As `fit_ks`, at 5 % over all columns together."""
    return fit_ks(reference, 0.05 / len(COLUMNS))


PEERS: Mapping[str, Callable[[tuple[Day, ...]], Scorer]] = {
    "evidently": fit_evidently,
    "nannyml": fit_nannyml,
    "psi-0.2": fit_psi,
    "ks-0.05": fit_ks,
    "bonferroni": fit_bonferroni,
}


def _ks(known: Floats, seen: Floats) -> float:
    """Return the largest gap of two empirical distributions; `seen` has no ties."""
    steps = np.arange(seen.size + 1) / seen.size
    above = np.searchsorted(known, seen, "right") / known.size - steps[1:]
    below = np.searchsorted(known, seen, "left") / known.size - steps[:-1]
    return float(max(np.abs(above).max(), np.abs(below).max()))


def _wasserstein(known: Floats, mass: Floats, seen: Floats) -> float:
    """Return the first Wasserstein distance: the area between two distribution functions.

    Between neighbours in `seen` its own function is flat and the other one rises, so that they
    cross at most once, at a quantile of `known`. `mass` holds the running sums of `known`, which
    make the area under its function exact: ``(k * x - mass[k]) / n`` up to `x`.
    """
    n, m = known.size, seen.size

    def area(x: Floats) -> Floats:
        k = np.searchsorted(known, x, "right")
        return np.asarray((k * x - mass[k]) / n)

    low, high = min(known[0], seen[0]), max(known[-1], seen[-1])
    points = np.concatenate(([low], seen, [high]))
    level = np.arange(m + 1) / m
    ranks = np.minimum(np.ceil(level * n).astype(np.int64), n) - 1
    crossing = np.clip(known[np.maximum(ranks, 0)], points[:-1], points[1:])
    under, middle = area(points), area(crossing)
    before = level * (crossing - points[:-1]) - (middle - under[:-1])
    after = (under[1:] - middle) - level * (points[1:] - crossing)
    return float(np.sum(np.abs(before) + np.abs(after)))


def _bin(edges: Floats, values: Floats) -> Floats:
    """Count sorted values between edges, the last one included; the last cell is for the rest."""
    ranks = np.searchsorted(values, edges, "left")
    ranks[-1] = np.searchsorted(values, edges[-1], "right")
    inside = np.diff(ranks)
    return np.append(inside, values.size - inside.sum()).astype(np.float64)


def _shares(counts: Floats) -> Floats:
    return np.asarray(counts / counts.sum(axis=-1, keepdims=True))


def _js(known: Floats, seen: Floats) -> Floats:
    p, q = _shares(known), _shares(seen)
    middle = (p + q) / 2.0
    divergence = (rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=-1) / 2.0
    return np.asarray(np.sqrt(np.maximum(divergence, 0.0)))


def _psi(known: Floats, seen: Floats) -> Floats:
    p, q = _shares(known), _shares(seen)
    p, q = np.where(p > 0, p, ZERO_FILL), np.where(q > 0, q, ZERO_FILL)
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=-1))


def _chi2(known: Floats, seen: Floats) -> Floats:
    """Return the p-values of tests of homogeneity, cells empty on both sides left out."""
    n, m = known.sum(axis=1, keepdims=True), seen.sum(axis=1, keepdims=True)
    both = known + seen
    due = np.maximum(both * (m / (n + m)), np.finfo(np.float64).tiny)
    statistic = ((seen - due) ** 2 / due).sum(axis=1) * (1.0 + m / n)[:, 0]
    return np.asarray(chi2.sf(statistic, np.count_nonzero(both, axis=1) - 1))
