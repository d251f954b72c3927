"""Tables of served requests in both layouts that Databricks documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.datasets.plain import plain_files
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.errors import DataError
from homeostat.entrypoints.imports.bring import LogStore, Order, Tally, bring
from homeostat.entrypoints.imports.naming import Rows
from homeostat.entrypoints.imports.times import Times, zone_of
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, NOW, SPEC, T0

MILLIS = int(T0.timestamp() * 1000)
SPLIT = {"dataframe_split": {"columns": ["country", "amount"], "data": [["DE", 1], ["FR", 2.5]]}}
RECORDS = {"dataframe_records": [{"amount": 3, "country": "PT"}]}


@dataclass
class World:
    folder: Path
    log: FilePredictionLog
    clock: SimulatedClock

    def bring(self, table: pa.Table, **told: Any) -> Tally:
        path = self.folder / "calls.parquet"
        pq.write_table(table, path)
        order = Order(SPEC, Rows.PREDICTIONS, Times(zone_of("UTC")), calls=True, **told)
        tally = Tally()
        for file in plain_files(path):
            list(bring(order, file, LogStore(self.log, self.clock), NOW, tally))
        return tally

    @property
    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.log.rows(SPEC, ALL).to_pylist()
        return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = SimulatedClock(NOW)
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", clock)
    log = FilePredictionLog(tmp_path / "log", records, fsync=False)
    yield World(tmp_path, log, clock)
    log.close()
    records.close()


def old_layout(requests: list[Any], responses: list[Any], **more: list[Any]) -> pa.Table:
    count = len(requests)
    metadata = pa.array(
        [[("model_name", "fraud"), ("model_version", "3")]] * count,
        pa.map_(pa.string(), pa.string()),
    )
    columns: dict[str, Any] = {
        "databricks_request_id": [f"call-{n}" for n in range(count)],
        "client_request_id": [f"mine-{n}" if n else None for n in range(count)],
        "date": [T0.date()] * count,
        "timestamp_ms": [MILLIS + n for n in range(count)],
        "status_code": [200] * count,
        "sampling_fraction": [1.0] * count,
        "execution_time_ms": [12] * count,
        "request": [json.dumps(r) if isinstance(r, dict) else r for r in requests],
        "response": [json.dumps(r) if isinstance(r, dict) else r for r in responses],
        "request_metadata": metadata,
    }
    return pa.table(columns | more)


def test_the_old_layout(world: World) -> None:
    requests = [SPLIT, RECORDS, {"inputs": [[4, "ES"]]}, {"instances": [{"amount": 5}]}]
    answers = [{"predictions": [0.25, 0.75]}, {"predictions": [0.5]},
               {"predictions": [[0.9, 0.1]]}, {"predictions": [1]}]  # fmt: skip
    tally = world.bring(old_layout(requests, answers))
    assert (tally.rows, tally.accepted, tally.refused) == (4, 5, 0)
    seen = [(r["prediction_id"], r["score"], r["amount"], r["country"]) for r in world.rows]
    assert seen == [
        ("call-0:0", 0.25, 1.0, "DE"), ("call-0:1", 0.75, 2.5, "FR"), ("call-1", 0.5, 3.0, "PT"),
        ("call-2", 0.1, 4.0, "ES"), ("call-3", 1.0, 5.0, None),
    ]  # fmt: skip
    assert {(r["version"], r["latency_ms"], r["role"]) for r in world.rows} == {
        ("3", 12.0, "champion")
    }
    assert world.rows[2]["timestamp"] == T0 + timedelta(milliseconds=1)
    again = world.bring(old_layout(requests, answers))
    assert (again.accepted, again.duplicates) == (0, 5)


def test_the_new_layout(world: World) -> None:
    columns: dict[str, Any] = {
        "request_date": [T0.date()] * 3,
        "databricks_request_id": ["a", "b", "c"],
        "client_request_id": ["x", None, "z"],
        "request_time": [T0] * 3,
        "status_code": pa.array([200, 429, 200], pa.int32()),
        "sampling_fraction": [1.0] * 3,
        "execution_duration_ms": [7, 1, 2],
        "request": [json.dumps(RECORDS), json.dumps(RECORDS), None],
        "response": ['{"predictions": [0.25]}', "no", None],
        "served_entity_id": ["e1"] * 3,
        "logging_error_codes": [None, None, ["MAX_REQUEST_SIZE_EXCEEDED"]],
        "requester": ["who@example.org"] * 3,
    }
    tally = world.bring(pa.table(columns))
    assert (tally.accepted, tally.left_out, tally.refused) == (1, 1, 1)
    assert (tally.told[0].row, tally.told[0].column) == (3, "request")
    assert "MAX_REQUEST_SIZE_EXCEEDED" in tally.told[0].reason
    assert [(r["prediction_id"], r["version"], r["latency_ms"]) for r in world.rows] == [
        ("a", "e1", 7.0)
    ]
    world.bring(pa.table(columns), version="8", told={"client_request_id": "prediction_id"})
    assert [(r["prediction_id"], r["version"]) for r in world.rows] == [("a", "e1"), ("x", "8")]


@pytest.mark.parametrize(
    ("metadata", "version"),
    [
        ('{"model_version": 4}', "4"),
        ('{"model_version": null}', "9"),
        ("[", "9"),
        ("[1]", "9"),
        (None, "9"),
        ({"model_name": "m", "model_version": "5"}, "5"),
    ],
    ids=str,
)
def test_versions(world: World, metadata: object, version: str) -> None:
    table = old_layout([RECORDS], [{"predictions": [0.5]}]).drop_columns(["request_metadata"])
    table = table.append_column("request_metadata", pa.array([metadata]))
    world.bring(table, version="9")
    assert [row["version"] for row in world.rows] == [version]


def test_bodies_may_be_objects_in_json_lines(world: World) -> None:
    bodies = [(RECORDS, {"predictions": [0.5]}), ({"instances": [[2, "DE"]]}, {"predictions": [1]})]
    calls = [
        {
            "databricks_request_id": str(n),
            "timestamp_ms": MILLIS,
            "request": asked,
            "response": said,
        }
        for n, (asked, said) in enumerate(bodies)
    ]
    path = world.folder / "calls.jsonl"
    path.write_text("\n".join(map(json.dumps, calls)))
    order = Order(SPEC, Rows.PREDICTIONS, Times(zone_of("UTC")), version="1", calls=True)
    (file,) = plain_files(path)
    list(bring(order, file, LogStore(world.log, world.clock), NOW, Tally()))
    assert [(r["prediction_id"], r["amount"]) for r in world.rows] == [("0", 3.0), ("1", 2.0)]


def test_a_version_in_a_column_of_its_own(world: World) -> None:
    world.bring(old_layout([RECORDS], [{"predictions": [0.5]}], model_version=[6]))
    assert [row["version"] for row in world.rows] == ["6"]


def test_calls_that_cannot_be_read_cost_only_themselves(world: World) -> None:
    good = {"predictions": [0.5]}
    requests = [RECORDS, "{", RECORDS, SPLIT, {"dataframe_records": [{"amount": "x"}]}, RECORDS]
    answers = [good, good, '"no"', good, good, {"predictions": [float("1e999")]}]
    table = old_layout(requests, answers)
    strange = pa.array([None, MILLIS, MILLIS, MILLIS, MILLIS, MILLIS])
    tally = world.bring(table.set_column(3, "timestamp_ms", strange))
    assert [(one.row, one.column) for one in tally.told] == [
        (1, "timestamp"), (2, "request"), (3, "response"), (4, "request"), (5, "amount"),
        (6, "score"),
    ]  # fmt: skip
    assert tally.accepted == 0
    assert len(world.log.quarantined(SPEC.name)) == 6
    nameless = old_layout([RECORDS], [good], databricks_request_id=[None], client_request_id=[""])
    assert [(one.column, one.reason) for one in world.bring(nameless).told] == [
        ("databricks_request_id", "is missing")
    ]
    odd = old_layout(
        [RECORDS] * 2, [good] * 2, status_code=["200", "x"], execution_time_ms=["?", "0"]
    )
    assert (world.bring(odd.slice(0, 1)).accepted, world.bring(odd.slice(1)).left_out) == (1, 1)


def test_what_is_no_inference_table_is_told(world: World) -> None:
    with pytest.raises(DataError, match="no column says response: this is no inference table"):
        world.bring(pa.table({"request": ["{}"]}))
    table = old_layout([RECORDS], [{"predictions": [0.5]}])
    with pytest.raises(DataError, match="only prediction_id can be mapped"):
        world.bring(table, told={"date": "timestamp"})
    with pytest.raises(DataError, match="there is no column 'x' to map"):
        world.bring(table, told={"x": "prediction_id"})


def test_an_interrupted_import_goes_on_where_it_was(world: World) -> None:
    rows = 80_000
    path = world.folder / "rows.csv"
    moments = (int(T0.timestamp()) + n for n in range(rows))
    path.write_text("ts,score,version\n" + "".join(f"{at},0.5,1\n" for at in moments))
    order = Order(SPEC, Rows.PREDICTIONS, Times(zone_of("UTC")))
    (file,) = plain_files(path)
    first = bring(order, file, LogStore(world.log, world.clock), NOW, Tally())
    done = next(first)
    del first
    tally = Tally()
    list(bring(order, file, LogStore(world.log, world.clock), NOW, tally))
    assert 0 < done < rows
    assert (tally.accepted, tally.duplicates) == (rows - done, done)
    assert len(world.log.rows(SPEC, ALL, ["score"])) == rows


def test_it_rolls_when_much_has_landed(tmp_path: Path) -> None:
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", SystemClock())
    log = FilePredictionLog(tmp_path / "log", records, fsync=False, most_landed=1_000_000)
    path = tmp_path / "rows.csv"
    moments = (int(T0.timestamp()) + n for n in range(100_000))
    path.write_text("ts,score,version\n" + "".join(f"{at},0.5,1\n" for at in moments))
    order, tally = Order(SPEC, Rows.PREDICTIONS, Times(zone_of("UTC"))), Tally()
    store = LogStore(log, SystemClock())
    (file,) = plain_files(path)
    list(bring(order, file, store, NOW, tally))
    store.finish()
    status = log.status()
    assert (tally.accepted, status.predictions, status.landed) == (100_000, 100_000, 0)
    log.close()
    records.close()
