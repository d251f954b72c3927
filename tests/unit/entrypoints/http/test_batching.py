"""Requests that come together are stored together, and each is answered for itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette

from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.window import Window
from homeostat.entrypoints.bootstrap import application
from homeostat.entrypoints.http.api import api
from homeostat.entrypoints.http.auth import Tokens
from homeostat.entrypoints.http.batching import Batches
from homeostat.simulation.clock import SimulatedClock

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
SPEC = ModelSpec(
    "fraud",
    Task.BINARY,
    Schema((Column("amount", ColumnKind.NUMERIC),)),
    LabelSpec(timedelta(days=30)),
)
ALL = Window(NOW - timedelta(days=1), NOW + timedelta(days=1))


@dataclass
class Gated:
    """Doubles numbers; the first batch waits to be let go."""

    entered: threading.Event
    release: threading.Event
    batches: list[list[int]]

    def work(self, items: Sequence[int]) -> list[int | Exception]:
        self.batches.append(list(items))
        if len(self.batches) == 1:
            self.entered.set()
            self.release.wait(10)
        if 13 in items:
            raise RuntimeError("a fault")
        return [ValueError(f"{item} is odd") if item % 2 else 2 * item for item in items]


@pytest.fixture
def gated() -> Gated:
    return Gated(threading.Event(), threading.Event(), [])


async def ask(batches: Batches[int, int], gated: Gated, items: Sequence[int]) -> list[object]:
    """Ask for one, and while it is being worked at, for the others in their order."""
    tasks = [asyncio.create_task(batches.answer(items[0], 1))]
    await asyncio.to_thread(gated.entered.wait, 10)
    for item in items[1:]:
        tasks.append(asyncio.create_task(batches.answer(item, 1)))
        await asyncio.sleep(0)
    gated.release.set()
    return list(await asyncio.gather(*tasks, return_exceptions=True))


def test_what_waits_is_one_batch_and_each_gets_its_own_answer(gated: Gated) -> None:
    batches = Batches(gated.work, workers=1)
    found = asyncio.run(ask(batches, gated, [2, 4, 5, 6]))
    assert gated.batches == [[2], [4, 5, 6]]
    assert [found[0], found[1], found[3]] == [4, 8, 12]
    with pytest.raises(ValueError, match="5 is odd"):
        raise found[2]  # type: ignore[misc]


def test_a_batch_ends_where_its_bytes_do(gated: Gated) -> None:
    batches = Batches(gated.work, workers=1, batch_bytes=2)
    assert asyncio.run(ask(batches, gated, [2, 4, 6, 8])) == [4, 8, 12, 16]
    assert gated.batches == [[2], [4, 6], [8]]


def test_a_fault_reaches_who_waits_and_the_next_goes_on(gated: Gated) -> None:
    batches = Batches(gated.work, workers=1)
    found = asyncio.run(ask(batches, gated, [2, 13, 4]))
    assert found[0] == 4
    assert [type(each) for each in found[1:]] == [RuntimeError, RuntimeError]

    async def once() -> int:
        return await batches.answer(8, 1)

    assert asyncio.run(once()) == 16


def test_who_gives_up_costs_the_others_nothing(gated: Gated) -> None:
    batches = Batches(gated.work, workers=1)

    async def both() -> int:
        gone = asyncio.create_task(batches.answer(2, 1))
        await asyncio.to_thread(gated.entered.wait, 10)
        stays = asyncio.create_task(batches.answer(4, 1))
        await asyncio.sleep(0)
        gone.cancel()
        gated.release.set()
        return await stays

    assert asyncio.run(both()) == 8


@dataclass
class Site:
    log: FilePredictionLog
    app: Starlette

    def send(self, *requests: dict[str, Any]) -> list[httpx.Response]:
        """Send several requests at once."""

        async def all_() -> list[httpx.Response]:
            transport = httpx.ASGITransport(self.app, client=("127.0.0.1", 5000))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1:8420/api/v1/models/fraud/"
            ) as http:
                sent = (http.request("POST", **request) for request in requests)
                return list(await asyncio.gather(*sent))

        return asyncio.run(all_())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    clock = SimulatedClock(NOW)
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", clock)
    log = FilePredictionLog(tmp_path / "log", records, fsync=False)
    yield Site(log, application(api(records, log, [SPEC], clock, Tokens(records, clock))))
    log.close()
    records.close()


def rows(*keys: str, **more: object) -> dict[str, Any]:
    made = {"timestamp": NOW.isoformat(), "version": "1", "score": 0.5} | more
    return {
        "url": "predictions",
        "json": {"predictions": [{"prediction_id": key} | made for key in keys]},
    }


def test_neighbours_of_bad_requests_are_stored(site: Site) -> None:
    requests = [
        rows("a", "b"),
        rows("b", "c"),
        {"url": "predictions", "content": b"{", "headers": {"Content-Type": "application/json"}},
        rows("d", height=3),
        rows("e", timestamp=(NOW + timedelta(days=2)).isoformat()),
        {"url": "labels", "json": {"labels": [{"prediction_id": "a", "label": 1}]}},
        {"url": "predictions", "json": {"predictions": []}},
    ]
    first, second, torn, odd, late, label, none = site.send(*requests)
    assert [r.status_code for r in (first, second, torn, odd, late, label, none)] == [
        200, 200, 400, 422, 422, 200, 200,
    ]  # fmt: skip
    assert first.json()["accepted"] + second.json()["accepted"] == 3
    assert first.json()["duplicates"] + second.json()["duplicates"] == 1
    assert late.json()["rejected"][0]["column"] == "timestamp"
    assert none.json() == {"accepted": 0, "duplicates": 0, "rejected": []}
    assert site.log.rows(SPEC, ALL).column("prediction_id").to_pylist() == ["a", "b", "c"]
    assert len(site.log.quarantined("fraud")) == 2


def test_many_at_once_lose_and_double_nothing(site: Site) -> None:
    requests = [rows(f"{number}-x", f"{number}-y") for number in range(40)] * 2
    answers = [response.json() for response in site.send(*requests)]
    assert sum(answer["accepted"] for answer in answers) == 80
    assert sum(answer["duplicates"] for answer in answers) == 80
    assert len(site.log.rows(SPEC, ALL)) == 80


def test_a_full_log_refuses_each(tmp_path: Path) -> None:
    clock = SimulatedClock(NOW)
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", clock)
    log = FilePredictionLog(tmp_path / "log", records, fsync=False, most_landed=0)
    site = Site(log, application(api(records, log, [SPEC], clock, Tokens(records, clock))))
    assert site.send(rows("a"))[0].status_code == 200
    assert [answer.status_code for answer in site.send(rows("b"), rows("c"))] == [429, 429]
    log.close()
    records.close()


def test_long_lists_are_compressed_and_receipts_are_not(site: Site) -> None:
    bad = rows(*(f"{number}" for number in range(100)), score="none")
    (receipt,) = site.send(bad)
    assert len(receipt.content) > 1024
    assert "content-encoding" not in receipt.headers

    async def listed() -> httpx.Response:
        transport = httpx.ASGITransport(site.app, client=("127.0.0.1", 5000))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
            return await http.get("/api/v1/models/fraud/quarantine")

    answer = asyncio.run(listed())
    assert answer.headers["content-encoding"] == "gzip"
    assert len(orjson.loads(answer.content)["quarantine"]) == 100
