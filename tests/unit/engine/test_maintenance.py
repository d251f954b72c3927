"""Retraining: asked for with reason, guarded, followed, judged; never on broken data."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.domain.decision import Cause, Diagnosis
from homeostat.domain.effect import CancelTraining, StartTraining
from homeostat.domain.errors import ArtifactError
from homeostat.domain.model import ModelVersion, Task
from homeostat.domain.verdict import Monitor
from homeostat.engine.maintenance import Retrained, Workshop
from homeostat.engine.ports import Training
from homeostat.engine.training import TrainingRows
from homeostat.engine.watch import Fault
from homeostat.retraining.gate.limits import GateLimits
from homeostat.retraining.policy import RetrainingPolicy, Trigger, TriggerKind
from homeostat.retraining.run import RunState, Stage
from homeostat.rollout.state import Stage as RolloutStage
from homeostat.simulation.fakes import MemoryScorer
from simulation.fitting import contrary, train
from simulation.world import DAY, HOUR, MODEL, PLAN, SPEC, START, World
from unit.engine.bench import verdict
from unit.engine.shop import (
    ASKED,
    DROPPED,
    MATURED,
    NOW,
    REST,
    RUN_PLAN,
    TRAINING,
    WATCH,
    done,
    go,
    policy,
    told,
    trainer,
    workshop_of,
    world_at,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world_at(tmp_path_factory.mktemp("world"))


@pytest.fixture
def workshop(world: World, tmp_path: Path) -> Workshop:
    return workshop_of(world, tmp_path)


def test_who_asks_while_a_run_trains_is_told_so(workshop: Workshop) -> None:
    found = go(workshop, TRAINING, commands=ASKED, now=NOW - HOUR)
    assert found.state.stage is Stage.TRAINING
    (refusal,) = found.decisions
    assert (refusal.action, refusal.actor) == ("refuse", "ana")
    assert "is training already" in refusal.reason


def test_a_model_without_retraining_refuses_it_on_record(workshop: Workshop) -> None:
    for plan, shop in (
        (replace(PLAN, retraining=None), workshop),
        (PLAN, replace(workshop, trainer=None)),
    ):
        assert go(shop, plan=plan) == Retrained(RunState(MODEL))
        found = go(shop, plan=plan, commands=ASKED)
        (made,) = found.decisions
        assert (made.actor, made.action) == ("ana", "refuse")


def test_nothing_asks_nothing_happens(workshop: Workshop) -> None:
    assert go(workshop) == Retrained(RunState(MODEL))


def test_a_drop_trains_on_labels_from_after_its_onset(workshop: Workshop) -> None:
    found = go(workshop, seen=DROPPED)
    (effect,) = found.effects
    assert isinstance(effect, StartTraining)
    assert effect.as_of == NOW
    assert found.state.onset == START + DAY
    assert found.state.plan is not None
    assert found.state.plan.holdout.end == NOW - DAY
    late = replace(DROPPED, drop_since=START + 4 * DAY)
    waits = go(workshop, seen=late)
    assert told(waits) == ["request_retraining", "wait_retraining"]
    assert "only 480 of 1200" in waits.state.reason


def test_a_bad_version_is_no_reason_to_retrain(workshop: Workshop) -> None:
    found = Diagnosis(Cause.BAD_VERSION, (), "", "", retrain=False)
    assert told(go(workshop, seen=replace(DROPPED, diagnosis=found))) == []


def test_a_person_is_named_and_a_fault_refuses_even_them(workshop: Workshop) -> None:
    found = go(workshop, commands=ASKED)
    assert [made.actor for made in found.decisions] == ["ana", "homeostat"]
    assert found.state.stage is Stage.TRAINING
    broken = replace(WATCH, faults=(Fault("amount", NOW - HOUR, reason="cents"),))
    found = go(workshop, seen=broken, commands=ASKED)
    assert found.state.stage is Stage.REFUSED
    assert found.effects == ()


def test_during_a_rollout_only_a_person_asks_and_waits(workshop: Workshop) -> None:
    rolling = replace(REST, stage=RolloutStage.SHADOW, challenger="2")
    put_off = go(workshop, seen=DROPPED, rollout=rolling)
    assert told(put_off) == ["postpone_retraining"]
    assert put_off.decisions[0].reason.endswith("windows; not now: 2 is under rollout")
    assert told(go(workshop, put_off.state, DROPPED, rollout=rolling)) == []
    found = go(workshop, seen=DROPPED, rollout=rolling, commands=ASKED)
    assert told(found) == ["request_retraining", "wait_retraining"]
    assert found.effects == ()


def test_a_person_takes_over_a_run_that_waits_for_its_cooldown(workshop: Workshop) -> None:
    trigger = Trigger(TriggerKind.PERFORMANCE, "dropped")
    waiting = RunState(
        MODEL, 2, Stage.GUARDED, trigger, requested_at=NOW, asked_at=NOW,
        starts=(NOW - HOUR,), said="wait:cooldown",
    )  # fmt: skip
    assert go(workshop, waiting, DROPPED).state.stage is Stage.GUARDED
    found = go(workshop, waiting, DROPPED, commands=ASKED)
    assert found.state.stage is Stage.TRAINING
    assert [made.actor for made in found.decisions] == ["ana", "homeostat"]


def test_the_cooldown_holds_back_all_but_people(workshop: Workshop) -> None:
    state = RunState(
        MODEL, 1, Stage.REJECTED, Trigger(TriggerKind.PERFORMANCE, "dropped"),
        started_at=NOW - DAY, starts=(NOW - DAY,),
    )  # fmt: skip
    put_off = go(workshop, state, DROPPED)
    assert told(put_off) == ["postpone_retraining"]
    assert "not now: cooldown until " in put_off.decisions[0].reason
    assert told(go(workshop, put_off.state, DROPPED)) == []
    calm = go(workshop, put_off.state)
    assert told(go(workshop, calm.state, DROPPED)) == ["postpone_retraining"]
    assert go(workshop, state, DROPPED, commands=ASKED).state.number == 2


def test_an_emergency_waits_only_for_another_one(workshop: Workshop) -> None:
    hybrid = policy(hybrid=True, schedule=90 * DAY)
    loss = verdict(Monitor.PERFORMANCE, "loss", details=(("baseline_loss", 0.1),))
    seen = DROPPED.noting((loss,))
    scheduled = RunState(
        MODEL, 1, Stage.ACCEPTED, Trigger(TriggerKind.SCHEDULE, "old"),
        started_at=NOW - DAY, starts=(NOW - DAY,),
    )  # fmt: skip
    found = go(workshop, scheduled, seen, plan=hybrid)
    assert found.state.trigger is not None
    assert found.state.trigger.kind is TriggerKind.EMERGENCY
    again = replace(scheduled, trigger=Trigger(TriggerKind.EMERGENCY, "loss"))
    assert told(go(workshop, again, seen, plan=hybrid)) == ["postpone_retraining"]


def test_an_emergency_overtakes_a_scheduled_run_that_waits_for_the_budget(
    workshop: Workshop,
) -> None:
    hybrid = policy(hybrid=True, schedule=90 * DAY, budget_per_month=1)
    loss = verdict(Monitor.PERFORMANCE, "loss", details=(("baseline_loss", 0.1),))
    seen = DROPPED.noting((loss,))
    waiting = RunState(
        MODEL, 2, Stage.GUARDED, Trigger(TriggerKind.SCHEDULE, "old"), requested_at=NOW - DAY,
        asked_at=NOW - DAY, starts=(NOW - 10 * DAY,), said="wait:budget",
    )  # fmt: skip
    found = go(workshop, waiting, seen, plan=hybrid)
    assert found.state.trigger is not None
    assert found.state.trigger.kind is TriggerKind.EMERGENCY
    assert found.state.stage is Stage.TRAINING
    # What waits for nothing that an emergency escapes goes on to wait.
    free = replace(waiting, starts=(), trigger=Trigger(TriggerKind.SCHEDULE, "old"))
    held = policy(hybrid=True, schedule=90 * DAY, min_rows=10**9)
    assert told(go(workshop, free, seen, plan=held)) == ["wait_retraining"]
    rolling = replace(REST, stage=RolloutStage.SHADOW, challenger="2")
    busy = go(workshop, waiting, seen, plan=hybrid, rollout=rolling)
    assert told(busy) == ["postpone_retraining", "wait_retraining"]


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"performance_floor": (("auc", 0.999),)}, TriggerKind.PERFORMANCE),
        ({"new_data_share": 0.1}, TriggerKind.NEW_DATA),
        ({"schedule": 5 * DAY}, TriggerKind.SCHEDULE),
        ({"drift_share": 0.4}, TriggerKind.DRIFT),
        ({"max_age": 5 * DAY}, TriggerKind.AGE),
    ],
)
def test_every_trigger_has_its_facts(
    workshop: Workshop, changes: dict[str, object], kind: TriggerKind
) -> None:
    drifted = WATCH.noting((verdict(Monitor.DATA_DRIFT, "", details=(("share_drifted", 0.5),)),))
    found = go(workshop, seen=drifted, plan=policy(**changes))
    assert found.state.trigger is not None
    assert found.state.trigger.kind is kind


def test_metrics_of_another_version_trigger_nothing(workshop: Workshop) -> None:
    newcomer = replace(REST, champion="2")
    strict = policy(performance_floor=(("auc", 0.999),))
    assert told(go(workshop, rollout=newcomer, plan=strict)) == []


def test_the_schedule_overtakes_a_run_that_waited_a_whole_period(workshop: Workshop) -> None:
    waiting = RunState(
        MODEL, 1, Stage.GUARDED, Trigger(TriggerKind.PERFORMANCE, "dropped"),
        onset=NOW - DAY, requested_at=NOW - 5 * DAY, asked_at=NOW - 5 * DAY, said="wait:rows",
    )  # fmt: skip
    late = replace(DROPPED, drop_since=NOW - DAY)
    found = go(workshop, waiting, late, plan=policy(schedule=5 * DAY))
    assert found.state.trigger is not None
    assert found.state.trigger.kind is TriggerKind.SCHEDULE
    assert found.state.onset is None
    assert found.state.stage is Stage.TRAINING
    early = replace(waiting, requested_at=NOW - DAY)
    assert go(workshop, early, late, plan=policy(schedule=5 * DAY)).state.stage is Stage.GUARDED


def test_labels_of_a_regression_have_no_classes(workshop: Workshop) -> None:
    spec = replace(SPEC, task=Task.REGRESSION, classes=())
    plan = replace(PLAN, spec=spec, retraining=RetrainingPolicy(min_rows=2401))
    matured = tuple(replace(m, counts=(480,)) for m in MATURED)
    found = go(workshop, seen=replace(WATCH, matured=matured), commands=ASKED, plan=plan)
    assert found.state.reason == "only 2400 of 2401 matured labels"


def test_a_training_is_not_polled_in_the_tick_that_starts_it(workshop: Workshop) -> None:
    state = replace(TRAINING, started_at=NOW)
    assert go(workshop, state).state == state


def test_a_training_that_goes_on_is_waited_for_until_its_limit(workshop: Workshop) -> None:
    shop = replace(workshop, trainer=trainer(Training(True), polls=9))
    assert go(shop, TRAINING).state == TRAINING
    found = go(shop, TRAINING, plan=policy(timeout=timedelta(minutes=30)))
    assert found.state.stage is Stage.CANCELLED
    assert found.effects == (CancelTraining(TRAINING.run_id, MODEL),)


@pytest.mark.parametrize(
    ("training", "problem"),
    [
        (Training(True, problem="out of memory"), "out of memory"),
        (Training(True), "no artifact"),
        (Training(True, Path("nowhere"), "linear"), "cannot be registered"),
    ],
)
def test_a_training_that_fails_says_why(
    workshop: Workshop, training: Training, problem: str
) -> None:
    found = go(replace(workshop, trainer=trainer(training)), TRAINING)
    assert found.state.stage is Stage.FAILED
    assert problem in found.state.reason
    assert workshop.registry.versions(MODEL)[-1].version == "1"


def test_a_fault_found_meanwhile_cancels_the_run(workshop: Workshop) -> None:
    fault = Fault("amount", START + DAY, START + 2 * DAY, "cents")
    found = go(workshop, TRAINING, replace(WATCH, faults=(fault,)))
    assert found.state.stage is Stage.CANCELLED
    assert "a data fault found meanwhile" in found.state.reason
    known = replace(TRAINING, plan=replace(RUN_PLAN, excluded=(fault.window(NOW),)))
    shop = replace(workshop, trainer=trainer(Training(True), polls=9))
    assert go(shop, known, replace(WATCH, faults=(fault,))).state == known


def test_a_worse_candidate_is_rejected(workshop: Workshop, tmp_path: Path) -> None:
    found = go(done(workshop, contrary(tmp_path / "out")), TRAINING)
    assert told(found) == ["train", "reject_candidate"]
    assert found.baseline is None
    assert workshop.records.reference(MODEL, "2") == ()


def test_a_better_candidate_is_accepted_with_its_own_reference(
    workshop: Workshop, tmp_path: Path
) -> None:
    request = StartTraining(TRAINING.run_id, MODEL, "1", RUN_PLAN.training, NOW)
    train(TrainingRows(workshop.log)(SPEC, request), SPEC, tmp_path / "out")
    lenient = replace(policy(gate=GateLimits(calibration=None)), gate_margin=2.0)
    found = go(done(workshop, tmp_path / "out"), TRAINING, plan=lenient)
    assert told(found) == ["train", "accept_candidate"]
    assert found.baseline is not None
    assert (found.baseline.version, found.baseline.loss.n) == ("2", 480)
    windows = [window for window, _ in workshop.records.reference(MODEL, "2")]
    assert windows[0].start >= RUN_PLAN.training.start - DAY
    assert windows[-1].end == RUN_PLAN.holdout.end
    card = workshop.registry.versions(MODEL)[-1]
    assert (card.run_id, card.parent) == (TRAINING.run_id, "1")
    assert card.trained_until == RUN_PLAN.training.end


def test_a_candidate_that_cannot_score_fails(workshop: Workshop) -> None:
    def torn(_: pa.Table) -> np.ndarray:
        raise ArtifactError("torn")

    assert isinstance(workshop.scorer, MemoryScorer)
    workshop.scorer.functions[MODEL, "2"] = torn
    state = replace(TRAINING, stage=Stage.EVALUATING, candidate="2")
    found = go(workshop, state)
    assert found.state.stage is Stage.FAILED
    assert found.state.reason == "cannot score the hold-out: torn"


def test_a_run_that_cannot_be_judged_ends(workshop: Workshop) -> None:
    def odd(_: pa.Table) -> np.ndarray:
        raise ValueError("of another shape")

    assert isinstance(workshop.scorer, MemoryScorer)
    workshop.scorer.functions[MODEL, "2"] = odd
    found = go(workshop, replace(TRAINING, stage=Stage.EVALUATING, candidate="2"))
    assert found.state.stage is Stage.FAILED
    assert found.state.reason.startswith("cannot be judged: ValueError: of another shape")


def test_a_run_without_plan_fails(workshop: Workshop) -> None:
    state = RunState(MODEL, 1, Stage.EVALUATING, candidate="2")
    assert go(workshop, state).state.stage is Stage.FAILED


def test_entities_are_optional(world: World, workshop: Workshop) -> None:
    assert isinstance(workshop.scorer, MemoryScorer)
    lenient = policy(gate=GateLimits(calibration=None))
    anonymous = replace(lenient, spec=replace(SPEC, entity=""), gate_margin=2.0)
    state = replace(TRAINING, stage=Stage.EVALUATING, candidate="2")
    found = go(workshop, state, plan=anonymous)
    assert found.state.stage is Stage.ACCEPTED
    unknown = ModelVersion(MODEL, "9", "linear", "", NOW)
    assert unknown not in world.ports.registry.versions(MODEL)


@pytest.mark.parametrize(("scale", "loss"), [(100.0, 0.24), (50.0, 0.46)])
def test_a_regression_is_judged_by_the_loss_of_its_monitors(
    workshop: Workshop, scale: float, loss: float
) -> None:
    found = regression(workshop, scale)
    figures = dict(found.decisions[-1].evidence)
    assert figures["loss_champion"] == pytest.approx(loss, abs=0.04)
    assert found.state.stage is Stage.ACCEPTED


def test_a_scale_that_tells_no_errors_apart_is_named(workshop: Workshop) -> None:
    found = regression(workshop, 1.0)
    assert found.state.stage is Stage.REJECTED
    assert "half of the champion's errors are beyond 1, which counts as" in found.state.reason


def regression(workshop: Workshop, scale: float) -> Retrained:
    """Judge a candidate that is off by two thirds of what the champion is off by."""
    assert isinstance(workshop.scorer, MemoryScorer)
    for version, factor in (("1", 30.0), ("2", 20.0)):
        workshop.scorer.functions[MODEL, version] = lambda rows, by=factor: (
            by * rows["signal"].to_numpy()
        )
    spec = replace(SPEC, task=Task.REGRESSION, classes=())
    plan = replace(
        PLAN, spec=spec, gate_margin=0.5, performance=replace(PLAN.performance, scale=scale)
    )
    return go(workshop, replace(TRAINING, stage=Stage.EVALUATING, candidate="2"), plan=plan)
