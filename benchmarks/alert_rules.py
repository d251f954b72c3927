"""What alert rules cost: 1,000 models with 50 rules of the owner's and the built-in ones each.

Run it from the repository:

    OMP_NUM_THREADS=1 PYTHONPATH=src .venv/bin/python benchmarks/alert_rules.py [--profile]

Timed is, of one tick of all models, everything that alerts add to it: reading states of incidents
and rules from the records, figures from what was served, the evaluation of every rule, stepping
incidents, and writing what changed. Alerts share the transaction of the model's turn, so one that
reads and writes only a cursor is timed too, and the difference is what alerts cost. SQLite does not
wait for the disk here (synchronous=OFF): that is no CPU time, and the same for both. Not timed:
monitors, the reading of rows, metrics, effects. Ticks are a minute apart; 300 rows were answered in
each for every model; of each model 20 rules are on metrics that are written once a day (a day's
figures come in the last tick), 18 on what is served, 7 on verdicts, 5 on ages and counts.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.model import ModelVersion
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.incidents import alert, end
from homeostat.engine.mishaps import Bulkhead
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Records
from homeostat.engine.signals import hear
from homeostat.engine.signals_figures import Sources
from homeostat.engine.signals_served import Served
from homeostat.engine.silencing import SILENCES
from homeostat.engine.watch import Progress, Watch, fresh, incident_key, rules_key, tallies_key
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.settings.plan import model_plan
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRecords, MemoryRegistry

MODELS, TICKS = 1_000, 7
NOW = datetime(2024, 3, 1, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
FEATURES = 30
METRICS = ("accuracy", "auc", "f1", "recall", "precision", "brier", "log_loss", "ece", "mcc")


def rules() -> str:
    """Return 50 rules in YAML."""
    found = [f"{{metric: {name}, {way}: 0.5}}" for name in METRICS for way in ("below", "above")]
    found += [
        "{metric: accuracy, drop: 0.1, against: 28d}",
        "{metric: auc, drop: 0.1, against: 28d}",
    ]
    for limit in (0.2, 0.3, 0.4):
        for name in ("error_rate", "fallback_share", "breaker_open"):
            found.append(f"{{metric: {name}, above: {limit}, missing: {{after: 1h}}}}")
    found = found[:20] + [f"{{metric: {n}, above: 0.2}}" for n in ("error_rate", "fallback_share")]
    found += [f"{{metric: latency_p{q}, above: {x}}}" for q in (50, 95, 99) for x in (500, 900)]
    found += [f"{{metric: requests, below: {n}, over: {o}m}}" for n in (1, 5) for o in (5, 15)]
    found += ["{metric: breaker_open, above: 0.1, missing: {after: 1h}}"] * 2
    found += [f"{{metric: error_rate, burn: {{objective: {o}}}}}" for o in (0.99, 0.999)]
    found += [f"{{verdicts: data_drift, more_than: {n}}}" for n in range(3, 10)]
    found += [f"{{metric: version_age, above: {n}}}" for n in (30, 60)]
    found += ["{metric: label_age, above: 90}"]
    found += [f"{{metric: drifted_features, above: {n}}}" for n in (3, 5)]
    lines = [f"      rule{number}: {text}\n" for number, text in enumerate(found)]
    return "alerts:\n  rules:\n" + "".join(lines).replace("      ", "    ")


def plan(folder: Path) -> ModelPlan:
    """Return the plan of one model, from homeostat.yaml."""
    features = ", ".join(f"c{number}: numeric" for number in range(FEATURES))
    path = folder / "homeostat.yaml"
    path.write_text(
        f"{rules()}models:\n  - name: model0\n    task: binary\n    features: {{{features}}}\n"
        "    labels: {maturity: 1d}\n"
    )
    return model_plan(load(path))


def watch(name: str) -> Watch:
    """Return what monitors said: all is well."""
    window, nan = Window(NOW - DAY, NOW), float("nan")
    said = [(Monitor.DATA_DRIFT, f"c{number}") for number in range(FEATURES)]
    said += [(Monitor.DATA_QUALITY, f"c{number}") for number in range(FEATURES)]
    said += [(Monitor.SERVICE, "availability"), (Monitor.VOLUME, ""), (Monitor.PERFORMANCE, "loss")]
    latest = tuple(
        Verdict(
            monitor, name, subject, window, Status.OK, 0.01, 0.1, 1.0, 900.0, nan, 9_999, 999, "ok"
        )
        for monitor, subject in said
    )  # fmt: skip
    return replace(fresh(name, "1", NOW, ("matured",)), latest=latest)


def served(window: Window, rng: np.random.Generator) -> Served:
    """Return what was answered in a minute."""
    return Served(window, 300, 2, Counter({"": 298, "error": 2}), rng.lognormal(3.0, 0.4, 298))


def points(name: str) -> tuple[MetricPoint, ...]:
    """Return the day's figures."""
    window = Window(NOW - 2 * DAY, NOW - DAY)
    return tuple(
        MetricPoint(name, "1", metric, window, 0.5, 0.45, 0.55, 5_000, 1.0, "matured")
        for metric in METRICS
    )


