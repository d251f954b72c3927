"""Conditions and numbers over a row."""

import math
from dataclasses import dataclass
from typing import cast

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.errors import ConfigError
from homeostat.domain.expression import DEEPEST, LONGEST, Type, check, column_types, parse, read
from homeostat.domain.model import Column, ColumnKind, Schema

COLUMNS = column_types(
    Schema(
        (
            Column("amount", ColumnKind.NUMERIC),
            Column("age", ColumnKind.NUMERIC),
            Column("land", ColumnKind.CATEGORICAL),
            Column("online", ColumnKind.BOOLEAN),
        )
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
        ("online == False", [0, 1, 0, 0]),
        ("land == land", [1, 1, 0, 1]),
        ("amount in (amount,)", [1, 1, 0, 0]),
        ("online == True", [1, 0, 0, 1]),
        ("online != True", [0, 1, 0, 0]),
        ("online != online", [0, 0, 0, 0]),
        ("online in (True, False)", [1, 1, 0, 1]),
        ("online not in (True,)", [0, 1, 0, 0]),
        ("(online if amount < 50 else True) == True", [1, 1, 1, 1]),
        ("(online if missing(amount) else True) != True", [0, 0, 0, 0]),
        ("(amount > 500) == False", [1, 0, 1, 1]),
        ("not online", [0, 1, 1, 0]),
        ("missing(online)", [0, 0, 1, 0]),
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
    assert parse(text, COLUMNS).matches(ROWS).astype(int).tolist() == expected


class Counted(dict[str, Type]):
    """Columns that count how often their types are asked for."""

    asked = 0

    def __getitem__(self, name: str) -> Type:
        self.asked += 1
        return super().__getitem__(name)


@dataclass
class Rows:
    """A table that counts how often its columns are read."""

    table: pa.Table
    read: int = 0

    @property
    def num_rows(self) -> int:
        return self.table.num_rows

    def __getitem__(self, name: str) -> object:
        self.read += 1
        return self.table[name]


@pytest.mark.parametrize(
    "nest",
    [
        "1 if 0 < ({}) < 9 else 2",
        "1 if 0 == ({}) == 9 == 1 else 2",
        "1 if 0 != ({}) != 9 else 2",
        "3 if ({}) in (1, 2, 5) else 1",
        "3 if ({}) not in (1, 2, 5) else 1",
        "({}) if online else 7",
        "abs(min(({}), 4))",
    ],
)
def test_each_part_is_built_and_evaluated_once(nest: str) -> None:
    text = "age"
    for _ in range(16):
        text = nest.format(text)
    columns, rows = Counted(COLUMNS), Rows(ROWS)
    found = parse(text, columns, Type.NUMBER)
    named = 1 + text.count("online")
    assert columns.asked == named
    numbers = found.numbers(cast(pa.Table, rows))
    assert rows.read == named
    oracle = [eval(text, {"age": age, "online": on}) for age, on in ((20.0, True), (30.0, False))]
    assert numbers.tolist()[:2] == oracle


def test_columns_are_those_named() -> None:
    assert parse("missing(land) or amount > age", COLUMNS).columns == {"land", "amount", "age"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("amount >", "cannot be read"),
        ("amount > 'a'", "is text, where a number is needed"),
        ("land > 'DE'", "== and !="),
        ("amount", "a number, where true or false"),
        ("price > 5", "'price' is no column; there are amount"),
        ("__import__('os').system('true')", "no function"),
        ("missing('land')", "names no column"),
        ("land.upper() == 'DE'", "no function"),
        ("amount ** 9 > 5", "operator other than"),
        ("+amount > 5", "other than - and not"),
        ("[x for x in land]", "is not allowed"),
        ("land in 'DE'", "not a list"),
        ("land in ()", "not a list"),
        ("land is None", "neither a number"),
        ("land is land", "== and !="),
        ("amount == None", "neither a number"),
        ("(lambda: 1)", "is not allowed"),
        ("missing(amount, age)", "no function"),
        ("column(land) == 'DE'", "names no column"),
        ("column('price') > 1", "is no column"),
        ("amount if online", "cannot be read"),
        ("amount if age else 1", "is a number, where true or false"),
        ("amount if online else 'x'", "is text, where a number"),
        ("abs(amount, age) > 1", "takes one number"),
        ("min(amount) > 1", "takes numbers"),
        ("max(amount, age, key=1) > 1", "takes numbers"),
        ("min(land, land) > 1", "is text, where a number"),
        ("amount > 1e999", "too large"),
        ("amount > " + "9" * 400, "too large"),
        ("amount > 1j", "neither a number"),
        ("1 + " * DEEPEST + "1 > 0", "nested"),
        ("-" * 1900 + "1 > 0", "cannot be read|nested"),
        ("(" * 300 + "1" + ")" * 300, "cannot be read"),
        ("online" + " and online" * LONGEST, "at most"),
        ("2 in(" + "-1," * 600 + ")", "more than 1,000 parts"),
        ("land in ('DE', 'FR') == land", "is not allowed here"),
        ("amount < 3 < land", "is text, where a number"),
        ("online < True", "== and !="),
    ],
)
def test_everything_else_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem.replace("(", r"\(")):
        parse(text, COLUMNS)


