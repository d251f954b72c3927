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
    got, ages, _ = cache.get(["anna", "ben", "", "eve"], NOW + timedelta(minutes=10), age)
    np.testing.assert_array_equal(ages, [300.0, 600.0, np.nan, np.nan])
    np.testing.assert_array_equal(got, [0.4, 0.3, np.nan, np.nan])
    got, *_ = cache.get(["anna", "ben"], NOW + timedelta(minutes=11), age)
    np.testing.assert_array_equal(got, [0.4, np.nan])


def test_cache_keeps_what_was_used_last() -> None:
    cache, day = ScoreCache(capacity=2), timedelta(1)
    cache.put(["anna", "ben"], np.array([0.1, 0.2]), NOW)
    cache.get(["anna"], NOW, day)
    cache.put(["eve"], np.array([0.3]), NOW)
    got, *_ = cache.get(["anna", "ben", "eve"], NOW, day)
    np.testing.assert_array_equal(got, [0.1, np.nan, 0.3])


def test_cache_knows_whose_scores_it_has() -> None:
    cache, day = ScoreCache(capacity=2), timedelta(1)
    cache.put(["anna", "ben"], np.array([0.1, 0.2]), NOW, ["v1", "v2"])
    assert cache.get(["anna", "ben", "eve"], NOW, day).versions == ["v1", "v2", ""]
    kept = cache.get(["anna", "ben"], NOW, day, {"v1"})
    assert kept.versions == ["v1", ""]
    np.testing.assert_array_equal(kept.scores, [0.1, np.nan])
    np.testing.assert_array_equal(kept.ages, [0.0, np.nan])
    cache.put(["eve"], np.array([0.3]), NOW)
    kept = cache.get(["anna", "ben", "eve"], NOW, day)
    assert kept.versions == ["v1", "", ""], "ben's was not used"
    assert kept.scores[2] == 0.3


def test_a_clock_that_is_set_back_makes_no_negative_age() -> None:
    cache = ScoreCache()
    cache.put(["anna"], np.array([0.1]), NOW)
    assert cache.get(["anna"], NOW - timedelta(hours=1), timedelta(1))[1].tolist() == [0.0]


def test_cache_is_bounded_and_forgets_the_longest_unchanged() -> None:
    cache = ScoreCache(capacity=2)
    for entity in ("anna", "ben", "anna", "eve"):
        cache.put([entity], np.array([0.5]), NOW)
    assert len(cache) == 2
    assert np.isnan(cache.get(["ben"], NOW, timedelta(1))[0])[0]


ROWS = pa.table({"amount": [900.0, 200.0, 5.0, 7.0]})
AMOUNT = Schema((Column("amount", ColumnKind.NUMERIC),))


def test_tiers_stand_in_in_order_and_say_which_did() -> None:
    cache = ScoreCache()
    cache.put(["anna"], np.array([0.25]), NOW)
    rules = parse_rules([("amount > 500", 0.9), ("amount > 100", 0.4)], AMOUNT)
    fallback = Fallback((Cached(timedelta(hours=1)), rules, Lighter("small")), default=0.5)
    found = fallback.stand_in(
        ROWS,
        ["anna", "ben", "cem", "dora"],
        cache,
        NOW + timedelta(minutes=1),
        {"small": lambda rows: [0.0] * (rows.num_rows - 1) + [float("inf")]},
    )
    assert found.scores.tolist() == [0.25, 0.4, 0.0, 0.5]
    assert [str(tier) for tier in found.tiers] == ["cached", "rules", "lighter", "default"]
    np.testing.assert_array_equal(found.ages, [60.0, np.nan, np.nan, np.nan])


def fails(_: pa.Table) -> list[float]:
    raise RuntimeError("the lighter one is down, too")


def test_tiers_that_cannot_answer_leave_the_rows_to_the_next() -> None:
    fallback = Fallback((Cached(timedelta(hours=1)), Lighter("small"), Lighter("none")), 0.5)
    found = fallback.stand_in(ROWS, versions={"small": fails})
    assert found.scores.tolist() == [0.5] * 4
    assert {str(tier) for tier in found.tiers} == {"default"}


def test_an_older_tier_does_not_change_the_age_of_an_answer() -> None:
    cache = ScoreCache()
    cache.put(["anna"], np.array([0.25]), NOW)
    rules = parse_rules([("amount > 500", 0.9)], AMOUNT)
    fallback = Fallback((rules, Cached(timedelta(hours=1))))
    found = fallback.stand_in(ROWS.slice(0, 1), ["anna"], cache, NOW)
    assert (found.scores[0], str(found.tiers[0])) == (0.9, "rules")
    assert np.isnan(found.ages[0])