@dataclass(frozen=True)
class Spent:
    """CPU seconds of a tick: without alerts, and with them; and incidents that are open."""

    bare: float
    whole: float
    open: int


def tick(
    records: Records, registry: MemoryRegistry, plans: dict[str, ModelPlan], number: int
) -> Spent:
    """Run the alerts of one tick of all models."""
    rng = np.random.default_rng(number)
    window = Window(NOW + (number - 1) * MINUTE, NOW + number * MINUTE)
    bare, whole, open_ = 0.0, 0.0, 0
    for name, mine in plans.items():
        seen, counted = watch(name), served(window, rng)
        fresh_points = points(name) if number == TICKS else ()
        cursor, progress = f"cursor:{name}", Progress(window.end)
        begun = time.process_time()
        with records.begin() as uow:
            uow.prepare((cursor,))
            uow.load(cursor, Progress)
            uow.save(cursor, progress)
        bare += time.process_time() - begun
        begun = time.process_time()
        with records.begin() as uow:
            incidents = (incident_key(name, rule.name) for rule in mine.rules)
            uow.prepare((cursor, SILENCES, rules_key(name), tallies_key(name), *incidents))
            uow.load(cursor, Progress)
            uow.save(cursor, progress)
            sources = Sources(records, registry, seen, "1", fresh_points, counted)
            heard = hear(mine, uow, sources, window.end, Bulkhead())
            end(mine, uow, heard.gone, window.end)
            found = alert(mine, uow, seen.latest, None, (), window.end, heard)
        whole += time.process_time() - begun
        open_ += sum(state.open for state in found.states)
    return Spent(bare, whole, open_)


def main() -> None:
    """Print the CPU seconds of each tick."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    parser.add_argument("--models", type=int, default=MODELS)
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        one = plan(folder)
        print(f"{asked.models} models, {sum(r.own for r in one.rules)} + "
              f"{sum(not r.own for r in one.rules)} rules each")  # fmt: skip
        names = [f"model{number}" for number in range(asked.models)]
        plans = {name: replace(one, spec=replace(one.spec, name=name)) for name in names}
        clock, registry = SimulatedClock(NOW), MemoryRegistry()
        for name in names:
            card = ModelVersion(name, "1", "", "", NOW, trained_until=NOW - DAY)
            registry.register(card, folder / "homeostat.yaml")
        for what, records in (
            ("memory", MemoryRecords(clock)),
            ("SQLite", DatabaseRecords(f"sqlite:///{folder}/records.db", clock, "OFF")),
        ):
            profiler = cProfile.Profile()
            ticks = []
            for number in range(1, TICKS + 1):
                if asked.profile and number > 1:
                    profiler.enable()
                ticks.append(tick(records, registry, plans, number))
                profiler.disable()
            print(f"{what}, CPU s of each tick; {ticks[-1].open} incidents open")
            for told, figures in (
                ("transaction without alerts", [t.bare for t in ticks]),
                ("transaction with alerts", [t.whole for t in ticks]),
                ("alerts", [t.whole - t.bare for t in ticks]),
            ):
                print(f"  {told:27}", " ".join(f"{spent:.2f}" for spent in figures))
            if asked.profile:
                pstats.Stats(profiler).sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
