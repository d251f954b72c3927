"""Metrics of numbers: values against scikit-learn, intervals against their promise."""

from collections.abc import Callable, Iterable

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


def proportional(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    said = rng.gamma(9.0, 1.0, n)
    return said * (1.0 + rng.normal(0.0, 0.2, n)), said


def student(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    said = rng.normal(10.0, 1.0, n)
    return said + rng.standard_t(5.0, n), said


def skewed(sigma: float) -> Callable[[np.random.Generator, int], tuple[Floats, Floats]]:
    """Amounts whose squared errors are so skewed that most samples hold too few large ones."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Floats, Floats]:
        said = rng.lognormal(0.0, sigma, n)
        return said * rng.lognormal(0.0, 0.5 * sigma, n), said

    return draw


def coverage(
    draw: Callable[[np.random.Generator, int], tuple[Floats, Floats]],
    n: int,
    names: Iterable[str],
    *,
    weighted: bool = False,
) -> dict[str, float]:
    rng = np.random.default_rng(5)

    def sample(rows: int) -> tuple[Floats, Floats, Floats | None]:
        return *draw(rng, rows), rng.uniform(0.2, 1.8, rows) if weighted else None

    many, samples = sample(2_000_000), [sample(n) for _ in range(500)]
    found = {}
    for name in names:
        truth = METRICS[name](*many).value
        each = [METRICS[name](*rows) for rows in samples]
        found[name] = float(np.mean([item.lower <= truth <= item.upper for item in each]))
    return found


@pytest.mark.statistical
@pytest.mark.unwatched
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n", [50, 500])
def test_intervals_cover(n: int, weighted: bool) -> None:
    found = coverage(proportional, n, METRICS, weighted=weighted)
    assert min(found.values()) >= 0.92, found
    assert max(found.values()) <= 0.985, found


@pytest.mark.statistical
@pytest.mark.parametrize("n", [50, 500])
@pytest.mark.parametrize(
    ("draw", "least"),
    [
        pytest.param(student, 0.92, id="t of 5 degrees"),
        pytest.param(skewed(0.5), 0.9, id="lognormal 0.5"),
        pytest.param(skewed(1.0), 0.86, id="lognormal 1"),
    ],
)
def test_intervals_cover_where_tails_are_heavy(
    draw: Callable[[np.random.Generator, int], tuple[Floats, Floats]], n: int, least: float
) -> None:
    """Of the last, Hall's interval of the mean square covered 81 %, a line through R2 75 %."""
    found = coverage(draw, n, ("mae", "rmse", "wape", "r2"))
    assert min(found.values()) >= least, found


def test_what_one_row_makes_up_reaches_far_and_does_not_break() -> None:
    said = np.zeros(50)
    one = np.where(np.arange(50) == 7, 3.0, 0.0)
    found = residuals.rmse(one, said)
    assert found.lower < found.value < found.upper < np.inf
    level = residuals.r2(one, said + 0.5 * one)
    assert "too large" in level.problem or level.lower < level.value < level.upper


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
