"""The event loop for calls to other machines."""

import asyncio
import threading
from concurrent.futures import CancelledError

import pytest

from homeostat.adapters.models.caller import Caller, shared_caller


def test_it_runs_calls_and_closes_what_it_opened() -> None:
    caller, ended = Caller(), []

    async def work() -> bool:
        return caller.session().closed

    assert caller.begin(work, ended.append).result(60) is False
    session = caller.session()
    caller.close()
    assert session.closed
    assert ended == [None]


def test_it_can_be_closed_without_a_call() -> None:
    caller = Caller()
    caller.close()
    assert not caller._thread.is_alive()


def test_a_process_has_one() -> None:
    assert shared_caller() is shared_caller()


def test_what_a_call_raises_or_cancels_itself_is_told_once() -> None:
    caller, ended = Caller(), []

    async def fail() -> None:
        raise ValueError("boom")

    async def stop() -> None:
        raise asyncio.CancelledError

    with pytest.raises(ValueError, match="boom"):
        caller.begin(fail, ended.append).result(60)
    with pytest.raises(CancelledError):
        caller.begin(stop, ended.append).result(60)
    caller.close()
    assert [type(error) for error in ended] == [ValueError, asyncio.CancelledError]


def test_cancelled_before_it_began_it_ends_all_the_same() -> None:
    caller, over, gate = Caller(), threading.Event(), threading.Event()

    async def hold() -> bool:
        return gate.wait(60)  # the loop can do nothing else meanwhile

    async def work() -> bool:
        await asyncio.sleep(60)
        return True

    held = caller.begin(hold, lambda _: None)
    future = caller.begin(work, lambda _: over.set())
    assert future.cancel()
    gate.set()
    assert over.wait(60)
    assert held.result(60)
    caller.close()
