"""When the engine looked and what it knew follows from what it recorded."""

from __future__ import annotations

from dataclasses import replace

import pytest

from homeostat.alerting.conditions.signal import Series
from homeostat.alerting.conditions.static import Static
from homeostat.alerting.rules import AlertRule
from homeostat.domain.decision import Decision, Severity
from homeostat.domain.limit import Limit
from homeostat.domain.verdict import MetricPoint, Monitor, Status
from homeostat.engine.retire import REASON
from homeostat.engine.tape import Past
from simulation.world import DAY, HOUR, MODEL, PLAN, START
from unit.engine.diary import Diary, decision, figures, hour, judged, limit, measured, with_rules

NAMED = replace(
    PLAN,
    thresholds=(
        limit("auc", 0.8),
        replace(limit("estimated_auc", 0.8), name="guess", metric="estimated_auc"),
    ),
)
ACCURATE = AlertRule(
    "low", Static(Series("accuracy", DAY), Limit(below=0.8)), Severity.INFO, "r.md", own=True
)


def ticks(diary: Diary, until: float = 100.0) -> list[float]:
    return [(at - START) / HOUR for at in diary.read(until)[0].ticks]


def test_ticks_are_where_service_verdicts_end_and_downtime_has_none() -> None:
    diary = Diary()
    diary.answered((1, 2))
    diary.answered((9,), length=7)
    assert ticks(diary) == [0, 1, 2, 9]


def test_in_hours_without_a_request_it_looked_as_often_as_it_should() -> None:
    diary = Diary()
    diary.answered((1, 5.2, 6.4))
    assert ticks(diary) == [0, 1, 2, 3, 4.2, 5.2, 5.4, 6.4]


def test_decisions_of_a_tick_show_it_and_those_of_people_do_not() -> None:
    diary = Diary()
    diary.answered((1, 4))
    diary.decide(decision("fire", hour(1.8), f"{MODEL}:x:1"), decision("push", hour(2.5)))
    assert ticks(diary) == [0, 1, 1.8, 3, 4]


def test_without_traffic_there_is_a_tick_every_step() -> None:
    diary = Diary()
    diary.note(judged(Monitor.VOLUME, Status.OK, hour(2)))
    assert ticks(diary) == [2]
    diary.note(judged(Monitor.VOLUME, Status.OK, hour(4.5)))
    assert ticks(diary) == [2, 3, 4, 4.5]
    assert ticks(Diary()) == []


def test_ticks_go_on_to_the_last_thing_known() -> None:
    diary = Diary()
    diary.answered((1,))
    diary.note(judged(Monitor.VOLUME, Status.OK, hour(3.5)))
    assert ticks(diary) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("monitor", "subject", "reason", "later"),
    [
        (Monitor.DATA_DRIFT, "amount", "", 0),
        (Monitor.PERFORMANCE, "loss", "", 24),
        (Monitor.CALIBRATION, "", "", 24),
        (Monitor.METRIC, "auc limit", "", 24),
        (Monitor.METRIC, "guess", "", 0),
        (Monitor.METRIC, "auc limit", f"auc limit is {REASON}", 0),
        (Monitor.VALUE, "gone", "", 24),
    ],
    ids=["drift", "loss", "calibration", "metric", "estimated", "retired", "unknown-value"],
)
def test_verdicts_are_known_once_their_labels_are(
    monitor: Monitor, subject: str, reason: str, later: int
) -> None:
    diary = Diary(NAMED)
    diary.answered(range(1, 60))
    diary.note(judged(monitor, Status.DRIFT, hour(8.5), subject, reason=reason))
    found = [c.at for c in diary.read(60)[0].changes for v in c.verdicts if v.subject == subject]
    assert found == [hour(9 + later)]


def test_what_says_the_same_again_is_left_out_but_not_figures() -> None:
    diary = Diary(NAMED)
    diary.note(*figures(NAMED.thresholds[0], [0.9, 0.9, 0.7, 0.7, 0.9]))
    diary.answered(range(1, 40))
    tape, _ = diary.read(40)
    statuses = [v.status for c in tape.changes for v in c.verdicts if v.subject == "auc limit"]
    assert statuses == [Status.OK, Status.DRIFT, Status.OK]
    assert [v.score for _, v in tape.figures] == [0.9, 0.9, 0.7, 0.7, 0.9]
    assert tape.figures[0][0] == hour(25)


def test_the_end_of_the_period_and_what_nobody_saw_any_more_are_left_out() -> None:
    diary = Diary(NAMED)
    diary.answered(range(1, 10))
    given = tuple(hour(n) for n in range(6))
    diary.note(judged(Monitor.VOLUME, Status.DRIFT, hour(5.5)))
    diary.note(judged(Monitor.PERFORMANCE, Status.DRIFT, hour(5)))
    tape, _ = diary.read(9, given)
    assert all(v.monitor is Monitor.SERVICE for c in tape.changes for v in c.verdicts)


