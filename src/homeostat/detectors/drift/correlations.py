"""How numeric columns go together, followed pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.drift.aspects import CLEAR, Aspect, Reading
from homeostat.profiles.pairs import Pairs, correlation
from homeostat.profiles.profile import Profile

Floats = NDArray[np.float64]

SUBJECT = "(correlations)"
"""Subject of the verdict on all pairs together."""

CLOSE = 0.999  # correlations beyond are those of a column with itself
MOST_NAMED = 5
FEW = 10.0  # rows from which a correlation is looked at


@dataclass(frozen=True, eq=False)
class PairLens:
    """Pairs of columns of the reference: each is a series, Fisher's z of its correlation.

    Attributes
    ----------
    columns : tuple of str
    usual : ndarray, shape (pairs,)
        Mean z over the reference's windows.
    """

    columns: tuple[str, ...]
    usual: Floats

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Both columns of each pair."""
        first, second = np.triu_indices(len(self.columns), 1)
        pairs = zip(first.tolist(), second.tolist(), strict=True)
        return tuple(f"{self.columns[i]} ~ {self.columns[j]}" for i, j in pairs)

    @property
    def subject(self) -> str:
        """Name in verdicts."""
        return SUBJECT

    @property
    def expects(self) -> str:
        """What a window must hold."""
        return "summarised in pairs"

    @property
    def aspects(self) -> tuple[Aspect, ...]:
        """Of each series."""
        return (Aspect.CORRELATION,) * self.usual.size

    @property
    def weights(self) -> Floats:
        """Part of the evidence that each pair carries."""
        return np.full(self.usual.size, 1.0 / max(1, self.usual.size))

    @property
    def unit(self) -> Floats:
        """Variance of one row: Fisher's z of n rows has variance 1 / (n - 3)."""
        return np.ones(self.usual.size)

    def read(self, profile: Profile | None, min_rows: int) -> Reading:
        """Look at a window."""
        if profile is None or profile.pairs is None or profile.rows < min_rows:
            rows = 0 if profile is None else profile.rows
            return Reading(np.full(self.usual.size, np.nan), rows)
        values = fisher(profile.pairs, self.columns)
        return Reading(values, profile.rows, usable=bool((~np.isnan(values)).any()))

    def named(self, size: Floats, parts: Floats) -> tuple[tuple[str, float], ...]:
        """Return the pairs that carry the evidence, most first, with their change."""
        moved = np.tanh(self.usual + size) - np.tanh(self.usual)
        order = np.argsort(-parts, kind="stable")[:MOST_NAMED]
        enough = [i for i in order.tolist() if parts[i] > 0.1 * parts[order[0]]]
        return tuple((self.names[i], float(moved[i])) for i in enough)

    def effects(self, size: Floats, error: Floats) -> dict[Aspect, float]:
        """Return the largest clear change of a correlation, with its sign."""
        moved = np.tanh(self.usual + size) - np.tanh(self.usual)
        moved = np.where(np.abs(size) > CLEAR * error, moved, 0.0)
        return {Aspect.CORRELATION: float(moved[np.argmax(np.abs(moved))])}

    def slow(self, wander: Floats, lead: int) -> dict[Aspect, float]:
        """Return the size of the slow movements of one pair: others may wander more."""
        usual = abs(self.usual[lead])
        return {Aspect.CORRELATION: float(np.tanh(usual + wander[lead]) - np.tanh(usual))}


def fisher(pairs: Pairs, columns: Sequence[str]) -> Floats:
    """Return Fisher's z of all pairs of the columns, those of the first column first.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from homeostat.profiles.pairs import pairs_of
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=1000)
    >>> table = pa.table({"x": x, "y": x + rng.normal(size=1000), "still": np.zeros(1000)})
    >>> fisher(pairs_of(table), ["x", "y", "still"]).round(1).tolist()
    [0.6, nan, nan]
    """
    place = {name: index for index, name in enumerate(pairs.names)}
    at = np.array([place.get(name, -1) for name in columns], dtype=np.intp)
    first, second = np.triu_indices(at.size, 1)
    i, j = at[first], at[second]
    known = (i >= 0) & (j >= 0)
    found = np.full(first.size, np.nan)
    if not known.any():
        return found
    r = correlation(pairs)[i, j]
    enough = pairs.counts[i, j] >= FEW
    found[known & enough] = np.arctanh(np.clip(r, -CLOSE, CLOSE))[known & enough]
    return found


def watch_pairs(profiles: Sequence[Profile | None], columns: Sequence[str]) -> PairLens | None:
    """Return the pairs to follow; None if fewer than two columns are paired in any window."""
    known = [profile.pairs for profile in profiles if profile is not None and profile.pairs]
    paired = {name for pairs in known for name in pairs.names}
    names = tuple(name for name in columns if name in paired)
    if len(names) < 2:
        return None
    seen = np.stack([fisher(pairs, names) for pairs in known])
    counted = ~np.isnan(seen)
    usual = np.where(counted, seen, 0.0).sum(axis=0) / np.maximum(counted.sum(axis=0), 1)
    return PairLens(names, usual)
