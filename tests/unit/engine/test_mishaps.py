"""Rows that an older version let in, and windows that cannot be read, stop nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as oracle

from homeostat.domain.decision import Decision
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.record import LABEL_SCHEMA
from homeostat.domain.verdict import Monitor
from homeostat.domain.window import Window
from homeostat.engine.loop import Engine
from homeostat.engine.outcomes import measure_windows
from homeostat.engine.plan import EstimationPolicy
from homeostat.simulation.fakes import MemoryLog
from simulation.world import DAY, MODEL, PLAN, SPEC, START, Fate, World, memory_world
from unit.engine.bench import TODAY, logged, tell, watch
from unit.engine.test_segments import REST, SIZE, TONE, measured

LAX = replace(SPEC, task=Task.REGRESSION, classes=())
"""What a version without the check would have stored."""


def decided(world: World, action: str) -> list[Decision]:
    return [d for d in world.ports.records.decisions(MODEL) if d.action == action]


@pytest.mark.parametrize("label", [2.0, -1.0, 0.5, 1e6])
def test_a_bad_label_in_the_log_stops_no_tick(tmp_path: Path, label: float) -> None:
    world = memory_world(tmp_path, Fate(5), replace(PLAN, estimation=EstimationPolicy()))
    for _ in range(3):
        world.advance()
    (key, *_) = world.fate.traffic(Window(START, START + timedelta(hours=1)))["prediction_id"]
    row = {"prediction_id": [key], "label": [label], "arrival": [world.clock.now()]}
    late = pa.table(row, schema=LABEL_SCHEMA)
    assert world.ports.log.append_labels(SPEC, late).accepted == 0
    assert world.ports.log.append_labels(LAX, late).accepted == 1
    for _ in range(9):
        world.advance()
    assert world.problems == []
    (told,) = decided(world, "leave_out")
    assert told.reason.startswith("1 logged rows of 2024-01-21T00:00/2024-01-22T00:00 have a label")
    accuracy = world.ports.records.metrics(MODEL, "accuracy")
    assert [p.n for p in accuracy] == [479, 480]
    assert {v.monitor for v in world.watch.latest} >= {
        Monitor.DATA_DRIFT,
        Monitor.DATA_QUALITY,
        Monitor.VOLUME,
        Monitor.PERFORMANCE,
    }


@pytest.mark.parametrize("strange", [3.0, 1e6])
def test_answers_that_are_no_class_any_more_are_left_out(strange: float) -> None:
    rng = np.random.default_rng(3)
    said, true = rng.integers(0, 3, (2, SIZE)).astype(np.float64)
    log = logged(TONE, true, score=said, prediction=said)
    kept = measured(TONE, log)
    given = np.append(said, strange)
    older = replace(TONE, classes=tuple(f"class {number}" for number in range(2_000_000)))
    found = measured(TONE, logged(older, np.append(true, 0.0), score=given, prediction=given))
    assert found["", "accuracy"] == kept["", "accuracy"]
    assert found["", "accuracy"].value == pytest.approx(oracle.accuracy_score(true, said))


@dataclass
class Torn(MemoryLog):
    """A log one of whose days cannot be read together with its labels."""

    torn: Window = TODAY

    def labelled(
        self, spec: ModelSpec, window: Window, as_of: datetime, columns: Sequence[str] | None = None
    ) -> pa.Table:
        if window.start < self.torn.end and self.torn.start < window.end:
            raise ValueError("a value that nobody foresaw")
        return super().labelled(spec, window, as_of, columns)


def test_a_day_that_cannot_be_measured_is_passed_over_with_a_decision() -> None:
    plain = logged(SPEC, np.zeros(SIZE), score=np.full(SIZE, 0.2))
    log = Torn(plain.clock)
    vars(log).update(vars(plain))
    tell(log, SPEC, np.zeros(SIZE), START + DAY)
    found = measure_windows(PLAN, log, watch(), REST, START + 3 * DAY)
    assert [d.action for d in found.decisions] == ["skip_window"]
    assert "ValueError: a value that nobody foresaw" in found.decisions[0].reason
    assert dict(found.watch.metrics_until) == {"matured": START + 2 * DAY}


def test_a_monitor_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    world = memory_world(tmp_path, Fate(5))
    log = Torn(world.clock, torn=Window(START, START + 100 * DAY))
    world.engine = Engine(replace(world.ports, log=log), world.engine.plans)
    for _ in range(9):
        world.advance()
    assert {problem.partition(" (")[0] for problem in world.problems} == {
        "toy: performance: a fault in Homeostat: ValueError: a value that nobody foresaw"
    }
    assert [d.subject for d in decided(world, "skip_window")] == ["performance"]
    seen = {v.monitor: v.window.end for v in world.watch.latest}
    assert seen[Monitor.DATA_DRIFT] == START + 2 * DAY
    assert seen[Monitor.DATA_QUALITY] == world.clock.now()
