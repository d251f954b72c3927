"""Conditions over features."""

import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.errors import ConfigError
from homeostat.domain.model import Column, ColumnKind, Schema
from homeostat.serving.expression import LONGEST, parse

SCHEMA = Schema(
    (
        Column("amount", ColumnKind.NUMERIC),
        Column("age", ColumnKind.NUMERIC),
        Column("land", ColumnKind.CATEGORICAL),
        Column("online", ColumnKind.BOOLEAN),
    )
)
ROWS = pa.table(
    {
        "amount": pa.array([10.0, 600.0, None, math.nan], pa.float64()),
        "age": pa.array([20.0, 30.0, 40.0, None], pa.float64()),
        "land": pa.array(["DE", "FR", None, "IT"], pa.string()),
        "online": pa.array([True, False, None, True], pa.bool_()),
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amount > 500", [0, 1, 0, 0]),
        ("amount >= 10 and age < 30", [1, 0, 0, 0]),
        ("amount <= 10 or age > 35", [1, 0, 1, 0]),
        ("not amount > 500", [1, 0, 1, 1]),
        ("5 < amount < 50", [1, 0, 0, 0]),
        ("amount != 10", [0, 1, 0, 0]),
        ("amount == 10", [1, 0, 0, 0]),
        ("land == 'DE'", [1, 0, 0, 0]),
        ("land != 'DE'", [0, 1, 0, 1]),
        ("land in ('DE', 'FR')", [1, 1, 0, 0]),
        ("land not in ['DE', 'FR']", [0, 0, 0, 1]),
        ("age in (20, 40)", [1, 0, 1, 0]),
        ("amount not in (10,)", [0, 1, 0, 0]),
        ("online", [1, 0, 0, 1]),
        ("online == False", [0, 1, 1, 0]),
        ("missing(amount)", [0, 0, 1, 1]),
        ("missing(land)", [0, 0, 1, 0]),
        ("amount / age > 15", [0, 1, 0, 0]),
        ("amount + 1 - 2 * 3 == -age + 25.0", [1, 0, 0, 0]),
        ("amount / 0 > 5", [1, 1, 0, 0]),
        ("True", [1, 1, 1, 1]),
        ("1 < 2 and online", [1, 0, 0, 1]),
        ("'a' == 'b'", [0, 0, 0, 0]),
    ],
)
def test_conditions(text: str, expected: list[int]) -> None:
    assert parse(text, SCHEMA).matches(ROWS).astype(int).tolist() == expected


def test_features_are_those_named() -> None:
    assert parse("missing(land) or amount > age", SCHEMA).features == {"land", "amount", "age"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("amount >", "cannot be read"),
        ("amount > 'a'", "is text, where a number is needed"),
        ("land > 'DE'", "== and !="),
        ("amount", "a number, where true or false"),
        ("price > 5", "'price' is no feature; there are amount"),
        ("__import__('os').system('true')", "only function is missing"),
        ("missing('land')", "only function"),
        ("land.upper() == 'DE'", "only function"),
        ("amount ** 9 > 5", "operator other than"),
        ("+amount > 5", "other than - and not"),
        ("[x for x in land]", "is not allowed"),
        ("land in 'DE'", "not a list"),
        ("land in ()", "not a list"),
        ("land is None", "neither a number"),
        ("land is land", "== and !="),
        ("amount == None", "neither a number"),
        ("(lambda: 1)", "is not allowed"),
        ("(" * 300 + "1" + ")" * 300, "cannot be read"),
        ("online" + " and online" * LONGEST, "at most"),
    ],
)
def test_everything_else_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem.replace("(", r"\(")):
        parse(text, SCHEMA)


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        result = parse(text, SCHEMA).matches(ROWS)
    except ConfigError:
        return
    assert result.shape == (4,)


def test_no_rows() -> None:
    assert parse("amount > 5 and land == 'DE'", SCHEMA).matches(ROWS.slice(0, 0)).shape == (0,)
