"""What joining requests gains, and what a model elsewhere costs.

    python benchmarks/upstreams.py [--seconds S] [--callers N]

Joining: `callers` requests of one row each are always waiting for an answer of a gateway (closed
loop, under asyncio, no HTTP); each estimator of scikit-learn is asked with `serving.batch` off and
at 64, taking turns, and the medians of answers a second are printed. A line `alone` has one caller:
what joining costs those who never wait.

Elsewhere: the same gateway asks a server of ours in another process (JSON, one row), and the
seconds of CPU of the gateway's process a request are printed beside those of bare aiohttp that
posts the same body from one coroutine a caller.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pyarrow as pa
from aiohttp import web
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.models import Loader, fit_encoding, save_remote, save_skops
from homeostat.domain.model import (
    Column,
    ColumnKind,
    LabelSpec,
    ModelSpec,
    ModelVersion,
    Schema,
    Task,
)
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway import Gateway, LogWriter, RouteTable, ServedModel
from homeostat.simulation.fakes.log import MemoryLog
from homeostat.simulation.fakes.models import MemoryRegistry

NAMES = [f"x{i}" for i in range(10)]
SCHEMA = Schema(tuple(Column(name, ColumnKind.NUMERIC) for name in NAMES))
SPEC = ModelSpec("m", Task.BINARY, SCHEMA, LabelSpec(timedelta(days=1)))
ROW = dict.fromkeys(NAMES, 0.5)
TRUSTED = frozenset(
    {
        "sklearn.tree._tree.Tree",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    }
)


def estimators() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(2000, len(NAMES)))
    truth = (matrix[:, 0] + rng.normal(size=2000) > 0).astype(int)
    made = {
        "pipeline": make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression()),
        "gradient boosting": make_pipeline(SimpleImputer(), GradientBoostingClassifier()),
        "hist. boosting": HistGradientBoostingClassifier(max_iter=100),
        "random forest": RandomForestClassifier(100),
    }
    return {name: model.fit(matrix, truth) for name, model in made.items()}


def gateway(folder: Path, flavour: str, batch: int, host: str = "") -> Gateway:
    clock = SystemClock()
    registry = MemoryRegistry()
    registry.register(ModelVersion("m", "1", flavour, "", clock.now()), folder)
    served = ServedModel(SPEC, deadline=10.0, waiting=512, batch=batch)
    load = Loader(trusted_types=TRUSTED, hosts=frozenset({host}))
    routes = RouteTable(registry, [served], clock, load)
    made = Gateway(routes, LogWriter(MemoryLog(clock)), clock)
    routes.publish(Route("m", "1"))
    return made


async def closed_loop(
    call: Callable[[], Awaitable[bool]], callers: int, seconds: float
) -> tuple[float, float]:
    """Return answers a second and microseconds of CPU an answer."""
    end = time.perf_counter() + seconds
    done = 0

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < end:
            assert await call()
            done += 1

    started = time.process_time()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return done / seconds, (time.process_time() - started) / done * 1e6


def answers(made: Gateway) -> Callable[[], Awaitable[bool]]:
    async def call() -> bool:
        answered = await made.answer("m", [ROW])
        return answered.reason[0] == ""

    return call


def joining(seconds: float, callers: int, rounds: int) -> None:
    print(f"{'estimator':18} {'callers':>7} {'apart/s':>9} {'joined/s':>9} {'ratio':>6}")
    encoding = fit_encoding(pa.table({name: [0.5] for name in NAMES}), NAMES)
    for name, model in estimators().items():
        with tempfile.TemporaryDirectory() as root:
            save_skops(model, Path(root), encoding.features)
            pair = [gateway(Path(root), "skops", batch) for batch in (0, 64)]
            for count in (1, callers):
                rates: list[list[float]] = [[], []]
                for _ in range(rounds):
                    for place, made in enumerate(pair):
                        rate, _cpu = asyncio.run(closed_loop(answers(made), count, seconds))
                        rates[place].append(rate)
                apart, joined = map(statistics.median, rates)
                shown = "alone" if count == 1 else str(count)
                print(f"{name:18} {shown:>7} {apart:9.0f} {joined:9.0f} {joined / apart:6.2f}")


def serve(port: Synchronized[int]) -> None:
    async def score(request: web.Request) -> web.Response:
        rows = (await request.json())["instances"]
        return web.json_response({"predictions": [0.5] * len(rows)})

    async def run() -> None:
        app = web.Application()
        app.router.add_post("/score", score)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port.value = runner.addresses[0][1]
        await asyncio.Event().wait()

    asyncio.run(run())


def elsewhere(seconds: float, callers: int, rounds: int) -> None:
    port = multiprocessing.Value("i", 0)
    server = multiprocessing.Process(target=serve, args=(port,), daemon=True)
    server.start()
    while not port.value:
        threading.Event().wait(0.05)
    host = f"127.0.0.1:{port.value}"
    url = f"http://{host}/score"
    body = json.dumps({"instances": [list(ROW.values())]}).encode()

    async def bare() -> tuple[float, float]:
        async with aiohttp.ClientSession() as session:

            async def call() -> bool:
                async with session.post(url, data=body) as response:
                    return len((await response.json())["predictions"]) == 1

            return await closed_loop(call, callers, seconds)

    with tempfile.TemporaryDirectory() as root:
        save_remote(Path(root), "json", [url], NAMES)
        made = gateway(Path(root), "remote", 0, host)
        seen: dict[str, list[tuple[float, float]]] = {"bare aiohttp": [], "gateway": []}
        for _ in range(rounds):
            seen["bare aiohttp"].append(asyncio.run(bare()))
            seen["gateway"].append(asyncio.run(closed_loop(answers(made), callers, seconds)))
    server.terminate()
    print(f"\n{'elsewhere':18} {'answers/s':>9} {'CPU us':>7}")
    for name, figures in seen.items():
        rate, cpu = (statistics.median(values) for values in zip(*figures, strict=True))
        print(f"{name:18} {rate:9.0f} {cpu:7.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--callers", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    joining(chosen.seconds, chosen.callers, chosen.rounds)
    elsewhere(chosen.seconds, chosen.callers, chosen.rounds)


if __name__ == "__main__":
    main()
