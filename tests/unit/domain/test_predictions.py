from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.errors import ConfigError
from homeostat.domain.model import Task
from homeostat.domain.predictions import (
    NEVER,
    Predictions,
    PredictionSpec,
    from_micros,
    to_micros,
)
from homeostat.domain.repeats import drop_repeats


def rows(ids: list[str | None] | None, labels: list[float], **more: object) -> Predictions:
    values = np.array(labels, dtype=np.float64)
    table = pa.table({"row": np.arange(values.size)})
    return Predictions(
        Task.BINARY,
        ("no", "yes"),
        0.5,
        np.full(values.size, 0.5),
        np.ones(values.size),
        values,
        table,
        ids=None if ids is None else pa.chunked_array([pa.array(ids, pa.string())]),
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "ranking"}, "give one of binary, multiclass, regression"),
        ({"score": {"a": "p"}}, "score names several columns for a binary model"),
        ({"task": "regression", "classes": ("a", "b")}, "classes are given for a regression"),
        ({"classes": ("a",)}, "has two classes, not 1"),
        ({"classes": ("a", "a")}, "a class is given twice"),
        ({"score": ""}, "neither score nor prediction is named"),
        ({"maturity": timedelta(1)}, "name the timestamp column"),
        ({"segments": "shop"}, r"write \('shop',\)"),
        ({"threshold": float("nan")}, "threshold is nan; give a number from 0 to 1"),
        ({"threshold": 1.5}, "threshold is 1.5"),
        ({"threshold": "high"}, "threshold is 'high'"),
        ({"maturity": 30, "timestamp": "at"}, "maturity is 30; give a timedelta"),
        (
            {"maturity": timedelta(-1), "timestamp": "at"},
            "maturity is datetime.timedelta\\(days=-1\\)",
        ),
    ],
)
def test_a_spec_that_contradicts_itself_is_refused(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        PredictionSpec(**options)  # type: ignore[arg-type]


def test_a_spec_names_the_columns_that_are_no_features() -> None:
    spec = PredictionSpec("multiclass", score={"a": "p_a", "b": "p_b"}, version="v", weight="w")
    assert spec.used == ("label", "v", "w", "p_a", "p_b")


def test_rows_are_taken_with_all_that_belongs_to_them() -> None:
    whole = rows(
        ["a", "b", "c"],
        [0.0, 1.0, float("nan")],
        timestamps=np.array([1, 2, 3]),
        arrivals=np.array([4, 5, NEVER]),
        weights=np.array([0.1, 0.2, 0.3]),
        versions=pa.chunked_array([["v1", "v2", "v3"]]),
        segments=pa.table({"shop": ["x", "y", "z"]}),
    )
    part = whole.take(np.array([2, 0]))
    assert part.features["row"].to_pylist() == [2, 0]
    assert part.known.tolist() == [False, True]
    assert part.timestamps is not None
    assert part.arrivals is not None
    assert part.weights is not None
    assert part.versions is not None
    assert part.segments is not None
    assert part.timestamps.tolist() == [3, 1]
    assert part.arrivals.tolist() == [NEVER, 4]
    assert part.weights.tolist() == [0.3, 0.1]
    assert part.versions.to_pylist() == ["v3", "v1"]
    assert part.segments.to_pydict() == {"shop": ["z", "x"]}


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_times_survive_the_way_to_microseconds_and_back(moment: datetime) -> None:
    assert from_micros(to_micros(moment)) == moment


def test_without_ids_or_repeats_nothing_is_dropped() -> None:
    assert drop_repeats(rows(None, [0.0, 1.0]))[1] == ()
    assert drop_repeats(rows(["a", "b"], [0.0, 1.0]))[1] == ()
    assert drop_repeats(rows([], []))[1] == ()


def test_the_label_that_arrived_last_counts() -> None:
    arrivals = np.array([7, 9, 8, NEVER])
    given = rows(["a", "a", "a", "b"], [0.0, 1.0, 0.0, float("nan")], arrivals=arrivals)
    kept, problems = drop_repeats(given)
    assert kept.features["row"].to_pylist() == [1, 3]
    assert kept.labels[0] == 1.0
    assert problems == ("2 of 4 rows repeat the id of another: the label that arrived last counts",)


def test_a_label_beats_none() -> None:
    kept, _ = drop_repeats(rows(["a", "a"], [1.0, float("nan")]))
    assert kept.labels.tolist() == [1.0]


def test_labels_that_contradict_each_other_are_not_known() -> None:
    arrivals = np.array([1, 5, 5, 2])
    kept, problems = drop_repeats(rows(["b", "a", "a", "b"], [0, 0, 1, 0], arrivals=arrivals))
    assert kept.labels.tolist() == pytest.approx([float("nan"), 0.0], nan_ok=True)
    assert problems[1] == (
        "1 predictions have labels that contradict each other: taken as not known"
    )


def test_without_arrivals_no_label_is_said_to_have_arrived_last() -> None:
    kept, problems = drop_repeats(rows(["a", "a", "b", "b"], [0.0, 1.0, 1.0, float("nan")]))
    assert kept.labels.tolist() == pytest.approx([float("nan"), 1.0], nan_ok=True)
    assert problems[0] == "2 of 4 rows repeat the id of another: one with a label counts"


def test_other_scores_under_one_id_are_said() -> None:
    given = rows(["a", "a", "b", "b"], [0.0, 0.0, 1.0, 1.0])
    given.scores[:] = [0.2, 0.7, 0.4, 0.4]
    given.predictions[:] = [0.0, 0.0, 1.0, 1.0]
    kept, problems = drop_repeats(given)
    assert kept.scores.tolist() == [0.7, 0.4]
    assert problems[1:] == ("1 predictions have rows of other scores: those of one row count",)


def test_rows_without_an_id_and_of_other_versions_stand_for_themselves() -> None:
    versions = pa.chunked_array([["1", "2", "1", None, None]])
    given = rows(["a", "a", None, None, "a"], [0, 1, 0, 1, 1], versions=versions)
    assert drop_repeats(given)[1] == ()


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.sampled_from([0.0, 1.0])),
        max_size=12,
    )
)
def test_one_row_of_each_id_is_left(given_rows: list[tuple[str, int, float]]) -> None:
    ids = [row[0] for row in given_rows]
    arrivals = np.array([row[1] for row in given_rows], dtype=np.int64)
    kept, _ = drop_repeats(rows(list(ids), [row[2] for row in given_rows], arrivals=arrivals))
    assert kept.ids is not None
    assert sorted(kept.ids.to_pylist()) == sorted(set(ids))
    for name, label in zip(kept.ids.to_pylist(), kept.labels.tolist(), strict=True):
        mine = [row for row in given_rows if row[0] == name]
        last = {row[2] for row in mine if row[1] == max(r[1] for r in mine)}
        assert ({label} == last) if len(last) == 1 else np.isnan(label)
