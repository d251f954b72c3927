"""Fallback tiers: what answers when the model may not or cannot, best first, each accounted for."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from homeostat.domain.expression import Expression, column_types, parse
from homeostat.domain.model import Schema
from homeostat.serving.plan import Answerer


@dataclass(frozen=True, slots=True)
class Cached:
    """The model's last answer for the same entity, if it is not older than `max_age`."""

    max_age: timedelta


@dataclass(frozen=True, slots=True)
class Lighter:
    """Another registered version, usually one with fewer features, behind a breaker of its own.

    ``share`` is the part of the deadline, in (0, 1), that is kept for it: whatever comes before it
    must have answered by then. It may use what they left of theirs.
    """

    version: str
    share: float = 0.3


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition and the score of the rows that meet it."""

    when: Expression
    score: float


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules in order: the first that holds gives the score; a row that meets none goes on."""

    rules: tuple[Rule, ...]

    @property
    def features(self) -> frozenset[str]:
        """Every feature that a rule uses."""
        return frozenset().union(*(rule.when.columns for rule in self.rules))

    def scores(self, table: pa.Table) -> NDArray[np.float64]:
        """Return the score of each row, NaN where no rule holds; shape (table.num_rows,)."""
        result = np.full(table.num_rows, np.nan)
        for rule in reversed(self.rules):
            result[rule.when.matches(table)] = rule.score
        return result


Tier = Cached | Lighter | Rules


@dataclass(frozen=True, slots=True)
class StoodIn:
    """What tiers answered: a score and a tier for each row; ages in seconds of cached ones."""

    scores: NDArray[np.float64]
    tiers: list[Answerer]
    ages: NDArray[np.float64]


Score = Callable[[pa.Table], ArrayLike]


@dataclass(frozen=True, slots=True)
class Fallback:
    """Tiers in order of preference, and the score that is given when all else fails."""

    tiers: tuple[Tier, ...] = ()
    default: float = 0.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.default):
            raise ValueError("the default score must be a finite number")
        shares = [tier.share for tier in self.tiers if isinstance(tier, Lighter)]
        if not all(0 < share < 1 for share in shares) or sum(shares) >= 1:
            raise ValueError("shares of the deadline must be in (0, 1), and leave the model some")

    def kept(self, after: int = 0) -> float:
        """Return the part of the deadline that is kept for tiers from the place `after` on.

        Examples
        --------
        >>> fallback = Fallback((Lighter("small", 0.2), Lighter("tiny", 0.1)))
        >>> round(fallback.kept(), 3), fallback.kept(1), fallback.kept(2)
        (0.3, 0.1, 0.0)
        """
        later = self.tiers[after:]
        return sum((tier.share for tier in later if isinstance(tier, Lighter)), 0.0)

    def stand_in(
        self,
        rows: pa.Table,
        entities: Sequence[str] = (),
        cache: ScoreCache | None = None,
        now: datetime | None = None,
        versions: Mapping[str, Score] = MappingProxyType({}),
    ) -> StoodIn:
        """Answer rows that the model did not, in your own program.

        Deadlines are the caller's: a lighter version is asked in this thread.

        Parameters
        ----------
        rows : pyarrow.Table
            The features.
        entities : sequence of str
            One a row, for a cached tier.
        cache : ScoreCache, optional
            What you `ScoreCache.put` the model's answers into; needs `now`.
        now : datetime, optional
        versions : mapping of version to callable
            Gives the scores of a table by a lighter version. One that raises, or gives NaN, leaves
            its rows to the next tier.

        Returns
        -------
        StoodIn

        Examples
        --------
        >>> fallback = Fallback((Lighter("small"),), default=0.5)
        >>> found = fallback.stand_in(
        ...     pa.table({"amount": [1.0, 2.0]}), versions={"small": lambda rows: [0.1, np.nan]}
        ... )
        >>> found.scores.tolist(), [tier.value for tier in found.tiers]
        ([0.1, 0.5], ['lighter', 'default'])
        """
        size = rows.num_rows
        scores, ages = np.full((2, size), np.nan)
        tiers = [Answerer.DEFAULT] * size
        for tier in self.tiers:
            given, kind = np.full(size, np.nan), Answerer.RULES
            if isinstance(tier, Rules):
                given = tier.scores(rows)
            elif isinstance(tier, Lighter):
                kind = Answerer.LIGHTER
                if tier.version in versions:
                    with suppress(Exception):
                        given = np.asarray(versions[tier.version](rows), dtype=np.float64)
            elif cache is not None and now is not None and len(entities) == size:
                kind = Answerer.CACHED
                given, old, _ = cache.get(entities, now, tier.max_age)
                ages = np.where(np.isnan(scores), old, ages)
            for row in np.flatnonzero(np.isnan(scores) & np.isfinite(given)).tolist():
                scores[row], tiers[row] = given[row], kind
        return StoodIn(np.where(np.isnan(scores), self.default, scores), tiers, ages)

    @property
    def versions(self) -> tuple[str, ...]:
        """Versions that tiers need loaded."""
        return tuple(tier.version for tier in self.tiers if isinstance(tier, Lighter))

    @property
    def cache(self) -> bool:
        """Whether answers have to be kept for a cached tier."""
        return any(isinstance(tier, Cached) for tier in self.tiers)


