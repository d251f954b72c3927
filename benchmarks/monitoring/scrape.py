"""What a scrape of the control plane costs, by the number of models, and who can read it.

And what it takes to make remote write's requests of the same figures, beside the scrape's text.

Each model has 25 features of which 20 have series, 42 verdicts, 18 metrics and an open incident, in
an SQLite database. With prometheus_client installed (in an environment of its own), both of its
parsers read the result.

How to run:
    PYTHONPATH=src:tests .venv/bin/python benchmarks/monitoring/scrape.py --models 100
    PYTHONPATH=src:tests .venv/bin/python benchmarks/monitoring/scrape.py --models 1 --write out
    python -m pip install prometheus-client && python benchmarks/monitoring/read.py out
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from homeostat.adapters.notifiers.http import Poster
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.adapters.remote_write import RemoteWrite
from homeostat.alerting.episode import IncidentState
from homeostat.engine.late import LateMemory
from homeostat.engine.ports import Records
from homeostat.engine.series import SeriesMemory
from homeostat.engine.watch import Progress, Watch
from homeostat.entrypoints.exposition import render
from homeostat.entrypoints.monitoring.control import ControlFigures
from homeostat.entrypoints.monitoring.pushed import series as as_series
from homeostat.entrypoints.worker import Pulse
from homeostat.retraining.run import RunState
from homeostat.rollout.state import RolloutState
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRegistry
from unit.entrypoints.monitoring.standing import NOW, PLAN, busy

STATES: dict[str, type[object]] = {
    "watch": Watch,
    "rollout": RolloutState,
    "retraining": RunState,
    "late": LateMemory,
    "estimates": Progress,
    "early": Progress,
    "series": SeriesMemory,
    "incident": IncidentState,
}


def multiply(source: Records, target: Records, names: list[str]) -> None:
    """Copy what is known of the one model to many."""
    points = source.metrics("fraud", segment=None)
    states = [(key, source.read(key, STATES[key.split(":")[0]])) for key in source.keys("")]
    for name in names:
        with target.begin() as uow:
            for key, state in states:
                kind, _, rest = key.split(":", 2) if key.count(":") > 1 else (*key.split(":"), "")
                copied = f"{kind}:{name}" + (f":{rest}" if rest else "")
                same = state if kind in {"late", "estimates", "early", "series"} else None
                uow.save(copied, same or replace(state, model=name))  # type: ignore[type-var]
            uow.measure(*(replace(point, model=name) for point in points))


def main() -> None:
    """Measure and print a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    names = [f"m{number:04}" for number in range(given.models)]
    with tempfile.TemporaryDirectory() as folder:
        clock = SimulatedClock(NOW)
        records = DatabaseRecords(f"sqlite:///{folder}/records.db", clock, "OFF")
        multiply(busy().records, records, names)
        plans = {name: replace(PLAN, spec=replace(PLAN.spec, name=name)) for name in names}
        figures = ControlFigures(
            records, MemoryRegistry(), plans, clock, Pulse(), timedelta(minutes=1)
        )
        spent = []
        for _ in range(4):
            began = time.process_time()
            families = figures.families()
            text = render(families, openmetrics=True)
            spent.append(time.process_time() - began)
        writer = RemoteWrite(Poster("remote write", "http://127.0.0.1:9/", clock), clock)
        offered = []
        for _ in range(2):
            began = time.process_time()
            writer.offer(as_series(families, {"job": "homeostat", "instance": "here"}), clock.now())
            offered.append(time.process_time() - began)
        if given.write is not None:
            given.write.mkdir(parents=True, exist_ok=True)
            (given.write / "openmetrics.txt").write_text(text)
            (given.write / "classic.txt").write_text(render(families, openmetrics=False))
        records.close()
    series = sum(not line.startswith("#") for line in text.splitlines())
    print(
        f"{given.models} models: {series} series, {len(text) / 1e6:.2f} MB, "
        f"first {spent[0]:.3f} s, then {min(spent[1:]):.3f} s of CPU; "
        f"remote write {offered[0]:.3f} s, then {offered[1]:.3f} s, {writer.size / 2e6:.2f} MB"
    )


if __name__ == "__main__":
    main()
