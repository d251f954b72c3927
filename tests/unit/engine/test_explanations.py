"""When rows are looked at, which ones, and what is remembered of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from homeostat.adapters.records.codec import decode, encode
from homeostat.domain.decision import Cause, Diagnosis
from homeostat.domain.explanation import Action, Explanation, FaultKind
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, ModelVersion, Schema
from homeostat.domain.model import Task as Kind
from homeostat.domain.record import LABEL_SCHEMA, PROBABILITIES, prediction_schema
from homeostat.domain.verdict import Monitor, Verdict
from homeostat.domain.window import Window
from homeostat.engine.explanations import (
    ENOUGH_LABELS,
    ENOUGH_ROWS,
    ExplanationMemory,
    Explanations,
    explanation_key,
    unsound,
)
from homeostat.engine.loop import state_keys
from homeostat.engine.plan import ExplanationPolicy, ModelPlan
from homeostat.engine.watch import Fault, Watch
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRegistry
from simulation.world import DAY, MODEL, PLAN, START, TICK
from unit.engine.bench import verdict, watch

CHANGE = START + 8 * DAY
LOOKING = replace(PLAN, diagnosis=ExplanationPolicy())
DRIFT = Diagnosis(Cause.CONCEPT_DRIFT, (), "Retrain.", "It does worse.", retrain=True)
SHIFT = Diagnosis(Cause.COVARIATE_SHIFT, ("x",), "Watch.", "Shifted.", retrain=False)
CLASSES = ("a", "b", "c")
COLUMNS = (
    Column("x", ColumnKind.NUMERIC),
    Column("y", ColumnKind.NUMERIC),
    Column("shop", ColumnKind.CATEGORICAL),
)


def spec_of(task: Kind, **fields: object) -> ModelSpec:
    classes = {Kind.BINARY: ("no", "yes"), Kind.MULTICLASS: CLASSES}.get(task, ())
    spec = ModelSpec(MODEL, task, Schema(COLUMNS), LabelSpec(DAY), classes=classes)
    return replace(spec, **fields)  # type: ignore[arg-type]


def plan_of(spec: ModelSpec, rows: int = 3000) -> ModelPlan:
    return replace(LOOKING, spec=spec, diagnosis=ExplanationPolicy(rows))


def softmax(x: NDArray[np.float64], sign: float = 1.0) -> NDArray[np.float64]:
    logits = np.column_stack([sign * 2 * x, -sign * 2 * x, 0 * x])
    odds = np.exp(logits)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def day_of(
    spec: ModelSpec, at: datetime, n: int, *, drift: bool, shift: float, **fields: object
) -> tuple[pa.Table, pa.Table]:
    """Return a day's records and labels: drift turns their meaning round, shift moves x."""
    rng = np.random.default_rng(at.toordinal())
    x = rng.normal(size=n) + shift
    sign = -1.0 if drift else 1.0
    columns: dict[str, object] = {
        "prediction_id": [f"{at:%m%d}-{i}" for i in range(n)],
        "timestamp": [at + i * DAY / n for i in range(n)],
        "role": ["champion"] * n,
        "tier": ["model"] * n,
        "version": ["1"] * n,
        "x": x,
        "y": rng.normal(size=n),
        "shop": rng.choice(["north", "south"], n),
    }
    match spec.task:
        case Kind.BINARY:
            columns["score"] = 1 / (1 + np.exp(-2 * x))
            label = rng.random(n) < 1 / (1 + np.exp(-2 * sign * x))
        case Kind.MULTICLASS:
            chances = softmax(x)
            columns["score"] = columns["prediction"] = chances.argmax(axis=1).astype(float)
            columns[PROBABILITIES] = chances.tolist()
            true = softmax(x, sign)
            label = (rng.random(n)[:, None] > true.cumsum(axis=1)).sum(axis=1)
        case _:
            columns["score"] = 3 * x
            label = 3 * sign * x + rng.normal(size=n)
    columns |= fields
    schema = prediction_schema(spec)
    rows = {f.name: columns.get(f.name, pa.nulls(n, f.type)) for f in schema}
    known = {
        "prediction_id": columns["prediction_id"],
        "label": np.asarray(label, dtype=np.float64),
        "arrival": [at + DAY] * n,
    }
    return pa.table(rows, schema), pa.table(known, LABEL_SCHEMA)


def log_of(
    spec: ModelSpec,
    days: int = 12,
    n: int = 300,
    *,
    drift: bool = False,
    shift: float = 0.0,
    labelled: bool = True,
    **fields: object,
) -> MemoryLog:
    log = MemoryLog(SimulatedClock(START + 60 * DAY))
    for number in range(days):
        at = START + number * DAY
        later = at >= CHANGE
        rows, labels = day_of(
            spec, at, n, drift=drift and later, shift=shift if later else 0.0, **fields
        )
        assert log.append(spec, rows).accepted == n
        if labelled:
            log.append_labels(spec, labels)
    return log


