"""Small requests take a shorter way, and nobody can tell."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homeostat.domain.model import (
    Audit,
    Column,
    ColumnKind,
    LabelSpec,
    ModelSpec,
    Schema,
    Task,
)
from homeostat.entrypoints.gateway.batch import Batch, InputError, rows_to_table, to_batch
from homeostat.entrypoints.gateway.rows import MOST, RowReader, joined

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
COLUMNS = (
    Column("amount", ColumnKind.NUMERIC, minimum=0.0, maximum=1000.0),
    Column("age", ColumnKind.NUMERIC, nullable=False),
    Column("land", ColumnKind.CATEGORICAL, categories=("DE", "FR")),
    Column("shop", ColumnKind.CATEGORICAL),
    Column("weekend", ColumnKind.BOOLEAN),
)
LABELS = LabelSpec(timedelta(days=30), Audit("audited", timedelta(days=3)))
SPEC = ModelSpec("fraud", Task.BINARY, Schema(COLUMNS), LABELS, entity="card")
PLAIN = {"amount": 5, "age": 30.5, "land": "DE", "shop": "a", "weekend": True, "card": "anna"}

odd = st.sampled_from(
    [None, True, 0, -1, 2**53 + 1, 2**70, 1e308, 0.5, "", "DE", "x", [], {}, "2024-05-01T12:00:00Z"]
)
times = st.sampled_from(
    [
        *("2024-05-01T11:59:59Z", "2024-05-01T11:59:59.123456+00:00", "2024-05-01T13:00:00+02:00"),
        *(
            "2024-02-30T00:00:00Z",
            "2025-05-01T12:00:00Z",
            "2024-05-01",
            "2024-05-01T11:59:59.5Z",
            7,
        ),
    ]
)
fields = st.sampled_from(
    [*PLAIN, "audited", "entity", "prediction_id", "timestamp", "unknown"],
)
changes = st.dictionaries(fields, odd, max_size=2)
requests = st.lists(
    st.builds(
        lambda change, time: PLAIN | change | ({} if time is None else {"timestamp": time}),
        changes,
        st.none() | times,
    ),
    min_size=1,
    max_size=3,
)


def long_way(spec: ModelSpec, rows: list[dict[str, object]]) -> Batch:
    return to_batch(spec, rows_to_table(spec, rows), NOW, "salt")


@given(requests)
@example([PLAIN | {"card": 0}])
@example([PLAIN | {"entity": "ben", "card": 0}])
@example([PLAIN, PLAIN | {"entity": None}])
def test_what_is_read_is_what_the_long_way_reads(rows: list[dict[str, object]]) -> None:
    read = RowReader(SPEC).read(rows, NOW, "salt")
    if read is None:
        return
    expected = long_way(SPEC, rows)
    assert read.features.equals(expected.features)
    assert read.meta.equals(expected.meta)
    assert (read.ids, read.entities, read.keys) == (expected.ids, expected.entities, expected.keys)
    assert read.broken == expected.broken == {}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"amount": None, "land": None, "shop": None, "weekend": None, "audited": False},
        {"prediction_id": "mine", "timestamp": "2024-05-01T11:00:00Z"},
        {"entity": "ben", "amount": 1000.0},
    ],
    ids=["plain", "missing", "meta", "entity"],
)
def test_the_short_way_is_taken(change: dict[str, object]) -> None:
    rows = [PLAIN | change, PLAIN]
    read = RowReader(SPEC).read(rows, NOW, "salt")
    assert read is not None
    assert read.features.equals(long_way(SPEC, rows).features)


@pytest.mark.parametrize(
    "change",
    [
        {"amount": -1.0},
        {"amount": float("nan")},
        {"age": None},
        {"land": "XX"},
        {"timestamp": "2024-02-30T00:00:00Z"},
        {"prediction_id": 5},
    ],
    ids=["bounds", "nan", "required", "list", "no-such-day", "id"],
)
def test_whatever_is_odd_goes_the_long_way(change: dict[str, object]) -> None:
    assert RowReader(SPEC).read([PLAIN, PLAIN | change], NOW, "salt") is None


def test_many_rows_and_twice_the_same_id_go_the_long_way() -> None:
    assert RowReader(SPEC).read([PLAIN] * (MOST + 1), NOW, "salt") is None
    twice = [PLAIN | {"prediction_id": "a"}] * 2
    assert RowReader(SPEC).read(twice, NOW, "salt") is None
    with pytest.raises(InputError, match="occurs twice"):
        long_way(SPEC, twice)


def test_an_entity_that_is_a_feature_goes_the_long_way() -> None:
    assert RowReader(replace(SPEC, entity="age")).read([PLAIN], NOW, "salt") is None
    anonymous = replace(SPEC, entity="")
    row = {name: value for name, value in PLAIN.items() if name != "card"}
    read = RowReader(anonymous).read([row], NOW, "salt")
    assert read is not None
    assert read.entities == [""]


def test_parts_and_wholes() -> None:
    reader = RowReader(SPEC)
    one, two = (
        reader.read([PLAIN | {"amount": a}, PLAIN | {"amount": a + 1}], NOW, str(a)) for a in (1, 3)
    )
    assert one is not None
    assert two is not None
    both = joined([one, two])
    assert both.features["amount"].to_pylist() == [1.0, 2.0, 3.0, 4.0]
    assert both.meta.equals(pa.concat_tables([one.meta, two.meta]).combine_chunks())
    assert both.take([3, 0]).features["amount"].to_pylist() == [4.0, 1.0]
    assert both.take([0, 1, 2, 3]) is both
