"""What every `PredictionLog` must do. Each check takes an empty one whose clock shows `NOW`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from homeostat.domain.columns import floats, texts
from homeostat.domain.errors import DataError, NotFoundError
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.record import LABEL_SCHEMA, prediction_schema
from homeostat.domain.window import Window
from homeostat.engine.ports import PredictionLog
from homeostat.profiles.profile import merge_all
from homeostat.simulation.conformance.raising import must_raise

T0 = datetime(2024, 1, 1, tzinfo=UTC)
NOW = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALL = Window(T0, NOW)
NAMES = ("DE", "FR", "(missing)", "A & B=C", "none")

SPEC = ModelSpec(
    "fraud / model",
    Task.BINARY,
    Schema((Column("amount", ColumnKind.NUMERIC), Column("country", ColumnKind.CATEGORICAL))),
    LabelSpec(timedelta(days=30)),
    classes=("legitimate", "fraud"),
)

THREE = ModelSpec(
    "tone", Task.MULTICLASS, SPEC.schema, SPEC.labels, classes=("bad", "neutral", "good")
)


def predictions(
    ids: Sequence[str],
    at: datetime = T0,
    *,
    version: str = "1",
    role: str = "champion",
    step: timedelta = timedelta(minutes=1),
    score: float = 0.25,
) -> pa.Table:
    """Return prediction records of `SPEC`, one every `step` from `at` on."""
    n = len(ids)
    return pa.table(
        {
            "prediction_id": pa.array(ids, pa.string()),
            "timestamp": [at + i * step for i in range(n)],
            "version": pa.array([version] * n, pa.string()),
            "role": pa.array([role] * n, pa.string()),
            "tier": pa.array(["model"] * n, pa.string()),
            "reason": pa.array([""] * n, pa.string()),
            "entity": pa.array([f"card {i}" for i in range(n)], pa.string()),
            "score": pa.array([score] * n, pa.float64()),
            "prediction": pa.array([0.0] * n, pa.float64()),
            "latency_ms": pa.array([1.5] * n, pa.float64()),
            "arm_share": pa.nulls(n, pa.float64()),
            "amount": pa.array([float(i) for i in range(n)], pa.float64()),
            "country": pa.array(["DE"] * n, pa.string()),
        },
        schema=prediction_schema(SPEC),
    )


def labels(ids: Sequence[str], label: float, arrival: datetime, outcome: str = "") -> pa.Table:
    """Return labels, or values of an outcome, that all arrive at one time."""
    columns = list(ids), [label] * len(ids), [arrival] * len(ids)
    table = pa.table(dict(zip(LABEL_SCHEMA.names, columns, strict=True)), schema=LABEL_SCHEMA)
    return table.append_column("outcome", pa.array([outcome] * len(ids))) if outcome else table


def check_rows(log: PredictionLog) -> None:
    """Rows come back by time, as they were, landed or rolled or both."""
    assert log.append(SPEC, predictions(["a", "b"], T0 + HOUR)).accepted == 2
    assert log.roll(NOW) == 2
    assert log.roll(NOW) == 0, "each row is moved once"
    assert log.append(SPEC, predictions(["c", "d"], T0)).accepted == 2
    table = log.rows(SPEC, ALL)
    assert table.schema.equals(prediction_schema(SPEC))
    assert texts(table, "prediction_id") == ["c", "d", "a", "b"]
    assert table.slice(2).equals(predictions(["a", "b"], T0 + HOUR))
    assert log.rows(SPEC, ALL, ["amount"]).column_names == ["amount"]
    parts = [log.rows(SPEC, part) for part in log.stretches(SPEC, ALL)]
    assert pa.concat_tables(parts).equals(table), "stretches make up the window, in its order"


def check_windows_are_half_open(log: PredictionLog) -> None:
    """A row at the start belongs to the window, one at the end does not."""
    log.append(SPEC, predictions(["a", "b", "c"], T0, step=HOUR))
    for _ in range(2):
        found = log.rows(SPEC, Window(T0 + HOUR, T0 + 2 * HOUR))
        assert texts(found, "prediction_id") == ["b"]
        assert log.profile(SPEC, Window(T0 + HOUR, T0 + 2 * HOUR)).rows == 1
        log.roll(NOW)
    assert len(log.rows(SPEC, Window(T0 - HOUR, T0))) == 0


def check_hours_are_counted(log: PredictionLog) -> None:
    """Answers are counted by their hour, landed, rolled or both; shadows are not."""
    hours = Window(T0 - HOUR, T0 + 3 * HOUR)
    assert log.counts(SPEC, hours) == (0, 0, 0, 0)
    log.append(SPEC, predictions(["a", "b", "c"], T0, step=HOUR))
    log.append(SPEC, predictions(["a"], T0, version="2", role="shadow"))
    assert log.counts(SPEC, hours) == (0, 1, 1, 1)
    log.roll(NOW)
    assert log.counts(SPEC, hours) == (0, 1, 1, 1)
    log.append(SPEC, predictions(["d", "e"], T0 + HOUR))
    log.append(SPEC, predictions(["f"], T0 + HOUR, version="2"))
    assert log.counts(SPEC, hours) == (0, 1, 4, 1)
    log.roll(NOW)
    assert log.counts(SPEC, Window(T0 + HOUR, T0 + 2 * HOUR)) == (4,)


def check_repetition_counts_once(log: PredictionLog) -> None:
    """The same rows again are duplicates, before and after a roll, within and between calls."""
    rows = predictions(["a", "b"])
    assert log.append(SPEC, pa.concat_tables([rows, rows])).duplicates == 2
    for _ in range(2):
        receipt = log.append(SPEC, rows)
        assert (receipt.accepted, receipt.duplicates) == (0, 2)
        log.roll(NOW)
    assert len(log.rows(SPEC, ALL)) == 2
    assert log.profile(SPEC, ALL).rows == 2


def check_shadows_share_an_id(log: PredictionLog) -> None:
    """Another version's answer to the same request is a row of its own, and not profiled."""
    log.append(SPEC, predictions(["a"]))
    log.append(SPEC, predictions(["a"], version="2", role="shadow"))
    for _ in range(2):
        assert texts(log.rows(SPEC, ALL), "version") == ["1", "2"]
        assert log.profile(SPEC, ALL).rows == 1
        assert log.profile(SPEC, ALL, "2").rows == 0
        log.roll(NOW)


