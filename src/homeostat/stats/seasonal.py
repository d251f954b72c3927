"""What a series of figures usually is at an hour and weekday, and how far off it usually lies.

A figure is a level, plus what the hour of day and the day of week add (robust regression, shrunk as
far as it is noise), plus a deviation that remembers the one before (an autoregression), plus news.
A value's news is ranked among the history's leave-one-out news, as the jackknife does: that needs
no distribution, only that news could have come in any order, and is nearly, not exactly, conformal.
Beyond the history's extremes a Pareto tail carries on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.special import normal_quantile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOURS, WEEKDAYS = 24, 7
MOST_MEMORY = 0.9
"""Beyond, deviations cannot be told from a level that moves."""

_HUBER = 1.5
_ROUNDS = 4
_MAD = 1.4826
_BLOCKS = (3, 7, 14)
_FEWEST_BLOCKS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Seasonal:
    """A fitted baseline.

    Attributes
    ----------
    level : float
    hours, weekdays : ndarray, shapes (24,) and (7,)
        What each adds; 0 where the history does not tell.
    spread : float
        Standard deviation of windows beyond the noise of their rows.
    noise : float
        That of a typical window's rows.
    memory : float
        Part of a deviation that is left in the next window, in [0, `MOST_MEMORY`].
    deviations, news : ndarray, ascending
        Of the history, in units of their standard deviation.
    scores : ndarray, shape (windows,)
        Normal scores of the history's news, in order of time.
    inflation : float
        At least 1: how much more means of several windows' news vary than independent news would.
    """

    level: float
    hours: Floats
    weekdays: Floats
    spread: float
    noise: float
    memory: float
    deviations: Floats
    news: Floats
    scores: Floats
    inflation: float

    @property
    def scale(self) -> float:
        """Standard deviation of a typical window."""
        return math.hypot(self.spread, self.noise)

    def expected(self, hour: int, weekday: int) -> float:
        """Return the usual figure."""
        return self.level + float(self.hours[hour] + self.weekdays[weekday])

    def deviation(self, value: float, error: float, hour: int, weekday: int) -> float:
        """Return how far a value lies off, in standard deviations of a window with that error."""
        return (value - self.expected(hour, weekday)) / _safe(math.hypot(self.spread, error))

    def renewal(self, deviation: float, before: float | None) -> float:
        """Return a deviation's news, given the deviation of the window before if it is known."""
        if before is None:
            return deviation
        return (deviation - self.memory * before) / math.sqrt(1.0 - self.memory**2)

    def score(self, news: float) -> float:
        """Return the normal score of news: standard normal while nothing changes."""
        return _score(self.news, news)

    def p_value(self, deviation: float) -> float:
        """Return the two-sided p-value of one window's deviation, ties and itself halved."""
        return min(1.0, 2.0 * min(_above(self.deviations, deviation), _below(self, deviation)))

    def band(self, error: float, hour: int, weekday: int, level: float = 0.95) -> Floats:
        """Return the values between which a window with that error lies at a level, shape (2,)."""
        share = (1.0 - level) / 2.0
        ends = np.quantile(self.deviations, [share, 1.0 - share], method="nearest")
        middle = self.expected(hour, weekday)
        found: Floats = middle + ends * math.hypot(self.spread, error)
        return found


def fit_seasonal(
    values: Floats, errors: Floats, hours: Ints, weekdays: Ints, joined: NDArray[np.bool_]
) -> Seasonal:
    """Learn a baseline from windows in order of time.

    Parameters
    ----------
    values, errors : ndarray, shape (n,)
        Finite; errors are the standard errors of the values, 0 where they have none. n >= 8.
    hours, weekdays : ndarray of int64, shape (n,)
        0 to 23, and 0 (Monday) to 6; a constant one has no effect.
    joined : ndarray of bool, shape (n,)
        Whether the window follows the one before without a gap.

    Examples
    --------
    >>> days = np.arange(56)
    >>> figures = 5.0 + (days % 7 >= 5) + np.random.default_rng(0).normal(0.0, 0.1, 56)
    >>> zeros = np.zeros(56, dtype=np.int64)
    >>> fitted = fit_seasonal(figures, np.zeros(56), zeros, days % 7, days > 0)
    >>> round(fitted.expected(0, 2), 1), round(fitted.expected(0, 6), 1)
    (5.0, 6.0)
    """
    design, levels = _design(hours, weekdays)
    centre = design.mean(axis=0)
    level, effects = _regress(values, design - centre, errors)
    by_hour, by_weekday = np.zeros(HOURS), np.zeros(WEEKDAYS)
    for place, (kind, at) in enumerate(levels):
        (by_hour if kind else by_weekday)[at] = effects[place]
    base = level - float(centre @ effects)
    left = values - base - by_hour[hours] - by_weekday[weekdays]
    noise = float(np.sqrt(np.median(errors**2)))
    freedom = max(1.0, left.size - 1.0 - np.count_nonzero(effects))
    seen = _MAD * float(np.median(np.abs(left))) * math.sqrt(left.size / freedom)
    if seen == 0.0:  # more than half of the windows are equal
        seen = float(left.std())
    spread = math.sqrt(max(seen**2 - noise**2, 0.0))
    apart = left / np.array([_safe(math.hypot(spread, error)) for error in errors.tolist()])
    memory = _memory(apart, joined)
    # Ranks are against what a window is off a baseline that it had no part in (leave-one-out).
    apart = apart / (1.0 - _leverage(design[:, effects != 0.0]))
    fresh = apart.copy()
    after = joined.copy()
    after[0] = False
    fresh[after] -= memory * apart[np.flatnonzero(after) - 1]
    fresh[after] /= math.sqrt(1.0 - memory**2)
    scores = np.empty_like(fresh)
    places = (np.arange(fresh.size) + 0.5) / fresh.size
    scores[np.argsort(fresh, kind="stable")] = [normal_quantile(p) for p in places.tolist()]
    return Seasonal(
        base, by_hour, by_weekday, spread, noise, memory,
        np.sort(apart), np.sort(fresh), scores, _inflation(scores),
    )  # fmt: skip


