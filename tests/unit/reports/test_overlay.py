import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_numbers
from homeostat.profiles.profile import ColumnProfile
from homeostat.reports.overlay import BASE, MOST_BARS, WIDTH, Curves, bars, curves

RNG = np.random.default_rng(3)


def drawn(before: object, after: object) -> Curves:
    sides = [profile_numbers(np.asarray(side, dtype=np.float64)) for side in (before, after)]
    found = curves(*sides)
    assert found is not None
    return found


def heights(points: str) -> np.ndarray:
    """Return the heights of an outline's steps as shares of the tallest."""
    y = np.array([float(pair.split(",")[1]) for pair in points.split()])
    return (BASE - y[::2]) / (BASE - 10)


def test_heights_are_the_shares_of_a_histogram() -> None:
    before, after = RNG.normal(size=50_000), RNG.normal(0.5, 1, 50_000)
    found = drawn(before, after)
    shares = heights(found.current) * found.peak
    assert shares.sum() + found.outside[1] == pytest.approx(1.0, abs=0.01)
    assert found.outside[0] < 0.011
    assert not found.logarithmic


def test_whole_numbers_get_a_step_each() -> None:
    found = drawn(np.repeat([0, 1, 2], [50, 30, 20]), np.repeat([0, 1, 2], [20, 30, 50]))
    shares = heights(found.current) * found.peak
    assert shares[:3] == pytest.approx([0.2, 0.3, 0.5], abs=0.01)
    assert [label for _, label in found.ticks if "." not in label][:2] == ["0", "1"]


def test_values_over_many_decades_are_drawn_on_a_logarithmic_axis() -> None:
    found = drawn(RNG.lognormal(3, 2, 5000), RNG.lognormal(4, 2, 5000))
    assert found.logarithmic
    assert "100" in {label for _, label in found.ticks}
    assert not drawn(np.append(RNG.lognormal(3, 2, 5000), 0.0), RNG.lognormal(3, 2, 50)).logarithmic


def test_a_column_without_numbers_is_not_drawn() -> None:
    assert curves(profile_numbers(np.array([])), profile_numbers(np.ones(3))) is None


@given(
    st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=50),
    st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=50),
)
@example([1.0], [1.0, 2.225073858507e-311])
def test_whatever_the_numbers_the_drawing_stays_in_its_box(
    before: list[float], after: list[float]
) -> None:
    found = drawn(before, after)
    for points in (found.reference, found.current):
        pairs = np.array([pair.split(",") for pair in points.split()], dtype=np.float64)
        assert np.isfinite(pairs).all()
        assert (pairs >= 0).all()
        assert (pairs <= [WIDTH + 0.1, BASE]).all()
    assert all(0 <= place <= WIDTH for place, _ in found.ticks)


@pytest.mark.parametrize("value", [0.0, 7.3, -5.0, 1e-310, 1e12])
def test_constants_are_drawn(value: float) -> None:
    assert heights(drawn(np.full(50, value), np.full(50, value)).current).max() == pytest.approx(1)


def test_the_most_frequent_categories_are_drawn_and_the_rest_together() -> None:
    counts = {f"v{k:02d}": 100 - k for k in range(30)} | {" ": 300, "x" * 90: 200}
    column = ColumnProfile(ColumnKind.CATEGORICAL, sum(counts.values()), values=counts)
    found = bars(column, column)
    assert len(found) == MOST_BARS + 1
    assert found[0].label == "(empty text)"
    assert found[1].label == "x" * 39 + "…"
    assert found[-1].label == "all others (about 20)"
    assert sum(bar.reference for bar in found) == pytest.approx(1)
    assert max(bar.reference_length for bar in found) == 100
    nothing = ColumnProfile(ColumnKind.CATEGORICAL)
    assert bars(nothing, nothing) == ()
