"""Business metrics of scored rows."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from homeostat.detectors.value.contrast import Change, Contrast, Way, compare_value
from homeostat.detectors.value.measure import (
    Value,
    measure_rows,
    measure_value,
    value_columns,
    value_table,
)
from homeostat.detectors.value.metric import Kind, parse_metric
from homeostat.domain.errors import ConfigError
from homeostat.domain.expression import Type
from homeostat.domain.model import Task
from homeostat.domain.predictions import NEVER, Predictions, to_micros
from homeostat.stats.estimates import Estimate

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MONEY = (
    "amount if label == 1 and prediction == 1 "
    "else (-amount if label == 1 else (-5 if prediction == 1 else 0))"
)
COLUMNS = {"amount": Type.NUMBER, "label": Type.NUMBER, "prediction": Type.NUMBER}


def fraud(
    n: int, seed: int = 0, *, recall: float = 0.7, alarms: float = 0.02, dear: float = 0.7
) -> Predictions:
    """Frauds caught at a rate; of those above 150, at the rate `dear`."""
    rng = np.random.default_rng(seed)
    amount = rng.lognormal(4.0, 1.0, n)
    label = (rng.random(n) < 0.1).astype(float)
    caught = rng.random(n) < np.where(amount > 150.0, dear, recall)
    said = np.where(label == 1.0, caught, rng.random(n) < alarms).astype(float)
    days = np.sort(rng.integers(0, 4, n))
    return Predictions(
        Task.BINARY,
        ("no", "yes"),
        0.5,
        said * 0.8 + 0.1,
        said,
        label,
        pa.table({"amount": amount, "night": amount > 50.0}),
        timestamps=to_micros(START) + days * 86_400_000_000,
        versions=pa.chunked_array([np.where(days < 2, "1", "2").tolist()]),
        segments=pa.table({"land": np.where(rng.random(n) < 0.5, "DE", "FR").tolist()}),
    )


def overall(found: tuple[Value, ...], name: str = "") -> Value:
    return next(
        v for v in found if not v.version and not v.segment and (v.name == name or not name)
    )


def test_money_by_outcome_is_what_a_loop_says() -> None:
    data = fraud(3000)
    amounts = data.features["amount"].to_numpy().tolist()
    worth = np.array(
        [
            amount if label == 1 and said == 1 else -amount if label == 1 else -5.0 * said
            for amount, label, said in zip(amounts, data.labels, data.predictions, strict=True)
        ]
    )
    found = measure_value(
        data,
        {
            "mean": MONEY,
            "also": f"mean({MONEY})",
            "total": f"sum({MONEY})",
            "share": "sum(amount if label == 1 and prediction == 1 else 0)"
            " / sum(amount if label == 1 else 0)",
            "wrong": "prediction == 1 and label == 0",
        },
    )
    assert overall(found, "mean").estimate.value == pytest.approx(worth.mean())
    assert overall(found, "also").estimate == overall(found, "mean").estimate
    assert overall(found, "total").estimate.value == pytest.approx(worth.sum())
    assert overall(found, "wrong").estimate.value == pytest.approx(
        np.mean((data.predictions == 1) & (data.labels == 0))
    )
    assert 0.5 < overall(found, "share").estimate.value < 0.9
    for part in (value.estimate for value in found):
        assert part.problem or part.lower < part.value < part.upper


def test_by_window_version_and_segment() -> None:
    data = fraud(4000)
    found = measure_value(data, {"money": f"sum({MONEY})"}, every=DAY)
    whole = [v for v in found if not v.version and not v.segment]
    assert [v.window.start for v in whole if v.window] == [START + i * DAY for i in range(4)]
    everything = overall(measure_value(data, {"money": f"sum({MONEY})"})).estimate.value
    assert math.fsum(v.estimate.value for v in whole) == pytest.approx(everything)
    for names in ({"1", "2"}, {("land", "DE"), ("land", "FR")}):
        parts = [v for v in found if (v.version or v.segment) in names]
        assert math.fsum(v.estimate.value for v in parts) == pytest.approx(everything)
    assert {v.window.start for v in found if v.version == "1" and v.window} == {START, START + DAY}


def test_rows_without_a_time_are_in_no_window() -> None:
    data = fraud(400)
    times = data.timestamps
    assert times is not None
    undated = replace(data, timestamps=np.where(np.arange(400) % 2 == 0, NEVER, times))
    dated = data.take(np.arange(1, 400, 2))
    expected = measure_value(dated, {"m": MONEY}, every=DAY)
    assert expected
    assert measure_value(undated, {"m": MONEY}, every=DAY) == expected


def test_rows_whose_label_is_not_known_are_left_out_and_shown() -> None:
    data = fraud(1000)
    labels = data.labels.copy()
    labels[:400] = np.nan
    half = Predictions(
        data.task, data.classes, 0.5, data.scores, data.predictions, labels, data.features
    )
    (found,) = measure_value(half, {"missed": "label == 1 and prediction == 0"})
    assert (found.rows, found.estimate.n, found.coverage) == (1000, 600, 0.6)
    (alone,) = measure_value(half.take(half.known), {"missed": "label == 1 and prediction == 0"})
    assert alone.estimate == found.estimate
    (unlabelled,) = measure_value(half, {"asked": "sum(amount if score >= 0.5 else 0)"})
    assert (unlabelled.estimate.n, unlabelled.coverage) == (1000, 0.6)


def test_no_labels_and_no_rows() -> None:
    data = fraud(100)
    nothing = data.take(np.zeros(100, dtype=bool))
    for rows in (nothing, Predictions(
        data.task, data.classes, 0.5, data.scores, data.predictions,
        np.full(100, np.nan), data.features,
    )):  # fmt: skip
        found = measure_value(
            rows, {"m": MONEY, "r": "label == 1", "q": f"sum({MONEY}) / sum(label)"}
        )
        assert all(math.isnan(v.estimate.value) for v in found)
        assert {v.estimate.problem for v in found} == {"0 rows, 30 are needed"}
        assert {v.coverage for v in found} == {0.0}
    assert not measure_value(nothing, {"m": MONEY}, every=DAY)


@pytest.mark.parametrize(
    ("kind", "above", "below", "problem"),
    [
        (Kind.MEAN, [1.0] * 29, [1.0] * 29, "29 rows"),
        (Kind.MEAN, [9.0] * 19 + [0.0] * 99, [1.0] * 118, "19 rows are worth anything"),
        (Kind.MEAN, [9.0] * 20 + [0.0] * 99, [1.0] * 119, ""),
        (Kind.MEAN, [0.0] * 99, [1.0] * 99, "0 rows are worth anything"),
        (Kind.TOTAL, [1.0] * 99, [1.0] * 99, ""),
        (Kind.RATE, [0.0] * 99, [1.0] * 99, ""),
        (Kind.RATIO, [1.0, 2.0] * 50, [1.0, -1.0] * 50, "adds up to"),
        (Kind.RATIO, [1.0, 2.0] * 50, [1.0, -0.9] * 50, "adds up to"),
        (Kind.RATIO, [0.0] * 99, [0.0] * 99, "adds up to"),
    ],
    ids=[
        "few",
        "few-telling",
        "enough-telling",
        "constant",
        "count",
        "rate",
        "nothing",
        "near",
        "zero",
    ],
)
def test_least_rows(kind: Kind, above: list[float], below: list[float], problem: str) -> None:
    found = measure_rows(kind, np.array(above), np.array(below))
    assert problem in found.problem
    assert bool(found.problem) != found.bounded


def test_weights() -> None:
    rng = np.random.default_rng(0)
    worth, weights = rng.exponential(1.0, 500), rng.integers(0, 4, 500).astype(float)
    repeated = np.repeat(worth, weights.astype(int))
    ones = np.ones(500)
    mean = measure_rows(Kind.MEAN, worth, ones, weights)
    assert mean.value == pytest.approx(repeated.mean())
    total = measure_rows(Kind.TOTAL, worth, ones, weights)
    assert total.value == pytest.approx(repeated.sum())
    nothing = measure_rows(Kind.MEAN, worth, ones, np.zeros(500))
    assert nothing.problem == "0 rows, 30 are needed"


def test_classes_by_name_and_columns_of_any_type() -> None:
    rows = pa.table(
        {
            "land": pa.array(["DE", "FR"] * 40).dictionary_encode(),
            "count": pa.array([1, 2] * 40, pa.int8()),
            "day": pa.array([0, 1] * 40, pa.date32()),
            "score": pa.array([5.0] * 80),
        }
    )
    classes = np.array([0.0, 1.0, np.nan, 1.0] * 20)
    data = Predictions(
        Task.MULTICLASS, ("red", "blue"), 0.5, np.zeros((80, 0)), classes, classes, rows
    )
    assert value_columns(data) == {
        "land": Type.TEXT,
        "count": Type.NUMBER,
        "label": Type.TEXT,
        "prediction": Type.TEXT,
    }
    (found,) = measure_value(data, {"blue": "label == 'blue' and land in ('DE', 'FR')"})
    assert found.estimate.n == 60
    assert found.estimate.value == pytest.approx(2 / 3)
    with pytest.raises(ConfigError, match="'score' is no column"):
        measure_value(data, {"x": "score"})
    table = value_table(data, ["label", "count"])
    assert table["label"].to_pylist()[:3] == ["red", "blue", None]


def test_a_column_named_like_an_outcome_is_hidden() -> None:
    data = fraud(50)
    hidden = Predictions(
        data.task, data.classes, 0.5, data.scores, data.predictions, data.labels,
        pa.table({"score": np.full(50, 7.0), "big": pa.array(["a"] * 50, pa.large_string())}),
    )  # fmt: skip
    (found,) = measure_value(hidden, {"s": "score"})
    assert found.estimate.value == pytest.approx(data.scores.mean())
    assert value_columns(hidden)["big"] is Type.TEXT


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sum(amount) / 2", "no function"),
        ("sum(amount, 1)", "no function"),
        ("mean(sum(amount))", "no function"),
        ("'x'", "is text, where a number"),
        ("sum(price) / sum(amount)", "is no column"),
        ("-" * 1900 + "1", "cannot be read|nested"),
        ("amount ** 9 ** 9", "other than"),
        ("amount" + " + amount" * 300, "characters"),
    ],
)
def test_what_is_no_metric(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        parse_metric("m", text, COLUMNS)


def test_what_is_no_direction() -> None:
    with pytest.raises(ConfigError, match="higher or lower"):
        parse_metric("m", "amount", COLUMNS, "up")  # type: ignore[arg-type]


def test_windows_need_times_and_a_length() -> None:
    data = fraud(50)
    bare = Predictions(
        data.task, data.classes, 0.5, data.scores, data.predictions, data.labels, data.features
    )
    with pytest.raises(ConfigError, match="name the timestamp column"):
        measure_value(bare, {"m": MONEY}, every=DAY)
    with pytest.raises(ConfigError, match="longer than zero"):
        measure_value(data, {"m": MONEY}, every=timedelta(0))


def test_accuracy_up_and_value_down_is_said() -> None:
    before = fraud(20_000, 1, recall=0.6, alarms=0.05, dear=0.9)
    after = fraud(20_000, 2, recall=0.6, alarms=0.01, dear=0.2)
    (found,) = compare_value(before, after, {"money": MONEY})
    assert found.value.way is Way.FELL
    assert found.quality.way is Way.ROSE
    assert found.opposed
    assert "accuracy and money disagree: money fell from" in found.text
    (same,) = compare_value(
        before, fraud(20_000, 3, alarms=0.05, dear=0.9, recall=0.6), {"m": MONEY}
    )
    assert not same.opposed
    assert same.value.way is Way.STAYED
    assert "no more than chance" in same.text


def test_a_metric_that_is_better_the_lower() -> None:
    cost = parse_metric("cost", "5 if prediction == 1 and label == 0 else 0", COLUMNS, "lower")
    before, after = fraud(20_000, 1, alarms=0.01), fraud(20_000, 2, alarms=0.05)
    (found,) = compare_value(before, after, [cost])
    assert found.value.worsened
    assert not found.value.improved
    assert not found.opposed


def test_a_regression_is_judged_by_its_error() -> None:
    rng = np.random.default_rng(0)

    def data(error: float, bias: float) -> Predictions:
        true = rng.normal(0.0, 1.0, 4000)
        said = true + bias + rng.normal(0.0, error, 4000)
        return Predictions(Task.REGRESSION, (), 0.5, said, said, true, pa.table({"x": true}))

    metrics = {"stock": "-9 * max(label - prediction, 0) - max(prediction - label, 0)"}
    (found,) = compare_value(data(0.3, 0.4), data(0.3, -0.1), metrics)
    assert (found.quality.name, found.quality.better) == ("mean absolute error", "lower")
    assert found.opposed
    assert "worth less" in found.text
    (back,) = compare_value(data(0.3, -0.1), data(0.3, 0.4), metrics)
    assert "worth more" in back.text


def test_too_few_rows_to_tell() -> None:
    (found,) = compare_value(fraud(20), fraud(20), {"m": MONEY})
    assert found.value.way is Way.UNKNOWN
    assert "too few rows" in found.text
    change = Change("x", Estimate(1.0), Estimate(2.0))
    assert not Contrast(change, change).opposed
    (none,) = compare_value(fraud(0), fraud(0), {"m": MONEY})
    assert math.isnan(none.quality.now.value)


COLUMNS = {"amount": Type.NUMBER, "label": Type.NUMBER, "prediction": Type.NUMBER}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", "'1 / 0' is never a finite number"),
        ("amount / (2 - 2)", "never a finite number"),
        ("mean(1e308 * 10)", "'1e\\+308 \\* 10' is never a finite number"),
        ("sum(amount) / sum(0)", "divides by a sum of zeros"),
    ],
    ids=["one", "column", "infinity", "sum"],
)
def test_what_is_no_number_for_any_row_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_metric("worth", text, COLUMNS)
