import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from homeostat.domain.columns import micros
from homeostat.domain.decision import Decision
from homeostat.domain.errors import DataError, TrainingError
from homeostat.domain.model import LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.record import TIMESTAMP
from homeostat.domain.window import EPOCH
from homeostat.entrypoints.backtest import (
    ALONE,
    HOMEOSTAT,
    NAIVE,
    POLICIES,
    SHORT,
    Backtest,
    Result,
    midway,
)
from homeostat.entrypoints.backtest_figures import figures
from homeostat.entrypoints.cli import run
from homeostat.entrypoints.history import read_history
from homeostat.entrypoints.settings import Settings, load

Change = Callable[[dict[str, pa.Array]], object]
DAY = timedelta(days=1)
MICROS_A_DAY = 86_400_000_000
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
START = FIRST + 20 * DAY
FLIP = FIRST + 35 * DAY
DAYS, PER_DAY = 75, 80
MATURITY = 5 * DAY

CONFIG = """\
models:
  - name: toy
    task: binary
    features: {x: numeric}
    labels: {maturity: 5d}
    history: {id: key, timestamp: made, label: label, label_timestamp: known}
    monitors:
      drift: {window: 1d}
      quality: {window: 1d}
      volume: {window: 1d}
      performance: {window: 1d}
    retraining:
      trainer: "train.py:train"
      performance_windows: 2
      window: 6d
      holdout: 2d
      min_rows: 250
      cooldown: 2d
    rollout: {shadow_min: 1d, shadow_min_rows: 60, ramp: [0.5], step_min: 1d, step_min_rows: 30}
"""
TRAINER = """\
import numpy as np
from homeostat.adapters.models.linear import Term, save_linear

def train(rows, spec, out):
    print("a trainer may talk")
    x, y = rows["x"].to_numpy(), rows["label"].to_numpy()
    weight = 4.0 * float(np.mean((x - x.mean()) * (y - y.mean())))
    save_linear(out, float(np.log(y.mean() / (1 - y.mean()))), [Term("x", 2 * weight)])
    return {"rows": float(len(x))}
"""


