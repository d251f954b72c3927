"""Performance is judged on matured rows, each once, without what faults cover."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from homeostat.detectors.performance.detector import LossBaseline
from homeostat.domain.columns import texts
from homeostat.domain.errors import DataError
from homeostat.domain.model import Audit, LabelSpec, ModelVersion, Task
from homeostat.domain.verdict import Status
from homeostat.domain.window import Window
from homeostat.engine.backtest import to_records
from homeostat.engine.cohort import AUDIT, MATURED, Cohort, cohorts, outcomes, without
from homeostat.engine.hindsight import Hindsight
from homeostat.engine.outcomes import class_counts, judge_losses, measure_windows, paired_evidence
from homeostat.engine.rollouts import evidence
from homeostat.engine.training import (
    clear_stretches,
    feature_columns,
    labelled_rows,
    one_each,
    reference_of,
    score_floats,
    volumes_of,
)
from homeostat.engine.watch import Baseline, Fault, Watch
from homeostat.profiles.profile import EMPTY
from homeostat.rollout.events import EvidenceKind
from homeostat.rollout.state import RolloutState, Stage
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRegistry, MemoryScorer
from simulation.fitting import contrary
from simulation.world import DAY, HOUR, MODEL, PLAN, SPEC, START, Fate, World, memory_world
from unit.engine.bench import watch

NOW = START + 3 * DAY
REST = RolloutState(MODEL, Stage.CHAMPION, "1")
SHADOW = replace(REST, stage=Stage.SHADOW, challenger="2", since=START)
BASELINE = Baseline("1", LossBaseline(0.13, 1000, 0.15))
WHOLE = Window(START, START + 2 * DAY)


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = memory_world(tmp_path, Fate(5))
    card = ModelVersion(MODEL, "", "linear", "", START, trained_until=START)
    made.ports.registry.register(card, contrary(tmp_path / "two"))
    for _ in range(12):
        made.advance()
    return made


def judge(world: World, seen: Watch, rollout: RolloutState) -> Watch:
    ports = world.ports
    hindsight = Hindsight(ports.log, ports.scorer, ports.registry)
    return judge_losses(PLAN, ports.log, seen, rollout, BASELINE, hindsight, NOW).watch


def test_each_matured_row_counts_once(world: World) -> None:
    ports = world.ports
    hindsight = Hindsight(ports.log, ports.scorer, ports.registry)
    found = judge_losses(PLAN, ports.log, watch(), REST, BASELINE, hindsight, NOW)
    (told,) = found.verdicts
    assert (told.status, told.n_current) == (Status.OK, 960)
    assert told.window == WHOLE
    assert found.watch.loss_until == NOW - DAY
    again = judge_losses(PLAN, ports.log, found.watch, REST, BASELINE, hindsight, NOW)
    assert (again.watch, again.verdicts) == (found.watch, ())


def test_without_rows_there_is_no_verdict(world: World) -> None:
    ports = world.ports
    empty = MemoryLog(SimulatedClock(NOW))
    hindsight = Hindsight(empty, ports.scorer, ports.registry)
    found = judge_losses(PLAN, empty, watch(), REST, BASELINE, hindsight, NOW)
    assert found.verdicts == ()
    assert found.watch.loss_until == NOW - DAY


def test_a_challenger_is_compared_on_the_champions_rows(world: World) -> None:
    seen = judge(world, watch(), SHADOW)
    found = paired_evidence(seen.challenger)
    assert found.n == seen.challenger.answered == 960
    assert found.worse_e > 20
    on = judge(world, replace(seen, loss_until=START), SHADOW)
    assert on.challenger.answered == 1920
    later = judge(world, replace(seen, loss_until=START), replace(SHADOW, since=NOW))
    assert later.challenger.answered == 960
    assert paired_evidence(later.challenger).n == 1920
    other = judge(world, replace(seen, loss_until=START), replace(SHADOW, champion="3"))
    assert paired_evidence(other.challenger).n == 0
    assert judge(world, replace(seen, loss_until=START), REST).challenger.other == ""


@pytest.mark.parametrize(
    ("margin", "kind"),
    [
        (3.0, EvidenceKind.NOT_WORSE),
        (0.0, EvidenceKind.INCONCLUSIVE),
        (-0.5, EvidenceKind.INCONCLUSIVE),
    ],
)
def test_a_challenger_may_be_worse_by_the_margin_of_the_gate(
    world: World, margin: float, kind: EvidenceKind
) -> None:
    registry = world.ports.registry
    card = ModelVersion(MODEL, "", "linear", "", START, trained_until=START)
    same = registry.register(card, registry.path(MODEL, "1")).version
    plan = replace(PLAN, gate_margin=margin)
    hindsight = Hindsight(world.ports.log, world.ports.scorer, registry)
    rollout = replace(SHADOW, challenger=same)
    seen = judge_losses(plan, world.ports.log, watch(), rollout, BASELINE, hindsight, NOW).watch
    assert evidence(plan, seen).kind is kind


def test_rows_that_a_fault_covers_say_nothing(world: World) -> None:
    fault = Fault("amount", START, START + DAY)
    log = world.ports.log
    (cohort,) = cohorts(SPEC)
    clean = outcomes(log, SPEC, cohort, WHOLE, NOW, (fault.window(NOW),))
    assert clean.asked == 480
    seen = replace(watch(), faults=(fault,))
    found = measure_windows(PLAN, log, seen, REST, NOW)
    assert {p.window.start for p in found.points} == {START + DAY}
    assert [m.rows for m in found.watch.matured] == [0, 480]


def test_few_rows_neither_add_to_a_drop_nor_end_it(world: World) -> None:
    strict = replace(PLAN, performance=replace(PLAN.performance, min_rows=481))
    seen = replace(watch(), drops=2, drop_since=START + DAY)
    log = world.ports.log
    assert measure_windows(strict, log, seen, REST, NOW).watch.drops == 2
    assert measure_windows(PLAN, log, seen, REST, NOW).watch.drops == 1


def test_an_audit_gives_metrics_early(world: World) -> None:
    spec = replace(SPEC, labels=LabelSpec(30 * DAY, Audit("audited", DAY)))
    early, late = cohorts(spec)
    assert (early.name, early.maturity, late.name) == (AUDIT, DAY, MATURED)
    log = MemoryLog(SimulatedClock(NOW))
    rows = world.fate.traffic(Window(START, START + DAY))
    flags = pa.array([i % 4 == 0 for i in range(rows.num_rows)])
    scores = world.ports.scorer.score(SPEC, "1", rows)
    log.append(
        spec, to_records(spec, rows.append_column("audited", flags), scores, "1", "champion")
    )
    log.append_labels(spec, world.fate.labels(WHOLE))
    plan = replace(PLAN, spec=spec)
    found = measure_windows(plan, log, watch(), REST, NOW)
    sizes = {(p.cohort, p.n) for p in found.points if p.name == "accuracy"}
    assert {p.cohort for p in found.points} == {AUDIT}
    assert sizes == {(AUDIT, 120)}
    assert dict(found.watch.metrics_until) == {MATURED: START, AUDIT: START + 2 * DAY}
    assert found.watch.matured == ()


def test_no_requests_have_no_coverage() -> None:
    cohort = Cohort(MATURED, DAY)
    found = outcomes(MemoryLog(SimulatedClock(NOW)), SPEC, cohort, WHOLE, NOW)
    assert found.coverage == 0.0
    assert [part.size for part in found.paired("1", "2")] == [0, 0, 0]


def test_regression_counts_rows_and_more_classes_count_each() -> None:
    labels = np.array([0.0, 2.0, 2.0])
    assert class_counts(replace(SPEC, task=Task.REGRESSION), labels) == (3,)
    many = replace(SPEC, task=Task.MULTICLASS, classes=("a", "b", "c"))
    assert class_counts(many, labels) == (1, 0, 2)


def test_hindsight_scores_what_a_version_has_not_seen(world: World) -> None:
    ports = world.ports
    (cohort,) = cohorts(SPEC)
    rows = outcomes(ports.log, SPEC, cohort, WHOLE, NOW)
    hindsight = Hindsight(ports.log, ports.scorer, ports.registry)
    filled = hindsight.fill(SPEC, rows, WHOLE, ("1", "2"))
    assert [part.size for part in filled.paired("1", "2")] == [960] * 3
    expected = ports.scorer.score(SPEC, "2", ports.log.rows(SPEC, WHOLE))
    assert filled.of("2")[0].tolist() == expected.tolist()
    assert (filled.asked, filled.known) == (rows.asked, rows.known)


def test_hindsight_leaves_out_who_may_know_the_rows_or_cannot_score(world: World) -> None:
    ports = world.ports
    (cohort,) = cohorts(SPEC)
    rows = outcomes(ports.log, SPEC, cohort, WHOLE, NOW)
    registry, scorer = MemoryRegistry(), MemoryScorer()
    artifact = ports.registry.path(MODEL, "2")
    for until in (None, START + HOUR, START):
        card = ModelVersion(MODEL, "", "linear", "", NOW, trained_until=until)
        registry.register(card, artifact)

    def fails(_: pa.Table) -> np.ndarray:
        raise DataError("no amount")

    scorer.functions = dict.fromkeys([(MODEL, "1"), (MODEL, "2"), (MODEL, "3")], fails)
    hindsight = Hindsight(ports.log, scorer, registry)
    one = replace(rows, rows=rows.rows.slice(0, 10))
    assert hindsight.fill(SPEC, one, WHOLE, ("1", "2", "3", "9")).rows.equals(one.rows)


def test_training_rows_are_labelled_answered_and_clear(world: World) -> None:
    log = world.ports.log
    first = labelled_rows(log, SPEC, WHOLE, NOW)
    assert first.num_rows == 960
    assert first["label"].null_count == 0
    clear = labelled_rows(log, SPEC, WHOLE, NOW, (Window(START, START + DAY),))
    assert clear.num_rows == 480
    early = labelled_rows(log, SPEC, WHOLE, START + DAY)
    assert 0 < early.num_rows < 480
    assert "entity" not in feature_columns(replace(SPEC, entity=""))
    assert without(first.slice(0, 0), (WHOLE,)).num_rows == 0


def test_faults_cut_a_window_into_clear_stretches() -> None:
    def at(*hours: int) -> Window:
        return Window(START + hours[0] * HOUR, START + hours[1] * HOUR)

    def clear(*faults: Window) -> list[Window]:
        return list(clear_stretches(at(0, 10), faults))

    assert clear(at(20, 21), at(8, 12)) == [at(0, 8)]
    assert clear(at(-3, 2), at(1, 4), at(3, 4)) == [at(4, 10)]
    assert clear(at(-1, 11)) == []


def test_references_need_rows_and_tell_scores_only_out_of_sample() -> None:
    rows = Fate(5).traffic(WHOLE)
    scores = np.full(rows.num_rows, 0.3)
    assert reference_of(PLAN, rows.slice(0, 0), None, None) == ()
    assert volumes_of(rows.slice(0, 0), HOUR) == ()
    plain = reference_of(PLAN, rows, None, START)
    assert ["score" in profile.columns for _, profile in plain] == [False, False]
    scored = reference_of(PLAN, rows, scores, START + DAY)
    assert ["score" in profile.columns for _, profile in scored] == [False, True]


@pytest.mark.parametrize("every", [HOUR / 60, HOUR / 4, HOUR], ids=["1m", "15m", "1h"])
def test_windows_of_too_few_rows_are_joined_for_the_reference(every: timedelta) -> None:
    rows = Fate(5).traffic(WHOLE)
    few = replace(PLAN, drift=replace(PLAN.drift, every=every, min_rows=50))
    found = reference_of(few, rows, None, None)
    assert 2 * sum(profile.rows for _, profile in found) >= rows.num_rows
    assert {window.length for window, _ in found} == {found[0][0].length}
    assert found[0][0].length / every in {2**power for power in range(12)}
    assert all(profile.rows >= 50 for _, profile in found)


def test_a_history_of_very_few_rows_is_one_window_of_the_reference() -> None:
    rows = Fate(5).traffic(WHOLE)
    few = replace(PLAN, drift=replace(PLAN.drift, min_rows=rows.num_rows + 1))
    ((window, profile),) = reference_of(few, rows, None, None)
    assert (window.start, profile.rows) == (rows["timestamp"][0].as_py(), rows.num_rows)


def test_one_profile_of_a_window_is_kept_the_larger_one() -> None:
    (pair,) = reference_of(PLAN, Fate(5).traffic(Window(START, START + DAY)), None, None)
    small = (pair[0], EMPTY)
    assert one_each((small, pair)) == one_each((pair, small)) == (pair,)


def test_volumes_leave_out_what_faults_touch() -> None:
    rows = Fate(5).traffic(WHOLE)
    counted = volumes_of(rows, 12 * HOUR, (Window(START + 13 * HOUR, START + 14 * HOUR),))
    starts = [window.start for window, _ in counted]
    assert START + 12 * HOUR not in starts
    assert START + 24 * HOUR in starts


def test_nothing_to_score_gives_no_scores(world: World) -> None:
    rows = world.fate.traffic(WHOLE)
    assert score_floats(world.ports.scorer, SPEC, "1", rows.slice(0, 0)).size == 0
    assert texts(rows.filter(pc.field("prediction_id") == "x"), "prediction_id") == []