def check_other_content_is_refused(log: PredictionLog) -> None:
    """An id that comes back with another score is refused; the first stays."""
    log.append(SPEC, predictions(["a"], score=0.25))
    receipt = log.append(SPEC, predictions(["b", "a"], score=0.75, step=timedelta(0)))
    assert receipt.accepted == 1
    assert [(r.row, r.column) for r in receipt.rejected] == [(1, "prediction_id")]
    assert sorted(floats(log.rows(SPEC, ALL), "score")) == [0.25, 0.75]


def check_bad_rows_spare_their_neighbours(log: PredictionLog) -> None:
    """NaN scores, missing ids and times in the future are refused row by row."""
    rows = predictions(list("abcdef"))
    replaced: dict[str, pa.Array[pa.Scalar[pa.DataType]]] = {
        "prediction_id": pa.array(["a", "", None, "d", "e", "f"]),
        "score": pa.array([0.1, 0.1, 0.1, np.nan, np.inf, 0.1]),
    }
    for name, column in replaced.items():
        rows = rows.set_column(rows.column_names.index(name), name, column)
    receipt = log.append(SPEC, rows)
    assert (receipt.accepted, receipt.duplicates) == (2, 0)
    assert [(r.row, r.column) for r in receipt.rejected] == [
        (1, "prediction_id"), (2, "prediction_id"), (3, "score"), (4, "score"),
    ]  # fmt: skip
    late = log.append(SPEC, predictions(["x", "y"], NOW + 4 * timedelta(minutes=1), step=2 * HOUR))
    assert [(r.row, r.column) for r in late.rejected] == [(1, "timestamp")]
    assert texts(log.rows(SPEC, ALL), "prediction_id") == ["a", "f"]


