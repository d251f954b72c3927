"""Which values a stream detector takes in."""

import math

import numpy as np
import pytest

from homeostat.detectors.streaming.values import LARGEST, usable, where_usable


def test_one_value_and_an_array_agree() -> None:
    given = [0.0, math.nan, -LARGEST, 2.0 * LARGEST, math.inf, -math.inf, 5.0]
    stream, at, last = where_usable(given)
    assert at.tolist() == [index for index, value in enumerate(given) if usable(value)]
    assert stream.tolist() == [0.0, -LARGEST, 5.0]
    assert last


@pytest.mark.parametrize("given", [[], [math.nan], [1.0, math.nan]])
def test_the_last_one_may_be_passed_over(given: list[float]) -> None:
    assert not where_usable(given)[2]


def test_a_stream_has_one_dimension() -> None:
    with pytest.raises(ValueError, match="one dimension"):
        where_usable(np.zeros((2, 2)))
