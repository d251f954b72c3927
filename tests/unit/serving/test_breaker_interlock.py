"""The same calls into `interlock`, a breaker that we did not write, where the two mean the same.

They differ on purpose. Ours opens on bad news only; interlock also when a success is the call that
fills its minimum. Ours opens again at the first failed probe and closes at the last good one;
interlock judges a whole round. So: a minimum of one, or calls that end badly; one probe a round;
windows of calls, because windows of time end at other moments.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

import interlock
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.serving.breaker import BreakerConfig, Event, Outcome
from homeostat.serving.circuit import Circuit

CALLS = st.lists(
    st.tuples(
        st.sampled_from(["success", "fault", "cancelled", "success"]),
        st.sampled_from([0.0, 1.0, 4.0]),  # how long it takes
        st.sampled_from([0.0, 1.0, 30.0]),  # the pause after it
    ),
    max_size=60,
)


class Twins:
    """Both breakers and a clock that they share."""

    OUTCOMES: ClassVar = {
        "success": Outcome.SUCCESS, "fault": Outcome.FAULT, "cancelled": Outcome.NEUTRAL,
    }  # fmt: skip
    ERRORS: ClassVar = {"fault": ConnectionError, "cancelled": KeyboardInterrupt}

    def __init__(self, last: int, share: float, slow: float, slow_share: float) -> None:
        self.now = 100.0
        self.ours = Circuit(
            BreakerConfig(
                faults=1, last=last, share=share, cooldown=20.0, successes=1, lease=1e6,
                slow=slow, slow_share=slow_share,
            )
        )  # fmt: skip
        self.theirs = interlock.CircuitBreaker(
            name="twin",
            clock=SimpleNamespace(monotonic=lambda: self.now),
            config=interlock.Config(
                failure_rate_threshold=share,
                slow_call_rate_threshold=slow_share,
                slow_call_duration_threshold=slow,
                minimum_number_of_calls=1,
                permitted_calls_in_half_open=1,
                wait_duration_in_open=20.0,
                window_size=last,
            ),
        )

    def call(self, end: str, seconds: float) -> None:
        permit = self.ours.acquire(self.now)
        refused = False

        def work() -> None:
            self.now += seconds
            if end != "success":
                raise self.ERRORS[end]

        try:
            self.theirs.call_sync(work)
        except (ConnectionError, KeyboardInterrupt):
            pass
        except interlock.CircuitOpenError:
            refused = True
        assert refused == (permit is None)
        self.ours.settle(permit, self.OUTCOMES[end], self.now)

    def check_agreement(self) -> None:
        assert self.ours.mode.value == self.theirs.state.value


@settings(max_examples=80, deadline=None)
@given(CALLS, st.integers(1, 8), st.sampled_from([0.25, 0.5, 1.0]))
def test_failure_rate_of_the_last_calls(
    calls: list[tuple[str, float, float]], last: int, share: float
) -> None:
    twins = Twins(last, share, slow=1e9, slow_share=1.0)
    for end, seconds, pause in calls:
        twins.call(end, seconds)
        twins.check_agreement()
        twins.now += pause


@settings(max_examples=80, deadline=None)
@given(CALLS, st.integers(1, 8), st.sampled_from([0.25, 0.5, 1.0]))
def test_slow_call_rate_of_the_last_calls(
    calls: list[tuple[str, float, float]], last: int, share: float
) -> None:
    """Calls are slow well beyond the limit or not at all, and none is cancelled when slow."""
    twins = Twins(last, 1.0, slow=2.0, slow_share=share)
    for end, seconds, pause in calls:
        twins.call(end, 0.0 if end == "cancelled" else seconds)
        twins.check_agreement()
        twins.now += pause


@pytest.mark.parametrize("operate", ["force_open", "disable"])
def test_operators(operate: str) -> None:
    twins = Twins(4, 0.5, slow=1e9, slow_share=1.0)
    getattr(twins.theirs, operate)()
    twins.ours.command(Event(operate), twins.now)
    for end in ("fault", "success", "fault"):
        twins.call(end, 1.0)
        twins.check_agreement()
    twins.theirs.reset()
    twins.ours.command(Event.RESET, twins.now)
    twins.call("success", 1.0)
    twins.check_agreement()
