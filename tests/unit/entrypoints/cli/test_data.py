import json
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable

from homeostat.adapters.clock import SystemClock
from homeostat.entrypoints.bootstrap import Deployment, open_deployment
from homeostat.entrypoints.cli import homeostat, run
from homeostat.entrypoints.export import Format, export
from homeostat.entrypoints.settings import load
from homeostat.simulation.conformance.log import T0, labels, predictions

ADA = "ada@example.org"
CONFIG = """\
personal_key_env: HOMEOSTAT_TEST_KEY
models:
  - name: fraud
    task: binary
    classes: [legitimate, fraud]
    entity: card
    entity_personal: {way}
    features: {{amount: numeric, country: categorical}}
    labels: {{maturity: 3650d}}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOMEOSTAT_TEST_KEY", "a secret of some length")
    (tmp_path / "homeostat.yaml").write_text(CONFIG.format(way="keep"))
    return tmp_path


def server(here: Path) -> Deployment:
    return open_deployment(load(here / "homeostat.yaml"), SystemClock())


def fill(here: Path) -> None:
    opened = server(here)
    (spec,) = (plan.spec for plan in opened.plans.values())
    rows = predictions([f"id {i}" for i in range(10)])
    rows = rows.set_column(6, "entity", pa.array([ADA, "bob"] * 5))
    opened.log.append(spec, rows)
    opened.log.append_labels(spec, labels(["id 0", "id 1"], 1.0, T0))
    opened.log.append(spec, predictions(["bad"], score=float("nan")))
    opened.log.roll(T0)
    opened.close()


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(homeostat, ["data", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_an_erasure_tells_what_it_removed_and_proves_it(here: Path) -> None:
    fill(here)
    code, out = call("erase", "fraud", "--entity", ADA, "--wait", "0")
    assert code == 0
    assert "5 predictions, 1 labels and 0 refused rows of fraud removed" in out
    assert out.rstrip().endswith("nothing is left")
    assert ADA not in out
    code, out = call("erase", "fraud", "--prediction", "id 1", "--json")
    report = json.loads(out)
    assert (code, report["complete"], report["predictions"], report["labels"]) == (0, True, 1, 1)
    assert report["searched"]["found"] == []


def test_a_segment_that_is_held_is_told_with_exit_code_1(here: Path) -> None:
    fill(here)
    opened = server(here)
    (spec,) = (plan.spec for plan in opened.plans.values())
    opened.log.append(spec, predictions(["more"]).set_column(6, "entity", pa.array([ADA])))
    code, out = call("erase", "fraud", "--entity", ADA, "--wait", "0.3")
    assert code == 1
    assert "STILL HELD: landing/" in out
    assert "STILL FOUND: log/landing/" in out
    opened.close()
    assert call("erase", "fraud", "--entity", ADA)[0] == 0


def test_a_hashed_entity_is_erased_by_the_name_that_was_sent(here: Path) -> None:
    (here / "homeostat.yaml").write_text(CONFIG.format(way="hash"))
    fill(here)
    code, out = call("erase", "fraud", "--entity", ADA, "--json")
    assert (code, json.loads(out)["predictions"]) == (0, 5)


def test_an_erasure_needs_one_target(here: Path) -> None:
    fill(here)
    for more in ((), ("--entity", "a", "--prediction", "b")):
        assert run(["data", "erase", "fraud", *more]) == 2


def test_verify_and_repair_say_what_is_wrong_and_what_was_done(here: Path) -> None:
    fill(here)
    checked = "checked: 12 rows in 2 files, 1 segments, 1 profiles"
    assert call("verify") == (0, f"no problems\n{checked}\n")
    (keys,) = (here / "homeostat-data/log/predictions").rglob("*.keys")
    keys.unlink()
    (here / "homeostat-data/log/x").touch()
    code, out = call("verify")
    assert code == 1
    assert "its key file" in out
    assert "not part of the log: x" in out
    assert json.loads(call("verify", "--json")[1])["problems"][0]["trouble"] == "keys"
    code, out = call("repair")
    assert code == 0
    assert "its key file was made anew; 0 rows recovered, 0 lost" in out
    (path,) = (here / "homeostat-data/log/labels").rglob("*.parquet")
    path.write_bytes(b"junk")
    code, out = call("repair", "--json")
    assert (code, json.loads(out)["lost"]) == (1, 2)
    assert call("verify")[0] == 0


def test_files_older_than_checksums_are_told(here: Path) -> None:
    fill(here)
    (path,) = (here / "homeostat-data/log/labels").rglob("*.parquet")
    old = path.with_name("old.parquet")
    for end in (".parquet", ".keys"):
        path.with_suffix(end).rename(old.with_suffix(end))
    with sqlite3.connect(here / "homeostat-data/records.db") as database:
        database.execute("UPDATE log_files SET path = replace(path, ?, ?)", (path.name, old.name))
    code, out = call("verify")
    assert (code, "1 files are older than checksums" in out) == (0, True)


def test_tidy_applies_retention(here: Path) -> None:
    config = here / "homeostat.yaml"
    config.write_text(
        CONFIG.format(way="keep").replace("3650d", "1d") + "    retention: {records: 30d}\n"
    )
    fill(here)
    code, out = call("tidy")
    assert (code, "2 were removed with 12 rows" in out) == (0, True)
    assert json.loads(call("tidy", "--json")[1]) == {
        "stripped": 0,
        "removed": 0,
        "rows": 0,
        "merged": 0,
    }


@pytest.mark.parametrize("form", ["parquet", "csv", "arrow"])
def test_an_export_has_all_rows_with_their_labels(here: Path, form: str) -> None:
    fill(here)
    target = here / f"out.{form}"
    code, out = call(
        *("export", "fraud", "--from", "2024-01-01", "--to", "2024-01-02", "--format", form),
        *("-o", str(target)),
    )
    assert (code, out) == (0, "10 rows\n")
    if form == "parquet":
        table = pq.read_table(target)
    elif form == "csv":
        table = pacsv.read_csv(target)
    else:
        with pa.ipc.open_stream(target.read_bytes()) as reader:
            table = reader.read_all()
    assert table.column("prediction_id").to_pylist() == [f"id {i}" for i in range(10)]
    assert table.column("label").to_pylist() == [1.0, 1.0] + [None] * 8
    assert list(here.glob("*.part")) == []


def test_an_export_goes_to_standard_output_too(here: Path) -> None:
    fill(here)
    code, out = call("export", "fraud", "--no-labels", "--format", "csv", "-o", "-")
    assert code == 0
    assert out.count("\n") == 11
    assert '"label"' not in out.splitlines()[0]
    assert call("export", "fraud", "--as-of", "2023-01-01", "-o", "x.parquet")[0] == 0
    assert pq.read_table(here / "x.parquet").column("label").null_count == 10


def test_an_export_that_cannot_be_written_says_so(here: Path) -> None:
    fill(here)
    assert run(["data", "export", "fraud", "-o", "none/x.parquet"]) == 3
    wrong = ("--from", "2024-01-02", "--to", "2024-01-01", "-o", "x")
    assert run(["data", "export", "fraud", *wrong]) == 2


def test_refused_rows_are_listed_mended_replayed_and_dropped(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(here)
    code, out = call("quarantine", "list", "fraud")
    assert (code, "is missing, NaN or infinite" in out) == (0, True)
    listed = json.loads(call("quarantine", "list", "fraud", "--json")[1])
    ((entry,), (count,)) = listed["quarantine"], listed["counts"]
    number = str(entry["number"])
    assert (entry["row"]["prediction_id"], count["rows"]) == ("bad", 1)
    assert "number" not in call("quarantine", "list", "fraud", "--counts")[1]
    assert '"prediction_id": "bad"' in call("quarantine", "show", "fraud", number)[1]
    assert json.loads(call("quarantine", "show", "fraud", number, "--json")[1])["quarantine"]
    code, out = call("quarantine", "replay", "fraud")
    assert (code, "1 still refused" in out) == (1, True)
    assert run(["data", "quarantine", "fix", "fraud", number]) == 2
    assert run(["data", "quarantine", "fix", "fraud", number, "--set", "score=x"]) == 2
    assert call("quarantine", "fix", "fraud", number, "--set", "score=0.5")[0] == 0
    monkeypatch.setattr("click.edit", lambda text, **_: text.replace("DE", "FR"))
    assert '"FR"' in call("quarantine", "fix", "fraud", number, "--edit")[1]
    assert call("quarantine", "fix", "fraud", number, "--remove", "latency_ms")[0] == 0
    monkeypatch.setattr("click.edit", lambda *_, **__: None)
    assert '"FR"' in call("quarantine", "fix", "fraud", number, "--edit")[1]
    done = json.loads(call("quarantine", "replay", "fraud", number, "--json")[1])
    assert done == {"accepted": 1, "duplicates": 0, "refused": []}
    assert "no refused rows" in call("quarantine", "list", "fraud")[1]
    opened = server(here)
    spec = opened.plans["fraud"].spec
    opened.log.append(spec, predictions(["x", "y", "z"], score=float("nan")))
    opened.log.refuse(spec, "predictions", [("", "no row", '"text"')])
    opened.close()
    numbers = [
        str(entry["number"])
        for entry in json.loads(call("quarantine", "list", "fraud", "--json")[1])["quarantine"]
    ]
    assert run(["data", "quarantine", "fix", "fraud", numbers[0], "--set", "score=1"]) == 2
    assert run(["data", "quarantine", "drop", "fraud"]) == 2
    assert call("quarantine", "drop", "fraud", numbers[1]) == (0, "1 refused rows dropped\n")
    assert call("quarantine", "drop", "fraud", "--all") == (0, "3 refused rows dropped\n")


def test_lists_are_json_in_csv(here: Path) -> None:
    rows = pa.table({"probabilities": pa.array([[0.25, 0.75], None], pa.list_(pa.float64()))})
    target = here / "x.csv"
    assert export([rows], target, Format.CSV) == 2
    assert target.read_text() == '"probabilities"\n"[0.25, 0.75]"\n\n'


def test_delta_tables_take_what_is_new(here: Path) -> None:
    fill(here)
    delta = ["export", "fraud", "--format", "delta", "-o", "out"]
    assert call(*delta) == (0, "10 predictions, 2 labels added\n")
    assert call(*delta) == (0, "0 predictions, 0 labels added\n")
    assert call(*delta, "--again") == (0, "0 predictions, 0 labels added\n")
    assert DeltaTable("out/predictions").to_pyarrow_table().num_rows == 10
    assert call(*delta, "--no-labels")[0] == 2
    assert call("export", "fraud", "-o", "out.parquet", "--again")[0] == 2
