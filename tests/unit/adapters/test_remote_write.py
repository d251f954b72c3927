"""Remote write, to a server that refuses what the protocol forbids."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.adapters.notifiers.http import Poster
from homeostat.adapters.remote_write import (
    AGAIN,
    LONGEST_PAUSE,
    MOST_BYTES,
    MOST_PATIENCE,
    TOGETHER,
    Labels,
    RemoteWrite,
    write_request,
)
from homeostat.simulation.clock import SimulatedClock
from remote_writes import MESSAGE, WriteServer
from unit.entrypoints.monitoring.standing import NOW

SECOND = timedelta(seconds=1)
TOKEN = "held in the hand"
MILLISECONDS = round(NOW.timestamp() * 1000)


def named(name: str, **labels: str) -> Labels:
    return tuple(sorted({"__name__": name, **labels}.items()))


A, B = named("a", model="fraud"), named("b")


@pytest.fixture
def server() -> Iterator[WriteServer]:
    made = WriteServer()
    yield made
    made.close()


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(NOW)


def writing(
    server: WriteServer, clock: SimulatedClock, token: str = "", most: int = MOST_BYTES
) -> RemoteWrite:
    poster = Poster("remote write", server.url, clock, secrets=(TOKEN,), again=AGAIN)
    return RemoteWrite(poster, clock, token, most)


def test_samples_arrive_and_what_is_gone_ends(server: WriteServer, clock: SimulatedClock) -> None:
    writer = writing(server, clock, TOKEN)
    writer.offer({A: 1.5, B: float("inf")}, clock.now())
    assert (writer.waiting, writer.send(), writer.waiting) == (2, (None, ""), 0)
    clock.advance(SECOND)
    writer.offer({A: 2.0}, clock.now())
    clock.advance(SECOND)
    writer.offer({A: 2.0}, clock.now())
    assert writer.send() == (None, "")
    first, second, third = (MILLISECONDS + 1000 * number for number in range(3))
    assert server.took == {
        A: [(first, 1.5), (second, 2.0), (third, 2.0)],
        B: [(first, float("inf")), (second, None)],
    }
    assert set(server.tokens) == {f"Bearer {TOKEN}"}
    assert writer.counts == {"sent": 5, "refused": 0, "dropped": 0, "retries": 0}


@pytest.mark.parametrize("mood", [500, 503, 429, "drop"])
def test_what_fails_is_sent_again_in_its_order(
    server: WriteServer, clock: SimulatedClock, mood: int | str
) -> None:
    writer = writing(server, clock)
    server.moods = [mood, mood]
    writer.offer({A: 1.0}, clock.now())
    seconds, problem = writer.send()
    assert seconds == 1.0
    assert str(mood) in problem or mood == "drop"
    assert writer.send() == (1.0, "")
    clock.advance(SECOND)
    writer.offer({A: 2.0}, clock.now())
    assert writer.send()[0] == 2.0
    clock.advance(2 * SECOND)
    assert writer.send() == (None, "")
    assert [value for _, value in server.took[A]] == [1.0, 2.0]
    assert writer.counts == {"sent": 2, "refused": 0, "dropped": 0, "retries": 2}


def test_a_server_is_left_alone_as_long_as_it_asks(
    server: WriteServer, clock: SimulatedClock
) -> None:
    writer = writing(server, clock)
    server.moods = ["later", *([500] * 9)]
    writer.offer({A: 1.0}, clock.now())
    assert writer.send()[0] == 7.0
    pauses = []
    for _ in range(9):
        clock.advance(timedelta(seconds=MOST_PATIENCE))
        pauses.append(writer.send()[0])
    assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, *([LONGEST_PAUSE] * 4)]


@pytest.mark.parametrize("mood", [400, 401, 404, 408, 413, 301])
def test_what_is_refused_is_dropped_and_the_rest_goes_on(
    server: WriteServer, clock: SimulatedClock, mood: int
) -> None:
    writer = writing(server, clock)
    server.moods = [mood]
    for number in range(2):
        writer.offer({A: float(number)}, clock.now())
        clock.advance(SECOND)
    seconds, problem = writer.send()
    assert seconds is None
    assert str(mood) in problem
    assert [value for _, value in server.took[A]] == [1.0]
    assert writer.counts == {"sent": 1, "refused": 1, "dropped": 0, "retries": 0}


def test_what_waits_is_bounded_and_the_oldest_goes(
    server: WriteServer, clock: SimulatedClock
) -> None:
    writer = writing(server, clock, most=200)
    server.moods = [503]
    for number in range(20):
        writer.offer({A: float(number)}, clock.now())
        clock.advance(SECOND)
    assert writer.counts["dropped"] + writer.waiting == 20
    assert 0 < writer.waiting < 10
    kept = writer.waiting
    assert writer.send()[0] == 1.0
    clock.advance(SECOND)
    assert writer.send() == (None, "")
    assert [value for _, value in server.took[A]] == list(map(float, range(20 - kept, 20)))


def test_many_series_go_in_pieces(server: WriteServer, clock: SimulatedClock) -> None:
    writer = writing(server, clock)
    figures = {named("a", model=f"m{number:05}"): 1.0 for number in range(2 * TOGETHER + 1)}
    writer.offer(figures, clock.now())
    assert writer.send() == (None, "")
    assert server.sizes == [TOGETHER, TOGETHER, 1]
    assert server.took.keys() == figures.keys()


texts = st.text(min_size=1)


@given(
    st.lists(st.tuples(st.dictionaries(texts, texts, min_size=1), st.none() | st.floats())),
    st.integers(0, 2**62),
)
def test_the_message_is_what_protobuf_reads(
    drawn: list[tuple[dict[str, str], float | None]], milliseconds: int
) -> None:
    every = [(tuple(sorted(labels.items())), number) for labels, number in drawn]
    told = MESSAGE.FromString(write_request(every, milliseconds))
    shown = [
        (
            [(label.name, label.value) for label in series.labels],
            [(struct.pack("<d", sample.value), sample.timestamp) for sample in series.samples],
        )
        for series in told.timeseries
    ]
    stale = (0x7FF0000000000002).to_bytes(8, "little")
    assert shown == [
        (
            list(labels),
            [(stale if number is None else struct.pack("<d", number), milliseconds)],
        )
        for labels, number in every
    ]