@given(st.text(max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        result = parse(text, COLUMNS).matches(ROWS)
    except ConfigError:
        return
    assert result.shape == (4,)


def test_no_rows() -> None:
    assert parse("amount > 5 and land == 'DE'", COLUMNS).matches(ROWS.slice(0, 0)).shape == (0,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("amount", [10.0, 600.0, None, None]),
        ("amount if land == 'DE' else -1", [10.0, -1.0, -1.0, -1.0]),
        ("amount if online else age", [10.0, 30.0, 40.0, None]),
        ("0 if missing(amount) else amount", [10.0, 600.0, 0.0, 0.0]),
        ("1 if land == 'DE' else (2 if online else 3)", [1.0, 3.0, 3.0, 2.0]),
        ("min(amount, age, 25)", [10.0, 25.0, None, None]),
        ("max(age, 25)", [25.0, 30.0, 40.0, None]),
        ("abs(15 - age)", [5.0, 15.0, 25.0, None]),
        ("-age * 2 / 4", [-10.0, -15.0, -20.0, None]),
        ("amount / (age - 20)", [None, 60.0, None, None]),
        ("column('amount') + 1", [11.0, 601.0, None, None]),
        ("7", [7.0, 7.0, 7.0, 7.0]),
    ],
)
def test_numbers(text: str, expected: list[float | None]) -> None:
    found = parse(text, COLUMNS, Type.NUMBER).numbers(ROWS).tolist()
    assert [None if math.isnan(value) else value for value in found] == expected


def test_a_chosen_text_can_be_compared() -> None:
    text = "(land if online else 'none') in ('none', 'DE')"
    assert parse(text, COLUMNS).matches(ROWS).tolist() == [True, True, True, False]


def test_a_column_whose_name_is_no_word() -> None:
    rows = pa.table({"tip, in %": [1.0, None]})
    found = parse("missing(column('tip, in %'))", {"tip, in %": Type.NUMBER})
    assert found.matches(rows).tolist() == [False, True]


def test_a_part_may_yield_a_number_or_a_truth_but_no_text() -> None:
    for text, kind in (("amount", Type.NUMBER), ("online", Type.TRUTH)):
        assert check(read(text), text, COLUMNS).type is kind
    with pytest.raises(ConfigError, match="is text"):
        check(read("land"), "land", COLUMNS)


def test_a_condition_as_numbers() -> None:
    assert parse("online", COLUMNS).numbers(ROWS).tolist() == [1.0, 0.0, 0.0, 1.0]


@given(st.integers(-9, 9), st.integers(-9, 9), st.sampled_from("+-*"))
def test_arithmetic_is_pythons(one: int, other: int, sign: str) -> None:
    text = f"({one} {sign} {other}) if {one} < {other} else min({one}, abs({other}))"
    oracle = eval(text)
    assert parse(text, COLUMNS, Type.NUMBER).numbers(ROWS).tolist() == [oracle] * 4