def parse_rules(rules: Sequence[tuple[str, float]], schema: Schema) -> Rules:
    """Check (condition, score) pairs against the schema.

    Raises
    ------
    ConfigError
        If a condition is wrong.

    Examples
    --------
    >>> from homeostat.domain.model import Column, ColumnKind
    >>> schema = Schema((Column("amount", ColumnKind.NUMERIC),))
    >>> tier = parse_rules([("amount > 500", 0.9), ("amount > 100", 0.4)], schema)
    >>> tier.scores(pa.table({"amount": [900.0, 200.0, 5.0]})).tolist()
    [0.9, 0.4, nan]
    """
    columns = column_types(schema)
    return Rules(tuple(Rule(parse(when, columns), float(score)) for when, score in rules))


class Kept(NamedTuple):
    """What a cache has for each entity: NaN, NaN and an empty version where it has nothing."""

    scores: NDArray[np.float64]
    ages: NDArray[np.float64]
    versions: list[str]


class ScoreCache:
    """The last score of each entity, bounded; that which was longest not used goes first.

    Times may be of any clock that is not set back. Of one that is, an answer that lies in the
    future counts as new.

    Parameters
    ----------
    capacity : int
        Most entities kept.

    Examples
    --------
    >>> from datetime import UTC
    >>> cache, noon, hour = ScoreCache(), datetime(2026, 1, 1, 12, tzinfo=UTC), timedelta(hours=1)
    >>> cache.put(["anna"], np.array([0.25]), noon, ["v2"])
    >>> scores, ages, versions = cache.get(["anna", "ben"], noon + hour / 2, hour)
    >>> scores.tolist(), ages.tolist(), versions
    ([0.25, nan], [1800.0, nan], ['v2', ''])

    After v2 was rolled back its answers are not given any more:

    >>> cache.get(["anna"], noon, hour, {"v1"}).versions
    ['']
    """

    def __init__(self, capacity: int = 100_000) -> None:
        self._capacity = capacity
        self._scores: dict[str, tuple[float, datetime, str]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._scores)

    def put(
        self,
        entities: Sequence[str],
        scores: NDArray[np.float64],
        timestamp: datetime,
        versions: Sequence[str] = (),
    ) -> None:
        """Keep the scores of one batch, and whose they are; rows without an entity are left out."""
        whose = versions or [""] * len(entities)
        with self._lock:
            for entity, score, version in zip(entities, scores.tolist(), whose, strict=True):
                if entity:
                    self._scores.pop(entity, None)
                    self._scores[entity] = (score, timestamp, version)
            while len(self._scores) > self._capacity:
                del self._scores[next(iter(self._scores))]

    def get(
        self,
        entities: Sequence[str],
        now: datetime,
        max_age: timedelta,
        of: Collection[str] | None = None,
    ) -> Kept:
        """Return what is kept and not too old, with ages in seconds.

        Parameters
        ----------
        entities : sequence of str
        now : datetime
        max_age : timedelta
        of : collection of str, optional
            Versions whose scores are wanted; None: all.
        """
        scores, ages = np.full((2, len(entities)), np.nan)
        versions = [""] * len(entities)
        with self._lock:
            for place, entity in enumerate(entities):
                kept = self._scores.get(entity)
                if kept is None:
                    continue
                score, timestamp, version = kept
                if now - timestamp > max_age or (of is not None and version not in of):
                    continue
                age = (now - timestamp).total_seconds()
                scores[place], ages[place] = score, max(age, 0.0)
                versions[place] = version
                self._scores[entity] = self._scores.pop(entity)
        return Kept(scores, ages, versions)
