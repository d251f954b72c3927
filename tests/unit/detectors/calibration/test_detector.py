"""The sequential test of calibration: quiet where it should be, and quick where not."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import TypeAdapter

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


Law = Callable[[Floats], Floats]
"""From the log-odds of scores to those of the truth."""


def line(shift: float = 0.0, slope: float = 1.0, base: float = 0.0) -> Law:
    """Scores off by `shift` log-odds, too extreme if the slope is below 1."""
    return lambda odds: base + shift + slope * (odds - base)


def steps(odds: Floats) -> Floats:
    """Return the truth of a forest of few leaves: level between two jumps."""
    return np.where(odds < -1.0, -2.0, np.where(odds < 0.5, 0.0, 1.5))


def chances(odds: Floats) -> Floats:
    found: Floats = 1.0 / (1.0 + np.exp(-odds))
    return found


def normal(base: float) -> Callable[[np.random.Generator, int], Floats]:
    return lambda rng, n: chances(rng.normal(base, 1.2, n))


def beta(rng: np.random.Generator, n: int) -> Floats:
    return rng.beta(0.5, 0.5, n)


def few(rng: np.random.Generator, n: int) -> Floats:
    return rng.choice([0.05, 0.2, 0.35, 0.7, 0.95], n)


def label(rng: np.random.Generator, scores: Floats, law: Law) -> Floats:
    odds = np.clip(np.log(scores) - np.log1p(-scores), -14.0, 14.0)
    return (rng.random(scores.size) < chances(law(odds))).astype(float)


def draw(
    rng: np.random.Generator, n: int, base: float, shift: float = 0.0, slope: float = 1.0
) -> tuple[Floats, Floats]:
    scores = normal(base)(rng, n)
    return label(rng, scores, line(shift, slope, base)), scores


def follow(
    reference: CalibrationReference,
    rows: Callable[[], tuple[Floats, Floats]],
    days: int,
) -> tuple[int, Verdict]:
    """Return the days until the alarm, or one more than all of them, and the last verdict."""
    state = CalibrationState()
    for index in range(days):
        state, verdict = evaluate(CONFIG, reference, state, "m", "1", day(index), *rows())
        if verdict.status is Status.DRIFT:
            return index + 1, verdict
    return days + 1, verdict


def watch(
    seed: int,
    base: float,
    rows: int,
    shift: float = 0.0,
    slope: float = 1.0,
    lived_with: float = 0.0,
    days: int = 90,
) -> tuple[int, Verdict]:
    rng = np.random.default_rng(seed)
    reference = fit(*draw(rng, 4000, base, lived_with), CONFIG)
    return follow(reference, lambda: draw(rng, rows, base, shift, slope), days)


@pytest.mark.statistical
@pytest.mark.parametrize("rows", [20, pytest.param(400, marks=pytest.mark.unwatched)])
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
@pytest.mark.unwatched
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
    found = [watch(seed, base, rows, shift, slope, days=40) for seed in range(15)]
    assert np.median([delay for delay, _ in found]) <= within
    delay, verdict = found[0]
    assert delay <= 40
    assert words in verdict.reason
    assert abs(verdict.score) > verdict.effect_threshold > 0.0


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("scores", "law"),
    [
        (normal(-1.0), line(1.5)),
        (normal(-1.0), line(slope=0.5)),
        (normal(-1.0), line(slope=1.6)),
        (beta, line(slope=0.7)),
        (normal(-4.5), line(slope=0.7)),
        (normal(-1.0), steps),
        (few, line(0.8, 0.5)),
    ],
    ids=["offset", "too extreme", "too timid", "near 0 and 1", "rare", "steps", "few scores"],
)
def test_what_the_reference_shows_is_lived_with(
    scores: Callable[[np.random.Generator, int], Floats], law: Law
) -> None:
    alarms = []
    for seed in range(5):
        rng = np.random.default_rng(seed)

        def rows(n: int = 500, rng: np.random.Generator = rng) -> tuple[Floats, Floats]:
            said = scores(rng, n)
            return label(rng, said, law), said

        found, _ = follow(fit(*rows(20_000), CONFIG), rows, 90)
        alarms.append(found <= 90)
    assert not any(alarms)


@pytest.mark.statistical
@pytest.mark.unwatched
@pytest.mark.parametrize(
    "law",
    [steps, lambda odds: odds + 0.6 * np.sin(3.0 * odds)],
    ids=["steps", "waves"],
)
def test_a_short_reference_does_not_hide_how_the_truth_winds(law: Law) -> None:
    alarms = []
    for seed in range(8):
        rng = np.random.default_rng(seed)

        def rows(n: int = 500, rng: np.random.Generator = rng) -> tuple[Floats, Floats]:
            said = normal(-1.0)(rng, n)
            return label(rng, said, law), said

        found, _ = follow(fit(*rows(1000), CONFIG), rows, 90)
        alarms.append(found <= 90)
    assert not any(alarms)


def test_references_of_before_load() -> None:
    old = b'{"edges": [0.5], "knots": [0.0], "low": [-0.1], "high": [0.1], "n": 9}'
    found = TypeAdapter(CalibrationReference).validate_json(old)
    assert found.joints == ()
    low, high = found.bounds(np.array([0.5]), 0.0)
    assert (low[0], high[0]) == (chances(np.array([-0.1]))[0], chances(np.array([0.1]))[0])


@pytest.mark.statistical
@pytest.mark.parametrize("base", [-3.0, 1.0], ids=["lower", "higher"])
def test_other_scores_that_come_true_as_before_are_no_alarm(base: float) -> None:
    law = line(0.5, 0.6)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        said = normal(-1.0)(rng, 4000)
        reference = fit(label(rng, said, law), said, CONFIG)

        def rows(rng: np.random.Generator = rng) -> tuple[Floats, Floats]:
            moved = normal(base)(rng, 500)
            return label(rng, moved, law), moved

        assert follow(reference, rows, 90)[0] > 90


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("before", "after", "within"),
    [
        (line(), line(0.6), 14),
        (line(), line(-0.6), 14),
        (line(1.5), line(2.1), 14),
        (line(slope=0.5), line(0.6, 0.5), 14),
        (line(slope=0.7), line(slope=0.3), 14),
    ],
    ids=["up", "down", "beside an offset", "beside a slope", "more extreme"],
)
def test_a_change_is_found_beside_what_is_lived_with(before: Law, after: Law, within: int) -> None:
    delays = []
    for seed in range(7):
        rng = np.random.default_rng(seed)
        said = normal(-1.0)(rng, 20_000)
        reference = fit(label(rng, said, before), said, CONFIG)

        def rows(rng: np.random.Generator = rng) -> tuple[Floats, Floats]:
            given = normal(-1.0)(rng, 500)
            return label(rng, given, after), given

        delay, verdict = follow(reference, rows, 40)
        delays.append(delay)
        assert abs(verdict.score) > verdict.effect_threshold > 0.0
    assert np.median(delays) <= within


@pytest.mark.statistical
@pytest.mark.unwatched
@pytest.mark.parametrize("rows", [300, 10_000])
def test_the_truth_of_the_reference_is_within_its_bounds(rows: int) -> None:
    law, at = line(0.5, 0.6), np.array([0.03, 0.1, 0.3, 0.6, 0.9])
    truth = chances(law(np.log(at / (1.0 - at))))
    inside = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        said = normal(-1.0)(rng, rows)
        reference = fit(label(rng, said, law), said, CONFIG)
        # A row at a time: the error is then the one at its score.
        ends = [reference.bounds(at[[place]], 0.0) for place in range(at.size)]
        low, high = (np.concatenate(part) for part in zip(*ends, strict=True))
        inside.append((low <= truth) & (truth <= high))
    # 2.58 standard errors leave 1 % outside.
    assert np.mean(inside) > 0.97


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0.0, 1.0)), min_size=1, max_size=60),
    st.floats(0.0, 1.0),
)
@settings(max_examples=100, deadline=None)
def test_a_score_that_comes_true_is_always_fine(
    rows: list[tuple[bool, float]], score: float
) -> None:
    labels, scores = zip(*rows, strict=True)
    reference = fit(labels, scores, CONFIG)
    low, high = reference.bounds(np.array([score]), 0.2)
    assert 0.0 <= low[0] <= max(score, 1e-6)
    assert min(score, 1.0 - 1e-6) <= high[0] <= 1.0


def test_evidence_of_what_is_past_is_no_alarm() -> None:
    labels = np.append(np.ones(3000), np.arange(3000) % 2)
    state, verdict = evaluate(
        CONFIG, CalibrationReference(), CalibrationState(), "m", "1", day(0), labels,
        np.full(6000, 0.5),
    )  # fmt: skip
    assert verdict.evidence >= verdict.evidence_threshold
    assert 0.0 < verdict.score < verdict.effect_threshold
    assert (verdict.status, state.firing) == (Status.OK, None)


def test_a_big_change_fires_at_once_and_is_told_without_what_was_before() -> None:
    rng, state = np.random.default_rng(5), CalibrationState()
    reference = fit(*draw(rng, 20_000, -1.0), CONFIG)
    for index, rows in enumerate((4000, 60)):
        labels, scores = draw(rng, rows, -1.0, 4.0 * index)
        state, verdict = evaluate(CONFIG, reference, state, "m", "1", day(index), labels, scores)
    assert verdict.status is Status.DRIFT
    assert verdict.score > 0.4 > verdict.effect_threshold
    assert "proven" not in verdict.reason
    assert state.rows == 4060


def test_an_alarm_whose_end_is_not_proven_says_so() -> None:
    rng, said = np.random.default_rng(4), np.full(4000, 0.5)
    state, found = CalibrationState(), []
    for index, share in enumerate((0.8, 0.535)):
        state, verdict = evaluate(
            CONFIG, CalibrationReference(), state, "m", "1", day(index),
            (rng.random(said.size) < share).astype(float), said,
        )  # fmt: skip
        found.append(verdict)
    assert [verdict.status for verdict in found] == [Status.DRIFT, Status.DRIFT]
    assert "proven" not in found[0].reason
    assert found[1].score < found[1].effect_threshold
    assert found[1].reason.endswith("; that they are right again is not proven yet")


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
