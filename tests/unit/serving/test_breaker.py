"""The breaker against published traps and an independent reference model."""

import pytest

from homeostat.domain.errors import IllegalTransitionError
from homeostat.serving.breaker import (
    TRANSITIONS,
    BreakerConfig,
    BreakerState,
    Cause,
    Event,
    Mode,
    Outcome,
    Transition,
    move,
)
from homeostat.serving.circuit import Circuit

CONFIG = BreakerConfig(
    faults=3, window=60.0, share=0.5, cooldown=10.0, probes=1, successes=2, lease=5.0
)


def tripped(config: BreakerConfig = CONFIG, now: float = 0.0) -> Circuit:
    breaker = Circuit(config)
    for _ in range(config.faults):
        breaker.settle(breaker.acquire(now), Outcome.FAULT, now)
    assert breaker.mode is Mode.OPEN
    return breaker


def test_faults_within_the_window_open_it_and_later_ones_do_not() -> None:
    quick, slow = Circuit(CONFIG), Circuit(CONFIG)
    for now in (0.0, 20.0, 40.0):
        quick.settle(quick.acquire(now), Outcome.FAULT, now)
    for now in (0.0, 40.0, 80.0, 120.0):
        slow.settle(slow.acquire(now), Outcome.FAULT, now)
    assert (quick.mode, slow.mode) == (Mode.OPEN, Mode.CLOSED)


def test_rare_faults_in_heavy_traffic_do_not_open_it() -> None:
    breaker = Circuit(CONFIG)
    for call in range(200):
        outcome = Outcome.FAULT if call % 20 == 0 else Outcome.SUCCESS
        breaker.settle(breaker.acquire(call / 10), outcome, call / 10)
    assert breaker.mode is Mode.CLOSED


def test_share_zero_lets_the_count_alone_decide() -> None:
    breaker = Circuit(BreakerConfig(faults=3, share=0.0))
    for call in range(60):
        outcome = Outcome.FAULT if call % 20 == 0 else Outcome.SUCCESS
        breaker.settle(breaker.acquire(1.0), outcome, 1.0)
    assert breaker.mode is Mode.OPEN


def test_full_cycle_tells_the_listener_each_transition() -> None:
    seen: list[Transition] = []
    breaker = Circuit(CONFIG, seen.append)
    for _ in range(3):
        breaker.settle(breaker.acquire(1.0), Outcome.FAULT, 1.0)
    assert breaker.acquire(10.9) is None
    for now in (11.0, 12.0):
        breaker.settle(breaker.acquire(now), Outcome.SUCCESS, now)
    assert seen == [
        Transition(Mode.CLOSED, Mode.OPEN, 1.0, Cause.FAULTS),
        Transition(Mode.OPEN, Mode.HALF_OPEN, 11.0),
        Transition(Mode.HALF_OPEN, Mode.CLOSED, 12.0),
    ]
    assert breaker.state.tallies == ()


def test_failed_probe_opens_again_for_a_whole_cooldown() -> None:
    breaker = tripped()
    breaker.settle(breaker.acquire(10.0), Outcome.FAULT, 12.0)
    assert breaker.acquire(21.9) is None
    assert breaker.acquire(22.0) is not None


def ended(config: BreakerConfig, *calls: tuple[float, Outcome]) -> Circuit:
    circuit = Circuit(config)
    for now, outcome in calls:
        circuit.settle(circuit.acquire(now), outcome, now)
    return circuit


@pytest.mark.parametrize(("last_at", "mode"), [(59.9, Mode.OPEN), (60.0, Mode.CLOSED)])
def test_five_errors_in_a_minute(last_at: float, mode: Mode) -> None:
    config = BreakerConfig(faults=1000, run=5, window=60.0)
    times = (0.0, 10.0, 20.0, 30.0, last_at)
    assert ended(config, *((now, Outcome.FAULT) for now in times)).mode is mode


def test_a_success_ends_a_run_and_what_tells_nothing_does_not() -> None:
    config, fault = BreakerConfig(faults=1000, run=3), (1.0, Outcome.FAULT)
    success, neutral = (1.0, Outcome.SUCCESS), (1.0, Outcome.NEUTRAL)
    assert ended(config, fault, fault, success, fault, fault).mode is Mode.CLOSED
    opened = ended(config, fault, neutral, fault, (1.0, Outcome.CLIENT_ERROR), fault)
    assert (opened.mode, opened.state.cause) == (Mode.OPEN, Cause.RUN)


