import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.reports.sparkline import HEIGHT, WIDTH, sparkline

VALUES = st.lists(st.none() | st.floats(-1e9, 1e9), max_size=30)


@given(VALUES)
def test_everything_known_is_drawn_inside_the_box(values: list[float | None]) -> None:
    made = sparkline(values)
    known = [value for value in values if value is not None]
    if not known:
        assert made is None
        return
    drawn = [tuple(map(float, pair.split(","))) for line in made.lines for pair in line.split()]
    drawn += made.dots
    assert len(drawn) == len(known)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in drawn)
    assert (made.low, made.high) == (min(known), max(known))


def test_a_flat_line_lies_in_the_middle() -> None:
    assert sparkline([2.0, 2.0]).lines == (f"3,{HEIGHT // 2} {WIDTH - 3},{HEIGHT // 2}",)


@pytest.mark.parametrize("hole", [None, float("nan"), float("inf")])
def test_holes_are_not_bridged(hole: float | None) -> None:
    assert len(sparkline([1.0, 2.0, hole, 3.0, 4.0]).lines) == 2
