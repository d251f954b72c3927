"""From verdicts to a cause and a remedy."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.diagnosis.diagnose import DiagnosisConfig, Symptoms, diagnose
from homeostat.domain.decision import Cause, Diagnosis
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window

DAY = Window(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))
CONFIG = DiagnosisConfig(young=timedelta(days=2))
SWAPPED = Symptoms((), champion="v2", previous="v1", version_age=timedelta(hours=5))


def verdict(
    monitor: Monitor, subject: str = "", status: Status = Status.DRIFT, reason: str = "it moved"
) -> Verdict:
    return Verdict(
        monitor, "m", subject, DAY, status, 1.0, 0.1, 9.0, 5.0, math.nan, 100, 100, reason
    )


DOWN = verdict(Monitor.SERVICE, "availability", reason="60 of 60 rows fell back")
FAULT = verdict(Monitor.DATA_QUALITY, "amount", reason="values are 100 times what they were")
WORSE = verdict(Monitor.PERFORMANCE, "loss", reason="mean loss 0.2, baseline 0.02")
DRIFT = verdict(Monitor.DATA_DRIFT, "age")
WHOLE = verdict(Monitor.DATA_DRIFT)


def of(*verdicts: Verdict, base: Symptoms | None = None) -> Diagnosis | None:
    return diagnose(replace(base or Symptoms(()), verdicts=verdicts), CONFIG)


def test_all_is_well() -> None:
    assert of() is None
    for status in (Status.OK, Status.NO_DATA, Status.INCONCLUSIVE, Status.ERROR):
        assert of(replace(WORSE, status=status), replace(FAULT, status=status)) is None


@pytest.mark.parametrize(
    ("verdicts", "base", "cause", "columns", "retrain"),
    [
        ((DOWN, FAULT, WORSE), None, Cause.MODEL_DOWN, (), False),
        ((FAULT, WORSE, DRIFT), SWAPPED, Cause.DATA_FAULT, ("amount",), False),
        ((WORSE,), SWAPPED, Cause.BAD_VERSION, (), False),
        ((WORSE, DRIFT), SWAPPED, Cause.BAD_VERSION, (), False),
        ((WORSE, WHOLE), None, Cause.CONCEPT_DRIFT, (), True),
        ((WORSE, DRIFT, WHOLE), None, Cause.COVARIATE_SHIFT, ("age",), True),
        ((DRIFT, WHOLE), None, Cause.COVARIATE_SHIFT, ("age",), False),
        ((verdict(Monitor.PREDICTION_DRIFT, "score"),), None, Cause.UNKNOWN, (), False),
        ((verdict(Monitor.SERVICE, "latency_p99"),), None, Cause.UNKNOWN, (), False),
        ((verdict(Monitor.VOLUME),), None, Cause.UNKNOWN, (), False),
        ((verdict(Monitor.CALIBRATION),), None, Cause.UNKNOWN, (), False),
    ],
)
def test_causes(
    verdicts: tuple[Verdict, ...],
    base: Symptoms | None,
    cause: Cause,
    columns: tuple[str, ...],
    retrain: bool,
) -> None:
    found = of(*verdicts, base=base)
    assert (found.cause, found.columns, found.retrain) == (cause, columns, retrain)
    assert found.advice.endswith(".")
    assert verdicts[0].reason in found.text


def test_scores_that_are_off_alone_call_for_recalibration() -> None:
    off = verdict(Monitor.CALIBRATION, "calibration")
    found = of(off, verdict(Monitor.PREDICTION_DRIFT, "score"))
    assert found.advice.startswith("Recalibrate")
    assert "score" in found.text
    assert of(off, WORSE).cause is Cause.CONCEPT_DRIFT


def test_an_old_version_is_not_blamed_for_the_world() -> None:
    old = replace(SWAPPED, version_age=timedelta(days=30))
    assert of(WORSE, base=old).cause is Cause.CONCEPT_DRIFT
    assert of(WORSE, base=replace(SWAPPED, version_age=None)).cause is Cause.CONCEPT_DRIFT


def test_a_young_version_that_does_no_worse_than_the_one_before_is_not_blamed() -> None:
    assert of(WORSE, base=replace(SWAPPED, previous_better_e=0.4)).cause is Cause.CONCEPT_DRIFT
    assert of(WORSE, base=replace(SWAPPED, previous_better_e=2.0)).cause is Cause.BAD_VERSION


def test_a_version_without_one_before_it_cannot_be_rolled_back() -> None:
    assert of(WORSE, base=replace(SWAPPED, previous="")).cause is Cause.CONCEPT_DRIFT


def test_paired_proof_is_enough_at_any_age_and_without_a_drop() -> None:
    proof = replace(SWAPPED, version_age=timedelta(days=30), previous_better_e=40.0)
    found = of(base=proof)
    assert found.cause is Cause.BAD_VERSION
    assert "e-value 40" in found.text
    assert found.advice.startswith("Roll back to version v1")


def test_the_text_tells_whether_performance_has_dropped_with_a_fault() -> None:
    assert "Performance has dropped" in of(FAULT, WORSE).text
    assert "Performance" not in of(FAULT).text
    assert of(replace(FAULT, subject="")).advice.startswith("Mend the data")
