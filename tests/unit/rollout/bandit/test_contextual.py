import math

import numpy as np
import pytest

from homeostat.rollout.bandit.contextual import Linear, contextual, linear


def test_sums_of_parts_are_those_of_the_whole_and_fade() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)), rng.normal(size=30)
    whole, parts = linear(x, y), linear(x[:10], y[:10]) + linear(x[10:], y[10:])
    assert np.allclose(whole.gram, parts.gram)
    assert np.allclose(whole.moment, parts.moment)
    assert whole.n == parts.n
    assert whole.squares == pytest.approx(parts.squares)
    half = whole.faded(0.5)
    assert np.allclose(half.gram * 2.0, whole.gram)
    assert (half.n, half.squares) == (15.0, whole.squares / 2.0)


def test_chances_are_those_of_the_posterior() -> None:
    """One constant context: the difference of two means that are normal."""
    rng = np.random.default_rng(0)
    ones = np.ones((400, 1))
    y, z = rng.normal(0.0, 1.0, 400), rng.normal(0.1, 1.0, 400)
    found = contextual(
        {"a": linear(ones, y), "b": linear(ones, z)}, ones[:1], rng, floor=0.0, draws=40_000
    )
    gap = (z.sum() - y.sum()) / 401.0
    spread = math.sqrt((y.var() + z.var()) / 401.0)
    assert found[0, 1] == pytest.approx(0.5 * math.erfc(-gap / spread / math.sqrt(2)), abs=0.02)


def test_it_learns_whom_each_arm_suits() -> None:
    rng = np.random.default_rng(1)
    slopes = {"a": np.array([0.5, 1.0]), "b": np.array([0.5, -1.0])}
    arms = {name: Linear(np.zeros((2, 2)), np.zeros(2)) for name in slopes}
    right = dealt = 0
    for batch in range(12):
        x = np.column_stack((np.ones(200), rng.choice([-1.0, 1.0], 200)))
        chances = contextual(arms, x, rng, draws=200)
        assert chances.sum(axis=1) == pytest.approx(np.ones(200))
        assert chances.min() >= 0.01
        chosen = (rng.random(200) > chances[:, 0]).astype(int)
        for place, name in enumerate(slopes):
            mine = x[chosen == place]
            arms[name] += linear(mine, mine @ slopes[name] + rng.normal(0.0, 1.0, len(mine)))
        if batch >= 6:
            right += int(np.sum(chosen == (x[:, 1] < 0.0)))
            dealt += 200
    assert right / dealt > 0.93


def test_rows_are_checked() -> None:
    rng, row = np.random.default_rng(0), np.ones((1, 2))
    with pytest.raises(ValueError, match="one row of context"):
        linear(row, np.ones(2))
    with pytest.raises(ValueError, match="one row of context"):
        linear(np.ones(2), np.ones(2))
    with pytest.raises(ValueError, match="finite"):
        linear(row, np.array([math.nan]))
    with pytest.raises(ValueError, match="finite"):
        linear(np.full((1, 2), math.inf), np.ones(1))
    with pytest.raises(ValueError, match="needs arms"):
        contextual({}, row, rng)
    with pytest.raises(ValueError, match="ridge"):
        contextual({"a": linear(row, np.ones(1))}, row, rng, ridge=0.0)
    with pytest.raises(ValueError, match="discount"):
        linear(row, np.ones(1)).faded(0.0)
