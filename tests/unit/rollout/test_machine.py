"""The rollout machine: scenarios."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from homeostat.domain.errors import IllegalTransitionError
from homeostat.rollout.events import (
    Abort,
    Approved,
    Event,
    Evidence,
    EvidenceKind,
    First,
    GuardrailBreached,
    Promoted,
    Push,
    RollBack,
    Submitted,
    Verified,
)
from homeostat.rollout.machine import TRANSITIONS, step
from homeostat.rollout.state import (
    RolloutPolicy,
    RolloutState,
    Stage,
    ready_to_promote,
    route,
)

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = RolloutPolicy()
PROOF = Evidence(EvidenceKind.BETTER, n=1000, e=50.0, difference=0.02)


def play(
    state: RolloutState,
    *events: Event,
    policy: RolloutPolicy = POLICY,
    start: datetime = START,
    gap: timedelta = DAY,
) -> tuple[RolloutState, list[str]]:
    """Step through events, `gap` apart; return the last state and all actions."""
    actions = []
    for number, event in enumerate(events, start=1):
        state, decisions = step(state, event, start + number * gap, policy)
        actions += [decision.action for decision in decisions]
    return state, actions


def resting(**changes: Any) -> RolloutState:
    state, _ = step(RolloutState("fraud"), First("v1"), START, POLICY)
    return replace(state, **changes)


def at(stage: Stage, **changes: Any) -> RolloutState:
    base = {"challenger": "v2", "since": START, "submitted_at": START}
    if stage in {Stage.CANARY, Stage.PROMOTING}:
        base |= {"weight": 0.1}
    return resting(stage=stage, **(base | changes))


def test_a_proven_candidate_goes_through_shadow_and_ramp_to_champion() -> None:
    state, actions = play(resting(), Submitted("v2"), Verified(), PROOF, PROOF, PROOF, Promoted())
    assert actions == ["submit", "shadow", "ramp", "ramp", "ready_to_promote", "promote"]
    assert (state.stage, state.champion, state.previous) == (Stage.CHAMPION, "v2", "v1")
    assert state.challenger == ""
    assert state.weight == 0.0


def test_the_ramp_moves_traffic_in_the_stated_steps() -> None:
    state, weights = at(Stage.SHADOW), []
    for day in range(1, 4):
        state, _ = step(state, PROOF, START + day * DAY, POLICY)
        weights.append((state.stage, state.step, state.weight))
    assert weights == [
        (Stage.CANARY, 0, 0.1),
        (Stage.CANARY, 1, 0.5),
        (Stage.PROMOTING, 1, 0.5),
    ]


def test_without_a_ramp_shadow_leads_to_promotion() -> None:
    state, _ = play(at(Stage.SHADOW), PROOF, policy=RolloutPolicy(ramp=()))
    assert state.stage is Stage.PROMOTING
    assert route(state, START).shadows == ("v2",)


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        (Evidence(EvidenceKind.NO_DATA), "no data"),
        (Evidence(EvidenceKind.INCONCLUSIVE, n=10**6, e=100.0), "inconclusive"),
        (Evidence(EvidenceKind.BETTER, n=10**6, e=19.9), "inconclusive"),
        (Evidence(EvidenceKind.NOT_WORSE, n=10**6, e=float("nan")), "inconclusive"),
        (Evidence(EvidenceKind.BETTER, n=99, e=100.0), "too few rows"),
    ],
)
@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.CANARY])
def test_what_is_not_proven_waits_and_says_so_once(
    stage: Stage, evidence: Evidence, why: str
) -> None:
    state, first = step(at(stage), evidence, START + 2 * DAY, POLICY)
    again, second = step(state, evidence, START + 3 * DAY, POLICY)
    assert state.stage is stage
    assert [d.action for d in first] == ["hold"]
    assert why in first[0].reason
    assert second == ()
    assert again is state


def test_proof_that_comes_too_early_waits() -> None:
    state, decisions = step(at(Stage.SHADOW), PROOF, START + timedelta(hours=23), POLICY)
    assert state.stage is Stage.SHADOW
    assert "not lasted long enough" in decisions[0].reason


def test_after_a_pause_one_look_moves_one_step() -> None:
    state, _ = step(at(Stage.SHADOW), PROOF, START + 40 * DAY, POLICY)
    state, decisions = step(state, PROOF, START + 40 * DAY, POLICY)
    assert (state.stage, state.step) == (Stage.CANARY, 0)
    assert [d.action for d in decisions] == ["hold"]


@pytest.mark.parametrize("stage", [Stage.CANDIDATE, Stage.SHADOW, Stage.CANARY, Stage.PROMOTING])
@pytest.mark.parametrize(
    "event",
    [
        Abort("no longer wanted", "ana"),
        GuardrailBreached("errors"),
        GuardrailBreached("errors", "v2"),
        Evidence(EvidenceKind.WORSE, n=300, e=40.0),
        RollBack("asked for", "ana"),
    ],
)
def test_every_stage_can_be_aborted_and_the_abort_is_latched(stage: Stage, event: Event) -> None:
    state, actions = play(at(stage), event)
    assert actions == ["abort"]
    assert (state.stage, state.champion, state.aborted) == (Stage.CHAMPION, "v1", ("v2",))
    again, actions = play(state, Submitted("v2"), Submitted("v2"))
    assert again.stage is Stage.CHAMPION
    assert actions == ["refuse"]


def test_a_rollout_without_proof_ends_when_patience_does() -> None:
    state, decisions = step(
        at(Stage.SHADOW), Evidence(EvidenceKind.INCONCLUSIVE, n=9), START + 61 * DAY, POLICY
    )
    assert (state.stage, state.champion) == (Stage.CHAMPION, "v1")
    assert decisions[0].reason.startswith("no proof within 60 days")


def test_late_proof_is_no_proof() -> None:
    state, _ = step(at(Stage.SHADOW), PROOF, START + 61 * DAY, POLICY)
    assert state.stage is Stage.CHAMPION


@pytest.mark.parametrize("stage", [Stage.CANDIDATE, Stage.SHADOW, Stage.CANARY, Stage.PROMOTING])
def test_what_holds_a_rollout_back_is_stronger_than_proof_and_told_once(stage: Stage) -> None:
    held = replace(PROOF, held="the split is off")
    state, decisions = step(at(stage), held, START + 2 * DAY, POLICY)
    assert state.stage is stage
    assert [(d.action, d.reason) for d in decisions] == [("hold", "the split is off")]
    assert step(state, held, START + 3 * DAY, POLICY) == (state, ())
    late, decisions = step(state, held, START + 61 * DAY, POLICY)
    assert late.stage is Stage.CHAMPION
    assert "the split is off; unproven versions" in decisions[0].reason


def test_worse_is_worse_whatever_holds_it_back() -> None:
    worse = Evidence(EvidenceKind.WORSE, n=300, e=40.0, held="the split is off")
    assert play(at(Stage.CANARY), worse)[1] == ["abort"]


@pytest.mark.parametrize("stage", [Stage.SHADOW, Stage.CANARY])
def test_a_rollout_beyond_hope_of_proof_ends_inconclusive(stage: Stage) -> None:
    futile = Evidence(EvidenceKind.INCONCLUSIVE, n=900, e=0.4, futile="no chance is left")
    state, decisions = step(at(stage), futile, START + 20 * DAY, POLICY)
    assert (state.stage, state.champion, state.aborted) == (Stage.CHAMPION, "v1", ("v2",))
    assert decisions[0].reason == "inconclusive: no chance is left; v1 keeps serving"


def test_a_breach_is_recorded_with_its_figures() -> None:
    breach = GuardrailBreached("errors", evidence=(("e_value", 90.0), ("challenger", 0.03)))
    _, decisions = step(at(Stage.CANARY), breach, START + DAY, POLICY)
    assert dict(decisions[0].evidence) == {"e_value": 90.0, "challenger": 0.03}


def test_evidence_is_recorded_with_its_figures() -> None:
    _, decisions = step(at(Stage.SHADOW), PROOF, START + DAY, POLICY)
    assert dict(decisions[0].evidence) == {"e_value": 50.0, "rows": 1000.0, "difference": 0.02}
    assert "50" in decisions[0].reason


def test_evidence_before_verification_and_in_promotion_waits() -> None:
    assert play(at(Stage.CANDIDATE), PROOF)[0].stage is Stage.CANDIDATE
    assert play(at(Stage.PROMOTING), PROOF)[0].stage is Stage.PROMOTING


def test_promotion_waits_for_a_person_where_asked_to() -> None:
    policy = RolloutPolicy(approval=True)
    state, actions = play(at(Stage.CANARY, step=1), PROOF, Promoted(), Promoted(), policy=policy)
    assert state.stage is Stage.PROMOTING
    assert actions == ["ready_to_promote", "hold"]
    assert not ready_to_promote(state, policy)
    state, actions = play(state, Approved("ana"), Approved("ben"), policy=policy, start=START + DAY)
    assert actions == ["approve"]
    assert state.approved_by == "ana"
    assert ready_to_promote(state, policy)
    state, _ = play(state, Promoted(), policy=policy, start=START + 2 * DAY)
    assert state.champion == "v2"
    assert state.approved_by == ""


def test_a_guardrail_is_heeded_while_waiting_for_approval() -> None:
    policy = RolloutPolicy(approval=True)
    state, actions = play(at(Stage.PROMOTING), GuardrailBreached("errors"), policy=policy)
    assert (state.champion, actions) == ("v1", ["abort"])


def test_push_serves_at_once_and_a_breach_on_probation_rolls_back() -> None:
    state, actions = play(resting(), Push("v2", "ana", "hotfix"), GuardrailBreached("loss doubled"))
    assert actions == ["push", "roll_back"]
    assert (state.champion, state.previous, state.aborted) == ("v1", "", ("v2",))
    assert not state.on_probation(START + DAY)


def test_a_champion_off_probation_is_not_rolled_back_for_a_breach() -> None:
    state, _ = play(resting(), Push("v2", "ana"))
    late = START + 30 * DAY
    state, decisions = step(state, GuardrailBreached("loss doubled"), late, POLICY)
    assert state.champion == "v2"
    assert [d.action for d in decisions] == ["refuse"]
    assert step(state, GuardrailBreached("again"), late, POLICY) == (state, ())


def test_a_breach_by_the_champion_on_probation_ends_the_rollout_too() -> None:
    state, _ = play(resting(), Push("v2", "ana"), Submitted("v3"), Verified())
    state, actions = play(state, GuardrailBreached("loss doubled", "v2"), start=START + 3 * DAY)
    assert actions == ["supersede", "roll_back"]
    assert (state.champion, state.challenger, state.aborted) == ("v1", "", ("v2",))


def test_a_stale_breach_takes_nothing_back() -> None:
    state, actions = play(at(Stage.CANARY), GuardrailBreached("errors", "v0"))
    assert (state.stage, state.challenger, actions) == (Stage.CANARY, "v2", ["hold"])


def test_push_supersedes_a_rollout_without_latching_it() -> None:
    state, actions = play(at(Stage.CANARY), Push("v3", "ana"))
    assert actions == ["supersede", "push"]
    assert (state.champion, state.challenger, state.aborted) == ("v3", "", ())
    state, actions = play(at(Stage.CANARY), Push("v2", "ana"))
    assert (state.champion, actions) == ("v2", ["push"])


def test_pushing_the_champion_keeps_its_way_back() -> None:
    before, _ = play(resting(), Push("v2", "ana"))
    state, _ = play(before, Push("v2", "ana"), start=START + DAY)
    assert (state.champion, state.lineage) == ("v2", ("v1",))
    assert state.probation_until == before.probation_until


def test_the_first_version_may_be_pushed_and_has_no_probation() -> None:
    state, _ = play(RolloutState("fraud"), Push("v1", "ana"))
    assert (state.stage, state.champion, state.probation_until) == (Stage.CHAMPION, "v1", None)


def test_roll_back_goes_back_version_by_version_until_none_is_left() -> None:
    state, _ = play(resting(), Push("v2", "ana"), Push("v3", "ana"))
    assert state.lineage == ("v1", "v2")
    state, actions = play(state, *[RollBack("bad", "ana")] * 4, start=START + 3 * DAY)
    assert (state.champion, state.aborted) == ("v1", ("v3", "v2"))
    assert actions == ["roll_back", "roll_back", "refuse", "refuse"]


def test_an_aborted_earlier_champion_is_no_way_back() -> None:
    state, _ = play(resting(), Push("v2", "ana"), Submitted("v1"), Abort("no"))
    assert (state.champion, state.previous) == ("v2", "")


def test_the_champion_cannot_be_submitted() -> None:
    state, actions = play(resting(), Submitted("v1"))
    assert (state.stage, actions) == (Stage.CHAMPION, ["refuse"])


@pytest.mark.parametrize(
    ("stage", "event"),
    [
        (Stage.EMPTY, Submitted("v9")),
        (Stage.EMPTY, Verified()),
        (Stage.EMPTY, PROOF),
        (Stage.EMPTY, GuardrailBreached("x")),
        (Stage.EMPTY, RollBack("x")),
        (Stage.EMPTY, Abort("x")),
        (Stage.CHAMPION, First("v9")),
        (Stage.CHAMPION, Verified()),
        (Stage.CHAMPION, PROOF),
        (Stage.CHAMPION, Approved("a")),
        (Stage.CHAMPION, Promoted()),
        (Stage.CHAMPION, Abort("x")),
        (Stage.CANDIDATE, Submitted("v9")),
        (Stage.CANDIDATE, Promoted()),
        (Stage.SHADOW, Verified()),
        (Stage.SHADOW, Approved("a")),
        (Stage.CANARY, Promoted()),
        (Stage.CANARY, First("v9")),
        (Stage.PROMOTING, Submitted("v9")),
    ],
)
def test_a_missing_pair_raises(stage: Stage, event: Event) -> None:
    challenger = "" if stage in {Stage.EMPTY, Stage.CHAMPION} else "v2"
    champion = "" if stage is Stage.EMPTY else "v1"
    state = RolloutState("fraud", stage, champion, challenger=challenger, since=START)
    with pytest.raises(IllegalTransitionError, match=rf"rollout: {type(event).__name__}"):
        step(state, event, START + 2 * DAY, POLICY)


def test_every_stage_is_reached_and_left() -> None:
    assert {stage for stage, _ in TRANSITIONS} == set(Stage)
    assert set(TRANSITIONS.values()) == set(Stage) - {Stage.EMPTY}


def test_who_proved_nothing_as_a_challenger_can_still_be_gone_back_to() -> None:
    undecided = Evidence(EvidenceKind.INCONCLUSIVE, n=10, futile="no chance")
    told = (First("v1"), Push("v2", "ana"), Submitted("v1"), Verified(), undecided)
    state, actions = play(RolloutState("fraud"), *told)
    assert actions[-1] == "abort"
    assert (state.champion, state.previous, state.aborted) == ("v2", "v1", ("v1",))
    assert play(state, Submitted("v1"))[1] == ["refuse"]
    back, _ = play(state, RollBack("accuracy fell"))
    assert (back.champion, back.aborted) == ("v1", ("v2",))
    on, _ = play(state, Push("v3", "ana"))
    assert on.lineage == ("v1", "v2")


@pytest.mark.parametrize(
    "harm",
    [Evidence(EvidenceKind.WORSE, n=10), GuardrailBreached("errors"), Abort("cannot be loaded")],
    ids=["worse", "breach", "artifact"],
)
def test_nobody_goes_back_to_who_did_harm_as_a_challenger(harm: Event) -> None:
    told = (First("v1"), Push("v2", "ana"), Submitted("v1"), Verified(), harm)
    state, _ = play(RolloutState("fraud"), *told)
    assert (state.champion, state.previous, state.aborted) == ("v2", "", ("v1",))


def test_a_version_pushed_after_its_roll_back_is_latched_no_more() -> None:
    again = (First("v1"), Push("v2", "ana"), RollBack("slow"), Push("v2", "ana", "it was not it"))
    state, _ = play(RolloutState("fraud"), *again)
    assert (state.champion, state.previous, state.aborted) == ("v2", "v1", ())
    assert play(state, Push("v3", "ana"))[0].previous == "v2"
