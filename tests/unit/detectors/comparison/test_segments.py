import numpy as np
import pytest

from homeostat.detectors.comparison.compare import compare_profiles
from homeostat.detectors.comparison.segments import SegmentProfiles, compare_segments
from homeostat.domain.comparison import Comparison
from homeostat.domain.verdict import Status
from homeostat.profiles.build import profile_numbers
from homeostat.profiles.profile import EMPTY, Profile, merge_all


def rows(n: int, mean: float = 0.0, seed: int = 0) -> Profile:
    values = np.random.default_rng(seed).normal(mean, 1.0, n)
    return Profile(n, {"x": profile_numbers(values)})


def drill(*parts: tuple[Profile, Profile]) -> Comparison:
    named = [SegmentProfiles({"region": f"r{k}"}, *pair) for k, pair in enumerate(parts)]
    sides = [merge_all(pair[side] for pair in parts) for side in (0, 1)]
    return compare_segments(compare_profiles(*sides), named)


def same(seed: int) -> tuple[Profile, Profile]:
    return rows(2000, seed=seed), rows(2000, seed=seed + 1)


def test_the_segment_that_carries_a_drift_is_named() -> None:
    found = drill(same(0), (rows(2000), rows(2000, 1.0, 9)), same(4))
    assert found.carriers == {"x": "region=r1 carries it: without its rows there is no drift"}
    assert [part.name for part in found.segments if part.comparison.drifted] == ["region=r1"]


def test_a_drift_of_all_is_no_segments() -> None:
    found = drill(*[(rows(2000, seed=k), rows(2000, 0.5, seed=k + 9)) for k in range(3)])
    assert found.carriers == {"x": "in all 3 segments that have enough rows"}


def test_a_drift_of_some_names_them_largest_first() -> None:
    moved = [(rows(2000, seed=k), rows(2000, 0.5 + k, seed=k + 9)) for k in range(2)]
    assert drill(*moved, same(4)).carriers == {"x": "in 2 of 3 segments: region=r1, region=r0"}
    five = [(rows(900, seed=k), rows(900, 1.0, seed=k + 9)) for k in range(5)]
    assert drill(*five, same(4)).carriers["x"].endswith(", ...")


def test_a_changed_mix_is_told_from_a_change_within() -> None:
    low, high = (rows(4000), rows(1000, seed=1)), (rows(1000, 3, 2), rows(4000, 3, 3))
    middle = (rows(1000, 1.5, 4), rows(1000, 1.5, 5))
    found = drill(low, middle, high, (rows(2000, -3, 6), rows(500, -3, 7)))
    assert found.drifted == ["x"]
    assert found.carriers["x"].startswith("not within any segment")


def test_changes_that_cancel_out_are_seen_within() -> None:
    up, down = (rows(3000), rows(3000, 0.3, 1)), (rows(3000, seed=2), rows(3000, -0.3, 3))
    found = drill(up, down)
    if not found.drifted:
        assert found.carriers["x"].startswith("only within region=")
    assert {part.comparison["x"].verdict for part in found.segments} == {Status.DRIFT}


@pytest.mark.parametrize(
    ("part", "verdict"),
    [
        ((rows(2000), rows(10)), Status.INCONCLUSIVE),
        ((rows(2000), EMPTY), Status.ERROR),
        ((EMPTY, rows(2000)), Status.NO_DATA),
    ],
)
def test_small_and_one_sided_segments_are_not_judged(
    part: tuple[Profile, Profile], verdict: Status
) -> None:
    found = drill(same(0), part)
    small = next(piece for piece in found.segments if piece.name == "region=r1")
    assert small.comparison["x"].verdict is verdict
