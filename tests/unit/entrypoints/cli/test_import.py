"""`homeostat import`, as a user would call it."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from homeostat.adapters.clock import SystemClock
from homeostat.domain.window import Window
from homeostat.entrypoints.bootstrap import open_deployment
from homeostat.entrypoints.cli import run
from homeostat.entrypoints.settings import load

NOW = SystemClock().now().replace(microsecond=0)
DAY = timedelta(days=1)
START = NOW - 20 * DAY
CONFIG = """\
models:
  - name: fraud
    task: binary
    classes: [legitimate, fraud]
    entity: card
    features: {amount: numeric, country: categorical, known: boolean}
    outcomes: [lost, bought]
    history: {label: is_fraud}
    labels: {maturity: 30d, audit: {column: audited, maturity: 1d}}
  - name: tone
    task: multiclass
    classes: [bad, neutral, good]
    features: {words: numeric}
    labels: {maturity: 30d}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "homeostat.yaml").write_text(CONFIG)
    return tmp_path


def call(*arguments: str) -> tuple[int, str]:
    """Run the command; return exit code and what it says."""
    runner = CliRunner()
    with runner.isolation() as (out, err, _):
        code = run(["import", *arguments])
    return code, out.getvalue().decode() + err.getvalue().decode()


def figures(*arguments: str) -> dict[str, Any]:
    code, text = call(*arguments, "--json")
    assert code in {0, 1}, text
    found: dict[str, Any] = json.loads(text)
    return found


def stored(here: Path, model: str = "fraud", columns: list[str] | None = None) -> list[Any]:
    """Return the log's rows of the last days with their labels, in order."""
    deployment = open_deployment(load(here / "homeostat.yaml"), SystemClock())
    try:
        spec = deployment.plans[model].spec
        window = Window(START - DAY, NOW + DAY)
        return deployment.log.labelled(spec, window, NOW + DAY, columns).to_pylist()
    finally:
        deployment.close()


def lines(count: int, extra: str = "") -> str:
    head = "request_id;when;Probability;Amount;country;known;card;more\n"
    when = [(START + n * timedelta(hours=1)).timestamp() for n in range(count)]
    made = (f"00{n};{when[n]:.0f};0,{n}5;{n},5;NA;yes;c{n};?\n" for n in range(count))
    return head + "".join(made) + extra


def test_predictions_of_a_file_as_people_have_them(here: Path) -> None:
    (here / "old.csv").write_text(lines(3, "003;x;0,5;1;DE;no;c;?\n004;5\n005;;1;q;;;;\n"))
    arguments = ("fraud", "old.csv", "--version", "7", "--map", "when=timestamp")
    found = figures(*arguments)
    assert [found[n] for n in ("rows", "accepted", "duplicates", "refused")] == [6, 3, 0, 3]
    refusals = [(r["row"], r["column"], r["reason"]) for r in found["refusals"]]
    assert refusals == [
        (4, "timestamp", refusals[0][2]),
        (5, "", "has 2 cells, not 8"),
        (6, "amount", "must be a number, not 'q'"),
    ]
    assert "must be a time" in refusals[0][2]
    rows = stored(here)
    assert [row["prediction_id"] for row in rows] == ["000", "001", "002"]
    assert rows[1] | {"latency_ms": None} == {
        "prediction_id": "001", "timestamp": START + timedelta(hours=1), "version": "7",
        "role": "champion", "tier": "model", "reason": "", "entity": "c1", "score": 0.15,
        "prediction": 0.0, "latency_ms": None, "amount": 1.5, "country": "NA", "known": True,
        "audited": None, "label": None, "arrival": None, "arm_share": None,
    }  # fmt: skip
    code, text = call(*arguments)
    assert code == 1
    assert "0 taken, 3 known already, 3 refused" in text
    assert "score from 'Probability' (a guess)" in text
    assert "timestamp from 'when'\n" not in text
    assert "not used: 'more'" in text
    assert "missing in all rows: audited" not in text
    assert "old.csv, row 5:" in text
    assert len(stored(here)) == 3


def test_a_server_may_be_running(here: Path) -> None:
    (here / "old.csv").write_text(lines(3))
    arguments = ("fraud", "old.csv", "--version", "7", "--map", "when=timestamp")
    server = open_deployment(load(here / "homeostat.yaml"), SystemClock())
    spec, window = server.plans["fraud"].spec, Window(START - DAY, NOW + DAY)
    assert figures(*arguments)["accepted"] == 3
    rows = server.log.rows(spec, window)
    assert server.log.append(spec, rows).duplicates == 3
    more = rows.set_column(0, "prediction_id", pa.array(["x", "y", "z"]))
    assert server.log.append(spec, more).accepted == 3
    assert figures(*arguments)["duplicates"] == 3
    server.log.roll(NOW)
    assert len(server.log.rows(spec, window)) == 6
    server.close()


