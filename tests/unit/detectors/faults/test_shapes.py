"""Units of columns about zero, and signs of some rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import Values, read_pair
from homeostat.detectors.faults.config import FaultConfig
from homeostat.detectors.faults.find import find_faults
from homeostat.detectors.faults.mend import mend
from homeostat.detectors.faults.shapes import find_power, find_signs
from homeostat.domain.explanation import DataFault, FaultKind

Floats = NDArray[np.float64]
N = 1500


def normal(seed: int, n: int = N) -> Floats:
    return np.random.default_rng(seed).normal(size=n)


def paid(seed: int, n: int = N) -> Floats:
    return np.random.default_rng(seed).lognormal(3.0, 0.8, n)


def pair(before: Floats, now: Floats) -> tuple[Values, Values]:
    one, two = read_pair(pa.table({"x": before}), pa.table({"x": now}))
    return one["x"], two["x"]


def told(before: Floats, now: Floats) -> list[DataFault]:
    columns = read_pair(pa.table({"x": before}), pa.table({"x": now}))
    return [item.fault for item in find_faults(*columns, FaultConfig())]


@pytest.mark.parametrize("factor", [10.0, 100.0, 1000.0, 0.1, 0.01])
def test_a_power_of_ten_is_told_about_zero(factor: float) -> None:
    (fault,) = told(normal(1), normal(2) * factor)
    assert fault.kind is FaultKind.UNIT
    assert fault.factor == pytest.approx(factor)


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.6])
def test_some_signs_are_told(share: float, sign: float) -> None:
    flipped = np.random.default_rng(3).random(N) < share
    before, now = sign * paid(1), sign * np.where(flipped, -paid(2), paid(2))
    columns = read_pair(pa.table({"x": before}), pa.table({"x": now}))
    (item,) = find_faults(*columns, FaultConfig())
    assert item.fault.kind is FaultKind.SIGN_FLIP
    assert item.rows.tolist() == flipped.tolist()
    mended = mend(*columns, (item,), (N, N))
    assert not mended.dropped
    assert mended.rows_now.tolist() == (~flipped).tolist()


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (normal(1), normal(2)),
        (normal(1), normal(2) * 4.0),
        (normal(1), np.random.default_rng(2).uniform(-16.0, 16.0, N)),
        (normal(1), np.where(np.arange(N) < 100, normal(2), 0.0)),
        (normal(1, 40), normal(2, 20) * 100.0),
        (normal(1).round() * 2.0, normal(2).round() * 200.0),
        (normal(1, 31) + 2e-1, normal(2, 31) * 10.0),
    ],
    ids=["same", "fourfold", "other shape", "no width", "few rows", "few values", "not sure"],
)
def test_other_spreads_are_no_power_of_ten(before: Floats, now: Floats) -> None:
    assert find_power("x", *pair(before, now), FaultConfig()) is None


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (paid(1), paid(2)),
        (paid(1), -paid(2)),
        (normal(1), normal(2)),
        (np.zeros(N), normal(2)),
        (paid(1), np.where(np.arange(N) < 300, -1.0, paid(2))),
        (paid(1), np.where(np.arange(N) < 300, -0.1 * normal(2) ** 2 - 1e-3, paid(2))),
        (paid(1, 20), -paid(2, 20)),
    ],
    ids=["none", "all", "both signs", "zeros", "a default", "refunds", "few rows"],
)
def test_other_negatives_are_no_flip(before: Floats, now: Floats) -> None:
    assert find_signs("x", *pair(before, now), FaultConfig()) is None


def test_nothing_is_told_where_nothing_changed() -> None:
    for seed in range(40):
        n, m = (300, 2000) if seed % 2 else (2000, 300)
        for make in (normal, paid):
            assert not told(make(seed, n), make(seed + 100, m))
