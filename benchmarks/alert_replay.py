"""A year of hourly figures and ticks of one model, replayed and tuned.

Twenty rules: the eleven built in, of which one has five limits on metrics, and nine of the owner's
on series. Figures are noise with some dips; verdicts, metric points and service verdicts lie in
records in memory, or with ``--sqlite`` in a database file.

    PYTHONPATH=src:tests python benchmarks/alert_replay.py [--sqlite] [--days 365]

Prints the CPU seconds of reading the records (`Recorded.read`), of showing the rules on series
their figures (`Listener.heard`), of replaying all rules (`replay`), and of tuning
(`Listener.looked_at` and `Tuner.advise`).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np

from homeostat.adapters.records import DatabaseRecords
from homeostat.alerting.conditions.missing import Missing
from homeostat.alerting.conditions.relative import Relative
from homeostat.alerting.conditions.signal import Series
from homeostat.alerting.conditions.static import Static
from homeostat.alerting.rules import AlertRule, default_rules
from homeostat.detectors.series import limits
from homeostat.detectors.series.limits import LimitConfig
from homeostat.domain.decision import Decision, Severity
from homeostat.domain.limit import Limit, LimitState
from homeostat.domain.point import Point
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.plan import MetricThreshold, ModelPlan
from homeostat.engine.ports import Records
from homeostat.engine.replay import replay
from homeostat.engine.replay_series import Listener
from homeostat.engine.tape import Recorded
from homeostat.engine.tuning import Tuner
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRecords, MemoryRegistry
from simulation.world import MODEL, PLAN, START

HOUR = timedelta(hours=1)
METRICS = ("auc", "accuracy", "recall", "precision", "f1")


def plan() -> ModelPlan:
    """Return a plan with twenty rules."""
    own: list[AlertRule] = []
    for metric in METRICS:
        condition = Static(Series(metric, HOUR), Limit(below=0.82, min_rows=30))
        own.append(_own(f"low_{metric}", condition))
    own.append(_own("fell", Relative(Series("auc", HOUR), 0.05, trailing=timedelta(days=7))))
    own.append(_own("silent", Static(Series("requests", HOUR), Limit(below=1.0))))
    own.append(_own("failing", Static(Series("error_rate", HOUR), Limit(above=0.05))))
    own.append(_own("gone", Missing(Series("auc", HOUR), timedelta(hours=6))))
    thresholds = tuple(
        MetricThreshold(f"{metric} limit", metric, LimitConfig(below=0.82, min_rows=30))
        for metric in METRICS
    )
    rules = (*default_rules(("ops",)), *own)
    assert len(rules) == 20
    return replace(PLAN, rules=rules, thresholds=thresholds)


def _own(
    name: str, condition: Static | Relative | Missing, severity: Severity = Severity.WARNING
) -> AlertRule:
    return AlertRule(name, condition, severity, "r.md", receivers=("ops",), own=True)


def fill(records: Records, made: ModelPlan, hours: int) -> int:
    """Write the year down; return the number of verdicts."""
    rng = np.random.default_rng(1)
    states = {threshold.name: LimitState() for threshold in made.thresholds}
    values = {metric: 0.9 + 0.01 * rng.standard_normal(hours) for metric in METRICS}
    for series in values.values():
        for place in rng.integers(0, hours - 50, hours // 200):
            series[place : place + int(rng.integers(1, 30))] -= rng.uniform(0.05, 0.2)
    count = 0
    with records.begin() as uow:
        uow.decide(Decision(MODEL, START, "homeostat", "install", "1", ""))
        for hour in range(hours):
            window = Window(START + hour * HOUR, START + (hour + 1) * HOUR)
            verdicts = [_service(window)]
            for threshold in made.thresholds:
                assert isinstance(threshold.config, LimitConfig)
                value = float(values[threshold.metric][hour])
                point = Point(window, value, 0.01, 100)
                states[threshold.name], verdict = limits.evaluate(
                    threshold.config, states[threshold.name], MODEL, threshold.name, point
                )
                verdicts.append(verdict)
                low, high = value - 0.02, value + 0.02
                uow.measure(
                    MetricPoint(
                        MODEL, "1", threshold.metric, window, value, low, high, 100, 1.0, "matured"
                    )
                )
            uow.judge(*verdicts)
            count += len(verdicts)
    return count


def _service(window: Window) -> Verdict:
    return Verdict(
        Monitor.SERVICE, MODEL, "availability", window, Status.OK, 0.0, 0.02, 0.0, 100.0,
        float("nan"), 0, 1000, "0 of 1000 rows fell back",
    )  # fmt: skip


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print the CPU time of a block."""
    began = time.process_time()
    yield
    print(f"{what:<32} {time.process_time() - began:6.2f} s CPU")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sqlite", action="store_true")
    parser.add_argument("--days", type=int, default=365)
    asked = parser.parse_args()
    made, clock = plan(), SimulatedClock(START)
    with tempfile.TemporaryDirectory() as folder:
        records: Records = MemoryRecords(clock)
        if asked.sqlite:
            records = DatabaseRecords(f"sqlite:///{Path(folder) / 'records.db'}", clock)
        count = fill(records, made, asked.days * 24)
        span = Window(START, START + timedelta(days=asked.days, hours=25))
        print(f"{asked.days} days, {len(made.rules)} rules, {count:,} verdicts")
        with timed("reading"):
            tape, past = Recorded(records, made, HOUR).read(span)
        listener = Listener(made, records, MemoryRegistry())
        with timed("rules on series"):
            heard = [
                (at, rule, signal)
                for at, told in listener.heard(tape, past)
                for rule, signal in told
            ]
            tape = tape.with_signals(heard)
        with timed("replaying"):
            found = replay(made.rules, tape)
        print(f"{len(tape.ticks):,} ticks, {len(tape.changes):,} changes, {len(found)} incidents")
        with timed("tuning"):
            looked = listener.looked_at(tape, past)
            advised = Tuner(made, tape, span, 1.0, series=looked).advise()
        print(f"{advised.pages:.2f} pages a week, {sum(advised.counts) / advised.weeks:.2f} after")


if __name__ == "__main__":
    main()
