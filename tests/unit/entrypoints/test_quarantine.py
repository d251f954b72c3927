"""Refused rows: mended, taken again once, or dropped."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.columns import texts
from homeostat.domain.errors import ConflictError, NotFoundError
from homeostat.domain.model import Column, ColumnKind, Handling, Schema
from homeostat.domain.personal import Protector
from homeostat.domain.record import OUTCOME_SCHEMA
from homeostat.entrypoints.quarantine import fix, quarantine_of, replay, replay_all
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, labels, predictions

NAN = float("nan")


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(NOW)


@pytest.fixture
def log(tmp_path: Path, clock: SimulatedClock) -> Iterator[FilePredictionLog]:
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", clock)
    log = FilePredictionLog(
        tmp_path / "log", records, protector=Protector(b"a secret of some length")
    )
    yield log
    log.close()
    records.close()


def mended(row: str, **changes: object) -> dict[str, object]:
    return {**json.loads(row), **changes}


def test_counts_are_by_reason(log: FilePredictionLog) -> None:
    log.append(SPEC, predictions(["a", "b"], score=NAN))
    log.append_labels(SPEC, labels(["c"], 7.0, T0))
    found = [(r.kind, r.column, r.rows) for r in quarantine_of(log, SPEC).counts()]
    assert found == [("predictions", "score", 2), ("labels", "label", 1)]


def test_a_mended_row_is_taken_and_counts_once(log: FilePredictionLog) -> None:
    log.append(SPEC, predictions(["a", "b"], score=NAN))
    kept = quarantine_of(log, SPEC)
    first, second = kept.oldest(10)
    fixed = fix(log, SPEC, first.number, mended(first.row, score=0.5))
    assert (fixed.number, json.loads(fixed.row)["score"]) == (first.number, 0.5)
    done = replay_all(log, SPEC)
    assert (done.accepted, done.duplicates) == (1, 0)
    assert [said.row for said in done.refused] == [second.number]
    assert [e.number for e in kept.oldest(10)] == [second.number]
    assert log.rows(SPEC, ALL).column("score").to_pylist() == [0.5]
    log.append(SPEC, predictions(["a"], score=NAN))  # the same one is sent again
    again = kept.oldest(10)[-1]
    fix(log, SPEC, again.number, mended(again.row, score=0.5))
    assert replay(log, SPEC, kept.get([again.number])).duplicates == 1
    assert log.rows(SPEC, ALL).num_rows == 1


def test_labels_keep_their_arrival(log: FilePredictionLog, clock: SimulatedClock) -> None:
    log.append(SPEC, predictions(["a", "b"]))
    log.append_labels(SPEC, labels(["a"], 7.0, T0 + HOUR))
    log.refuse(SPEC, "labels", [("label", "unknown class 'x'", '{"prediction_id":"b"}')])
    clock.advance(timedelta(days=3))
    for entry in quarantine_of(log, SPEC).oldest(10):
        fix(log, SPEC, entry.number, mended(entry.row, label=1))
    assert replay_all(log, SPEC).accepted == 2
    found = log.labelled(SPEC, ALL, clock.now())
    assert found.column("arrival").to_pylist() == [T0 + HOUR, NOW]


def test_outcomes_come_back_as_outcomes(log: FilePredictionLog) -> None:
    spec = replace(SPEC, outcomes=("lost",))
    log.append(spec, predictions(["a", "b"]))
    log.refuse(spec, "labels", [("value", "no number", '{"prediction_id":"a","outcome":"lost"}')])
    row = {"prediction_id": "b", "label": NAN, "outcome": "lost", "arrival": T0}
    log.append_labels(spec, pa.Table.from_pylist([row], schema=OUTCOME_SCHEMA))
    first, second = quarantine_of(log, spec).oldest(10)
    fix(log, spec, first.number, mended(first.row, value=3.5))
    fix(log, spec, second.number, mended(second.row, label=4.5))
    assert replay_all(log, spec).accepted == 2
    found = log.labelled(spec, ALL, NOW, ["lost"])
    assert found.column("lost").to_pylist() == [3.5, 4.5]
    assert found.column("label").null_count == 2


def test_a_row_that_is_refused_for_another_reason_says_so(log: FilePredictionLog) -> None:
    log.append(SPEC, predictions(["a"]))
    log.refuse(SPEC, "predictions", [("x", "unknown column", '{"x": 1}'), ("", "no row", '"?"')])
    done = replay_all(log, SPEC)
    assert done.accepted == 0
    first, second = quarantine_of(log, SPEC).oldest(10)
    assert first.reason.startswith("unknown column; known:")
    assert second.reason == "must be a JSON object"
    taken = json.dumps(
        {"prediction_id": "a", "version": "1", "score": 0.75, "timestamp": T0.isoformat()}
    )
    fix(log, SPEC, first.number, json.loads(taken))
    (said, _) = replay_all(log, SPEC).refused
    assert said.reason == "is logged already with another timestamp or score"
    assert log.rows(SPEC, ALL).column("score").to_pylist() == [0.25]


def test_two_rows_that_become_one_are_one(log: FilePredictionLog) -> None:
    log.append(SPEC, predictions(["a"], score=NAN))
    log.append(SPEC, predictions(["b"], score=NAN))
    first, second = quarantine_of(log, SPEC).oldest(10)
    fix(log, SPEC, second.number, json.loads(first.row))
    assert [e.number for e in quarantine_of(log, SPEC).oldest(10)] == [second.number]
    with pytest.raises(NotFoundError, match="no refused row"):
        fix(log, SPEC, first.number, {})


def test_rows_are_dropped_for_good(log: FilePredictionLog) -> None:
    log.append(SPEC, predictions(["a", "b", "c"], score=NAN))
    kept = quarantine_of(log, SPEC)
    first, *_ = kept.oldest(10)
    assert kept.drop([first.number, 999]) == 1
    assert kept.clear() == 2
    assert kept.counts() == ()
    with pytest.raises(NotFoundError, match="dropped meanwhile"):
        kept.refile(first, "a", "b", "{}")


def test_a_mended_personal_value_is_hashed_and_hashes_are_not_hashed_again(
    log: FilePredictionLog,
) -> None:
    mail = Column("mail", ColumnKind.CATEGORICAL, personal=True, handling=Handling.HASH)
    spec = replace(SPEC, schema=Schema((*SPEC.schema.columns, mail)))
    rows = predictions(["a", "b"], score=NAN).append_column("mail", pa.array(["x@y", "x@z"]))
    log.append(spec, rows)
    first, second = quarantine_of(log, spec).oldest(10)
    fixed = fix(log, spec, first.number, mended(first.row, score=0.5, mail="new@y"))
    assert "new@y" not in fixed.row
    fix(log, spec, second.number, mended(second.row, score=0.5))
    assert replay_all(log, spec).accepted == 2
    hashed = log.protector.text
    found = log.rows(spec, ALL)
    assert dict(zip(texts(found, "prediction_id"), texts(found, "mail"), strict=True)) == {
        "a": hashed("new@y"),
        "b": hashed("x@z"),
    }


def test_a_replay_undoes_no_fix_that_was_made_meanwhile(log: FilePredictionLog) -> None:
    log.append(SPEC, predictions(["a"], score=NAN))
    kept = quarantine_of(log, SPEC)
    (first,) = kept.oldest(1)
    bad = fix(log, SPEC, first.number, mended(first.row, score="x"))
    good = fix(log, SPEC, first.number, mended(first.row, score=0.5))
    for stale in (first, bad):
        assert len(replay(log, SPEC, [stale]).refused) == 1
        assert kept.get([first.number]) == (good,)
        with pytest.raises(ConflictError, match="changed meanwhile"):
            kept.refile(stale, "score", "is odd", stale.row)
    other = fix(log, SPEC, first.number, mended(first.row, score=0.25))
    assert replay(log, SPEC, [good]).accepted == 1
    assert kept.get([first.number]) == (other,), "what was taken is not what is kept"


def test_two_replays_at_once_agree(log: FilePredictionLog) -> None:
    log.refuse(SPEC, "predictions", [("x", "is odd", json.dumps({"prediction_id": "a"}))])
    kept = quarantine_of(log, SPEC)
    entries = kept.oldest(1)
    kept.drop([entries[0].number])
    assert len(replay(log, SPEC, entries).refused) == 1
    with pytest.raises(NotFoundError, match="dropped meanwhile"):
        kept.refile(entries[0], "x", "is odder", "{}")
