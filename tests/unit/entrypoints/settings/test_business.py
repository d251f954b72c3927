"""Business metrics and thresholds in homeostat.yaml."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import homeostat as hs
from homeostat.detectors.series.dynamic import SeriesConfig
from homeostat.detectors.series.limits import LimitConfig
from homeostat.detectors.value.metric import Kind
from homeostat.domain.errors import ConfigError
from homeostat.domain.estimation import Standing
from homeostat.domain.model import Task
from homeostat.domain.verdict import Monitor
from homeostat.engine.plan import ModelPlan
from homeostat.entrypoints.settings import load, problems
from homeostat.entrypoints.settings.metrics import written
from homeostat.entrypoints.settings.plan import model_plan

TEXT = """\
models:
  - name: fraud
    task: binary
    features: {amount: numeric, land: categorical}
    labels: {maturity: 60d}
"""
MORE = """\
    business:
      caught: {value: "amount if label == 1 and prediction == 1 else 0", min_change: 0.5}
      alarms: {value: "prediction == 1 and label == 0", better: lower, since: 2026-03-01}
      share: {value: "sum(score) / sum(amount)", alert: false}
    monitors:
      performance: {window: 12h}
      thresholds:
        - {metric: auc, below: 0.8, windows: 2, sure: true}
        - {metric: log_loss, dynamic: above, history: 28d, since: 2026-03-01T12:00+02:00}
