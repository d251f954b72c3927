"""The pure functions and the fast holder of their state against an independent reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from homeostat.domain.errors import IllegalTransitionError
from homeostat.serving.breaker import (
    BreakerConfig,
    BreakerState,
    Event,
    Outcome,
    Permit,
    Transition,
    acquire,
    move,
    settle,
)
from homeostat.serving.circuit import Circuit
from unit.serving.reference_breaker import Reference, Ticket

CONFIGS = [
    BreakerConfig(faults=2, window=20.0, share=0.5, cooldown=8.0, probes=2, successes=3, lease=5.0),
    BreakerConfig(faults=2, last=4, share=0.5, cooldown=4.0, successes=1, run=3, window=10.0),
    BreakerConfig(faults=3, minimum=6, cooldown=4.0, successes=1, slow=3.0, slow_share=0.4),
    BreakerConfig(faults=2, last=5, cooldown=2.0, probes=3, slow=2.0, share=1.0, interval=6.0),
    BreakerConfig(faults=50, run=3, window=10.0, cooldown=3.0, lease=9.0, slow=6.0, interval=1.0),
]
WALKS, STEPS = 40, 240
PACE = (0.1, 0.3, 0.2, 0.2, 0.08, 0.08, 0.02, 0.02)
OPERATED = {"force_open": "forced_open", "disable": "disabled", "reset": "closed"}


WAITS = (0.0, 0.5, 1.0, 1.0, 2.0, 3.0, 7.0, 12.0)


class Trio:
    """Gives all three the same calls and compares what they say."""

    def __init__(self, config: BreakerConfig) -> None:
        self.config, self.now = config, 0.0
        self.state, self.told = BreakerState(), list[Transition]()
        self.circuit = Circuit(config, self.told.append)
        self.reference = Reference(config)
        self.permits: list[tuple[Permit, Ticket]] = []

    def call(self) -> None:
        admits = self.circuit.admits(self.now)
        self.state, permit = acquire(self.config, self.state, self.now)
        ticket = self.reference.ask(self.now)
        assert self.circuit.acquire(self.now) == permit
        assert (permit is None) == (ticket is None) == (not admits)
        if permit is not None and ticket is not None:
            self.permits.append((permit, ticket))

    def end(self, which: int, outcome: Outcome, *, again: bool = False) -> None:
        permit, ticket = self.permits[which]
        if not (again and permit.number > 0):
            del self.permits[which]
        self.state = settle(self.config, self.state, permit, outcome, self.now)
        self.circuit.settle(permit, outcome, self.now)
        self.reference.tell(ticket, outcome.value, self.now)

    def operate(self, event: Event) -> None:
        if OPERATED[event] == self.reference.mode:
            with pytest.raises(IllegalTransitionError):
                move(self.state, event, self.now)
            with pytest.raises(IllegalTransitionError):
                self.circuit.command(event, self.now)
        else:
            self.state = move(self.state, event, self.now)
            self.circuit.command(event, self.now)
            self.reference.turn(OPERATED[event], self.now)

    def agree(self) -> None:
        era = self.reference.era
        assert self.circuit.state == self.state
        assert (self.state.mode, self.state.cause) == (era.mode, era.why)
        assert math.isclose(self.state.since, era.since)
        assert all(tally.calls for tally in self.state.tallies)
        assert len(self.state.tallies) <= max(20, self.config.last)
        if self.config.tracks or era.mode == "half_open":
            numbers = {call.number for call in (*self.state.running, *self.state.hanging)}
            assert len(numbers) == len(era.under_way)
            assert len(self.state.hanging) == len(era.overdue)
        assert len(self.told) == self.state.generation == len(self.reference.eras) - 1
        if self.told:
            before, last = self.reference.eras[-2], self.told[-1]
            assert (last.before, last.after, last.cause) == (before.mode, era.mode, era.why)


class BreakerMachine(RuleBasedStateMachine):
    """Small cases, made smaller when they fail."""

    @initialize(config=st.sampled_from(CONFIGS))
    def begin(self, config: BreakerConfig) -> None:
        self.trio = Trio(config)

    @rule(seconds=st.sampled_from(WAITS))
    def wait(self, seconds: float) -> None:
        self.trio.now += seconds

    @rule(calls=st.integers(1, 4))
    def call(self, calls: int) -> None:
        for _ in range(calls):
            self.trio.call()

    @precondition(lambda self: self.trio.permits)
    @rule(which=st.integers(0, 1000), outcome=st.sampled_from(Outcome), again=st.booleans())
    def end(self, which: int, outcome: Outcome, again: bool) -> None:
        self.trio.end(which % len(self.trio.permits), outcome, again=again)

    @rule(event=st.sampled_from([Event.FORCE_OPEN, Event.DISABLE, Event.RESET]))
    def operate(self, event: Event) -> None:
        self.trio.operate(event)

    @invariant()
    def agree(self) -> None:
        if hasattr(self, "trio"):
            self.trio.agree()


BreakerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAgainstReference = BreakerMachine.TestCase


@pytest.mark.parametrize("number", range(len(CONFIGS)))
def test_long_walks_agree_with_the_reference(number: int) -> None:
    """Weather changes between good and bad, so that the breaker spends time in every mode."""
    rng = np.random.default_rng([20261128, number])
    seen = set[str]()
    for _ in range(WALKS):
        trio = Trio(CONFIGS[number])
        for step in range(STEPS):
            walk(trio, rng, faulty=(0.15, 0.5, 0.9)[step // 40 % 3])
            trio.agree()
        seen |= {era.mode for era in trio.reference.eras}
        seen |= {era.why for era in trio.reference.eras}
    assert {"closed", "open", "half_open", "forced_open", "disabled", "probe"} <= seen


def walk(trio: Trio, rng: np.random.Generator, faulty: float) -> None:
    dice = rng.random()
    if dice < 0.35:
        trio.now += float(rng.choice(WAITS, p=PACE))
    elif dice < 0.67:
        trio.call()
    elif dice < 0.995 and trio.permits:
        odds = [0.85 * (1 - faulty), 0.85 * faulty, 0.05, 0.1]
        outcome = list(Outcome)[rng.choice(4, p=odds)]
        newest = len(trio.permits) - 1
        which = newest if rng.random() < 0.5 else int(rng.integers(len(trio.permits)))
        trio.end(which, outcome, again=rng.random() < 0.1)
    elif dice >= 0.995:
        trio.operate((Event.FORCE_OPEN, Event.DISABLE, Event.RESET, Event.RESET)[rng.integers(4)])
