"""Which columns the champion lives on, measured now and then on what the log holds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from homeostat.detectors.importance.permutation import ImportanceConfig
from homeostat.domain.errors import ArtifactError
from homeostat.domain.model import ModelVersion, Task
from homeostat.domain.record import LABEL_SCHEMA, prediction_schema
from homeostat.domain.verdict import MetricPoint
from homeostat.domain.window import Window
from homeostat.engine.importance import ImportanceMemory, Importances, Measured, importance_key
from homeostat.engine.loop import state_keys
from homeostat.engine.plan import ImportancePolicy, ModelPlan
from homeostat.engine.watch import Fault, Watch
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRegistry
from homeostat.simulation.fakes.models import MemoryScorer
from simulation.world import DAY, MODEL, PLAN, SPEC, START, Fate, World, memory_world
from unit.engine.bench import watch

POLICY = ImportancePolicy(5 * DAY, ImportanceConfig(rows=300, repeats=2, min_rows=20))
MEASURING = replace(PLAN, importance=POLICY)
NEVER = ImportanceMemory()
MATURE = SPEC.labels.maturity


@dataclass
class Place:
    """A log with ten days of labelled rows, and a scorer that looks at ``signal`` only."""

    folder: Path
    plan: ModelPlan = MEASURING
    log: MemoryLog = field(default_factory=lambda: MemoryLog(SimulatedClock(START + 30 * DAY)))
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)
    scorer: MemoryScorer = field(default_factory=MemoryScorer)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))

    def __post_init__(self) -> None:
        self.scorer.functions[MODEL, "1"] = lambda rows: rows["signal"].to_numpy()
        for day in range(10):
            self.fill(START + day * DAY, 40)

    def fill(self, at: datetime, n: int, **fields: object) -> None:
        signal = self.rng.random(n)
        columns = {
            "prediction_id": [f"{at:%d%H}-{i}" for i in range(n)],
            "timestamp": [at + i * DAY / (n + 1) for i in range(n)],
            "role": ["champion"] * n,
            "tier": ["model"] * n,
            "version": ["1"] * n,
            "score": np.zeros(n) if self.plan.spec.task is Task.MULTICLASS else signal,
            "signal": signal,
        } | fields
        schema = prediction_schema(self.plan.spec)
        rows = {f.name: columns.get(f.name, pa.nulls(n, f.type)) for f in schema}
        assert self.log.append(self.plan.spec, pa.table(rows, schema)).accepted == n
        labels = {
            "prediction_id": columns["prediction_id"],
            "label": (self.rng.random(n) < signal).astype(float),
            "arrival": [START + 20 * DAY] * n,
        }
        self.log.append_labels(self.plan.spec, pa.table(labels, LABEL_SCHEMA))

    def card(self, trained: datetime | None) -> None:
        (self.folder / "a").write_text("1")
        made = ModelVersion(MODEL, "1", "linear", "", START, trained_until=trained)
        self.registry.register(made, self.folder / "a")

    def measure(
        self,
        now: datetime,
        memory: ImportanceMemory = NEVER,
        seen: Watch | None = None,
    ) -> Measured:
        importances = Importances(self.log, self.scorer, self.registry)
        rng = np.random.default_rng(2)
        return importances.measure(self.plan, memory, "1", seen or watch(), now, rng)


NOW = START + 20 * DAY + MATURE


def by_name(found: Measured) -> dict[str, MetricPoint]:
    return {point.name: point for point in found.points}


def test_the_newest_whole_period_with_complete_labels_is_measured_once(tmp_path: Path) -> None:
    place = Place(tmp_path)
    early = place.measure(START + 5 * DAY + MATURE - DAY / 24)
    assert early == Measured(ImportanceMemory())
    found = place.measure(START + 10 * DAY + MATURE + DAY, ImportanceMemory())
    assert found.memory.until == START + 10 * DAY
    assert found.problem == "no row has a label that is known", "they arrive on day 20"
    found = place.measure(NOW, ImportanceMemory(START + 15 * DAY))
    assert found.memory.until == START + 20 * DAY
    again = place.measure(NOW + DAY, found.memory)
    assert again == Measured(found.memory)


def measured(place: Place, seen: Watch | None = None) -> Measured:
    """Measure days 0 to 5, or to 10 if the policy says so, at a time when labels are known."""
    whole = replace(place.plan, importance=ImportancePolicy(10 * DAY, POLICY.config))
    place.plan = replace(whole, spec=replace(SPEC, labels=replace(SPEC.labels, maturity=10 * DAY)))
    return place.measure(START + 20 * DAY, seen=seen)


def test_columns_are_measured_on_a_bounded_sample(tmp_path: Path) -> None:
    sizes: list[int] = []
    place = Place(tmp_path)

    def counted(rows: pa.Table) -> np.ndarray:
        sizes.append(rows.num_rows)
        return rows["signal"].to_numpy()

    place.scorer.functions[MODEL, "1"] = counted
    found = by_name(measured(place))
    assert set(found) == {f"importance:{name}" for name in SPEC.schema.names}
    signal = found["importance:signal"]
    assert signal.lower > 0.05
    assert (signal.n, signal.version, signal.cohort, signal.coverage) == (300, "1", "matured", 1.0)
    assert signal.window == Window(START, START + 10 * DAY)
    assert all(found[name].value == 0.0 for name in found if not name.endswith("signal"))
    assert sizes == [300] + [600] * len(SPEC.schema.names)
    assert by_name(measured(place)) == found, "one seed, one result"


def test_rows_that_the_champion_was_trained_on_are_left_out(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.card(START + 8 * DAY)
    assert {point.n for point in measured(place).points} == {80}
    late = Place(tmp_path)
    late.card(START + 12 * DAY)
    assert measured(late).problem == "no row has a label that is known"


def test_faults_fallbacks_and_shadows_are_left_out(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.card(START + 8 * DAY)
    place.fill(START + 9.5 * DAY, 30, tier=["default"] * 30)
    place.fill(START + 9.25 * DAY, 30, role=["shadow"] * 30)
    fault = Fault("signal", START + 8 * DAY, START + 9 * DAY)
    found = measured(place, replace(watch(), faults=(fault,))).points
    assert {point.n for point in found} == {40}


def test_too_few_rows_make_no_points(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.card(START + 9.75 * DAY)
    found = measured(place)
    assert found.points == ()
    assert "at least 20 are needed" in found.problem
    assert found.memory.until == START + 10 * DAY


def test_a_champion_that_cannot_score_is_no_reason_to_stop(tmp_path: Path) -> None:
    place = Place(tmp_path)

    def torn(_: pa.Table) -> np.ndarray:
        raise ArtifactError("torn")

    place.scorer.functions[MODEL, "1"] = torn
    assert measured(place).problem == "scoring failed: ArtifactError: torn"


def test_probabilities_are_used_where_a_champion_gives_them(tmp_path: Path) -> None:
    spec = replace(SPEC, task=Task.MULTICLASS, classes=("low", "high"))
    place = Place(tmp_path, replace(MEASURING, spec=spec))

    def both(rows: pa.Table) -> np.ndarray:
        chance = 0.3 * rows["signal"].to_numpy()  # never the likeliest class
        return np.stack([1.0 - chance, chance], axis=1)

    place.scorer.functions[MODEL, "1"] = both
    place.plan = replace(place.plan, importance=ImportancePolicy(10 * DAY, POLICY.config))
    whole = replace(spec, labels=replace(spec.labels, maturity=10 * DAY))
    place.plan = replace(place.plan, spec=whole)
    found = by_name(place.measure(START + 20 * DAY))
    assert found["importance:signal"].value > 0.0


def test_without_a_policy_nothing_is_measured(tmp_path: Path) -> None:
    place = Place(tmp_path, PLAN)
    assert place.measure(NOW) == Measured(ImportanceMemory())
    assert importance_key(MODEL) not in state_keys(PLAN)


def live(folder: Path, days: int, plan: ModelPlan) -> World:
    world = memory_world(folder, Fate(4), plan)
    for _ in range(days):
        world.advance(DAY)
    return world


def test_a_life_with_and_without_it(tmp_path: Path) -> None:
    world = live(tmp_path / "with", 12, MEASURING)
    points = world.ports.records.metrics(MODEL, "importance:signal")
    assert [point.window.start for point in points] == [START, START + 5 * DAY]
    assert all(point.lower > 0 for point in points)
    memory = world.ports.records.read(importance_key(MODEL), ImportanceMemory)
    assert memory == ImportanceMemory(points[-1].window.end)
    assert importance_key(MODEL) in state_keys(MEASURING)
    plain = live(tmp_path / "without", 12, PLAN)
    assert plain.ports.records.keys("importance:") == ()

    def others(one: World) -> list[MetricPoint]:
        found = one.ports.records.metrics(MODEL)
        return [point for point in found if not point.name.startswith("importance:")]

    assert others(plain) == others(world), "it draws from a generator of its own"