def troubled(*verdicts: Verdict, began: datetime = CHANGE, **fields: object) -> Watch:
    when = Window(began, began + DAY)
    latest = tuple(replace(one, window=when) for one in verdicts)
    return replace(watch(), latest=latest, **fields)  # type: ignore[arg-type]


WORSE = troubled(verdict(Monitor.PERFORMANCE, "loss"), drop_since=CHANGE)
MOVED = troubled(verdict(Monitor.DATA_DRIFT, "x"))


def look(
    log: MemoryLog,
    plan: ModelPlan,
    now: datetime,
    memory: ExplanationMemory | None = None,
    *,
    seen: Watch = WORSE,
    found: Diagnosis | None = DRIFT,
    champion: str = "1",
    registry: MemoryRegistry | None = None,
) -> ExplanationMemory:
    explanations = Explanations(log, registry or MemoryRegistry())
    before = memory or ExplanationMemory()
    return explanations.look(plan, before, champion, seen, found, now, np.random.default_rng(7))


def told(memory: ExplanationMemory) -> Explanation:
    assert memory.explanation is not None, memory.problem
    return memory.explanation


@pytest.mark.parametrize("task", list(Kind), ids=[kind.value for kind in Kind])
def test_a_changed_meaning_is_told_of_every_task(task: Kind) -> None:
    spec = spec_of(task)
    memory = look(log_of(spec, drift=True), plan_of(spec), START + 12 * DAY)
    found = told(memory)
    assert found.causes == (Cause.CONCEPT_DRIFT,)
    assert (found.action, found.harmful) == (Action.RETRAIN, True)
    assert "x" in {carrier.name for carrier in found.carriers}
    assert (memory.version, memory.since, memory.problem) == ("1", CHANGE, "")


@pytest.mark.parametrize("task", list(Kind), ids=[kind.value for kind in Kind])
def test_shifted_inputs_are_told_of_every_task(task: Kind) -> None:
    spec = spec_of(task)
    log = log_of(spec, shift=1.0)
    found = told(look(log, plan_of(spec), START + 12 * DAY, seen=MOVED, found=SHIFT))
    assert found.causes == (Cause.COVARIATE_SHIFT,)
    assert found.columns[0] == "x"


def test_classes_without_probabilities_are_explained_too() -> None:
    spec = spec_of(Kind.MULTICLASS)
    log = log_of(spec, drift=True, **{PROBABILITIES: pa.nulls(300)})
    assert Cause.CONCEPT_DRIFT in told(look(log, plan_of(spec), START + 12 * DAY)).causes


def test_a_score_that_got_stuck_is_a_fault() -> None:
    spec = spec_of(Kind.BINARY)
    log = log_of(spec, days=8)
    for number in range(8, 12):
        at = START + number * DAY
        rows, _ = day_of(spec, at, 300, drift=False, shift=0.0, score=np.full(300, 0.3))
        log.append(spec, rows)
    odd = Diagnosis(Cause.UNKNOWN, (), "Look.", "Scores moved.", retrain=False)
    seen = troubled(verdict(Monitor.PREDICTION_DRIFT))
    memory = look(log, plan_of(spec), START + 12 * DAY, seen=seen, found=odd)
    assert [fault.kind for fault in told(memory).faults] == [FaultKind.CONSTANT_SCORE]
    assert len(memory.broken) == 1


def test_without_labels_rows_of_before_are_compared_all_the_same() -> None:
    spec = spec_of(Kind.BINARY)
    log = log_of(spec, shift=1.0, labelled=False)
    now = START + 12 * DAY
    memory = look(log, plan_of(spec), now, seen=MOVED, found=SHIFT)
    assert told(memory).causes == (Cause.COVARIATE_SHIFT,)
    assert told(memory).action is Action.WAIT_FOR_LABELS
    assert told(memory).n_reference >= 1000
    again = look(log, plan_of(spec), now + DAY, memory, seen=MOVED, found=SHIFT)
    assert told(again) is told(memory)
    other = replace(SHIFT, columns=("x", "y"))
    assert look(log, plan_of(spec), now + TICK / 3, memory, seen=MOVED, found=other) == memory
    changed = look(log, plan_of(spec), now + TICK, memory, seen=MOVED, found=other)
    assert (changed.looked, changed.asked[-1]) == (now + TICK, "y")


