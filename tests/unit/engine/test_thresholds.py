"""Thresholds on segments, and thresholds that their owner changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from homeostat.alerting.episode import IncidentState, Stage
from homeostat.alerting.rules import VALUE_DROP
from homeostat.detectors.series.limits import LimitConfig
from homeostat.domain.verdict import Monitor, Status
from homeostat.engine.loop import Engine
from homeostat.engine.plan import MetricThreshold
from homeostat.engine.series import SeriesMemory, judge_series
from homeostat.engine.watch import incident_key
from simulation.world import DAY, MODEL, START, Fate, memory_world
from unit.engine.test_series import HISTORY, VALUED, dynamic, judge, recorded, series


def test_a_threshold_may_be_on_the_figures_of_a_segment() -> None:
    mine = [replace(p, segment="land=DE") for p in series(0.6)]
    other = [replace(p, segment="land=FR", value=9.0) for p in mine]
    records = recorded(*mine, *other, *series(0.0))
    whole, part = dynamic(), replace(dynamic(), name="caught of land=DE", segment="land=DE")
    assert judge(records, whole)[1][-1].status is Status.OK
    _, said = judge(records, part)
    _, alone = judge(recorded(*series(0.6)), dynamic())
    assert [v.evidence for v in said] == [v.evidence for v in alone]
    assert (said[-1].status, said[-1].subject) == (Status.DRIFT, "caught of land=DE")
    plan = replace(VALUED, thresholds=(part,))
    _, fresh = judge_series(plan, recorded(*mine[:-1]), SeriesMemory(), "1", (mine[-1], other[-1]))
    assert fresh == said


def test_a_level_accepted_while_the_engine_rested_is_told_at_once() -> None:
    points = series(0.6, days=HISTORY + 20)
    memory, _ = judge(recorded(*points[: HISTORY + 12]), dynamic())
    accepted = replace(dynamic(), since=START + HISTORY * DAY)
    memory, said = judge(recorded(*points), accepted, memory)
    assert {v.status for v in said} == {Status.OK}
    assert len(said) == 8


def test_a_history_that_is_no_longer_kept_accepts_nothing() -> None:
    points = series(0.6, days=HISTORY + 20)
    memory, _ = judge(recorded(*points[: HISTORY + 12]), dynamic())
    _, said = judge(recorded(*points[HISTORY + 12 :]), dynamic(), memory)
    assert {v.status for v in said} == {Status.INCONCLUSIVE}


@pytest.mark.parametrize("left", ["another", "renamed", "none"])
def test_a_threshold_that_is_removed_while_it_fires_ends_its_alarm(
    tmp_path: Path, left: str
) -> None:
    def limit(name: str, below: float) -> MetricThreshold:
        return MetricThreshold(name, "asked", LimitConfig(below=below, monitor=Monitor.VALUE))

    after = {"another": (limit("fine", 1.0),), "renamed": (limit("new", 1.0),), "none": ()}
    made = memory_world(tmp_path, Fate(5))
    for thresholds in ((limit("asked", 1e6), limit("fine", 1.0)), after[left]):
        made.engine = Engine(made.ports, {MODEL: replace(VALUED, thresholds=thresholds)})
        for _ in range(12):
            made.advance()
    records = made.ports.records
    assert made.problems == []
    incident = records.read(incident_key(MODEL, VALUE_DROP), IncidentState)
    assert incident is not None
    assert (incident.subjects, incident.stage) == (("asked",), Stage.RESOLVED)
    (told,) = (d for d in records.decisions(MODEL) if d.action == "retire")
    assert told.reason.startswith("value of 'asked', drift at last, is no longer judged")
    assert {v.status for v in made.watch.latest if v.subject == "asked"} == {Status.OK}
