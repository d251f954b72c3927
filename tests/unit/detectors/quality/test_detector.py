"""Data faults, found in one window and gone with it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from pydantic import TypeAdapter

from homeostat.detectors.quality.detector import (
    QualityConfig,
    QualityReference,
    QualityState,
    evaluate,
    fit,
    unfitted,
)
from homeostat.domain.model import Column, ColumnKind, Schema
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.profiles.build import profile_table
from homeostat.profiles.profile import EMPTY, Profile

Data = dict[str, np.ndarray | pa.Array]

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
QUARTER = timedelta(minutes=15)
CONFIG = QualityConfig()
SCHEMA = Schema(
    (
        Column("amount", ColumnKind.NUMERIC, minimum=0.0, maximum=1e6),
        Column("age", ColumnKind.NUMERIC),
        Column("balance", ColumnKind.NUMERIC),
        Column("hour", ColumnKind.NUMERIC),
        Column("shop", ColumnKind.CATEGORICAL),
        Column("plan", ColumnKind.CATEGORICAL, categories=("basic", "gold")),
        Column("night", ColumnKind.BOOLEAN),
    )
)
KINDS = {column.name: column.kind for column in SCHEMA.columns}


def rows_of(rng: np.random.Generator, window: Window, rows: int) -> Data:
    hours = window.start.hour + rng.random(rows) * (window.length / timedelta(hours=1))
    hours = np.floor(hours % 24)
    return {
        "amount": np.exp(rng.normal(3.0, 1.0, rows)),
        "age": rng.normal(45.0, 12.0, rows),
        "balance": rng.normal(2000.0, 900.0, rows),
        "hour": hours,
        "shop": np.char.add("s", rng.zipf(1.4, rows).astype(str)),
        "plan": rng.choice(["basic", "gold"], rows),
        "night": hours < 6,
    }


def profile_of(data: Profile | Data) -> Profile:
    return profile_table(pa.table(data), KINDS)


def fitted(
    days: int = 14, length: timedelta = DAY, rows: int = 2000, step: timedelta | None = None
) -> QualityReference:
    rng = np.random.default_rng(0)
    starts = [START + i * (step or length) for i in range(days)]
    windows = [Window(start, start + length) for start in starts]
    return fit([(w, profile_of(rows_of(rng, w, rows))) for w in windows], SCHEMA, CONFIG)


@pytest.fixture(scope="module")
def reference() -> QualityReference:
    return fitted()


def quarter(index: int) -> Window:
    start = START + 30 * DAY + index * QUARTER
    return Window(start, start + QUARTER)


def judge(
    reference: QualityReference,
    data: Profile | Data,
    index: int = 50,
    state: QualityState | None = None,
) -> tuple[QualityState, dict[str, Verdict]]:
    profile = data if isinstance(data, Profile) else profile_of(data)
    state, verdicts = evaluate(
        CONFIG, reference, state or QualityState(), "m", quarter(index), profile, SCHEMA
    )
    return state, {verdict.subject: verdict for verdict in verdicts}


def broken(change: Callable[[Data], Data], rows: int = 60, seed: int = 1) -> Data:
    data = rows_of(np.random.default_rng(seed), quarter(50), rows)
    return {**data, **change(data)}


THIRD = np.arange(60) % 3 > 0

FAULTS = {
    "times 100": (lambda d: {"amount": d["amount"] * 100}, "amount", "scale", 100.0),
    "by 1000": (lambda d: {"amount": d["amount"] / 1000}, "amount", "scale", 0.001),
    "flipped": (lambda d: {"balance": -d["balance"]}, "balance", "scale", -1.0),
    "half of the rows": (
        lambda d: {"amount": np.where(THIRD, d["amount"] * 100, d["amount"])},
        "amount",
        "far",
        None,
    ),
    "stuck": (lambda d: {"age": np.full(60, 41.0)}, "age", "stuck", 1.0),
    "zeros": (lambda d: {"age": np.where(THIRD, 0.0, d["age"])}, "age", "zeros", 2 / 3),
    "null": (lambda d: {"age": pa.array(d["age"], mask=THIRD)}, "age", "missing", 2 / 3),
    "all nan": (lambda d: {"age": np.full(60, np.nan)}, "age", "missing", 1.0),
    "below": (lambda d: {"amount": np.where(THIRD, -1.0, d["amount"])}, "amount", "outside", 2 / 3),
    "above": (lambda d: {"amount": np.full(60, 2e6)}, "amount", "outside", 1.0),
    "new shop": (lambda d: {"shop": np.where(THIRD, "?", d["shop"])}, "shop", "unseen", None),
    "bad plan": (lambda d: {"plan": np.where(THIRD, "??", d["plan"])}, "plan", "outside", 2 / 3),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fires_in_one_window_and_is_named(reference: QualityReference, name: str) -> None:
    change, column, fault, value = FAULTS[name]
    state, found = judge(reference, broken(change))
    assert [c for c, v in found.items() if v.status is Status.DRIFT] == [column]
    verdict = found[column]
    assert verdict.monitor is Monitor.DATA_QUALITY
    assert verdict.detail(fault) == (pytest.approx(value) if value else verdict.detail(fault))
    assert fault in dict(verdict.details)
    assert verdict.score >= verdict.effect_threshold
    assert verdict.evidence >= verdict.evidence_threshold
    (active,) = state.active
    assert (active.column, active.since) == (column, quarter(50).start)
    assert fault in active.fault.split(",")


def test_the_reason_names_the_change_of_unit(reference: QualityReference) -> None:
    _, found = judge(reference, broken(FAULTS["times 100"][0]))
    assert "values are 100 times what they were" in found["amount"].reason
    _, found = judge(reference, broken(FAULTS["flipped"][0]))
    assert "signs are flipped" in found["balance"].reason


def test_one_window_of_reference_is_enough_for_a_change_of_unit() -> None:
    _, found = judge(fitted(days=1), broken(FAULTS["times 100"][0]))
    assert found["amount"].detail("scale") == 100.0


def test_small_factors_are_found_with_comparable_windows() -> None:
    reference = fitted(days=21, length=QUARTER, rows=200, step=DAY / 2)
    _, found = judge(reference, broken(lambda d: {"age": d["age"] * 2.54}))
    assert found["age"].detail("scale") == 2.54
    _, found = judge(reference, broken(lambda d: {"shop": np.full(60, "s1")}))
    assert found["shop"].detail("stuck") == 1.0


@pytest.mark.parametrize(
    ("days", "length", "rows"), [(14, DAY, 2000), (1, DAY, 2000), (48, 4 * QUARTER, 200)]
)
def test_healthy_windows_are_never_faulty(days: int, length: timedelta, rows: int) -> None:
    reference = fitted(days, length, rows)
    rng = np.random.default_rng(2)
    for index in range(96):
        _, found = judge(reference, rows_of(rng, quarter(index), 60), index)
        assert {v.status for v in found.values()} == {Status.OK}, found


def test_a_clean_window_ends_the_fault_and_an_empty_one_does_not(
    reference: QualityReference,
) -> None:
    rng = np.random.default_rng(3)
    state, _ = judge(reference, broken(FAULTS["times 100"][0]), 50)
    state, _ = judge(reference, broken(FAULTS["times 100"][0]), 51, state)
    assert state.active[0].since == quarter(50).start
    state, found = judge(reference, EMPTY, 52, state)
    assert found["amount"].status is Status.NO_DATA
    assert state.active[0].since == quarter(50).start
    state, found = judge(reference, rows_of(rng, quarter(53), 60), 53, state)
    assert found["amount"].status is Status.OK
    assert state.active == ()


def test_few_rows_are_inconclusive(reference: QualityReference) -> None:
    _, found = judge(reference, broken(lambda d: {}, rows=10))
    assert {v.status for v in found.values()} == {Status.INCONCLUSIVE}
    assert "30 are needed" in found["age"].reason


def test_an_absent_column_and_one_of_another_kind_are_faults(reference: QualityReference) -> None:
    profile = profile_of(broken(lambda d: {}))
    columns = {name: c for name, c in profile.columns.items() if name != "age"}
    columns["amount"] = columns["shop"]
    _, found = judge(reference, Profile(profile.rows, columns))
    assert found["age"].detail("absent") == 1.0
    assert found["amount"].detail("kind") == 1.0
    assert found["amount"].reason == "the column is categorical, not numeric"


def test_a_column_that_the_reference_lacks_is_inconclusive() -> None:
    rng = np.random.default_rng(4)
    window = Window(START, START + DAY)
    data = profile_of(rows_of(rng, window, 500))
    columns = {name: c for name, c in data.columns.items() if name != "age"}
    reference = fit([(window, Profile(500, columns))], SCHEMA, CONFIG)
    _, found = judge(reference, broken(lambda d: {}))
    assert found["age"].status is Status.INCONCLUSIVE
    assert "does not hold" in found["age"].reason


def test_a_reference_without_values_judges_only_what_it_can() -> None:
    window = Window(START, START + 8 * DAY)
    empty = {
        **rows_of(np.random.default_rng(5), window, 100),
        "age": np.full(100, np.nan),
        "shop": pa.nulls(100, pa.string()),
    }
    reference = fit([(window, profile_of(empty))], SCHEMA, CONFIG)
    _, found = judge(reference, broken(lambda d: {}))
    assert found["age"].status is Status.OK
    _, found = judge(reference, broken(lambda d: {"age": np.full(60, np.nan)}))
    assert found["age"].status is Status.OK


def test_small_reference_windows_are_pooled_and_none_are_refused() -> None:
    rng = np.random.default_rng(6)
    window = Window(START, START + DAY)
    small = profile_of(rows_of(rng, window, 5))
    assert fit([(window, small)] * 3, SCHEMA, CONFIG).rows == 15
    with pytest.raises(ValueError, match="no rows"):
        fit([(window, EMPTY)], SCHEMA, CONFIG)


def test_state_survives_storage(reference: QualityReference) -> None:
    state, _ = judge(reference, broken(FAULTS["times 100"][0]))
    adapter = TypeAdapter(QualityState)
    assert adapter.validate_json(adapter.dump_json(state)) == state


def stated(column: Column, values: list[object]) -> Verdict:
    kind = pa.float64() if column.kind is ColumnKind.NUMERIC else pa.string()
    table = pa.table({column.name: pa.array(values, kind)})
    profile = profile_table(table, {column.name: column.kind})
    schema, state = Schema((column,)), QualityState()
    _, (told,) = evaluate(CONFIG, unfitted(), state, "m", quarter(0), profile, schema)
    return told


PLANS = Column("plan", ColumnKind.CATEGORICAL, categories=("basic", "gold"))
FILLED = Column("age", ColumnKind.NUMERIC, nullable=False)


@pytest.mark.parametrize(
    ("column", "good", "bad"),
    [
        (Column("age", ColumnKind.NUMERIC, maximum=99.0), 99.0, 199.0),
        (Column("age", ColumnKind.NUMERIC, minimum=0.0), 0.0, -1.0),
        (PLANS, "gold", "silver"),
        (FILLED, 1.0, None),
        (replace(FILLED, maximum=9.0), 1.0, None),
    ],
    ids=["maximum", "minimum", "categories", "nullable", "all-missing"],
)
def test_the_schema_is_checked_without_a_reference(
    column: Column, good: object, bad: object
) -> None:
    assert stated(column, [good] * 60).status is Status.OK
    assert stated(column, [good] * 59 + [bad]).status is Status.OK
    assert stated(column, [bad] * 60).status is Status.DRIFT
    assert stated(column, [bad] * 5).status is Status.INCONCLUSIVE


def test_a_column_of_which_nothing_is_known_is_said_not_to_be_monitored() -> None:
    told = stated(Column("age", ColumnKind.NUMERIC), [1.0] * 60)
    assert (told.status, told.reason) == (
        Status.INCONCLUSIVE,
        "no reference: not monitored",
    )
