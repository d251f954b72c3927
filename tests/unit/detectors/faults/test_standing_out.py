"""A value or a category is at fault only where it stands out from those beside it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import read_pair
from homeostat.detectors.faults.config import FaultConfig
from homeostat.detectors.faults.find import find_faults
from homeostat.detectors.faults.masses import FaultyRows
from homeostat.domain.explanation import FaultKind

Columns = dict[str, NDArray[np.generic]]


def found(before: Columns, now: Columns) -> tuple[FaultyRows, ...]:
    return find_faults(*read_pair(pa.table(before), pa.table(now)), FaultConfig())


def ages(n: int, seed: int) -> NDArray[np.float64]:
    return np.random.default_rng(seed).integers(0, 95, n).astype(float)


def test_an_age_that_rises_with_those_next_to_it_is_not_stuck() -> None:
    rng = np.random.default_rng(3)
    students = rng.choice([18.0, 19.0, 20.0, 21.0], 6000, p=[0.25, 0.33, 0.23, 0.19])
    now = np.where(rng.random(6000) < 0.28, students, ages(6000, 2))
    assert (now == 19).mean() > 0.08
    assert not found({"age": ages(20_000, 1)}, {"age": now})


def test_ages_beyond_all_that_were_are_no_default_if_they_have_company() -> None:
    rng = np.random.default_rng(3)
    older = rng.choice([95.0, 96.0, 97.0, 98.0, 99.0], 6000)
    now = np.where(rng.random(6000) < 0.4, older, ages(6000, 2))
    assert not found({"age": ages(20_000, 1)}, {"age": now})


@pytest.mark.parametrize("value", [19.0, 0.0, 99.0, -1.0])
@pytest.mark.parametrize("share", [0.08, 0.5])
def test_one_that_rises_alone_is_a_fault(value: float, share: float) -> None:
    now = np.where(np.random.default_rng(3).random(6000) < share, value, ages(6000, 2))
    (item,) = found({"age": ages(20_000, 1)}, {"age": now})
    assert item.fault.kind in {FaultKind.STUCK, FaultKind.DEFAULT}
    assert np.array_equal(item.rows, now == value)


def drawn(n: int, shares: list[float], seed: int) -> NDArray[np.generic]:
    names = np.array([f"w{k}" for k in range(len(shares))], dtype=object)
    return np.random.default_rng(seed).choice(names, n, p=shares)


def test_three_categories_with_each_other_s_frequencies_may_be_another_mix() -> None:
    before = drawn(20_000, [0.6, 0.28, 0.12], 1)
    now = np.repeat(np.array(["w0", "w1", "w2"], dtype=object), [60, 228, 112])
    assert not found({"w": before}, {"w": now})


def test_six_categories_with_each_other_s_frequencies_are_no_coincidence() -> None:
    shares = [0.4, 0.25, 0.15, 0.1, 0.07, 0.03]
    before, now = drawn(20_000, shares, 1), drawn(20_000, shares[::-1], 2)
    (item,) = found({"w": before}, {"w": now})
    assert item.fault.kind is FaultKind.RECODED
    assert ("w0", "w5") in item.fault.mapping
    assert item.fault.p_value < 0.01


def test_coincidences_in_a_part_of_the_rows_are_paid_for() -> None:
    # In one region the shares of four words come to be those of others, nearly.
    rng = np.random.default_rng(5)
    region = [rng.choice(np.array(["n", "s"], dtype=object), n) for n in (8000, 3000)]
    usual, turned = [0.45, 0.3, 0.17, 0.08], [0.165, 0.09, 0.44, 0.305]
    words = [drawn(n, usual, k) for k, n in enumerate((8000, 3000))]
    words[1] = np.where(region[1] == "n", drawn(3000, turned, 9), words[1])
    assert not found({"w": words[0], "region": region[0]}, {"w": words[1], "region": region[1]})


@pytest.mark.parametrize("how", ["case", "cut", "new"])
def test_thousands_of_categories_are_compared(how: str) -> None:
    rng = np.random.default_rng(1)
    names = np.array([f"shop number {k:04d} of town" for k in range(1500)], dtype=object)
    before, now = names[rng.integers(0, 1500, 9000)], names[rng.integers(0, 1500, 9000)]
    ways: dict[str, Callable[[str], str]]
    ways = {"case": str.upper, "cut": lambda word: word[:16], "new": lambda word: word[::-1]}
    changed = np.array([ways[how](str(word)) for word in now], dtype=object)
    kinds = [item.fault.kind for item in found({"shop": before}, {"shop": changed})]
    expected = {"case": [FaultKind.RECODED], "cut": [FaultKind.TRUNCATED]}
    assert how == "new" or kinds == expected[how]


def test_a_word_that_begins_many_is_the_commonest_of_them() -> None:
    rng = np.random.default_rng(1)
    names = np.array(["Newark", "Newport", "Newry", "Newton"], dtype=object)
    before, now = (rng.choice(names, 3000, p=[0.1, 0.4, 0.2, 0.3]) for _ in range(2))
    cut = np.array([str(word)[:3] for word in now], dtype=object)
    (item,) = found({"town": before}, {"town": cut})
    assert item.fault.kind is FaultKind.TRUNCATED
    assert "'Newport' now 'New'" in item.fault.text


@pytest.mark.parametrize("most", [7, 8])
def test_too_many_words_are_not_compared_by_spelling(most: int) -> None:
    rng = np.random.default_rng(1)
    names = np.array(["Newark", "Bath", "Wells", "Ely"], dtype=object)
    loud = np.array(["NEWARK", "BATH", "WELLS", "ELY"], dtype=object)
    shares = [[0.4, 0.3, 0.2, 0.1], [0.1, 0.1, 0.1, 0.7]]
    tables = [
        pa.table({"x": rng.choice(w, 900, p=p)})
        for w, p in zip((names, loud), shares, strict=False)
    ]
    told = find_faults(*read_pair(*tables), FaultConfig(max_words=most))
    assert len(told) == (most == 8)


@pytest.mark.parametrize("shift", [0.0, 0.7])
@pytest.mark.parametrize("factor", [100.0, 0.01, 1000.0])
def test_a_gross_unit_is_told_through_a_moderate_shift(shift: float, factor: float) -> None:
    one, two = (np.random.default_rng(seed).normal(size=2000) for seed in (1, 2))
    (item,) = found({"x": one}, {"x": (two + shift) * factor})
    assert (item.fault.kind, item.fault.factor) == (FaultKind.UNIT, factor)


@pytest.mark.parametrize("spread", [2.0, 5.0, 10.0])
def test_a_wider_column_about_elsewhere_is_no_unit(spread: float) -> None:
    one, two = (np.random.default_rng(seed).normal(size=2000) for seed in (1, 2))
    assert not found({"x": one}, {"x": (two + 0.7) * spread})


def test_a_step_that_alone_becomes_commoner_is_no_default() -> None:
    rng = np.random.default_rng(1)
    steps = np.array([2.5, 3.5, 4.5])
    before, now = (rng.choice(steps, 4000, p=p) for p in ([0.45, 0.1, 0.45], [0.2, 0.6, 0.2]))
    assert not found({"x": before}, {"x": now})