def forgotten(*decisions: Decision, broken: float | None = None) -> dict[float, set[Monitor]]:
    diary = Diary()
    diary.answered(range(1, 40))
    for number in range(1, 16):
        diary.note(judged(Monitor.PERFORMANCE, Status.DRIFT, hour(number), "loss"))
    if broken is not None:
        for end in (broken, broken + 1):
            diary.note(judged(Monitor.DATA_QUALITY, Status.DRIFT, hour(end), "amount"))
    diary.decide(*decisions)
    changes = diary.read(40)[0].changes
    found = {(c.at - START) / HOUR: set(c.forgotten) for c in changes if c.forgotten}
    for at in found:  # said again at once: it counts from then on
        change = next(c for c in changes if c.at == hour(at))
        kept = {v.monitor for c in changes if c.at >= change.at for v in c.verdicts}
        assert Monitor.PERFORMANCE in kept
    return found


def test_a_new_champion_makes_forget_what_was_said_of_the_old_one() -> None:
    about = {Monitor.PERFORMANCE, Monitor.CALIBRATION, Monitor.PREDICTION_DRIFT}
    assert forgotten(decision("push", hour(30), actor="ana")) == {30.0: about}
    assert forgotten(decision("promote", hour(30))) == {31.0: about}
    assert forgotten(decision("roll_back", hour(39))) == {}


def test_a_fault_in_rows_that_were_judged_makes_forget_it() -> None:
    labelled = {Monitor.PERFORMANCE, Monitor.CALIBRATION}
    begin = decision("begin_fault", hour(30), "amount")
    assert forgotten(begin, broken=30) == {}, "no label of these rows was complete"
    assert forgotten(begin, broken=29.5) == {}
    assert forgotten(begin) == {30.0: labelled}, "which rows is not known"
    assert forgotten(replace(begin, at=hour(0)), broken=0) == {}
    diary = Diary()
    diary.answered(range(1, 40))
    long = judged(Monitor.DATA_QUALITY, Status.DRIFT, hour(30), "amount", 20 * HOUR)
    diary.note(long)
    diary.decide(begin)
    assert [c.at for c in diary.read(40)[0].changes if c.forgotten] == [hour(30)]


def test_two_reasons_to_forget_at_one_tick_are_one() -> None:
    begin = decision("begin_fault", hour(30), "amount")
    found = forgotten(begin, decision("push", hour(30), actor="ana"))
    assert found[30.0] >= {Monitor.PREDICTION_DRIFT, Monitor.CALIBRATION}


def test_incidents_that_people_closed_are_closed_in_the_replay() -> None:
    diary = Diary()
    diary.answered(range(1, 9))
    diary.decide(
        decision("resolve", hour(3), f"{MODEL}:a:b:2", "ana"),
        decision("resolve", hour(4), f"{MODEL}:c:1"),
    )
    closed = {c.at: c.closed for c in diary.read(9)[0].changes if c.closed}
    assert list(closed) == [hour(3)]
    assert (closed[hour(3)][0].rule, closed[hour(3)][0].actor) == ("a:b", "ana")


def test_who_was_champion_follows_from_the_decisions() -> None:
    diary = Diary()
    diary.answered(range(1, 9))
    diary.decide(
        decision("roll_back", hour(0), "0"),
        decision("install", hour(0), "1"),
        decision("promote", hour(2), "2"),
        decision("push", hour(4), "3", "ana"),
        decision("roll_back", hour(6), "3", "ana"),
        decision("roll_back", hour(7), "2", "ana"),
        decision("roll_back", hour(8), "1", "ana"),
    )
    _, past = diary.read(9)
    moments = (-1, 0, 2, 3, 4, 6, 7, 8)
    assert [past.champion(hour(n)) for n in moments] == ["", "1", "1", "2", "3", "2", "1", ""]


def test_figures_and_answers_are_read_only_where_a_rule_looks_at_them() -> None:
    diary = Diary()
    diary.answered((1, 2, 4))
    diary.measure(measured("accuracy", -48, 0.7), measured("accuracy", -30, 0.7))
    diary.measure(measured("accuracy", 90, 0.9))
    assert diary.read(9)[1] == Past()
    diary.plan = with_rules(ACCURATE)
    _, past = diary.read(9)
    assert {at: [p.window.start for p in points] for at, points in past.points.items()} == {
        START: [hour(-48)]
    }
    assert {(at - START) / HOUR: s.asked for at, s in past.served.items()} == {
        1: 100, 2: 100, 3: 0, 4: 100,
    }  # fmt: skip


def test_estimates_need_no_labels() -> None:
    condition = Static(Series("estimated_auc", DAY), Limit(below=0.8))
    diary = Diary(with_rules(replace(ACCURATE, condition=condition)))
    diary.answered(range(1, 40))
    point: MetricPoint = measured("estimated_auc", 4, 0.7)
    diary.measure(point, replace(point, window=replace(point.window, end=hour(99))))
    assert diary.read(40)[1].points == {hour(28): (point,)}
