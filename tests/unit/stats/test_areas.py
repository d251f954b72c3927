import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from homeostat.stats.areas import compare_areas

Floats = NDArray[np.float64]

ROWS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 5)), min_size=6, max_size=40
).filter(lambda rows: 2 <= sum(row[0] for row in rows) <= len(rows) - 2)


def literal(labels: Floats, first: Floats, second: Floats) -> tuple[float, float]:
    """Follow DeLong et al. (1988) to the letter: all pairs, then covariances."""
    hits, misses = [], []
    for scores in (first, second):
        x, y = scores[labels == 1.0], scores[labels == 0.0]
        kernel = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
        hits.append(kernel.mean(axis=1))
        misses.append(kernel.mean(axis=0))
    contrast = np.array([1.0, -1.0])
    covariance = np.cov(hits) / len(hits[0]) + np.cov(misses) / len(misses[0])
    return hits[0].mean() - hits[1].mean(), float(contrast @ covariance @ contrast)


@settings(max_examples=25)
@given(ROWS)
def test_it_is_delongs_own_definition(rows: list[tuple[bool, int, int]]) -> None:
    labels, first, second = np.array(rows, dtype=np.float64).T
    gap, variance = literal(labels, first, second)
    found = compare_areas(labels, first, second)
    assert found.first - found.second == pytest.approx(gap, abs=1e-12)
    assert found.error == pytest.approx(math.sqrt(max(0.0, variance)), abs=1e-7)
    if found.error > 1e-6:
        assert found.z == pytest.approx(gap / math.sqrt(variance), rel=1e-6)


@pytest.mark.statistical
def test_equal_models_differ_as_often_as_they_should() -> None:
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(200):
        labels = (rng.random(120) < 0.4).astype(float)
        both = labels + rng.normal(0.0, 1.0, 120)
        one, other = both + rng.normal(0.0, 1.0, (2, 120))
        found += compare_areas(labels, one, other).p_value <= 0.05
    assert 3 <= found <= 20


def test_without_two_rows_of_each_class_nothing_is_tested() -> None:
    scores = np.arange(4.0)
    one_class = compare_areas(np.zeros(4), scores, scores)
    assert math.isnan(one_class.first)
    single = compare_areas(np.array([0.0, 0.0, 0.0, 1.0]), scores, -scores)
    assert (single.first, single.second) == (1.0, 0.0)
    assert math.isnan(single.p_value)
    same = compare_areas(np.array([0.0, 1.0, 0.0, 1.0]), scores, scores)
    assert same.error == 0.0
    assert math.isnan(same.z)
    assert math.isnan(same.p_value)
