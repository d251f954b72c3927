"""Rules and the signal that verdicts add up to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.rules import AlertRule, default_rules
from homeostat.domain.decision import Severity
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window

START = datetime(2024, 1, 1, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(hours=1))
DRIFT = Verdicts(Monitor.DATA_DRIFT)


def verdict(
    subject: str,
    status: Status,
    monitor: Monitor = Monitor.DATA_DRIFT,
    evidence: float = 1.0,
    reason: str = "",
) -> Verdict:
    return Verdict(
        monitor, "fraud", subject, WINDOW, status, 0.3, 0.1, evidence, 100.0, 0.5, 1000, 100,
        reason or f"{subject} {status}",
    )  # fmt: skip


def test_one_drifted_subject_is_enough_and_the_strongest_is_named_first() -> None:
    found = DRIFT.tell(
        [
            verdict("age", Status.OK),
            verdict("amount", Status.DRIFT, evidence=200.0),
            verdict("country", Status.DRIFT, evidence=900.0),
            verdict("", Status.DRIFT, evidence=900.0, reason="2 of 3 columns drifted"),
        ],
    )
    assert found.active is True
    assert found.subjects == ("country", "amount")
    assert found.reason == "2 of 3 columns drifted; country drift; amount drift"


def test_long_reasons_are_counted() -> None:
    found = DRIFT.tell([verdict(f"c{n}", Status.DRIFT) for n in range(5)])
    assert found.reason == "c0 drift; c1 drift; c2 drift; and 2 more"
    assert len(found.subjects) == 5


@pytest.mark.parametrize("status", [Status.NO_DATA, Status.INCONCLUSIVE, Status.ERROR])
def test_no_judgement_is_neither_active_nor_clear(status: Status) -> None:
    assert DRIFT.tell([verdict("amount", status)]).active is None
    assert DRIFT.tell([]).active is None


def test_clear_means_judged_ok() -> None:
    assert (
        DRIFT.tell([verdict("amount", Status.OK), verdict("age", Status.NO_DATA)]).active is False
    )


def test_an_open_incident_is_clear_only_once_its_own_subjects_are() -> None:
    verdicts = [verdict("amount", Status.NO_DATA), verdict("age", Status.OK)]
    assert DRIFT.tell(verdicts, ("amount",)).active is None
    assert "amount" in DRIFT.tell(verdicts, ("amount",)).reason
    assert DRIFT.tell(verdicts, ("age",)).active is False
    assert DRIFT.tell(verdicts[1:], ("amount",)).active is None


def test_other_monitors_and_subjects_are_passed_over() -> None:
    down = Verdicts(Monitor.SERVICE, "availability")
    others = [
        verdict("latency_p99", Status.DRIFT, Monitor.SERVICE),
        verdict("availability", Status.DRIFT, Monitor.VOLUME),
    ]
    assert down.tell(others).active is None
    assert down.tell([*others, verdict("availability", Status.OK, Monitor.SERVICE)]).active is False


def test_a_rule_needs_a_runbook_and_sane_durations() -> None:
    with pytest.raises(ValueError, match="no runbook"):
        AlertRule("x", Verdicts(Monitor.VOLUME), Severity.INFO, "")
    with pytest.raises(ValueError, match="cannot be negative"):
        AlertRule("x", Verdicts(Monitor.VOLUME), Severity.INFO, "r.md", hold=timedelta(seconds=-1))


def test_default_rules_cover_every_monitor_and_inhibit_known_rules() -> None:
    rules = {rule.name: rule for rule in default_rules(("pager", "console"))}
    monitors = {r.condition.monitor for r in rules.values() if isinstance(r.condition, Verdicts)}
    assert monitors == set(Monitor)
    assert {name for name, rule in rules.items() if rule.severity is Severity.CRITICAL} == {
        "data_fault",
        "model_down",
        "performance_drop",
        "value_drop",
    }
    assert rules["data_fault"].hold == timedelta(0)
    for name in ("data_drift", "prediction_drift", "performance_drop", "value_drop"):
        assert "data_fault" in rules[name].inhibited_by
    for rule in rules.values():
        assert rule.receivers == ("pager", "console")
        assert set(rule.inhibited_by) <= rules.keys() - {rule.name}


def test_every_default_rule_has_its_runbook() -> None:
    root = Path(__file__).parents[3]
    for rule in default_rules(()):
        assert (root / rule.runbook).is_file(), rule.runbook
    assert default_rules((), "https://wiki/rb")[0].runbook == "https://wiki/rb/data-fault.md"


def test_more_than_so_many_subjects_count_each_once() -> None:
    many = Verdicts(Monitor.DATA_DRIFT, more_than=2, min_rows=50)
    two = [verdict("a", Status.DRIFT), verdict("b", Status.DRIFT), verdict("", Status.DRIFT)]
    three = [*two, verdict("c", Status.DRIFT)]
    assert many.tell(two).active is False
    assert many.tell(two).reason == "back to normal; 2 left of more than 2"
    found = many.tell(three)
    assert (found.active, found.subjects) == (True, ("a", "b", "c"))
    assert found.reason.startswith("3 subjects, more than 2: ")
    few = [replace(v, n_current=49) for v in three]
    assert many.tell(few).active is None
    # One that vanished may still have drifted: with it there would be more than two.
    assert many.tell([*two, verdict("d", Status.OK)], ("a", "b", "c")).active is None
    assert many.tell([*two, verdict("c", Status.OK)], ("a", "b", "c")).active is False
    with pytest.raises(ValueError, match="cannot be negative"):
        Verdicts(Monitor.DATA_DRIFT, more_than=-1)


def test_conditions_that_differ_have_different_marks() -> None:
    rule = AlertRule("x", Verdicts(Monitor.VOLUME), Severity.INFO, "r.md")
    other = replace(rule, condition=Verdicts(Monitor.VOLUME, more_than=1))
    assert rule.mark != other.mark
    assert replace(rule, severity=Severity.CRITICAL).mark == rule.mark
    assert (rule.about, rule.series) == ("volume", None)
