"""Rows per window."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydantic import TypeAdapter

from homeostat.detectors.volume.detector import (
    VolumeConfig,
    VolumeReference,
    VolumeState,
    evaluate,
    fit,
)
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
CONFIG = VolumeConfig()


def hour(index: int) -> Window:
    return Window(START + index * HOUR, START + (index + 1) * HOUR)


def rows_of(rng: np.random.Generator, index: int) -> int:
    rate = 2.0 if index % 24 < 6 else 200.0
    return int(rng.poisson(rate * rng.gamma(50.0, 1 / 50.0)))


@pytest.fixture(scope="module")
def reference() -> VolumeReference:
    rng = np.random.default_rng(0)
    return fit([(hour(i), rows_of(rng, i)) for i in range(24 * 14)], CONFIG)


def play(
    reference: VolumeReference,
    counts: Sequence[int],
    first: int,
    state: VolumeState | None = None,
    config: VolumeConfig = CONFIG,
) -> tuple[VolumeState, list[Verdict]]:
    state = state or VolumeState()
    found = []
    for index, rows in enumerate(counts, first):
        state, verdict = evaluate(reference, state, "m", hour(index), rows, config)
        found.append(verdict)
    return state, found


def test_a_usual_rhythm_is_ok(reference: VolumeReference) -> None:
    rng = np.random.default_rng(1)
    first = 24 * 14
    _, found = play(reference, [rows_of(rng, i) for i in range(first, first + 240)], first)
    assert {v.status for v in found} == {Status.OK, Status.INCONCLUSIVE}
    assert {v.monitor for v in found} == {Monitor.VOLUME}


def test_silence_fires_at_once_and_ends_with_the_first_usual_hour(
    reference: VolumeReference,
) -> None:
    first = 24 * 14 + 12
    _, found = play(reference, [200, 0, 0, 0, 200], first)
    assert [v.status for v in found] == [Status.OK, *[Status.DRIFT] * 3, Status.OK]
    assert found[1].score == -1.0
    assert found[1].reason == "0 rows, 200 expected" or found[1].detail("expected") > 150


def test_silence_at_night_says_nothing_but_a_flood_does(reference: VolumeReference) -> None:
    quiet, flood = (
        evaluate(reference, VolumeState(), "m", hour(336), n, CONFIG)[1] for n in (0, 90)
    )
    assert quiet.status is Status.INCONCLUSIVE
    assert "expected in this window" in quiet.reason
    assert flood.status is Status.DRIFT


def test_a_proven_change_that_does_not_matter_is_ok() -> None:
    rng = np.random.default_rng(2)
    config = replace(CONFIG, match="none")
    fitted = fit([(hour(i), int(rng.poisson(1e6))) for i in range(200)], config)
    _, found = play(fitted, [900_000] * 5, 200, config=config)
    assert found[-1].evidence >= found[-1].evidence_threshold
    assert found[-1].status is Status.OK


def test_a_quiet_day_is_not_half_of_the_rows_by_the_chance_of_one_hour(
    reference: VolumeReference,
) -> None:
    """On a holiday a third of the rows is missing: proven, and less than matters."""
    rng, first = np.random.default_rng(5), 24 * 14 + 6
    days = [rng.poisson(0.62 * 200.0 * rng.gamma(50.0, 1 / 50.0, 18)).tolist() for _ in range(30)]
    assert sum(rows < 100 for day in days for rows in day) > 30
    found = [play(reference, day, first)[1] for day in days]
    assert all(max(v.evidence for v in day) > 4 * CONFIG.threshold / 5 for day in found)
    alarms = [any(v.status is Status.DRIFT for v in day) for day in found]
    assert sum(alarms) <= 1
    (lost,) = play(reference, [50], first)[1]
    assert lost.status is Status.DRIFT


def test_few_windows_of_a_kind_are_judged_against_all() -> None:
    fitted = fit([(hour(i), 100 + i) for i in range(30)], CONFIG)
    assert fitted.expected == ()
    assert fitted.rows(3) == pytest.approx(114.5)


def test_weekdays_and_hours_of_the_week_are_told_apart() -> None:
    weekly = replace(CONFIG, match="hour_of_week")
    counts = [(hour(i), 500 if i % 168 < 120 else 50) for i in range(168 * 3)]
    fitted = fit(counts, weekly)
    assert (fitted.rows(0), fitted.rows(167)) == (500.0, 50.0)
    assert fit(counts, replace(CONFIG, match="weekday")).rows(6) == 50.0


def test_one_window_makes_a_careful_reference() -> None:
    fitted = fit([(hour(0), 100)], CONFIG)
    assert evaluate(fitted, VolumeState(), "m", hour(1), 60, CONFIG)[1].status is Status.OK


def test_no_rows_before_and_none_now_is_inconclusive() -> None:
    fitted = fit([(hour(i), 0) for i in range(10)], replace(CONFIG, match="none"))
    nothing = evaluate(fitted, VolumeState(), "m", hour(10), 0, CONFIG)[1]
    some = evaluate(fitted, VolumeState(), "m", hour(10), 40, CONFIG)[1]
    assert (nothing.status, nothing.score) == (Status.INCONCLUSIVE, 0.0)
    assert some.score == float("inf")


def test_an_empty_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="no windows"):
        fit([], CONFIG)


def test_state_survives_storage(reference: VolumeReference) -> None:
    state, _ = play(reference, [0], 24 * 14 + 12)
    adapter = TypeAdapter(VolumeState)
    assert adapter.validate_json(adapter.dump_json(state)) == state
