import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import homeostat as hs
from unit.entrypoints.cli.test_cli import call

N = 300


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    before = pd.DataFrame(
        {
            "customer_id": np.arange(N),
            "amount": rng.normal(50, 10, N),
            "shop": rng.choice(["a", "b"], N),
            "calm": rng.normal(size=N),
        }
    )
    after = before.assign(amount=before["amount"] + 8)
    before.to_parquet("before.parquet")
    before.to_csv("before.csv", index=False)
    after.to_parquet("after.parquet")
    after.rename(columns={"amount": "amt"}).to_parquet("renamed.parquet")
    return tmp_path


def test_the_table_names_what_drifted_first(here: Path) -> None:
    code, out, err = call("compare", "before.parquet", "after.parquet")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("1 of 3 columns drifted: amount.")
    assert lines[1] == "Reference 300 rows, current 300 rows"
    assert lines[4].split()[:3] == ["amount", "numeric", "drift"]
    assert "customer_id is left out: an identifier" in out


def test_json_is_the_documented_one(here: Path) -> None:
    code, out, err = call("compare", "before.parquet", "after.parquet", "--json")
    found = json.loads(out)
    assert code == 0
    assert found == json.loads(json.dumps(hs.compare("before.parquet", "after.parquet").to_dict()))
    assert found["drifted"] == ["amount"]
    assert "assumed: customer_id is left out" in err


def test_numbers_that_are_none_are_null_in_json(here: Path) -> None:
    pd.DataFrame({"amount": [1.0]}).to_csv("tiny.csv", index=False)
    _, out, _ = call("compare", "before.csv", "tiny.csv", "--json")
    amount = next(c for c in json.loads(out)["columns"] if c["name"] == "amount")
    assert (amount["verdict"], amount["drift_score"], amount["p_value"]) == (
        "inconclusive", None, None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "files", "code"),
    [
        ("drift", ("before.parquet", "after.parquet"), 1),
        ("any", ("before.parquet", "after.parquet"), 1),
        ("quality", ("before.parquet", "after.parquet"), 0),
        ("dataset", ("before.parquet", "after.parquet"), 1),
        ("any", ("before.parquet", "before.csv"), 0),
        ("quality", ("before.parquet", "renamed.parquet"), 1),
    ],
)
def test_findings_are_an_exit_code_where_asked(
    here: Path, wanted: str, files: tuple[str, str], code: int
) -> None:
    assert call("compare", *files, "--fail-on", wanted)[0] == code


def test_what_makes_a_drift_of_the_data_set_can_be_said(here: Path) -> None:
    files = ("before.parquet", "after.parquet", "--fail-on", "dataset")
    assert call("compare", *files, "--dataset-share", "0.5")[0] == 0
    assert call("compare", *files, "--alpha", "1e-300", "--dataset-share", "0.1")[0] == 0


def test_columns_are_mapped_and_kinds_are_given(here: Path) -> None:
    options = ("--map", "amount=amt", "--numeric", "customer_id", "--ignore", "shop,calm")
    code, out, _ = call("compare", "before.csv", "renamed.parquet", *options, "--json")
    assert code == 0
    assert [column["name"] for column in json.loads(out)["columns"]] == ["customer_id", "amount"]


def test_presets_and_segments(here: Path) -> None:
    files = ("before.parquet", "after.parquet")
    _, out, _ = call("compare", *files, "--preset", "ks-0.05")
    assert "by the preset: ks p value" in out or "by the preset:" in out
    _, out, _ = call("compare", *files, "--segment", "shop")
    assert "amount: in all 2 segments that have enough rows" in out


def test_a_report_is_written(here: Path) -> None:
    code, out, _ = call("compare", "before.parquet", "after.parquet", "--html", "report.html")
    assert code == 0
    assert out.endswith("Report: report.html\n")
    page = Path("report.html").read_text()
    assert "<title>before.parquet and after.parquet</title>" in page
    code, _, err = call("compare", "before.parquet", "after.parquet", "--html", "no/report.html")
    assert code == 2
    assert "cannot write no/report.html: No such file" in err


def test_a_profile_stands_in_for_its_rows(here: Path) -> None:
    code, out, _ = call("profile", "before.parquet", "-o", "before.profile")
    assert code == 0
    assert out.startswith("before.profile: 300 rows, 3 columns")
    assert "customer_id is left out" in out
    for streaming in ((), ("--streaming",)):
        _, out, _ = call("compare", "before.profile", "after.parquet", "--json", *streaming)
        assert json.loads(out)["drifted"] == ["amount"]
    code, out, _ = call("profile", "before.csv", "-o", "x", "--categorical", "calm", "--json")
    found = json.loads(out)
    assert found["rows"] == 300
    assert {c["name"]: c["kind"] for c in found["columns"]}["calm"] == "categorical"


@pytest.mark.parametrize(
    "arguments",
    [
        ("compare", "none.csv", "after.parquet"),
        ("compare", "before.csv"),
        ("compare", "before.csv", "after.parquet", "--fail-on", "all"),
        ("compare", "before.csv", "after.parquet", "--map", "amount"),
        ("compare", "before.csv", "after.parquet", "--numeric", "calm", "--ignore", "calm"),
        ("compare", "before.csv", "after.parquet", "--segment", "region"),
        ("compare", "before.csv", "after.parquet", "--alpha", "2"),
        ("profile", "before.csv"),
        ("profile", "before.csv", "-o", "no/where"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(here: Path, arguments: tuple[str, ...]) -> None:
    code, out, err = call(*arguments)
    assert code == 2
    assert not out
    assert err.startswith("homeostat: ")
    assert len(err.splitlines()) == 1


def test_data_cannot_command_a_terminal(here: Path) -> None:
    name = "\x1b[31mred[bold]"
    for file in ("one.csv", "two.csv"):
        pd.DataFrame({name: np.arange(40.0) / 7, "id": range(40)}).to_csv(file, index=False)
    pd.DataFrame({"x": np.arange(40.0) / 7}).to_csv("other.csv", index=False)
    for files in (("one.csv", "two.csv"), ("one.csv", "other.csv")):
        _, out, err = call("compare", *files)
        assert "\x1b" not in out + err
        assert "red[bold]" in out


def test_help_has_an_example() -> None:
    _, out, _ = call("compare", "--help")
    assert "homeostat compare march.parquet april.parquet" in out
    _, out, _ = call("profile", "--help")
    assert "homeostat profile march.parquet -o march.profile" in out
