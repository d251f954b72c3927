"""The incident machine: scenarios, and its invariants under any sequence of events."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pydantic import TypeAdapter

from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.episode import IncidentState, Stage
from homeostat.alerting.incident import (
    TRANSITIONS,
    Acknowledge,
    Close,
    Event,
    Observed,
    is_inhibited,
    keep_firing,
    step,
)
from homeostat.alerting.notices import retold
from homeostat.alerting.rules import AlertRule
from homeostat.domain.decision import Severity
from homeostat.domain.effect import NotifyAction
from homeostat.domain.errors import IllegalTransitionError
from homeostat.domain.verdict import Monitor

CODEC = TypeAdapter(IncidentState)
START = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RULE = AlertRule(
    "data_drift",
    Verdicts(Monitor.DATA_DRIFT),
    Severity.WARNING,
    "runbooks/data-drift.md",
    receivers=("pager",),
)
SLOW = replace(RULE, hold=10 * MINUTE, keep_firing=20 * MINUTE)
NEW = IncidentState("fraud", "data_drift")
BAD = Observed(True, "amount drifted", ("amount",), "covariate shift")
FINE, UNKNOWN = Observed(False, "back to normal"), Observed(None, "no data")


def play(
    state: IncidentState, rule_: AlertRule, timeline: dict[int, Event]
) -> tuple[IncidentState, list[tuple[int, str]]]:
    """Step through {minute: event}; return the last state and the notifications by minute."""
    told = []
    for minute, event in timeline.items():
        state, effects, _ = step(state, event, START + minute * MINUTE, rule_)
        told += [(minute, effect.action) for effect in effects]
    return state, told


def test_without_a_hold_it_fires_at_once_and_tells_everything() -> None:
    state, effects, decisions = step(NEW, BAD, START, RULE)
    (notice,) = effects
    assert state.stage is Stage.FIRING
    assert state.open
    assert (notice.action, notice.receiver, notice.incident) == (
        NotifyAction.TRIGGER,
        "pager",
        "fraud:data_drift:1",
    )
    assert notice.title == "fraud: data drift (amount)"
    assert notice.body == "amount drifted\ncovariate shift"
    assert notice.runbook == RULE.runbook
    assert [(d.action, d.subject) for d in decisions] == [("fire", state.key)]


def test_what_is_told_is_of_bounded_length_whatever_the_names_are() -> None:
    names = tuple(f"{number}" + "x" * 10_000 for number in range(50))
    _, (notice,), _ = step(NEW, Observed(True, ", ".join(names), names), START, RULE)
    assert (len(notice.title), len(notice.body)) == (2_000, 50_000)
    assert notice.title.startswith("fraud: data drift (0xx")
    assert notice.title[-1] == notice.body[-1] == "…"


def test_the_condition_must_hold() -> None:
    timeline = {0: BAD, 9: BAD, 10: BAD, 11: BAD}
    assert play(NEW, SLOW, timeline)[1] == [(10, "trigger")]
    state, told = play(NEW, SLOW, {0: BAD, 5: FINE, 6: BAD, 12: BAD})
    assert told == []
    assert state.stage is Stage.PENDING


def test_silence_neither_starts_nor_fires_nor_resolves() -> None:
    assert step(NEW, UNKNOWN, START, SLOW) == (NEW, (), ())
    state, told = play(NEW, SLOW, {0: BAD, 60: UNKNOWN})
    assert (state.stage, told) == (Stage.PENDING, [])
    state, told = play(NEW, RULE, {0: BAD} | dict.fromkeys(range(1, 5000, 100), UNKNOWN))
    assert (state.stage, told) == (Stage.FIRING, [(0, "trigger")])


def test_a_gap_as_long_as_the_hold_ends_a_pending_incident() -> None:
    state, told = play(NEW, SLOW, {0: BAD, 1: UNKNOWN, 10: UNKNOWN})
    assert (state.stage, told) == (Stage.PENDING, [])
    state, told = play(state, SLOW, {11: UNKNOWN})
    assert (state.stage, state.pending_since, told) == (Stage.INACTIVE, None, [])
    assert play(state, SLOW, {12: BAD, 21: BAD, 22: BAD})[1] == [(22, "trigger")]


def test_a_gap_between_two_ticks_counts_as_if_somebody_had_looked() -> None:
    timeline = {0: BAD, 1: UNKNOWN, 11: BAD, 20: BAD, 21: BAD}
    assert play(NEW, SLOW, timeline)[1] == [(21, "trigger")]
    timeline = {0: BAD, 10: BAD, 11: FINE, 12: UNKNOWN, 32: FINE, 51: FINE, 52: FINE}
    assert play(NEW, SLOW, timeline)[1] == [(10, "trigger"), (52, "resolve")]


def test_a_series_with_short_gaps_fires_and_resolves() -> None:
    gappy: dict[int, Event] = {0: BAD, 1: UNKNOWN, 9: BAD, 10: UNKNOWN, 12: BAD}
    clear: dict[int, Event] = {20: FINE, 21: UNKNOWN, 39: FINE, 40: UNKNOWN, 41: FINE}
    state, told = play(NEW, SLOW, gappy | clear)
    assert told == [(12, "trigger"), (41, "resolve")]
    assert state.unknown_since is None


def test_a_gap_as_long_as_the_keep_firing_duration_ends_a_clear_spell() -> None:
    state, _ = play(NEW, SLOW, {0: BAD, 10: BAD, 11: FINE, 12: UNKNOWN, 31: UNKNOWN})
    assert state.clear_since == START + 11 * MINUTE
    state, told = play(state, SLOW, {32: UNKNOWN, 33: UNKNOWN, 500: FINE, 519: FINE})
    assert (state.stage, told, state.clear_since) == (Stage.FIRING, [], START + 500 * MINUTE)
    assert play(state, SLOW, {520: FINE})[1] == [(520, "resolve")]


def test_what_a_parent_explains_lapses_in_a_gap_too() -> None:
    state, _, _ = step(NEW, BAD, START, RULE, inhibited=True)
    state, _, _ = step(state, UNKNOWN, START + MINUTE, RULE, inhibited=True)
    assert state.stage is Stage.INACTIVE


@pytest.mark.parametrize("known", [{0: BAD}, {0: BAD, 10: BAD}, {0: BAD, 10: BAD, 11: FINE}])
def test_within_a_gap_nothing_changes_but_at_its_begin_and_end(known: dict[int, Event]) -> None:
    state, _ = play(NEW, SLOW, known)
    changes = 0
    for minute in range(12, 500):
        after, _, _ = step(state, UNKNOWN, START + minute * MINUTE, SLOW)
        changes += after is not state
        state = after
    assert changes == (0 if known.keys() == {0, 10} else 2)


def test_it_resolves_once_it_was_clear_for_long_enough() -> None:
    timeline = {0: BAD, 10: BAD, 20: FINE, 30: BAD, 40: FINE, 59: FINE, 60: FINE, 70: FINE}
    state, told = play(NEW, SLOW, timeline)
    assert told == [(10, "trigger"), (60, "resolve")]
    assert (state.stage, state.resolved_at) == (Stage.RESOLVED, START + 60 * MINUTE)


def test_a_pending_incident_lapses_without_a_word() -> None:
    state, told = play(NEW, SLOW, {0: BAD, 1: FINE})
    assert (state.stage, told, state.episode) == (Stage.INACTIVE, [], 0)


def test_acknowledging_tells_receivers_and_does_not_resolve() -> None:
    state, told = play(NEW, RULE, {0: BAD, 1: Acknowledge("ana"), 2: BAD, 3: UNKNOWN})
    assert told == [(0, "trigger"), (1, "acknowledge")]
    assert (state.stage, state.acknowledged_by) == (Stage.ACKNOWLEDGED, "ana")
    state, told = play(state, RULE, {4: FINE})
    assert told == [(4, "resolve")]


def test_the_resolve_reaches_whoever_was_paged() -> None:
    state, _, _ = step(NEW, BAD, START, RULE)
    changed = replace(RULE, receivers=("somebody_else",), severity=Severity.CRITICAL)
    _, effects, _ = step(state, FINE, START + MINUTE, changed)
    assert [(e.receiver, e.severity) for e in effects] == [("pager", Severity.WARNING)]


def test_each_receiver_is_told_once() -> None:
    rule_ = replace(RULE, receivers=("a", "b", "a"))
    assert [e.receiver for e in step(NEW, BAD, START, rule_)[1]] == ["a", "b"]


def test_a_new_episode_has_a_new_key_and_fresh_subjects() -> None:
    state, _ = play(NEW, RULE, {0: BAD, 1: Acknowledge("ana"), 2: FINE})
    other = Observed(True, "age drifted", ("age",))
    state, effects, _ = step(state, other, START + 500 * MINUTE, RULE)
    assert effects[0].incident == "fraud:data_drift:2"
    assert effects[0].body == "age drifted"
    assert (state.subjects, state.acknowledged_by) == (("age",), "")


def test_subjects_add_up_while_it_is_open() -> None:
    state, _ = play(NEW, RULE, {0: BAD, 1: Observed(True, "age drifted", ("age",))})
    assert state.subjects == ("amount", "age")
    assert state.cause == "covariate shift"


def test_a_person_can_close_it() -> None:
    state, effects, decisions = step(
        step(NEW, BAD, START, RULE)[0], Close("ana", "column removed"), START + MINUTE, RULE
    )
    assert state.stage is Stage.RESOLVED
    assert (effects[0].action, effects[0].body) == (NotifyAction.RESOLVE, "column removed")
    assert decisions[0].actor == "ana"


def test_flapping_doubles_the_time_it_must_be_clear() -> None:
    rule_ = replace(RULE, keep_firing=10 * MINUTE)
    state, told = play(NEW, rule_, {0: BAD, 5: FINE, 15: FINE, 20: BAD})
    assert told == [(0, "trigger"), (15, "resolve"), (20, "trigger")]
    assert state.flaps == 1
    assert keep_firing(state, rule_) == 20 * MINUTE
    state, told = play(state, rule_, {25: FINE, 40: FINE, 45: FINE})
    assert told == [(45, "resolve")]
    assert play(state, rule_, {1000: BAD})[0].flaps == 0


def test_damping_has_a_limit() -> None:
    assert keep_firing(replace(NEW, flaps=99), SLOW) == 32 * SLOW.keep_firing


def test_an_inhibited_incident_waits_and_says_so_once() -> None:
    state, effects, decisions = step(NEW, BAD, START, RULE, inhibited=True)
    assert (state.stage, effects) == (Stage.PENDING, ())
    assert [d.action for d in decisions] == ["inhibit"]
    state, effects, decisions = step(state, BAD, START + MINUTE, RULE, inhibited=True)
    assert (effects, decisions) == ((), ())
    state, effects, _ = step(state, BAD, START + 2 * MINUTE, RULE)
    assert [e.action for e in effects] == [NotifyAction.TRIGGER]


def test_the_hold_starts_afresh_after_an_inhibition() -> None:
    state = NEW
    for minute in range(30):
        state, _, _ = step(state, BAD, START + minute * MINUTE, SLOW, inhibited=True)
    once = replace(SLOW, keep_firing=0 * MINUTE)
    state, told = play(state, once, {30: BAD, 38: BAD})
    assert (state.stage, told) == (Stage.PENDING, [])
    assert play(state, once, {39: BAD})[1] == [(39, "trigger")]


def test_what_a_parent_explained_has_time_to_fade_when_it_is_over() -> None:
    """As long as it would need to be called over: then it is no second page for one cause."""
    state, _, _ = step(NEW, BAD, START, SLOW, inhibited=True)
    state, told = play(state, SLOW, {5: BAD, 15: BAD, 19: UNKNOWN})
    assert (state.stage, told) == (Stage.PENDING, [])
    assert play(state, SLOW, {19: FINE, 60: FINE})[1] == []
    assert play(state, SLOW, {20: BAD})[1] == [(20, "trigger")]
    faded, _ = play(state, SLOW, {19: FINE})
    at_once = replace(SLOW, hold=0 * MINUTE)
    assert play(faded, at_once, {30: BAD})[1] == [(30, "trigger")], "that was another time"


@pytest.mark.parametrize(("severity", "minutes"), [(Severity.CRITICAL, 10), (Severity.WARNING, 60)])
def test_it_has_an_hour_to_fade_at_most_and_none_if_it_is_critical(
    severity: Severity, minutes: int
) -> None:
    long = replace(SLOW, severity=severity, keep_firing=1440 * MINUTE)
    state, _, _ = step(NEW, BAD, START, long, inhibited=True)
    timeline = {minutes - 1: BAD, minutes: BAD}
    assert play(state, long, timeline)[1] == [(minutes, "trigger")]


def test_what_fired_before_its_parent_still_resolves() -> None:
    state, _, _ = step(NEW, BAD, START, RULE)
    state, effects, _ = step(state, FINE, START + MINUTE, RULE, inhibited=True)
    assert [e.action for e in effects] == [NotifyAction.RESOLVE]


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        (Stage.INACTIVE, False),
        (Stage.PENDING, True),
        (Stage.FIRING, True),
        (Stage.ACKNOWLEDGED, True),
        (Stage.RESOLVED, False),
    ],
)
def test_a_pending_or_open_parent_inhibits(stage: Stage, expected: bool) -> None:
    child = replace(RULE, inhibited_by=("data_fault", "absent"))
    parents = {"data_fault": IncidentState("fraud", "data_fault", stage)}
    assert is_inhibited(child, parents) is expected
    assert not is_inhibited(RULE, parents)


@pytest.mark.parametrize("event", [Acknowledge("ana"), Close("ana", "x")])
@pytest.mark.parametrize("stage", [Stage.INACTIVE, Stage.PENDING, Stage.RESOLVED])
def test_only_an_open_incident_is_acknowledged_or_closed(stage: Stage, event: Event) -> None:
    with pytest.raises(IllegalTransitionError, match=f"incident: .* in state {stage}"):
        step(replace(NEW, stage=stage), event, START, RULE)


def test_nobody_acknowledges_twice() -> None:
    state, _ = play(NEW, RULE, {0: BAD, 1: Acknowledge("ana")})
    with pytest.raises(IllegalTransitionError):
        step(state, Acknowledge("ben"), START, RULE)


def test_an_unchanged_state_is_the_same_object() -> None:
    state, _ = play(NEW, RULE, {0: BAD})
    assert step(state, BAD, START + MINUTE, RULE)[0] is state


def test_an_open_incident_is_retold_under_the_key_and_with_the_time_of_its_trigger() -> None:
    state, first, _ = step(NEW, BAD, START, RULE)
    assert retold(state) == first
    worse = Observed(True, "country drifted too", ("amount", "country"))
    state, _, _ = step(state, worse, START + MINUTE, RULE)
    (again,) = retold(state)
    assert (again.key, again.since, again.rule) == (first[0].key, START, "data_drift")
    assert again.body == "country drifted too\ncovariate shift"
    with pytest.raises(ValueError, match="never fired"):
        retold(NEW)


def test_every_stage_is_reached_and_left() -> None:
    assert {stage for stage, _ in TRANSITIONS} == set(Stage) == set(TRANSITIONS.values())


class Incidents(RuleBasedStateMachine):
    """Any sequence of signals and people: told once, resolved once, silence is not recovery."""

    @initialize(
        hold=st.sampled_from([0, 10, 60]),
        keep=st.sampled_from([0, 15, 120]),
    )
    def begin(self, hold: int, keep: int) -> None:
        self.rule = replace(RULE, hold=hold * MINUTE, keep_firing=keep * MINUTE)
        self.state, self.now = NEW, START
        self.told = {}
        self.inhibited = False

    def send(self, event: Event) -> None:
        before = self.state
        try:
            self.state, effects, _ = step(
                before, event, self.now, self.rule, inhibited=self.inhibited
            )
        except IllegalTransitionError:
            assert not isinstance(event, Observed)
            return
        for effect in effects:
            actions = self.told.setdefault(effect.incident, [])
            actions.append(effect.action)
            if effect.action is NotifyAction.TRIGGER:
                assert event == BAD
                assert not self.inhibited
            if effect.action is NotifyAction.RESOLVE:
                assert event == FINE or isinstance(event, Close)
        if event == UNKNOWN:
            assert effects == ()
            lapsed = (before.stage, self.state.stage) == (Stage.PENDING, Stage.INACTIVE)
            assert lapsed or self.state.stage is before.stage
            again = step(self.state, UNKNOWN, self.now, self.rule, inhibited=self.inhibited)
            assert again[0] is self.state

    @rule(minutes=st.integers(0, 300))
    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @rule(event=st.sampled_from([BAD, FINE, UNKNOWN, Acknowledge("ana"), Close("ana", "x")]))
    def observe(self, event: Event) -> None:
        self.send(event)

    @rule(value=st.booleans())
    def inhibit(self, value: bool) -> None:
        self.inhibited = value

    @rule()
    def restart(self) -> None:
        assert CODEC.validate_json(CODEC.dump_json(self.state)) == self.state

    @invariant()
    def each_episode_is_told_in_order_and_once(self) -> None:
        if not hasattr(self, "state"):
            return
        trigger, acknowledge, resolve, _ = NotifyAction
        for actions in self.told.values():
            assert actions in (
                [trigger],
                [trigger, acknowledge],
                [trigger, resolve],
                [trigger, acknowledge, resolve],
            )
        unresolved = [key for key, actions in self.told.items() if resolve not in actions]
        assert unresolved == ([self.state.key] if self.state.open else [])


TestIncidents = Incidents.TestCase
TestIncidents.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
