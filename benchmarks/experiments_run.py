"""Experiments that the engine runs, from rows to decision: errors, finds, and the time of a look.

Run with ``PYTHONPATH=src:tests OMP_NUM_THREADS=1 python benchmarks/experiments_run.py [PART ...]
[--runs N]``. The parts:

- ``aa``: customers who come back, outcomes a day late and two versions that are the same; looks
  once a day for 20 days; how often a version is shipped, stopped, or the split is called off.
- ``rehearse``: ``--runs`` random splits of 6,000 of these customers, as ``homeostat experiment aa``
  does.
- ``lift``: 12.9 % of customers convert against 15 %, 18 % and 24 %; how often it is found in 20
  days, and after how many entities.
- ``look``: a look after a million customers, their rows in files on a disk.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.record import OUTCOME_SCHEMA, TIMESTAMP, prediction_schema
from homeostat.domain.route import Route
from homeostat.engine.arms import arms_of, laid_over
from homeostat.engine.experiments import Laboratory, experiments_of, start
from homeostat.engine.experiments_before import read_past, rehearse_past
from homeostat.engine.watch import rollout_key
from homeostat.rollout.experiment.life import Stage
from homeostat.rollout.experiment.plan import Source
from homeostat.rollout.state import RolloutState
from homeostat.rollout.state import Stage as RolloutStage
from homeostat.serving.plan import assign
from simulation.market import BEGIN, DAY, DESIGN, MODEL, PAID, PLAN, SLOW, SPEC, Manner, market

GUARDED = replace(
    PLAN,
    design=replace(DESIGN, metrics=(PAID, SLOW), size=30_000),
    sources=(*PLAN.sources, Source("slow")),
)
DAYS = 20


def outcome(seed: int, manner: Manner, customers: int) -> tuple[str, int]:
    """Live through one experiment; return how it ended and after how many entities."""
    with tempfile.TemporaryDirectory() as folder:
        world = market(seed, folder=Path(folder), customers=customers, v2=manner)
        world.begin(GUARDED)
        for _ in range(DAYS):
            world.live(1)
            if world.state.stage is not Stage.RUNNING:
                break
        state, entities = world.state, world.report.entities
    if state.stage is Stage.WAITING:
        return "shipped", entities
    if "not split" in state.reason:
        return "split", entities
    return ("stopped" if state.dropped else "undecided"), entities


def a_a(runs: int) -> None:
    """How often something happens where nothing is different."""
    found = Counter(outcome(seed, Manner(), 400)[0] for seed in range(runs))
    print(f"A/A {runs} runs of {DAYS} daily looks, 400 new customers a day: {dict(found)}")


def rehearsed(runs: int) -> None:
    """How often the rule ships random splits of one past."""
    with tempfile.TemporaryDirectory() as folder:
        world = market(11, folder=Path(folder), customers=400)
        world.live(18)
        past = read_past(GUARDED, world.log, SPEC, 15, world.clock.now())
        found, _ = rehearse_past(GUARDED, past, np.random.default_rng(1), runs)
    print(
        f"{found.runs} splits of {found.entities} customers, {found.looks} looks: shipped"
        f" {found.shipped}, stopped {found.stopped}"
    )


def lift(runs: int) -> None:
    """How often a lift is found, and how soon."""
    for buys in (0.118, 0.142, 0.19):
        found = [outcome(seed, Manner(buys), 400) for seed in range(max(1, runs // 4))]
        sizes = [entities for how, entities in found if how == "shipped"]
        middle = f"{np.median(sizes):.0f}" if sizes else "-"
        print(
            f"buys {buys} a row against 0.1, {len(found)} runs: {len(sizes)} found,"
            f" median {middle} entities of both arms"
        )


def look(runs: int) -> None:
    """How long a look takes, by how many customers were met."""
    del runs
    size, rng = 100_000, np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        world = market(1, folder=Path(folder))
        clock = world.clock
        records = DatabaseRecords(f"sqlite:///{folder}/records.db", clock, "OFF")
        log = FilePredictionLog(Path(folder) / "log", records, fsync=False)
        ports = replace(world.ports, records=records, log=log)
        with records.begin() as uow:
            uow.save(rollout_key(MODEL), RolloutState(MODEL, RolloutStage.CHAMPION, "v1"))
        large = replace(GUARDED, design=replace(GUARDED.design, size=10_000_000))
        start(records, ports.registry, large, "ana", BEGIN)
        schema = prediction_schema(SPEC)
        for number in range(10):
            keys = [f"c{number * size + row}" for row in range(size)]
            versions, roles = assign(laid_over(Route(MODEL, "v1"), arms_of(records, MODEL)), keys)
            seconds = np.sort(rng.integers(0, 86_399, size)).tolist()
            at = [clock.now() + timedelta(seconds=each) for each in seconds]
            given: dict[str, object] = {
                "prediction_id": keys,
                "timestamp": pa.array(at, TIMESTAMP),
                "version": versions,
                "role": [str(role) for role in roles],
                "tier": ["model"] * size,
                "reason": [""] * size,
                "entity": keys,
                "score": np.full(size, 0.5),
                "latency_ms": rng.gamma(4.0, 10.0, size),
            }
            columns = {f.name: given.get(f.name, pa.nulls(size, f.type)) for f in schema}
            clock.advance(DAY)
            now = clock.now()
            log.append(SPEC, pa.table(columns, schema=schema))
            bought = pa.array((rng.random(size) < 0.1).astype(np.float64))
            told = [pa.array(keys), bought, pa.array([now] * size, TIMESTAMP)]
            whole = [*told, pa.array(["bought"] * size)]
            log.append_labels(SPEC, pa.table(whole, schema=OUTCOME_SCHEMA))
            log.roll(now)
            wall, cpu = time.perf_counter(), time.process_time()
            Laboratory(ports).tend(SPEC, now)
            took = time.perf_counter() - wall, time.process_time() - cpu
            stage = experiments_of(records, MODEL).states[-1].stage
            print(
                f"{(number + 1) * size} customers met: look {took[0]:.1f} s, CPU {took[1]:.1f} s,"
                f" {stage}",
                flush=True,
            )
        log.close()
        records.close()


PARTS = {"aa": a_a, "rehearse": rehearsed, "lift": lift, "look": look}


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[*PARTS])
    parser.add_argument("--runs", type=int, default=200)
    asked = parser.parse_args()
    for name in asked.parts:
        PARTS[name](asked.runs)


if __name__ == "__main__":
    main()
