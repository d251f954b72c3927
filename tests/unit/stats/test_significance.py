import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.stats.significance import present, present_weighted


def test_only_missing_values_are_dropped() -> None:
    assert present([np.nan, -np.inf, 0.0, np.inf]).tolist() == [-np.inf, 0.0, np.inf]
    assert present([1, 2]).tolist() == [1.0, 2.0]


@given(st.lists(st.floats(0.001, 1e300), min_size=1, max_size=20))
def test_weights_sum_to_kishs_effective_rows(weights: list[float]) -> None:
    _, scaled = present_weighted(np.zeros(len(weights)), weights)
    parts = np.array(weights) / max(weights)
    assert scaled.sum() == pytest.approx(parts.sum() ** 2 / (parts**2).sum())
    assert scaled / scaled.max() == pytest.approx(parts)


def test_rows_without_a_weight_count_for_nothing() -> None:
    values, weights = present_weighted([1, 2, 3, 4, np.nan], [0.0, np.nan, np.inf, 5.0, 1.0])
    assert (values.tolist(), weights.tolist()) == ([4.0], [1.0])
    assert present_weighted([1.0], [0.0])[0].size == 0


def test_weights_need_their_values() -> None:
    with pytest.raises(ValueError, match="2 weights for 1 values"):
        present_weighted([1.0], [1.0, 2.0])
