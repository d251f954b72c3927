"""Trainings that go wrong, as real processes: each ends with a reason, and the champion stays."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from homeostat.adapters.models import RegistryScorer, Term, save_linear
from homeostat.adapters.trainers.local import CommandTrainer
from homeostat.adapters.trainers.processes import Limits
from homeostat.domain.effect import StartTraining
from homeostat.domain.manifest import TrainingManifest
from homeostat.domain.model import ModelSpec
from homeostat.domain.window import Window
from homeostat.engine.maintenance import Retrained, Workshop, retrain
from homeostat.engine.manifests import Manifests
from homeostat.engine.plan import ModelPlan
from homeostat.engine.training import TrainingRows
from homeostat.engine.watch import Watch
from homeostat.retraining.gate.behaviour import Change, Direction, Expectation
from homeostat.retraining.planning import Plan
from homeostat.retraining.policy import Trigger, TriggerKind
from homeostat.retraining.run import RunState, Stage
from homeostat.rollout.state import RolloutState
from homeostat.rollout.state import Stage as RolloutStage
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRegistry
from simulation.world import DAY, HOUR, MODEL, PLAN, SPEC, START, Fate, World, memory_world
from unit.engine.bench import watch

NOW = START + 6 * DAY
RUN_PLAN = Plan(
    "1", Window(START + DAY, START + 4 * DAY), Window(START + 4 * DAY, START + 5 * DAY), NOW
)
TRAINING = RunState(
    MODEL, 1, Stage.TRAINING, Trigger(TriggerKind.MANUAL, "asked"), plan=RUN_PLAN,
    started_at=NOW - HOUR, starts=(NOW - HOUR,),
)  # fmt: skip
REQUEST = StartTraining(TRAINING.run_id, MODEL, "1", RUN_PLAN.training, NOW)
WATCH: Watch = replace(watch(), metrics_until=(("matured", NOW - DAY),))
REST = RolloutState(MODEL, RolloutStage.CHAMPION, "1")
COPY = 'cp -r "$SOURCE"/. "$HOMEOSTAT_ARTIFACT"'
LENIENT: ModelPlan = replace(PLAN, gate_margin=0.5)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A world in which six days were answered and labelled; nothing else need have happened."""
    made = memory_world(tmp_path_factory.mktemp("world"), Fate(4))
    window = Window(made.clock.now(), made.clock.advance(6 * DAY))
    for records in made.answers(window):
        made.ports.log.append(SPEC, records)
    made.ports.log.append_labels(SPEC, made.fate.labels(window))
    return made


@dataclass
class Bench:
    world: World
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    registry: MemoryRegistry

    def train(
        self,
        command: str,
        limits: Limits,
        limit: float = 30.0,
        plan: ModelPlan = PLAN,
        scorer: RegistryScorer | None = None,
    ) -> Retrained:
        self.monkeypatch.setenv("SOURCE", str(self.folder / "made"))
        clock = SimulatedClock(NOW)
        seconds = timedelta(seconds=limit)
        trainer = CommandTrainer(
            self.folder / "runs", ("sh", "-c", command), clock, self.folder, seconds,
            wait=True, limits=limits, variables=("SOURCE",),
        )  # fmt: skip
        ports = self.world.ports
        rows = TrainingRows(ports.log)(SPEC, REQUEST)
        Manifests(ports.records, ports.log)(SPEC, REQUEST, rows, trainer)
        trainer.start(REQUEST, SPEC, rows)
        workshop = Workshop(
            ports.records, ports.log, self.registry, scorer or RegistryScorer(self.registry),
            trainer, Clockwork(),
        )  # fmt: skip
        rng = np.random.default_rng(1)
        return retrain(plan, workshop, TRAINING, WATCH, REST, (), NOW, rng)

    def model(self, intercept: float, *terms: Term) -> None:
        save_linear(self.folder / "made", intercept, terms)


class Clockwork:
    """Seconds that only the slow scorer moves, and every look a little."""

    now = 0.0

    def __call__(self) -> float:
        Clockwork.now += 1e-6
        return Clockwork.now


class Slow(RegistryScorer):
    """A scorer to which the second version takes fifty times as long."""

    def score(self, spec: ModelSpec, version: str, rows: pa.Table) -> NDArray[np.float64]:
        Clockwork.now += 0.05 if version == "2" else 0.001
        return super().score(spec, version, rows)


