"""Broken constraints as masks."""

import math

import pyarrow as pa

from homeostat.domain.model import Column, ColumnKind, Schema
from homeostat.serving.constraints import degraded_masks, touched, violations

SCHEMA = Schema(
    (
        Column("low", ColumnKind.NUMERIC, minimum=0.0),
        Column("high", ColumnKind.NUMERIC, maximum=1.0, nullable=False),
        Column("free", ColumnKind.NUMERIC),
        Column("land", ColumnKind.CATEGORICAL, categories=("DE", "FR")),
        Column("must", ColumnKind.CATEGORICAL, nullable=False),
        Column("flag", ColumnKind.BOOLEAN),
    )
)


def test_each_kind_of_violation() -> None:
    rows = pa.table(
        {
            "low": pa.array([0.0, -1.0, None, 5.0]),
            "high": pa.array([1.0, 1.5, None, 0.0]),
            "free": pa.array([math.inf, math.nan, None, 1e300]),
            "land": pa.array(["DE", "XX", None, "FR"]),
            "must": pa.array(["a", None, "b", ""]),
            "flag": pa.array([True, None, False, True]),
        }
    )
    found = {name: mask.astype(int).tolist() for name, mask in violations(SCHEMA, rows).items()}
    assert found == {
        "low": [0, 1, 0, 0],
        "high": [0, 1, 1, 0],
        "free": [1, 1, 0, 0],
        "land": [0, 1, 0, 0],
        "must": [0, 1, 0, 0],
    }


def test_touched_joins_only_the_features_asked_for() -> None:
    masks = degraded_masks(("low",), 3)
    assert touched(frozenset({"low", "high"}), masks, 3).all()
    assert not touched(frozenset({"high"}), masks, 3).any()


def test_sound_rows_break_nothing() -> None:
    schema = Schema((Column("low", ColumnKind.NUMERIC, minimum=0.0),))
    assert violations(schema, pa.table({"low": [0.0, 1.0]})) == {}