"""


def read(folder: Path, text: str) -> ModelPlan:
    path = folder / "homeostat.yaml"
    path.write_text(text)
    return model_plan(load(path))


def test_what_the_owner_says_reaches_the_engine(tmp_path: Path) -> None:
    plan = read(tmp_path, TEXT + MORE)
    assert [(m.name, m.kind, m.better) for m in plan.business] == [
        ("caught", Kind.MEAN, "higher"),
        ("alarms", Kind.RATE, "lower"),
        ("share", Kind.RATIO, "higher"),
    ]
    caught, alarms, limit, loss = plan.thresholds
    assert isinstance(caught.config, SeriesConfig)
    assert (caught.config.ways, caught.config.min_change) == ("below", 0.5)
    assert caught.config.monitor is Monitor.VALUE
    assert caught.config.every == timedelta(hours=12)
    assert isinstance(alarms.config, SeriesConfig)
    assert alarms.config.ways == "above"
    assert alarms.since == datetime(2026, 3, 1, tzinfo=UTC)
    assert limit.name == "auc limit"
    assert limit.config == LimitConfig(below=0.8, windows=2, sure=True, min_rows=30)
    assert isinstance(loss.config, SeriesConfig)
    assert (loss.config.ways, loss.config.history) == ("above", timedelta(days=28))
    assert loss.config.monitor is Monitor.METRIC
    assert loss.since == datetime(2026, 3, 1, 10, tzinfo=UTC)


def test_history_is_long_enough_for_the_windows_that_are_written(tmp_path: Path) -> None:
    more = MORE.replace("12h", "7d").replace(", history: 28d", "")
    more += "        - {metric: 'importance:amount', dynamic: both}\n"
    caught, alarms, _, loss, importance = read(tmp_path, TEXT + more).thresholds
    spans = []
    for threshold in (caught, alarms, loss, importance):
        assert isinstance(threshold.config, SeriesConfig)
        spans.append((threshold.config.every.days, threshold.config.history.days))
    assert spans == [(7, 392), (7, 392), (7, 392), (30, 1680)]
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, TEXT + MORE.replace("12h", "7d"))
    said = str(refused.value)
    assert "homeostat.yaml:14" in said
    assert "monitors.thresholds.1.history" in said
    assert "a window of log_loss is 7d: of 28d there are 4, and 21 are needed" in said
    assert "write 147d or more, or leave it out" in said


@pytest.mark.parametrize("text", [TEXT, TEXT + MORE], ids=["plain", "thresholds"])
def test_the_alarm_budget_is_kept_with_thresholds_and_without(tmp_path: Path, text: str) -> None:
    plan = read(tmp_path, text)
    own = [2 * plan.drift.share, plan.performance.share, plan.quality.share, plan.volume.share]
    assert plan.calibration is not None
    own.append(plan.calibration.share)
    spent = plan.drift.budget.alarms * (sum(own) + 2 * plan.service.share)
    for threshold in plan.thresholds:
        if isinstance(threshold.config, SeriesConfig):
            spent += threshold.config.budget.alarms * threshold.config.share
    assert spent == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("business: {v: {value: 'price * 2'}}", "'price' is no column"),
        ("business: {v: {value: 'land'}}", "is text"),
        ("business: {auc: {value: 'amount'}}", "metric of Homeostat's own"),
        ("business: {v: {value: 'amount', since: soon}}", "is no time"),
        ("business: {v: {value: 'amount', min_change: 0}}", "greater than 0"),
        (
            "monitors: {thresholds: [{metric: nope, above: 1}]}",
            "nobody writes a metric 'nope' of a binary model; known: accuracy",
        ),
        (
            "monitors: {thresholds: [{metric: estimated_acuracy, below: 1}]}",
            "did you mean 'estimated_accuracy'",
        ),
        (
            "business: {estimated_profit: {value: amount}}",
            "begins as metrics of Homeostat's own do",
        ),
        (
            "monitors: {thresholds: [{metric: estimated_calibration_error, above: 0.1}]}",
            "nobody writes a metric 'estimated_calibration_error' of a binary model",
        ),
        ("monitors: {thresholds: [{metric: estimated_ece, above: 0.1}]}", "nobody writes"),
        ("monitors: {thresholds: [{metric: estimated_bias, above: 0.1}]}", "nobody writes"),
        (
            "monitors: {thresholds: [{metric: auc, below: 80}]}",
            "thresholds.0.below: every value lies below 80: it is 0 to 1, and the alarm would ",
        ),
        ("monitors: {thresholds: [{metric: estimated_mcc, below: -1}]}", "it is -1 to 1"),
        ("monitors: {thresholds: [{metric: log_loss, below: 0}]}", "it is 0 to inf"),
        ("monitors: {thresholds: [{metric: brier, above: 1}]}", "never be an alarm"),
        ("monitors: {thresholds: [{metric: bias, above: -2}]}", "always be on"),
        ("monitors: {thresholds: [{metric: mae, above: 1}]}", "nobody writes a metric 'mae'"),
        ("monitors: {thresholds: [{metric: auc}]}", "needs above, below or dynamic"),
        ("monitors: {thresholds: [{metric: auc, below: 1, dynamic: both}]}", "make it two"),
        ("monitors: {thresholds: [{metric: auc, below: 2, above: 1}]}", "swap the two"),
        ("monitors: {thresholds: [{metric: auc, dynamic: both, windows: 2}]}", "is for limits"),
        ("monitors: {thresholds: [{metric: auc, below: 2, history: 9d}]}", "is for dynamic"),
        (
            "monitors: {thresholds: [{metric: auc, below: 1}, {metric: auc, below: 2}]}",
            "has such a threshold already",
        ),
    ],
)
def test_errors_name_line_and_remedy(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "homeostat.yaml"
    path.write_text(f"{TEXT}    {line}\n")
    with pytest.raises(ConfigError, match=r"homeostat\.yaml:6") as caught:
        load(path)
    assert problem in str(caught.value)
    assert problems(path)


def test_classes_by_name_have_no_score(tmp_path: Path) -> None:
    text = TEXT.replace("binary", "multiclass\n    classes: [red, blue]")
    plan = read(tmp_path, text + "    business: {v: {value: \"label == 'red'\"}}\n")
    assert plan.business[0].kind is Kind.RATE
    with pytest.raises(ConfigError, match="'score' is no column"):
        read(tmp_path, text + "    business: {v: {value: score}}\n")


@pytest.mark.parametrize(
    "metric", ["brier", "estimated_auc", "caught", "'importance:amount'", "positive_rate"]
)
def test_whatever_is_written_can_have_a_threshold(tmp_path: Path, metric: str) -> None:
    more = f"        - {{metric: {metric}, above: 0.9}}\n"
    plan = read(tmp_path, TEXT + MORE + more)
    assert plan.thresholds[-1].metric == metric.strip("'")


SEGMENTS = "    segments: [land, land & online]\n"
ONLINE = TEXT.replace("land: categorical}", "land: categorical, online: boolean}")


@pytest.mark.parametrize("segment", ["land=FR", "land=(missing)", "land=a & b & online=true"])
@pytest.mark.parametrize("metric", ["auc", "caught"])
def test_a_segment_can_have_thresholds_of_its_own(
    tmp_path: Path, metric: str, segment: str
) -> None:
    more = f"        - {{metric: {metric}, segment: '{segment}', below: 0.5}}\n"
    more += f"        - {{metric: {metric}, segment: '{segment}', dynamic: below}}\n"
    *_, limit, usual = read(tmp_path, ONLINE + SEGMENTS + MORE + more).thresholds
    assert limit.name == f"{metric} of {segment} limit"
    assert usual.name == f"{metric} of {segment}"
    assert {t.metric for t in (limit, usual)} == {metric}
    assert {t.segment for t in (limit, usual)} == {segment}


@pytest.mark.parametrize(
    ("segments", "metric", "segment", "problem"),
    [
        (
            SEGMENTS,
            "auc",
            "country=FR",
            r"'country=FR' is none of the segments; write land=\.\.\. or",
        ),
        (SEGMENTS, "auc", "land", "none of the segments"),
        (SEGMENTS, "auc", "online=true", "none of the segments"),
        ("", "auc", "land=FR", "name features under segments"),
        (SEGMENTS, "estimated_auc", "land=FR", "no figures of segments of this metric"),
    ],
    ids=["unknown", "no value", "half", "none", "estimates"],
)
def test_segments_that_nobody_measures_are_refused(
    tmp_path: Path, segments: str, metric: str, segment: str, problem: str
) -> None:
    more = f"        - {{metric: {metric}, segment: {segment}, below: 0.5}}\n"
    with pytest.raises(ConfigError, match=problem):
        read(tmp_path, ONLINE + segments + MORE + more)


def test_limits_of_other_tasks_and_of_shares(tmp_path: Path) -> None:
    several = TEXT.replace("binary", "multiclass\n    classes: [red, blue]")
    numbers = TEXT.replace("binary", "regression")
    line = "    monitors: {{thresholds: [{{metric: {}}}]}}\n"
    assert read(tmp_path, several + line.format("brier, above: 1.5")).thresholds
    assert read(tmp_path, numbers + line.format("bias, above: 7")).thresholds
    assert read(tmp_path, numbers + line.format("estimated_mse, above: 7")).thresholds
    for text in ("bias, above: -.inf", "r2, above: 1"):
        with pytest.raises(ConfigError, match="thresholds"):
            read(tmp_path, numbers + line.format(text))
    share = "    business: {wrong: {value: prediction != label}}\n"
    with pytest.raises(ConfigError, match="no value lies above 1: it is 0 to 1"):
        read(tmp_path, TEXT + share + line.format("wrong, above: 1"))
    assert read(tmp_path, TEXT + share + line.format("wrong, above: 0.1")).thresholds


@pytest.mark.parametrize("task", list(Task))
def test_every_estimate_that_is_written_can_have_a_threshold_and_no_other(task: Task) -> None:
    """What the engine writes is what `hs.estimate` tells."""
    rng = np.random.default_rng(0)
    score, rows = rng.random(2000), dict[str, np.ndarray]()
    if task is Task.REGRESSION:
        rows, spec = {"p": score, "y": score + rng.random(2000)}, hs.PredictionSpec(task, "y", "p")
    elif task is Task.BINARY:
        rows, spec = (
            {"p": score, "y": (score > rng.random(2000)).astype(np.float64)},
            hs.PredictionSpec(task, "y", "p"),
        )
    else:
        rows = {"a": score, "b": 1.0 - score, "y": np.where(score > rng.random(2000), "a", "b")}
        spec = hs.PredictionSpec(task, "y", {"a": "a", "b": "b"})
    told = {
        f"estimated_{each.metric}"
        for each in hs.estimate(rows, rows, spec, windows=1).windows[0].estimates
        if each.standing is Standing.ESTIMATED
    }
    assert told == {name for name in written(task) if name.startswith("estimated_")}
