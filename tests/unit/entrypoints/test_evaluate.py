"""``hs.evaluate``: figures against scikit-learn, cohorts, parts, and data that is wrong."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as oracle

import homeostat as hs
from homeostat.detectors.performance import cohorts
from homeostat.detectors.performance.realized import NAMES
from homeostat.domain.errors import ConfigError, NotFoundError
from homeostat.domain.evaluation import Figure
from homeostat.domain.model import Task

START = datetime(2024, 1, 1)
DAY = timedelta(days=1)
N = 1200


def scored(rng: np.random.Generator, n: int = N) -> dict[str, object]:
    scores = rng.beta(1.0, 3.0, n)
    return {
        "score": scores,
        "label": (rng.random(n) < scores).astype(int),
        "at": [START + k * timedelta(hours=1) for k in range(n)],
        "version": ["v1"] * (n // 2) + ["v2"] * (n - n // 2),
        "shop": ["north", "south", None] * (n // 3),
        "weight": rng.uniform(0.5, 2.0, n),
    }


def spec(**fields: object) -> hs.PredictionSpec:
    return hs.PredictionSpec("binary", **fields)  # type: ignore[arg-type]


def rows_of(data: Mapping[str, object], mask: np.ndarray) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(data[name])[mask] for name in ("label", "score", "weight"))


def test_every_figure_agrees_with_scikit_learn_in_every_part() -> None:
    data = scored(np.random.default_rng(1))
    by = spec(version="version", segments=("shop",), timestamp="at", weight="weight")
    found = hs.evaluate(data, by, window=10 * DAY, value=[[1, -2], [-10, 30]])
    shop, version = np.asarray(data["shop"]), np.asarray(data["version"])
    masks = {
        ("overall", ""): np.ones(N, bool),
        ("version", "v2"): version == "v2",
        ("shop", "north"): shop == "north",
        ("shop", "(missing)"): shop == None,  # noqa: E711 - of each item
        ("window", "2023-12-29T00:00/2024-01-08T00:00"): np.arange(N) < 7 * 24,
    }
    for (name, part), mask in masks.items():
        labels, scores, weights = rows_of(data, mask)
        said = scores >= 0.5
        matrix = oracle.confusion_matrix(labels, said, sample_weight=weights)
        expected = {
            "auc": oracle.roc_auc_score(labels, scores, sample_weight=weights),
            "average_precision": oracle.average_precision_score(
                labels, scores, sample_weight=weights
            ),
            "log_loss": oracle.log_loss(labels, scores, sample_weight=weights),
            "brier": oracle.brier_score_loss(labels, scores, sample_weight=weights),
            "f1": oracle.f1_score(labels, said, sample_weight=weights),
            "mcc": oracle.matthews_corrcoef(labels, said, sample_weight=weights),
            "specificity": oracle.recall_score(labels, said, sample_weight=weights, pos_label=0),
            "value": (matrix * [[1, -2], [-10, 30]]).sum() / matrix.sum(),
        }
        figures = {f.metric: f for f in found.select(by=name) if f.part == part}
        assert set(figures) == {*NAMES[Task.BINARY], "value"}
        for metric, value in expected.items():
            figure = figures[metric]
            assert figure.value == pytest.approx(value), (name, part, metric)
            assert figure.lower is not None
            assert figure.upper is not None
            assert figure.lower <= figure.value <= figure.upper
            assert (figure.coverage, figure.cohort) == (1.0, "known")
    assert found["accuracy"].n == N
    assert np.sum(found.confusion) == pytest.approx(np.sum(np.asarray(data["weight"])))


def test_probabilities_of_classes_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(2)
    scores = rng.dirichlet(np.ones(3), N)
    labels = (scores.cumsum(axis=1) < rng.random((N, 1))).sum(axis=1)
    names = np.array(["a", "b", "c"])
    data = {"label": names[labels], "pa": scores[:, 0], "pb": scores[:, 1], "pc": scores[:, 2]}
    columns = {"a": "pa", "b": "pb", "c": "pc"}
    found = hs.evaluate(data, hs.PredictionSpec("multiclass", score=columns))
    said = scores.argmax(axis=1)
    onehot = np.eye(3)[labels]
    expected = {
        "macro_auc": oracle.roc_auc_score(labels, scores, multi_class="ovr", average="macro"),
        "log_loss": oracle.log_loss(labels, scores),
        "brier": ((scores - onehot) ** 2).sum(axis=1).mean(),
        "macro_f1": oracle.f1_score(labels, said, average="macro"),
        "mcc": oracle.matthews_corrcoef(labels, said),
    }
    for name, value in expected.items():
        figure = found[name]
        assert figure.value == pytest.approx(value), name
        assert figure.lower is not None
        assert 0.0 < figure.value - figure.lower < 0.1
    assert found.classes == ("a", "b", "c")
    assert found.calibration is None
    only = hs.evaluate(
        {"label": names[labels], "said": names[said]},
        hs.PredictionSpec("multiclass", score="", prediction="said"),
    )
    assert only["macro_f1"].value == pytest.approx(expected["macro_f1"])
    assert only["macro_auc"].problem == "there are no scores"
    few = hs.evaluate(
        {name: values[:40] for name, values in data.items()} | {"label": ["a"] * 39 + ["b"]},
        hs.PredictionSpec("multiclass", score=columns),
    )
    assert few["macro_auc"].problem == "a class has 1 rows, 5 are needed"
    one = hs.evaluate(data | {"label": ["a"] * N}, hs.PredictionSpec("multiclass", score=columns))
    assert one["macro_auc"].problem == "one class only"


@pytest.mark.statistical
def test_the_interval_of_the_macro_area_covers() -> None:
    rng = np.random.default_rng(3)

    def draw(n: int) -> Figure:
        scores = rng.dirichlet([2.0, 1.0, 0.5], n)
        labels = (scores.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
        data = {"label": np.array(["a", "b", "c"])[labels]}
        columns = {name: scores[:, k] for k, name in enumerate("xyz")}
        given = hs.PredictionSpec("multiclass", score={"a": "x", "b": "y", "c": "z"})
        return hs.evaluate(data | columns, given, metrics=["macro_auc"])["macro_auc"]

    truth = draw(300_000).value
    assert truth is not None
    figures = [draw(150) for _ in range(150)]
    hits = [f.lower <= truth <= f.upper for f in figures if f.lower is not None and f.upper]
    assert len(hits) > 140
    assert np.mean(hits) >= 0.9


def test_numbers_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(4)
    said = rng.gamma(9.0, 1.0, N)
    data = {"y": said + rng.normal(0.1, 1.0, N), "p": said}
    found = hs.evaluate(
        data, hs.PredictionSpec("regression", label="y", score="p"), quantile=0.8, window=500
    )
    expected = oracle.mean_pinball_loss(data["y"], said, alpha=0.8)
    assert found["pinball"].value == pytest.approx(expected)
    assert found["rmse"].value == pytest.approx(oracle.root_mean_squared_error(data["y"], said))
    parts = [figure.part for figure in found.select("mae", "window")]
    assert parts == ["rows 1 to 500", "rows 501 to 1000", "rows 1001 to 1200"]
    assert found.confusion == ()


def test_only_old_predictions_count_unless_asked() -> None:
    data = scored(np.random.default_rng(5))
    times = np.asarray(data["at"])
    data["arrived"] = times + 5 * DAY
    given = spec(timestamp="at", arrival="arrived", maturity=10 * DAY)
    found = hs.evaluate(data, given)
    latest = times[-1] + 5 * DAY
    assert (found.cohort, found.as_of) == ("matured", latest.replace(tzinfo=UTC))
    old = int((times <= latest - 10 * DAY).sum())
    assert found.rows == found["brier"].n == old
    assert "younger than 10 days" in found.problems[0]
    assert "matured predictions as of 2024-02-24" in str(found)
    everything = hs.evaluate(data, given, cohort="known")
    assert (everything.cohort, everything.rows) == ("known", N)
    earlier = hs.evaluate(data, given, as_of=START + 20 * DAY, cohort="known")
    assert earlier.rows == 20 * 24 + 1
    assert earlier.labelled == 15 * 24 + 1
    assert 0.7 < earlier["auc"].coverage == earlier.coverage < 0.8


def test_rows_without_a_time_are_said_to_be_left_out() -> None:
    data = scored(np.random.default_rng(6))
    times = list(data["at"])  # type: ignore[call-overload]
    data["at"] = [None, *times[1:]]
    found = hs.evaluate(data, spec(timestamp="at", maturity=DAY), window=7 * DAY)
    assert found.problems[0].startswith("1 of 1,200 predictions have no time")
    windows = hs.evaluate(data, spec(timestamp="at"), window=7 * DAY).select("auc", "window")
    assert sum(figure.n for figure in windows) == N - 1
    assert windows[0].window is not None
    assert windows[0].window.length == 7 * DAY
    undated = hs.evaluate(
        data | {"at": pa.nulls(N, pa.timestamp("us"))},
        spec(timestamp="at", maturity=DAY),
        as_of=START,
    )
    assert undated.rows == 0


def test_windows_of_rows_follow_time() -> None:
    data = scored(np.random.default_rng(7))
    backwards = {name: list(values)[::-1] for name, values in data.items()}  # type: ignore[call-overload]
    here, there = (
        hs.evaluate(d, spec(timestamp="at"), window=400).select("brier", "window")
        for d in (data, backwards)
    )
    assert [f.value for f in here] == pytest.approx([f.value for f in there])


def test_too_few_rows_give_no_figure() -> None:
    data = scored(np.random.default_rng(8), 60)
    data["shop"] = [f"s{k}" for k in range(60)]
    found = hs.evaluate(data, spec(segments=("shop",)))
    assert found["accuracy"].value is not None
    single = found.select("accuracy", "shop")
    assert len(single) == 60
    assert {f.problem for f in single} == {"1 labelled rows, 30 are needed"}
    assert all(f.value is f.lower is f.upper is None for f in single)
    assert hs.evaluate(data, spec(), min_rows=100)["auc"].problem == (
        "60 labelled rows, 100 are needed"
    )


def test_only_the_largest_parts_get_figures() -> None:
    data = scored(np.random.default_rng(9), 2100)
    data["shop"] = ["big"] * 99 + [f"s{k}" for k in range(2001)]
    found = hs.evaluate(data, spec(segments=("shop",)), metrics="accuracy")
    figures = found.select(by="shop")
    assert len(figures) == cohorts.MOST_PARTS
    assert figures[0].part == "big"
    assert "shop has 2,002 parts" in found.problems[-1]


BAD: dict[str, tuple[dict[str, object], str, str]] = {
    "one class": ({"score": [0.2] * 40, "label": [0] * 40}, "auc", "one class only"),
    "no labels": ({"score": [0.2] * 40, "label": [None] * 40}, "auc", "no labelled rows"),
    "no scores": ({"score": [None] * 40, "label": [0, 1] * 20}, "auc", "no labelled rows"),
    "no rows": ({"score": [], "label": []}, "log_loss", "no labelled rows"),
    "all outside": ({"score": [7.0] * 40, "label": [0, 1] * 20}, "auc", "no labelled rows"),
    "no weight": (
        {"score": [0.2] * 40, "label": [0, 1] * 20, "weight": [0.0] * 40},
        "auc",
        "no labelled rows",
    ),
}


@pytest.mark.parametrize(("data", "metric", "problem"), BAD.values(), ids=BAD)
def test_bad_input_has_a_defined_result(data: dict[str, object], metric: str, problem: str) -> None:
    table = pa.table(data)
    found = hs.evaluate(table, spec(weight="weight" if "weight" in data else ""))
    assert found[metric].value is None
    assert found[metric].problem.startswith(problem)
    assert 0.0 <= found.coverage <= 1.0
    for figure in found.figures:
        assert (figure.value is None) == bool(figure.problem)
        assert figure.value is None or math.isfinite(figure.value)
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.table.num_rows == len(found.figures)
    assert "not available" in str(found)


def test_rows_that_are_wrong_are_left_out_and_counted() -> None:
    data = scored(np.random.default_rng(10), 90)
    scores = np.array(data["score"])
    scores[:3] = [np.nan, 1.5, -0.1]
    weights = np.array(data["weight"])
    weights[3:6] = [0.0, -1.0, np.nan]
    found = hs.evaluate(data | {"score": scores, "weight": weights}, spec(weight="weight"))
    assert found["auc"].n == 84
    said = " ".join(found.problems)
    for text in ("2 of 90 scores are outside", "2 of 90 weights", "3 of 90 labelled rows have no"):
        assert text in said
    assert "3 labelled rows have no weight" in said


def test_predictions_without_scores_are_judged_as_classes() -> None:
    data = {"said": [0, 1] * 20, "label": [0, 1, 1, 1] * 10}
    found = hs.evaluate(data, spec(score="", prediction="said"))
    assert found["accuracy"].value == 0.75
    assert found["auc"].problem == "there are no scores"
    assert found.calibration is None


def test_what_it_says_can_be_kept() -> None:
    data = scored(np.random.default_rng(11))
    found = hs.evaluate(data, spec(timestamp="at"), window=5 * DAY)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["calibration"]["slope"]["value"] == pytest.approx(1.0, abs=0.4)
    assert plain["figures"][-1]["window"][0].startswith("2024-")
    assert found.table.column("label_coverage").to_pylist()[0] == 1.0
    assert "more figures" in str(found)
    with pytest.raises(NotFoundError, match="no metric 'gini'"):
        found["gini"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["gini"]}, "binary has no metric 'gini'; choose from auc"),
        ({"metrics": ["value"]}, "needs to know values"),
        ({"value": [[1, 2]]}, "2 rows of 2 finite numbers"),
        ({"value": "much"}, "no table of numbers"),
        ({"window": DAY}, "name the timestamp column"),
        ({"window": 0}, "window is 0"),
        ({"window": 7.5}, "window is 7.5; give 1 or more rows, or a timedelta"),
        ({"as_of": "2026-02-01"}, "as_of is '2026-02-01'; give a datetime"),
        ({"min_rows": 0}, "min_rows is 0"),
        ({"quantile": 1.0}, "quantile is 1.0"),
    ],
    ids=lambda item: "" if isinstance(item, str) else "-".join(item),
)
def test_a_wrong_option_is_named(options: dict[str, object], message: str) -> None:
    data = scored(np.random.default_rng(12), 60)
    with pytest.raises(ConfigError, match=message):
        hs.evaluate(data, spec(), **options)  # type: ignore[arg-type]


def test_other_wrong_options_are_named_too() -> None:
    data = scored(np.random.default_rng(13), 60)
    with pytest.raises(ConfigError, match="too short"):
        hs.evaluate(data, spec(timestamp="at"), window=timedelta(0))
    with pytest.raises(ConfigError, match="for a regression"):
        hs.evaluate(data, hs.PredictionSpec("regression"), value=[[1.0]])


def test_times_that_no_window_holds_are_unknown_and_counted() -> None:
    data = scored(np.random.default_rng(0))
    at = [START + k * DAY / 24 for k in range(N)]
    at[:2] = datetime(9999, 12, 31), datetime(1, 1, 1)
    found = hs.evaluate({**data, "at": pa.array(at)}, spec(timestamp="at"), window=10 * DAY)
    assert "2 of 1,200 times of 'at' are outside the years 1678 to 2261: taken as unknown" in (
        found.problems
    )
    assert len(found.select(metric="accuracy", by="window")) == 6


def test_more_windows_than_anybody_reads_are_refused() -> None:
    n = 10_001
    data = {"score": np.full(n, 0.5), "label": np.ones(n), "at": START + np.arange(n) * DAY / 24}
    for window in (1, timedelta(minutes=5)):
        with pytest.raises(ConfigError, match=r"makes 10,001 windows; at most 10,000"):
            hs.evaluate(data, hs.PredictionSpec("binary", timestamp="at"), window=window)


@pytest.mark.parametrize("scale", [1e-320, 1e-170, 1e170, 1e308])
def test_only_the_ratios_of_weights_count_however_small_or_large(scale: float) -> None:
    rng = np.random.default_rng(0)
    score = rng.random(400)
    rows = {"score": score, "label": rng.random(400) < score, "w": rng.integers(1, 9, 400) / 8.0}
    spec = hs.PredictionSpec(weight="w")
    plain = hs.evaluate(rows, spec)
    found = hs.evaluate(rows | {"w": rows["w"] * scale}, spec)
    for name in ("accuracy", "auc", "brier", "ece", "mcc"):
        assert found[name].value == pytest.approx(plain[name].value, rel=1e-3)
        assert found[name].upper == pytest.approx(plain[name].upper, rel=1e-3)
    assert found.problems[0] == f"weights are up to {scale:.3g}: scaled so that it is 1"
    assert plain.problems == ()


def test_weights_that_are_nothing_beside_others_are_taken_as_0() -> None:
    rng = np.random.default_rng(0)
    score = rng.random(400)
    rows = {"score": score, "label": rng.random(400) < score}
    weights = np.where(score < 0.5, 1e-170, 1.0)
    spec = hs.PredictionSpec(weight="w")
    found = hs.evaluate(rows | {"w": weights}, spec)
    assert found.problems[0].endswith("of 400 weights are too small beside 1: taken as 0")
    assert found["accuracy"] == hs.evaluate(rows | {"w": weights.round()}, spec)["accuracy"]


def test_numbers_too_large_for_a_figure_are_told_and_warn_of_nothing() -> None:
    label = np.random.default_rng(0).normal(size=400) * 1e300
    found = hs.evaluate({"score": -label, "label": label}, hs.PredictionSpec("regression"))
    assert found["wape"].value == pytest.approx(2.0)
    assert found["rmse"].problem.startswith("too large")