def test_ids_are_made_where_there_are_none(here: Path) -> None:
    times = [START + n * DAY for n in range(4)]
    table = pa.table({"timestamp": times, "version": ["1", None, "1", "1"], "score": [0.5] * 4})
    for name in ("a.parquet", "copy.parquet"):
        pq.write_table(table, here / name)
    pq.write_table(table.set_column(2, "score", pa.array([0.25] * 4)), here / "other.parquet")
    assert figures("fraud", "a.parquet", "--version", "2")["accepted"] == 4
    assert figures("fraud", "copy.parquet", "--version", "2")["duplicates"] == 4
    assert figures("fraud", "other.parquet", "--version", "2")["accepted"] == 4
    rows = stored(here)
    assert len({row["prediction_id"] for row in rows}) == 8
    assert sorted(row["version"] for row in rows) == ["1"] * 6 + ["2"] * 2
    found = figures("fraud", "a.parquet")
    assert [found["refusals"][0][n] for n in ("row", "column", "reason")] == [
        2, "version", "is missing",
    ]  # fmt: skip


def test_labels_late_and_corrected(here: Path) -> None:
    (here / "old.csv").write_text(lines(4))
    figures("fraud", "old.csv", "--version", "7", "--map", "when=timestamp")
    (here / "l.csv").write_text("request id,is_fraud\n000,fraud\n001,0\n002,\n003,maybe\n")
    os.utime(here / "l.csv", (0, (NOW - 2 * DAY).timestamp()))
    arguments = ("fraud", "l.csv", "--kind", "labels")
    found = figures(*arguments)
    assert [found[n] for n in ("accepted", "left_out", "refused")] == [2, 1, 1]
    assert figures(*arguments)["duplicates"] == 2
    said = [(row["label"], row["arrival"]) for row in stored(here, columns=["score"])]
    assert said == [(1.0, NOW - 2 * DAY), (0.0, NOW - 2 * DAY), (None, None), (None, None)]
    corrected = {"prediction_id": "000", "label": 0, "arrival": (NOW - DAY).isoformat()}
    (here / "l.ndjson").write_text(json.dumps(corrected))
    assert figures("fraud", "l.ndjson", "--kind", "labels")["accepted"] == 1
    later = ("fraud", "l.csv", "--kind", "labels", "--arrival", NOW.isoformat())
    assert figures(*later)["accepted"] == 2
    assert [row["label"] for row in stored(here, columns=["score"])][:2] == [1.0, 0.0]


def test_outcomes_in_rows_and_in_columns(here: Path) -> None:
    (here / "old.csv").write_text(lines(3))
    figures("fraud", "old.csv", "--version", "7", "--map", "when=timestamp")
    (here / "long.csv").write_text("id,outcome,value\n000,lost,12.5\n001,won,1\n,lost,1\n002,,1\n")
    found = figures("fraud", "long.csv", "--kind", "outcomes")
    assert (found["accepted"], found["refused"]) == (1, 3)
    (here / "wide.csv").write_text("id,lost,bought\n001,3,1\n002,,\n002,x,1\n")
    found = figures("fraud", "wide.csv", "--kind", "outcomes")
    assert [found[n] for n in ("rows", "accepted", "left_out", "refused")] == [3, 2, 1, 1]
    rows = stored(here, columns=["lost", "bought"])
    assert [(row["lost"], row["bought"]) for row in rows] == [
        (12.5, None), (3.0, 1.0), (None, None),
    ]  # fmt: skip


