"""Availability and latency."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydantic import TypeAdapter

from homeostat.detectors.service.detector import ServiceConfig, ServiceState, evaluate
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window

Period = tuple[int, dict[str, int], list[float]]

START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CONFIG = ServiceConfig()


def play(
    periods: Sequence[Period], state: ServiceState | None = None, first: int = 0
) -> tuple[ServiceState, list[dict[str, Verdict]]]:
    """`periods` are (total, faults, latencies) of successive minutes."""
    state = state or ServiceState()
    found = []
    for index, (total, faults, latencies) in enumerate(periods, first):
        window = Window(START + index * MINUTE, START + (index + 1) * MINUTE)
        state, verdicts = evaluate(CONFIG, state, "m", window, total, faults, latencies)
        found.append({verdict.subject: verdict for verdict in verdicts})
    return state, found


QUIET = (60, {}, [20.0] * 60)
DOWN = (60, {"timeout": 40, "breaker_open": 20}, [900.0] * 60)


def test_quiet_service_is_ok_with_the_failures_it_may_have() -> None:
    _, found = play([(60, {"error": int(i % 2 == 0)}, [20.0] * 60) for i in range(500)])
    assert {v.status for minute in found for v in minute.values()} == {Status.OK}
    assert {v.monitor for v in found[0].values()} == {Monitor.SERVICE}


def test_an_outage_fires_in_its_first_minute_and_ends_with_it() -> None:
    state, _ = play([QUIET] * 30)
    state, (down,) = play([DOWN], state, first=30)
    assert down["availability"].status is Status.DRIFT
    assert down["availability"].reason == "60 of 60 rows fell back (20 breaker_open, 40 timeout)"
    assert down["availability"].detail("timeout") == 40
    assert down["latency_p99"].status is Status.DRIFT
    assert down["latency_p99"].score == 900.0
    state, longer = play([DOWN] * 60, state, first=31)
    _, (mended,) = play([QUIET], state, first=91)
    assert longer[-1]["availability"].status is Status.DRIFT
    assert mended["availability"].status is Status.OK
    assert mended["latency_p99"].status is Status.OK


def test_a_handful_of_good_rows_does_not_end_an_outage() -> None:
    state, _ = play([DOWN])
    _, (few,) = play([(3, {}, [20.0] * 3)], state, first=1)
    assert few["availability"].status is Status.DRIFT


def test_fallbacks_that_are_no_fault_of_the_model_do_not_count() -> None:
    _, found = play([(60, {"invalid_input": 30, "degraded": 30, "error": 0}, [20.0])] * 5)
    assert found[-1]["availability"].status is Status.OK
    assert found[-1]["availability"].score == 0.0


def test_silence_is_no_data_and_changes_nothing() -> None:
    state, _ = play([DOWN])
    after, (found,) = play([(0, {}, [])], state, first=1)
    assert after == state
    assert {v.status for v in found.values()} == {Status.NO_DATA}
    assert math.isnan(found["availability"].score)


def test_latencies_that_are_no_numbers_are_left_out() -> None:
    _, (found,) = play([(2, {}, [math.nan, 20.0])])
    assert found["latency_p99"].n_current == 1


@pytest.mark.parametrize(("total", "errors"), [(5, 6), (-1, 0)])
def test_impossible_counts_are_refused(total: int, errors: int) -> None:
    with pytest.raises(ValueError, match="failed rows of"):
        play([(total, {"error": errors}, [])])


def test_state_survives_storage() -> None:
    state, _ = play([DOWN])
    adapter = TypeAdapter(ServiceState)
    assert adapter.validate_json(adapter.dump_json(state)) == state


def test_a_few_good_minutes_do_not_end_what_goes_on() -> None:
    """One row in ten is slow, 35 rows a period: every fortieth period has none that is."""
    rng = np.random.default_rng(3)
    slow = [int(count) for count in rng.binomial(35, 0.1, 200)]
    periods: list[Period] = [(35, {}, [900.0] * n + [20.0] * (35 - n)) for n in slow]
    state, found = play(periods)
    told = [minute["latency_p99"].status for minute in found]
    first = told.index(Status.DRIFT)
    assert 0 in slow[first:]
    assert first < 10
    assert set(told[first:]) == {Status.DRIFT}
    _, found = play([QUIET] * 3, state, first=200)
    assert [minute["latency_p99"].status for minute in found][-1] is Status.OK
