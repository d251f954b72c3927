"""The sequential test of calibration: quiet where it should be, and quick where not."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from homeostat.detectors.calibration.detector import (
    CalibrationConfig,
    CalibrationReference,
    CalibrationState,
    evaluate,
    fit,
)
from homeostat.domain.verdict import Status, Verdict
from homeostat.domain.window import Window

Floats = NDArray[np.float64]

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CONFIG = CalibrationConfig()


def day(index: int) -> Window:
    return Window(START + index * DAY, START + (index + 1) * DAY)


def draw(
    rng: np.random.Generator, n: int, base: float, shift: float = 0.0, slope: float = 1.0
) -> tuple[Floats, Floats]:
    """Labels and scores off by `shift` log-odds, too extreme if the slope is below 1."""
    odds = rng.normal(0.0, 1.2, n)
    chances = 1.0 / (1.0 + np.exp(-(base + shift + slope * odds)))
    return (rng.random(n) < chances).astype(float), 1.0 / (1.0 + np.exp(-(base + odds)))


def watch(
    seed: int,
    base: float,
    rows: int,
    shift: float = 0.0,
    slope: float = 1.0,
    lived_with: float = 0.0,
    days: int = 90,
) -> tuple[int, Verdict]:
    """Return the days until the alarm, or all of them, and the last verdict."""
    rng = np.random.default_rng(seed)
    reference = fit(*draw(rng, 4000, base, lived_with), CONFIG)
    state = CalibrationState()
    for index in range(days):
        given = draw(rng, rows, base, shift, slope)
        state, verdict = evaluate(CONFIG, reference, state, "m", "1", day(index), *given)
        if verdict.status is Status.DRIFT:
            return index + 1, verdict
    return days + 1, verdict


@pytest.mark.statistical
@pytest.mark.parametrize("rows", [20, 400])
@pytest.mark.parametrize(
    ("base", "shift", "lived_with"),
    [(-1.0, 0.0, 0.0), (-4.0, 0.2, 0.0), (-1.0, -0.2, 0.0), (-1.0, 0.6, 0.6)],
    ids=["exact", "rare at tolerance", "at tolerance", "as in the reference"],
)
def test_ninety_quiet_days_stay_within_the_budget(
    base: float, shift: float, lived_with: float, rows: int
) -> None:
    alarms = sum(
        watch(seed, base, rows, shift, lived_with=lived_with)[0] <= 90 for seed in range(12)
    )
    # A quarter of one alarm is the monitor's share of the budget: 3 of 12 runs at most on average.
    assert alarms <= 1


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("base", "rows", "shift", "slope", "within", "words"),
    [
        (-1.0, 200, 0.6, 1.0, 12, "too low"),
        (-1.0, 200, -0.6, 1.0, 15, "too high"),
        (-4.0, 1000, 0.7, 1.0, 15, "too low"),
        (-1.0, 1000, 0.0, 0.5, 5, "from"),
    ],
    ids=["too low", "too high", "rare", "too extreme"],
)
def test_real_miscalibration_is_found_and_named(
    base: float, rows: int, shift: float, slope: float, within: int, words: str
) -> None:
    found = [watch(seed, base, rows, shift, slope, days=40) for seed in range(7)]
    assert np.median([delay for delay, _ in found]) <= within
    delay, verdict = found[0]
    assert delay <= 40
    assert words in verdict.reason
    assert abs(verdict.score) > verdict.effect_threshold > 0.0


def test_an_alarm_ends_when_scores_are_right_again() -> None:
    rng = np.random.default_rng(1)
    state, reference = CalibrationState(), fit(*draw(rng, 4000, -1.0), CONFIG)
    found = []
    for index in range(60):
        given = draw(rng, 1000, -1.0, 0.8 if index < 20 else -0.1)
        state, verdict = evaluate(CONFIG, reference, state, "m", "1", day(index), *given)
        found.append(verdict.status)
    assert found[19] is Status.DRIFT
    assert found[-1] is Status.OK
    assert verdict.evidence < CONFIG.threshold


def test_another_version_starts_afresh() -> None:
    rng = np.random.default_rng(2)
    reference = fit(*draw(rng, 4000, -1.0), CONFIG)
    state, _ = evaluate(
        CONFIG, reference, CalibrationState(), "m", "1", day(0), *draw(rng, 5000, -1.0, 2.0)
    )
    assert state.firing is not None
    state, verdict = evaluate(CONFIG, reference, state, "m", "2", day(1), *draw(rng, 50, -1.0))
    assert (state.firing, state.rows, verdict.version) == (None, 50, "2")
    assert verdict.status is Status.INCONCLUSIVE
    assert "50 labelled rows so far, 100 are needed" in verdict.reason


def test_no_rows_are_no_data() -> None:
    reference = CalibrationReference()
    state, verdict = evaluate(
        CONFIG, reference, CalibrationState(), "m", "1", day(0), np.array([]), np.array([])
    )
    assert verdict.status is Status.NO_DATA
    assert np.isnan(verdict.score)
    assert (state.rows, verdict.n_current) == (0, 0)


def test_without_a_reference_scores_are_taken_at_their_word() -> None:
    rng = np.random.default_rng(3)
    state = CalibrationState()
    for index in range(30):
        given = draw(rng, 300, -1.0, 0.9)
        state, verdict = evaluate(
            CONFIG, CalibrationReference(), state, "m", "1", day(index), *given
        )
    assert verdict.status is Status.DRIFT
    assert verdict.reason.startswith("scores are too low: recent labels are +0.")


def test_scores_of_zero_and_one_that_are_wrong_are_evidence_without_bounds() -> None:
    labels, scores = np.array([1.0, 0.0] * 5), np.array([0.0, 1.0] * 5)
    _, verdict = evaluate(
        CONFIG, CalibrationReference(), CalibrationState(), "m", "1", day(0), labels, scores
    )
    assert verdict.status is Status.DRIFT
    assert np.isfinite(verdict.evidence)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1.0], [0.1, 0.2], "2 scores for 1 labels"),
        ([2.0], [0.1], "labels of 0 or 1"),
        ([np.nan], [0.1], "labels of 0 or 1"),
        ([1.0], [1.5], "scores in"),
        ([], [], "at least one labelled row"),
    ],
    ids=["lengths", "class", "nan", "score", "none"],
)
def test_wrong_rows_are_refused(labels: list[float], scores: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(labels, scores, CONFIG)