def check_columns(log: PredictionLog) -> None:
    """Absent columns are null, wrong types are refused row by row, unknown columns are an error."""
    rows = predictions(["a", "b"])
    assert log.append(SPEC, rows.drop_columns(["country", "entity"])).accepted == 2
    assert log.rows(SPEC, ALL).column("country").null_count == 2
    texts_for_numbers = predictions(["c", "d"]).drop_columns(["amount"])
    wrong = texts_for_numbers.append_column("amount", pa.array(["12", None]))
    receipt = log.append(SPEC, wrong)
    assert [(r.row, r.column) for r in receipt.rejected] == [(0, "amount")]
    assert receipt.accepted == 1
    with must_raise(DataError):
        log.append(SPEC, rows.append_column("colour", pa.array(["red", "blue"])))


def check_missing_features_are_data(log: PredictionLog) -> None:
    """NaN, infinite and null features are stored as they are."""
    rows = predictions(list("abc"))
    odd = pa.array([np.nan, np.inf, None], pa.float64())
    rows = rows.set_column(rows.column_names.index("amount"), "amount", odd)
    assert log.append(SPEC, rows).accepted == 3
    log.roll(NOW)
    amounts = log.rows(SPEC, ALL).column("amount").to_pylist()
    assert [str(value) for value in amounts] == ["nan", "inf", "None"]
    profile = log.profile(SPEC, ALL).columns["amount"]
    assert (profile.nan, profile.infinite, profile.missing) == (1, 1, 1)


def check_probabilities(log: PredictionLog) -> None:
    """Those of each class come back as they were, or null; those that are none are refused."""
    given = [[0.7, 0.2, 0.1], None, [0.5, 0.5], [0.5, 0.6, -0.1], [0.2, 0.2, None], [0.9, 0.9, 0.9]]
    rows = predictions(list("abcdef"), score=1.0)
    after = rows.column_names.index("prediction") + 1
    rows = rows.add_column(after, "probabilities", pa.array(given, pa.list_(pa.float64())))
    receipt = log.append(THREE, rows)
    assert (receipt.accepted, receipt.duplicates) == (2, 0)
    found = [(r.row, r.column, r.reason) for r in receipt.rejected]
    assert found == [
        (2, "probabilities", "must be 3, one a class"),
        (3, "probabilities", "must be numbers from 0 to 1"),
        (4, "probabilities", "must be numbers from 0 to 1"),
        (5, "probabilities", "must add up to 1"),
    ]
    assert log.append(THREE, rows.slice(0, 1)).duplicates == 1
    for _ in range(2):
        table = log.labelled(THREE, ALL, NOW, ["probabilities", "prediction"])
        assert table.column("probabilities").to_pylist() == given[:2]
        assert log.rows(THREE, ALL).schema.equals(prediction_schema(THREE))
        log.roll(NOW)
    absent = predictions(["g"], T0 + HOUR, score=2.0)
    assert log.append(THREE, absent).accepted == 1
    assert log.rows(THREE, Window(T0 + HOUR, NOW), ["probabilities"])[0].to_pylist() == [None]
    with must_raise(DataError):
        log.append(SPEC, rows)


def check_labels_as_of(log: PredictionLog) -> None:
    """Late, corrected and repeated labels: the latest arrival known at the time counts."""
    log.append(SPEC, predictions(["a", "b"]))
    assert log.append_labels(SPEC, labels(["a"], 0.0, T0 + 2 * HOUR)).accepted == 1
    assert log.append_labels(SPEC, labels(["a"], 0.0, T0 + 2 * HOUR)).duplicates == 1
    log.append_labels(SPEC, labels(["a"], 1.0, T0 + 5 * HOUR))
    log.append_labels(SPEC, labels(["a"], 1.0, T0 + 6 * HOUR))
    expected = {1: None, 2: 0.0, 4: 0.0, 5: 1.0, 9: 1.0}
    for _ in range(2):
        for hours, label in expected.items():
            table = log.labelled(SPEC, ALL, T0 + hours * HOUR)
            assert table.column("label").to_pylist() == [label, None]
            assert table.schema.names[-2:] == ["label", "arrival"]
        arrivals = table.column("arrival").to_pylist()
        assert arrivals == [T0 + 5 * HOUR, None], "a repetition does not move the arrival"
        log.roll(NOW)
    narrow = log.labelled(SPEC, ALL, NOW, ["amount"])
    assert narrow.column_names == ["amount", "label", "arrival"]


