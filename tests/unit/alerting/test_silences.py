"""Silences: which incidents they are for, when they hold, and what they may not be."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.alerting.episode import IncidentState, Stage
from homeostat.alerting.escalation import EscalationStep, escalate
from homeostat.alerting.silences import (
    FARTHEST,
    KEPT,
    LONGEST,
    MOST,
    Matcher,
    Silence,
    Silences,
    hush,
)
from homeostat.domain.decision import Severity
from homeostat.domain.errors import DataError, NotFoundError

NOW = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
OPEN = IncidentState(
    "fraud", "data_drift", Stage.FIRING, 1, Severity.WARNING, ("duty", "team"), "r.md",
    subjects=("amount", "age"), title="t", reason="r", fired_at=NOW,
)  # fmt: skip


NONE = Silences()


def made(silences: Silences = NONE, **fields: object) -> Silences:
    given = {
        "matcher": Matcher(),
        "owner": "ana",
        "reason": "known",
        "span": (None, NOW + HOUR),
        "actor": "ana",
        "now": NOW,
    } | fields
    return silences.add(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("matcher", "expected"),
    [
        (Matcher(), True),
        (Matcher(model="fr*", rule="data_*"), True),
        (Matcher(model="churn"), False),
        (Matcher(rule="model_down"), False),
        (Matcher(severities=frozenset({Severity.CRITICAL})), False),
        (Matcher(severities=frozenset(Severity)), True),
        (Matcher(subject="a*"), True),
        (Matcher(subject="amount"), False),
    ],
    ids=["all", "patterns", "model", "rule", "severity", "severities", "subjects", "one-subject"],
)
def test_all_of_a_matcher_must_match(matcher: Matcher, expected: bool) -> None:
    assert matcher.matches(OPEN) is expected


def test_a_name_is_matched_by_itself_even_if_it_reads_as_a_pattern() -> None:
    odd = replace(OPEN, subjects=("amount[EUR]",))
    assert Matcher(subject="amount[EUR]").matches(odd)
    assert Matcher(subject="*").matches(replace(OPEN, subjects=()))
    assert not Matcher(subject="?*").matches(replace(OPEN, subjects=()))


def test_it_holds_from_its_start_and_not_at_its_end() -> None:
    (one,) = made(span=(NOW + HOUR, NOW + 2 * HOUR)).silences
    holds = [one.holds(NOW + hours * HOUR) for hours in (0, 1, 1.9, 2)]
    assert holds == [False, True, True, False]
    assert [one.is_over(NOW + hours * HOUR) for hours in (0, 1, 2)] == [False, False, True]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"owner": " "}, "owner"),
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 501}, "at most 500"),
        ({"matcher": Matcher(rule="")}, "empty pattern"),
        ({"span": (None, NOW)}, "must end after"),
        ({"span": (NOW - 2 * HOUR, NOW - HOUR)}, "must end after"),
        ({"span": (NOW + 2 * HOUR, NOW + HOUR)}, "must end after"),
        ({"span": (None, NOW + LONGEST + HOUR)}, "at most 30 days"),
        ({"span": (NOW + FARTHEST + HOUR, NOW + FARTHEST + 2 * HOUR)}, "within 90 days"),
    ],
    ids=["owner", "reason", "long", "empty", "end", "past", "reversed", "length", "far"],
)
def test_what_is_unsafe_is_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        made(**fields)


def test_there_are_so_many_at_most_and_old_ones_are_forgotten() -> None:
    many = Silences()
    for _ in range(MOST):
        many = made(many)
    with pytest.raises(DataError, match="200 silences already"):
        made(many)
    later = NOW + 2 * HOUR
    many = made(many, span=(None, later + HOUR), now=later)
    numbers = [silence.number for silence in many.silences]
    assert numbers == list(range(MOST + 1 - KEPT, MOST + 2))


def test_one_is_ended_once() -> None:
    two = made(made(), span=(NOW + HOUR, NOW + 2 * HOUR))
    ended = two.end(2, "ben", NOW)
    assert ended.silences[0] == two.silences[0]
    assert (ended.silences[1].ended_by, ended.silences[1].is_over(NOW)) == ("ben", True)
    for number in (2, 3):
        with pytest.raises(NotFoundError, match=f"no silence {number} now"):
            ended.end(number, "ben", NOW)


def test_of_several_that_hold_the_one_that_ends_last_counts() -> None:
    some = made(made(made(), span=(None, NOW + 3 * HOUR)), matcher=Matcher(model="churn"))
    found = some.over(OPEN, NOW)
    assert found is not None
    assert found.number == 2
    assert some.over(OPEN, NOW + 4 * HOUR) is None


def test_another_silence_that_takes_over_is_said_and_tells_nobody() -> None:
    first, second = (
        Silence(number, Matcher(), "ana", "known\nissue", NOW, NOW + number * HOUR, "ana", NOW)
        for number in (1, 2)
    )
    state, told, decisions = hush(OPEN, (), first, NOW)
    assert (state.silenced, told, [d.action for d in decisions]) == (1, (), ["silence"])
    assert hush(state, (), first, NOW) == (state, (), ())
    state, told, decisions = hush(state, (), second, NOW)
    assert (state.silenced, told, [d.action for d in decisions]) == (2, (), ["silence"])
    assert decisions[0].reason.startswith("silence 2 by ana until 2024-01-01 02:00 UTC: known")


def test_a_step_of_escalation_tells_somebody_some_time_after() -> None:
    for after, receivers in ((timedelta(0), ("boss",)), (HOUR, ())):
        with pytest.raises(ValueError, match="tells somebody"):
            EscalationStep(after, receivers)


def test_a_step_whose_people_all_know_is_taken_and_tells_nobody() -> None:
    state = replace(OPEN, severity=Severity.CRITICAL)
    state, told, decisions = escalate(state, (EscalationStep(HOUR, ("duty",)),), NOW + HOUR)
    assert (state.escalated, state.told, told) == (1, ("duty", "team"), ())
    assert decisions[0].reason.endswith("all know of it")


def test_an_open_incident_of_an_older_version_still_ends_for_all_and_escalates() -> None:
    old = replace(OPEN, severity=Severity.CRITICAL, escalates_from=None)
    assert old.told == ("duty", "team")
    assert escalate(old, (EscalationStep(HOUR, ("boss",)),), NOW + HOUR)[0].escalated == 1
    odd = replace(old, fired_at=None)
    assert escalate(odd, (EscalationStep(HOUR, ("boss",)),), NOW + HOUR) == (odd, (), ())