@pytest.fixture
def bench(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    registry = MemoryRegistry()
    first = world.ports.registry.get(MODEL, "1")
    registry.register(first, world.ports.registry.path(MODEL, "1"))
    return Bench(world, tmp_path, monkeypatch, registry)


PLAIN = Limits(free=0)


@pytest.mark.parametrize(
    ("command", "limits", "limit", "said"),
    [
        ("echo 'no memory left' >&2; exit 3", PLAIN, 30.0, "exit code 3: no memory left"),
        ("sleep 60", PLAIN, 0.4, "training took longer than 0:00:00.400000"),
        (
            'cd "$TMPDIR"; head -c 3000000 /dev/zero > a; cp a b; sleep 60',
            Limits(disk=5_000_000, free=0), 30.0, "MB of disk; the limit is 5 MB",
        ),
        ('echo "{" > "$HOMEOSTAT_ARTIFACT/model.json"', PLAIN, 30.0, "cannot score the hold-out"),
        (
            f"""{COPY}; echo '{{"sha256": "{"0" * 64}"}}' > "$HOMEOSTAT_ARTIFACT"/../result.json""",
            PLAIN, 30.0, "cannot be registered: the artifact",
        ),
    ],
    ids=["crash", "hang", "disk", "broken", "hash"],
)  # fmt: skip
def test_a_training_that_fails(
    bench: Bench, command: str, limits: Limits, limit: float, said: str
) -> None:
    bench.model(0.0, Term("signal", 3.0))
    found = bench.train(command, limits, limit)
    assert found.state.stage is Stage.FAILED
    assert said in found.state.reason
    assert found.decisions[-1].action == "fail_retraining"
    assert found.baseline is None


def test_a_model_with_other_features_fails(bench: Bench) -> None:
    bench.model(0.0, Term("shoe_size", 1.0))
    found = bench.train(COPY, PLAIN)
    assert found.state.stage is Stage.FAILED
    assert "shoe_size" in found.state.reason


@pytest.mark.parametrize(
    ("terms", "said"),
    [
        ((), "the candidate scores every row 0.5"),
        ((Term("signal", -3.0),), "not shown to be good enough"),
    ],
    ids=["constant", "contrary"],
)
def test_a_model_that_is_no_good_is_rejected(
    bench: Bench, terms: tuple[Term, ...], said: str
) -> None:
    bench.model(0.0, *terms)
    found = bench.train(COPY, PLAIN)
    assert found.state.stage is Stage.REJECTED
    assert said in found.state.reason


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_model_without_finite_scores_is_rejected(bench: Bench) -> None:
    terms = [Term("amount", 1e308, 0.0, 1e-9), Term("amount", 1e308, 0.0, 1e-9)]
    save_linear(bench.folder / "made", 0.0, terms, link="identity")
    found = bench.train(COPY, PLAIN)
    assert found.state.stage is Stage.REJECTED
    assert "the candidate gave no finite score on 480 of 480 rows" in found.state.reason


def test_fifty_times_slower_is_rejected(bench: Bench) -> None:
    bench.model(0.0, Term("signal", 3.0))
    found = bench.train(COPY, PLAIN, plan=LENIENT, scorer=Slow(bench.registry))
    assert found.state.stage is Stage.REJECTED
    assert "refused for its latency" in found.state.reason


def expecting(*asked: Expectation) -> ModelPlan:
    assert LENIENT.retraining is not None
    return replace(LENIENT, retraining=replace(LENIENT.retraining, expected=asked))


def test_what_the_owner_expects_is_asked_last_and_the_refusal_says_what_was_not_so(
    bench: Bench,
) -> None:
    bench.model(0.0, Term("signal", 3.0))
    rows = pa.table({"signal": [2.0, -2.0], "amount": [1.0, 1.0]})
    up = Expectation("rises", changes=(Change("signal", add=1.0),), direction=Direction.UP)
    found = bench.train(COPY, PLAIN, plan=expecting(up))
    assert found.state.stage is Stage.ACCEPTED
    assert dict(found.decisions[-1].evidence)["check rises_share"] == 1.0
    bench.registry = MemoryRegistry()
    low = Expectation("known", rows, low=0.9)
    same = replace(up, name="even", direction=Direction.SAME, rows=rows)
    first = bench.world.ports.registry
    bench.registry.register(first.get(MODEL, "1"), first.path(MODEL, "1"))
    found = bench.train(COPY, PLAIN, plan=expecting(low, same))
    assert found.state.stage is Stage.REJECTED
    assert "refused for its check known: 1 of 2 rows do as expected" in found.state.reason
    assert "row 2 scores" in found.state.reason
    assert "refused for its check even: 0 of 2 rows" in found.state.reason


def test_rows_that_the_candidate_cannot_score_are_not_as_expected(bench: Bench) -> None:
    bench.model(0.0, Term("signal", 3.0))
    alone = Expectation("alone", pa.table({"amount": [1.0]}), low=0.0)
    found = bench.train(COPY, PLAIN, plan=expecting(alone))
    assert "refused for its check alone: it cannot score such rows" in found.state.reason


def test_the_card_of_a_candidate_has_its_manifest(bench: Bench) -> None:
    bench.model(0.0, Term("signal", 3.0))
    found = bench.train(COPY, PLAIN, plan=LENIENT)
    card = bench.registry.get(MODEL, found.state.candidate)
    kept = card.manifest
    assert isinstance(kept, TrainingManifest)
    assert card.rows == kept.rows > 0
    assert (kept.run_id, kept.parent, kept.window) == (REQUEST.run_id, "1", RUN_PLAN.training)
    told = json.loads((bench.folder / "runs" / REQUEST.run_id / "request.json").read_text())
    assert told["seed"] == kept.seed
    assert kept.as_of == datetime.fromisoformat(told["request"]["as_of"])
