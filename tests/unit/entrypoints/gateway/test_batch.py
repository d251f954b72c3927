"""Requests as columns."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

from homeostat.domain.admission import MAX_AHEAD
from homeostat.domain.model import Column, ColumnKind, Schema
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway.answered import Answered
from homeostat.entrypoints.gateway.batch import InputError, rows_to_table, to_batch
from unit.entrypoints.gateway.gateway_world import World

GOOD = {"amount": 5, "age": 30.5, "land": "DE", "card": "anna", "audited": True}


def test_rows_become_columns_and_absent_fields_missing_values(world: World) -> None:
    rows = [
        GOOD,
        {"amount": None, "prediction_id": "mine", "timestamp": "2024-05-01T13:00:00+02:00"},
    ]
    batch = to_batch(world.spec, rows_to_table(world.spec, rows), world.clock.now(), "s")
    assert batch.features.to_pylist() == [
        {"amount": 5.0, "age": 30.5, "land": "DE", "audited": True},
        {"amount": None, "age": None, "land": None, "audited": None},
    ]
    assert batch.entities == ["anna", ""]
    assert batch.ids[1] == "mine"
    assert batch.keys == ["anna", "mine"]
    assert batch.meta["timestamp"].to_pylist() == [
        world.clock.now(),
        world.clock.now() - timedelta(hours=1),
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"amount": "12"}, "row 1, column 'amount': '12' is not a number"),
        ({"amount": True}, "row 1, column 'amount': True is not a number"),
        ({"amount": 2**70}, "row 1, column 'amount': 1180591620717411303424 is not a number"),
        ({"land": 5}, "row 1, column 'land': 5 is not a text"),
        ({"audited": 1}, "row 1, column 'audited': 1 is not true or false"),
        ({"amuont": 5}, "row 1, column 'amuont': no such field; there are amount, age, land"),
        ({"timestamp": "2024-05-01"}, "row 1, column 'timestamp': '2024-05-01' is not a time"),
        ({"timestamp": 5}, "row 1, column 'timestamp': 5 is not a time"),
        ({"land": ["x" * 500]}, "row 1, column 'land': \\['x+... is not a text"),
    ],
)
def test_what_is_wrong_is_named_with_row_and_column(
    world: World, wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        rows_to_table(world.spec, [GOOD, GOOD | wrong])


def test_required_value(world: World) -> None:
    strict = Schema((Column("amount", ColumnKind.NUMERIC, nullable=False),))
    spec = replace(world.spec, schema=strict)
    table = pa.table({"amount": [1.0, None]})
    with pytest.raises(InputError, match="row 1, column 'amount': a value is required"):
        to_batch(spec, table, world.clock.now(), "s")
    with pytest.raises(InputError, match="row 0, column 'amount'"):
        to_batch(spec, pa.table({"card": ["anna"]}), world.clock.now(), "s")


def test_rows_in_which_nothing_is_given_are_rows(world: World) -> None:
    batch = to_batch(world.spec, rows_to_table(world.spec, [{}, {}]), world.clock.now(), "s")
    assert batch.size == 2
    assert batch.features["amount"].to_pylist() == [None, None]
    columns = (Column("amount", ColumnKind.NUMERIC, nullable=False),)
    strict = replace(world.spec, schema=Schema(columns))
    with pytest.raises(InputError, match="row 0, column 'amount': a value is required"):
        to_batch(strict, rows_to_table(strict, [{}]), world.clock.now(), "s")


def test_columns_of_the_wrong_type_or_name(world: World) -> None:
    with pytest.raises(InputError, match="column 'amount': is not a number"):
        to_batch(world.spec, pa.table({"amount": ["x"]}), world.clock.now(), "s")
    with pytest.raises(InputError, match="column 'amuont': no such field"):
        to_batch(world.spec, pa.table({"amuont": [1.0]}), world.clock.now(), "s")


def test_ids_are_reproducible_and_differ_between_requests(world: World, rows: pa.Table) -> None:
    one, same, other = (
        to_batch(world.spec, rows, world.clock.now(), salt).ids for salt in ("1", "1", "2")
    )
    assert one == same
    assert len({*one, *other}) == 8


@pytest.mark.parametrize("rows", [1, 3, 40])
@pytest.mark.parametrize("column", ["prediction_id", "entity", "card"])
def test_long_ids_and_entities_are_refused(world: World, column: str, rows: int) -> None:
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1"))

    def ask(length: int) -> Answered:
        names = [f"{row:02}" + "é" * (length - 2) for row in range(rows)]
        names[:-1] = [f"short {row}" for row in range(rows - 1)]
        return asyncio.run(gateway.answer("fraud", [{"amount": 1.0, column: n} for n in names]))

    assert set(ask(1000).tier) == {"model"}
    with pytest.raises(InputError, match="has more than 1000 characters") as refused:
        ask(1001)
    assert (refused.value.row, refused.value.column) == (rows - 1, column)


def test_id_twice_in_a_request(world: World, rows: pa.Table) -> None:
    twice = rows.append_column("prediction_id", pa.array(["a", "b", "a", None]))
    with pytest.raises(InputError, match="row 2, column 'prediction_id': 'a' occurs twice"):
        to_batch(world.spec, twice, world.clock.now(), "s")


def test_a_timestamp_that_the_log_would_not_take(world: World) -> None:
    now = world.clock.now()
    latest = now + MAX_AHEAD
    fine = pa.table({"timestamp": [None, latest]})
    assert to_batch(world.spec, fine, now, "s").meta["timestamp"].to_pylist() == [now, latest]
    late = pa.table({"timestamp": [None, latest, latest + timedelta(microseconds=1)]})
    with pytest.raises(InputError, match="row 2, column 'timestamp': lies more than 5 minutes in"):
        to_batch(world.spec, late, now, "s")


def test_entity_that_is_a_feature_or_given_by_name(world: World, rows: pa.Table) -> None:
    spec = replace(world.spec, entity="land")
    table = pa.table({"land": ["DE", None]})
    assert to_batch(spec, table, world.clock.now(), "s").entities == ["DE", ""]
    named = table.append_column("entity", pa.array(["x", "y"]))
    assert to_batch(spec, named, world.clock.now(), "s").entities == ["x", "y"]
    numbered = replace(world.spec, entity="amount")
    assert to_batch(numbered, pa.table({"amount": [7.0]}), world.clock.now(), "s").entities == ["7"]
    bare = replace(world.spec, entity="")
    assert to_batch(bare, table, world.clock.now(), "s").entities == ["", ""]


def test_columns_that_fit_already_are_taken_as_they_are(world: World) -> None:
    table = rows_to_table(world.spec, [GOOD])
    shuffled = table.select(list(reversed(table.column_names)))
    batch = to_batch(world.spec, shuffled, world.clock.now(), "s")
    assert batch.features.equals(table.select(batch.features.column_names))
    whole = pa.table({"amount": pa.array([5], pa.int64()), "age": [1.0], "land": ["DE"]})
    whole = whole.append_column("audited", pa.array([True]))
    got = to_batch(world.spec, whole, world.clock.now(), "s").features
    assert got["amount"].to_pylist() == [5.0]
    assert got["amount"].type == pa.float64()
