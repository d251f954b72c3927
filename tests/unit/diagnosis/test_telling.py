"""What tells the time, and a score that stands in for others, as a diagnosis tells them."""

from __future__ import annotations

import numpy as np

import homeostat as hs
from homeostat.domain.decision import Cause
from homeostat.domain.explanation import Action, FaultKind
from unit.diagnosis.stories import SPECS, story

N = 2000


def test_a_row_number_and_a_month_are_neither_faults_nor_shifts() -> None:
    before = {**story("binary", N, 1), "row": np.arange(N), "month": np.repeat("2026-01", N)}
    now = {**story("binary", N, 51), "row": np.arange(N) + N, "month": np.repeat("2026-02", N)}
    found = hs.diagnose(before, now, SPECS["binary"])
    assert (found.cause, found.action) == (Cause.NONE, Action.NOTHING)
    assert {"leave row out: it tells the time", "leave month out: it tells the time"} <= set(
        found.caveats
    )


def test_a_score_that_stands_in_for_half_of_the_rows_is_mended() -> None:
    now = story("binary", N, 51)
    now["score"] = np.where(np.arange(N) >= N / 2, 0.07, now["score"].astype(float))
    found = hs.diagnose(story("binary", N, 1), now, SPECS["binary"])
    assert (found.cause, found.action) == (Cause.DATA_FAULT, Action.MEND_UPSTREAM)
    assert found.columns == ("the score",)


def test_rows_that_only_a_broken_column_makes_alike_are_no_duplicates() -> None:
    def shops(seed: int) -> dict[str, np.ndarray]:
        rows = story("binary", N, seed)
        return {name: rows[name] for name in ("x", "shop", "score", "label")}

    now = shops(51)
    broken = np.random.default_rng(3).random(N) < 0.09
    now["x"] = np.where(broken, -np.inf, now["x"].astype(float))
    faults = hs.diagnose(shops(1), now, SPECS["binary"]).faults
    assert [fault.kind for fault in faults] == [FaultKind.DEFAULT]
    now["score"] = np.where(broken, 0.3, now["score"].astype(float))
    faults = hs.diagnose(shops(1), now, SPECS["binary"]).faults
    assert {fault.kind for fault in faults} == {FaultKind.DEFAULT, FaultKind.CONSTANT_SCORE}
