"""Columns that move on with time are left out; broken ones that do not are kept."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import read_pair
from homeostat.detectors.faults.config import FaultConfig
from homeostat.detectors.faults.telling import leave_out_clocks

Side = NDArray[np.generic] | list[str]
N = 400
K = np.arange(N)
RNG = np.random.default_rng(2)


def left_out(
    before: Side, now: Side, name: str = "x", times: NDArray[np.int64] | None = None
) -> bool:
    columns = read_pair(pa.table({name: before}), pa.table({name: now}))
    one, two, caveats = leave_out_clocks(*columns, (times, times), FaultConfig())
    assert (name in one) == (name in two) == (not caveats)
    return bool(caveats)


def texts(*words: str) -> list[str]:
    return [words[k] for k in RNG.integers(0, len(words), N)]


CLOCKS: dict[str, tuple[Side, Side, str]] = {
    "row number": (K, K + N, "x"),
    "countdown": (10_000 - K, 9_000 - K, "x"),
    "epoch": (1.76e9 + RNG.random(N) * 1e6, 1.77e9 + RNG.random(N) * 1e6, "x"),
    "epoch in ms": (1.76e12 + K, 1.79e12 + K, "x"),
    "week": (1 + K * 13 // N, 14 + K * 13 // N, "x"),
    "week in no order": (RNG.integers(1, 14, N), RNG.integers(14, 27, N), "week"),
    "month after new year": (RNG.integers(10, 13, N), RNG.integers(1, 4, N), "month"),
    "month as text": (texts("2026-01", "2026-02"), texts("2026-03", "2026-04"), "x"),
    "date as text": (texts("2026-01-31", "2026-02-01"), texts("2026-03-01"), "x"),
    "named month": (texts("Jan 2026", "Feb 2026"), texts("Mar 2026"), "x"),
    "quarter": (texts("2026Q1", "2026-W05"), texts("2026Q2"), "x"),
}


@pytest.mark.parametrize("case", CLOCKS)
def test_what_tells_the_time_is_left_out(case: str) -> None:
    assert left_out(*CLOCKS[case])


KEPT: dict[str, tuple[Side, Side, str]] = {
    "no clock": (RNG.normal(size=N), RNG.normal(size=N), "x"),
    "another unit": (RNG.lognormal(size=N), 1000 * RNG.lognormal(size=N), "x"),
    "counter in another unit": (K, 1000 * (K + N), "x"),
    "seconds now milliseconds": (1.76e9 + K, 1.76e12 + 1e3 * K, "x"),
    "still": (K, np.full(N, 500), "x"),
    "missing": (K, np.where(K % 2 == 0, np.nan, K + N), "x"),
    "infinite": (K, np.full(N, np.inf), "x"),
    "default month": (RNG.integers(1, 4, N), np.full(N, 0), "month"),
    "month that recurs": (RNG.integers(1, 13, N), RNG.integers(1, 13, N), "month"),
    "days in hours": (RNG.integers(1, 20, N), 24 * RNG.integers(1, 20, N) + 20, "day"),
    "time itself": (K.astype("datetime64[s]"), (K + N).astype("datetime64[s]"), "x"),
    "words": (texts("a", "b"), texts("c"), "x"),
    "dates no more": (texts("2026-01"), texts("unknown"), "x"),
    "other type": (K, texts("a"), "x"),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_does_not_tell_the_time_is_kept(case: str) -> None:
    assert not left_out(*KEPT[case])


def test_order_is_that_of_the_times_if_there_are_any() -> None:
    order = np.random.default_rng(4).permutation(N)
    assert not left_out(order, order + N)
    assert left_out(order, order + N, times=order * 1_000_000)


def test_columns_of_one_side_are_kept() -> None:
    columns = read_pair(pa.table({"x": K}), pa.table({"y": K + N}))
    assert leave_out_clocks(*columns, (None, None), FaultConfig())[2] == ()
