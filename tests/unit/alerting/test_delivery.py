"""Quiet hours and limits: nothing is lost, nothing is told twice."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.alerting.delivery import (
    NAMED,
    Arranged,
    Limit,
    Manners,
    Waiting,
    arrange,
    is_ours,
    summary,
)
from homeostat.alerting.hours import Hours
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
NIGHT = datetime(2024, 1, 1, 23, tzinfo=UTC)
MORNING = datetime(2024, 1, 2, 8, tzinfo=UTC)
QUIET = Manners(quiet=(Hours(time(22), time(7), UTC),))
HOUR = timedelta(hours=1)
TRIGGER, ACKNOWLEDGE, RESOLVE, _ = NotifyAction


def waiting(
    number: int,
    action: NotifyAction = TRIGGER,
    incident: str = "",
    *,
    at: datetime = NOON,
    severity: Severity = Severity.WARNING,
    fresh: bool = True,
) -> Waiting:
    key = incident or f"fraud:rule{number}:1"
    notice = Notify(key, action, "ops", severity, "fraud", f"title {number}", "b", "r.md", at)
    return Waiting(number, notice, fresh)


def test_without_manners_everything_is_sent() -> None:
    many = [waiting(number) for number in range(100)]
    assert arrange(many, Manners(), 10**6, NIGHT) == Arranged()


def test_at_night_only_what_is_critical_is_told() -> None:
    loud = waiting(1, severity=Severity.CRITICAL, at=NIGHT)
    later = waiting(2, at=NIGHT)
    told_before = waiting(3, RESOLVE)
    begun = waiting(4, at=NIGHT, fresh=False)
    found = arrange([loud, later, told_before, begun], QUIET, 0, NIGHT)
    assert found == Arranged(frozenset({2, 4}))
    assert arrange([replace(loud, fresh=False)], QUIET, 0, NIGHT) == Arranged()
    assert arrange([later], QUIET, 0, MORNING) == Arranged()


def test_what_follows_a_held_trigger_waits_with_it() -> None:
    lane = [waiting(1, at=NIGHT), waiting(2, ACKNOWLEDGE, "fraud:rule1:1", at=NIGHT)]
    assert arrange(lane, QUIET, 0, NIGHT).held == {1, 2}


@pytest.mark.parametrize("now", [NIGHT + HOUR, MORNING])
def test_what_is_over_by_morning_is_not_told(now: datetime) -> None:
    lane = [waiting(1, at=NIGHT), waiting(2, RESOLVE, "fraud:rule1:1", at=NIGHT + HOUR)]
    assert arrange(lane, QUIET, 0, now).dropped == (1, 2)


def test_what_began_by_day_is_told_even_if_it_is_over() -> None:
    lane = [waiting(1), waiting(2, RESOLVE, "fraud:rule1:1", at=MORNING)]
    assert arrange(lane, QUIET, 0, MORNING) == Arranged()


def test_the_last_notice_of_a_limit_is_a_summary_and_the_loudest_go_alone() -> None:
    loud = waiting(7, severity=Severity.CRITICAL)
    many = [*(waiting(number) for number in range(5)), loud]
    found = arrange(many, Manners(Limit(3, HOUR)), 1, NOON)
    assert [each.number for each in found.folded] == [0, 1, 2, 3, 4]
    assert found.held == frozenset()


def test_where_there_is_no_room_for_a_summary_they_wait() -> None:
    many = [waiting(1), waiting(2), waiting(3, RESOLVE, "other")]
    assert arrange(many, Manners(Limit(3, HOUR)), 3, NOON).held == {1, 2}


def test_what_is_critical_does_not_wait_for_room() -> None:
    loud = [waiting(number, severity=Severity.CRITICAL) for number in (7, 8)]
    limit = Manners(Limit(3, HOUR))
    assert arrange([waiting(1), loud[0]], limit, 3, NOON) == Arranged(frozenset({1}))
    found = arrange([loud[0], waiting(1), loud[1]], limit, 30, NOON)
    assert found == Arranged(frozenset({1}), folded=tuple(loud))


@settings(max_examples=50)
@given(st.integers(1, 6), st.integers(0, 8), st.integers(0, 12))
def test_a_limit_is_kept_and_everything_told_or_waiting(
    notices: int, sent: int, count: int
) -> None:
    many = [waiting(number) for number in range(count)]
    found = arrange(many, Manners(Limit(notices, HOUR)), sent, NOON)
    alone = count - len(found.held) - len(found.folded)
    told = alone + bool(found.folded)
    assert sent + told <= max(notices, sent)
    assert len(found.folded) != 1
    assert found.held == frozenset() or not found.folded


def test_a_summary_says_what_it_stands_for() -> None:
    many = [waiting(number) for number in range(NAMED + 3)]
    many[-1] = waiting(4, severity=Severity.CRITICAL)
    told = summary(many, NOON)
    assert is_ours(told.incident)
    assert told.incident == summary(many, MORNING).incident
    assert (told.severity, told.runbook, told.receiver) == (Severity.CRITICAL, "r.md", "ops")
    assert told.title == f"{NAMED + 3} more incidents of fraud"
    lines = told.body.splitlines()
    assert lines[0] == "critical: title 4"
    assert lines[-1] == "and 3 more"
    others = [waiting(1), replace(many[2], notice=replace(many[2].notice, model="churn"))]
    assert summary(others, NOON).title == "2 more incidents of 2 models"
    assert len(summary(others, NOON).body.splitlines()) == 2


def test_a_summary_is_never_part_of_another_one() -> None:
    folded = [waiting(1), waiting(2)]
    again = Waiting(9, summary(folded, NOON), fresh=True)
    assert arrange([again], Manners(Limit(1, HOUR)), 5, NOON) == Arranged()
