"""The rollout machine: what holds under any sequence of events."""

from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pydantic import TypeAdapter

from homeostat.domain.decision import Decision
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
from homeostat.rollout.machine import step
from homeostat.rollout.state import RolloutPolicy, RolloutState, Stage, route

CODEC = TypeAdapter(RolloutState)
START = datetime(2024, 1, 1, tzinfo=UTC)
PROOF = Evidence(EvidenceKind.BETTER, n=1000, e=50.0, difference=0.02)
VERSIONS = st.sampled_from([f"v{number}" for number in range(1, 7)])
KINDS = st.sampled_from(list(EvidenceKind))


class Rollouts(RuleBasedStateMachine):
    """Any sequence of events, legal or not, against DESIGN section 9."""

    @initialize(approval=st.booleans(), ramp=st.sampled_from([(), (0.1,), (0.1, 0.5)]))
    def begin(self, approval: bool, ramp: tuple[float, ...]) -> None:
        self.policy = RolloutPolicy(approval=approval, ramp=ramp)
        self.now = START
        self.state, _ = step(RolloutState("fraud"), First("v0"), START, self.policy)
        self.allowed = False
        self.log: list[Decision] = []
        self.harmful: set[str] = set()

    def send(self, event: Event) -> None:
        before = self.state
        try:
            self.state, decisions = step(before, event, self.now, self.policy)
        except IllegalTransitionError:
            return
        self.log += decisions
        self.note_harm(before, event)
        if before.champion != self.state.champion:
            self.check_change(before, event)
        for version in {before.challenger} & set(self.state.aborted):
            assert self.state.challenger != version

    def note_harm(self, before: RolloutState, event: Event) -> None:
        """Keep a list of what was withdrawn for what it did, and has not served since."""
        for version in {before.challenger, before.champion} - {""}:
            unproven = isinstance(event, Evidence) and event.kind is not EvidenceKind.WORSE
            if version in set(self.state.aborted) - set(before.aborted) and not unproven:
                self.harmful.add(version)
        self.harmful.discard(self.state.champion)

    def check_change(self, before: RolloutState, event: Event) -> None:
        assert isinstance(event, Promoted | Push | RollBack | GuardrailBreached)
        if isinstance(event, Promoted):
            assert before.stage is Stage.PROMOTING
            assert before.approved_by or not self.policy.approval
            assert self.state.champion not in before.aborted
        if isinstance(event, RollBack | GuardrailBreached):
            assert self.state.champion == before.previous
            assert before.champion in self.state.aborted

    @rule(hours=st.integers(0, 24 * 20))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(version=VERSIONS)
    def submit(self, version: str) -> None:
        latched = version in self.state.aborted
        self.send(Submitted(version))
        assert not (latched and self.state.challenger == version)

    @rule(event=st.sampled_from([Verified(), Promoted(), Approved("ana"), Abort("x", "ana")]))
    def plain(self, event: Event) -> None:
        self.send(event)

    @rule(kind=KINDS, n=st.integers(0, 2000), e=st.floats(min_value=0))
    def look(self, kind: EvidenceKind, n: int, e: float) -> None:
        before = self.state
        self.send(Evidence(kind, n, e))
        moved = (before.stage, before.step) != (self.state.stage, self.state.step)
        if moved and self.state.stage in {Stage.CANARY, Stage.PROMOTING}:
            assert kind in {EvidenceKind.BETTER, EvidenceKind.NOT_WORSE}
            assert n >= 100
            assert e >= 1 / self.policy.alpha

    @rule()
    def proof(self) -> None:
        self.send(PROOF)

    @rule(kind=KINDS, held=st.sampled_from(["", "the split is off"]), futile=st.booleans())
    def look_with_doubts(self, kind: EvidenceKind, held: str, futile: bool) -> None:
        before = self.state
        hopeless = "no chance" if futile else ""
        self.send(Evidence(kind, 2000, 100.0, held=held, futile=hopeless))
        if held or futile:
            assert self.state.champion == before.champion
            assert self.state.weight in {before.weight, 0.0}

    @rule(version=st.one_of(st.just(""), VERSIONS))
    def breach(self, version: str) -> None:
        self.send(GuardrailBreached("errors", version))
        if not version:
            assert self.state.challenger == ""

    @rule(version=VERSIONS)
    def push(self, version: str) -> None:
        self.send(Push(version, "ana"))
        assert self.state.champion == version

    @rule()
    def roll_back(self) -> None:
        before = self.state
        self.send(RollBack("bad", "ana"))
        if before.challenger:
            assert self.state.champion == before.champion
        elif before.previous:
            assert self.state.champion == before.previous

    @precondition(lambda self: self.log)
    @rule()
    def restart(self) -> None:
        assert CODEC.validate_json(CODEC.dump_json(self.state)) == self.state

    @invariant()
    def exactly_one_champion(self) -> None:
        if not hasattr(self, "state"):
            return
        assert self.state.champion
        assert self.state.challenger != self.state.champion
        plan = route(self.state, self.now)
        assert plan.champion == self.state.champion
        assert 0 <= plan.weight < 1
        assert bool(plan.challenger) == (plan.weight > 0)
        assert len(set(plan.shadows)) == len(plan.shadows)

    @invariant()
    def the_way_back_is_sound(self) -> None:
        if not hasattr(self, "state"):
            return
        state = self.state
        assert state.champion not in state.lineage
        assert not set(state.lineage) & self.harmful
        assert state.champion not in state.aborted
        assert state.challenger not in state.aborted or not state.challenger
        assert bool(state.challenger) == (state.stage is not Stage.CHAMPION)


TestRollouts = Rollouts.TestCase
TestRollouts.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
