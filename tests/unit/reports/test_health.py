from datetime import UTC, datetime, timedelta

import pytest

from homeostat.domain.decision import Severity
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.reports.health import IncidentLine, Level, health, latest, monitors, silent_since

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NAN = float("nan")


def verdict(
    monitor: Monitor = Monitor.SERVICE,
    subject: str = "",
    status: Status = Status.OK,
    end: datetime = NOW,
    score: float = 0.1,
    reason: str = "r",
) -> Verdict:
    window = Window(end - HOUR, end)
    return Verdict(
        monitor, "m", subject, window, status, score, 0.1, 1.0, 180.0, 0.5, 1000, 100, reason
    )


def incident(
    severity: Severity = Severity.CRITICAL, *, opened: bool = True, reason: str = "42 % failed"
) -> IncidentLine:
    return IncidentLine("m:r:1", "m", "Down", severity, "firing", open=opened, reason=reason)


def test_no_verdict_is_not_known_and_never_healthy() -> None:
    found = health([], [], NOW)
    assert (found.level, found.headline, found.as_of) == (Level.UNKNOWN, "No data yet", None)


def test_only_windows_without_data_are_not_known() -> None:
    assert health([verdict(status=Status.NO_DATA)], [], NOW).level is Level.UNKNOWN


@pytest.mark.parametrize("status", [Status.OK, Status.INCONCLUSIVE])
def test_judged_and_unchanged_is_healthy(status: Status) -> None:
    found = health([verdict(status=status)], [], NOW)
    assert (found.level, found.words, found.reasons) == (Level.OK, "Healthy", ())


@pytest.mark.parametrize("status", [Status.DRIFT, Status.ERROR])
def test_a_change_or_a_failed_monitor_is_a_warning(status: Status) -> None:
    found = health([verdict(status=status, reason="it moved")], [], NOW)
    assert (found.level, found.headline) == (Level.WARNING, "Changed: Serving")
    assert found.reasons == ("Serving: it moved",)


def test_silence_is_not_health() -> None:
    found = health([verdict(end=NOW - 4 * HOUR)], [], NOW)
    assert found.level is Level.UNKNOWN
    assert found.reasons == ("Nothing has been judged since 2024-03-01 08:00 UTC.",)


def test_three_windows_are_waited_for() -> None:
    assert silent_since([verdict(end=NOW - 3 * HOUR)], NOW) is None
    assert silent_since([], NOW) is None


def test_the_worst_open_incident_leads() -> None:
    found = health([verdict()], [incident(Severity.WARNING), incident(Severity.CRITICAL)], NOW)
    assert (found.level, found.headline) == (Level.CRITICAL, "Down")


def test_an_open_warning_is_a_warning_even_in_silence() -> None:
    found = health([verdict(end=NOW - 9 * HOUR)], [incident(Severity.WARNING)], NOW)
    assert found.level is Level.WARNING
    assert len(found.reasons) == 2


def test_closed_incidents_do_not_count() -> None:
    assert health([verdict()], [incident(opened=False)], NOW).level is Level.OK


def test_an_incident_and_its_monitor_say_the_same_once() -> None:
    found = health([verdict(status=Status.DRIFT, reason="42 % failed")], [incident()], NOW)
    assert found.reasons == ("Down: 42 % failed",)


def test_levels_are_ordered_worst_first() -> None:
    assert [level.rank for level in Level] == [0, 1, 2, 3]


def test_latest_keeps_one_verdict_a_subject_of_the_newest_window() -> None:
    old = verdict(subject="a", end=NOW - HOUR)
    gone = verdict(subject="gone", end=NOW - 5 * HOUR)
    new = verdict(subject="a")
    assert latest([gone, new, old]) == (new,)


def test_a_monitor_with_several_subjects_names_the_changed_ones_strongest_first() -> None:
    drift = Monitor.DATA_DRIFT
    found = monitors(
        [
            verdict(drift, "calm"),
            verdict(drift, "b", Status.DRIFT, score=0.2),
            verdict(drift, "a", Status.DRIFT, score=0.9),
            verdict(drift, "unknown", Status.DRIFT, score=NAN),
            verdict(drift, "", Status.DRIFT, score=0.3),
        ]
    )
    assert [(line.title, line.status, line.words) for line in found] == [
        ("Data drift", Status.DRIFT, "a, b, unknown")
    ]


def test_a_single_changed_subject_gives_its_reason() -> None:
    drift = Monitor.DATA_DRIFT
    found = monitors(
        [
            verdict(drift, "calm"),
            verdict(drift, "a", Status.DRIFT, reason="a moved"),
            verdict(drift, "", Status.DRIFT, reason="1 of 2 features moved"),
        ]
    )
    assert found[0].words == "a moved"


def test_a_monitor_in_order_says_so() -> None:
    found = monitors([verdict(subject="a"), verdict(subject="b")])
    assert found[0].words == "all in order"


def test_monitors_come_in_the_order_in_which_trouble_spreads() -> None:
    found = monitors([verdict(Monitor.PERFORMANCE), verdict(Monitor.SERVICE)])
    assert [line.monitor for line in found] == [Monitor.SERVICE, Monitor.PERFORMANCE]