def toy(seed: int = 0) -> dict[str, pa.Array]:
    """Half of the way what x means is turned round; a label that is 1 arrives early."""
    rng = np.random.default_rng(seed)
    size = DAYS * PER_DAY
    first = (FIRST - EPOCH) // timedelta(microseconds=1)
    made = first + np.sort(rng.integers(0, DAYS * MICROS_A_DAY, size))
    x = rng.normal(size=size)
    turned = made >= (FLIP - EPOCH) // timedelta(microseconds=1)
    label = (rng.random(size) < 1 / (1 + np.exp(np.where(turned, 2.5, -2.5) * x))).astype(float)
    days = np.where(label == 1, rng.uniform(0, 1, size), rng.uniform(3, 5, size))
    known = made + (days * MICROS_A_DAY).astype(np.int64)
    return {
        "key": pa.array([f"k{i}" for i in range(size)]),
        "made": pa.array(made, TIMESTAMP),
        "known": pa.array(known, TIMESTAMP),
        "label": pa.array(label),
        "x": pa.array(x),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("owner")
    (made / "homeostat.yaml").write_text(CONFIG)
    (made / "train.py").write_text(TRAINER)
    pq.write_table(pa.table(toy()), made / "history.parquet")
    return made


def replay(folder: Path, runs: Path, columns: Mapping[str, pa.Array] | None = None) -> Result:
    settings = load(folder / "homeostat.yaml")
    file = folder / "history.parquet"
    if columns is not None:
        file = runs / "other.parquet"
        pq.write_table(pa.table(columns), file)
    rows = read_history(settings, "toy", file)
    return Backtest(settings, "toy", rows, START, runs).run()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def result(folder: Path, runs: Path) -> Result:
    return replay(folder, runs)


def actions(result: Result, name: str) -> list[Decision]:
    return [decision for decision in result.decisions if decision.action == name]


@pytest.mark.slow
def test_a_change_is_found_and_the_model_recovers(result: Result) -> None:
    fired = actions(result, "fire")
    assert [decision.subject for decision in fired] == ["toy:performance_drop:1"]
    assert fired[0].at > FLIP + MATURITY
    promoted = actions(result, "promote")
    assert promoted
    assert promoted[0].at > fired[0].at
    assert not actions(result, "roll_back")


def test_figures_compare_the_policies_over_the_same_rows(result: Result) -> None:
    names = [month.month for month in result.months]
    assert names == ["2024-01", "2024-02", "2024-03", "all"]
    whole = result.months[-1]
    assert whole.rows == sum(month.rows for month in result.months[:-1])
    assert whole.rows == result.answered.num_rows
    brier = {policy: whole.figures[policy]["brier"] for policy in POLICIES}
    assert brier[HOMEOSTAT] < brier[ALONE] - 0.05
    january = result.months[0].figures
    assert january[HOMEOSTAT] == january[ALONE]
    assert january[NAIVE] == january[SHORT] == january[ALONE]


def test_everything_is_answered_once_by_who_serves_then(result: Result) -> None:
    keys = result.answered["prediction_id"].to_pylist()
    assert len(set(keys)) == len(keys)
    serving = [(d.at, d.subject) for d in result.decisions if d.action in {"install", "promote"}]
    ramps = {d.subject for d in actions(result, "ramp")}
    answers = zip(
        result.answered["timestamp"].to_pylist(),
        result.answered["version"].to_pylist(),
        strict=True,
    )
    for at, version in answers:
        champion = [name for since, name in serving if since <= at][-1]
        assert version == champion or version in ramps


def test_training_rows_are_matured_and_their_labels_had_arrived(result: Result, runs: Path) -> None:
    started = actions(result, "start_training")
    assert started
    for decision in started:
        rows = pq.read_table(runs / "runs" / decision.subject / "rows.parquet")
        now = (decision.at - EPOCH) // timedelta(microseconds=1)
        made = micros(rows, "timestamp")
        assert made.max() <= now - MATURITY // timedelta(microseconds=1)
        known = dict(zip(toy()["key"].to_pylist(), toy()["known"].to_pylist(), strict=True))
        assert max(known[key] for key in rows["prediction_id"].to_pylist()) <= decision.at


def test_the_naive_policy_takes_every_label_known_by_the_first_of_the_month(
    result: Result, runs: Path
) -> None:
    del result
    rows = pq.read_table(runs / "runs" / "naive-2024-03" / "rows.parquet")
    first_of_march = datetime(2024, 3, 1, tzinfo=UTC)
    columns = toy()
    known = np.array([at <= first_of_march for at in columns["known"].to_pylist()])
    assert rows.num_rows == int(known.sum())
    assert max(rows["timestamp"].to_pylist()) > first_of_march - DAY


@pytest.mark.slow
@pytest.mark.unwatched
def test_what_is_not_known_yet_changes_nothing(
    folder: Path, result: Result, tmp_path: Path
) -> None:
    until = FLIP + 12 * DAY
    columns = toy()
    late = np.array([at > until for at in columns["known"].to_pylist()])
    label = columns["label"].to_numpy()
    assert late.any()
    columns["label"] = pa.array(np.where(late, 1 - label, label))
    soon = pa.array([at <= until + DAY for at in columns["made"].to_pylist()])
    other = replay(folder, tmp_path, {name: c.filter(soon) for name, c in columns.items()})
    before = [decision for decision in result.decisions if decision.at <= until]
    assert len(before) > 3
    assert [decision for decision in other.decisions if decision.at <= until] == before


@pytest.mark.slow
@pytest.mark.unwatched
def test_command_prints_timeline_and_tables(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Two days past the promotion.
    begun = pa.table(toy()).slice(0, 54 * PER_DAY)
    pq.write_table(begun, tmp_path / "begun.parquet")
    given = [str(folder / "homeostat.yaml"), str(tmp_path / "begun.parquet")]
    assert run(["backtest", *given, "--from", "2024-01-21"]) == 0
    told = capsys.readouterr()
    for text in ("performance_drop:1", "start_training", "promote", "homeostat minus", "brier by"):
        assert text in told.out
    assert not told.err


@pytest.mark.slow
@pytest.mark.unwatched
def test_same_input_same_decisions_and_json_holds_them(
    folder: Path, result: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(folder / "homeostat.yaml"), str(folder / "history.parquet")]
    assert run(["backtest", *given, "--from", "2024-01-21", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["start"] == "2024-01-21T00:00:00Z"
    assert told["months"][-1]["month"] == "all"
    assert set(told["months"][-1]["figures"]) == set(POLICIES)
    assert [(each["action"], each["subject"], each["reason"]) for each in told["decisions"]] == [
        (decision.action, decision.subject, decision.reason) for decision in result.decisions
    ]


def test_the_middle_is_the_start(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    month = pa.table(toy()).slice(0, 30 * PER_DAY)
    pq.write_table(month, tmp_path / "month.parquet")
    given = [str(folder / "homeostat.yaml"), str(tmp_path / "month.parquet")]
    assert run(["backtest", *given, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["start"] == "2024-01-16T00:00:00Z"
    assert told["decisions"][0]["action"] == "install"


def fails(folder: Path, file: Path, *more: str) -> int:
    return run(["backtest", str(folder / "homeostat.yaml"), str(file), *more])


def test_bad_input_is_the_callers_mistake(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "history.parquet"
    assert fails(folder, tmp_path / "none.parquet") == 2
    assert "none.parquet" in capsys.readouterr().err
    assert fails(folder, file, "--from", "2030-01-01") == 2
    assert "goes from 2024-01-01 to 2024-03-1" in capsys.readouterr().err
    assert fails(folder, file, "--from", "soon") == 2
    assert "soon" in capsys.readouterr().err
    assert fails(folder, file, "--model", "other") == 2
    assert "other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.pop("label"), "'label'"),
        (lambda c: c.update(label=pa.nulls(DAYS * PER_DAY, pa.float64())), "label"),
        (lambda c: c.update(label=pa.array(np.ones(DAYS * PER_DAY))), "'label'"),
        (lambda c: c.update(key=pa.array(["same"] * (DAYS * PER_DAY))), "'same' more than once"),
        (lambda c: c.pop("x"), "'x'"),
    ],
)
def test_a_history_that_cannot_be_replayed_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Change, said: str
) -> None:
    columns = toy()
    change(columns)
    pq.write_table(pa.table(columns), tmp_path / "bad.parquet")
    assert fails(folder, tmp_path / "bad.parquet") == 2
    assert said in capsys.readouterr().err


def changed(folder: Path, trainer: str) -> Settings:
    (folder / "homeostat.yaml").write_text(CONFIG)
    (folder / "train.py").write_text(trainer)
    return load(folder / "homeostat.yaml")


def test_a_trainer_that_fails_later_is_reported(folder: Path, tmp_path: Path) -> None:
    fragile = TRAINER.replace("    x, y", "    assert len(rows) < 2500, 'too many'\n    x, y")
    settings = changed(tmp_path, fragile)
    rows = read_history(settings, "toy", folder / "history.parquet")
    with pytest.raises(TrainingError, match=r"naive-2024-03.*too many"):
        Backtest(settings, "toy", rows, START, tmp_path).run()


def test_too_little_before_the_start(folder: Path, tmp_path: Path) -> None:
    settings = load(folder / "homeostat.yaml")
    rows = read_history(settings, "toy", folder / "history.parquet")
    begin = FIRST + timedelta(hours=12)
    with pytest.raises(DataError, match="labelled rows"):
        Backtest(settings, "toy", rows, begin, tmp_path).run()


def test_figures_of_each_task() -> None:
    def spec(task: Task) -> ModelSpec:
        return ModelSpec("m", task, Schema(()), LabelSpec(DAY))

    rng = np.random.default_rng(1)
    labels = (rng.random(200) < 0.3).astype(float)
    scores = rng.random(200)
    found = figures(spec(Task.BINARY), scores, labels)
    assert found["auc"] == pytest.approx(roc_auc_score(labels, scores))
    assert found["brier"] == pytest.approx(np.mean((scores - labels) ** 2))
    assert figures(spec(Task.REGRESSION), labels + 2, labels) == {"mae": 2.0, "rmse": 2.0}
    assert figures(spec(Task.MULTICLASS), labels, labels) == {"accuracy": 1.0}
    assert not figures(spec(Task.BINARY), scores[:0], labels[:0])


def test_midway_is_a_day() -> None:
    moments = pa.array([FIRST, FIRST + 5 * DAY], TIMESTAMP)
    assert midway(pa.table({"timestamp": moments})) == FIRST + 2 * DAY
