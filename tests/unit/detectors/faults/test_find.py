"""Data faults told from two tables, and nothing told where only the mix of rows changed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import Kind, read_pair
from homeostat.detectors.faults.config import FaultConfig
from homeostat.detectors.faults.find import find_faults, find_suspects
from homeostat.detectors.faults.masses import FaultyRows
from homeostat.detectors.faults.mend import mend
from homeostat.domain.explanation import FaultKind

Columns = dict[str, NDArray[np.generic]]
N = 1500


def rows(seed: int, n: int = N) -> Columns:
    rng = np.random.default_rng(seed)
    texts = rng.choice(
        np.array(["Berlin", "Paris", "Rome", "Oslo"], dtype=object),
        n,
        p=[4 / 10, 3 / 10, 2 / 10, 1 / 10],
    )
    return {
        "amount": rng.lognormal(3, 1, n),
        "age": rng.normal(45, 12, n).round(),
        "balance": rng.normal(200, 400, n),
        "rate": rng.beta(2, 5, n),
        "grade": rng.choice(5, n, p=[0.35, 0.3, 0.2, 0.1, 0.05]).astype(float),
        "hour": rng.choice(24, n, p=(w := 1.3 + np.sin(np.arange(24) / 3.8)) / w.sum()),
        "city": texts,
        "source": rng.choice(np.array(["web", "app", "shop"], dtype=object), n),
        "note": np.array(
            ["x" * int(k) + str(i) for i, k in enumerate(rng.integers(1, 40, n))], dtype=object
        ),
        "at": rng.integers(0, 30 * 86_400, n).astype("datetime64[s]"),
    }


def table(columns: Columns) -> pa.Table:
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def found(before: Columns, now: Columns) -> tuple[FaultyRows, ...]:
    return find_faults(*read_pair(table(before), table(now)), FaultConfig())


def part(values: NDArray[np.generic], new: object, share: float) -> NDArray[np.generic]:
    changed = values.copy() if values.dtype == object else values.astype(float)
    hit = np.random.default_rng(9).random(values.size) < share
    changed[hit] = new[hit] if isinstance(new, np.ndarray) else new
    return changed


def words(values: NDArray[np.generic], how: Callable[[str], str]) -> NDArray[np.generic]:
    return np.array([how(str(value)) for value in values], dtype=object)


def swapped(now: Columns) -> Columns:
    return {**now, "amount": now["balance"], "balance": now["amount"]}


def by_source(now: Columns) -> Columns:
    return {**now, "amount": np.where(now["source"] == "app", now["amount"] * 100, now["amount"])}


CASES: dict[str, tuple[Callable[[Columns], Columns], FaultKind, tuple[str, ...]]] = {
    "hundredfold": (lambda n: {**n, "amount": n["amount"] * 100}, FaultKind.UNIT, ("amount",)),
    "thousandth": (lambda n: {**n, "amount": n["amount"] / 1000}, FaultKind.UNIT, ("amount",)),
    "fahrenheit": (lambda n: {**n, "rate": n["rate"] * 1.8 + 32}, FaultKind.UNIT, ("rate",)),
    "any affine": (lambda n: {**n, "rate": n["rate"] * -7.3 + 90}, FaultKind.UNIT, ("rate",)),
    "some in cents": (
        lambda n: {**n, "amount": part(n["amount"], n["amount"] * 100, 0.3)},
        FaultKind.UNIT,
        ("amount",),
    ),
    "cents and richer": (
        lambda n: {**n, "amount": n["amount"] ** 1.2 * 100},
        FaultKind.UNIT,
        ("amount",),
    ),
    "no whole years": (lambda n: {**n, "age": n["age"] / 2.54}, FaultKind.UNIT, ("age",)),
    "sign": (lambda n: {**n, "amount": -n["amount"]}, FaultKind.SIGN_FLIP, ("amount",)),
    "some signs": (
        lambda n: {**n, "amount": part(n["amount"], -n["amount"], 0.3)},
        FaultKind.SIGN_FLIP,
        ("amount",),
    ),
    "sign about zero": (
        lambda n: {**n, "balance": -n["balance"]},
        FaultKind.SIGN_FLIP,
        ("balance",),
    ),
    "stuck": (lambda n: {**n, "amount": np.full(N, 20.08)}, FaultKind.STUCK, ("amount",)),
    "stuck in part": (
        lambda n: {**n, "rate": part(n["rate"], 0.25, 0.2)},
        FaultKind.STUCK,
        ("rate",),
    ),
    "stuck word": (
        lambda n: {**n, "city": words(n["city"], lambda _: "Paris")},
        FaultKind.STUCK,
        ("city",),
    ),
    "nulls": (lambda n: {**n, "rate": part(n["rate"], np.nan, 0.1)}, FaultKind.NULLS, ("rate",)),
    "null words": (lambda n: {**n, "city": part(n["city"], None, 0.1)}, FaultKind.NULLS, ("city",)),
    "all null": (lambda n: {**n, "rate": np.full(N, np.nan)}, FaultKind.NULLS, ("rate",)),
    "minus one": (lambda n: {**n, "age": part(n["age"], -1, 0.1)}, FaultKind.DEFAULT, ("age",)),
    "zero": (lambda n: {**n, "amount": part(n["amount"], 0, 0.1)}, FaultKind.DEFAULT, ("amount",)),
    "grade 999": (
        lambda n: {**n, "grade": part(n["grade"], 999, 0.1)},
        FaultKind.DEFAULT,
        ("grade",),
    ),
    "unknown": (
        lambda n: {**n, "city": part(n["city"], "unknown", 0.1)},
        FaultKind.DEFAULT,
        ("city",),
    ),
    "empty text": (lambda n: {**n, "city": part(n["city"], "", 0.1)}, FaultKind.DEFAULT, ("city",)),
    "case": (lambda n: {**n, "city": words(n["city"], str.upper)}, FaultKind.RECODED, ("city",)),
    "blanks": (
        lambda n: {**n, "city": words(n["city"], lambda c: f" {c} ")},
        FaultKind.RECODED,
        ("city",),
    ),
    "codes": (
        lambda n: {**n, "city": words(n["city"], lambda c: f"C{ord(c[0])}")},
        FaultKind.RECODED,
        ("city",),
    ),
    "places": (
        lambda n: {
            **n,
            "city": words(
                n["city"],
                lambda c: {"Berlin": "Oslo", "Oslo": "Rome", "Rome": "Paris", "Paris": "Berlin"}[c],
            ),
        },
        FaultKind.RECODED,
        ("city",),
    ),
    "one renamed": (
        lambda n: {**n, "city": words(n["city"], lambda c: "Roma" if c == "Rome" else c)},
        FaultKind.RECODED,
        ("city",),
    ),
    "grades recoded": (lambda n: {**n, "grade": n["grade"] + 10}, FaultKind.RECODED, ("grade",)),
    "short": (
        lambda n: {**n, "city": words(n["city"], lambda c: c[:2])},
        FaultKind.TRUNCATED,
        ("city",),
    ),
    "short notes": (
        lambda n: {**n, "note": words(n["note"], lambda c: c[:20])},
        FaultKind.TRUNCATED,
        ("note",),
    ),
    "swapped": (swapped, FaultKind.SWAPPED, ("amount", "balance")),
    "clock": (lambda n: {**n, "hour": (n["hour"] + 2) % 24}, FaultKind.CLOCK_SHIFT, ("hour",)),
    "absent": (
        lambda n: {k: v for k, v in n.items() if k != "rate"},
        FaultKind.MISSING_COLUMN,
        ("rate",),
    ),
    "extra": (lambda n: {**n, "more": n["rate"]}, FaultKind.EXTRA_COLUMN, ("more",)),
    "extra text": (lambda n: {**n, "more": n["city"]}, FaultKind.EXTRA_COLUMN, ("more",)),
    "type": (lambda n: {**n, "rate": n["rate"].astype(str)}, FaultKind.TYPE_CHANGED, ("rate",)),
    "type to number": (lambda n: {**n, "city": n["rate"]}, FaultKind.TYPE_CHANGED, ("city",)),
    "absent text": (
        lambda n: {k: v for k, v in n.items() if k != "city"},
        FaultKind.MISSING_COLUMN,
        ("city",),
    ),
}


@pytest.mark.parametrize("name", list(CASES))
def test_each_fault_is_named_with_its_column_and_nothing_else(name: str) -> None:
    change, kind, columns = CASES[name]
    for seed in range(2):
        faults = [item.fault for item in found(rows(seed), change(rows(seed + 100)))]
        assert [(f.kind, f.columns) for f in faults] == [(kind, columns)], faults
        assert columns[0] in faults[0].text


def test_a_fault_of_one_source_names_it() -> None:
    (item,) = found(rows(1), by_source(rows(2)))
    assert item.fault.kind is FaultKind.UNIT
    assert item.fault.source == "source=app"
    assert "only where source=app" in item.fault.text
    assert abs(item.fault.share - 1 / 3) < 0.05


def test_a_fault_of_one_small_source_names_it() -> None:
    def broken(now: Columns) -> Columns:
        return {**now, "rate": np.where(now["grade"] == 4, 0.25, now["rate"].astype(float))}

    (item,) = found(rows(1, 4000), broken(rows(2, 4000)))
    assert item.fault.kind is FaultKind.STUCK
    assert item.fault.source == "grade=4"


def test_nulls_of_one_source_name_it() -> None:
    def broken(now: Columns) -> Columns:
        return {**now, "rate": np.where(now["city"] == "Oslo", np.nan, now["rate"].astype(float))}

    (item,) = found(rows(1), broken(rows(2)))
    assert (item.fault.kind, item.fault.source) == (FaultKind.NULLS, "city=Oslo")


@pytest.mark.statistical
@pytest.mark.parametrize("column", ["amount", "age", "balance", "city", "hour", None])
def test_another_mix_of_rows_is_no_fault(column: str | None) -> None:
    for seed in range(20):
        rng, pool = np.random.default_rng(seed), rows(seed + 500, 8 * N)
        if column is None:
            odds = np.zeros(8 * N)
        elif column == "city":
            odds = 1.5 * (pool[column] == "Oslo")
        else:
            values = pool[column].astype(float)
            odds = np.clip((values - values.mean()) / values.std(), -3, 3)
        weights = np.exp(odds.astype(float))
        at = rng.choice(8 * N, N, replace=False, p=weights / weights.sum())
        now = {name: values[at] for name, values in pool.items()}
        assert not found(rows(seed), now), seed


def test_small_and_empty_tables_have_only_faults_of_schema() -> None:
    few = {name: values[:5] for name, values in rows(1).items()}
    assert not found(few, few)
    assert not found({}, {})
    assert [item.fault.kind for item in found({"x": np.arange(9.0)}, {})] == [
        FaultKind.MISSING_COLUMN
    ]


def test_a_factor_near_one_is_only_a_suspect() -> None:
    now = rows(2)
    now["amount"] = now["amount"].astype(float) * 2.54
    columns = read_pair(table(rows(1)), table(now))
    assert not find_faults(*columns, FaultConfig())
    (suspect,) = find_suspects(*columns, (), FaultConfig())
    assert (suspect.fault.columns, round(suspect.fault.factor, 2)) == (("amount",), 2.54)


def test_some_rows_in_a_near_unit_cost_the_column() -> None:
    now = rows(2)
    now["amount"] = part(now["amount"], now["amount"] * 2.54, 0.6)
    columns = read_pair(table(rows(1)), table(now))
    suspects = find_suspects(*columns, (), FaultConfig())
    assert [item.fault.columns for item in suspects] == [("amount",)]
    mended = mend(*columns, suspects, (N, N))
    assert mended.dropped == ("amount",)
    assert mended.rows_now.all()


@pytest.mark.parametrize("name", ["hundredfold", "sign", "case", "swapped", "grades recoded"])
def test_faults_of_all_rows_are_undone(name: str) -> None:
    sound = rows(2)
    columns = read_pair(table(rows(1)), table(CASES[name][0](sound)))
    mended = mend(*columns, find_faults(*columns, FaultConfig()), (N, N))
    assert not mended.dropped
    assert not mended.scored
    assert mended.rows_now.all()
    for column in CASES[name][2]:
        values, usual = mended.now[column], read_pair(table(sound), table(sound))[0][column]
        if values.kind is Kind.TEXT:
            assert [values.words[c] for c in values.codes] == [usual.words[c] for c in usual.codes]
        else:
            np.testing.assert_allclose(values.numbers, usual.numbers)


def test_rows_with_nulls_are_left_out_on_both_sides() -> None:
    before, now = rows(1), rows(2)
    before["rate"] = part(before["rate"], np.nan, 0.02)
    now["rate"] = part(now["rate"], np.nan, 0.3)
    columns = read_pair(table(before), table(now))
    mended = mend(*columns, find_faults(*columns, FaultConfig()), (N, N))
    assert mended.scored
    assert "rate" in mended.now
    np.testing.assert_array_equal(mended.rows_now, ~np.isnan(now["rate"].astype(float)))
    np.testing.assert_array_equal(mended.rows_before, ~np.isnan(before["rate"].astype(float)))


def test_what_cannot_be_undone_is_left_out() -> None:
    now = {**rows(2), "rate": np.full(N, np.nan), "more": np.ones(N)}
    columns = read_pair(table(rows(1)), table(now))
    mended = mend(*columns, find_faults(*columns, FaultConfig()), (N, N))
    assert mended.dropped == ("more", "rate")
    assert "rate" not in mended.before
    assert "rate" not in mended.now
