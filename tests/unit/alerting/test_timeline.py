"""An incident's timeline: everything once, in order, with its figures; nothing of others."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from homeostat.alerting.timeline import Entry, Episode, Kind, Told, concerning, timeline
from homeostat.domain.decision import Decision
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window

NOW = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
KEY = "fraud:data_drift:1"
EPISODE = Episode(KEY, "fraud", "data_drift", NOW - HOUR, NOW, NOW + 10 * HOUR, ("amount",))


def judged(
    hour: float, status: Status, subject: str = "amount", monitor: Monitor = Monitor.DATA_DRIFT
) -> Verdict:
    window = Window(NOW + (hour - 1) * HOUR, NOW + hour * HOUR)
    return Verdict(
        monitor, "fraud", subject, window, status, 0.4, 0.1, 1e6, 100.0, math.nan, 1000, 50, "moved"
    )


def made(hour: float, action: str, subject: str = KEY, actor: str = "homeostat") -> Decision:
    return Decision("fraud", NOW + hour * HOUR, actor, action, subject, f"{action}!")


def kinds(entries: tuple[Entry, ...]) -> list[tuple[float, str]]:
    return [((entry.at - NOW) / HOUR, entry.kind.value) for entry in entries]


def test_all_that_happened_stands_in_one_order() -> None:
    decisions = [
        made(0, "fire"), made(1, "diagnose", "covariate_shift"), made(2, "escalate"),
        made(3, "acknowledge", actor="ana"), made(3.5, "silence"), made(4, "roll_back", "2", "ana"),
        made(5, "unsilence"), made(6, "tell"), made(10, "resolve"),
    ]  # fmt: skip
    told = [
        Told(NOW + HOUR / 60, "duty", "trigger", "done", 1, "202 taken"),
        Told(NOW + 7 * HOUR, "boss", "trigger", "dead", 3, "400"),
        Told(NOW + 8 * HOUR, "mail", "trigger", "pending", 0, ""),
    ]
    verdicts = [judged(-1, Status.DRIFT), judged(9, Status.OK)]
    found = timeline(EPISODE, decisions, told, verdicts, NOW + 20 * HOUR)
    assert kinds(found) == [
        (-1, "verdict"), (-1, "pending"), (0, "fired"), (1 / 60, "told"), (1, "diagnosed"),
        (2, "escalated"), (3, "acknowledged"), (3.5, "silenced"), (4, "action"), (5, "silenced"),
        (6, "told"), (7, "told"), (8, "told"), (9, "verdict"), (10, "resolved"),
    ]  # fmt: skip
    words = {entry.words for entry in found}
    assert "trigger delivered: 202 taken" in words
    assert "trigger given up, 3 attempts: 400" in words
    assert "trigger waits" in words
    assert "roll back 2: roll_back!" in words
    assert dict(found[0].evidence) == {
        "score": 0.4, "effect_threshold": 0.1, "evidence": 1e6, "evidence_threshold": 100.0,
        "rows": 50.0,
    }  # fmt: skip


def test_what_belongs_to_others_is_left_out() -> None:
    decisions = [
        made(-5, "roll_back", "2"), made(11, "roll_back", "2"), made(1, "fire", "fraud:other:1"),
        made(1, "inhibit", "fraud:other"), made(2, "refuse", "x"), made(3, "refuse"),
    ]  # fmt: skip
    found = timeline(replace(EPISODE, began=None), decisions, (), (), NOW + 20 * HOUR)
    assert [(entry.kind, entry.words) for entry in found] == [(Kind.ACTION, "refuse: refuse!")]


def test_an_open_incident_runs_until_now() -> None:
    episode = replace(EPISODE, resolved=None, opened=None, began=None)
    assert timeline(episode, [made(3, "roll_back", "2")], (), (), NOW + 2 * HOUR) == ()


def test_of_each_subject_the_turns_are_shown() -> None:
    verdicts = [
        judged(1, Status.DRIFT), judged(2, Status.DRIFT), judged(3, Status.OK),
        judged(4, Status.OK),
        judged(5, Status.DRIFT), judged(0, Status.OK), judged(12, Status.OK, "age"),
    ]  # fmt: skip
    found = timeline(replace(EPISODE, began=None), (), (), verdicts, NOW + 20 * HOUR)
    assert kinds(found) == [(1, "verdict"), (3, "verdict")]


def test_many_subjects_are_cut() -> None:
    verdicts = [judged(1, Status.DRIFT, f"c{number}") for number in range(100)]
    whole = replace(EPISODE, subjects=(), began=None)
    assert len(timeline(whole, (), (), verdicts, NOW + 20 * HOUR)) == 20


def test_only_the_rules_own_monitor_is_looked_at_where_it_is_known() -> None:
    verdicts = [judged(1, Status.DRIFT), judged(1, Status.DRIFT, "amount", Monitor.DATA_QUALITY)]
    assert concerning(EPISODE, verdicts) == (verdicts[0],)
    assert concerning(replace(EPISODE, rule="own"), verdicts) == tuple(verdicts)
    latency = replace(EPISODE, rule="high_latency", subjects=())
    service = [judged(1, Status.DRIFT, s, Monitor.SERVICE) for s in ("latency_p99", "availability")]
    assert concerning(latency, service) == (service[0],)