def check_labels_that_contradict_each_other(log: PredictionLog) -> None:
    """Of labels that arrived at one time the largest counts, whichever was stored first."""
    log.append(SPEC, predictions(["a", "b"]))
    at, later = T0 + HOUR, T0 + 2 * HOUR
    for ids, label in ((["a"], 0.0), (["b"], 1.0), (["a"], 1.0), (["b"], 0.0)):
        assert log.append_labels(SPEC, labels(ids, label, at)).accepted == 1
    for _ in range(2):
        table = log.labelled(SPEC, ALL, NOW)
        assert floats(table, "label") == [1.0, 1.0]
        assert table.column("arrival").to_pylist() == [at, at]
        log.roll(NOW)
    both = pa.concat_tables([labels(["a"], 1.0, later), labels(["a"], 0.0, later)])
    assert log.append_labels(SPEC, both).accepted == 2
    log.append_labels(SPEC, labels(["b"], 0.0, later))
    assert floats(log.labelled(SPEC, ALL, NOW), "label") == [1.0, 0.0]


def check_early_labels(log: PredictionLog) -> None:
    """Labels that come before their prediction wait for it, and are orphans meanwhile."""
    log.append_labels(SPEC, labels(["a", "z"], 1.0, T0 + HOUR))
    assert log.orphans(SPEC, T0 + HOUR) == 0, "not yet older"
    assert log.orphans(SPEC, NOW) == 2
    log.roll(NOW)
    log.append(SPEC, predictions(["a"]))
    assert log.orphans(SPEC, NOW) == 1
    assert floats(log.labelled(SPEC, ALL, NOW), "label") == [1.0]


def check_outcomes(log: PredictionLog) -> None:
    """Outcomes are told apart by name, corrected as labels are, and do not touch the label."""
    spec = replace(SPEC, outcomes=("lost", "bought"))
    log.append(spec, predictions(["a", "b"]))
    log.append_labels(spec, labels(["a"], 1.0, T0 + HOUR))
    log.append_labels(spec, labels(["a", "b"], 250.0, T0 + HOUR, "lost"))
    assert log.append_labels(spec, labels(["a"], 250.0, T0 + HOUR, "lost")).duplicates == 1
    assert log.append_labels(spec, labels(["a"], 250.0, T0 + HOUR, "bought")).accepted == 1
    log.append_labels(spec, labels(["a"], 90.0, T0 + 3 * HOUR, "lost"))
    refused = log.append_labels(spec, labels(["a"], 1.0, T0 + HOUR, "odd")).rejected
    assert [entry.column for entry in refused] == ["outcome"]
    for _ in range(2):
        early = log.labelled(spec, ALL, T0 + 2 * HOUR, ["arrival:lost", "lost"])
        assert early.column_names == ["arrival:lost", "lost", "label", "arrival"]
        assert early.column("arrival:lost").to_pylist() == [T0 + HOUR] * 2
        assert early.column("lost").to_pylist() == [250.0, 250.0]
        table = log.labelled(spec, ALL, NOW, ["amount", "lost", "bought"])
        assert table.column("lost").to_pylist() == [90.0, 250.0]
        assert table.column("bought").to_pylist() == [250.0, None]
        assert table.column("label").to_pylist() == [1.0, None]
        log.roll(NOW)


def check_bad_labels(log: PredictionLog) -> None:
    """A label that is no class, or NaN, is refused; its neighbours are kept."""
    table = labels(["a", "b", "c"], 1.0, T0)
    values = pa.array([1.0, 2.0, np.nan])
    receipt = log.append_labels(SPEC, table.set_column(1, "label", values))
    assert receipt.accepted == 1
    assert [(r.row, r.column) for r in receipt.rejected] == [(1, "label"), (2, "label")]
    assert log.append_labels(SPEC, labels(["a"], 0.0, NOW + HOUR)).rejected[0].column == "arrival"


