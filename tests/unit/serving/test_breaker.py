"""The breaker against published traps and an independent reference model."""

import asyncio
import threading
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from homeostat.domain.errors import IllegalTransitionError
from homeostat.serving.breaker import (
    TRANSITIONS,
    Breaker,
    BreakerConfig,
    BreakerState,
    Event,
    Mode,
    Outcome,
    Permit,
    Transition,
    acquire,
    move,
    settle,
)

CONFIG = BreakerConfig(
    faults=3, window=60.0, share=0.5, cooldown=10.0, probes=1, successes=2, lease=5.0
)


def tripped(config: BreakerConfig = CONFIG, now: float = 0.0) -> Breaker:
    breaker = Breaker(config)
    for _ in range(config.faults):
        breaker.settle(breaker.acquire(now), Outcome.FAULT, now)
    assert breaker.mode is Mode.OPEN
    return breaker


def test_faults_within_the_window_open_it_and_later_ones_do_not() -> None:
    quick, slow = Breaker(CONFIG), Breaker(CONFIG)
    for now in (0.0, 20.0, 40.0):
        quick.settle(quick.acquire(now), Outcome.FAULT, now)
    for now in (0.0, 40.0, 80.0, 120.0):
        slow.settle(slow.acquire(now), Outcome.FAULT, now)
    assert (quick.mode, slow.mode) == (Mode.OPEN, Mode.CLOSED)


def test_rare_faults_in_heavy_traffic_do_not_open_it() -> None:
    breaker = Breaker(CONFIG)
    for call in range(200):
        outcome = Outcome.FAULT if call % 20 == 0 else Outcome.SUCCESS
        breaker.settle(breaker.acquire(call / 10), outcome, call / 10)
    assert breaker.mode is Mode.CLOSED


def test_share_zero_lets_the_count_alone_decide() -> None:
    breaker = Breaker(BreakerConfig(faults=3, share=0.0))
    for call in range(60):
        outcome = Outcome.FAULT if call % 20 == 0 else Outcome.SUCCESS
        breaker.settle(breaker.acquire(1.0), outcome, 1.0)
    assert breaker.mode is Mode.OPEN


def test_full_cycle_tells_the_listener_each_transition() -> None:
    seen: list[Transition] = []
    breaker = Breaker(CONFIG, seen.append)
    for _ in range(3):
        breaker.settle(breaker.acquire(1.0), Outcome.FAULT, 1.0)
    assert breaker.acquire(10.9) is None
    for now in (11.0, 12.0):
        breaker.settle(breaker.acquire(now), Outcome.SUCCESS, now)
    assert seen == [
        Transition(Mode.CLOSED, Mode.OPEN, 1.0),
        Transition(Mode.OPEN, Mode.HALF_OPEN, 11.0),
        Transition(Mode.HALF_OPEN, Mode.CLOSED, 12.0),
    ]
    assert breaker.state.tallies == ()


def test_failed_probe_opens_again_for_a_whole_cooldown() -> None:
    breaker = tripped()
    breaker.settle(breaker.acquire(10.0), Outcome.FAULT, 12.0)
    assert breaker.acquire(21.9) is None
    assert breaker.acquire(22.0) is not None


# Traps of other breakers, one test each.


def test_trap_half_open_herd() -> None:
    breaker = tripped(BreakerConfig(faults=3, cooldown=10.0, probes=3, successes=3))
    permits = [breaker.acquire(10.0) for _ in range(50)]
    assert sum(permit is not None for permit in permits) == 3