def test_of_the_last_calls_only_so_many_count_however_long_ago() -> None:
    config = BreakerConfig(faults=2, last=4, share=0.5, window=1.0)
    good, bad = Outcome.SUCCESS, Outcome.FAULT
    assert ended(config, (0.0, bad), (1e5, good), (2e5, bad)).mode is Mode.OPEN
    calls = ((0.0, bad), (1.0, good), (2.0, good), (3.0, good), (4.0, bad))
    assert ended(config, *calls).mode is Mode.CLOSED


def test_no_share_of_too_few_calls_opens_it() -> None:
    config = BreakerConfig(faults=2, minimum=5)
    faults = [(1.0, Outcome.FAULT)] * 5
    assert ended(config, *faults[:4]).mode is Mode.CLOSED
    assert ended(config, *faults).mode is Mode.OPEN


def test_slow_calls_open_it_though_they_succeed() -> None:
    circuit = Circuit(BreakerConfig(faults=2, slow=1.0))
    for began in (0.0, 5.0):
        circuit.settle(circuit.acquire(began), Outcome.SUCCESS, began + 1.1)
    assert (circuit.mode, circuit.state.cause) == (Mode.OPEN, Cause.SLOW)


def test_probes_keep_the_interval_whatever_comes_between() -> None:
    circuit = tripped(BreakerConfig(faults=1, cooldown=10.0, probes=9, successes=9, interval=60.0))
    first = circuit.acquire(10.0)
    assert [circuit.acquire(10.0 + later) for later in (0.0, 30.0)] == [None, None]
    circuit.settle(first, Outcome.FAULT, 11.0)
    assert circuit.acquire(69.9) is None
    assert circuit.mode is Mode.HALF_OPEN, "cooled down, but a minute has not passed"
    assert circuit.acquire(70.0) is not None


def test_counts_tell_calls_by_outcome() -> None:
    circuit = tripped(BreakerConfig(faults=1))
    assert circuit.acquire(1.0) is None
    for _ in range(3):
        circuit.settle(circuit.acquire(1e6), Outcome.NEUTRAL, 1e6)
    circuit.command(Event.RESET, 2e6)
    for _ in range(7):
        circuit.settle(circuit.acquire(2e6), Outcome.SUCCESS, 2e6)
    assert circuit.counts == {
        "success": 7, "fault": 1, "client_error": 0, "neutral": 3, "refused": 1,
    }  # fmt: skip


def test_time_from_threads_slightly_out_of_order_is_counted() -> None:
    breaker = Circuit(CONFIG)
    for now in (30.0, 26.0, 29.0):
        breaker.settle(breaker.acquire(now), Outcome.FAULT, now)
    assert breaker.mode is Mode.OPEN


def test_forced_open_passes_nothing_and_disabled_everything_until_reset() -> None:
    breaker = Circuit(CONFIG)
    breaker.command(Event.FORCE_OPEN, 0.0)
    assert breaker.acquire(1e9) is None
    assert not breaker.admits(1e9)
    breaker.command(Event.DISABLE, 0.0)
    for _ in range(10):
        breaker.settle(breaker.acquire(0.0), Outcome.FAULT, 0.0)
    assert breaker.mode is Mode.DISABLED
    breaker.command(Event.RESET, 0.0)
    assert breaker.admits(0.0)
    assert breaker.state.mode is Mode.CLOSED


def test_every_missing_pair_raises() -> None:
    for mode in Mode:
        for event in Event:
            if (mode, event) not in TRANSITIONS:
                with pytest.raises(IllegalTransitionError, match=f"{event} .* {mode}"):
                    move(BreakerState(mode), event, 0.0)
            else:
                assert move(BreakerState(mode), event, 0.0).generation == 1


def test_settling_without_a_permit_changes_nothing() -> None:
    breaker = Circuit(CONFIG)
    breaker.settle(None, Outcome.FAULT, 0.0)
    assert breaker.state == BreakerState()


@pytest.mark.parametrize(
    "wrong",
    [
        {"faults": 0},
        {"faults": 1.5},
        {"last": "5"},
        {"minimum": True},
        {"probes": 0},
        {"successes": 0},
        {"window": 0.0},
        {"lease": float("inf")},
        {"cooldown": -1.0},
        {"share": 1.5},
        {"cooldown": float("nan")},
        {"minimum": 0},
        {"last": -1},
        {"last": 4},
        {"run": -1},
        {"slow": 0.0},
        {"slow_share": -0.1},
        {"interval": float("inf")},
    ],
)
def test_impossible_configuration_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="breaker's"):
        BreakerConfig(**wrong)  # type: ignore[arg-type]
