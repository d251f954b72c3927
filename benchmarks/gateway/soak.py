"""Mixed requests while everything around the gateway goes wrong: is every answer right, and once?

    PYTHONPATH=src python benchmarks/gateway/soak.py [--requests 1000000] [--seed 1]

Requests of one and of many rows, good and bad ones, and callers that hang up; meanwhile versions
fail, hang and recover, routes, weights and shadows change, versions come and go. In the end each
answer must be what the version that it names gives, or a fallback's; each answer must be in the
prediction log once; and no permit of a breaker and no place of a lane may be missing. It prints
what came and exits 1 if anything was wrong.
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
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import orjson
import pyarrow.compute as pc
from moody import Backend

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.models import Term, save_linear
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.records import DatabaseRecords
from homeostat.adapters.registry import LocalRegistry
from homeostat.domain.errors import ArtifactError
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
from homeostat.domain.window import Window
from homeostat.entrypoints.gateway import Gateway, LogWriter, RouteTable, ServedModel, app
from homeostat.serving.breaker import BreakerConfig
from homeostat.serving.fallback import Cached, Fallback, parse_rules

PREDICT = "/v1/models/fraud/predict"
WEIGHTS = {"v1": 0.01, "v2": -0.02, "v3": 0.03}
COLUMNS = (
    Column("amount", ColumnKind.NUMERIC, minimum=0.0, maximum=1000.0),
    Column("land", ColumnKind.CATEGORICAL),
)
SPEC = ModelSpec(
    "fraud", Task.BINARY, Schema(COLUMNS), LabelSpec(timedelta(days=30)), entity="card"
)
DEFAULT, RULE = 0.125, 0.875


@dataclass
class Tally:
    """What came."""

    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)


def expected(version: str, amount: float) -> float:
    """The score that a version gives."""
    return float(1 / (1 + np.exp(-WEIGHTS[version] * amount)))


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
        rows = self.rows(count, "g")
        status, content = await self.send(orjson.dumps({"rows": rows}))
        self.tally.outcomes[f"good {status}"] += 1
        if status != 200:
            if status != 503:
                self.tally.wrong.append(f"a good request got {status}: {content!r}")
            return
        for row, answer in zip(rows, content["predictions"], strict=True):
            self.check(row, answer)

    def check(self, row: dict[str, object], answer: dict[str, object]) -> None:
        """Hold an answer to what the version or tier that it names gives."""
        tier, score, version = answer["tier"], answer["score"], str(answer["version"])
        self.tally.outcomes[f"tier {tier}"] += 1
        amount = row["amount"]
        assert isinstance(amount, float)
        assert isinstance(score, float)
        right = {
            "model": lambda: abs(score - expected(version, amount)) < 1e-9,
            "default": lambda: score == DEFAULT,
            "rules": lambda: score == RULE and amount > 900,
            "cached": lambda: 0 <= score <= 1,
        }
        if answer["prediction_id"] != row["prediction_id"] or not right[str(tier)]():
            self.tally.wrong.append(f"{row} got {answer}")
        self.tally.ids.add(str(answer["prediction_id"]))

    async def bad(self) -> None:
        """Send a bad request; it must be refused precisely."""
        bodies = (b"{", b'{"rows": [{"amount": "x"}]}', b'{"rows": [{"what": 1}]}', b'{"rows": []}')
        status, content = await self.send(bodies[self.number % len(bodies)])
        self.tally.outcomes[f"bad {status}"] += 1
        if status not in {400, 503}:
            self.tally.wrong.append(f"a bad request got {status}: {content!r}")

    async def hang_up(self) -> None:
        """Send a request and go away while it is answered."""
        task = asyncio.create_task(self.send(orjson.dumps({"rows": self.rows(1, "h")})))
        await asyncio.sleep(0)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            self.tally.outcomes["hung up"] += 1

    async def send(self, body: bytes) -> tuple[int, dict[str, list[dict[str, object]]]]:
        """Send a request to the ASGI application."""
        sent = list[dict[str, object]]()

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, object]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": PREDICT, "headers": []}
        await self.application(scope, receive, send)  # type: ignore[arg-type]
        status, content = sent[0]["status"], sent[1]["body"]
        assert isinstance(status, int)
        assert isinstance(content, bytes)
        return status, json.loads(content)


async def disturb(gateway: Gateway, moods: Backend, seed: int, stop: asyncio.Event) -> int:
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
        route = Route("fraud", champion, other, float(rng.random()), shadows)
        with contextlib.suppress(ArtifactError):  # it failed when it was loaded
            await asyncio.to_thread(gateway.routes.publish, route)
        if mood > 0.8:
            moods.hanging = {version}
        changes += 1
        await asyncio.sleep(float(rng.uniform(0.01, 0.2)))
    moods.released.set()
    return changes


async def play(
    gateway: Gateway, moods: Backend, requests: int, seed: int, tally: Tally, callers: int = 16
) -> int:
    """Let callers send requests side by side while things go wrong."""
    gateway.routes.publish(Route("fraud", "v1"))
    stop = asyncio.Event()
    disturbing = asyncio.create_task(disturb(gateway, moods, seed, stop))

    async def call(number: int) -> None:
        caller = Caller(gateway, seed * 1000 + number, tally)
        caller.number = number * requests
        for _ in range(requests // callers):
            await caller.one()

    await asyncio.gather(*(call(number) for number in range(callers)))
    stop.set()
    return await disturbing


def leaks(gateway: Gateway) -> list[str]:
    """Return what is still held although nothing is under way."""
    found = []
    live = gateway.routes.live("fraud")
    assert live is not None
    for version, loaded in live.versions.items():
        for name, lane in (("lane", loaded.lane), ("shadow lane", loaded.shadow_lane)):
            if lane.busy:
                found.append(f"{lane.busy} places of the {name} of {version}")
        if loaded.breaker.state.running:
            found.append(f"probes of {version}: {loaded.breaker.state.running}")
    return found


def soak(folder: Path, requests: int, seed: int) -> tuple[Tally, list[str]]:
    """Run it; return what came, and all that was wrong."""
    clock = SystemClock()
    records = DatabaseRecords(f"sqlite:///{folder / 'records.db'}", clock)
    log = FilePredictionLog(folder / "log", records)
    registry, moods, tally = LocalRegistry(folder / "models", clock), Backend(), Tally()
    for version, weight in WEIGHTS.items():
        save_linear(folder / version, 0.0, [Term("amount", weight)])
        card = ModelVersion("fraud", version, "linear", "", datetime(2024, 1, 1, tzinfo=UTC))
        registry.register(card, folder / version)
    rules = parse_rules([("amount > 900", RULE)], SPEC.schema)
    fallback = Fallback((Cached(timedelta(seconds=1)), rules), DEFAULT)
    breaker = BreakerConfig(faults=5, window=10.0, cooldown=0.1, successes=1, lease=1.0)
    served = ServedModel(SPEC, fallback, breaker, deadline=0.1, workers=4, waiting=32)
    table = RouteTable(registry, [served], clock, moods.load)
    gateway = Gateway(table, LogWriter(log, 2_000_000), clock)
    began = clock.now()
    changes = asyncio.run(play(gateway, moods, requests, seed, tally))
    tally.outcomes["changes"] = changes
    wrong = [*tally.wrong]
    if not gateway.flush(120):
        wrong.append("the log did not take everything within two minutes")
    time.sleep(0.2)
    wrong += leaks(gateway)
    wrong += logged(log, tally, Window(began - timedelta(hours=1), clock.now()))
    gateway.close()
    log.close()
    records.close()
    return tally, wrong


def logged(log: FilePredictionLog, tally: Tally, window: Window) -> list[str]:
    """Compare the log with the answers."""
    rows = log.rows(SPEC, window, ["prediction_id", "role"])
    answers = rows.filter(pc.not_equal(rows["role"], "shadow"))
    names = Counter(answers["prediction_id"].to_pylist())
    twice = [name for name, count in names.items() if count > 1]
    missing = tally.ids - names.keys()
    strange = [name for name in names if name not in tally.ids and not str(name).startswith("h")]
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
