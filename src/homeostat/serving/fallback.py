"""Fallback tiers: what answers when the model may not or cannot, best first, each accounted for."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.expression import Expression, column_types, parse
from homeostat.domain.model import Schema


@dataclass(frozen=True, slots=True)
class Cached:
    """The model's last answer for the same entity, if it is not older than `max_age`."""

    max_age: timedelta


@dataclass(frozen=True, slots=True)
class Lighter:
    """Another registered version, usually one with fewer features, behind a breaker of its own."""

    version: str


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
class Fallback:
    """Tiers in order of preference, and the score that is given when all else fails."""

    tiers: tuple[Tier, ...] = ()
    default: float = 0.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.default):
            raise ValueError("the default score must be a finite number")

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


class ScoreCache:
    """The last score of each entity, bounded; the longest unchanged goes first.

    Parameters
    ----------
    capacity : int
        Most entities kept.
    """

    def __init__(self, capacity: int = 100_000) -> None:
        self._capacity = capacity
        self._scores: dict[str, tuple[float, datetime]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._scores)

    def put(
        self, entities: Sequence[str], scores: NDArray[np.float64], timestamp: datetime
    ) -> None:
        """Keep the scores of one batch; rows without an entity are left out."""
        with self._lock:
            for entity, score in zip(entities, scores.tolist(), strict=True):
                if entity:
                    self._scores.pop(entity, None)
                    self._scores[entity] = (score, timestamp)
            while len(self._scores) > self._capacity:
                del self._scores[next(iter(self._scores))]

    def get(
        self, entities: Sequence[str], now: datetime, max_age: timedelta
    ) -> NDArray[np.float64]:
        """Return the scores kept for the entities, NaN where there is none or it is too old."""
        with self._lock:
            found = [self._scores.get(entity) for entity in entities]
        oldest = now - max_age
        return np.array(
            [kept[0] if kept is not None and kept[1] >= oldest else np.nan for kept in found],
            dtype=np.float64,
        )
