"""The breaker around blocks and functions, plain and async."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.domain.errors import BreakerOpenError, UserError
from homeostat.serving import Breaker, BreakerConfig, Mode, Outcome, Transition

MONOTONIC = SystemClock().monotonic
ONE = BreakerConfig(faults=1, cooldown=10.0, successes=1)


def test_errors_name_the_breaker_and_when_to_come_back() -> None:
    now = [0.0]
    breaker = Breaker(lambda: now[0], ONE, name="fraud/v2")
    with pytest.raises(OSError, match="gone"), breaker.call():
        raise OSError("gone")
    now[0] = 4.0
    with pytest.raises(BreakerOpenError, match=r"fraud/v2: .* in 6\.0 s") as caught, breaker.call():
        pytest.fail("it must not be called")
    assert caught.value.retry_after == pytest.approx(6.0)
    breaker.reset()
    breaker.force_open()
    with pytest.raises(BreakerOpenError, match="later") as caught, breaker.call():
        pytest.fail("it must not be called")
    assert caught.value.retry_after is None


def test_operators_let_everything_or_nothing_through() -> None:
    breaker = Breaker(MONOTONIC, ONE)
    breaker.disable()
    for _ in range(3):
        with pytest.raises(ConnectionError), breaker.call():
            raise ConnectionError
    assert breaker.mode is Mode.DISABLED
    breaker.reset()
    breaker.reset()
    assert breaker.circuit.state.generation == 2, "the second reset had nothing to do"


def status(value: object) -> Outcome:
    return Outcome.FAULT if value == 503 else Outcome.SUCCESS


def test_results_are_classified_too() -> None:
    breaker = Breaker(MONOTONIC, ONE, of_result=status)
    answers = [200, 503]

    @breaker
    def ask() -> int:
        return answers.pop(0)

    assert ask() == 200
    assert breaker.mode is Mode.CLOSED
    assert ask() == 503
    assert breaker.mode.value == "open"


def test_results_of_coroutines_are_classified_too() -> None:
    breaker = Breaker(MONOTONIC, ONE, of_result=status)

    @breaker
    async def ask() -> int:
        return 503

    async def block() -> None:
        async with breaker.call() as call:
            call.result(503)

    assert asyncio.run(ask()) == 503
    assert breaker.mode is Mode.OPEN
    breaker.reset()
    asyncio.run(block())
    assert breaker.mode.value == "open"


def test_results_of_what_a_function_returns_to_be_awaited_are_classified_too() -> None:
    breaker = Breaker(MONOTONIC, ONE, of_result=status)

    async def ask() -> int:
        return 503

    async def both() -> list[int]:
        return [await breaker(lambda: ask())()]  # noqa: PLW0108 - a plain function

    assert asyncio.run(both()) == [503]
    assert breaker.mode is Mode.OPEN


def test_methods_are_guarded_like_functions() -> None:
    breaker = Breaker(MONOTONIC)

    class Model:
        factor = 2.0

        @breaker
        def score(self, amount: float) -> float:
            return self.factor * amount

        @breaker
        async def score_later(self, amount: float) -> float:
            return self.factor * amount

    assert (Model().score(3.0), asyncio.run(Model().score_later(4.0))) == (6.0, 8.0)
    assert breaker.circuit.counts["success"] == 2


def test_what_happens_after_the_result_is_not_the_callees() -> None:
    breaker = Breaker(MONOTONIC, ONE)
    with pytest.raises(KeyError), breaker.call() as call:
        call.result({"score": 0.5})["prediction"]
    assert (breaker.mode, breaker.circuit.counts["success"]) == (Mode.CLOSED, 1)


def test_a_classification_that_fails_leaves_no_permit_behind() -> None:
    def broken(_: object) -> Outcome:
        raise LookupError("of the classification")

    breaker = Breaker(MONOTONIC, BreakerConfig(faults=1, slow=60.0), of_result=broken)
    with pytest.raises(LookupError, match="classification"):
        breaker(int)()
    assert breaker.circuit.counts["neutral"] == 1
    assert breaker.circuit.state.running == ()


def test_a_test_of_exceptions_that_fails_is_raised_and_leaves_no_permit_behind() -> None:
    def broken(_: BaseException) -> bool:
        raise LookupError("of the test")

    breaker = Breaker(MONOTONIC, BreakerConfig(slow=60.0), exclude_if=broken)
    with pytest.raises(LookupError, match="of the test"), breaker.call():
        raise OSError
    assert breaker.circuit.state.running == ()


def test_exclude_if_and_errors_of_the_user_tell_nothing() -> None:
    def missing(error: BaseException) -> bool:
        return isinstance(error, FileNotFoundError)

    breaker = Breaker(MONOTONIC, ONE, exclude_if=missing)
    for error in (FileNotFoundError(), UserError()):
        with pytest.raises(type(error)), breaker.call():
            raise error
    assert breaker.circuit.counts["client_error"] == 2
    with pytest.raises(PermissionError), breaker.call():
        raise PermissionError
    assert breaker.mode is Mode.OPEN


def test_a_call_can_say_how_it_ended() -> None:
    breaker = Breaker(MONOTONIC, ONE)
    with breaker.call() as call:
        call.tell(Outcome.NEUTRAL)
    with breaker.call() as call:
        call.tell(Outcome.FAULT)
    assert (breaker.mode, breaker.circuit.counts["neutral"]) == (Mode.OPEN, 1)


def test_generators_are_refused_because_they_run_later() -> None:
    breaker = Breaker(MONOTONIC, name="rows")

    def rows() -> Iterator[int]:
        yield 1

    async def rows_later() -> AsyncIterator[int]:
        yield 1

    for function in (rows, rows_later):
        with pytest.raises(TypeError, match=r"rows: .* use call\(\)"):
            breaker(function)


def test_a_coroutine_that_nobody_awaits_is_no_success() -> None:
    async def later() -> int:
        return 1

    breaker = Breaker(MONOTONIC)
    waiting = breaker(lambda: later())()  # noqa: PLW0108 - a plain function
    with pytest.warns(RuntimeWarning, match="never awaited"):
        waiting.close()
    assert breaker.circuit.counts["success"] == 0


def test_a_coroutine_that_is_closed_before_it_began_is_no_call_that_hangs() -> None:
    now = [0.0]
    breaker = Breaker(lambda: now[0], BreakerConfig(faults=2, slow=1.0, slow_share=0.0))

    class Later:
        def __await__(self) -> Iterator[int]:
            yield from ()
            return 1

    async def ask() -> int:
        return await guarded()

    guarded = breaker(lambda: Later())  # noqa: PLW0108 - a plain function
    for _ in range(6):
        guarded().close()
    now[0] = 2.0
    assert asyncio.run(ask()) == 1
    assert breaker.mode is Mode.CLOSED
    assert breaker.circuit.state.running == ()
    counts = breaker.circuit.counts
    assert (counts[Outcome.NEUTRAL], counts[Outcome.SUCCESS]) == (6, 1)


def test_guarded_functions_keep_their_name_and_arguments() -> None:
    breaker = Breaker(MONOTONIC)

    @breaker
    def score(amount: float, *, factor: float = 2.0) -> float:
        """Score."""
        return amount * factor

    assert (score.__name__, score.__doc__, score(3.0, factor=3.0)) == ("score", "Score.", 9.0)


def test_listener_hears_through_the_front() -> None:
    heard: list[Transition] = []
    breaker = Breaker(lambda: 1.0, ONE, listener=heard.append)
    breaker.force_open()
    assert [(t.before.value, t.after.value) for t in heard] == [("closed", "forced_open")]
