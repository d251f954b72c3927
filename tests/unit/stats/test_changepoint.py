"""Evidence for a shift in the mean of windows."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from homeostat.stats.changepoint import (
    SPREADS,
    Baseline,
    Groups,
    Tally,
    fit_baseline,
    forget,
    fresh,
    log_factors,
    measure,
    update,
)

WINDOWS = 28


def one_by_one(series: int) -> Groups:
    return Groups(np.arange(series), np.ones(series), series)


def baseline(values: np.ndarray, rows: float = 100.0, prior: float = 0.0) -> Baseline:
    return fit_baseline(values, np.full(values.shape, rows), np.ones(values.shape[1]), prior=prior)


def follow(base: Baseline, values: np.ndarray, rows: float = 100.0) -> Tally:
    tally = fresh(values.shape[1])
    for row in values:
        tally = update(tally, base, row, np.broadcast_to(base.weigh(rows), row.shape))
    return tally


def test_the_factor_is_the_ratio_of_marginal_likelihoods() -> None:
    """Integrate mean, variance and shift out numerically and compare."""
    rng = np.random.default_rng(0)
    x = rng.normal(0.0, 1.0, 20)
    y = rng.normal(0.8, 1.0, 4)
    base = fit_baseline(x[:, None], np.ones((20, 1)), np.ones(1))
    base = replace(base, tails=np.full(1, np.inf))
    spread_of_one = base.scale[0]
    tally = follow(base, y[:, None], rows=1.0)
    found = np.exp(log_factors(tally, base)[0, 0])
    # Windows may not vary less than sampling does, so the reference's squares are those kept.
    squares = base.squares[0] * spread_of_one
    mean = x.mean()

    def factor(spread: float) -> float:
        # The shift's prior is scaled by the variance; given that, a t mixture over the shift.
        def joint(shift: float, log_sigma: float) -> float:
            sigma2 = np.exp(2 * log_sigma)
            rest = y - shift
            both = (20 * mean + rest.sum()) / 24
            total = squares + 20 * (mean - both) ** 2 + ((rest - both) ** 2).sum()
            freedom = base.freedom[0] + 4
            density = sigma2 ** (-freedom / 2) * np.exp(-total / (2 * sigma2))
            return float(density * stats.norm.pdf(shift, 0.0, np.sqrt(spread * sigma2)))

        top = integrate.dblquad(joint, -2.0, 2.0, -40.0, 40.0, epsabs=0, epsrel=1e-6)[0]

        def null(log_sigma: float) -> float:
            sigma2 = np.exp(2 * log_sigma)
            both = (20 * mean + y.sum()) / 24
            total = squares + 20 * (mean - both) ** 2 + ((y - both) ** 2).sum()
            freedom = base.freedom[0] + 4
            return float(sigma2 ** (-freedom / 2) * np.exp(-total / (2 * sigma2)))

        return top / integrate.quad(null, -2.0, 2.0, epsabs=0, epsrel=1e-9)[0]

    expected = np.mean([factor(spread) for spread in SPREADS])
    assert found == pytest.approx(expected, rel=2e-3)


@pytest.mark.statistical
@pytest.mark.parametrize("spread", [0.05, 0.1, 0.5])
def test_evidence_is_rare_while_nothing_shifts(spread: float) -> None:
    """Whatever the windows' own variation is: less than, equal to or above sampling."""
    rng = np.random.default_rng(1)
    base = baseline(rng.normal(3.0, spread, (WINDOWS, 4000)))
    tally = fresh(4000)
    reached = np.zeros(4000, dtype=bool)
    for seen in range(1, 91):
        values = rng.normal(3.0, spread, 4000)
        tally = update(tally, base, values, base.weigh(100.0))
        evidence = measure(tally, base, one_by_one(4000)).evidence
        reached |= evidence >= 360.0
        # Markov's inequality for every mean up to `seen`; the mean itself hangs on the far tail.
        assert (evidence >= 20.0).mean() <= seen / 20
    assert reached.mean() <= 90 / 360


@pytest.mark.statistical
def test_windows_out_of_the_ordinary_are_learnt_from_the_reference() -> None:
    rng = np.random.default_rng(2)

    def days(windows: int) -> np.ndarray:
        return rng.standard_t(4, (windows, 1000)) * 0.1

    base = baseline(days(WINDOWS))
    assert np.median(base.tails) < 15
    evidence = [
        measure(t, base, one_by_one(1000)).evidence
        for t in [follow(base, days(n)) for n in (1, 10, 30)]
    ]
    assert all((found >= 360.0).mean() <= 0.03 for found in evidence)


