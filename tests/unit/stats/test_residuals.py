"""Metrics of numbers: values against scikit-learn, intervals against their promise."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as oracle

from homeostat.stats import residuals
from homeostat.stats.estimates import Estimate

Floats = NDArray[np.float64]
Metric = Callable[..., Estimate]

ROWS = st.lists(
    st.tuples(st.floats(1, 100), st.floats(-100, 100), st.integers(1, 4)), min_size=2, max_size=40
).map(lambda rows: np.array(rows, dtype=float).T)


def pinball(labels: Floats, said: Floats, weights: Floats | None = None) -> Estimate:
    return residuals.pinball(labels, said, 0.9, weights)


METRICS: dict[str, Metric] = {
    "mae": residuals.mae,
    "bias": residuals.bias,
    "rmse": residuals.rmse,
    "mape": residuals.mape,
    "wape": residuals.wape,
    "r2": residuals.r2,
    "pinball": pinball,
}


@given(ROWS)
def test_values_agree_with_scikit_learn(rows: Floats) -> None:
    labels, said, weights = rows
    assume(labels.std() > 1e-3)
    by = {"sample_weight": weights}
    expected = {
        "mae": oracle.mean_absolute_error(labels, said, **by),
        "bias": np.average(said - labels, weights=weights),
        "rmse": oracle.root_mean_squared_error(labels, said, **by),
        "mape": oracle.mean_absolute_percentage_error(labels, said, **by),
        "wape": (weights * abs(labels - said)).sum() / (weights * labels).sum(),
        "r2": oracle.r2_score(labels, said, **by),
        "pinball": oracle.mean_pinball_loss(labels, said, alpha=0.9, **by),
    }
    for name, metric in METRICS.items():
        found = metric(labels, said, weights)
        if found.problem:  # two rows of which one outweighs: no interval in range
            assert "too large" in found.problem
            continue
        assert found.value == pytest.approx(expected[name], rel=1e-9, abs=1e-9), name
        assert found.lower <= found.value <= found.upper


@pytest.mark.statistical
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n", [50, 500])
def test_intervals_cover(n: int, weighted: bool) -> None:
    rng = np.random.default_rng(5)

    def draw(rows: int) -> tuple[Floats, Floats, Floats | None]:
        said = rng.gamma(9.0, 1.0, rows)
        labels = said * (1.0 + rng.normal(0.0, 0.2, rows))
        return labels, said, rng.uniform(0.2, 1.8, rows) if weighted else None

    many, samples = draw(1_000_000), [draw(n) for _ in range(1500)]
    for name, metric in METRICS.items():
        truth = metric(*many).value
        found = [metric(*sample) for sample in samples]
        hits = np.mean([item.lower <= truth <= item.upper for item in found])
        assert 0.9 <= hits <= 0.985, (name, hits)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_no_rows_and_one_row_have_no_interval(metric: Metric) -> None:
    nothing, one = np.array([]), np.ones(1)
    assert metric(nothing, nothing).problem == "no labelled rows"
    assert metric(one, one).problem
    assert metric(np.array([1.0, 2.0]), np.ones(2), np.array([1.0, 0.0])).problem
    assert metric(np.array([1.0, 2.0]), np.ones(2), np.zeros(2)).problem


def test_what_is_undefined_says_why() -> None:
    zeros, some = np.zeros(5), np.arange(5.0)
    assert residuals.mape(zeros, some).problem == "every label is 0"
    assert residuals.wape(zeros, some).problem == "every label is 0"
    assert residuals.r2(np.ones(5), some).problem == "every label is the same"


def test_a_perfect_model_has_no_error() -> None:
    labels = np.arange(1.0, 6.0)
    for name, metric in METRICS.items():
        found = metric(labels, labels)
        ideal = 1.0 if name == "r2" else 0.0
        assert (found.lower, found.value, found.upper) == (ideal, ideal, ideal)


def test_numbers_out_of_range_are_no_figure() -> None:
    huge = np.array([1e308, -1e308, 1e308])
    with np.errstate(over="ignore", invalid="ignore"):
        assert residuals.mae(huge, -huge).problem.startswith("too large")
