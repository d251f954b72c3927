"""Labels that come or are corrected late restate what was measured, and it is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.detectors.value.metric import LABEL, PREDICTION, parse_metric
from homeostat.domain.decision import Decision
from homeostat.domain.expression import Type, column_types
from homeostat.domain.record import LABEL_SCHEMA
from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window
from homeostat.engine.late import LateMemory, late_key
from homeostat.engine.watch import Fault, Watch, watch_key
from simulation.world import DAY, MODEL, PLAN, SPEC, START, Fate, World, memory_world

FIRST = Window(START, START + DAY)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = memory_world(tmp_path, Fate(5))
    live(made, 2)
    return made


def live(world: World, days: float) -> None:
    end = world.clock.now() + days * DAY
    while world.clock.now() < end:
        world.advance()
    assert not world.problems


def correct(world: World, rows: int) -> None:
    """Turn the newest labels of the first day round."""
    now = world.clock.now()
    table = world.ports.log.labelled(SPEC, FIRST, now, ["prediction_id"]).slice(0, rows)
    columns = {
        "prediction_id": table["prediction_id"],
        "label": pa.array(1.0 - np.asarray(table["label"].to_numpy())),
        "arrival": pa.array([now] * len(table)),
    }
    world.ports.log.append_labels(SPEC, pa.table(columns).cast(LABEL_SCHEMA))


def accuracy(world: World) -> MetricPoint:
    points = world.ports.records.metrics(MODEL, "accuracy", FIRST.start, FIRST.end)
    (point,) = (one for one in points if one.cohort == "matured")
    return point


def told(world: World) -> LateMemory:
    return world.ports.records.read(late_key(MODEL), LateMemory) or LateMemory()


def said(world: World) -> list[Decision]:
    return [one for one in world.ports.records.decisions(MODEL) if one.action == "restate"]


def test_corrections_restate_a_measured_window_and_are_said(world: World) -> None:
    before = accuracy(world)
    correct(world, 10_000)
    live(world, 1)
    after = accuracy(world)
    assert after.value == pytest.approx(1.0 - before.value)
    assert after.n == before.n
    (decision,) = said(world)
    assert decision.subject == "corrected labels"
    assert f"in {FIRST} accuracy from" in decision.reason
    figures = dict(decision.evidence)
    counted = ("late_rows", "late_labels", "corrected_labels", "windows")
    assert [figures[name] for name in counted] == [0.0, 0.0, before.n, 1.0]
    assert told(world).corrected == before.n
    assert figures["accuracy:before"] == before.value
    assert figures["accuracy:after"] == after.value
    live(world, 2)
    assert said(world) == [decision], "it is said once"


def test_one_corrected_label_is_said_too(world: World) -> None:
    before = accuracy(world)
    counts = world.watch.matured[0].counts
    correct(world, 1)
    live(world, 2)
    after = accuracy(world)
    assert abs(after.value - before.value) == pytest.approx(1.0 / before.n)
    (decision,) = said(world)
    assert decision.reason.startswith("known only after it was judged or measured: 1 corrected")
    assert world.watch.matured[0].counts != counts
    assert sum(world.watch.matured[0].counts) == sum(counts)


def test_without_late_labels_nothing_is_restated(world: World) -> None:
    before = accuracy(world)
    live(world, 4)
    assert accuracy(world) == before
    assert said(world) == []


def test_a_correction_long_after_is_noticed_at_the_next_look(world: World) -> None:
    """Looks are 1, 2, 4, 8 ... days after the first measurement."""
    before = accuracy(world)
    live(world, 4.5)
    correct(world, 10_000)
    live(world, 3)
    assert accuracy(world) == before, "between the looks at 4 and 8 days"
    live(world, 1)
    assert accuracy(world).value == pytest.approx(1.0 - before.value)


def find_fault(world: World, window: Window) -> None:
    """Have a fault found that covered a stretch of time in the past."""
    records = world.ports.records
    with records.begin() as unit:
        seen = unit.load(watch_key(MODEL), Watch)
        assert seen is not None
        fault = Fault("amount", window.start, window.end)
        unit.save(watch_key(MODEL), replace(seen, faults=(*seen.faults, fault)))


def figures(world: World) -> dict[str, MetricPoint]:
    points = world.ports.records.metrics(MODEL, since=FIRST.start, until=FIRST.end)
    return {point.name: point for point in points if point.cohort == "matured"}


def test_figures_of_a_window_that_turns_out_to_be_faulty_are_withdrawn(world: World) -> None:
    before = figures(world)
    find_fault(world, FIRST)
    live(world, 1)
    assert figures(world) == {}
    (decision,) = said(world)
    assert f"accuracy from {before['accuracy'].value:.3g} to no figure" in decision.reason
    assert f"{before['accuracy'].n} labels then, 0 now" in decision.reason
    assert decision.subject == "data faults"
    shown = {name for name in dict(decision.evidence) if ":" in name}
    assert shown == {f"{name}:before" for name in before}
    live(world, 2)
    assert said(world) == [decision], "it is said once"


def test_a_metric_that_became_undefined_is_withdrawn_and_the_others_stay(world: World) -> None:
    now = world.clock.now()
    rows = world.ports.log.labelled(SPEC, FIRST, now, ["prediction_id"])
    columns = {
        "prediction_id": rows["prediction_id"],
        "label": pa.array(np.zeros(len(rows))),
        "arrival": pa.array([now] * len(rows)),
    }
    world.ports.log.append_labels(SPEC, pa.table(columns).cast(LABEL_SCHEMA))
    before = figures(world)
    live(world, 1)
    after = figures(world)
    assert {"auc", "recall"} <= set(before) - set(after)
    assert after["positive_rate"].value == 0.0
    (decision,) = said(world)
    assert "auc from" in decision.reason
    assert "to no figure" in decision.reason


def test_business_values_are_restated_and_withdrawn_too(tmp_path: Path) -> None:
    columns = column_types(SPEC.schema) | dict.fromkeys((LABEL, PREDICTION), Type.NUMBER)
    caught = parse_metric("caught", "label == 1 and prediction == 1", columns)
    world = memory_world(tmp_path, Fate(5), replace(PLAN, business=(caught,)))
    live(world, 2)
    before = figures(world)["caught"]
    correct(world, 10_000)
    live(world, 1)
    after = figures(world)["caught"]
    assert after.value < before.lower
    (decision,) = said(world)
    assert dict(decision.evidence)["caught:after"] == after.value
    find_fault(world, FIRST)
    live(world, 1)
    assert "caught" not in figures(world)
    assert "caught from" in said(world)[-1].reason