@pytest.mark.parametrize(("shift", "within"), [(1.2, 1), (0.8, 2), (0.5, 4), (0.32, 9)])
def test_shifts_are_found(shift: float, within: int) -> None:
    rng = np.random.default_rng(3)
    base = baseline(rng.normal(0.0, 0.1, (WINDOWS, 300)))
    tally = follow(base, rng.normal(shift, 0.1, (within, 300)))
    found = measure(tally, base, one_by_one(300))
    assert (found.evidence > 12_600).mean() > 0.8
    assert np.median(found.size) == pytest.approx(shift, abs=0.05)
    assert np.median(found.error) == pytest.approx(0.1 / np.sqrt(within), rel=0.35)


def test_the_start_of_a_change_is_found_after_quiet_windows() -> None:
    rng = np.random.default_rng(4)
    base = baseline(rng.normal(0.0, 0.1, (WINDOWS, 1)))
    values = rng.normal(0.0, 0.1, (60, 1))
    values[50:] += 0.5
    found = measure(follow(base, values), base, one_by_one(1))
    assert found.size[0] == pytest.approx(0.5, abs=0.1)


@given(st.integers(1, 400))
def test_starts_thin_out_and_keep_the_newest(windows: int) -> None:
    base = baseline(np.zeros((WINDOWS, 1)))
    tally = follow(base, np.zeros((windows, 1)))
    ages = [tally.seen - start for start in tally.starts]
    assert ages == sorted(ages, reverse=True)
    assert ages[-1] == 1
    assert ages[0] == windows
    assert len(ages) <= 6 + 4 * np.log2(windows)
    gaps = [older / newer for older, newer in pairwise(ages) if newer > 4]
    assert max(gaps, default=1.0) <= 2.0


def test_series_without_a_value_keep_what_they_had() -> None:
    rng = np.random.default_rng(5)
    base = baseline(rng.normal(0.0, 0.1, (WINDOWS, 2)))
    tally = follow(base, np.array([[0.4, 0.4]]))
    weights = np.array([base.weigh(100.0)[0], 0.0])
    after = update(tally, base, np.array([0.4, np.nan]), weights)
    before, found = (measure(t, base, one_by_one(2)) for t in (tally, after))
    assert found.evidence[0] > before.evidence[0]
    assert found.evidence[1] == pytest.approx(before.evidence[1])
    assert found.size[1] == pytest.approx(before.size[1])


def test_forgotten_series_start_afresh() -> None:
    rng = np.random.default_rng(6)
    base = baseline(rng.normal(0.0, 0.1, (WINDOWS, 2)))
    tally = forget(follow(base, np.full((5, 2), 0.5)), np.array([True, False]))
    found = measure(tally, base, one_by_one(2))
    assert found.evidence[0] == 0.0
    assert found.evidence[1] > 1e6
    assert found.size[0] == 0.0


def test_before_the_first_window_there_is_no_evidence() -> None:
    base = baseline(np.zeros((WINDOWS, 3)))
    found = measure(fresh(3), base, Groups(np.zeros(3, dtype=np.intp), np.full(3, 1 / 3), 1))
    assert found.evidence.tolist() == [0.0]
    assert found.size.tolist() == [0.0, 0.0, 0.0]


def test_few_reference_windows_rest_on_what_is_assumed() -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(0.0, 0.1, (WINDOWS, 200))
    moved = np.full((1, 200), 0.5)
    found = {}
    for windows in (1, 3, WINDOWS):
        base = baseline(values[:windows], prior=0.05)
        found[windows] = np.median(measure(follow(base, moved), base, one_by_one(200)).evidence)
    assert found[1] < found[3] < found[WINDOWS]
    assert found[3] < 100.0


def test_big_windows_weigh_more_where_sampling_is_the_noise() -> None:
    still = baseline(np.full((WINDOWS, 1), 0.0))
    assert still.weigh(400.0)[0] == pytest.approx(4 * still.weigh(100.0)[0])
    rng = np.random.default_rng(8)
    moving = baseline(rng.normal(0.0, 3.0, (WINDOWS, 1)))
    assert moving.weigh(400.0)[0] == pytest.approx(moving.weigh(100.0)[0], rel=0.05)


def test_slow_movements_of_the_reference_are_measured() -> None:
    rng = np.random.default_rng(9)
    noise = rng.normal(0.0, 0.1, (56, 200))
    slow = noise + 0.3 * np.sin(np.arange(56) / 9.0)[:, None]
    assert np.median(baseline(noise).wander) < 0.03
    assert np.median(baseline(slow).wander) == pytest.approx(0.2, abs=0.05)
    assert baseline(slow[:10]).wander.tolist() == [0.0] * 200


def test_series_of_a_kind_sharpen_one_another() -> None:
    rng = np.random.default_rng(10)
    values = rng.normal(0.0, 0.1, (8, 100))
    rows, unit = np.full(values.shape, 100.0), np.ones(100)
    alone = fit_baseline(values, rows, unit)
    together = fit_baseline(values, rows, unit, kinds=np.zeros(100, dtype=np.intp))
    assert together.freedom.min() > 2 * alone.freedom.max()
    assert together.excess.std() < alone.excess.std()