def test_segments_are_judged_where_the_model_has_some() -> None:
    spec = spec_of(Kind.BINARY, segments=("shop",))
    found = told(look(log_of(spec, drift=True), plan_of(spec), START + 12 * DAY))
    assert {carrier.name for carrier in found.segments} == {"shop=north", "shop=south"}


def test_it_is_waited_for_labelled_rows_a_metric_window_at_most() -> None:
    spec = spec_of(Kind.BINARY)
    log = log_of(spec, n=200, drift=True)
    plan = plan_of(spec)
    now = CHANGE + 2 * DAY
    first = look(log, plan, now)
    assert first.explanation is None
    assert (first.noticed, first.again) == (now, now + DAY / 2)
    assert look(log, plan, now + DAY / 4, first) == first
    second = look(log, plan, now + DAY / 2, first)
    assert second.explanation is None
    third = look(log, plan, now + DAY, replace(second, again=now + DAY))
    assert told(third).n_labelled == 401 < ENOUGH_LABELS
    by_rows = look(log, plan, CHANGE + 2 * DAY, seen=MOVED, found=SHIFT)
    assert told(by_rows).n_current == 400 >= ENOUGH_ROWS


def test_few_rows_say_nothing_and_that_is_told() -> None:
    spec = spec_of(Kind.BINARY)
    log = log_of(spec, days=9, n=40)
    now = CHANGE + DAY
    first = look(log, plan_of(spec), now, seen=MOVED, found=SHIFT)
    second = look(
        log, plan_of(spec), now + DAY, replace(first, again=None), seen=MOVED, found=SHIFT
    )
    assert second.explanation is None
    assert second.problem == "40 current rows of version 1, 60 needed"
    fresh = look(log_of(spec, drift=True), plan_of(spec), START + 12 * DAY, champion="2")
    assert fresh.explanation is None


def test_rows_that_the_champion_was_trained_on_are_no_reference(tmp_path: Path) -> None:
    spec = spec_of(Kind.BINARY)
    registry = MemoryRegistry()
    (tmp_path / "a").write_text("1")
    card = ModelVersion(MODEL, "1", "linear", "", START, trained_until=CHANGE)
    registry.register(card, tmp_path / "a")
    log = log_of(spec, drift=True)
    memory = look(log, plan_of(spec), START + 12 * DAY, registry=registry)
    assert memory.problem == "0 reference rows of version 1, 60 needed"


def test_what_may_have_begun_before_it_was_seen_is_no_reference() -> None:
    spec = spec_of(Kind.BINARY)
    log = log_of(spec, shift=1.0)
    late = troubled(verdict(Monitor.DATA_DRIFT, "x"), began=CHANGE + 2 * DAY)
    found = told(look(log, plan_of(spec), START + 12 * DAY, seen=late, found=SHIFT))
    assert found.n_reference == 8 * 300
    assert found.causes == (Cause.COVARIATE_SHIFT,)


def test_of_a_short_trouble_rows_of_the_same_hours_are_the_reference() -> None:
    spec = spec_of(Kind.BINARY)
    day = troubled(verdict(Monitor.VOLUME), began=CHANGE + DAY / 2)
    now = CHANGE + 3 * DAY / 4
    log = log_of(spec, n=4000)
    odd = Diagnosis(Cause.UNKNOWN, (), "Look.", "Odd.", retrain=False)
    found = told(look(log, plan_of(spec), now, seen=day, found=odd))
    assert found.causes == ()
    assert 900 < found.n_reference <= 3000


def test_bounded_rows_are_looked_at() -> None:
    spec = spec_of(Kind.BINARY)
    log = log_of(spec, n=2000, drift=True)
    found = told(look(log, plan_of(spec, 500), START + 12 * DAY))
    assert (found.n_reference, found.n_labelled) == (500, 500)
    assert found.n_current <= 1000
    assert found.causes == (Cause.CONCEPT_DRIFT,)


def test_of_a_long_trouble_the_newest_weeks_are_looked_at() -> None:
    spec = spec_of(Kind.BINARY)
    now = CHANGE + 40 * DAY
    memory = look(log_of(spec, days=48, n=60, drift=True), plan_of(spec), now)
    assert memory.since == CHANGE
    assert told(memory).n_current == 28 * 60


@pytest.mark.parametrize("cause", [Cause.MODEL_DOWN, Cause.BAD_VERSION])
def test_what_hides_all_else_neither_ends_the_trouble_nor_is_explained(cause: Cause) -> None:
    spec = spec_of(Kind.BINARY)
    log = log_of(spec, drift=True)
    memory = look(log, plan_of(spec), START + 12 * DAY)
    hidden = replace(DRIFT, cause=cause)
    assert look(log, plan_of(spec), START + 13 * DAY, memory, found=hidden) is memory