def test_classes_and_probabilities(here: Path) -> None:
    rows = [
        {"id": "a", "ts": NOW.timestamp() - 60, "probabilities": [0.25, 0.25, 0.5], "words": 3},
        {"id": "b", "ts": NOW.timestamp() - 50, "prediction": "neutral"},
        {"id": "c", "ts": NOW.timestamp() - 40, "probabilities": [0.5, 0.5]},
        {"id": "d", "ts": NOW.timestamp() - 30},
    ]
    (here / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = figures("tone", "t.jsonl", "--version", "1")
    assert [(r["row"], r["column"]) for r in found["refusals"]] == [
        (3, "probabilities"), (4, "score"),
    ]  # fmt: skip
    taken = stored(here, "tone")
    assert [(r["prediction_id"], r["score"], r["prediction"]) for r in taken] == [
        ("a", 2.0, 2.0), ("b", 1.0, 1.0),
    ]  # fmt: skip


def test_roles_and_tiers_are_those_that_there_are(here: Path) -> None:
    made = {"timestamp": NOW.isoformat(), "version": "1", "score": 0.5}
    said = (("shadow", "model"), ("boss", "model"), (None, "ghost"), ("arm:2", "default"))
    rows = [made | {"prediction_id": role, "role": role, "tier": tier} for role, tier in said]
    (here / "r.ndjson").write_text("\n".join(map(json.dumps, rows)))
    found = figures("fraud", "r.ndjson")
    assert [(r["row"], r["column"], r["reason"]) for r in found["refusals"]] == [
        (
            2,
            "role",
            "must be one of champion, challenger, shadow, override, arm:VERSION, not 'boss'",
        ),
        (3, "prediction_id", "is missing"),
    ]
    assert sorted(row["role"] for row in stored(here)) == ["arm:2", "shadow"]


def test_a_trial_stores_nothing(here: Path) -> None:
    (here / "old.csv").write_text(lines(2, "x;9999999999;0,5;;;;;\n"))
    arguments = ("fraud", "old.csv", "--version", "7", "--map", "when=timestamp", "--dry-run")
    found = figures(*arguments)
    assert (found["accepted"], found["refused"], found["dry_run"]) == (2, 1, True)
    assert "lies in the future" in found["refusals"][0]["reason"]
    assert "2 would be taken" in call(*arguments)[1]
    assert not (here / "homeostat-data").exists()


def test_several_files_folders_and_patterns(here: Path) -> None:
    (here / "year").mkdir()
    for day in range(3):
        stamp = (START + day * DAY).isoformat()
        text = f"prediction_id,timestamp,version,score\n{day},{stamp},1,0.5\n"
        (here / "year" / f"{day}.csv").write_text(text)
    assert figures("fraud", "year/[01].csv")["accepted"] == 2
    assert figures("fraud", "year")["accepted"] == 1
    assert figures("fraud", "year/0.csv", "year/1.csv")["duplicates"] == 2
    code, text = call("fraud", "month/*.csv")
    assert (code, "no file matches month/*.csv" in text) == (2, True)


def test_zone_unit_and_form_of_times(here: Path) -> None:
    head = "prediction_id,timestamp,version,score\n"
    noon = NOW.replace(hour=12, minute=0, second=0) - 5 * DAY
    (here / "z.csv").write_text(f"{head}a,{noon:%Y-%m-%d %H:%M},1,0.5\n")
    (here / "u.csv").write_text(f"{head}b,{noon.timestamp():.0f}000000,1,0.5\n")
    (here / "f.csv").write_text(f"{head}c,{noon:%d/%m/%Y},1,0.5\n")
    assert figures("fraud", "z.csv", "--zone", "Asia/Tokyo")["accepted"] == 1
    assert figures("fraud", "u.csv", "--time-unit", "us")["accepted"] == 1
    assert figures("fraud", "f.csv", "--time-format", "%d/%m/%Y")["accepted"] == 1
    times = {row["prediction_id"]: row["timestamp"] for row in stored(here)}
    assert times == {"a": noon - 9 * timedelta(hours=1), "b": noon, "c": noon - DAY / 2}


def test_old_rows_are_warned_of(here: Path) -> None:
    head = "prediction_id,timestamp,version,score\n"
    for name, age in (("a.csv", 100), ("b.csv", 500)):
        (here / name).write_text(f"{head}a,{(NOW - age * DAY).isoformat()},1,0.5\n")
    assert "will lose their features" in call("fraud", "a.csv")[1]
    assert "will be deleted again" in call("fraud", "b.csv", "--dry-run")[1]


def test_another_file_than_was_meant_is_not_taken_to_its_end(here: Path) -> None:
    (here / "l.csv").write_text("id,label\n" + "a,maybe\n" * 50_000)
    code, text = call("fraud", "l.csv", "--kind", "labels", "--most-refused", "100")
    assert code == 2
    assert "more than 100 rows were refused" in text
    assert "row 1 of l.csv: label must be one of legitimate, fraud, not 'maybe'" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fraud", "l.csv"), "l.csv: no column says timestamp"),
        (("fraud", "p.csv"), "give --version for all of them"),
        (("fraud", "p.csv", "--map", "score"), "is not THEIRS=OURS"),
        (("fraud", "p.csv", "--map", "x=score"), "there is no column 'x' to map"),
        (("fraud", "p.csv", "--zone", "Nowhere"), "no time zone 'Nowhere'"),
        (("fraud", "p.csv", "--arrival", "soon"), "is no time"),
        (("fraud", "p.csv", "--arrival", "2024-01-01"), "has no time zone"),
        (("fraud", "none.csv"), "there is no file none.csv"),
        (("other", "p.csv"), "no model named 'other'"),
        (("fraud",), "Missing argument"),
        (("fraud", "l.csv", "--kind", "labels", "--format", "inference-table"), "leave --kind out"),
    ],
)
def test_mistakes_are_told(here: Path, arguments: tuple[str, ...], message: str) -> None:
    (here / "l.csv").write_text("prediction_id,label\na,1\n")
    (here / "p.csv").write_text(f"timestamp,score\n{NOW.isoformat()},0.5\n")
    code, text = call(*arguments)
    assert code == 2
    assert message in " ".join(text.split())


def test_hostile_text_is_shown_harmless(here: Path) -> None:
    text = "prediction_id,label,\x1b[31mred\na,\x1b[2J,1\n"
    (here / "l.csv").write_text(text)
    code, said = call("fraud", "l.csv", "--kind", "labels")
    assert (code, "\x1b" in said, "\\x1b[31mred" in said) == (1, False, True)
