"""Bodies that are odd or meant to harm: told what is wrong, never a failure or out of bounds."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pyarrow as pa
import pytest

from homeostat.domain.refusal import MOST_REFUSED
from homeostat.entrypoints.http.formats import ARROW
from homeostat.entrypoints.quarantine import replay_all
from ingesting import (
    ALL,
    JSON,
    LIMIT,
    LINES,
    SPEC,
    TIME,
    World,
    arrow,
    columns,
    opened,
    record,
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path) as made:
        yield made


@pytest.mark.parametrize("kind", [JSON, LINES], ids=["json", "lines"])
@pytest.mark.parametrize("before", ["", "\n ", " " * 2**20], ids=["first", "later", "large"])
def test_null_in_place_of_rows_is_refused(world: World, kind: str, before: str) -> None:
    after = b"" if kind == JSON else b"\n" + json.dumps(record("a")).encode()
    answer = world.send(before.encode() + b"null" + after, kind)
    if kind == JSON:
        assert (answer.status_code, answer.json()["error"]) == (
            422,
            "the body must be a JSON object",
        )
    else:
        assert answer.json()["accepted"] == 1
        assert answer.json()["rejected"][0]["reason"] == "must be a JSON object"


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 400, "9" * 5000, "NaN", "-Infinity"])
def test_a_number_that_is_none_costs_its_row_only(world: World, number: str) -> None:
    rows = [json.dumps(record("a")), json.dumps(record("b", amount="?")), json.dumps(record("c"))]
    body = f'{{"predictions": [{", ".join(rows)}]}}'.replace('"?"', number)
    answer = world.send(body.encode(), JSON).json()
    (refused,) = answer["rejected"]
    assert answer["accepted"] == 2
    assert (refused["row"], refused["column"]) == (1, "amount")
    (entry,) = world.log.quarantined("fraud")
    assert not math.isfinite(json.loads(entry.row)["amount"])
    assert replay_all(world.log, SPEC).accepted == 0


@pytest.mark.parametrize(
    "body",
    [
        b'{"predictions": [NaN',
        b'{"predictions": NaN}',
        b"[" * 10**5,
        b'{"predictions": ["\\ud800"]}',
    ],
    ids=["cut", "no list", "deep", "no text"],
)
def test_what_is_no_json_at_all_is_still_told(world: World, body: bytes) -> None:
    answer = world.send(body, JSON)
    assert answer.status_code in {400, 422}
    assert answer.json()["remedy"]


ODD = {
    "numbers": (b'{"predictions": [' + b"1," * MOST_REFUSED + b"1]}", JSON),
    "objects": (b'{"predictions": [' + b"{}," * MOST_REFUSED + b"{}]}", JSON),
    "lines": (b"x\n" * (MOST_REFUSED + 1), LINES),
    "unknown": (arrow(MOST_REFUSED + 1, odd=["?"] * (MOST_REFUSED + 1)), ARROW),
    "future": (
        arrow(MOST_REFUSED + 1, timestamp=pa.array([2**60] * (MOST_REFUSED + 1), TIME)),
        ARROW,
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_a_call_of_which_nearly_all_is_refused_keeps_nothing(world: World, name: str) -> None:
    content, kind = ODD[name]
    answer = world.send(content, kind)
    assert answer.status_code == 422
    assert "more than 10,000 rows are refused, and none is taken: row 0: " in answer.json()["error"]
    assert world.log.quarantined("fraud") == ()
    assert world.log.rows(SPEC, ALL).num_rows == 0


def test_a_call_with_too_many_bad_rows_leaves_those_beside_it_alone(world: World) -> None:
    many = MOST_REFUSED + 1
    future = pa.array([2**60] * many, TIME)
    calls = [pa.table(columns(many, timestamp=future)), pa.table(columns(2))]
    bad, good = world.log.append_each(SPEC, "predictions", calls)
    assert "none is taken" in str(bad)
    assert good == type(good)(2)
    assert world.log.append(SPEC, pa.table(columns(many))).accepted == MOST_REFUSED - 1
    other = pa.table(columns(many + 1, score=[0.1] * (many + 1)))
    (again,) = world.log.append_each(SPEC, "predictions", [other])
    assert world.log.rows(SPEC, ALL).num_rows == many + 1
    assert "the others are stored" in str(again)


@pytest.mark.parametrize("sign", [-5.0, 1.0000001, 1e308])
def test_a_binary_score_is_a_probability(world: World, sign: float) -> None:
    body = json.dumps({"predictions": [record("a", score=sign), record("b", score=1)]})
    answer = world.send(body.encode(), JSON).json()
    assert answer["accepted"] == 1
    assert answer["rejected"][0]["column"] == "score"


def test_requests_whose_bodies_do_not_come_hold_no_room(world: World) -> None:
    announced = {"Content-Type": JSON, "Content-Length": str(LIMIT)}
    path = "/api/v1/models/fraud/predictions"

    async def stalled() -> AsyncIterator[bytes]:
        yield b'{"predictions": ['
        await asyncio.sleep(60)

    async def run() -> tuple[httpx.Response, list[httpx.Response]]:
        transport = httpx.ASGITransport(world.app, client=("127.0.0.1", 5000))
        base = "http://127.0.0.1:8420"
        async with httpx.AsyncClient(transport=transport, base_url=base) as http:
            waiting = [
                asyncio.create_task(http.post(path, content=stalled(), headers=announced))
                for _ in range(8)
            ]
            await asyncio.sleep(0.05)
            body = json.dumps({"predictions": [record("a")]}).encode()
            served = await http.post(path, content=body, headers={"Content-Type": JSON})
            return served, [await task for task in waiting]

    served, waited = asyncio.run(run())
    assert served.json()["accepted"] == 1
    assert {answer.status_code for answer in waited} == {408}
    assert "0.2 seconds" in waited[0].json()["error"]
    with world.intake.holding(2 * LIMIT):
        pass
