"""The retraining run: scenarios, and its invariants under any sequence of events."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic import TypeAdapter

from homeostat.domain.choice import RowChoice
from homeostat.domain.effect import CancelTraining, Effect, StartTraining
from homeostat.domain.errors import IllegalTransitionError
from homeostat.domain.window import Window
from homeostat.retraining.gate import GateResult
from homeostat.retraining.planning import Plan
from homeostat.retraining.policy import (
    Guard,
    GuardResult,
    Outcome,
    RetrainingPolicy,
    Trigger,
    TriggerKind,
)
from homeostat.retraining.rows import DataPolicy
from homeostat.retraining.run import (
    RESTING,
    TRANSITIONS,
    Cancel,
    Evaluated,
    Event,
    Guarded,
    Move,
    Refitted,
    Requested,
    RunState,
    Stage,
    TrainingDone,
    TrainingFailed,
    overdue,
    step,
    tainted,
)

CODEC = TypeAdapter(RunState)
START = datetime(2024, 6, 1, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
TRAINING, HOLDOUT = Window(START - 60 * DAY, START - 7 * DAY), Window(START - 7 * DAY, START)
FAULT = Window(START - 30 * DAY, START - 29 * DAY)
PLAN = Plan("v1", TRAINING, HOLDOUT, START, (FAULT,))
NEW = RunState("fraud")
ASKED = Requested(Trigger(TriggerKind.PERFORMANCE, "performance dropped"), START - 3 * DAY)
BY_HAND = Requested(Trigger(TriggerKind.MANUAL, "asked for by ana"), actor="ana")
GO = Guarded(GuardResult(Outcome.OK), PLAN)
REFUSED = Guarded(GuardResult(Outcome.REFUSE, ((Guard.DATA_FAULT, "amount is in cents"),)))
PASSED = Evaluated(GateResult(True, "better", (("difference", -0.01),)))
FAILED = Evaluated(GateResult(False, "worse"))
AGAIN = replace(PASSED, refit=True)
NEWER = Window(START - 60 * DAY, START + 5 * DAY)
CHOICE = RowChoice(max_rows=100)
REFIT_PLAN = replace(
    PLAN, refit=NEWER, data=DataPolicy(CHOICE, refit=True, early=True, kinds=("lead",))
)
REFIT_GO = Guarded(GuardResult(Outcome.OK), REFIT_PLAN)


def waiting(count: int) -> Guarded:
    return Guarded(GuardResult(Outcome.WAIT, ((Guard.ROWS, f"only {count} of 1000"),)))


def play(
    state: RunState, *events: Event, gap: timedelta = MINUTE, start: datetime = START
) -> tuple[RunState, list[Effect], list[str]]:
    effects, actions = [], []
    for number, event in enumerate(events):
        state, done, decisions = step(state, event, start + number * gap)
        effects += done
        actions += [decision.action for decision in decisions]
    return state, effects, actions


def test_another_request_takes_over_a_run_that_waits() -> None:
    scheduled = Requested(Trigger(TriggerKind.SCHEDULE, "last training is 30 days old"))
    state, _, actions = play(NEW, ASKED, waiting(10), scheduled, GO)
    assert actions[2:] == ["request_retraining", "start_training"]
    assert state.trigger == scheduled.trigger
    assert state.onset is None
    assert state.number == 1


def test_a_run_goes_from_request_to_an_accepted_candidate() -> None:
    state, effects, actions = play(NEW, ASKED, GO, TrainingDone("v2"), PASSED)
    assert actions == ["request_retraining", "start_training", "train", "accept_candidate"]
    assert effects == [
        StartTraining("fraud-0001", "fraud", "v1", TRAINING, START, (FAULT,)),
    ]
    assert (state.stage, state.candidate, state.reason) == (Stage.ACCEPTED, "v2", "better")
    assert state.resting
    assert state.onset == START - 3 * DAY


def test_what_has_passed_is_trained_once_more_and_serves() -> None:
    state, effects, actions = play(NEW, ASKED, REFIT_GO, TrainingDone("v2"), AGAIN)
    assert (state.stage, state.candidate) == (Stage.REFITTING, "v2")
    assert not state.resting
    assert [effect.choice for effect in effects if isinstance(effect, StartTraining)] == [
        CHOICE, CHOICE,
    ]  # fmt: skip
    assert effects[-1] == StartTraining(
        "fraud-0001-refit", "fraud", "v1", NEWER, START, (FAULT,),
        choice=CHOICE, guide="v2", kinds=("lead",),
    )  # fmt: skip
    state, effects, more = play(state, Refitted("v3", "agrees"), start=START + DAY)
    assert (state.stage, state.candidate, state.reason) == (Stage.ACCEPTED, "v3", "better")
    assert (effects, actions[-1], more) == ([], "accept_candidate", ["refit"])


def test_a_refit_without_young_rows_has_no_guide() -> None:
    data = DataPolicy(refit=True, kinds=("lead",))
    plain = Guarded(GuardResult(Outcome.OK), replace(REFIT_PLAN, data=data))
    _, effects, _ = play(NEW, ASKED, plain, TrainingDone("v2"), AGAIN)
    assert effects[-1] == StartTraining("fraud-0001-refit", "fraud", "v1", NEWER, START, (FAULT,))


def test_a_refit_that_was_not_planned_is_refused() -> None:
    state, _, _ = play(NEW, ASKED, GO, TrainingDone("v2"))
    with pytest.raises(ValueError, match="run fraud-0001-refit: its plan has no refit"):
        step(state, AGAIN, START)


def test_a_refit_that_comes_to_nothing_leaves_what_was_judged() -> None:
    state, _, _ = play(NEW, ASKED, REFIT_GO, TrainingDone("v2"), AGAIN)
    kept, effects, actions = play(state, Refitted("", "crashed"))
    assert (kept.stage, kept.candidate, actions) == (Stage.ACCEPTED, "v2", ["keep_judged"])
    assert effects == [CancelTraining("fraud-0001-refit", "fraud")]
    stopped, effects, _ = play(state, Cancel("by hand", "ana"))
    assert stopped.stage is Stage.CANCELLED
    assert effects == [CancelTraining("fraud-0001-refit", "fraud")]


def test_a_refit_can_be_overdue_and_tainted_on_its_own_rows() -> None:
    policy = RetrainingPolicy(timeout=timedelta(hours=1))
    state, _, _ = play(NEW, ASKED, REFIT_GO, TrainingDone("v2"))
    newest = Window(START + DAY, START + 2 * DAY)
    assert tainted(state, [newest]) is None
    state, _, _ = play(state, AGAIN)
    assert tainted(state, [newest]) == newest
    assert not overdue(state, policy, START + timedelta(hours=1))
    assert overdue(state, policy, START + timedelta(hours=1, minutes=2))


def test_the_gates_figures_are_on_record() -> None:
    state, _, _ = play(NEW, ASKED, GO, TrainingDone("v2"))
    _, _, decisions = step(state, PASSED, START)
    assert (decisions[0].subject, decisions[0].evidence) == ("v2", (("difference", -0.01),))


def test_a_worse_candidate_is_rejected() -> None:
    state, _, actions = play(NEW, ASKED, GO, TrainingDone("v2"), FAILED)
    assert (state.stage, actions[-1]) == (Stage.REJECTED, "reject_candidate")


def test_it_waits_for_labels_and_says_so_once() -> None:
    state, effects, actions = play(NEW, ASKED, *(waiting(n) for n in range(20)))
    assert actions == ["request_retraining", "wait_retraining"]
    assert (state.stage, state.reason, effects) == (Stage.GUARDED, "only 19 of 1000", [])
    state, effects, actions = play(state, GO)
    assert state.stage is Stage.TRAINING
    assert len(effects) == 1


def test_a_new_objection_is_recorded() -> None:
    both = Guarded(GuardResult(Outcome.WAIT, ((Guard.ROWS, "few"), (Guard.COOLDOWN, "soon"))))
    _, _, actions = play(NEW, ASKED, waiting(1), both, waiting(2))
    assert actions[1:] == ["wait_retraining"] * 3


def test_a_data_fault_refuses_once_however_often_it_is_asked() -> None:
    state, effects, actions = play(NEW, *[ASKED, REFUSED] * 50)
    assert actions == ["request_retraining", "refuse_retraining"]
    assert (state.stage, state.number, effects) == (Stage.REFUSED, 1, [])


def test_a_later_fault_is_recorded_again() -> None:
    state, _, _ = play(NEW, ASKED, REFUSED)
    _, _, actions = play(state, ASKED, REFUSED, start=START + 30 * DAY)
    assert actions == ["request_retraining", "refuse_retraining"]


def test_a_request_by_hand_is_always_answered() -> None:
    state, _, _ = play(NEW, ASKED, REFUSED)
    _, _, actions = play(state, BY_HAND, REFUSED)
    assert actions == ["request_retraining", "refuse_retraining"]
    state, _, _ = play(NEW, ASKED, waiting(1))
    state, _, actions = play(state, BY_HAND)
    assert (state.stage, actions) == (Stage.REQUESTED, ["request_retraining"])
    assert state.trigger == BY_HAND.trigger


def test_once_the_fault_is_mended_the_same_run_trains() -> None:
    state, effects, _ = play(NEW, ASKED, REFUSED, ASKED, GO)
    assert (state.stage, effects[0].run_id) == (Stage.TRAINING, "fraud-0001")


def test_each_training_has_its_own_id_and_its_start_is_kept() -> None:
    state, effects, _ = play(NEW, ASKED, GO, TrainingFailed("crash"), ASKED, GO, Cancel("x"))
    started = [e.run_id for e in effects if isinstance(e, StartTraining)]
    assert started == ["fraud-0001", "fraud-0002"]
    assert state.starts == (START + MINUTE, START + 4 * MINUTE)


@pytest.mark.parametrize(
    ("event", "stage", "action"),
    [
        (TrainingFailed("timed out"), Stage.FAILED, "fail_retraining"),
        (Cancel("fault in its data"), Stage.CANCELLED, "cancel_retraining"),
    ],
)
def test_a_training_that_ends_early_is_stopped_at_the_trainer(
    event: Event, stage: Stage, action: str
) -> None:
    state, effects, actions = play(NEW, ASKED, GO, event)
    assert state.stage is stage
    assert effects[-1] == CancelTraining("fraud-0001", "fraud")
    assert actions[-1] == action


def test_cancelling_before_training_stops_nothing() -> None:
    state, effects, _ = play(NEW, ASKED, waiting(1), Cancel("trigger is gone", "ana"))
    assert (state.stage, effects) == (Stage.CANCELLED, [])


def test_an_unusable_artifact_fails_the_evaluation() -> None:
    state, effects, _ = play(NEW, ASKED, GO, TrainingDone("v2"), TrainingFailed("corrupt"))
    assert state.stage is Stage.FAILED
    assert not any(isinstance(effect, CancelTraining) for effect in effects)


def test_training_needs_a_plan() -> None:
    state, _, _ = play(NEW, ASKED)
    with pytest.raises(ValueError, match="fraud-0001: the guards said ok, so a plan is needed"):
        step(state, Guarded(GuardResult(Outcome.OK)), START)


@pytest.mark.parametrize(
    ("stage", "event"),
    [
        (Stage.IDLE, GO),
        (Stage.IDLE, Cancel("x")),
        (Stage.REQUESTED, TrainingDone("v2")),
        (Stage.GUARDED, PASSED),
        (Stage.TRAINING, ASKED),
        (Stage.TRAINING, GO),
        (Stage.TRAINING, PASSED),
        (Stage.EVALUATING, GO),
        (Stage.REFUSED, GO),
        (Stage.REJECTED, PASSED),
        (Stage.ACCEPTED, TrainingFailed("x")),
    ],
)
def test_a_missing_pair_raises(stage: Stage, event: Event) -> None:
    with pytest.raises(IllegalTransitionError, match=f"in state {stage}"):
        step(RunState("fraud", 1, stage), event, START)


def test_only_a_training_can_be_overdue() -> None:
    policy = RetrainingPolicy(timeout=timedelta(hours=1))
    state, _, _ = play(NEW, ASKED, GO)
    assert not overdue(NEW, policy, START)
    assert not overdue(state, policy, START + timedelta(hours=1))
    assert overdue(state, policy, START + timedelta(hours=1, minutes=2))


def test_a_fault_found_later_taints_the_run() -> None:
    state, _, _ = play(NEW, ASKED, GO)
    late = Window(START - DAY, START + DAY)
    before = Window(START - 90 * DAY, START - 80 * DAY)
    assert tainted(state, [FAULT, before]) is None
    assert tainted(state, [FAULT, late]) == late
    assert tainted(NEW, [late]) is None
    assert tainted(play(state, Cancel("x"))[0], [late]) is None


def test_every_stage_is_reached_and_resting_stages_take_requests() -> None:
    assert set(TRANSITIONS.values()) | {Stage.IDLE} == set(Stage)
    assert all((stage, Move.REQUEST) in TRANSITIONS for stage in RESTING)
    assert not any(stage in RESTING for stage, move in TRANSITIONS if move is not Move.REQUEST)


EVENTS = st.sampled_from(
    [
        ASKED, BY_HAND, GO, REFUSED, waiting(1), waiting(2), TrainingDone("v2"),
        TrainingFailed("x"), PASSED, FAILED, Cancel("x", "ana"), AGAIN, REFIT_GO,
        Refitted("v3", "agrees"), Refitted("", "crashed"),
    ]
)  # fmt: skip


class Runs(RuleBasedStateMachine):
    """Any sequence of events: nothing trains unguarded, nothing is accepted unjudged."""

    @initialize()
    def begin(self) -> None:
        self.state, self.now = NEW, START
        self.started, self.path = [], []

    @rule(event=EVENTS, minutes=st.integers(0, 5000))
    def send(self, event: Event, minutes: int) -> None:
        self.now += minutes * MINUTE
        before = self.state
        try:
            self.state, effects, decisions = step(before, event, self.now)
        except IllegalTransitionError:
            return
        except ValueError:
            assert event == AGAIN
            assert before.plan == PLAN  # it plans no refit
            return
        for effect in effects:
            if isinstance(effect, StartTraining) and before.stage is Stage.EVALUATING:
                assert event == AGAIN
                assert effect.run_id == f"{before.run_id}-refit"
            elif isinstance(effect, StartTraining):
                assert event in {GO, REFIT_GO}
                assert before.stage in {Stage.REQUESTED, Stage.GUARDED}
                self.started.append(effect.run_id)
            else:
                assert before.stage in {Stage.TRAINING, Stage.REFITTING}
                assert effect.run_id == before.training_id
        if self.state.stage is Stage.REFITTING:
            assert event == AGAIN
        if self.state.stage is Stage.ACCEPTED:
            judged = before.stage is Stage.EVALUATING and event == PASSED
            assert judged or (before.stage is Stage.REFITTING and isinstance(event, Refitted))
        if event == REFUSED:
            assert self.state.stage is Stage.REFUSED
        if not decisions:
            assert event not in {BY_HAND, GO, REFIT_GO, PASSED, AGAIN, FAILED}

    @rule()
    def restart(self) -> None:
        assert CODEC.validate_json(CODEC.dump_json(self.state)) == self.state

    @invariant()
    def every_training_has_its_own_id(self) -> None:
        if hasattr(self, "started"):
            assert len(set(self.started)) == len(self.started) == len(self.state.starts)


TestRuns = Runs.TestCase
TestRuns.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