def _design(hours: Ints, weekdays: Ints) -> tuple[Floats, list[tuple[bool, int]]]:
    """Return indicators of the levels after each cycle's first, and which they are."""
    columns: list[Floats] = []
    levels: list[tuple[bool, int]] = []
    for kind, found in ((True, hours), (False, weekdays)):
        names, counts = np.unique(found, return_counts=True)
        if counts.min() < 3:  # each level must have been seen in three cycles
            continue
        for name in names[1:].tolist():
            columns.append((found == name).astype(np.float64))
            levels.append((kind, name))
    return np.stack(columns, axis=1) if columns else np.zeros((hours.size, 0)), levels


def _regress(values: Floats, design: Floats, errors: Floats) -> tuple[float, Floats]:
    """Return level and effects by Huber's M-estimate, the effects shrunk (James & Stein)."""
    rank = int(np.linalg.matrix_rank(design)) if design.shape[1] else 0
    typical = max(float(np.median(errors**2)), 1e-300)
    base: Floats = 1.0 / (1.0 + np.square(errors) / typical)
    weights: Floats = base
    level = float(np.median(values))
    effects: Floats = np.zeros(design.shape[1])
    moved: Floats = values - level
    for _ in range(_ROUNDS):
        whole = np.column_stack((np.ones_like(values), design))
        root = np.sqrt(weights)
        solved = np.linalg.lstsq(whole * root[:, None], values * root, rcond=None)[0]
        level = float(solved[0])
        effects = np.asarray(solved[1:], dtype=np.float64)
        moved = np.asarray(values - whole @ solved, dtype=np.float64)
        spread = _MAD * float(np.median(np.abs(moved)))
        weights = base * np.minimum(1.0, _HUBER * _safe(spread) / np.maximum(np.abs(moved), 1e-300))
    freedom = values.size - 1 - rank
    if not rank or freedom < rank:
        return float(np.average(values, weights=weights)), np.zeros(design.shape[1])
    left = float(weights @ moved**2) / freedom
    explained = float(weights @ (design @ effects) ** 2) / rank
    kept = max(0.0, 1.0 - left / explained) if explained > 0.0 else 0.0
    return level, kept * effects


def _leverage(design: Floats) -> Floats:
    """Return the diagonal of the hat matrix of level and effects, at most 1/2."""
    whole = np.column_stack((np.ones(len(design)), design))
    hat = np.einsum("ij,ji->i", whole, np.linalg.pinv(whole))
    return np.minimum(np.asarray(hat, dtype=np.float64), 0.5)


def _memory(apart: Floats, joined: NDArray[np.bool_]) -> float:
    """Return the lag-1 autocorrelation of clipped deviations, mended for its bias in short series.

    It is estimated too low by ``(1 + 3 r) / n`` (Kendall 1954).
    """
    calm = np.clip(apart, -3.0, 3.0)
    pairs = np.flatnonzero(joined[1:]) + 1
    size = float((calm**2).mean())
    if pairs.size < 8 or size == 0.0:
        return 0.0
    found = float((calm[pairs] * calm[pairs - 1]).mean()) / size
    return min(MOST_MEMORY, max(0.0, found + (1.0 + 3.0 * found) / pairs.size))


def _inflation(scores: Floats) -> float:
    """Return the largest variance of block means relative to independent scores, at least 1."""
    most = 1.0
    for length in _BLOCKS:
        count = scores.size // length
        if count < _FEWEST_BLOCKS:
            break
        means = scores[scores.size - count * length :].reshape(count, length).mean(axis=1)
        ratio = float(means.var(ddof=1)) * length / float(scores.var())
        # What luck does to a variance from so few blocks is no memory.
        most = max(most, ratio / (1.0 + math.sqrt(2.0 / (count - 1))))
    return most


def _score(history: Floats, value: float) -> float:
    up, down = _above(history, value), _above(-history[::-1], -value)
    return -normal_quantile(up) if up < down else normal_quantile(down)


def _below(fitted: Seasonal, deviation: float) -> float:
    return _above(-fitted.deviations[::-1], -deviation)


def _above(history: Floats, value: float) -> float:
    """Return the share of what is at least `value`, in (0, 1), from ascending history.

    Half of what is tied counts. Above the upper tail's first value the share falls as a Pareto
    distribution does, whose index is Hill's (1975), and no faster than a share of one in n more.
    """
    n = history.size
    low, high = np.searchsorted(history, [value, np.nextafter(value, math.inf)])
    ranked = (n - (low + high) / 2.0 + 0.5) / (n + 1.0)
    tail = history[n - max(4, int(math.sqrt(n))) :]
    start = float(tail[0])
    if value <= tail[-1] or start <= 0.0:
        return float(ranked)
    steps = np.log(np.maximum(tail[1:], start) / start)
    thickness = max(float(steps.mean()), 0.05)
    share = (tail.size / n) * (value / start) ** (-1.0 / thickness)
    return float(max(min(ranked, share), 1e-15))


def _safe(scale: float) -> float:
    return max(scale, 1e-12)
