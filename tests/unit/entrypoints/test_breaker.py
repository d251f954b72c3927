"""The breaker as other programs import it."""

from __future__ import annotations

import time

import pytest

import homeostat as hs
from homeostat.domain.errors import BreakerOpenError
from homeostat.serving import Breaker, BreakerConfig


def test_trap_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is the system's monotonic one, wherever the wall clock jumps."""
    breaker = hs.Breaker(BreakerConfig(faults=1, cooldown=3600.0))
    before, now, after = time.monotonic(), breaker.monotonic(), time.monotonic()  # noqa: TID251
    assert before <= now <= after
    with pytest.raises(OSError, match="gone"), breaker.call():
        raise OSError("gone")
    for jump in (0.0, 4e9):
        monkeypatch.setattr(time, "time", lambda jump=jump: jump)
        with pytest.raises(BreakerOpenError) as caught, breaker.call():
            pytest.fail("it must not be called")
        assert caught.value.retry_after is not None
        assert 0 < caught.value.retry_after <= 3600


def test_it_is_the_breaker_of_the_core_with_a_clock() -> None:
    breaker = hs.Breaker(BreakerConfig(faults=1, cooldown=3600.0), name="scores", exclude=KeyError)
    assert isinstance(breaker, Breaker)
    for error in (KeyError, OSError):
        with pytest.raises(error), breaker.call():
            raise error
    with pytest.raises(BreakerOpenError, match="scores"), breaker.call():
        pytest.fail("it must not be called")
