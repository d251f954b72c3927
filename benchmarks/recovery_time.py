"""How long a bad version serves at ten requests a second before it is rolled back, simulated.

    PYTHONPATH=src:tests python benchmarks/recovery_time.py [--seeds 20]

The engine runs on ports in memory and a simulated clock, with a tick a minute (the default). Ten
requests come a second, their labels within ten seconds; labels are complete after a minute. Six
hours of history are the reference. A version that is worse is pushed, and time is counted from its
first answers to the route that has the old version answer again. Three versions are tried: one
that says the opposite, one that guesses, and one that says yes far too often. A push of an equal
version must not be rolled back in twenty minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from homeostat.adapters.models.linear import Term, save_linear
from homeostat.adapters.models.scorer import RegistryScorer
from homeostat.domain.model import LabelSpec, ModelVersion
from homeostat.domain.record import LABEL_SCHEMA, TIMESTAMP
from homeostat.domain.window import EPOCH, Window
from homeostat.engine.adopt import adopt, split_history
from homeostat.engine.backtest import to_records
from homeostat.engine.commands import Command, Request, submit
from homeostat.engine.loop import Engine
from homeostat.engine.ports import Ports, Training
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import (
    MemoryLog,
    MemoryNotifier,
    MemoryRecords,
    MemoryRegistry,
    MemoryRoutes,
)
from simulation.world import HOUR, MODEL, PLAN, SPEC, START

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
RATE = 10
SPAN = 6 * HOUR
SPEC_NOW = replace(SPEC, labels=LabelSpec(MINUTE))
PLAN_NOW = replace(
    PLAN, spec=SPEC_NOW, retraining=None, metric_window=10 * MINUTE,
    quality=replace(PLAN.quality, every=10 * MINUTE), drift=replace(PLAN.drift, every=HOUR),
    volume=replace(PLAN.volume, every=10 * MINUTE),
    service=replace(PLAN.service, every=10 * MINUTE),
)  # fmt: skip
VERSIONS = {
    "opposite": (0.0, -3.0), "guesses": (0.0, 0.0), "biased": (2.0, 3.0), "equal": (0.0, 3.0),
}  # fmt: skip
LONGEST = 20


@dataclass
class Life:
    """One world."""

    engine: Engine
    clock: SimulatedClock
    rng: np.random.Generator

    def rows(self, window: Window) -> pa.Table:
        """Return requests with their labels and when those come."""
        size = int(window.length / SECOND) * RATE
        span = window.length // timedelta(microseconds=1)
        at = np.sort(self.rng.integers(0, span, size))
        at += (window.start - EPOCH) // timedelta(microseconds=1)
        signal = self.rng.normal(size=size)
        label = (self.rng.random(size) < 1 / (1 + np.exp(-3.0 * signal))).astype(np.float64)
        return pa.table(
            {
                "prediction_id": [f"{moment}-{i}" for i, moment in enumerate(at.tolist())],
                "timestamp": pa.array(at, TIMESTAMP),
                "entity": [f"c{i}" for i in self.rng.integers(0, 400, size)],
                "signal": signal,
                "amount": self.rng.lognormal(3.0, 0.5, size),
                "label": label,
                "arrival": pa.array(at + self.rng.integers(1, 10_000_000, size), TIMESTAMP),
            }
        )

    def minute(self) -> None:
        """Live through a minute."""
        ports, now = self.engine.ports, self.clock.now()
        window = Window(now, self.clock.advance(MINUTE))
        route = ports.routes.current(MODEL)
        assert route is not None
        rows = self.rows(window)
        for version in route.versions:
            role = "champion" if version == route.champion else "shadow"
            scores = ports.scorer.score(SPEC_NOW, version, rows)
            ports.log.append(SPEC_NOW, to_records(SPEC_NOW, rows, scores, version, role))
        ports.log.append_labels(SPEC_NOW, rows.select(LABEL_SCHEMA.names))
        problems = self.engine.tick(window.end)
        assert problems == (), problems


def begin(folder: Path, seed: int) -> Life:
    """Adopt a model from six hours of history."""
    clock, registry = SimulatedClock(START), MemoryRegistry()
    ports = Ports(
        MemoryRecords(clock), MemoryLog(clock), registry, RegistryScorer(registry), MemoryRoutes(),
        {"duty": MemoryNotifier()}, {},
    )  # fmt: skip
    life = Life(Engine(ports, {MODEL: PLAN_NOW}), clock, np.random.default_rng(seed))
    history = split_history(PLAN_NOW, life.rows(Window(START - SPAN, START)))
    save_linear(folder / "first", 0.0, [Term("signal", 3.0)])
    adopt(PLAN_NOW, ports, history, Training(True, folder / "first", "linear"), START)
    life.engine.tick(START)
    return life


def recover(folder: Path, name: str, seed: int) -> float | None:
    """Push a version; return the seconds until the old one answers again, None if it does not."""
    life = begin(folder, seed)
    ports = life.engine.ports
    for _ in range(10):
        life.minute()
    save_linear(folder / name, VERSIONS[name][0], [Term("signal", VERSIONS[name][1])])
    card = ModelVersion(MODEL, "", "linear", "", START)
    version = ports.registry.register(card, folder / name).version
    submit(ports.records, Command(Request.PUSH, MODEL, "ana", version), life.clock.now())
    life.engine.tick(life.clock.now())
    pushed = life.clock.now()
    for _ in range(LONGEST):
        life.minute()
        route = ports.routes.current(MODEL)
        assert route is not None
        if route.champion != version:
            return (life.clock.now() - pushed) / SECOND
    return None


def main() -> int:
    """Measure; return 1 if one takes five minutes or an equal one is rolled back."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20)
    args = parser.parse_args()
    fine = True
    for name in VERSIONS:
        times = []
        for seed in range(args.seeds):
            with tempfile.TemporaryDirectory() as folder:
                times.append(recover(Path(folder), name, seed))
        back = [each for each in times if each is not None]
        told = "never rolled back"
        if back:
            told = f"rolled back in {len(back)}, after {np.median(back):.0f} s"
            told += f" (median), {max(back):.0f} s at most"
        sys.stdout.write(f"{name:12} {args.seeds} times: {told}\n")
        sys.stdout.flush()
        fine &= not back if name == "equal" else len(back) == len(times) and max(back) < 300
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
