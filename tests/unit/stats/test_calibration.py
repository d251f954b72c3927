"""Calibration: values against scikit-learn and SciPy, intervals against their promise."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats
from sklearn.calibration import calibration_curve

from homeostat.stats import calibration
from homeostat.stats.calibration import Calibration, calibrate, reliability
from homeostat.stats.ranking import rank

Floats = NDArray[np.float64]


def draw(
    rng: np.random.Generator, n: int, base: float, shift: float = 0.0, slope: float = 1.0
) -> tuple[Floats, Floats, Floats]:
    """Labels, scores and true chances of rows whose scores are off by `shift` and `slope`."""
    odds = rng.normal(base, 1.2, n)
    chances = 1.0 / (1.0 + np.exp(-(shift + slope * odds)))
    return (rng.random(n) < chances).astype(float), 1.0 / (1.0 + np.exp(-odds)), chances


def test_the_curve_agrees_with_scikit_learn() -> None:
    labels, scores, _ = draw(np.random.default_rng(1), 3000, 0.0)
    cells = reliability(rank(labels, scores), 10)
    observed, claimed = calibration_curve(labels, scores, n_bins=10, strategy="quantile")
    assert [cell.observed for cell in cells] == pytest.approx(list(observed), abs=1e-12)
    assert [cell.mean_score for cell in cells] == pytest.approx(list(claimed), abs=1e-12)
    gaps = [cell.share * abs(cell.observed - cell.mean_score) for cell in cells]
    assert calibration.ece(cells) == pytest.approx(sum(gaps))
    for cell in cells:
        bounds = stats.binomtest(round(cell.observed * cell.n), cell.n).proportion_ci(
            method="wilson"
        )
        assert (cell.lower, cell.upper) == pytest.approx((bounds.low, bounds.high))
        assert cell.variance == pytest.approx(cell.observed * (1 - cell.observed) / (cell.n - 1))


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=200
    )
)
def test_cells_hold_every_row_once_and_part_no_equal_scores(
    rows: list[tuple[int, int, int]],
) -> None:
    labels, scores, weights = (np.array(rows, dtype=float) / [1.0, 9.0, 1.0]).T
    cells = reliability(rank(labels, scores, weights))
    if not weights.any():
        assert cells == ()
        return
    kept = weights > 0.0
    assert sum(cell.share for cell in cells) == pytest.approx(1.0)
    total = sum(cell.share * cell.observed for cell in cells)
    assert total == pytest.approx(np.average(labels, weights=weights))
    claimed = sum(cell.share * cell.mean_score for cell in cells)
    assert claimed == pytest.approx(np.average(scores, weights=weights))
    assert all(a.highest < b.lowest for a, b in pairwise(cells))
    assert len(cells) <= max(1, kept.sum() // 10)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_recalibration_is_the_likeliest(weighted: bool) -> None:
    rng = np.random.default_rng(2)
    labels, scores, _ = draw(rng, 800, -1.0, 0.4, 0.7)
    weights = rng.integers(1, 4, 800).astype(float) if weighted else None
    found = calibrate(rank(labels, scores, weights))
    odds, by = np.log(scores / (1.0 - scores)), np.ones(800) if weights is None else weights

    def loss(values: Floats) -> float:
        predicted = values[0] + values[1] * odds
        return float(by @ (np.logaddexp(0.0, predicted) - labels * predicted))

    expected = optimize.minimize(loss, [0.0, 1.0], tol=1e-10).x
    assert (found.intercept.value, found.slope.value) == pytest.approx(expected, abs=1e-5)
    shift = optimize.minimize_scalar(lambda a: loss(np.array([a, 1.0]))).x
    assert found.in_the_large.value == pytest.approx(shift, abs=1e-5)


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("n", "base", "shift", "slope"),
    [
        (200, 0.0, 0.0, 1.0),
        (1000, -3.0, 0.0, 1.0),
        (1000, 0.0, 0.5, 0.7),
        (4000, -3.0, 0.3, 1.0),
    ],
)
def test_intervals_cover(n: int, base: float, shift: float, slope: float) -> None:
    rng = np.random.default_rng(3)
    hits: dict[str, list[bool]] = {name: [] for name in ("ece", "rms", "intercept", "slope")}
    debiased, plain, truths = [], [], []
    for _ in range(250):
        labels, scores, chances = draw(rng, n, base, shift, slope)
        found = calibrate(rank(labels, scores))
        order = np.argsort(scores)
        edges = np.cumsum([cell.n for cell in found.cells])[:-1]
        gaps = [part.mean() for part in np.split((chances - scores)[order], edges)]
        shares = np.array([cell.share for cell in found.cells])
        truth = float(shares @ np.abs(gaps))
        squares = math.sqrt(float(shares @ np.square(gaps)))
        for name, estimate, value in (
            ("ece", found.ece_debiased, truth),
            ("rms", found.rms_debiased, squares),
            ("intercept", found.intercept, shift),
            ("slope", found.slope, slope),
        ):
            hits[name].append(estimate.lower - 1e-12 <= value <= estimate.upper)
        debiased.append(found.ece_debiased.value)
        plain.append(found.ece)
        truths.append(truth)
    for name, found_in in hits.items():
        assert np.mean(found_in) >= 0.92, name
    truth = float(np.mean(truths))
    assert abs(np.mean(debiased) - truth) < max(abs(np.mean(plain) - truth) * 0.7, 0.003)


@pytest.mark.statistical
def test_the_shift_in_the_large_covers_with_weights() -> None:
    rng = np.random.default_rng(4)
    hits = []
    for _ in range(300):
        labels, scores, _ = draw(rng, 400, -1.0, 0.3)
        weights = rng.gamma(2.0, 1.0, 400)
        found = calibrate(rank(labels, scores, weights)).in_the_large
        hits.append(found.lower <= 0.3 <= found.upper)
    assert 0.92 <= np.mean(hits) <= 0.98


def problems(found: Calibration) -> set[str]:
    return {found.intercept.problem, found.slope.problem, found.in_the_large.problem}


def test_what_is_undefined_says_why() -> None:
    scores = np.linspace(0.1, 0.9, 20)
    assert problems(calibrate(rank(np.ones(20), scores))) == {
        "one class only: every label is positive"
    }
    empty = calibrate(rank(np.array([]), np.array([])))
    assert empty.ece_debiased.problem == empty.rms_debiased.problem == "no labelled rows"
    assert empty.cells == ()
    assert math.isnan(empty.ece)
    labels = np.tile([0.0, 1.0], 10)
    constant = calibrate(rank(labels, np.full(20, 0.4)))
    assert constant.slope.problem == "every score is the same"
    assert constant.in_the_large.value == pytest.approx(math.log(1.5))
    separate = calibrate(rank(np.repeat([0.0, 1.0], 10), scores))
    assert "separate the classes" in separate.slope.problem


def test_scores_of_zero_and_one_are_kept_finite() -> None:
    labels = np.concatenate((np.zeros(50), np.ones(50), [1.0, 0.0]))
    scores = np.concatenate((np.zeros(50), np.ones(50), [0.0, 1.0]))
    found = calibrate(rank(labels, scores))
    assert 0.0 < found.slope.value < 1.0
    assert len(found.cells) == 2


def test_a_claim_far_from_the_truth_is_still_shifted_back() -> None:
    labels = np.tile([0.0, 1.0], 20)
    found = calibration.in_the_large(rank(labels, np.zeros(40)))
    assert found.value == pytest.approx(-np.log(calibration.EXTREME), rel=1e-4)


def test_a_claim_beyond_all_odds_has_no_finite_shift() -> None:
    found = calibration.in_the_large(
        rank(np.repeat([0.0, 1.0], 8), np.full(16, 0.5), np.repeat([1.0, 1e-300], 8))
    )
    assert found.problem


def test_one_row_tells_nothing_of_calibration() -> None:
    found = calibrate(rank(np.array([1.0]), np.array([0.6])))
    assert not found.ece_debiased.bounded
    assert found.ece_debiased.problem == found.rms_debiased.problem != ""