def test_trap_half_open_herd_asks_for_no_more_probes_than_are_still_needed() -> None:
    breaker = tripped(BreakerConfig(faults=3, cooldown=10.0, probes=5, successes=2))
    first, second, third = (breaker.acquire(10.0) for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is None
    breaker.settle(first, Outcome.SUCCESS, 10.1)
    assert breaker.acquire(10.2) is None


def test_trap_serialised_calls() -> None:
    breaker = Breaker(CONFIG)
    both_inside = threading.Barrier(2, timeout=60)

    def call() -> None:
        permit = breaker.acquire(0.0)
        both_inside.wait()
        breaker.settle(permit, Outcome.SUCCESS, 0.0)

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert breaker.state.tallies[0].successes == 2


def test_trap_async_def_under_sync_breaker() -> None:
    breaker = Breaker(CONFIG)

    async def fail() -> None:
        permit = breaker.acquire(0.0)
        await asyncio.sleep(0)
        breaker.settle(permit, Outcome.FAULT, 0.0)

    async def many() -> None:
        await asyncio.gather(*(fail() for _ in range(5)))

    asyncio.run(many())
    assert breaker.mode is Mode.OPEN


@pytest.mark.parametrize("outcome", [Outcome.NEUTRAL, Outcome.CLIENT_ERROR])
def test_trap_cancellation_and_client_errors_neither_open_nor_close(outcome: Outcome) -> None:
    breaker = Breaker(CONFIG)
    for _ in range(20):
        breaker.settle(breaker.acquire(0.0), outcome, 0.0)
    assert breaker.mode is Mode.CLOSED
    breaker = tripped()
    for _ in range(5):
        breaker.settle(breaker.acquire(10.0), outcome, 10.0)
    assert (breaker.mode, breaker.state.proven) == (Mode.HALF_OPEN, 0)
    assert breaker.acquire(10.0) is not None, "a probe without evidence must free its place"


def test_trap_ignored_exception_is_no_success() -> None:
    breaker = Breaker(CONFIG)
    for _ in range(3):
        breaker.settle(breaker.acquire(0.0), Outcome.CLIENT_ERROR, 0.0)
        breaker.settle(breaker.acquire(0.0), Outcome.CLIENT_ERROR, 0.0)
        breaker.settle(breaker.acquire(0.0), Outcome.FAULT, 0.0)
    assert breaker.mode is Mode.OPEN


@pytest.mark.parametrize("outcome", list(Outcome))
def test_trap_stale_result_settles_nothing(outcome: Outcome) -> None:
    breaker = Breaker(CONFIG)
    old = breaker.acquire(0.0)
    for _ in range(3):
        breaker.settle(breaker.acquire(0.0), Outcome.FAULT, 0.0)
    probe = breaker.acquire(10.0)
    before = breaker.state
    breaker.settle(old, outcome, 10.0)
    assert breaker.state == before
    breaker.settle(probe, Outcome.SUCCESS, 10.0)
    once = breaker.state
    breaker.settle(probe, outcome, 10.0)
    assert breaker.state == once, "a probe settles once"


def test_trap_hung_probe_does_not_wedge() -> None:
    breaker = tripped()
    hung = breaker.acquire(10.0)
    assert breaker.acquire(14.9) is None
    assert breaker.acquire(15.0) is None, "no answer within the lease is a fault: open again"
    assert breaker.mode is Mode.OPEN
    assert breaker.acquire(25.0) is not None
    breaker.settle(hung, Outcome.SUCCESS, 25.0)
    assert breaker.state.proven == 0


def test_trap_hung_probe_that_reports_after_its_lease_settles_nothing() -> None:
    breaker = tripped()
    hung = breaker.acquire(10.0)
    breaker.settle(hung, Outcome.SUCCESS, 15.0)
    assert (breaker.mode, breaker.state.since) == (Mode.OPEN, 15.0)


def test_trap_six_simultaneous_failures_still_half_open() -> None:
    breaker = Breaker(CONFIG)
    permits = [breaker.acquire(0.0) for _ in range(6)]
    for permit in permits:
        breaker.settle(permit, Outcome.FAULT, 1.0)
    assert breaker.acquire(11.0) is not None


def test_trap_many_threads_count_every_fault() -> None:
    breaker = Breaker(BreakerConfig(faults=400, share=0.0))

    def fail() -> None:
        for _ in range(50):
            breaker.settle(breaker.acquire(1.0), Outcome.FAULT, 1.0)

    threads = [threading.Thread(target=fail) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert breaker.mode is Mode.OPEN


def test_time_from_threads_slightly_out_of_order_is_counted() -> None:
    breaker = Breaker(CONFIG)
    for now in (30.0, 26.0, 29.0):
        breaker.settle(breaker.acquire(now), Outcome.FAULT, now)
    assert breaker.mode is Mode.OPEN


def test_forced_open_passes_nothing_and_disabled_everything_until_reset() -> None:
    breaker = Breaker(CONFIG)
    breaker.command(Event.FORCE_OPEN, 0.0)
    assert breaker.acquire(1e9) is None
    assert not breaker.admits(1e9)
    breaker.command(Event.DISABLE, 0.0)
    for _ in range(10):
        breaker.settle(breaker.acquire(0.0), Outcome.FAULT, 0.0)
    assert breaker.mode is Mode.DISABLED
    breaker.command(Event.RESET, 0.0)
    assert breaker.admits(0.0)
    assert breaker.mode is Mode.CLOSED


def test_every_missing_pair_raises() -> None:
    for mode in Mode:
        for event in Event:
            if (mode, event) not in TRANSITIONS:
                with pytest.raises(IllegalTransitionError, match=f"{event} .* {mode}"):
                    move(BreakerState(mode), event, 0.0)
            else:
                assert move(BreakerState(mode), event, 0.0).generation == 1


def test_settling_without_a_permit_changes_nothing() -> None:
    breaker = Breaker(CONFIG)
    breaker.settle(None, Outcome.FAULT, 0.0)
    assert breaker.state == BreakerState()


@pytest.mark.parametrize(
    "wrong",
    [
        {"faults": 0},
        {"probes": 0},
        {"successes": 0},
        {"window": 0.0},
        {"lease": float("inf")},
        {"cooldown": -1.0},
        {"share": 1.5},
        {"cooldown": float("nan")},
    ],
)
def test_impossible_configuration_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="breaker's"):
        BreakerConfig(**wrong)  # type: ignore[arg-type]


@dataclass
class Reference:
    """The same breaker told differently: lists of everything that happened, no generations."""

    config: BreakerConfig
    mode: str = "closed"
    changed: float = 0.0
    epoch: list[object] = field(default_factory=list)  # its identity is the period of one mode
    outcomes: list[tuple[float, bool]] = field(default_factory=list)
    out: dict[object, float] = field(default_factory=dict)
    good: int = 0

    def turn(self, mode: str, now: float) -> None:
        self.mode, self.changed = mode, now
        self.epoch, self.outcomes, self.out, self.good = [], [], {}, 0

    def look(self, now: float) -> None:
        late = sorted(lease for lease in self.out.values() if lease <= now)
        if self.mode == "half_open" and late:
            self.turn("open", late[0])

    def ask(self, now: float) -> tuple[list[object], object] | None:
        self.look(now)
        if self.mode == "open" and now >= self.changed + self.config.cooldown:
            self.turn("half_open", now)
        if self.mode in {"closed", "disabled"}:
            return self.epoch, None
        if self.mode != "half_open":
            return None
        if len(self.out) >= self.config.probes:
            return None
        if len(self.out) + self.good >= self.config.successes:
            return None
        ticket = object()
        self.out[ticket] = now + self.config.lease
        return self.epoch, ticket

    def tell(self, ticket: tuple[list[object], object], outcome: Outcome, now: float) -> None:
        self.look(now)
        epoch, name = ticket
        if epoch is not self.epoch:
            return
        if self.mode == "half_open" and name in self.out:
            del self.out[name]
            self.good += outcome is Outcome.SUCCESS
            if outcome is Outcome.FAULT:
                self.turn("open", now)
            elif self.good >= self.config.successes:
                self.turn("closed", now)
        elif self.mode == "closed" and outcome in {Outcome.SUCCESS, Outcome.FAULT}:
            self.outcomes.append((now, outcome is Outcome.FAULT))
            step = self.config.window / 20
            recent = [bad for at, bad in self.outcomes if now // step - at // step < 20]
            enough = sum(recent) >= self.config.faults
            if outcome is Outcome.FAULT and enough and 2 * sum(recent) >= len(recent):
                self.turn("open", now)


class BreakerMachine(RuleBasedStateMachine):
    """Drives the breaker and the reference with the same calls."""

    def __init__(self) -> None:
        super().__init__()
        self.config = BreakerConfig(
            faults=2, window=20.0, share=0.5, cooldown=8.0, probes=2, successes=3, lease=5.0
        )
        self.state = BreakerState()
        self.reference = Reference(self.config)
        self.permits: list[tuple[Permit, tuple[list[object], object]]] = []
        self.now = 0.0

    @rule(seconds=st.integers(0, 12))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def call(self) -> None:
        self.state, permit = acquire(self.config, self.state, self.now)
        ticket = self.reference.ask(self.now)
        assert (permit is None) == (ticket is None)
        if permit is not None and ticket is not None:
            self.permits.append((permit, ticket))

    @precondition(lambda self: self.permits)
    @rule(which=st.integers(0, 1000), outcome=st.sampled_from(Outcome), again=st.booleans())
    def end(self, which: int, outcome: Outcome, again: bool) -> None:
        permit, ticket = self.permits[which % len(self.permits)]
        probe = permit.number > 0
        if not (again and probe):
            self.permits.remove((permit, ticket))
        self.state = settle(self.config, self.state, permit, outcome, self.now)
        self.reference.tell(ticket, outcome, self.now)

    @rule(event=st.sampled_from([Event.FORCE_OPEN, Event.DISABLE, Event.RESET]))
    def operate(self, event: Event) -> None:
        wanted = {"force_open": "forced_open", "disable": "disabled", "reset": "closed"}[event]
        if wanted == self.reference.mode:
            with pytest.raises(IllegalTransitionError):
                move(self.state, event, self.now)
        else:
            self.state = move(self.state, event, self.now)
            self.reference.turn(wanted, self.now)

    @invariant()
    def agree(self) -> None:
        assert self.state.mode == self.reference.mode
        assert self.state.since == self.reference.changed
        assert len(self.state.probes) == len(self.reference.out) <= self.config.probes
        assert len(self.state.tallies) <= 20


BreakerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestAgainstReference = BreakerMachine.TestCase
