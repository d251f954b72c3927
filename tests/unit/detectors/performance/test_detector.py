"""Realized performance."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import ArrayLike
from pydantic import TypeAdapter

from homeostat.detectors.performance.detector import (
    LossBaseline,
    PairedBets,
    PerformanceConfig,
    PerformanceState,
    baseline,
    compare_paired,
    evaluate,
    losses,
    tolerated,
)
from homeostat.domain.model import Task
from homeostat.domain.verdict import Status, Verdict
from homeostat.domain.window import Window

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CONFIG = PerformanceConfig()
BASE = LossBaseline(mean=0.02, n=5000, upper=0.022)


def at(minute: int, length: int = 5) -> Window:
    return Window(START + minute * MINUTE, START + (minute + length) * MINUTE)


def play(
    batches: Sequence[ArrayLike],
    state: PerformanceState | None = None,
    version: str = "v1",
    step: int = 5,
) -> tuple[PerformanceState, list[Verdict]]:
    state = state or PerformanceState()
    verdicts = []
    for index, batch in enumerate(batches):
        state, verdict = evaluate(CONFIG, BASE, state, "m", version, at(index * step), batch)
        verdicts.append(verdict)
    return state, verdicts


@pytest.mark.parametrize("size", [1, 7])
def test_a_jump_is_found_within_twenty_rows(size: int) -> None:
    rng = np.random.default_rng(0)
    state, quiet = play([rng.exponential(0.02, size).clip(0, 1) for _ in range(300)])
    assert {verdict.status for verdict in quiet[30:]} == {Status.OK}
    _, loud = play([[0.25] * size for _ in range(20 // size)], state)
    fired = [index for index, verdict in enumerate(loud) if verdict.status is Status.DRIFT]
    assert (fired[0] + 1) * size <= 20
    assert loud[-1].score > 0.02
    assert "above the tolerated" in loud[-1].reason


def test_recovery_does_not_take_as_long_as_the_failure() -> None:
    state, _ = play([[1.0] * 50 for _ in range(50)])
    _, after = play([[0.01] * 20 for _ in range(30)], state)
    assert after[0].status is Status.DRIFT
    assert after[-1].status is Status.OK


def test_no_rows_change_nothing_and_few_are_inconclusive() -> None:
    state, (verdict,) = play([[]])
    assert state == PerformanceState(version="v1")
    assert verdict.status is Status.NO_DATA
    state, (verdict,) = play([[0.02] * 5])
    assert verdict.status is Status.INCONCLUSIVE
    assert verdict.reason == "5 labelled rows so far, 30 are needed"
    assert play([[]], state)[0] == state


def test_another_version_starts_afresh() -> None:
    state, (bad,) = play([[1.0] * 50])
    assert bad.status is Status.DRIFT
    state, (good,) = play([[0.01] * 50], state, version="v2")
    assert (good.status, good.version, state.rows) == (Status.OK, "v2", 50)


def test_more_calls_in_the_same_time_bring_no_more_bets() -> None:
    rows = np.full(200, 0.04)
    often, _ = play([[row] for row in rows], step=1)
    seldom, _ = play([rows[:1], rows[1:]], step=199)
    assert often.bets.evidence == pytest.approx(seldom.bets.evidence, abs=1.2)
    assert often.recent == pytest.approx(0.04)


def test_windows_out_of_order_start_no_bets_backwards() -> None:
    state, _ = evaluate(CONFIG, BASE, PerformanceState(), "m", "v1", at(100), [0.02])
    later, _ = evaluate(CONFIG, BASE, state, "m", "v1", at(0), [0.02])
    assert later.updated == state.updated
    assert later.bets.evidence <= state.bets.evidence


def test_losses_of_each_task() -> None:
    assert losses(Task.BINARY, [0.9, 1.2, -3.0, math.nan], [1, 1, 1, 1], 0.5).tolist() == (
        pytest.approx([0.01, 0.0, 1.0, 1.0])
    )
    assert losses(Task.MULTICLASS, [2, 1], [2, 0], 0.5).tolist() == [0.0, 1.0]
    assert losses(Task.REGRESSION, [5.0, 0.0], [4.0, 90.0], 0.5, scale=10.0).tolist() == [0.1, 1.0]


@pytest.mark.parametrize(
    ("scores", "labels", "scale", "message"),
    [
        ([0.1], [1.0, 0.0], 1.0, "1 scores for 2 labels"),
        ([0.1], [math.nan], 1.0, "needs a label"),
        ([0.1], [1.0], 0.0, "positive"),
    ],
)
def test_losses_refuse_what_cannot_be_scored(
    scores: list[float], labels: list[float], scale: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        losses(Task.REGRESSION, scores, labels, 0.5, scale)


def test_baseline_covers_the_mean() -> None:
    rng = np.random.default_rng(1)
    found = [baseline(rng.beta(1, 9, 200)).upper >= 0.1 for _ in range(300)]
    assert np.mean(found) > 0.9
    few = baseline([0.0, 0.0, 0.0])
    assert (few.mean, few.n) == (0.0, 3)
    assert few.upper > 0.3
    with pytest.raises(ValueError, match="at least one"):
        baseline([])


def test_tolerated_stays_in_range() -> None:
    assert tolerated(CONFIG, LossBaseline(0.99, 10, 1.0)) == 1.0
    assert tolerated(PerformanceConfig(margin=0.0), LossBaseline(0.0, 10, 0.0)) > 0.0


def test_paired_comparison() -> None:
    rng = np.random.default_rng(2)
    hard = rng.random(200)
    champion, challenger = 0.5 * hard + 0.3, 0.5 * hard
    state = PairedBets()
    for part in range(4):
        rows = slice(50 * part, 50 * part + 50)
        state, found = compare_paired(champion[rows], challenger[rows], state, block=part)
    assert found.better_e > 20
    assert found.worse_e < 0.5
    assert found.not_worse_e > 20
    assert (found.n, found.difference) == (200, pytest.approx(0.3))


def test_paired_comparison_of_nothing_and_of_unequal_rows() -> None:
    _, found = compare_paired([], [], PairedBets())
    assert (found.better_e, found.worse_e, found.n) == (1.0, 1.0, 0)
    assert math.isnan(found.difference)
    with pytest.raises(ValueError, match="unpaired: 1 champion and 2"):
        compare_paired([0.1], [0.1, 0.2], PairedBets())


def test_states_survive_storage() -> None:
    state, _ = play([[0.5] * 5])
    for value in (state, PerformanceState()):
        adapter = TypeAdapter(PerformanceState)
        assert adapter.validate_json(adapter.dump_json(value)) == value
    paired, _ = compare_paired([0.5], [0.1], PairedBets())
    stored = TypeAdapter(PairedBets)
    assert stored.validate_json(stored.dump_json(paired)) == paired
