"""Losses of regressions without labels, held to the labels that came later."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

import homeostat as hs

REGRESSION = hs.PredictionSpec("regression", label="y", score="p")


def blind(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values for name, values in rows.items() if name != "y"}


def prices(n: int, seed: int, scale: float = 1.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    size, kind = rng.gamma(3.0, scale, n), rng.integers(0, 3, n)
    true = 10.0 * size + rng.normal(0.0, 1.0 + size * (1 + kind))
    return {"size": size, "kind": np.array(["s", "m", "l"])[kind], "p": 10.0 * size, "y": true}


def test_losses_of_a_regression_follow_the_inputs() -> None:
    before, now = prices(6000, 1), prices(3000, 2, scale=1.5)
    realized = float(np.abs(now["p"] - now["y"]).mean())
    found = hs.estimate(before, blind(now), REGRESSION, windows=1)
    mae = found.windows[0]["mae"]
    assert mae.lower < realized < mae.upper
    assert abs(mae.value - realized) < 0.3 * abs(found.reference["mae"] - realized)
    assert found.windows[0]["rmse"].value == pytest.approx(found.windows[0]["mse"].value ** 0.5)
    assert "sign of an error" in found.windows[0]["bias"].reason
    assert "without them" in found.windows[0]["r2"].reason


def test_relative_errors_of_cheaper_things_are_larger() -> None:
    """An absolute error that does not shrink with the price: known without a row as cheap."""
    rng = np.random.default_rng(3)

    def goods(n: int, level: float) -> dict[str, np.ndarray]:
        price = np.exp(rng.normal(level, 0.5, n))
        return {"size": np.log(price), "p": price, "y": price + rng.normal(0.0, 2.0, n)}

    before, now = goods(8000, 4.0), goods(4000, 3.5)
    realized = float(np.mean(np.abs((now["p"] - now["y"]) / now["y"])))
    found = hs.estimate(before, blind(now), REGRESSION, windows=1)
    mape = found.windows[0]["mape"]
    assert mape.lower < realized < mape.upper
    assert abs(mape.value - realized) < 0.2 * abs(found.reference["mape"] - realized)


def test_a_perfect_regression_and_labels_of_zero() -> None:
    before, now = prices(500, 1), prices(200, 2)
    before["y"] = before["p"].copy()
    before["y"][0] = before["p"][0] = 0.0
    found = hs.estimate(before, blind(now), REGRESSION, windows=1).windows[0]
    assert (found["mae"].value, found["mae"].upper) == (0.0, 0.0)
    assert found["mape"].reason == "a label of 0 has no relative error"


def test_errors_on_one_stretch_only_and_many_columns() -> None:
    before, now = prices(500, 1), prices(200, 2)
    before["y"][:400] = before["p"][:400]
    extra = {f"c{i}": np.random.default_rng(i).random(500) for i in range(16)}
    after = {name: values[:200] for name, values in extra.items()}
    found = hs.estimate(before | extra, blind(now) | after, REGRESSION, windows=1)
    assert found.drift["mae"] > 0.0
    assert not found.identifiable


def test_a_window_too_small_for_a_density_ratio_is_told_all_the_same() -> None:
    now = prices(40, 2)
    found = hs.estimate(prices(3000, 1), blind(now), REGRESSION, windows=1).windows[0]
    realized = float(np.abs(now["p"] - now["y"]).mean())
    assert found["mae"].lower < realized < found["mae"].upper


def hidden(n: int, rng: np.random.Generator, shift: float) -> dict[str, np.ndarray]:
    """Errors are four times as large where an even number of four inputs is negative."""
    x = rng.normal(shift, 1.0, (4, n))
    spread = np.where(np.sign(x).prod(axis=0) > 0.0, 4.0, 1.0)
    rows = {f"x{i}": values for i, values in enumerate(x)} | {"p": 100.0 + 10.0 * x[0]}
    return rows | {"y": rows["p"] + spread * rng.normal(size=n)}


def test_intervals_know_where_inputs_move_to_what_the_learner_cannot_express() -> None:
    held = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        before, now = hidden(4000, rng, 0.0), hidden(2000, rng, 0.8)
        found = hs.estimate(before, blind(now), REGRESSION, windows=2, metrics=["mae", "rmse"])
        for window in found.windows:
            errors = np.abs(now["p"] - now["y"])[window.first : window.last]
            for name, realized in (("mae", errors.mean()), ("rmse", np.mean(errors**2) ** 0.5)):
                held.append(window[name].lower <= realized <= window[name].upper)
                assert window[name].upper - window[name].lower < 0.5 * realized
    # Without held-out errors where the rows lie two thirds are.
    assert np.mean(held) > 0.8
