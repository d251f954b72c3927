"""How long after `homeostat rollback` the old version answers at a real gateway.

    PYTHONPATH=src:benchmarks/gateway python benchmarks/rollback_time.py [--times 50] [--cold]

A gateway in a process of its own serves ``v2``; one caller asks it as often as it answers. In each
round `homeostat rollback` is run as a person runs it, a new process with no control plane beside
it. Two times end with the first answer of ``v1``: from the decision, as the decision log has it,
and from the start of the command. The version before is kept warm by the gateway, as it is for the
time of probation; with ``--cold`` it is not, and has to be loaded first. Afterwards ``v2`` is
pushed again, and a second passes. Requests that were not answered are counted.
"""

# ruff: noqa: TID251 - real processes take real time
from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from bench_site import start

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.models.linear import Term, save_linear
from homeostat.adapters.routes import RecordsRoutes
from homeostat.domain.model import ModelVersion
from homeostat.engine.commands import Command, Request, submit
from homeostat.engine.prompt import carry_out
from homeostat.engine.watch import rollout_key
from homeostat.entrypoints.bootstrap import open_deployment
from homeostat.entrypoints.settings.load import load
from homeostat.rollout.state import RolloutState, Stage, route

MODEL, CLI = "bench", [sys.executable, "-m", "homeostat.entrypoints.cli"]
PORT = 18471
CONFIG = f"""\
data: ./data
gateway: {{port: {PORT}}}
models:
  - name: {MODEL}
    task: binary
    entity: customer
    features: {{amount: numeric}}
    labels: {{maturity: 1d}}
"""
BODY = json.dumps({"rows": [{"customer": "c1", "amount": 3.0}]})


@dataclass(eq=False)
class Caller(threading.Thread):
    """Asks without a pause, and notes when the answering version changed."""

    seen: list[tuple[float, str]] = field(default_factory=list)
    answers: int = 0
    failures: int = 0
    stopping: bool = False

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        """Ask."""
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
        while not self.stopping:
            connection.request("POST", f"/v1/models/{MODEL}/predict", BODY)
            answer = connection.getresponse()
            text = answer.read()
            version = json.loads(text)["predictions"][0]["version"] if answer.status == 200 else ""
            self.answers += 1
            self.failures += not version
            if version and (not self.seen or self.seen[-1][1] != version):
                self.seen.append((time.time(), version))
            time.sleep(0.002)

    def wait_for(self, version: str) -> float:
        """Return when the version began to answer."""
        until = time.time() + 60
        while time.time() < until:
            if self.seen and self.seen[-1][1] == version:
                return self.seen[-1][0]
            time.sleep(0.001)
        raise SystemExit(f"{version} does not answer")


def prepare(folder: Path, probation: timedelta) -> Path:
    """Make a deployment whose champion ``v2`` has replaced ``v1``."""
    config = folder / "homeostat.yaml"
    config.write_text(CONFIG)
    deployment = open_deployment(load(config), SystemClock())
    try:
        for name, weight in (("v1", 1.0), ("v2", -1.0)):
            save_linear(folder / name, 0.0, [Term("amount", weight)])
            card = ModelVersion(MODEL, name, "linear", "", datetime(2026, 1, 1, tzinfo=UTC))
            deployment.registry.register(card, folder / name)
        now = deployment.clock.now()
        state = RolloutState(
            MODEL, Stage.CHAMPION, "v2", ("v1",), since=now, promoted_at=now,
            probation_until=now + probation,
        )  # fmt: skip
        with deployment.records.begin() as uow:
            uow.save(rollout_key(MODEL), state)
        RecordsRoutes(deployment.records).publish(route(state, now))
    finally:
        deployment.close()
    return config


def push(config: Path, *, cold: bool) -> None:
    """Push ``v2`` again."""
    deployment = open_deployment(load(config), SystemClock())
    try:
        records, now = deployment.records, deployment.clock.now()
        submit(records, Command(Request.PUSH, MODEL, "bench", "v2"), now)
        routes, plan = RecordsRoutes(records), deployment.plans[MODEL]
        carry_out(records, deployment.registry, routes, plan, now)
        if cold:
            with records.begin() as uow:
                uow.load(rollout_key(MODEL), RolloutState)
                ended = RolloutState(
                    MODEL, Stage.CHAMPION, "v2", ("v1",), since=now, promoted_at=now
                )
                uow.save(rollout_key(MODEL), ended)
            routes.publish(route(ended, now))
    finally:
        deployment.close()


def decided(config: Path) -> float:
    """Return when the newest roll-back was decided."""
    deployment = open_deployment(load(config), SystemClock())
    try:
        made = [d for d in deployment.records.decisions(MODEL) if d.action == "roll_back"]
        return made[-1].at.timestamp()
    finally:
        deployment.close()


def main() -> int:
    """Measure; return 1 if the slowest answer after a decision took a second or more."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--cold", action="store_true")
    args = parser.parse_args()
    probation = timedelta(0) if args.cold else timedelta(days=7)
    since_decision, since_start = [], []
    with tempfile.TemporaryDirectory() as folder:
        config = prepare(Path(folder), probation)
        path = f"/v1/models/{MODEL}/predict"
        command = [*CLI, "gateway", "-c", str(config)]
        server = start("gateway", PORT, path, "/health/ready", command)
        caller = Caller()
        try:
            caller.start()
            caller.wait_for("v2")
            for number in range(args.times):
                time.sleep(1.0 + 0.01 * number)  # anywhere between two looks of the gateway
                began = time.time()
                command = [*CLI, "rollback", "-c", str(config), "--reason", "wrong scores"]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                answered = caller.wait_for("v1")
                since_start.append(answered - began)
                since_decision.append(answered - decided(config))
                push(config, cold=args.cold)
                caller.wait_for("v2")
        finally:
            caller.stopping = True
            caller.join(20)
            server.stop()
    for name, times in (("decision", since_decision), ("start of the command", since_start)):
        p50, p99 = np.quantile(times, [0.5, 0.99])
        sys.stdout.write(
            f"from the {name} to the first answer: p50 {p50:.3f} s, p99 {p99:.3f} s,"
            f" max {max(times):.3f} s ({len(times)} times)\n"
        )
    sys.stdout.write(f"{caller.answers} requests, {caller.failures} not answered\n")
    return 1 if max(since_decision) >= 1.0 else 0


if __name__ == "__main__":
    sys.exit(main())
