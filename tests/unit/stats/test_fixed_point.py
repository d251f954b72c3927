import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import brentq

from homeostat.stats.fixed_point import fixed_point

Floats = NDArray[np.float64]
SMALL = 1e-9


class Mixture:
    """The share of one of two known distributions in samples, one sample a row."""

    def __init__(self, seed: int, rows: int = 3, size: int = 60) -> None:
        rng = np.random.default_rng(seed)
        self.one, self.other = rng.exponential(size=(2, rows, size))
        self.calls = 0

    def __call__(self, share: Floats) -> Floats:
        self.calls += 1
        weight = share * self.one
        found: Floats = (weight / (weight + (1 - share) * self.other)).mean(axis=1, keepdims=True)
        return found

    def likeliest(self, row: int) -> float:
        one, other = self.one[row], self.other[row]

        def slope(share: float) -> float:
            return float(((one - other) / (share * one + (1 - share) * other)).sum())

        if slope(1e-12) <= 0 or slope(1 - 1e-12) >= 0:
            return float(slope(1e-12) > 0)
        return float(brentq(slope, 1e-12, 1 - 1e-12))


@given(st.integers(0, 2**32))
def test_it_finds_what_the_likelihood_has_for_its_maximum(seed: int) -> None:
    mixture = Mixture(seed)
    found = fixed_point(mixture, np.full((3, 1), 0.5), SMALL, 20_000)
    expected = [mixture.likeliest(row) for row in range(3)]
    assert found.ravel() == pytest.approx(expected, abs=1e-4)


def test_it_takes_fewer_steps_than_plain_ones() -> None:
    mixture = Mixture(1)
    at, moved = np.full((3, 1), 0.5), 1.0
    while moved > SMALL:
        nearer = mixture(at)
        at, moved = nearer, float(np.abs(nearer - at).max())
    plain, mixture.calls = mixture.calls, 0
    found = fixed_point(mixture, np.full((3, 1), 0.5), SMALL, 20_000)
    assert mixture.calls < plain / 3
    assert found == pytest.approx(at, abs=1e-6)


def test_no_row_depends_on_another() -> None:
    mixture = Mixture(2)
    together = fixed_point(mixture, np.full((3, 1), 0.5), SMALL, 20_000)
    for row in range(3):
        alone = Mixture(2)
        alone.one, alone.other = alone.one[[row]], alone.other[[row]]
        found = fixed_point(alone, np.full((1, 1), 0.5), SMALL, 20_000)
        assert found[0, 0] == pytest.approx(together[row, 0], abs=1e-7)


def test_a_row_that_leaps_astray_goes_back() -> None:
    """Far away all steps have one length, so that the first leap goes very far."""

    def step(x: Floats) -> Floats:
        return np.asarray(np.where(x < 5.0, x + 0.1, x + 0.9 * (6.0 - x)))

    found = fixed_point(step, np.array([[0.0], [5.9]]), SMALL, 1000)
    assert found.ravel() == pytest.approx([6.0, 6.0], abs=1e-8)


def test_what_swings_is_left_to_plain_steps() -> None:
    found = fixed_point(np.cos, np.ones((1, 1)), SMALL, 1000)
    assert found[0, 0] == pytest.approx(0.7390851332151607, abs=1e-8)


def test_what_does_not_move_takes_one_step() -> None:
    calls: list[Floats] = []

    def stay(x: Floats) -> Floats:
        calls.append(x)
        return x

    assert fixed_point(stay, np.full((2, 2), 3.0), SMALL, 10).tolist() == [[3.0, 3.0]] * 2
    assert len(calls) == 1


@pytest.mark.parametrize("most", [0, 1, 2, 7])
def test_it_ends_after_so_many_steps(most: int) -> None:
    calls: list[Floats] = []

    def away(x: Floats) -> Floats:
        calls.append(x)
        return x + 1.0

    assert np.isfinite(fixed_point(away, np.zeros((1, 1)), SMALL, most)).all()
    assert len(calls) <= most + 1
