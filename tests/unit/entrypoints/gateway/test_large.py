"""Large requests: the same answers, and nobody else waits for them."""

import asyncio
import json
import threading
from collections.abc import Callable

import httpx
import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi import Caller
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway import Gateway, app
from homeostat.entrypoints.gateway.large import LARGE_BODY, MOST_WAITING, Aside, read_json
from unit.entrypoints.gateway.gateway_world import World

PREDICT = "/v1/models/fraud/predict"
SMALL = {"rows": [{"amount": 0}]}

TEXTS = st.one_of(st.sampled_from(['"},{"', "}, {", "]}", '\\"', ""]), st.text(max_size=4))
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(-1, 1), TEXTS)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(TEXTS, VALUES, max_size=3) | LEAVES, max_size=6)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n ", " :\t")])


def read(reader: Callable[[bytes], object], body: bytes) -> tuple[str, object]:
    try:
        return "", reader(body)
    except orjson.JSONDecodeError as error:
        return str(error), None


def agree(body: bytes, piece: int) -> bool:
    """The reader that we did not write is the judge."""
    return read(lambda body: read_json(body, piece), body) == read(orjson.loads, body)


@given(ROWS, SEPARATORS, st.integers(1, 40))
def test_rows_in_pieces_are_what_they_are_at_once(
    rows: list[object], separators: tuple[str, str], piece: int
) -> None:
    body = json.dumps({"rows": rows}, separators=separators).encode()
    assert agree(body, piece)
    assert agree(b" \n" + body + b"\t ", piece)


@given(ROWS, st.integers(0, 200), st.sampled_from([b"", b",", b"}", b"]", b"{", b'"', b"},{"]))
def test_a_body_that_is_spoilt_is_no_other_body(rows: list[object], at: int, put: bytes) -> None:
    body = json.dumps({"rows": rows}).encode()
    place = at % len(body)
    assert agree(body[:place] + put + body[place + 1 :], 4)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"{}", b'{"rows": 1}', b'{"rows": []}', b'{"rows": [ ]}', b'{"rows": [,]}'),
        *(b'{"rows": [{}],"more": [{}]}', b'{"more": 1, "rows": [{}]}', b'{"rows": [{},]}'),
        *(b'{"rows": [{}]} {"rows": [{}]}', b'{"rows": [{}], "rows": [1]}', b'{"rows": [NaN]}'),
    ],
)
def test_other_bodies_are_read_as_a_whole(body: bytes) -> None:
    assert agree(body, 1)


@pytest.fixture
def gateway(world: World) -> Gateway:
    made = world.gateway(waiting=64)
    made.routes.publish(Route("fraud", "v1"))
    return made


def rows(count: int) -> list[dict[str, object]]:
    return [
        {"amount": row % 10, "land": "x" * 100, "prediction_id": f"p{row}"} for row in range(count)
    ]


@pytest.mark.parametrize("count", [257, 5000])
def test_many_rows_are_answered_as_few_are(world: World, gateway: Gateway, count: int) -> None:
    call = Caller(app(gateway), "http://gateway")
    answers = call.post(PREDICT, json={"rows": rows(count)}).json()["predictions"]
    assert [answer["prediction_id"] for answer in answers] == [f"p{row}" for row in range(count)]
    expected = 1 / (1 + np.exp(-0.1 * (np.arange(count) % 10)))
    np.testing.assert_allclose([answer["score"] for answer in answers], expected)
    assert {(answer["version"], answer["tier"]) for answer in answers} == {("v1", "model")}
    assert gateway.flush()
    assert world.logged().num_rows == count
    split = {"dataframe_records": rows(count)}
    scores = call.post("/models/fraud/invocations", json=split).json()["predictions"]
    np.testing.assert_allclose(scores, expected)


@pytest.mark.parametrize(
    ("change", "message", "row", "column"),
    [
        ({"amount": "x"}, "'x' is not a number", 1999, "amount"),
        ({"shoe": 1}, "no such field", 1999, "shoe"),
        ({"timestamp": "2100-01-01T00:00:00Z"}, "in the future", 1999, "timestamp"),
    ],
    ids=["type", "name", "future"],
)
def test_what_is_wrong_with_one_of_many_is_named(
    gateway: Gateway, change: dict[str, object], message: str, row: int, column: str
) -> None:
    sent = rows(2000)
    sent[row] |= change
    response = Caller(app(gateway), "http://gateway").post(PREDICT, json={"rows": sent})
    error = response.json()["error"]
    assert (response.status_code, error["row"], error["column"]) == (400, row, column)
    assert message in error["message"]


def test_too_many_rows_are_refused(gateway: Gateway) -> None:
    call = Caller(app(gateway), "http://gateway")
    response = call.post(PREDICT, content=orjson.dumps({"rows": [{}] * 60_000}))
    assert (response.status_code, "not 60000" in response.text) == (400, True)


def test_small_requests_go_on_while_large_ones_wait_and_more_of_them_are_refused(
    gateway: Gateway,
) -> None:
    freed = threading.Event()
    body = orjson.dumps({"rows": rows(2000)})
    assert len(body) > LARGE_BODY

    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app(gateway))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            blocking = asyncio.create_task(gateway.aside.run(lambda: freed.wait(20)))
            large = [
                asyncio.create_task(client.post(PREDICT, content=body)) for _ in range(MOST_WAITING)
            ]
            while not gateway.aside.full:  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0)
            meanwhile = [await client.post(PREDICT, json=SMALL) for _ in range(3)]
            freed.set()
            await blocking
            return [*meanwhile, *await asyncio.gather(*large)]

    statuses = [response.status_code for response in asyncio.run(run())]
    assert statuses == [200] * (3 + MOST_WAITING - 1) + [503]
    assert 'homeostat_shed_requests_total{model="fraud"} 1\n' in gateway.metrics_text()


def test_a_caller_who_leaves_a_large_request_holds_nothing(world: World, gateway: Gateway) -> None:
    live = gateway.routes.live("fraud")
    assert live is not None
    breaker, lane = live.versions["v1"].breaker, live.versions["v1"].lane
    world.backend.hanging.add("v1")
    many = pa.table({"amount": [1.0] * 300})

    async def leave(when: Callable[[], bool]) -> None:
        asked = asyncio.create_task(gateway.answer("fraud", many))
        await asyncio.sleep(0)
        while not when():  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    async def run() -> None:
        await leave(lambda: lane.busy == 1)
        freed = threading.Event()
        blocking = asyncio.create_task(gateway.aside.run(lambda: freed.wait(20)))
        threading.Timer(0.05, freed.set).start()
        await leave(lambda: True)
        await blocking

    asyncio.run(run())
    world.backend.released.set()
    world.backend.hanging.clear()
    assert breaker.counts == {**breaker.counts, "neutral": 1, "fault": 0, "success": 0}
    assert gateway.metrics.in_flight["fraud"] == 0
    assert set(gateway.predict("fraud", many)["tier"].to_pylist()) == {"model"}


def test_what_is_raised_aside_is_raised_here() -> None:
    aside = Aside()

    def fail() -> None:
        raise KeyError("boom")

    async def run() -> None:
        with pytest.raises(KeyError, match="boom"):
            await aside.run(fail)
        assert await aside.run(lambda: 5) == 5
        assert not aside.full

    asyncio.run(run())
