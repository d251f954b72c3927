"""``retraining.checks``: what is read of them, and every mistake with its place."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.domain.errors import ConfigError
from homeostat.entrypoints.expected import expectations, with_expectations
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.settings.deployment import Settings
from homeostat.entrypoints.settings.plan import model_plan
from homeostat.retraining.gate.behaviour import Change, Direction

HEAD = """\
models:
  - name: fraud
    task: binary
    features:
      amount: {kind: numeric, nullable: false}
      country: categorical
      new: boolean
    labels: {maturity: 1d}
"""
TRAINED = HEAD + "    retraining: {trainer: 'train.py:train', checks: {%s}}\n"
ROWS = "known: {rows: [{amount: 900, country: PT}, {amount: 1}], min: 0.8, share: 0.5}"


def configured(folder: Path, checks: str) -> Settings:
    (folder / "homeostat.yaml").write_text(TRAINED.replace("%s", checks))
    return load(folder / "homeostat.yaml")


def test_rows_may_stand_in_the_file_and_what_is_not_named_is_missing(tmp_path: Path) -> None:
    (found,) = expectations(configured(tmp_path, ROWS), "fraud")
    assert found.rows is not None
    assert found.rows.to_pydict() == {
        "amount": [900.0, 1.0], "country": ["PT", None], "new": [None, None],
    }  # fmt: skip
    assert (found.name, found.low, found.share) == ("known", 0.8, 0.5)


def test_rows_may_be_a_file_or_the_holdout(tmp_path: Path) -> None:
    table = pa.table({"amount": [1, 2], "new": [True, None], "country": [None, None]})
    pq.write_table(table, tmp_path / "rows.parquet")
    (tmp_path / "rows.csv").write_text("amount,country\n5,DE\n")
    more = "more: {change: {amount: {times: 2, add: 1}}, score: up, tolerance: 0.1}"
    text = f"a: {{rows: rows.parquet, max: 1}}, b: {{rows: rows.csv, min: 0}}, {more}"
    one, two, three = expectations(configured(tmp_path, text), "fraud")
    assert one.rows is not None
    assert one.rows["new"].to_pylist() == [True, None]
    assert two.rows is not None
    assert two.rows.to_pylist() == [{"amount": 5.0, "country": "DE", "new": None}]
    assert three.rows is None
    assert three.changes == (Change("amount", None, 2.0, 1.0),)
    assert (three.direction, three.tolerance) == (Direction.UP, 0.1)


def test_they_are_part_of_the_plan_of_the_engine(tmp_path: Path) -> None:
    settings = configured(tmp_path, ROWS)
    plan = model_plan(settings, "fraud")
    made = with_expectations(settings, plan).retraining
    assert made is not None
    assert [asked.name for asked in made.expected] == ["known"]
    (tmp_path / "homeostat.yaml").write_text(HEAD)
    plain = load(tmp_path / "homeostat.yaml")
    assert expectations(plain, "fraud") == ()
    alone = model_plan(plain, "fraud")
    assert with_expectations(plain, alone) is alone


@pytest.mark.parametrize(
    ("checks", "said"),
    [
        ("a: {rows: none.csv, min: 0}", "retraining.checks.a: there is no file"),
        ("a: {rows: [{amuont: 1}], min: 0}", "'amuont' is no feature; did you mean 'amount'?"),
        ("a: {rows: [{country: PT}], min: 0}", "has no 'amount', which may not be missing"),
        ("a: {rows: [{amount: PT}], min: 0}", "row 1 has a wrong 'amount'"),
        ("a: {rows: [{amount: 1}, {amount: x}], min: 0}", "values of several kinds for 'amount'"),
        ("a: {change: {country: {add: 1}}, score: up}", "change.country: 'country' is no number"),
        ("a: {change: {amount: {set: x}}, score: up}", "'amount' is numeric; set a value of that"),
        ("a: {change: {amount: {set: true}}, score: up}", "'amount' is numeric"),
        ("a: {change: {amuont: {set: 1}}, score: up}", "'amuont' is no feature"),
    ],
)
def test_mistakes_about_features_are_told_with_their_place(
    tmp_path: Path, checks: str, said: str
) -> None:
    settings = configured(tmp_path, checks)
    with pytest.raises(ConfigError) as caught:
        expectations(settings, "fraud")
    assert said in str(caught.value)


def test_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeostat.entrypoints.expected.MOST_ROWS", 1)
    (tmp_path / "rows.csv").write_text("amount\n5\n6\n")
    with pytest.raises(ConfigError, match="has 2 rows; give at most 1"):
        expectations(configured(tmp_path, "a: {rows: rows.csv, min: 0}"), "fraud")


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("{}", "expects nothing"),
        ("{min: 0.9, max: 0.1}", "is above max"),
        ("{change: {amount: {times: 2}}}", "change and score stand together"),
        ("{score: up}", "change and score stand together"),
        ("{change: {amount: {}}, score: up}", "needs either set, or times and add"),
        ("{change: {amount: {set: 1, add: 1}}, score: up}", "needs either set, or times and add"),
        ("{min: 0, share: 0}", "share"),
        ("{change: {amount: {add: 1}}, score: sideways}", "'sideways' is not known"),
    ],
)
def test_mistakes_are_told_as_the_file_is_read(tmp_path: Path, check: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, f"a: {check}")
    assert said in str(caught.value)
