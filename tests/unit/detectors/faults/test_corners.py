"""Faults at the edge of what can be told: odd types, few values, several at once."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from homeostat.detectors.faults.clocks import find_clock_shift, find_duplicates
from homeostat.detectors.faults.columns import Kind, Values, read_pair
from homeostat.detectors.faults.config import FaultConfig
from homeostat.detectors.faults.find import find_faults
from homeostat.detectors.faults.mend import mend
from homeostat.domain.explanation import FaultKind

N = 1500
RNG = np.random.default_rng(3)
NORMAL = RNG.normal(size=N)
LOGS = RNG.lognormal(1.0, 1.0, N)


def kinds(
    before: dict[str, object], now: dict[str, object]
) -> list[tuple[FaultKind, tuple[str, ...], str]]:
    columns = read_pair(pa.table(before), pa.table(now))
    return [
        (item.fault.kind, item.fault.columns, item.fault.source)
        for item in find_faults(*columns, FaultConfig())
    ]


def test_types_that_are_rare_are_read() -> None:
    table = pa.table(
        {
            "price": pa.array([Decimal("1.50"), None]),
            "tags": pa.array([["a", "b"], None]),
            "flag": pa.array([True, None]),
            "void": pa.nulls(2),
            "day": pa.array([0, 1], pa.date32()),
        }
    )
    one, _ = read_pair(table, table)
    assert [values.kind for values in one.values()] == [
        Kind.NUMBER,
        Kind.TEXT,
        Kind.TEXT,
        Kind.EMPTY,
        Kind.TIME,
    ]
    assert one["tags"].words == ("['a', 'b']",)
    assert one["price"].missing.tolist() == [False, True]
    assert not one["void"].is_code
    assert one["flag"].is_code


def words(shares: dict[str, float], seed: int) -> list[str | None]:
    rng = np.random.default_rng(seed)
    drawn = rng.choice(np.array(list(shares), dtype=object), N, p=list(shares.values()))
    return [None if word == "NULL" else str(word) for word in drawn]


CITIES = {"Berlin": 0.5, "Paris": 0.3, "Rome": 0.2}


@pytest.mark.parametrize(
    ("now", "found"),
    [
        ({"Berlin": 0.3, "Paris": 0.2, "Rome": 0.2, "Lima": 0.3}, None),
        ({"Berlin": 0.05, "Paris": 0.05, "Lima": 0.5, "Oslo": 0.4}, None),
        ({"Lima": 0.98, "Oslo": 0.01, "Bonn": 0.01}, None),
        ({"Berli": 0.5, "Pari": 0.27, "Ro": 0.2, "": 0.03}, FaultKind.TRUNCATED),
        ({"Berlin": 0.5, "Paris": 0.3, "Lima": 0.12, "Oslo": 0.08}, None),
    ],
    ids=["new city", "other cities", "one new city", "cut to nothing", "one became two"],
)
def test_new_categories_are_no_fault_unless_they_are_old_ones(
    now: dict[str, float], found: FaultKind | None
) -> None:
    seen = kinds({"city": words(CITIES, 1)}, {"city": words(now, 2)})
    assert [kind for kind, _, _ in seen] == ([] if found is None else [found])


def test_a_word_for_unknown_that_was_always_common_is_no_fault() -> None:
    before = {"Berlin": 0.6, "unknown": 0.4}
    now = {"Berlin": 0.45, "unknown": 0.55}
    assert not kinds({"city": words(before, 1)}, {"city": words(now, 2)})


def test_a_column_that_was_empty_has_nothing_to_compare() -> None:
    assert not kinds({"city": pa.nulls(N, pa.string())}, {"city": words(CITIES, 1)})
    mostly = np.where(np.arange(N) < 10, NORMAL, np.nan)
    assert not kinds({"x": mostly}, {"x": mostly})
    notes = [f"note {k}" if k < 20 else None for k in range(N)]
    assert not kinds({"x": notes}, {"x": notes})


def test_three_columns_that_changed_places_are_told_as_far_as_pairs_go() -> None:
    before = {"a": NORMAL, "b": LOGS, "c": RNG.normal(size=N)}
    now = {
        "a": RNG.lognormal(1.0, 1.0, N),
        "b": RNG.normal(size=N),
        "c": RNG.lognormal(1.0, 1.0, N),
    }
    assert (FaultKind.SWAPPED, ("a", "b"), "") in kinds(before, now)


def test_columns_that_look_alike_are_not_swapped_but_moved() -> None:
    before = {"a": NORMAL, "b": NORMAL + 0.25}
    now = {"a": RNG.normal(size=N) + 0.25, "b": RNG.normal(size=N)}
    assert not kinds(before, now)


def source_and(column: str, values: np.ndarray, seed: int) -> dict[str, object]:
    rng = np.random.default_rng(seed)
    return {
        "source": rng.choice(["web", "app", "shop"], values.size, p=[0.6, 0.3, 0.1]),
        column: values,
    }


def test_a_fault_that_only_its_source_shows_is_told() -> None:
    def aged(seed: int) -> dict[str, object]:
        return source_and(
            "age", np.random.default_rng(seed).normal(45, 12, 6000).round(), seed + 50
        )

    now = aged(2)
    ages, where = np.asarray(now["age"]), np.asarray(now["source"])
    now["age"] = np.where(where == "shop", ages / 1.609344, ages)
    assert kinds(aged(1), now) == [(FaultKind.UNIT, ("age",), "source=shop")]


@pytest.mark.parametrize("shift", [0.0, 0.2], ids=["alone", "beside a shift"])
def test_a_fault_of_a_source_of_few_rows_is_told(shift: float) -> None:
    def seen(seed: int, factor: float, moved: float) -> dict[str, object]:
        rng = np.random.default_rng(seed)
        values = rng.lognormal(1.0 + moved, 1.0, 6000)
        source = rng.choice(["web", "app", "shop"], 6000, p=[0.6, 0.36, 0.04])
        return {"source": source, "x": np.where(source == "shop", factor * values, values)}

    now = seen(2, 100.0, shift)
    assert kinds(seen(1, 1.0, 0.0), now) == [(FaultKind.UNIT, ("x",), "source=shop")]


def test_a_near_unit_of_all_rows_is_not_one_of_the_rare_source_where_it_fits() -> None:
    def homes(seed: int, factor: float, offset: float) -> dict[str, object]:
        rng = np.random.default_rng(seed)
        area = rng.gamma(6.0, 18.0, 4000) + 20.0
        return {"area": factor * area + offset, "floor": rng.poisson(2.0, 4000).astype(float)}

    assert not kinds(homes(1, 1.0, 0.0), homes(7, 1.8, 32.0))


def test_missing_values_that_are_too_few_to_matter_are_no_fault() -> None:
    def noted(seed: int, share: float) -> dict[str, object]:
        rng = np.random.default_rng(seed)
        values = np.where(rng.random(20_000) < share, np.nan, rng.normal(size=20_000))
        return source_and("x", values, seed + 50)

    assert not kinds(noted(1, 0.02), noted(2, 0.05))


def test_infinite_columns_say_nothing() -> None:
    wild = source_and("x", np.tile([np.inf, -np.inf], N // 2), 1)
    assert not kinds(wild, wild)


@pytest.mark.parametrize(("before", "now"), [(4_000, 40_000), (40_000, 4_000)])
def test_rows_of_few_kinds_repeat_without_being_copies(before: int, now: int) -> None:
    rng = np.random.default_rng(3)
    config = FaultConfig()

    def rows(n: int, kinds: int) -> list[np.ndarray]:
        return [rng.integers(0, kinds, n).astype(np.float64) for _ in range(3)]

    assert find_duplicates(rows(before, 60), rows(now, 60), config) is None
    copied = [np.concatenate((column, column[: now // 4])) for column in rows(now, 5_000)]
    found = find_duplicates(rows(before, 5_000), copied, config)
    assert found is not None
    assert found.fault.share == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("rows", [2_000, 20_000, 500_000])
def test_a_moved_clock_is_found_however_many_rows(rows: int) -> None:
    rng = np.random.default_rng(4)
    usual = 1.0 + 0.7 * np.sin(np.arange(24) / 24 * 2 * np.pi)

    def times(pattern: np.ndarray, shift: int) -> Values:
        hours = rng.choice(24, rows, p=pattern / pattern.sum())
        seconds = 3600.0 * (24 * rng.integers(0, 14, rows) + (hours + shift) % 24)
        return Values(Kind.TIME, "timestamp", seconds, np.full(rows, -1, dtype=np.int64))

    # Another month has about the same hours, never the very same.
    later = usual + rng.normal(0.0, 0.05, 24)
    found = find_clock_shift("at", times(usual, 0), times(later, 3), FaultConfig())
    assert found is not None
    assert found.fault.offset == 3 * 3600.0
    other = np.roll(usual, 3) ** 4
    assert find_clock_shift("at", times(usual, 0), times(other, 0), FaultConfig()) is None


def test_hours_of_no_clock_are_numbers() -> None:
    def worked(seed: int) -> dict[str, object]:
        return {"hours": np.random.default_rng(seed).integers(0, 60, N)}

    assert not kinds(worked(1), worked(2))


@pytest.mark.parametrize("turned", [False, True])
def test_a_constant_has_no_unit(turned: bool) -> None:
    still = np.where(np.arange(N) < 30, NORMAL, 5.0)
    moved = 200.0 + 10.0 * NORMAL
    before, now = (moved, still) if turned else (still, moved)
    assert all(kind is not FaultKind.UNIT for kind, _, _ in kinds({"x": before}, {"x": now}))


def test_a_turned_skew_is_a_flip_of_signs() -> None:
    before, now = NORMAL**3 + 1.0, -(RNG.normal(size=N) ** 3) - 1.0
    assert kinds({"x": before}, {"x": now}) == [(FaultKind.SIGN_FLIP, ("x",), "")]


def test_a_source_at_fault_among_few_rows_costs_the_column() -> None:
    def paid(seed: int, unit: float) -> dict[str, object]:
        rng = np.random.default_rng(seed)
        where = rng.choice(["web", "app"], 400)
        return {"source": where, "x": rng.lognormal(size=400) * np.where(where == "app", unit, 1)}

    columns = read_pair(pa.table(paid(1, 1.0)), pa.table(paid(2, 1000.0)))
    found = find_faults(*columns, FaultConfig())
    assert [item.fault.source for item in found] == ["source=app"]
    assert mend(*columns, found, (400, 400)).dropped == ("x",)
