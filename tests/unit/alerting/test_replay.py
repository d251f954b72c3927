"""Episodes are held to the truth, counted by week, and told as receivers want to be told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.alerting.delivery import Manners
from homeostat.alerting.hours import Hours
from homeostat.alerting.replay import Episode, Trouble, score, told, weekly
from homeostat.domain.decision import Severity
from homeostat.domain.window import Window

START = datetime(2026, 1, 5, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SPAN = Window(START, START + 70 * DAY)
NIGHT = Manners(quiet=(Hours(time(22), time(6), UTC),))


def episode(day: float, length: float | None = 1.0, rule: str = "drift", **more: object) -> Episode:
    began = START + day * DAY
    ended = None if length is None else began + length * DAY
    made = Episode("fraud", rule, Severity.WARNING, began, ended, receivers=("ops",))
    return replace(made, **more)  # type: ignore[arg-type]


def trouble(start: float, end: float, kind: str = "", model: str = "fraud") -> Trouble:
    return Trouble(model, START + start * DAY, START + end * DAY, kind)


def test_known_incidents_are_found_missed_or_outside() -> None:
    fired = [episode(3), episode(5, rule="down"), episode(20), episode(30, None)]
    truth = [
        trouble(2.5, 6),
        trouble(2.5, 6, "down"),
        trouble(10, 12),
        trouble(10, 25, "down"),
        trouble(40, 41),
        trouble(-5, -4),
        trouble(70, 71),
        trouble(3, 4, model="churn"),
    ]
    found = score(fired, truth, SPAN, {"fraud": timedelta(0)})
    told_by = [(d.trouble.kind, d.episode.rule, d.delay / DAY) for d in found.found]
    assert told_by == [("", "drift", 0.5), ("down", "down", 2.5)]
    missed = [(t.model, (t.start - START).days) for t in found.missed]
    assert missed == [("churn", 3), ("fraud", 10), ("fraud", 10), ("fraud", 40)]
    assert [(t.start - START).days for t in found.outside] == [-5, 70]
    assert found.false == (fired[3],)
    assert found.delay == 2.5 * DAY


def test_what_comes_to_light_late_is_found_within_the_grace_only() -> None:
    fired = [episode(8)]
    late, soon = ({"fraud": days * DAY} for days in (3, 1))
    assert score(fired, [trouble(4, 6)], SPAN, late).found[0].delay == 4 * DAY
    missed = score(fired, [trouble(4, 6)], SPAN, soon)
    assert (len(missed.missed), missed.false, missed.delay) == (1, tuple(fired), None)


def test_one_that_fired_before_finds_nothing_and_its_time_outside_is_false() -> None:
    found = score([episode(3, 5)], [trouble(4, 6)], SPAN, {})
    assert (found.found, len(found.missed), found.false) == ((), 1, (episode(3, 5),))
    always = score([episode(0, None)], [trouble(50, 51), trouble(60, 61)], SPAN, {"fraud": DAY})
    assert (len(always.missed), len(always.false), always.false_time) == (2, 1, 66 * DAY)


def test_time_outside_of_troubles_is_false_once() -> None:
    fired = [episode(5, 20), episode(30, 2), episode(10, 5)]
    truth = [trouble(4, 8), trouble(6, 9), trouble(12, 13), trouble(29, 31)]
    found = score(fired, truth, SPAN, {})
    assert found.false == (fired[2],)
    assert found.false_time == (3 + 12 + 1 + 2 + 2) * DAY
    other = score([episode(1, 2)], [trouble(1, 9, model="churn")], SPAN, {})
    assert other.false_time == 2 * DAY


@given(st.lists(st.floats(0, 69.9), max_size=12), st.lists(st.floats(0, 60), max_size=5))
def test_every_trouble_and_every_episode_counts_once(
    fires: list[float], begins: list[float]
) -> None:
    fired = [episode(day, 0.5) for day in sorted(fires)]
    truth = [trouble(begin, begin + 3) for begin in begins]
    found = score(fired, truth, SPAN, {"fraud": DAY})
    assert len(found.found) + len(found.missed) + len(found.outside) == len(truth)
    near = {d.episode for d in found.found}
    assert near.isdisjoint(found.false)
    assert all(d.delay >= timedelta(0) for d in found.found)
    counts = weekly(fired, SPAN)
    assert (len(counts), sum(counts)) == (10, len(fired))


def test_what_began_outside_of_the_span_is_in_no_week() -> None:
    assert sum(weekly([episode(-1), episode(70), episode(69)], SPAN)) == 1
    assert len(weekly([], Window(START, START + 8 * DAY))) == 2


@pytest.mark.parametrize(
    ("made", "hour"),
    [
        (episode(0.5), 0.0),
        (episode(23 / 24, 8 / 24), 7.0),
        (episode(23 / 24, None), 7.0),
        (episode(23 / 24, 7 / 24), None),
        (episode(23 / 24, 1 / 24), None),
        (episode(23 / 24, 1 / 24, severity=Severity.CRITICAL), 0.0),
    ],
    ids=["day", "night", "goes-on", "over-as-quiet-ends", "over-by-then", "critical"],
)
def test_quiet_hours_hold_back_what_is_not_critical(made: Episode, hour: float | None) -> None:
    heard = told(made, {"ops": NIGHT})
    expected = None if hour is None else made.began + hour * HOUR
    assert heard == {"ops": expected}


def test_a_silence_holds_back_anything_and_may_end_at_night() -> None:
    made = episode(0.5, None)
    silence = Window(START, START + 23 * HOUR)
    assert told(made, {"ops": NIGHT}, [silence]) == {"ops": START + 30 * HOUR}
    assert told(made, {}, [silence]) == {"ops": silence.end}


@pytest.mark.parametrize("days", [7, 10, 30])
def test_the_end_of_a_long_silence_is_told(days: int) -> None:
    made = episode(0.5, None)
    halves = [Window(START, START + days * DAY / 2), Window(START + DAY, START + days * DAY)]
    assert told(made, {}, halves) == {"ops": START + days * DAY}
    assert told(made, {"ops": NIGHT}, halves) == {"ops": START + days * DAY + 6 * HOUR}


def test_who_is_always_quiet_is_never_told() -> None:
    always = Manners(quiet=(Hours(time(0), time(0), UTC),))
    assert told(episode(0.5, None), {"ops": always}) == {"ops": None}


def test_the_length_of_one_that_goes_on_is_up_to_now() -> None:
    assert episode(1, None).length(START + 3 * DAY) == 2 * DAY
    assert episode(1, 1.5).length(START + 9 * DAY) == 1.5 * DAY