def check_profile_is_of_the_rows(log: PredictionLog) -> None:
    """However rows were split into appends and rolls, the profile is that of the whole."""
    whole = Window(T0 + HOUR / 2, T0 + 5 * HOUR + HOUR / 2)
    ids = [f"p{i}" for i in range(40)]
    rows = predictions(ids, step=timedelta(minutes=10))
    for start in range(0, 40, 7):
        log.append(SPEC, rows.slice(start, 7))
        if start % 2:
            log.roll(NOW)
    split = log.profile(SPEC, whole)
    log.roll(NOW)
    assert split == log.profile(SPEC, whole)
    assert split.rows == 30
    assert set(split.columns) == {"amount", "country", "score"}
    assert split.columns["amount"].minimum == 3.0
    assert split == log.profile(SPEC, whole, "1")
    assert log.profile(SPEC, whole, "2").rows == 0


def check_profiles_of_segments(log: PredictionLog) -> None:
    """A segment's profile is of its rows, however they were split into appends and rolls."""
    spec = replace(SPEC, segments=("country", "country & amount"))
    whole = Window(T0 + HOUR / 2, T0 + 5 * HOUR + HOUR / 2)
    land = pa.array([("DE", "FR", None, "A & B=C")[i % 4] for i in range(40)], pa.string())
    rows = predictions([f"p{i}" for i in range(40)], step=timedelta(minutes=10))
    rows = rows.set_column(rows.column_names.index("country"), "country", land)
    for start in range(0, 40, 7):
        log.append(SPEC if start < 10 else spec, rows.slice(start, 7))  # it came by segments later
        if start % 2:
            log.roll(NOW)
    by_name = {name: log.profile(spec, whole, segment=f"country={name}") for name in NAMES}
    log.roll(NOW)
    for name, split in by_name.items():
        assert split == log.profile(spec, whole, segment=f"country={name}")
        assert split == log.profile(spec, whole, "1", f"country={name}")
    assert [split.rows for split in by_name.values()] == [8, 7, 7, 8, 0]
    assert merge_all(by_name.values()) == log.profile(spec, whole)
    assert log.profile(spec, whole, "2", "country=DE").rows == 0
    assert log.profile(spec, ALL, segment="country=FR & amount=1.0").rows == 1
    log.append(spec, predictions(["late"], T0 + HOUR, score=0.5))
    assert log.profile(spec, whole, segment="country=DE").rows == 9
    log.roll(NOW)
    assert log.profile(spec, whole, segment="country=DE").rows == 9
    with must_raise(NotFoundError):
        log.profile(spec, whole, segment="colour=red")
    told = log.segments(spec, ALL)
    assert {f"country={name}" for name in NAMES[:4]} <= set(told)
    assert all(rows <= log.profile(spec, ALL, segment=name).rows for name, rows in told.items())


def check_models_are_apart(log: PredictionLog) -> None:
    """Models share nothing, whatever their names are."""
    other = ModelSpec("../fraud", SPEC.task, SPEC.schema, SPEC.labels)
    log.append(SPEC, predictions(["a"]))
    log.append(other, predictions(["a", "b"]))
    log.append_labels(other, labels(["a"], 7.0, T0))
    log.roll(NOW)
    assert len(log.rows(SPEC, ALL)) == 1
    assert len(log.rows(other, ALL)) == 2
    assert log.labelled(SPEC, ALL, NOW).column("label").null_count == 1


def check_nothing_is_fine(log: PredictionLog) -> None:
    """An empty log and empty tables are no error."""
    assert len(log.rows(SPEC, ALL)) == 0
    assert log.append(SPEC, predictions([])).accepted == 0
    assert log.append_labels(SPEC, labels([], 0.0, T0)).accepted == 0
    assert log.roll(NOW) == 0
    assert log.profile(SPEC, ALL).rows == 0
    assert log.orphans(SPEC, NOW) == 0
    assert log.labelled(SPEC, ALL, NOW).column_names[-1] == "arrival"


LOG_CHECKS: tuple[Callable[[PredictionLog], None], ...] = (
    check_rows,
    check_windows_are_half_open,
    check_hours_are_counted,
    check_repetition_counts_once,
    check_shadows_share_an_id,
    check_other_content_is_refused,
    check_bad_rows_spare_their_neighbours,
    check_columns,
    check_missing_features_are_data,
    check_probabilities,
    check_labels_as_of,
    check_labels_that_contradict_each_other,
    check_early_labels,
    check_bad_labels,
    check_outcomes,
    check_profile_is_of_the_rows,
    check_profiles_of_segments,
    check_models_are_apart,
    check_nothing_is_fine,
)
