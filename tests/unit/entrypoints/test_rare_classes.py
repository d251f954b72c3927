"""Figures of ``hs.evaluate`` where one class hardly occurs."""

import numpy as np
import pytest

import homeostat as hs


def spec(**fields: object) -> hs.PredictionSpec:
    return hs.PredictionSpec("binary", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(("n", "low", "high"), [(100, 0.005, 0.03), (500, 0.001, 0.005)])
def test_intervals_hold_the_truth_where_positives_are_few(n: int, low: float, high: float) -> None:
    rng = np.random.default_rng(10)
    many = rng.uniform(low, high, 100_000)
    truths = {
        "bias": 0.0,
        "brier": float(np.mean(many * (1.0 - many))),
        "log_loss": float(-np.mean(many * np.log(many) + (1.0 - many) * np.log1p(-many))),
        "ece": 0.0,
        "calibration_error": 0.0,
    }
    held = dict.fromkeys(truths, 0)
    for _ in range(150):
        scores = rng.uniform(low, high, n)
        data = {"score": scores, "label": (rng.random(n) < scores).astype(int)}
        found = hs.evaluate(data, spec(), metrics=list(truths))
        for name, truth in truths.items():
            lower, upper = found[name].lower, found[name].upper
            assert lower is not None
            assert upper is not None
            held[name] += lower <= truth <= upper
    assert min(held.values()) >= 0.92 * 150, held


def test_without_any_positive_no_figure_is_a_point() -> None:
    scores = np.random.default_rng(3).uniform(0.005, 0.03, 100)
    found = hs.evaluate({"score": scores, "label": np.zeros(100, int)}, spec())
    for name in ("bias", "brier", "log_loss", "ece", "calibration_error"):
        figure = found[name]
        assert figure.lower is not None
        assert figure.upper is not None
        assert figure.upper - figure.lower > 0.01, name
    single = hs.evaluate({"score": [0.6], "label": [1]}, spec(), min_rows=1)
    assert "one row" in single["ece"].problem
