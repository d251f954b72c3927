"""Breakers by model and endpoint."""

from __future__ import annotations

import threading

import pytest

from homeostat.domain.errors import OverloadError
from homeostat.serving import Breaker, BreakerConfig, Breakers, Mode
from homeostat.serving.breakers import Key


def test_trap_one_bad_node_does_not_poison_the_others() -> None:
    heard: list[tuple[Key, str]] = []
    breakers = Breakers(
        lambda: 1.0,
        BreakerConfig(faults=1),
        listener=lambda key, transition: heard.append((key, transition.after.value)),
    )
    with pytest.raises(ConnectionError), breakers["fraud", "a"].call():
        raise ConnectionError
    modes = {key: breakers[key].mode for key in (("fraud", "a"), ("fraud", "b"))}
    assert modes == {("fraud", "a"): Mode.OPEN, ("fraud", "b"): Mode.CLOSED}
    assert heard == [(("fraud", "a"), "open")]
    assert breakers["fraud", "a"].name == "fraud/a"


def test_the_longest_beginning_gives_the_configuration() -> None:
    configs = {("m",): BreakerConfig(faults=2), ("m", "a"): BreakerConfig(faults=3)}
    breakers = Breakers(lambda: 1.0, configs=configs)
    got = {key: breakers[key].config.faults for key in (("m", "a", "x"), ("m", "b"), ("n",))}
    assert got == {("m", "a", "x"): 3, ("m", "b"): 2, ("n",): 5}


def test_keys_out_of_requests_do_not_fill_the_memory() -> None:
    breakers = Breakers(lambda: 1.0, capacity=2)
    first, _ = breakers["a",], breakers["b",]
    with pytest.raises(OverloadError, match="2 breakers already"):
        breakers["c",]
    assert breakers["a",] is first
    breakers.remove(("a",))
    breakers.remove(("a",))
    assert breakers["c",].mode is Mode.CLOSED
    assert sorted(key for key, _ in breakers.items()) == [("b",), ("c",)]
    assert len(breakers) == 2


def test_all_threads_get_the_same_breaker() -> None:
    breakers, got = Breakers(lambda: 1.0), list[Breaker]()
    begin = threading.Barrier(20, timeout=60)

    def ask() -> None:
        begin.wait()
        got.append(breakers["fraud", "a"])

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == 20
    assert len(set(map(id, got))) == 1
