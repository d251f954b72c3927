"""Rules on series hear in a replay what they heard, as far as it is on record."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from homeostat.alerting.conditions.kinds import Condition
from homeostat.alerting.conditions.missing import Missing
from homeostat.alerting.conditions.relative import Relative
from homeostat.alerting.conditions.signal import Series
from homeostat.alerting.conditions.static import Static
from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.rules import AlertRule
from homeostat.domain.decision import Severity
from homeostat.domain.limit import Limit
from homeostat.domain.verdict import Monitor, Status
from homeostat.domain.window import Window
from homeostat.engine.replay import replay
from homeostat.engine.replay_series import Listener, unrecorded
from homeostat.engine.watch import Matured, fresh, watch_key
from simulation.world import DAY, HOUR, MODEL, START
from unit.engine.diary import Diary, decision, hour, judged, measured, shown, with_rules

LOW = Static(Series("accuracy", DAY), Limit(below=0.8, min_rows=50))
MINUTES = timedelta(minutes=5)


def own(name: str, condition: Condition, hold: float = 0.0) -> AlertRule:
    hours = timedelta(hours=hold)
    return AlertRule(name, condition, Severity.INFO, "r.md", hold=hours, own=True)


def diary(*rules: AlertRule, until: int = 200) -> Diary:
    found = Diary(with_rules(*rules))
    found.answered(range(1, until))
    found.decide(decision("install", START))
    return found


def test_a_figure_is_heard_once_its_labels_are_complete() -> None:
    past = diary(own("low", LOW), own("held", LOW, 30.0), own("near", LOW, 20.0))
    for day, value in enumerate((0.9, 0.7, 0.7, 0.9)):
        past.measure(measured("accuracy", 24 * day, value))
    assert past.episodes(200) == [("low", 72, 120), ("near", 92, 120), ("held", 102, 120)]


def test_few_rows_and_no_figure_for_long_neither_fire_nor_resolve() -> None:
    other = Static(Series("auc", DAY), Limit(below=0.8))
    past = diary(own("low", LOW), own("other", other))
    past.measure(measured("accuracy", 0, 0.7), measured("accuracy", 24, 0.9, n=10))
    past.measure(measured("accuracy", 120, 0.9), measured("auc", 24, 0.9))
    assert past.episodes(200) == [("low", 48, 168)]


def test_a_figure_that_is_too_old_says_nothing_of_now() -> None:
    low = own("low", LOW, 60.0)
    past = diary(low)
    past.measure(measured("accuracy", 0, 0.7))
    assert past.episodes(200) == [], "after two days without another one it is not known"
    past.measure(measured("accuracy", 24, 0.7), measured("accuracy", 48, 0.7))
    assert past.episodes(200) == [("low", 108, None)]


def test_missing_data_is_an_incident_of_its_own() -> None:
    past = diary(own("gone", Missing(Series("accuracy", DAY), 2 * DAY)))
    past.measure(measured("accuracy", 0, 0.7), measured("accuracy", 72, 0.7))
    assert past.episodes(200) == [("gone", 96, 120), ("gone", 168, None)]


def test_requests_and_faults_are_counted_from_the_service_verdicts() -> None:
    rules = (
        own("silent", Static(Series("requests", HOUR), Limit(below=1.0))),
        own("failing", Static(Series("error_rate", HOUR), Limit(above=0.05))),
        own("open", Static(Series("breaker_open", HOUR), Limit(above=0.05))),
    )
    past = Diary(with_rules(*rules))
    past.answered((1, 2, 6, 7, 8))
    details = (("breaker_open", 10.0), ("error", 5.0))
    bad = judged(Monitor.SERVICE, Status.OK, hour(9), "availability", n_current=100)
    past.note(replace(bad, details=details))
    past.answered((10,))
    assert past.episodes(10) == [("silent", 3, 6), ("failing", 9, 10), ("open", 9, 10)]


def test_gauges_follow_verdicts_labels_and_versions() -> None:
    rules = (
        own("drifted", Static(Series("drifted_features", timedelta(0)), Limit(above=0.5))),
        own("late", Static(Series("label_age", timedelta(0)), Limit(above=2.5))),
        own("few", Static(Series("label_coverage", DAY), Limit(below=0.5))),
        own("old", Static(Series("version_age", timedelta(0)), Limit(above=1.0))),
    )
    past = diary(*rules, until=150)
    window = Window(START, START + DAY)
    later = Window(START + DAY, START + 2 * DAY)
    watch = replace(
        fresh(MODEL, "1", START, ()),
        matured=(Matured(window, (0, 0), 100, 90), Matured(later, (9, 1), 100, 10)),
    )
    with past.records.begin() as uow:
        uow.save(watch_key(MODEL), watch)
    past.note(judged(Monitor.DATA_DRIFT, Status.DRIFT, hour(30), "amount"))
    past.note(judged(Monitor.DATA_DRIFT, Status.OK, hour(40), "amount"))
    assert past.episodes(150) == [("drifted", 30, 40), ("few", 72, None), ("late", 109, None)]


def test_the_champion_of_the_time_counts_and_its_reference() -> None:
    fell = Relative(Series("accuracy", DAY), 0.05, trailing=3 * DAY)
    past = diary(own("fell", fell), until=300)
    past.decide(decision("promote", hour(150), "2"))
    for day in range(9):
        point = measured("accuracy", 24 * day, 0.9 if day < 7 else 0.7)
        past.measure(point, replace(point, version="2", value=0.9, n=90))
    assert past.episodes(300) == []


def test_what_is_not_on_record_is_not_replayed() -> None:
    slow = own("slow", Static(Series("latency_p99", MINUTES), Limit(above=500.0)))
    verdicts = own("faults", Verdicts(Monitor.DATA_QUALITY))
    assert unrecorded((slow, verdicts, own("low", LOW))) == (slow,)
    past = diary(slow, until=20)
    assert past.episodes(20) == []
    tape, known = past.read(20)
    assert Listener(past.plan, past.records, past.registry).looked_at(tape, known) == {}


def test_rules_with_limits_tell_what_they_looked_at() -> None:
    past = diary(own("low", LOW), own("gone", Missing(Series("accuracy", DAY), 2 * DAY)))
    past.measure(measured("accuracy", 0, 0.7), measured("accuracy", 120, 0.9, n=10))
    tape, known = past.read(200)
    seen = list[float]()
    listener = Listener(past.plan, past.records, past.registry)
    looked = listener.looked_at(tape, known, lambda at: seen.append((at - START) / HOUR))
    figures = [((at - START) / HOUR, p.value, p.rows) for at, p in looked["low"]]
    assert figures[0][1] != figures[0][1], "none yet"
    assert figures[1] == (48, 0.7, 100)
    assert figures[2][0] == 97
    assert figures[3] == (168, 0.9, 10)
    assert seen == sorted(seen)
    assert list(looked) == ["low"]


def test_progress_is_told() -> None:
    past = diary(own("low", LOW), until=10)
    tape, known = past.read(10)
    seen: list[datetime] = []
    listener = Listener(past.plan, past.records, past.registry)
    told = list(listener.heard(tape, known, seen.append))
    assert [name for _, signals in told for name, _ in signals] == ["low"]
    assert seen == [START]
    assert shown(replay(past.plan.rules, tape)) == []
