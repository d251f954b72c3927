"""What each training was trained on, written before it begins, and proved from the log."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.domain.choice import RowChoice
from homeostat.domain.effect import StartTraining
from homeostat.domain.manifest import Exclusion, TrainingManifest, manifest_key, seed_of
from homeostat.domain.model import ModelSpec, Schema
from homeostat.domain.window import Window
from homeostat.engine.manifests import Manifests, manifest_of_history, prove
from homeostat.engine.ports import Training
from homeostat.engine.training import TrainingRows
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import NOW, SPEC, T0, labels, predictions
from homeostat.simulation.fakes import MemoryLog, MemoryRecords, MemoryScorer, MemoryTrainer

HOUR = timedelta(hours=1)
FAULT = Window(T0 + 2 * HOUR, T0 + 3 * HOUR)
REQUEST = StartTraining(
    "cards-0001",
    SPEC.name,
    "1",
    Window(T0, T0 + 24 * HOUR),
    NOW,
    (FAULT,),
    reasons=("amount: in cents",),
)
SCORER = MemoryScorer({(SPEC.name, "1"): lambda rows: np.full(rows.num_rows, 0.5)})


class Desk:
    """A log of ten hours with a label every second hour, records and a trainer."""

    def __init__(self, folder: Path) -> None:
        self.clock = SimulatedClock(NOW)
        self.log, self.records = MemoryLog(self.clock), MemoryRecords(self.clock)
        ids = [f"p{hour}" for hour in range(10)]
        self.log.append(SPEC, predictions(ids, T0, step=HOUR))
        self.log.append_labels(SPEC, labels(ids[::2], 1.0, T0 + 12 * HOUR))
        self.trainer = Known(lambda *_: Training(done=True, artifact=folder))

    def write(self, request: StartTraining = REQUEST) -> TrainingManifest:
        rows = TrainingRows(self.log)(SPEC, request)
        Manifests(self.records, self.log)(SPEC, request, rows, self.trainer)
        found = self.records.read(manifest_key(SPEC.name, request.run_id), TrainingManifest)
        assert found is not None
        return found


class Known(MemoryTrainer):
    """A trainer that says which code it runs."""

    def source(self) -> str:
        return "train.py:train sha256:00"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_manifest_says_what_was_trained_on(desk: Desk) -> None:
    found = desk.write()
    assert (found.rows, found.answered, found.labelled) == (4, 9, 4)
    assert found.coverage == pytest.approx(4 / 9)
    assert found.excluded == (Exclusion(FAULT, "amount: in cents"),)
    assert (found.parent, found.code) == ("1", "train.py:train sha256:00")
    assert found.seed == seed_of("cards-0001")
    assert (found.window, found.as_of) == (REQUEST.window, NOW)
    plain = desk.write(replace(REQUEST, run_id="b", reasons=()))
    assert plain.excluded == (Exclusion(FAULT, ""),)
    assert plain.content == found.content


def test_the_log_proves_it_whatever_came_since_and_was_not_known_then(desk: Desk) -> None:
    found = desk.write()
    desk.log.append_labels(SPEC, labels(["p1", "p3"], 0.0, NOW + HOUR))
    proof = prove(desk.log, SCORER, SPEC, found)
    assert (proof.holds, proof.problem, proof.found) == (True, "", found)


def test_a_choice_of_rows_is_part_of_it(desk: Desk) -> None:
    choice = RowChoice(half_life=timedelta(hours=3), max_rows=3)
    found = desk.write(replace(REQUEST, run_id="chosen", choice=choice, guide="1", kinds=()))
    assert (found.rows, found.choice, found.guide) == (3, choice, "1")
    assert found.content != desk.write().content
    assert prove(desk.log, SCORER, SPEC, found).holds
    assert not prove(desk.log, SCORER, SPEC, replace(found, choice=RowChoice())).holds


def test_other_rows_refute_it(desk: Desk) -> None:
    found = desk.write()
    desk.log.append_labels(SPEC, labels(["p4"], 0.0, NOW - HOUR))
    told = "the same 4 rows hold other values than then"
    assert prove(desk.log, SCORER, SPEC, found).problem == told
    desk.log.append_labels(SPEC, labels(["p5"], 0.0, NOW - HOUR))
    proof = prove(desk.log, SCORER, SPEC, found)
    assert proof.problem == "there were 4 rows then, there are 5 now"
    assert not proof.holds
    amount, country = SPEC.schema.columns
    closed = replace(SPEC, schema=Schema((amount, replace(country, categories=("DE",)))))
    assert "features are others" in prove(desk.log, SCORER, closed, found).problem


def test_a_start_that_is_repeated_keeps_the_rows_that_the_trainer_has(desk: Desk) -> None:
    first = desk.write()
    assert desk.write() == first
    desk.log.append_labels(SPEC, labels(["p5"], 0.0, NOW - HOUR))
    second = desk.write()
    assert second.rows == 5, "the trainer does not have it yet"
    desk.trainer.start(REQUEST, SPEC, TrainingRows(desk.log)(SPEC, REQUEST))
    desk.log.append_labels(SPEC, labels(["p7"], 0.0, NOW - HOUR))
    assert desk.write() == second


def test_a_file_that_was_handed_in_cannot_be_read_again(desk: Desk) -> None:
    rows = TrainingRows(desk.log)(SPEC, REQUEST)
    found = manifest_of_history(SPEC, "first", rows, T0 + 24 * HOUR, NOW, None)
    assert (found.rows, found.code, found.origin) == (4, "", "history")
    assert found.window == Window(T0, T0 + 24 * HOUR)
    proof = prove(desk.log, SCORER, SPEC, found)
    assert not proof.holds
    assert "a file that was handed in" in proof.problem


def test_no_requests_have_no_coverage(desk: Desk) -> None:
    empty = replace(REQUEST, window=Window(T0 - 9 * HOUR, T0 - 8 * HOUR), excluded=())
    assert desk.write(empty).coverage is None


def test_another_model_has_its_own(desk: Desk) -> None:
    spec: ModelSpec = replace(SPEC, name="other")
    rows: pa.Table = TrainingRows(desk.log)(spec, replace(REQUEST, model="other"))
    assert rows.num_rows == 0
    desk.write()
    assert desk.records.keys("manifest:other") == ()
