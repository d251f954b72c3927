"""Days that differ by themselves raise no alarm; a decision that turns wrong does."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydantic import TypeAdapter

from homeostat.detectors.performance.baseline import limits, rungs
from homeostat.detectors.performance.bets import Hourly, bet_hourly
from homeostat.detectors.performance.detector import (
    LossBaseline,
    PerformanceConfig,
    PerformanceState,
    baseline,
    evaluate,
    mistakes,
    tolerated,
)
from homeostat.domain.verdict import AlarmBudget, Status, Verdict
from homeostat.domain.window import Window
from homeostat.stats.blocks import BlockEffects

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
CONFIG = PerformanceConfig()


def hold_out(rng: np.random.Generator, days: int, each: int, sd: float) -> LossBaseline:
    hours = np.repeat(np.arange(24 * days), each)
    chance = 0.2 + rng.normal(0.0, sd, days)[hours // 24]
    return baseline((rng.random(hours.size) < chance).astype(np.float64), hours=hours)


def play(
    known: LossBaseline, rng: np.random.Generator, chances: np.ndarray, each: int
) -> list[Verdict]:
    """Judge a tick of `each` rows for each chance of an error, two ticks a day."""
    state, verdicts = PerformanceState(), []
    for turn, chance in enumerate(chances):
        window = Window(START + 12 * turn * HOUR, START + 12 * (turn + 1) * HOUR)
        hours = np.full(each, 12 * turn, dtype=np.int64)
        wrong = (rng.random(each) < chance).astype(np.float64)
        state, verdict = evaluate(CONFIG, known, state, "m", "1", window, wrong, hours)
        verdicts.append(verdict)
    return verdicts


@pytest.mark.statistical
@pytest.mark.unwatched
@pytest.mark.parametrize("sd", [0.01, 0.02])
def test_ninety_days_that_differ_stay_within_the_budget(sd: float) -> None:
    alarmed = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        known = hold_out(rng, 7, 100, sd)
        chances = np.repeat(0.2 + rng.normal(0.0, sd, 90), 2)
        alarmed += any(v.status is Status.DRIFT for v in play(known, rng, chances, 1000))
    # A quarter may: 2 are expected at most, and 5 or more come with probability 0.03.
    assert alarmed <= 4


@pytest.mark.statistical
@pytest.mark.unwatched
@pytest.mark.parametrize(("sd", "within"), [(0.0, 2), (0.005, 2), (0.01, 3)])
def test_a_lasting_rise_beyond_them_is_found(sd: float, within: int) -> None:
    delays = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        known = hold_out(rng, 14, 100, sd)
        found = play(known, rng, np.repeat(0.3 + rng.normal(0.0, sd, 5), 2), 1000)
        fired = [turn for turn, verdict in enumerate(found) if verdict.status is Status.DRIFT]
        delays.append(fired[0] + 1)
    assert np.median(delays) <= within


def test_a_baseline_without_times_bets_on_the_margin_alone() -> None:
    known = baseline([0.1, 0.3] * 50)
    assert known.effects == BlockEffects()
    assert rungs(CONFIG, known).above == (0.02,)
    assert known.caveat == ""


def test_what_days_may_do_is_tolerated_and_few_days_are_said() -> None:
    known = LossBaseline(0.2, 700, 0.21, effects=BlockEffects(7, 0.02))
    assert tolerated(CONFIG, known) > 0.26
    assert known.caveat == ""
    few = LossBaseline(0.2, 700, 0.21, effects=BlockEffects(2, 0.005))
    assert "2 days of reference" in few.caveat
    window = Window(START, START + HOUR)
    wrong = np.ones(200)
    _, verdict = evaluate(CONFIG, few, PerformanceState(), "m", "1", window, wrong)
    assert verdict.status is Status.DRIFT
    assert verdict.reason.endswith(few.caveat)


def test_what_is_small_is_taken_to_move_by_little() -> None:
    rng = np.random.default_rng(5)
    hours = np.repeat(np.arange(72), 300)
    rare = (rng.random(hours.size) < 0.01) * rng.random(hours.size)
    known = baseline(rare, hours=hours)
    # Three days know their own variation too badly to be asked alone.
    assert tolerated(CONFIG, known) < known.upper + CONFIG.margin + 0.005
    assert known.sure == pytest.approx(known.mean / 2)
    assert baseline([0.3] * 10).sure == 0.05


@pytest.mark.statistical
def test_bursts_within_hours_hide_no_rise_that_lasts() -> None:
    found = []
    for seed in range(4):
        rng = np.random.default_rng(seed)

        def bursts(first: int, days: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
            hours = np.repeat(np.arange(24 * first, 24 * (first + days)), 200)
            effects = rng.gamma(1.0, rate, 24 * days)[hours - 24 * first]  # noqa: B023
            wrong = (rng.random(hours.size) < np.minimum(effects, 1.0)).astype(np.float64)  # noqa: B023
            return hours, wrong

        hours, wrong = bursts(0, 7, 0.02)
        known = baseline(wrong, hours=hours)
        assert known.effects.within > 0.01
        fired = []
        for rate in (0.02, 0.08):
            state = PerformanceState()
            hours, wrong = bursts(7, 3, rate)
            for day in range(3):
                mine = hours // 24 == 7 + day
                window = Window(START + (7 + day) * 24 * HOUR, START + (8 + day) * 24 * HOUR)
                state, verdict = evaluate(
                    CONFIG, known, state, "m", "1", window, wrong[mine], hours[mine]
                )
            fired.append(verdict.status is Status.DRIFT)
        found.append(fired)
    assert found == [[False, True]] * 4


def test_an_hour_that_goes_on_is_one_observation() -> None:
    known = LossBaseline(0.1, 1000, 0.11, effects=BlockEffects(7, 0.001, 0.02))
    state = bet_hourly(CONFIG, known, Hourly(), np.full(5, 0.2), np.zeros(5, dtype=np.int64))
    state = bet_hourly(CONFIG, known, state, np.full(5, 0.4), np.zeros(5, dtype=np.int64))
    assert (state.hour, state.rows) == (0, 10)
    assert state.total == pytest.approx(3.0)
    after = bet_hourly(CONFIG, known, state, np.full(2, 0.4), np.array([1, 2]))
    assert (after.hour, len(after.bets)) == (2, len(rungs(CONFIG, known).above))


def test_a_generous_budget_has_limits_too() -> None:
    config = PerformanceConfig(AlarmBudget(1000.0))
    ladder = rungs(config, LossBaseline(0.2, 700, 0.21, effects=BlockEffects(7, 0.02)))
    assert list(ladder.above[1:]) == sorted(ladder.above[1:])


def test_many_rows_an_hour_know_a_steep_rhythm() -> None:
    hours = np.repeat(np.arange(48), 1000)
    night = (hours % 24 < 8).astype(np.float64)
    known = baseline(0.1 + 0.4 * night, hours=hours)
    assert limits(known, 0.0, np.array([7, 31])).round(2).tolist() == [0.5, 0.5]
    assert known.hours[8] < 0.13
    smooth = baseline(0.1 + 0.4 * night[::10], hours=hours[::10])
    assert 0.2 < smooth.hours[8] < 0.4


def test_decisions_turn_wrong_though_losses_stay_small() -> None:
    rng = np.random.default_rng(3)
    hours = np.repeat(np.arange(24 * 7), 20)
    labels = (rng.random(hours.size) < 0.5).astype(np.float64)

    def judged(shift: float) -> Verdict:
        scores = np.where(labels == 1.0, 0.51, 0.49) - shift * (labels - 0.5)
        loss, wrong = (scores - labels) ** 2, mistakes(scores, labels, 0.5)
        window = Window(START, START + HOUR)
        return evaluate(
            CONFIG, known, PerformanceState(), "m", "1", window, loss[:400], hours[:400],
            wrong[:400],
        )[1]  # fmt: skip

    scores = np.where(labels == 1.0, 0.51, 0.49)
    known = baseline((scores - labels) ** 2, hours=hours, mistakes=mistakes(scores, labels, 0.5))
    assert judged(0.0).status is Status.OK
    turned = judged(0.03)
    assert turned.status is Status.DRIFT
    assert turned.reason.startswith("accuracy 0 on recent rows, baseline 1")
    assert turned.detail("recent_accuracy") == 0.0
    assert turned.evidence_threshold == 2 * CONFIG.threshold


def test_mistakes_need_a_baseline_and_rows() -> None:
    window = Window(START, START + HOUR)
    plain = LossBaseline(0.2, 700, 0.21)
    state, _ = evaluate(CONFIG, plain, PerformanceState(), "m", "1", window, [0.1], None, [1.0])
    assert state.mistakes is None
    assert state.calm == state.calm_until
    both = LossBaseline(0.2, 700, 0.21, mistakes=plain)
    _, verdict = evaluate(CONFIG, both, PerformanceState(), "m", "1", window, [], None, [])
    assert verdict.status is Status.NO_DATA
    state, _ = evaluate(CONFIG, both, PerformanceState(), "m", "1", window, [0.1], None, [0.0])
    assert state.calm == window.end
    stored = TypeAdapter(PerformanceState)
    assert stored.validate_json(stored.dump_json(state)) == state


def test_old_records_load() -> None:
    old = b'{"version": "1", "bets": {"capital": [1, 2, 3, 4, 5, 6, 7]}, "rows": 5}'
    state = TypeAdapter(PerformanceState).validate_json(old)
    assert (state.bets.evidence, state.further) == (4.0, ())
    known = LossBaseline(0.2, 700, 0.21, effects=BlockEffects(7, 0.005))
    window = Window(START, START + HOUR)
    after, _ = evaluate(CONFIG, known, state, "m", "1", window, [0.1] * 9)
    assert len(after.further) == len(rungs(CONFIG, known).above) - 1
    base = TypeAdapter(LossBaseline).validate_json(b'{"mean": 0.1, "n": 3, "upper": 0.2}')
    assert base == LossBaseline(0.1, 3, 0.2)
