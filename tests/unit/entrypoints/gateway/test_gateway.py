"""The gateway in process."""

import asyncio
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from homeostat.domain.errors import NotFoundError
from homeostat.domain.model import Task
from homeostat.domain.route import Route
from homeostat.serving.plan import Answerer
from unit.entrypoints.gateway.gateway_world import World


def test_shadows_are_logged_and_never_seen_by_the_caller(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1", shadows=("v2", "v3", "v1")))
    got = gateway.predict("fraud", rows)
    assert set(got["version"].to_pylist()) == {"v1"}
    assert gateway.flush()
    logged = world.logged()
    pairs = list(zip(logged["version"].to_pylist(), logged["role"].to_pylist(), strict=True))
    assert sorted(set(pairs)) == [("v1", "champion"), ("v2", "shadow"), ("v3", "shadow")]
    assert len(pairs) == 12
    assert set(logged["prediction_id"].to_pylist()) == set(got["prediction_id"].to_pylist())


def test_shadow_trouble_is_counted_and_harmless(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1", shadows=("v2", "v3")))
    world.backend.errors["v2"] = RuntimeError("boom")
    world.backend.answers["v3"] = np.array([0.5, np.nan, 0.5, np.inf])
    got = gateway.predict("fraud", rows)
    assert set(got["tier"].to_pylist()) == {"model"}
    assert gateway.flush()
    assert gateway.metrics.shadows == {
        ("fraud", "v2", "failed"): 4,
        ("fraud", "v3", "failed"): 2,
        ("fraud", "v3", "scored"): 2,
    }
    assert world.logged().num_rows == 6


def test_shadow_rows_are_dropped_first_when_the_log_lags(world: World, rows: pa.Table) -> None:
    gateway = world.gateway(capacity=7)
    gateway.routes.publish(Route("fraud", "v1", shadows=("v2",)))
    gateway.predict("fraud", rows)
    assert gateway.drain()
    assert gateway.metrics.shadows["fraud", "v2", "dropped"] == 4
    assert gateway.flush()
    assert gateway.writer.counts.accepted == 4


def test_async_and_plain_calls_answer_alike(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1", "v2", 0.5))

    async def many() -> list[pa.Table]:
        return await asyncio.gather(*(gateway.predict_async("fraud", rows) for _ in range(5)))

    plain = gateway.predict("fraud", rows)
    for answer in asyncio.run(many()):
        assert answer["score"].equals(plain["score"])
        assert answer["version"].equals(plain["version"])


def test_same_requests_same_records(world: World, rows: pa.Table) -> None:
    def play() -> pa.Table:
        gateway = world.gateway(workers=0)
        gateway.routes.publish(Route("fraud", "v1", "v2", 0.5))
        return pa.concat_tables([gateway.predict("fraud", rows) for _ in range(3)])

    assert play().equals(play())


def test_regression_predicts_the_number_itself(world: World, rows: pa.Table) -> None:
    world.spec = replace(world.spec, task=Task.REGRESSION)
    got = world.gateway().predict("fraud", rows)
    assert got["prediction"].equals(got["score"])


def test_no_rows(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1"))
    assert gateway.predict("fraud", rows.slice(0, 0)).num_rows == 0


def test_unknown_model(world: World, rows: pa.Table) -> None:
    with pytest.raises(NotFoundError, match="'spam' is served here; there are fraud"):
        world.gateway().predict("spam", rows)


def test_close_writes_everything(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1", shadows=("v2",)))
    gateway.predict("fraud", rows)
    assert gateway.close()
    assert world.logged().num_rows == 8


def test_work_that_waits_is_not_begun_once_its_caller_has_left(world: World) -> None:
    made = world.gateway(workers=1)
    made.routes.publish(Route("fraud", "v1"))
    world.backend.hanging.add("v1")
    before = len(world.backend.calls)
    rows = [{"amount": 1.0, "age": 2.0}]

    async def run() -> None:
        asked = [asyncio.create_task(made.answer("fraud", rows)) for _ in range(3)]
        while len(world.backend.calls) == before:  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.005)
        for task in asked[1:]:
            task.cancel()
        await asyncio.wait(asked[1:])
        world.backend.released.set()
        assert (await asked[0]).tier == [Answerer.MODEL]
        world.backend.hanging.clear()
        assert (await made.answer("fraud", rows)).tier == [Answerer.MODEL]

    asyncio.run(run())
    assert len(world.backend.calls) == before + 2
    assert made.close()
