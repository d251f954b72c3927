"""Fallback tiers."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from homeostat.domain.model import Column, ColumnKind, Schema
from homeostat.serving.fallback import Cached, Fallback, Lighter, ScoreCache, parse_rules

NOW = datetime(2024, 5, 1, tzinfo=UTC)
SCHEMA = Schema((Column("amount", ColumnKind.NUMERIC), Column("age", ColumnKind.NUMERIC)))


def test_first_rule_that_holds_gives_the_score() -> None:
    tier = parse_rules([("amount > 500", 0.9), ("age < 20", 0.5)], SCHEMA)
    rows = pa.table({"amount": [600.0, 5.0, 600.0, 5.0], "age": [10.0, 10.0, 50.0, 50.0]})
    np.testing.assert_array_equal(tier.scores(rows), [0.9, 0.5, 0.9, np.nan])
    assert tier.features == {"amount", "age"}


def test_fallback_knows_what_its_tiers_need() -> None:
    plan = Fallback((Lighter("v0"), Cached(timedelta(hours=1))), default=0.2)
    assert (plan.versions, plan.cache) == (("v0",), True)
    assert (Fallback().versions, Fallback().cache) == ((), False)


def test_default_score_must_be_a_number() -> None:
    with pytest.raises(ValueError, match="default score"):
        Fallback(default=float("nan"))


def test_cache_gives_the_last_score_until_it_is_too_old() -> None:
    cache = ScoreCache()
    cache.put(["anna", "", "ben"], np.array([0.1, 0.2, 0.3]), NOW)
    cache.put(["anna"], np.array([0.4]), NOW + timedelta(minutes=5))
    age = timedelta(minutes=10)
    got = cache.get(["anna", "ben", "", "eve"], NOW + timedelta(minutes=10), age)
    np.testing.assert_array_equal(got, [0.4, 0.3, np.nan, np.nan])
    got = cache.get(["anna", "ben"], NOW + timedelta(minutes=11), age)
    np.testing.assert_array_equal(got, [0.4, np.nan])


def test_cache_is_bounded_and_forgets_the_longest_unchanged() -> None:
    cache = ScoreCache(capacity=2)
    for entity in ("anna", "ben", "anna", "eve"):
        cache.put([entity], np.array([0.5]), NOW)
    assert len(cache) == 2
    assert np.isnan(cache.get(["ben"], NOW, timedelta(1)))[0]
