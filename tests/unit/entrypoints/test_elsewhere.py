"""A model that somebody else serves: only its answers are there."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.adapters.models import ELSEWHERE, load_predictor, save_elsewhere
from homeostat.domain.errors import ArtifactError, DataError
from homeostat.domain.model import ModelSpec
from homeostat.entrypoints.cli import run
from homeostat.entrypoints.elsewhere import Answered
from homeostat.entrypoints.history import read_history
from homeostat.entrypoints.settings import load

START = datetime(2025, 1, 1, tzinfo=UTC)
DAYS, A_DAY = 40, 70
CONFIG = """\
models:
  - name: late
    task: {task}
    features: {{amount: numeric, country: categorical}}
    history: {{score: p}}
    labels: {{maturity: 2d}}
    budget: {{alarms: 1, per: 90d}}
    monitors:
      drift: {{window: 1d, min_rows: 60}}
      performance: {{window: 1d, min_rows: 60}}
      volume: {{window: 1d}}
      early: {{enabled: false}}
    {more}
"""


def world(changed: int = DAYS) -> pa.Table:
    """Answers of a model that was right until the given day; from then on it means nothing."""
    rng = np.random.default_rng(11)
    n = DAYS * A_DAY
    days = np.arange(n) // A_DAY
    amount = rng.normal(0.0, 1.0, n)
    score = 1.0 / (1.0 + np.exp(-2.0 * amount))
    truth = np.where(days < changed, score, 1.0 - score)
    moments = [START + timedelta(days=float(d)) for d in np.arange(n) / A_DAY]
    return pa.table(
        {
            "timestamp": moments,
            "amount": amount,
            "country": rng.choice(["PT", "DE"], n),
            "p": score,
            "label": (rng.random(n) < truth).astype(int),
            "label_timestamp": [moment + timedelta(days=1) for moment in moments],
        }
    )


def written(folder: Path, table: pa.Table, more: str = "", task: str = "binary") -> Path:
    (folder / "homeostat.yaml").write_text(CONFIG.format(more=more, task=task))
    pq.write_table(table, folder / "history.parquet")
    return folder / "history.parquet"


def call(folder: Path, *arguments: str) -> int:
    at = arguments.index("CONFIG") if "CONFIG" in arguments else -1
    given = [str(folder / "homeostat.yaml") if i == at else a for i, a in enumerate(arguments)]
    return run([*given] if at >= 0 else [*given, "-c", str(folder / "homeostat.yaml")])


def test_its_answers_say_what_is_normal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, world())
    assert call(tmp_path, "adopt", str(file), "--version", "2024-11", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["warnings"]) == ("2024-11", [])
    assert call(tmp_path, "status", "--json") == 0
    (standing,) = json.loads(capsys.readouterr().out)["models"]
    assert (standing["champion"], standing["stage"]) == ("2024-11", "champion")
    assert call(tmp_path, "adopt", str(file)) == 2
    assert "has a champion already" in capsys.readouterr().err


def test_a_backtest_finds_what_became_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, world(changed=28))
    assert call(tmp_path, "backtest", "CONFIG", str(file), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    fired = [d for d in told["decisions"] if d["action"] == "fire"]
    assert [d["subject"] for d in fired] == ["late:performance_drop:1"]
    found = datetime.fromisoformat(fired[0]["at"]) - START
    assert timedelta(days=28) < found <= timedelta(days=34)
    figures = [month["figures"] for month in told["months"]]
    assert all(set(found) == {"left alone"} for found in figures)
    assert figures[-1]["left alone"]["brier"] > 0.2


def test_a_backtest_of_a_healthy_one_is_quiet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, world())
    assert call(tmp_path, "backtest", "CONFIG", str(file)) == 0
    told = capsys.readouterr().out
    assert told.count("2025-01-20  ") == 1  # the day of the installation
    assert "install" in told
    assert "left alone" in told
    assert "homeostat minus" not in told


@pytest.mark.parametrize(
    ("column", "task", "words"),
    [
        ([0.5, None], "binary", "has 1 rows without a finite score"),
        ([0.5, 1.5], "binary", "holds 1.5; the score of a binary model"),
        ([0.5, -0.5], "binary", "holds -0.5"),
        (["a", "b"], "binary", "cannot be read as double"),
        ([0.0, 2.0], "multiclass", "neither one of the classes no, yes"),
        (["no", "perhaps"], "multiclass", "holds other values than the classes no, yes"),
    ],
)
def test_what_cannot_be_a_score_is_refused(
    tmp_path: Path, column: list[object], task: str, words: str
) -> None:
    table = world().slice(0, 2).set_column(3, "p", pa.array(column))
    table = table.set_column(4, "label", pa.array([0, 1]))
    more = "classes: ['no', 'yes']" if task == "multiclass" else ""
    file = written(tmp_path, table, more, task)
    with pytest.raises(DataError, match=words):
        read_history(load(tmp_path / "homeostat.yaml"), "late", file)


def test_scores_of_other_tasks_are_read(tmp_path: Path) -> None:
    names = pa.array(["yes", "no"])
    table = world().slice(0, 2).set_column(3, "p", names).set_column(4, "label", names)
    file = written(tmp_path, table, "classes: ['no', 'yes']", "multiclass")
    found = read_history(load(tmp_path / "homeostat.yaml"), "late", file)
    assert found["score"].to_pylist() == [1.0, 0.0]
    file = written(tmp_path, table.drop_columns("p"), "classes: ['no', 'yes']", "multiclass")
    with pytest.raises(DataError, match=r"set history\.score to the right name"):
        read_history(load(tmp_path / "homeostat.yaml"), "late", file)


def test_too_few_labels_and_mistakes_in_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = world()
    few = pa.array([1.0 if i < 20 else None for i in range(table.num_rows)])
    file = written(tmp_path, table.set_column(4, "label", few))
    assert call(tmp_path, "adopt", str(file)) == 2
    assert "holds the class 1 only" in capsys.readouterr().err
    file = written(tmp_path, table.slice(0, 20))
    assert call(tmp_path, "adopt", str(file)) == 2
    assert "only 20 rows of late have a label; 30 are needed" in capsys.readouterr().err
    (tmp_path / "train.py").write_text("def train(rows, spec, out): ...\n")
    file = written(tmp_path, table, "retraining: {trainer: 'train.py:train'}")
    assert call(tmp_path, "adopt", str(file), "--version", "7") == 2
    assert "served elsewhere" in capsys.readouterr().err


def test_it_cannot_be_asked(tmp_path: Path) -> None:
    save_elsewhere(tmp_path / "artifact")
    with pytest.raises(ArtifactError, match="served elsewhere"):
        load_predictor(tmp_path / "artifact", ELSEWHERE)
    written(tmp_path, world())
    spec: ModelSpec = load(tmp_path / "homeostat.yaml").model("late").spec()
    with pytest.raises(ArtifactError, match="late 1 is served elsewhere and cannot be asked"):
        Answered().answer(spec, "1", pa.table({"amount": [1.0]}))
