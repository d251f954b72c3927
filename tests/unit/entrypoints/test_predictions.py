from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import homeostat as hs
from homeostat.domain.answers import read_outputs
from homeostat.domain.errors import DataError
from homeostat.domain.model import LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.predictions import NEVER, PredictionSpec
from homeostat.entrypoints.predictions import read_predictions as read

NAN = float("nan")
PLAIN = {"score": [0.2, 0.9, 0.6], "label": [0.0, 1.0, NAN]}


def test_frames_and_files_of_any_kind_give_the_same(tmp_path: Path) -> None:
    pq.write_table(pa.table(PLAIN), tmp_path / "rows.parquet")
    frames = (PLAIN, pa.table(PLAIN), pd.DataFrame(PLAIN), pl.DataFrame(PLAIN))
    for data in (*frames, tmp_path / "rows.parquet"):
        found = read(data, PredictionSpec())
        assert found.labels.tolist() == pytest.approx([0.0, 1.0, NAN], nan_ok=True)
        assert found.predictions.tolist() == [0.0, 1.0, 1.0]
        assert found.problems == ()
        assert found.features.num_columns == 0


@pytest.mark.parametrize(
    "labels", [[False, True], ["no", "yes"], ["N", "Y"], [0, 1], ["0", "1"]], ids=str
)
def test_words_for_yes_and_no_are_known(labels: list[object]) -> None:
    assert read({"score": [0.1, 0.2], "label": labels}, PredictionSpec()).labels.tolist() == [0, 1]


def test_other_pairs_of_classes_must_be_named() -> None:
    rows = {"score": [0.1, 0.9], "label": [-1, 1]}
    with pytest.raises(DataError, match=r"holds '-1', '1': say which class is the positive one"):
        read(rows, PredictionSpec())
    assert read(rows, PredictionSpec(classes=("-1", "1"))).labels.tolist() == [0.0, 1.0]


def test_scores_that_cannot_be_are_left_out_and_counted() -> None:
    rows = {"score": [0.5, -0.1, 1.1, NAN, float("inf")], "label": [0, 1, 0, 1, 0]}
    found = read(rows, PredictionSpec())
    assert np.isnan(found.scores).tolist() == [False, True, True, True, True]
    assert np.isnan(found.predictions).tolist() == [False, True, True, True, True]
    assert found.problems == ("3 of 5 scores are outside 0 to 1: left out",)
    text = read({"score": ["0.5", "?"], "label": [0, 1]}, PredictionSpec())
    assert text.problems == ("1 of 2 scores are no numbers: left out",)


def test_multiclass_probabilities_are_in_the_order_of_the_classes() -> None:
    rows = {
        "p_a": [0.7, 0.1, 0.5, NAN],
        "p_b": [0.3, 0.9, 0.9, 1.0],
        "label": ["a", "c", "b", None],
    }
    score = {"a": "p_a", "b": "p_b"}
    found = read(rows, PredictionSpec("multiclass", score=score, classes=("b", "a")))
    assert found.scores[0].tolist() == [0.3, 0.7]
    assert found.predictions.tolist() == pytest.approx([1.0, 0.0, NAN, NAN], nan_ok=True)
    assert found.problems == (
        "1 of 4 rows of scores are no probabilities that sum to 1: left out",
        "1 of 4 labels are none of the classes b, a: left out",
    )
    assert read(rows, PredictionSpec("multiclass", score=score)).classes == ("a", "b")
    with pytest.raises(DataError, match="name one column for each"):
        read(rows, PredictionSpec("multiclass", score=score, classes=("a", "b", "c")))


def test_multiclass_without_probabilities() -> None:
    rows = {"said": [1, 10, 2], "label": [10.0, 10.0, NAN]}
    found = read(rows, PredictionSpec("multiclass", score="said"))
    assert found.classes == ("1", "2", "10")
    assert found.scores.shape == (3, 0)
    assert found.predictions.tolist() == [0.0, 2.0, 1.0]
    assert found.labels.tolist() == pytest.approx([2.0, 2.0, NAN], nan_ok=True)
    many = {"said": np.arange(2000), "label": np.arange(2000)}
    with pytest.raises(DataError, match="2000 classes; at most 1000"):
        read(many, PredictionSpec("multiclass", score="said"))


