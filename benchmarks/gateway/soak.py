"""Mixed requests while everything around the gateway goes wrong: is every answer right, and once?

    PYTHONPATH=src python benchmarks/gateway/soak.py [--requests 1000000] [--seed 1]

Requests of one and of many rows, good and bad ones, and callers that hang up before or after their
request has come in whole; to models that answer in the event loop, in threads, in threads for
several requests at once, and on a server elsewhere. Meanwhile versions fail, hang and recover, the
server is killed, routes, weights, arms and shadows change, versions come and go. In the end each
answer must be what the version that it names gives, or a fallback's; a cached one, what that
version gave for the same entity; each answer must be in the prediction log once; and no permit of a
breaker and no place of a lane may be missing, of any version that ever served. It prints what came
and exits 1 if anything was wrong.
"""

# ruff: noqa: TID251 - real threads take real time
from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import pyarrow.compute as pc
from soak_world import (
    CALLERS,
    DEFAULT,
    ELSEWHERE,
    JOINED,
    MODELS,
    PATIENCE,
    PREDICT,
    RULE,
    SPEC,
    THREADS,
    WEIGHTS,
    Held,
    Moods,
    Upstream,
    expected,
)

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.models import (
    Loader,
    Term,
    save_linear,
    save_remote,
)
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.records import DatabaseRecords
from homeostat.adapters.registry import LocalRegistry
from homeostat.domain.errors import ArtifactError
from homeostat.domain.model import (
    ModelSpec,
    ModelVersion,
)
from homeostat.domain.route import Route
from homeostat.domain.window import Window
from homeostat.entrypoints.gateway import Gateway, LogWriter, RouteTable, ServedModel, app
from homeostat.serving.breaker import BreakerConfig
from homeostat.serving.fallback import Cached, Fallback, parse_rules