def test_what_is_about_the_service_is_no_matter_of_rows() -> None:
    slow = troubled(verdict(Monitor.SERVICE, "latency"))
    odd = Diagnosis(Cause.UNKNOWN, (), "Look.", "Slow.", retrain=False)
    none = ExplanationMemory()
    log = MemoryLog(SimulatedClock(START))
    assert look(log, LOOKING, START + DAY, none, seen=slow, found=odd) is none
    assert look(log, PLAN, START + DAY, none, seen=WORSE, found=DRIFT) is none


def test_another_champion_is_another_trouble() -> None:
    spec = spec_of(Kind.BINARY)
    log = log_of(spec, drift=True)
    memory = look(log, plan_of(spec), START + 12 * DAY)
    fault = Fault("x", CHANGE, reason="broken")
    now = START + 13 * DAY
    after = look(log, plan_of(spec), now, replace(memory, faults=(fault,)), champion="2")
    assert (after.version, after.explanation) == ("2", None)
    assert after.faults == (replace(fault, end=now),)


def test_broken_stretches_end_with_the_trouble_and_are_forgotten_in_time() -> None:
    spec = spec_of(Kind.BINARY)
    log = log_of(spec, y=np.ones(300))
    fault = Fault("x", CHANGE, reason="broken")
    before = ExplanationMemory("1", CHANGE, CHANGE, looked=CHANGE, faults=(fault,))
    now = START + 12 * DAY
    calm = look(log, plan_of(spec), now, before, found=None)
    assert calm == ExplanationMemory(looked=CHANGE, faults=(replace(fault, end=now),))
    assert look(log, plan_of(spec), now + DAY, calm, found=None) is calm
    later = look(log, plan_of(spec), now + 30 * DAY, calm, found=None)
    assert later == ExplanationMemory(looked=CHANGE)
    assert look(log, plan_of(spec), now + 31 * DAY, later, found=None) is later


def test_a_fault_is_looked_after_until_rows_are_sound() -> None:
    spec = spec_of(Kind.BINARY)
    plan = plan_of(spec)
    stuck = log_of(spec, days=8)
    for number in range(8, 12):
        at = START + number * DAY
        rows, labels = day_of(spec, at, 300, drift=False, shift=0.0, y=np.full(300, 0.7))
        stuck.append(spec, rows)
        stuck.append_labels(spec, labels)
    moved = troubled(verdict(Monitor.DATA_DRIFT, "y"))
    now = START + 12 * DAY
    memory = look(stuck, plan, now, seen=moved, found=SHIFT)
    (fault,) = memory.broken
    assert (fault.column, fault.start) == ("y", CHANGE)
    assert "stuck" in fault.reason
    same = look(stuck, plan, now + DAY, memory, seen=moved, found=SHIFT)
    assert same.looked == now + DAY
    assert same.broken == (fault,)
    found_too = replace(moved, faults=(Fault("y", CHANGE, reason="monitors saw it"),))
    theirs = look(stuck, plan, now, seen=found_too, found=replace(SHIFT, cause=Cause.DATA_FAULT))
    assert Cause.DATA_FAULT in told(theirs).causes
    assert theirs.faults == ()
    sound = look(log_of(spec, shift=1.0), plan, now + DAY, memory, seen=moved, found=SHIFT)
    assert sound.faults == (), "what is not found again among all rows since is taken back"


def test_retraining_sees_broken_stretches_and_no_drop_that_rests_on_them() -> None:
    seen = replace(watch(), metrics_until=(("matured", CHANGE),), drops=3)
    assert unsound(PLAN, seen, (), CHANGE) == seen
    early = Fault("x", START, START + DAY, "broken")
    assert unsound(PLAN, seen, (early,), CHANGE) == replace(seen, faults=(early,))
    late = Fault("x", CHANGE - DAY / 2, None, "broken")
    assert unsound(PLAN, seen, (late,), CHANGE) == replace(seen, faults=(late,), drops=0)


def test_the_memory_survives_storage_and_has_a_key_of_its_own() -> None:
    spec = spec_of(Kind.BINARY)
    memory = look(log_of(spec, drift=True), plan_of(spec), START + 12 * DAY)
    memory = replace(memory, faults=(Fault("x", CHANGE, reason="<b>"),))
    stored = encode(memory)
    assert decode(stored, ExplanationMemory).explanation is not None
    assert encode(decode(stored, ExplanationMemory)) == stored
    assert explanation_key(MODEL) in state_keys(LOOKING)
    assert explanation_key(MODEL) not in state_keys(PLAN)
