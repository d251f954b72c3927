import math

import numpy as np
import pytest
from scipy import stats

from homeostat.stats.power import days_needed, rows_for_means, rows_for_shares, rows_when_looking


@pytest.mark.parametrize(
    ("effect", "alpha", "power", "ratio"),
    [(0.2, 0.05, 0.8, 1.0), (0.1, 0.01, 0.9, 0.111), (-0.05, 0.1, 0.5, 9.0)],
    ids=["even", "a tenth", "nine times"],
)
def test_so_many_rows_have_that_power(
    effect: float, alpha: float, power: float, ratio: float
) -> None:
    n = rows_for_means(effect, 1.0, power, alpha, ratio)
    shift = abs(effect) / math.sqrt((1.0 + 1.0 / ratio) / n)
    reach = stats.norm.isf(alpha / 2.0)
    assert stats.norm.sf(reach - shift) == pytest.approx(power, abs=1e-6)


def test_shares_use_cohens_effect() -> None:
    found = rows_for_shares(0.10, 0.12, power=0.9, ratio=1.0)
    rng = np.random.default_rng(0)
    a, b = (rng.binomial(round(found), p, 4000) / found for p in (0.10, 0.12))
    z = (b - a) / np.sqrt((a * (1 - a) + b * (1 - b)) / found)
    assert np.mean(z > 1.959964) == pytest.approx(0.9, abs=0.015)


def test_looking_costs_rows_and_they_are_enough() -> None:
    fixed = rows_for_means(0.1, 1.0)
    looking = rows_when_looking(0.1, 1.0)
    assert 1.5 * fixed < looking < 2.2 * fixed
    assert rows_when_looking(0.1, 1.0, power=0.9) > looking


def test_the_slowest_arm_says_how_long() -> None:
    assert days_needed([1000, 1000], [0.9, 0.1], 1000) == 10
    with pytest.raises(ValueError, match="positive"):
        days_needed([1000], [1.0], 0.0)
    with pytest.raises(ValueError, match="positive"):
        days_needed([1000], [0.0], 10.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0), "effect of 0"),
        ((math.inf, 1.0), "effect of 0"),
        ((0.1, 0.0), "spread"),
        ((0.1, 1.0, 0.8, 0.05, 0.0), "ratio"),
        ((0.1, 1.0, 1.0), "power"),
        ((0.1, 1.0, 0.8, 0.0), "error rate"),
    ],
    ids=["no effect", "endless effect", "no spread", "no ratio", "certainty", "no error"],
)
def test_what_is_impossible_is_refused(arguments: tuple[float, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rows_for_means(*arguments)


@pytest.mark.parametrize("shares", [(0.1, 0.1), (-0.1, 0.2), (0.1, 1.2)], ids=str)
def test_shares_must_differ_and_be_shares(shares: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="shares lie"):
        rows_for_shares(*shares)