@dataclass
class Tally:
    """What came."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    ids: dict[str, set[str]] = field(default_factory=lambda: {model: set() for model in MODELS})
    asked: dict[tuple[str, str], deque[float]] = field(default_factory=dict)

    def ask(self, model: str, row: Mapping[str, object]) -> None:
        """Remember what an entity was asked for with, for what the cache may give."""
        amount = row["amount"]
        assert isinstance(amount, float)
        self.asked.setdefault((model, str(row["card"])), deque(maxlen=64)).append(amount)

    def cached(self, model: str, row: Mapping[str, object], version: str, score: float) -> bool:
        """Whether a version may have given this score for the entity."""
        amounts = self.asked[model, str(row["card"])]
        return any(abs(score - expected(version, amount)) < 1e-9 for amount in amounts)


class Caller:
    """Sends requests and holds the answers to what they should be."""

    def __init__(self, gateway: Gateway, seed: int, tally: Tally) -> None:
        self.application, self.tally = app(gateway), tally
        self.rng = np.random.default_rng(seed)
        self.number = 0

    async def one(self) -> None:
        """Send one request of a random kind."""
        self.number += 1
        kind = self.rng.random()
        if kind < 0.05:
            await self.bad()
        elif kind < 0.08:
            await self.hang_up()
        else:
            await self.good(int(self.rng.integers(2, 60)) if kind < 0.12 else 1)

    def rows(self, count: int, prefix: str) -> list[dict[str, object]]:
        """Make rows."""
        amounts = self.rng.uniform(0, 1000, count).tolist()
        return [
            {
                "prediction_id": f"{prefix}{self.number}-{row}",
                "amount": amount,
                "land": "DE",
                "card": f"c{self.rng.integers(20_000)}",
            }
            for row, amount in enumerate(amounts)
        ]

    async def good(self, count: int) -> None:
        """Send a good request and look at the answer."""
        rows, model = self.rows(count, "g"), str(self.rng.choice(MODELS))
        for row in rows:
            self.tally.ask(model, row)
        status, content = await self.send(orjson.dumps({"rows": rows}), model)
        self.tally.outcomes[f"good {status}"] += 1
        if status != 200:
            if status != 503:
                self.tally.wrong.append(f"a good request got {status}: {content!r}")
            return
        for row, answer in zip(rows, content["predictions"], strict=True):
            self.check(model, row, answer)

    def check(self, model: str, row: dict[str, object], answer: dict[str, object]) -> None:
        """Hold an answer to what the version or tier that it names gives."""
        tier, score, version = answer["tier"], answer["score"], str(answer["version"])
        self.tally.outcomes[f"{model}: {tier}"] += 1
        amount = row["amount"]
        assert isinstance(amount, float)
        assert isinstance(score, float)
        right = {
            "model": lambda: abs(score - expected(version, amount)) < 1e-9,
            "default": lambda: score == DEFAULT,
            "rules": lambda: score == RULE and amount > 900,
            "cached": lambda: self.tally.cached(model, row, version, score),
        }
        if answer["prediction_id"] != row["prediction_id"] or not right[str(tier)]():
            self.tally.wrong.append(f"{model}: {row} got {answer}")
        self.tally.ids[model].add(str(answer["prediction_id"]))

    async def bad(self) -> None:
        """Send a bad request; it must be refused precisely."""
        bodies = (b"{", b'{"rows": [{"amount": "x"}]}', b'{"rows": [{"what": 1}]}', b'{"rows": []}')
        status, content = await self.send(bodies[self.number % len(bodies)])
        self.tally.outcomes[f"bad {status}"] += 1
        if status not in {400, 503}:
            self.tally.wrong.append(f"a bad request got {status}: {content!r}")

    async def hang_up(self) -> None:
        """Send a request, or half of it, and go away."""
        (row,) = self.rows(1, "h")
        model = str(self.rng.choice(MODELS))
        self.tally.ask(model, row)
        body, half = orjson.dumps({"rows": [row]}), self.rng.random() < 0.5
        if half:
            await self.send(body[: len(body) // 2], model, whole=False)
            self.tally.outcomes["hung up halfway"] += 1
            return
        task = asyncio.create_task(self.send(body, model))
        for _ in range(int(self.rng.integers(1, 20))):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        self.tally.outcomes["hung up"] += 1

    async def send(
        self, body: bytes, model: str = THREADS, *, whole: bool = True
    ) -> tuple[int, dict[str, list[dict[str, object]]]]:
        """Send a request to the ASGI application; status 0 if there was no answer."""
        sent = list[dict[str, object]]()
        coming = [{"type": "http.request", "body": body, "more_body": not whole}]

        async def receive() -> dict[str, object]:
            return coming.pop() if coming else {"type": "http.disconnect"}

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": PREDICT % model, "headers": []}
        await self.application(scope, receive, send)  # type: ignore[arg-type]
        if not sent:
            return 0, {}
        status, content = sent[0]["status"], sent[1]["body"]
        assert isinstance(status, int)
        assert isinstance(content, bytes)
        return status, json.loads(content)


async def disturb(
    gateway: Gateway, moods: Moods, upstream: Upstream, seed: int, stop: asyncio.Event
) -> int:
    """Change moods and routes until told to stop; return how often."""
    rng, changes = np.random.default_rng(seed), 0
    while not stop.is_set():
        moods.released.set()
        moods.errors, moods.hanging = {}, set()
        moods.released = threading.Event()
        mood = rng.random()
        version = str(rng.choice(list(WEIGHTS)))
        if mood < 0.25:
            moods.errors = {version: RuntimeError("a mood")}
        champion, other = (str(name) for name in rng.permutation(list(WEIGHTS))[:2])
        shadows = (other,) if rng.random() < 0.5 else ()
        route = Route(str(rng.choice(MODELS)), champion, other, float(rng.random()), shadows)
        if rng.random() < 0.2:
            route = route.with_arms({version: float(rng.random())}, "soak")
        if rng.random() < 0.05:
            await asyncio.to_thread(upstream.kill)
        with contextlib.suppress(ArtifactError):  # it failed when it was loaded
            await asyncio.to_thread(gateway.routes.publish, route)
        if mood > 0.8:
            moods.hanging = {version}
        changes += 1
        await asyncio.sleep(float(rng.uniform(0.01, 0.2)))
    moods.released.set()
    return changes


async def play(
    gateway: Gateway, moods: Moods, upstream: Upstream, requests: int, seed: int, tally: Tally
) -> int:
    """Let callers send requests side by side while things go wrong."""
    for model in MODELS:
        gateway.routes.publish(Route(model, "v1"))
    stop = asyncio.Event()
    disturbing = asyncio.create_task(disturb(gateway, moods, upstream, seed, stop))

    async def call(number: int) -> None:
        caller = Caller(gateway, seed * 1000 + number, tally)
        caller.number = number * requests
        for _ in range(requests // CALLERS):
            await caller.one()

    await asyncio.gather(*(call(number) for number in range(CALLERS)))
    stop.set()
    return await disturbing


def soak(folder: Path, requests: int, seed: int) -> tuple[Tally, list[str]]:
    """Run it; return what came, and all that was wrong."""
    clock = SystemClock()
    records = DatabaseRecords(f"sqlite:///{folder / 'records.db'}", clock)
    log = FilePredictionLog(folder / "log", records)
    upstream = Upstream()
    loader = Loader(hosts=frozenset({f"127.0.0.1:{upstream.port}"}))
    registry, tally = LocalRegistry(folder / "models", clock), Tally()
    moods = Moods(loader=loader)
    for model in MODELS:
        for version, weight in WEIGHTS.items():
            artifact = folder / model / version
            if model == ELSEWHERE:
                url = f"http://127.0.0.1:{upstream.port}/{weight}"
                save_remote(artifact, "json", [url], ["amount"])
            else:
                save_linear(artifact, 0.0, [Term("amount", weight)])
            flavour = "remote" if model == ELSEWHERE else "linear"
            made = datetime(2024, 1, 1, tzinfo=UTC)
            registry.register(ModelVersion(model, version, flavour, "", made), artifact)
    rules = parse_rules([("amount > 900", RULE)], SPEC.schema)
    fallback = Fallback((Cached(timedelta(seconds=1)), rules), DEFAULT)
    # With `slow` a breaker knows every call under way, so that a permit that was lost shows.
    breaker = BreakerConfig(faults=5, window=10.0, cooldown=0.1, successes=1, lease=1.0, slow=1.0)
    served = ServedModel(SPEC, fallback, breaker, deadline=0.1, workers=4, waiting=32)
    models = [
        replace(served, spec=replace(SPEC, name=model), batch=32 if model == JOINED else 0)
        for model in MODELS
    ]
    table = RouteTable(registry, models, clock, moods.load)
    held = Held(table)
    gateway = Gateway(table, LogWriter(log, 2_000_000), clock)
    began = clock.now()
    try:
        changes = asyncio.run(play(gateway, moods, upstream, requests, seed, tally))
    finally:
        upstream.close()
    tally.outcomes["changes"] = changes
    wrong = [*tally.wrong]
    if not gateway.flush(120):
        wrong.append("the log did not take everything within two minutes")
    until = time.monotonic() + PATIENCE
    while list(held.leaks()) and time.monotonic() < until:
        time.sleep(0.1)
    wrong += held.leaks()
    for served in models:
        window = Window(began - timedelta(hours=1), clock.now())
        wrong += logged(log, served.spec, tally.ids[served.spec.name], window)
    gateway.close()
    log.close()
    records.close()
    return tally, wrong


def logged(log: FilePredictionLog, spec: ModelSpec, ids: set[str], window: Window) -> list[str]:
    """Compare the log with the answers."""
    rows = log.rows(spec, window, ["prediction_id", "role"])
    answers = rows.filter(pc.not_equal(rows["role"], "shadow"))
    names = Counter(answers["prediction_id"].to_pylist())
    twice = [name for name, count in names.items() if count > 1]
    missing = ids - names.keys()
    strange = [name for name in names if name not in ids and not str(name).startswith("h")]
    told = []
    for what, found in (("twice", twice), ("not", sorted(missing)), ("unanswered but", strange)):
        if found:
            told.append(f"{len(found)} answers {what} in the log: {found[:3]}")
    return told


def main() -> None:
    """Run it and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tally, wrong = soak(Path(folder), options.requests, options.seed)
    for what, count in sorted(tally.outcomes.items()):
        print(f"{what:20} {count}")
    print(f"wrong: {len(wrong)}", *wrong[:20], sep="\n  ")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
