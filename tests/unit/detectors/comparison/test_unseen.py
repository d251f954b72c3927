import math

import numpy as np
import pyarrow as pa
import pytest

from homeostat.detectors.comparison.compare import compare_profiles
from homeostat.detectors.comparison.config import ComparisonConfig
from homeostat.detectors.comparison.unseen import unknowable, unseen_p_value, unseen_share
from homeostat.domain.comparison import ColumnComparison
from homeostat.domain.model import ColumnKind
from homeostat.domain.verdict import Status
from homeostat.profiles.build import profile_table
from homeostat.profiles.profile import ColumnProfile, Profile

CATEGORICAL = ColumnKind.CATEGORICAL
CONFIG = ComparisonConfig()


def drawn(rows: int, distinct: int, seed: int, first: int = 0) -> Profile:
    codes = first + np.random.default_rng(seed).integers(0, distinct, rows)
    table = pa.table({"x": pa.array(codes).cast(pa.string())})
    return profile_table(table, {"x": CATEGORICAL})


def judged(before: Profile, after: Profile) -> ColumnComparison:
    return compare_profiles(before, after)["x"]


def listed(values: dict[str, int], other: int = 0) -> ColumnProfile:
    return ColumnProfile(CATEGORICAL, sum(values.values()) + other, values=values, other=other)


def test_counted_values_of_which_none_stayed_are_drift() -> None:
    found = judged(drawn(100_000, 5000, 1), drawn(100_000, 5000, 2, first=5000))
    assert found.verdict is Status.DRIFT
    assert found.drift_score > 5
    assert found.statistics["psi"] > 1
    assert "of rows have values that only one side has" in found.reason


def test_values_that_stay_away_are_drift() -> None:
    assert judged(drawn(50_000, 5000, 1), drawn(50_000, 2500, 2)).verdict is Status.DRIFT


@pytest.mark.parametrize(("rows", "distinct"), [(20_000, 5000), (5000, 5000), (300_000, 50_000)])
def test_two_halves_of_a_column_of_many_values_are_alike(rows: int, distinct: int) -> None:
    found = judged(drawn(rows, distinct, 1), drawn(rows, distinct, 2))
    assert found.verdict is Status.OK
    assert not found.findings
    assert found.drift_score < 0.5


def test_what_a_sketch_cannot_tell_is_inconclusive() -> None:
    found = judged(drawn(300_000, 50_000, 1), drawn(300_000, 50_000, 2, first=50_000))
    assert found.verdict is Status.INCONCLUSIVE
    assert "too many distinct values" in found.reason
    assert math.isnan(found.statistics["psi"])


def test_a_value_of_its_own_in_every_row_is_as_before() -> None:
    sides = [
        profile_table(pa.table({"x": [f"{side}{k}" for k in range(15_000)]}), {"x": CATEGORICAL})
        for side in "ab"
    ]
    assert judged(*sides).verdict is Status.OK


def test_rare_values_of_a_sketch_matter_only_where_they_are_many() -> None:
    few = listed({"a": 990}, other=10)
    assert unknowable(few, few, CONFIG) is None
    assert unknowable(listed({"a": 5}), listed({"b": 5}), CONFIG) is None
    assert unknowable(listed({"a": 50, "b": 2}, 50), listed({"c": 9}), CONFIG) is not None


def test_nothing_is_new_to_a_reference_that_may_have_held_it() -> None:
    many, one = listed({"a": 5}, other=95), listed({"b": 10})
    assert (unseen_share(many, one), unseen_p_value(many, one)) == (0.0, 1.0)
    assert unseen_p_value(listed({"b": 200}), listed({"b": 1}, other=99)) < 1e-9
    assert unseen_share(one, listed({})) == 0.0
    assert unseen_p_value(one, listed({})) == 1.0


def test_the_exchange_is_seldom_found_where_there_is_none() -> None:
    rng = np.random.default_rng(3)
    weights = 1.0 / np.arange(1, 401)
    false = 0
    for _ in range(200):
        sides = []
        for rows in (400, 800):
            counts = rng.multinomial(rows, weights / weights.sum())
            held = {str(k): int(n) for k, n in enumerate(counts) if n}
            sides.append(Profile(rows, {"x": listed(held)}))
        false += judged(*sides).verdict is not Status.OK
    assert false <= 6
