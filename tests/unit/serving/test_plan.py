"""Assignment of rows to versions."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.route import Route
from homeostat.serving.plan import Plan, Reason, Role, plan

USES = {"v1": frozenset({"amount", "age"}), "v2": frozenset({"amount"})}
KEYS = [f"c{number}" for number in range(40)]
CANARY = Route("fraud", champion="v1", challenger="v2", weight=0.5)


def rows_of(result: Plan, version: str) -> list[int]:
    return [row for group in result.groups if group.version == version for row in group.rows]


def challenged(result: Plan) -> list[int]:
    return [row for row, version in enumerate(result.assigned) if version == "v2"]


def others(result: Plan) -> list[int]:
    return [row for row, version in enumerate(result.assigned) if version != "v2"]


def test_canary_splits_by_entity_and_every_row_is_answered() -> None:
    result = plan(CANARY, KEYS, USES, {})
    assert sorted(rows_of(result, "v1") + rows_of(result, "v2")) == list(range(40))
    assert rows_of(result, "v2") == challenged(result)
    assert 8 < len(rows_of(result, "v2")) < 32


def test_champion_stands_in_for_a_challenger_whose_breaker_is_open() -> None:
    result = plan(CANARY, KEYS, USES, {}, closed=frozenset({"v2"}))
    assert rows_of(result, "v1") == list(range(40))
    assert {result.reasons[row] for row in challenged(result)} == {Reason.BREAKER_OPEN}
    assert {result.reasons[row] for row in others(result)} == {Reason.NONE}


def test_nobody_is_called_while_all_breakers_are_open() -> None:
    result = plan(CANARY, KEYS, USES, {}, closed=frozenset(USES))
    assert result.groups == ()
    assert set(result.reasons) == {Reason.BREAKER_OPEN}


def test_a_version_that_is_not_loaded_is_an_error() -> None:
    result = plan(Route("fraud", "v1"), KEYS, {}, {})
    assert result.groups == ()
    assert set(result.reasons) == {Reason.ERROR}


def test_without_a_champion_there_is_nothing_that_failed() -> None:
    result = plan(Route("fraud"), KEYS, {}, {})
    assert result.groups == ()
    assert set(result.reasons) == {Reason.NOT_LOADED}


def test_degraded_feature_stops_only_the_versions_that_use_it() -> None:
    route = Route("fraud", "v1", "v2", 0.5, degraded=("age",))
    result = plan(route, KEYS, USES, {})
    assert rows_of(result, "v1") == []
    assert rows_of(result, "v2") == challenged(result)
    assert {result.reasons[row] for row in others(result)} == {Reason.DEGRADED}


def test_trap_batch_poisoning_a_bad_row_leaves_its_neighbours_alone() -> None:
    bad = np.zeros(40, dtype=bool)
    bad[7] = True
    result = plan(Route("fraud", "v1"), KEYS, USES, {"amount": bad})
    assert rows_of(result, "v1") == [row for row in range(40) if row != 7]
    assert result.reasons.pop(7) == Reason.INVALID_INPUT
    assert set(result.reasons) == {Reason.NONE}


@given(
    st.floats(0, 1),
    st.sets(st.sampled_from(["v1", "v2"])),
    st.sets(st.sampled_from(["amount", "age"])),
    st.lists(st.booleans(), min_size=40, max_size=40),
)
def test_every_row_is_in_one_group_or_has_a_reason(
    weight: float, closed: set[str], degraded: set[str], broken: list[bool]
) -> None:
    route = Route("fraud", "v1", "v2", weight, degraded=tuple(degraded))
    result = plan(route, KEYS, USES, {"amount": np.array(broken)}, frozenset(closed))
    asked = [row for group in result.groups for row in group.rows]
    assert len(asked) == len(set(asked))
    assert all(result.reasons[row] != Reason.NONE for row in set(range(40)) - set(asked))


def test_an_override_leaves_the_split_aside_and_the_champion_stands_in() -> None:
    result = plan(CANARY, KEYS, USES, {}, override="v2")
    assert rows_of(result, "v2") == list(range(40))
    assert set(result.roles) == {Role.OVERRIDE}
    result = plan(CANARY, KEYS, USES, {}, frozenset({"v2"}), override="v2")
    assert rows_of(result, "v1") == list(range(40))


def test_an_empty_request_has_no_groups() -> None:
    assert plan(Route("fraud", "v1").with_arms({"v2": 0.5}), [], USES, {}).groups == ()