def test_regression() -> None:
    rows = {"score": [1.5, float("inf"), 3.0], "label": [1.0, 2.0, float("inf")], "x": [1, 2, 3]}
    found = read(rows, PredictionSpec("regression"))
    assert np.isnan(found.scores).tolist() == [False, True, False]
    assert np.isnan(found.labels).tolist() == [False, False, True]
    assert found.classes == ()
    assert found.features.column_names == ["x"]


def test_predicted_classes_alone() -> None:
    rows = {"said": ["yes", "no"], "label": ["yes", "yes"]}
    found = read(rows, PredictionSpec(score="", prediction="said"))
    assert np.isnan(found.scores).all()
    assert found.predictions.tolist() == [1.0, 0.0]


def test_times() -> None:
    rows = {
        "score": [0.1, 0.2, 0.3, 0.4],
        "label": [0, 1, 1, None],
        "at": ["2024-01-01", "2024-01-02T03:00:00", "2024-01-03", "2024-01-04"],
        "known": pd.to_datetime(["2023-12-31", "2024-01-05", None, None]),
    }
    found = read(rows, PredictionSpec(timestamp="at", arrival="known"))
    day = 86_400_000_000
    start = 19_723 * day
    hours = 3 * 3_600_000_000
    assert found.timestamps is not None
    assert found.arrivals is not None
    assert found.timestamps.tolist() == [
        start,
        start + day + hours,
        start + 2 * day,
        start + 3 * day,
    ]
    assert found.arrivals.tolist() == [start - day, start + 4 * day, start + 2 * day, NEVER]
    assert found.problems == ("1 labels arrived before their prediction: taken as given",)
    berlin = pd.Series(pd.to_datetime(["2024-01-01"])).dt.tz_localize("Europe/Berlin")
    zoned = read({"score": [0.1], "label": [1], "at": berlin}, PredictionSpec(timestamp="at"))
    assert zoned.timestamps is not None
    assert zoned.timestamps.tolist() == [start - hours // 3]


def test_times_come_in_nanoseconds_and_as_texts_with_zones() -> None:
    start = pd.Timestamp("2024-01-01T12:00:00.123456789Z")
    forms = [
        pd.Series([start, None]),
        ["2024-01-01T12:00:00.123456Z", None],
        ["2024-01-01T14:00:00.123456+02:00", "NaT"],
    ]
    for form in forms:
        rows = {"score": [0.1, 0.2], "label": [0, 1], "at": form}
        found = read(pd.DataFrame(rows), PredictionSpec(timestamp="at"))
        assert found.timestamps is not None
        assert found.timestamps.tolist() == [int(start.value) // 1000, NEVER]
    assert found.problems == ("1 of 2 values of at are no times",)
    empty = read({"score": [0.1], "label": [1], "at": [None]}, PredictionSpec(timestamp="at"))
    assert empty.timestamps is not None
    assert empty.timestamps.tolist() == [NEVER]


def test_words_for_yes_are_the_same_in_both_tables() -> None:
    named = PredictionSpec(classes=("false", "true"))
    for labels in ([0.0, 1.0, NAN], ["no", "yes", None], ["0", "1", ""]):
        found = read({"score": [0.1, 0.2, 0.3], "label": labels}, named)
        assert found.labels.tolist() == pytest.approx([0.0, 1.0, NAN], nan_ok=True)
        assert found.problems == ()


def test_missing_classes_written_as_text_are_missing() -> None:
    rows = {"said": ["a", "b", "c"], "label": ["a", "NaN", " "]}
    found = read(rows, PredictionSpec("multiclass", score="", prediction="said"))
    assert found.classes == ("a", "b", "c")
    assert found.labels.tolist() == pytest.approx([0.0, NAN, NAN], nan_ok=True)


def test_a_feature_that_is_gone_is_no_mistake_of_the_current_side() -> None:
    spec = PredictionSpec(features=("x", "y"))
    rows = {"score": [0.1], "label": [1], "y": [3]}
    assert read(rows, spec, "current").features.column_names == ["y"]
    with pytest.raises(DataError, match="reference has no column 'x'"):
        read(rows, spec, "reference", labelled=True)


@pytest.mark.parametrize("times", [[1, 2], ["soon", "later"], [True, False]], ids=str)
def test_what_is_no_time_is_refused(times: list[object]) -> None:
    with pytest.raises(DataError, match="data, column 'at'"):
        read({"score": [0.1, 0.2], "label": [0, 1], "at": times}, PredictionSpec(timestamp="at"))


def test_weights_ids_versions_and_segments() -> None:
    rows = {
        "score": [0.1, 0.2, 0.3],
        "label": [0, 1, 1],
        "w": [1.0, -1.0, NAN],
        "id": ["a", "a", "b"],
        "v": [1, 2, 2],
        "shop": [3.0, NAN, 4.0],
    }
    spec = PredictionSpec(weight="w", prediction_id="id", version="v", segments=("shop",))
    found = read(rows, spec)
    assert found.weights is not None
    assert found.versions is not None
    assert found.segments is not None
    assert found.weights.tolist() == [1.0, 0.0, 0.0]
    assert found.problems == ("2 of 3 weights are no weights: taken as 0",)
    assert found.versions.to_pylist() == ["1", "2", "2"]
    assert found.segments["shop"].to_pylist() == ["3", None, "4"]
    assert found.features.column_names == ["shop"]


def test_columns_that_are_not_there_are_named() -> None:
    with pytest.raises(
        DataError, match="current has no column 'p', 'shop'; there are score, label"
    ):
        read(
            {"score": [0.1], "label": [1]}, PredictionSpec(score="p", segments=("shop",)), "current"
        )
    assert np.isnan(read({"score": [0.1]}, PredictionSpec()).labels).all()
    with pytest.raises(DataError, match="data has no column 'label'; there are score"):
        read({"score": [0.1]}, PredictionSpec(), labelled=True)


def test_what_holds_no_values_to_read_is_refused() -> None:
    for name in ("score", "label"):
        rows = {"score": [0.1], "label": [1]} | {name: [[1, 2]]}
        with pytest.raises(DataError, match=f"data, column '{name}' holds list"):
            read(rows, PredictionSpec())
    with pytest.raises(DataError, match="holds no predictions: give the rows"):
        read(hs.profile(PLAIN), PredictionSpec())
    frame = pd.DataFrame([[0.1, 1, 0.2]], columns=["score", "label", "score"])
    with pytest.raises(DataError, match="'score': several columns have this name"):
        read(frame, PredictionSpec())


def test_no_rows_are_read_as_none() -> None:
    found = read({"score": [], "label": [], "id": []}, PredictionSpec(prediction_id="id"))
    assert len(found) == 0
    assert found.problems == ()


@pytest.mark.parametrize(("last", "taken"), [(0.315, True), (0.305, False)])
def test_probabilities_sum_to_1_here_as_in_the_prediction_log(last: float, taken: bool) -> None:
    given = [0.33, 0.34, last]
    classes = ("a", "b", "c")
    spec = PredictionSpec("multiclass", score={name: name for name in classes})
    rows = {name: [value] for name, value in zip(classes, given, strict=True)}
    assert bool(np.isfinite(read(rows, spec).scores).all()) is taken
    model = ModelSpec("m", Task.MULTICLASS, Schema(()), LabelSpec(timedelta(1)), classes=classes)
    answers = read_outputs(model, [given], 1)
    assert bool(np.isfinite(answers.scores).all()) is taken
