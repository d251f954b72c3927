import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import homeostat as hs
from unit.entrypoints.cli.test_cli import call

N = 1200
SPEC = hs.PredictionSpec("binary", label="fraud", score="p", timestamp="at")
OPTIONS = ("--label", "fraud", "--score", "p", "--timestamp", "at")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)

    def month(start: str, slope: float) -> pd.DataFrame:
        x = rng.normal(size=N)
        chance = 1.0 / (1.0 + np.exp(-1.5 * x))
        truth = 1.0 / (1.0 + np.exp(-slope * x))
        return pd.DataFrame(
            {
                "at": pd.date_range(start, periods=N, freq="30min"),
                "x": x,
                "[red]": rng.choice(["a", "b\x1b[31m"], N),
                "p": chance,
                "fraud": (rng.random(N) < truth).astype(int),
            }
        )

    month("2024-01-01", 1.5).to_parquet("before.parquet")
    month("2024-02-01", -0.6).to_parquet("after.parquet")
    return tmp_path


def test_evaluate_tells_each_metric_with_its_interval(here: Path) -> None:
    code, out, err = call("evaluate", "before.parquet", *OPTIONS, "--segment", "[red]")
    assert (code, err) == (0, "")
    assert out.startswith("1,200 predictions")
    auc = next(line for line in out.splitlines() if line.startswith("overall") and " auc " in line)
    assert f"{hs.evaluate('before.parquet', SPEC)['auc'].value:.3f}" in auc
    assert "[red] b\\x1b[31m" in out
    assert "\x1b" not in out


def test_evaluate_by_window_after_maturity(here: Path) -> None:
    more = ("--window", "7d", "--maturity", "7d", "--metrics", "accuracy", "--json")
    code, out, _ = call("evaluate", "before.parquet", *OPTIONS, *more)
    found = json.loads(out)
    assert code == 0
    assert found["cohort"] == "matured"
    assert {figure["metric"] for figure in found["figures"]} == {"accuracy"}
    assert sum(figure["by"] == "window" for figure in found["figures"]) > 1


def test_estimate_shows_windows_beside_the_reference(here: Path) -> None:
    more = ("--window", "400", "--metrics", "accuracy")
    code, out, err = call("estimate", "before.parquet", "after.parquet", *OPTIONS, *more)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[3].startswith("reference")
    assert len([line for line in lines if line.startswith("2024-02-")]) == 3
    code, out, _ = call("estimate", "before.parquet", "after.parquet", *OPTIONS, "--json")
    assert len(json.loads(out)["windows"]) == 10


def test_estimate_says_of_each_window_why_there_is_no_figure(here: Path) -> None:
    more = ("--window", "391", "--metrics", "accuracy,auc")
    out = call("estimate", "before.parquet", "after.parquet", *OPTIONS, *more)[1]
    (last,) = [line for line in out.splitlines() if "too few" in line]
    place = "2024-02-25 10:30 (partial), accuracy, auc"
    assert last == f"  - {place}: 27 rows are too few: 30 are needed"


def test_diagnose_says_why_and_what_to_do(here: Path) -> None:
    asked = ("diagnose", "before.parquet", "after.parquet", *OPTIONS)
    code, out, err = call(*asked, "--fail-on", "harm", "--segment", "[red]")
    assert (code, err) == (1, "")
    assert out.startswith("concept drift: ")
    assert "What to do: Retrain" in out
    same = call("diagnose", "before.parquet", "before.parquet", *OPTIONS, "--fail-on", "any")
    assert (same[0], same[1].split(":")[0]) == (0, "none")
    found = json.loads(call(*asked, "--json")[1])
    assert (found["cause"], found["retrain"]) == ("concept_drift", True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--score", "red=,b=c"), "write CLASS=COLUMN"),
        (("--score", "red=,b=c"), "'--score'"),
        (("--maturity", "soon"), "write for example 30d or 12h"),
        (("--maturity", "30"), "'--maturity'"),
        (("--window", "-5"), "write for example 30d or 12h"),
        (("--window", "1mo"), "'--window'"),
        (("--task", "regression", "--classes", "a,b"), "classes are given for a regression"),
        (("--label", "frod"), "data has no column 'frod'"),
    ],
    ids=[
        *("score", "score named", "maturity", "maturity named", "window", "window named"),
        *("classes", "label"),
    ],
)
def test_wrong_options_are_named(here: Path, options: tuple[str, ...], message: str) -> None:
    code, out, err = call("evaluate", "before.parquet", *OPTIONS, *options)
    assert code == 2
    assert message in out + err


def test_several_classes() -> None:
    code, out, _ = call("evaluate", "--help")
    assert code == 0
    assert "red=p_red,blue=p_blue" in out
