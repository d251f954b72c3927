"""Shares of arms: what moves when they change, and that nothing else does."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.adapters.records.codec import decode, encode
from homeostat.domain.arms import SLOTS, Arm, allot
from homeostat.domain.route import Route
from homeostat.serving.split import arms_of

NAMES = ("v1", "v2", "v3", "v4", "v5")
KEYS = [f"customer-{number}" for number in range(2000)]


@st.composite
def shares(draw: st.DrawFn) -> dict[str, float]:
    """Shares of some versions whose sum is at most 1."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True))
    parts = draw(st.lists(st.floats(0, 1), min_size=len(names) + 1, max_size=len(names) + 1))
    total = sum(parts) or 1.0
    return {name: part / total for name, part in zip(names, parts, strict=False)}


def ring(arms: tuple[Arm, ...]) -> np.ndarray:
    """The owner of each slot, written down one by one."""
    owners = np.full(SLOTS, "", dtype="<U2")
    for arm in arms:
        for start, end in arm.slots:
            assert set(owners[start:end]) == {""}, "two arms own a slot"
            owners[start:end] = arm.version
    return owners


def counted(owners: np.ndarray) -> Counter[str]:
    names, counts = np.unique(owners, return_counts=True)
    return Counter(dict(zip(names.tolist(), counts.tolist(), strict=True)))


@given(st.lists(shares(), min_size=2, max_size=8))
def test_over_many_changes_only_the_moved_share_moves(changes: list[dict[str, float]]) -> None:
    arms: tuple[Arm, ...] = ()
    before = ring(arms)
    for wanted in changes:
        arms = allot(wanted, arms)
        after = ring(arms)
        had, have = counted(before), counted(after)
        gained = sum((have - had).values())
        assert np.count_nonzero(before != after) == gained
        # Who gains loses nobody, and who loses gets nobody.
        for name in set(had) | set(have):
            stayed = np.count_nonzero((before == name) & (after == name))
            assert stayed == min(had[name], have[name])
        before = after


@given(shares(), shares())
def test_each_share_is_kept_to_a_slot_and_their_sum_to_half_of_one(
    first: dict[str, float], wanted: dict[str, float]
) -> None:
    arms = allot(wanted, allot(first))
    assert [arm.version for arm in arms] == list(wanted)
    for arm in arms:
        assert abs(Fraction(arm.share) - Fraction(wanted[arm.version])) < Fraction(1, SLOTS)
    total = sum(arm.share for arm in arms)
    assert abs(total - sum(wanted.values())) <= 0.5 / SLOTS + 1e-9


@given(st.lists(shares(), min_size=1, max_size=6))
def test_an_entity_moves_only_with_its_slot_and_to_an_arm_that_gains(
    changes: list[dict[str, float]],
) -> None:
    arms: tuple[Arm, ...] = ()
    keys = KEYS[:100]
    before = arms_of("fraud/prices", keys, arms)
    for wanted in changes:
        old = {arm.version: arm.share for arm in arms}
        arms = allot(wanted, arms)
        new = {arm.version: arm.share for arm in arms}
        after = arms_of("fraud/prices", keys, arms)
        for one, other in set(zip(before, after, strict=True)):
            if one != other and other:
                assert new[other] > old.get(other, 0.0)
            if one != other and one:
                assert new.get(one, 0.0) < old[one]
        before = after


def test_the_same_shares_again_move_nobody_and_a_restart_neither() -> None:
    route = Route("fraud", "v1").with_arms({"v2": 1 / 3, "v3": 1 / 3}, "prices")
    route = route.with_arms({"v2": 0.2, "v3": 0.5, "v4": 0.1}, "prices")
    assert route.with_arms({"v2": 0.2, "v3": 0.5, "v4": 0.1}, "prices") == route
    assert decode(encode(route), Route) == route


def test_entities_are_dealt_as_the_shares_say_and_anew_for_another_experiment() -> None:
    arms = allot({"v2": 0.5, "v3": 0.3})
    one, other = arms_of("fraud/prices", KEYS, arms), arms_of("fraud/limits", KEYS, arms)
    counts = Counter(one)
    # Five standard deviations of a binomial count of 2000.
    assert abs(counts["v2"] - 1000) < 112
    assert abs(counts["v3"] - 600) < 103
    both = sum(a == b == "v2" for a, b in zip(one, other, strict=True))
    assert abs(both - 500) < 97


def test_another_experiment_begins_from_nothing() -> None:
    route = Route("fraud", "v1").with_arms({"v2": 0.1, "v3": 0.2}, "prices")
    again = route.with_arms({"v3": 0.2}, "limits")
    assert again.arms == allot({"v3": 0.2})
    assert again.versions == ("v1", "v3")


def test_an_arm_without_entities_needs_no_version_loaded() -> None:
    route = Route("fraud", "v1").with_arms({"v2": 0.0, "v3": 1.0})
    assert route.versions == ("v1", "v3")
    assert [arm.share for arm in route.arms] == [0.0, 1.0]


@pytest.mark.parametrize(
    "wrong",
    [{"v2": 0.6, "v3": 0.5}, {"v2": -0.1}, {"v2": 1.1}, {"v2": float("nan")}],
    ids=["sum", "negative", "above", "nan"],
)
def test_shares_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be in"):
        allot(wrong)


def test_an_arm_has_a_version() -> None:
    with pytest.raises(ValueError, match="name of a version"):
        allot({"": 0.5})
