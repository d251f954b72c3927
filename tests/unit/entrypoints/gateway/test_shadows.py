"""Shadows never cost a caller anything, and stop costing at all while they fail."""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from homeostat.domain.answers import Answers
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway import Gateway, app, shadows
from homeostat.entrypoints.gateway.lag import Lag
from homeostat.serving.breaker import Mode
from unit.entrypoints.gateway.gateway_world import World

SHADOWED = Route("fraud", "v1", shadows=("v2",))


def counts(gateway: Gateway) -> dict[str, int]:
    found = gateway.metrics.shadows
    return {result: rows for (_, version, result), rows in found.items() if version == "v2"}


def mode(gateway: Gateway) -> tuple[Mode, Mode]:
    live = gateway.routes.live("fraud")
    assert live is not None
    loaded = live.versions["v2"]
    return loaded.breaker.mode, loaded.shadow_breaker.mode


def test_a_failing_shadow_is_asked_no_more_until_it_is_well(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(SHADOWED)
    world.backend.errors["v2"] = RuntimeError("boom")
    for _ in range(5):
        assert set(gateway.predict("fraud", rows)["tier"].to_pylist()) == {"model"}
        assert gateway.drain()
    assert counts(gateway) == {"failed": 8, "refused": 12}
    world.backend.errors.clear()
    world.clock.advance(timedelta(seconds=61))
    gateway.predict("fraud", rows)
    assert gateway.drain()
    assert counts(gateway) == {"failed": 8, "refused": 12, "scored": 4}


def test_a_failing_shadow_closes_nothing_to_callers_nor_the_other_way(
    world: World, rows: pa.Table
) -> None:
    gateway = world.gateway()
    both = Route("fraud", "v1", "v2", 0.5, shadows=("v1", "v2"))
    gateway.routes.publish(SHADOWED)
    world.backend.errors["v2"] = RuntimeError("boom")
    for _ in range(2):
        gateway.predict("fraud", rows)
        assert gateway.drain()
    assert mode(gateway) == (Mode.CLOSED, Mode.OPEN)
    world.backend.errors.clear()
    gateway.routes.publish(both)
    got = gateway.predict("fraud", pa.table({"card": [f"c{i}" for i in range(50)]}))
    assert set(got["version"].to_pylist()) == {"v1", "v2"}


def test_the_breaker_of_a_shadow_is_in_the_metrics(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1", shadows=("v2", "gone")))
    world.backend.errors["v2"] = RuntimeError("boom")
    for _ in range(2):
        gateway.predict("fraud", rows)
        assert gateway.drain()
    text = gateway.metrics_text()
    for version, mode in (("v1", "closed"), ("v2", "closed"), ("v2 (shadow)", "open")):
        labels = f'model="fraud",version="{version}"'
        assert f'homeostat_breaker_mode{{{labels},mode="{mode}"}} 1\n' in text
    labels = 'model="fraud",version="v2 (shadow)"'
    assert f'homeostat_breaker_calls_total{{{labels},outcome="fault"}} 2\n' in text
    assert f'homeostat_breaker_transitions_total{{{labels},to="open"}} 1\n' in text
    gateway.routes.publish(Route("fraud", "v1"))
    assert 'homeostat_breaker_mode{model="fraud",version="v2' not in gateway.metrics_text()


def test_scores_that_are_no_numbers_are_faults_of_a_shadow(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(SHADOWED)
    world.backend.answers["v2"] = pa.array([0.5, None, 0.5, 0.5]).to_numpy(zero_copy_only=False)
    for _ in range(2):
        gateway.predict("fraud", rows)
        assert gateway.drain()
    assert counts(gateway) == {"scored": 6, "failed": 2}
    assert mode(gateway) == (Mode.CLOSED, Mode.OPEN)


class Late(Lag):
    """An event loop that is as late as it is told to be."""

    late = 0.0

    @property
    def seconds(self) -> float:
        return self.late


def test_shadows_are_dropped_while_callers_wait(world: World, rows: pa.Table) -> None:
    gateway = world.gateway(deadline=5.0)
    gateway.lag = lag = Late()
    app(gateway)
    gateway.routes.publish(SHADOWED)
    for lag.late, expected in ((0.24, {"scored": 4}), (0.26, {"scored": 4, "dropped": 4})):
        assert set(gateway.predict("fraud", rows)["tier"].to_pylist()) == {"model"}
        assert gateway.drain()
        assert counts(gateway) == expected


@pytest.mark.parametrize("batch", [0, 8], ids=["alone", "joined"])
def test_shadows_are_dropped_while_the_champion_has_more_work_than_threads(
    world: World, rows: pa.Table, batch: int
) -> None:
    gateway = world.gateway(workers=1, batch=batch)
    gateway.routes.publish(SHADOWED)
    live = gateway.routes.live("fraud")
    assert live is not None
    champion, asked = live.versions["v1"], world.batch(rows)
    world.backend.hanging.add("v1")
    held = [champion.start(world.spec, asked, range(4), 5.0) for _ in range(2)]
    served = gateway.routes.models["fraud"]
    gateway.shadows.send(served, live, "v2", asked, range(4))
    assert counts(gateway) == {"dropped": 4}
    world.backend.released.set()
    for future in held:
        assert future is not None
        future.result(20)
    while champion.limit.under_way:
        pass
    gateway.shadows.send(served, live, "v2", asked, range(4))
    assert gateway.drain()
    assert counts(gateway) == {"dropped": 4, "scored": 4}


class Elsewhere:
    """A predictor that never answers, of which two may be asked at once."""

    features, most, matrix_encoding = ("amount",), 2, None

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        raise AssertionError(table)

    def begin(self, *_: object) -> Future[Answers]:
        return Future()


def test_shadows_are_dropped_while_a_champion_elsewhere_has_much_to_do(
    world: World, rows: pa.Table
) -> None:
    load = world.backend.load
    world.backend.load = lambda path, flavour: (  # type: ignore[method-assign]
        Elsewhere() if path.name == "v1" else load(path, flavour)
    )
    gateway = world.gateway()
    gateway.routes.publish(SHADOWED)
    live = gateway.routes.live("fraud")
    assert live is not None
    served, asked = gateway.routes.models["fraud"], world.batch(rows)
    for expected in ({"scored": 4}, {"scored": 4, "dropped": 4}):
        assert live.versions["v1"].start(world.spec, asked, range(4), 5.0) is not None
        gateway.shadows.send(served, live, "v2", asked, range(4))
        assert gateway.drain()
        assert counts(gateway) == expected


@pytest.mark.parametrize("batch", [0, 8], ids=["alone", "joined"])
def test_fewer_calls_are_let_in_while_they_are_late(
    world: World, rows: pa.Table, batch: int
) -> None:
    gateway = world.gateway(deadline=5.0, workers=1, waiting=19, batch=batch)
    gateway.routes.publish(Route("fraud", "v1"))
    live = gateway.routes.live("fraud")
    assert live is not None
    places = []
    for seconds in (2.4, 4.9):  # of 5, and about as long alone is allowed for
        world.backend.meanwhile = partial(world.clock.advance, timedelta(seconds=seconds))
        gateway.predict("fraud", rows)
        places.append(live.versions["v1"].limit.places)
    assert places == [20, 18]


def waits(work: Callable[[], object]) -> list[str]:
    """Return the functions in which this thread waited for others."""
    found: list[str] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_name.startswith("wait"):
            found.append(f"{Path(code.co_filename).name}:{code.co_name}")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found


def test_trap_a_shadow_that_hangs_is_waited_for_by_no_caller(world: World, rows: pa.Table) -> None:
    gateway = world.gateway(workers=0)
    gateway.routes.publish(Route("fraud", "v1"))
    gateway.predict("fraud", rows)
    without = waits(lambda: gateway.predict("fraud", rows))
    gateway.routes.publish(SHADOWED)
    world.backend.hanging.add("v2")
    gateway.predict("fraud", rows)  # its thread hangs from here on
    assert waits(lambda: gateway.predict("fraud", rows)) == without
    assert not gateway.drain(0.0)
    world.backend.released.set()
    assert gateway.drain()
    assert counts(gateway) == {"scored": 8}


def test_rows_that_wait_for_a_shadow_are_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows, "MOST_ROWS", 200)
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1", shadows=("v2", "v3")))
    world.backend.hanging.add("v2")
    size = shadows.MOST_ROWS // 2
    large = pa.table({"amount": [1.0] * size})
    for _ in range(3):
        gateway.predict("fraud", large)
    assert counts(gateway) == {"dropped": size}
    world.backend.hanging.clear()
    world.backend.released.set()
    assert gateway.drain()
    gateway.predict("fraud", large)
    assert gateway.drain()
    assert counts(gateway) == {"dropped": size, "scored": 3 * size}


def test_pairs_stand_in_the_log_under_one_id(world: World, rows: pa.Table) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1", "v2", 0.5, shadows=("v1", "v2")))
    gateway.predict("fraud", rows)
    assert gateway.flush()
    logged = world.logged()
    found: dict[str, dict[str, float]] = {}
    for row in logged.to_pylist():
        found.setdefault(row["prediction_id"], {})[row["version"]] = row["score"]
    assert len(found) == 4
    assert all(set(scores) == {"v1", "v2"} for scores in found.values())
    assert logged["role"].to_pylist().count("shadow") == 4


def ask(gateway: Gateway, *amounts: float) -> None:
    async def run() -> None:
        for amount in amounts:
            await gateway.answer("fraud", [{"amount": amount}])

    asyncio.run(run())


def test_small_requests_are_scored_together_and_apart_if_that_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows, "LINGER", 20.0)  # or until somebody drains
    gateway = world.gateway()
    gateway.routes.publish(SHADOWED)
    before = world.backend.calls.count("v2")
    ask(gateway, 1.0, 2.0, 3.0)
    assert gateway.drain()
    assert counts(gateway) == {"scored": 3}
    assert world.backend.calls.count("v2") == before + 1
    world.backend.errors["v2"] = RuntimeError("boom")
    ask(gateway, 4.0)
    assert gateway.drain()
    assert counts(gateway) == {"scored": 3, "failed": 1}
    ask(gateway, 5.0, 6.0)
    assert gateway.drain()
    assert counts(gateway) == {"scored": 3, "failed": 2, "refused": 1}
    assert mode(gateway) == (Mode.CLOSED, Mode.OPEN)


def test_copies_that_wait_for_a_shadow_are_bounded(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadows, "MOST_COPIES", 2)
    monkeypatch.setattr(shadows, "LINGER", 20.0)
    gateway = world.gateway()
    gateway.routes.publish(SHADOWED)
    ask(gateway, 1.0, 2.0, 3.0)
    assert counts(gateway) == {"dropped": 1}
    assert gateway.flush()
    assert counts(gateway) == {"dropped": 1, "scored": 2}
    assert world.logged()["role"].to_pylist().count("shadow") == 2
