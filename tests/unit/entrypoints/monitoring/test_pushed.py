"""Figures that are sent instead of scraped."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.notifiers.http import Poster
from homeostat.adapters.remote_write import AGAIN, RemoteWrite
from homeostat.domain.clock import Clock
from homeostat.domain.errors import StorageError
from homeostat.entrypoints.exposition import Definition, Family, Kind, Sheet
from homeostat.entrypoints.monitoring.pushed import Pusher, series
from homeostat.simulation.clock import SimulatedClock
from remote_writes import WriteServer
from scrapers import until
from unit.entrypoints.monitoring.standing import NOW, busy
from unit.entrypoints.monitoring.test_control import told

PLACE = {"job": "homeostat", "instance": "here:8420"}
UP = (("__name__", "up"), ("instance", "here:8420"), ("job", "homeostat"))


@dataclass
class Slow:
    """Figures that take time to read, or cannot be read."""

    clock: SimulatedClock
    seconds: float = 0.0
    broken: bool = False

    def families(self) -> Sequence[Family]:
        self.clock.advance(timedelta(seconds=self.seconds))
        if self.broken:
            raise StorageError("the records are away")
        sheet = Sheet({"asked": Definition(Kind.GAUGE, ("model",), "Requests.")})
        sheet.put("asked", "fraud", number=3)
        return sheet.families()


@pytest.fixture
def server() -> Iterator[WriteServer]:
    made = WriteServer()
    yield made
    made.close()


def writing(server: WriteServer, clock: Clock) -> RemoteWrite:
    return RemoteWrite(Poster("remote write", server.url, clock, again=AGAIN), clock)


def test_all_figures_are_sent_with_the_names_that_a_scrape_gives_them() -> None:
    found = series(busy().figures.families(), PLACE)
    assert all(dict(labels)["job"] == "homeostat" for labels in found)
    scraped = {name.partition("{")[0] for name in told(busy().figures)}
    assert {dict(labels)["__name__"] for labels in found} == scraped


def test_samples_are_taken_on_schedule_and_end_with_the_process(server: WriteServer) -> None:
    clock = SimulatedClock(NOW)
    pusher = Pusher(Slow(clock), writing(server, clock), clock, 30.0, PLACE)
    assert pusher.turn() == 30.0
    clock.advance(timedelta(seconds=10))
    assert pusher.turn() == 20.0
    clock.advance(timedelta(seconds=20))
    assert pusher.turn() == 30.0
    clock.advance(timedelta(seconds=1))
    pusher.end()
    assert [value for _, value in server.took[UP]] == [1.0, 1.0, None]
    asked = (("__name__", "asked"), *UP[1:], ("model", "fraud"))
    assert [value for _, value in server.took[asked]] == [3.0, 3.0, None]
    assert server.faults == []


def test_figures_that_take_long_are_read_more_seldom(server: WriteServer) -> None:
    clock = SimulatedClock(NOW)
    pusher = Pusher(Slow(clock, seconds=9.0), writing(server, clock), clock, 30.0, PLACE)
    assert pusher.turn() == 81.0


def test_while_the_records_are_away_nothing_old_is_sent(
    server: WriteServer, caplog: pytest.LogCaptureFixture
) -> None:
    clock = SimulatedClock(NOW)
    figures = Slow(clock, broken=True)
    pusher = Pusher(figures, writing(server, clock), clock, 30.0, PLACE)
    assert pusher.turn() == 30.0
    assert server.took == {}
    assert "the records are away" in caplog.text
    figures.broken = False
    clock.advance(timedelta(seconds=30))
    pusher.turn()
    assert UP in server.took


def test_a_server_that_is_away_is_told_of_once_and_gets_what_waited(
    server: WriteServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = SimulatedClock(NOW)
    pusher = Pusher(Slow(clock), writing(server, clock), clock, 30.0, PLACE)
    server.moods = [503, 503]
    assert pusher.turn() == 1.0
    clock.advance(timedelta(seconds=1))
    assert pusher.turn() == 2.0
    clock.advance(timedelta(seconds=2))
    assert pusher.turn() == 27.0
    assert len(server.took[UP]) == 1
    assert [record.message for record in caplog.records] == [
        "remote write: remote write 127.0.0.1 answered 503",
        "remote write: samples are taken again",
    ]


def test_a_thread_of_its_own_sends_and_takes_its_leave(server: WriteServer) -> None:
    clock = SystemClock()
    pusher = Pusher(Slow(SimulatedClock(NOW)), writing(server, clock), clock, 0.05, PLACE)
    pusher.start()
    until(lambda: len(server.took.get(UP, ())) > 1, lambda: server.faults)
    pusher.stop()
    assert server.took[UP][-1][1] is None
    Pusher(Slow(SimulatedClock(NOW)), writing(server, clock), clock, 1.0, PLACE).stop()
