"""Other tools' decisions about a column, for whoever migrates from them.

Each preset answers as the tool does, faults included (`decide` says which); none of them holds an
alarm budget. Homeostat's own answer is in `homeostat.detectors.drift.detector`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from homeostat.domain.model import ColumnKind
from homeostat.stats.distances import js_distance
from homeostat.stats.smirnov import one_sample_sf, two_sample_sf
from homeostat.stats.special import chi2_sf, normal_sf

Preset = Literal["evidently", "nannyml", "psi-0.2", "ks-0.05"]
PRESETS: tuple[Preset, ...] = get_args(Preset)

Floats = NDArray[np.float64]

_SMALL = 1000  # reference rows up to which Evidently tests, above which it measures
_FEW = 5  # different numbers up to which Evidently takes them for categories
_EXACT_ROWS = 10_000  # rows of the larger sample up to which SciPy counts paths
_CHUNKS = 10
_DECILES = np.arange(1, 10) / 10.0
_ZERO_FILL = 1e-4


@dataclass(frozen=True, slots=True)
class PresetDecision:
    """What a tool would say about one column.

    Attributes
    ----------
    drifted : bool
    statistic_name : str
        What ``statistic`` is; names that end in ``p_value`` drift when small, others when large.
    statistic : float
        NaN where there was nothing to compare; then ``drifted`` is false.
    threshold : float
    """

    drifted: bool
    statistic_name: str
    statistic: float
    threshold: float


def decide(
    preset: Preset, reference: ArrayLike, current: ArrayLike, kind: ColumnKind
) -> PresetDecision:
    """Decide about a column as another tool does by default.

    Parameters
    ----------
    preset : {"evidently", "nannyml", "psi-0.2", "ks-0.05"}
    reference, current : array_like, shape (n,) and (m,)
        Numbers, missing as NaN, or categories of any hashable type, missing as None or NaN; in the
        order of time, which ``nannyml`` needs.
    kind : ColumnKind
        Categorical and boolean columns are treated alike.

    Raises
    ------
    ValueError
        If there is no such preset.

    Notes
    -----
    Missing values are dropped, so that none of these sees a change in how many there are; so are
    infinite ones, but for ``nannyml``, which puts those of the current sample into a cell of their
    own. Where the tool raises an error (an empty sample), the statistic is NaN.

    ``evidently`` (0.7): by the rows of the reference. Up to 1000: Kolmogorov-Smirnov for numbers;
    for categories, and for numbers of up to five different values, a chi-squared test that takes
    the reference for the truth (so it errs far more often than its 5 %), or a z-test if there are
    only two. Above 1000: Wasserstein distance in standard deviations of the reference, for
    categories the Jensen-Shannon distance in nats, both at 0.1.

    ``nannyml`` (0.13): Jensen-Shannon distance to base 2, for numbers over Doane's bins of the
    reference; alarms above its mean plus 3 standard deviations over ten chunks of the reference.

    ``psi-0.2``: population stability index over ten cells of equal share in the reference, or the
    categories, with shares of zero set to 0.0001.

    ``ks-0.05``: Kolmogorov-Smirnov for numbers, a chi-squared test of homogeneity for categories
    (with Yates' correction for two), as SciPy has them.

    Examples
    --------
    >>> import numpy as np
    >>> found = decide("psi-0.2", np.arange(100.0), np.arange(50.0), ColumnKind.NUMERIC)
    >>> found.drifted, round(found.statistic, 2)
    (True, 3.8)
    """
    if preset not in _NUMERIC:
        raise ValueError(f"no preset {preset!r}; choose one of {', '.join(PRESETS)}")
    if kind is ColumnKind.NUMERIC:
        numbers = (np.asarray(values, dtype=np.float64) for values in (reference, current))
        with np.errstate(over="ignore", invalid="ignore"):  # numbers near the largest
            return _NUMERIC[preset](*numbers)
    return _CATEGORICAL[preset](*(_listed(values) for values in (reference, current)))


def dataset_drifted(preset: Preset, decisions: Sequence[PresetDecision]) -> bool:
    """Decide about a table as another tool does by default.

    Half of the columns or more for ``evidently``; any column for the others, which leave it to
    their users.

    Examples
    --------
    >>> quiet = PresetDecision(False, "psi", 0.1, 0.2)
    >>> loud = PresetDecision(True, "psi", 0.3, 0.2)
    >>> [dataset_drifted(preset, [quiet, quiet, loud]) for preset in ("evidently", "psi-0.2")]
    [False, True]
    """
    drifted = sum(decision.drifted for decision in decisions)
    if preset == "evidently":
        return 2 * drifted >= len(decisions) > 0
    return drifted > 0


def _below(name: str, p_value: float, level: float = 0.05) -> PresetDecision:
    return PresetDecision(p_value < level, name, p_value, level)


def _reached(name: str, distance: float, threshold: float = 0.1) -> PresetDecision:
    return PresetDecision(distance >= threshold, name, distance, threshold)


def _evidently_numeric(reference: Floats, current: Floats) -> PresetDecision:
    known, seen = _finite(reference), _finite(current)
    small = known.size <= _SMALL
    values = np.unique(np.concatenate((known, seen)))
    if values.size <= _FEW:
        return _evidently_counts(Counter(known.tolist()), Counter(seen.tolist()))
    if small:
        p_value = _ks_p_value(known, seen)
        return PresetDecision(p_value <= 0.05, "ks_p_value", p_value, 0.05)
    norm = max(float(np.std(known)), 0.001)
    return _reached("wasserstein_normed", _wasserstein(known, seen, values) / norm)


def _evidently_categorical(reference: list[object], current: list[object]) -> PresetDecision:
    return _evidently_counts(Counter(_present(reference)), Counter(_present(current)))


def _evidently_counts(reference: Counter[object], current: Counter[object]) -> PresetDecision:
    known, seen = _aligned(reference, current)
    n, m = float(known.sum()), float(seen.sum())
    if n > _SMALL:
        nats = js_distance(known, seen) * math.sqrt(math.log(2.0)) if m else math.nan
        return _reached("jensen_shannon", nats)
    if not (n and m):
        return _below("chi2_p_value", math.nan)
    if known.size <= 2:
        return _below("z_p_value", _z_p_value(known[0] / n, seen[0] / m, n, m))
    due = known * (m / n)
    if (due == 0.0).any():
        return _below("chi2_p_value", 0.0)
    statistic = float(((seen - due) ** 2 / due).sum())
    return _below("chi2_p_value", chi2_sf(known.size - 1, statistic))


def _z_p_value(p: float, q: float, n: float, m: float) -> float:
    pooled = (p * n + q * m) / (n + m)
    if pooled >= 1.0:
        return 1.0
    return 2.0 * normal_sf(abs(p - q) / math.sqrt(pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)))


def _nannyml_numeric(reference: Floats, current: Floats) -> PresetDecision:
    reference = np.where(np.isinf(reference), np.nan, reference)
    known = _finite(reference)
    try:
        edges = np.histogram_bin_edges(known, bins="doane")
    except ValueError:  # numbers so large that no bin fits between them
        return _unusual([], math.nan)
    base = np.append(np.histogram(known, edges)[0], 0)

    def distance(values: Floats) -> float:
        present = values[~np.isnan(values)]
        inside = np.histogram(present, edges)[0]
        return js_distance(base, np.append(inside, present.size - inside.sum()))

    history = [distance(reference[chunk]) for chunk in _chunks(len(reference))]
    return _unusual(history, distance(current))


def _nannyml_categorical(reference: list[object], current: list[object]) -> PresetDecision:
    known = Counter(_present(reference))
    if not known:
        return _unusual([], math.nan)
    base = np.array([*known.values(), 0], dtype=np.int64)

    def distance(values: Sequence[object]) -> float:
        seen = Counter(_present(values))
        inside = [seen[key] for key in known]
        return js_distance(base, np.array([*inside, seen.total() - sum(inside)], dtype=np.int64))

    history = [distance(reference[chunk]) for chunk in _chunks(len(reference))]
    return _unusual(history, distance(current))


def _chunks(rows: int) -> list[slice]:
    """Return ten chunks of a sample, and an eleventh of what is left over."""
    size = rows // _CHUNKS
    return [slice(start, start + size) for start in range(0, rows, size)] if size else []


def _unusual(history: Sequence[float], distance: float) -> PresetDecision:
    """Compare with what chunks of the reference come to."""
    usual = np.array([value for value in history if not math.isnan(value)])
    if not usual.size:
        return PresetDecision(False, "jensen_shannon", math.nan, math.nan)
    threshold = float(usual.mean() + 3.0 * usual.std())
    return PresetDecision(distance > threshold, "jensen_shannon", distance, threshold)


def _psi_numeric(reference: Floats, current: Floats) -> PresetDecision:
    known, seen = _finite(reference), _finite(current)
    if not (known.size and seen.size):
        return PresetDecision(False, "psi", math.nan, 0.2)
    cuts = np.unique(np.quantile(known, _DECILES))
    counts = [
        np.bincount(np.searchsorted(cuts, values, "right"), minlength=cuts.size + 1)
        for values in (known, seen)
    ]
    return _psi(counts[0], counts[1])


def _psi_categorical(reference: list[object], current: list[object]) -> PresetDecision:
    return _psi(*_aligned(Counter(_present(reference)), Counter(_present(current))))


def _psi(known: NDArray[np.int64], seen: NDArray[np.int64]) -> PresetDecision:
    if not (known.any() and seen.any()):
        return PresetDecision(False, "psi", math.nan, 0.2)
    p, q = (np.where(c > 0, c / c.sum(), _ZERO_FILL) for c in (known, seen))
    index = float(((q - p) * np.log(q / p)).sum())
    return PresetDecision(index > 0.2, "psi", index, 0.2)


def _ks_numeric(reference: Floats, current: Floats) -> PresetDecision:
    return _below("ks_p_value", _ks_p_value(_finite(reference), _finite(current)))


def _chi2_categorical(reference: list[object], current: list[object]) -> PresetDecision:
    known, seen = _aligned(Counter(_present(reference)), Counter(_present(current)))
    n, m = float(known.sum()), float(seen.sum())
    if not (n and m):
        return _below("chi2_p_value", math.nan)
    freedom = known.size - 1
    if not freedom:
        return _below("chi2_p_value", 1.0)
    due = (known + seen) * (m / (n + m))
    gap = np.abs(seen - due)
    if freedom == 1:
        gap -= min(0.5, float(gap[0]))
    statistic = float((gap**2 / due).sum()) * (1.0 + m / n)
    return _below("chi2_p_value", chi2_sf(freedom, statistic))


def _ks_p_value(known: Floats, seen: Floats) -> float:
    """Return the p-value that SciPy gives by default: exact up to 10,000 rows a sample."""
    n, m = known.size, seen.size
    if not (n and m):
        return math.nan
    statistic = float(np.abs(_gaps(known, seen, np.concatenate((known, seen)))).max())
    if max(n, m) <= _EXACT_ROWS:
        return two_sample_sf(statistic, n, m)
    return one_sample_sf(statistic, round(n * m / (n + m)))


def _wasserstein(known: Floats, seen: Floats, values: Floats) -> float:
    if not seen.size:
        return math.nan
    return float(np.abs(_gaps(known, seen, values[:-1])) @ np.diff(values))


def _gaps(known: Floats, seen: Floats, at: Floats) -> Floats:
    known, seen = np.sort(known), np.sort(seen)
    below = np.searchsorted(known, at, "right") / known.size
    return np.asarray(below - np.searchsorted(seen, at, "right") / seen.size)


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _listed(values: ArrayLike) -> list[object]:
    listed: list[object] = np.asarray(values).tolist()
    return listed


def _present(values: Sequence[object]) -> list[object]:
    # NaN is the one value that differs from itself.
    return [value for value in values if value is not None and value == value]  # noqa: PLR0124


def _aligned(
    reference: Counter[object], current: Counter[object]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the counts of both over the categories of either."""
    keys = list(reference | current)
    known, seen = ([counts[key] for key in keys] for counts in (reference, current))
    return np.array(known, dtype=np.int64), np.array(seen, dtype=np.int64)


_NUMERIC: Mapping[str, Callable[[Floats, Floats], PresetDecision]] = {
    "evidently": _evidently_numeric,
    "nannyml": _nannyml_numeric,
    "psi-0.2": _psi_numeric,
    "ks-0.05": _ks_numeric,
}
_CATEGORICAL: Mapping[str, Callable[[list[object], list[object]], PresetDecision]] = {
    "evidently": _evidently_categorical,
    "nannyml": _nannyml_categorical,
    "psi-0.2": _psi_categorical,
    "ks-0.05": _chi2_categorical,
}
