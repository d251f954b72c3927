"""Several equal servers of one model: their breakers, and hedging between them."""

import itertools
from pathlib import Path

import pyarrow as pa

from homeostat.adapters.models import Loader, SpreadPredictor, save_remote
from homeostat.adapters.models.remote import RemotePredictor
from homeostat.serving.breaker import BreakerConfig, Event, Mode
from upstreams import ModelServer

ROWS = pa.table({"amount": [1.5, -2.0]})
BREAKER = BreakerConfig(faults=2, window=60.0, share=0.0, cooldown=600.0)


def remote(
    folder: Path,
    *servers: ModelServer,
    breaker: BreakerConfig = BREAKER,
    hedge: bool = False,
    retries: int = 0,
) -> RemotePredictor:
    urls = [server.url("/score") for server in servers]
    save_remote(folder, "json", urls, ["amount"], hedge=hedge, retries=retries, timeout=60)
    hosts = frozenset(server.host for server in servers)
    predictor = Loader(hosts=hosts, environ={}, breaker=breaker)(folder, "remote")
    assert isinstance(predictor, RemotePredictor)
    return predictor


def test_hedging_keeps_to_its_budget(
    tmp_path: Path, server: ModelServer, second: ModelServer
) -> None:
    predictor = remote(tmp_path, server, second, hedge=True)
    for _ in range(40):
        predictor.predict(ROWS)
    server.delay, before = 0.25, len(server.bodies) + len(second.bodies)
    for _ in range(40):
        predictor.predict(ROWS)
    hedges = len(server.bodies) + len(second.bodies) - before - 40
    assert 1 <= hedges <= 14, "ten at first, and one for ten requests"


def test_a_hedge_that_is_not_made_takes_no_probe(
    tmp_path: Path, server: ModelServer, second: ModelServer
) -> None:
    once = BreakerConfig(faults=1, cooldown=0.0, interval=3600.0, successes=1)
    predictor = remote(tmp_path, server, second, breaker=once, hedge=True)
    for _ in range(40):
        predictor.predict(ROWS)
    first, other = predictor.circuits.values()
    other.command(Event.TRIPPED, 0.0)
    predictor._turns = itertools.count()  # the first is asked first
    while predictor._budget.spend():
        pass
    server.delay = 0.1
    before = len(second.bodies)
    predictor.predict(ROWS)
    assert (len(second.bodies), other.mode) == (before, Mode.OPEN)
    first.command(Event.FORCE_OPEN, 0.0)
    predictor.predict(ROWS)
    assert (len(second.bodies), other.mode) == (before + 1, Mode.CLOSED)


def test_transitions_of_endpoints_are_heard_by_name(
    tmp_path: Path, server: ModelServer, second: ModelServer
) -> None:
    predictor, heard = remote(tmp_path, server, second, retries=1), []
    predictor.watch(lambda name, change: heard.append((name, change.after)))
    server.mood = "500"
    for _ in range(8):
        assert predictor.predict(ROWS).tolist() == [1.5, -2.0]
    assert heard == [(server.host, Mode.OPEN)]
    assert list(predictor.circuits) == [server.host, second.host]
    assert remote(tmp_path / "one", server).circuits == {}


def test_endpoints_of_one_host_are_told_apart(tmp_path: Path) -> None:
    urls = ["http://h:1/a", "http://h:1/b", "http://i:1/a"]
    save_remote(tmp_path, "json", urls, ["amount"])
    predictor = Loader(hosts=frozenset({"h", "i"}))(tmp_path, "remote")
    assert isinstance(predictor, SpreadPredictor)
    assert list(predictor.circuits) == ["http://h:1/a", "http://h:1/b", "i:1"]
