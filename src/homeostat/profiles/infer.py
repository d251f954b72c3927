"""What a column is: a number, a category, yes or no, or nothing to compare.

Every guess that its type does not settle comes with a sentence, and can be overruled.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
from numpy.typing import NDArray

from homeostat.domain.model import ColumnKind
from homeostat.profiles.cast import BOOLEAN_WORDS, Chunks, Texts, as_numbers, plain, value_type

Numbers: TypeAlias = NDArray[np.float64]

FEW_NUMBERS = 20
"""Whole numbers with at most so many different values may be codes."""

REPEATS = 10  # rows per different value from which values are seen to repeat
GAPPY = 0.5  # share of their range that counts and ratings fill, and codes do not
MANY_IDS = 100  # different values from which a column called "..._id" names individuals ...
ID_REPEATS = 20  # ... unless each comes so often, as the id of a place or a product does
UNIQUE_SHARE = 0.9
UNIQUE_ROWS = 5
SURE_ROWS = 100  # rows from which all-different whole numbers are no coincidence
MOST_CODES = 1000
MOSTLY = 0.95  # share of the texts that must look like a date, a number or a UUID
LOOKED_AT = 1000
LONG_TEXT, MANY_WORDS = 60, 4
EPOCH = 10.0**8  # 1973 in seconds since 1970

_ID = re.compile(r"(^|[_\s.-])(id|uuid|guid|key|hash|index|idx)$|^unnamed: 0$", re.IGNORECASE)
_CAMEL_ID = re.compile(r"[a-z](Id|ID)$")
_CODE = re.compile(
    r"(^|[_\s-])(code|type|category|class|status|zip|postal|postcode|zipcode|mcc|naics|sic|"
    r"group|cluster|region|branch|store|channel|currency|country|month|weekday|dow)s?$"
    r"|^(day_?of_?week|zip_?code|post_?code)$|(_id)$",
    re.IGNORECASE,
)
_TIME = re.compile(r"(^|_)(ts|timestamp|time|epoch|at|date|datetime)(_|$)", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ]\d{1,2}:\d{2}.*)?"
    r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}( \d{1,2}:\d{2}.*)?"
    r"|\d{1,2}[ -][A-Za-z]{3,9}[ -]\d{2,4}"
    r"|\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
)
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_LEADING_ZERO = re.compile(r"\s*0\d+\s*")


@dataclass(frozen=True, slots=True)
class Guess:
    """What a column was taken for.

    Attributes
    ----------
    kind : ColumnKind or None
        None: left out.
    reason : str
        Why, in a few words; empty if the type settles it.
    empty : bool
        Left out only because there is no value to tell by.
    """

    kind: ColumnKind | None
    reason: str = ""
    empty: bool = False

    def sentence(self, name: str) -> str:
        """Return the assumption in words; empty if there is none.

        Examples
        --------
        >>> Guess(None, "an identifier").sentence("customer_id")
        'customer_id is left out: an identifier'
        """
        if not self.reason:
            return ""
        taken = "left out" if self.kind is None else f"taken as {self.kind}"
        return f"{name} is {taken}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Inference:
    """The guesses for all columns of a table, in its order."""

    guesses: Mapping[str, Guess] = field(default_factory=dict)

    @property
    def kinds(self) -> dict[str, ColumnKind]:
        """Kinds of the columns to compare."""
        return {n: guess.kind for n, guess in self.guesses.items() if guess.kind is not None}

    @property
    def assumptions(self) -> tuple[str, ...]:
        """A sentence for each guess that the type alone does not settle."""
        said = (guess.sentence(name) for name, guess in self.guesses.items())
        return tuple(text for text in said if text)


def infer_kinds(
    table: pa.Table, given: Mapping[str, ColumnKind | None] | None = None, rows: int = 0
) -> Inference:
    """Say what each column of a table is.

    - Numbers are numeric. Whole numbers (also as floats) that are all 0 or 1 are boolean. With at
      most `FEW_NUMBERS` different values, each repeated, they are codes (categorical) if there are
      two of them or if they fill less than half of their range (100, 250, 700), else counts or
      ratings (0 to 5), which are numeric. A name such as ``mcc_code`` or ``zip`` also makes them
      codes.
    - Identifiers are left out: UUIDs, texts that nearly all differ, whole numbers that all differ
      and are sorted, dense or called ``..._id``, and any ``..._id`` with over `MANY_IDS` values
      that hardly repeat.
    - Texts are categories, unless they are yes/no words (boolean), numbers stored as text (without
      leading zeros, and not just a few whole ones), dates (left out) or prose (left out).
    - Times are left out; so is what has no values, and what is nested or binary.

    Parameters
    ----------
    table : pyarrow.Table
        The rows, or a sample spread over them; column names differ.
    given : mapping of str to ColumnKind or None
        What the caller knows; None leaves a column out.
    rows : int
        Rows in all, if `table` is a sample.

    Examples
    --------
    >>> paid, on = ["yes", "no", "no"], ["2024-01-31"] * 3
    >>> table = pa.table({"age": [31, 47, 47], "paid": paid, "on": on})
    >>> found = infer_kinds(table)
    >>> [str(kind) for kind in found.kinds.values()]
    ['numeric', 'boolean']
    >>> for sentence in found.assumptions:
    ...     print(sentence)
    paid is taken as boolean: its values are no and yes
    on is left out: dates or times stored as text
    """
    given = given or {}
    total = max(rows, table.num_rows)
    return Inference(
        {
            name: Guess(given[name], "" if given[name] else "as you asked")
            if name in given
            else guess(name, table.column(name), total)
            for name in table.column_names
        }
    )


def guess(name: str, column: Chunks, rows: int = 0) -> Guess:
    """Say what one column is; see `infer_kinds`."""
    kind = value_type(column.type)
    if column.null_count == len(column):
        return Guess(None, "it has no values", empty=True)
    if pt.is_dictionary(column.type) and not pt.is_temporal(kind):
        return Guess(ColumnKind.CATEGORICAL)
    if pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind):
        return _numbers(name, as_numbers(column), max(rows, len(column)))
    if pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind):
        return _texts(name, plain(column).drop_null(), max(rows, len(column)))
    return _by_type(kind)


def _by_type(kind: pa.DataType) -> Guess:
    if pt.is_boolean(kind):
        return Guess(ColumnKind.BOOLEAN)
    if isinstance(kind, pa.DurationType):
        return Guess(ColumnKind.NUMERIC, f"a duration, counted in {kind.unit}")
    if pt.is_temporal(kind):
        return Guess(None, f"a date or time ({kind})")
    what = "nested" if pt.is_nested(kind) else "not numbers, texts or booleans"
    return Guess(None, f"its values are {what} ({kind})")


def nearly_unique(column: Chunks) -> bool:
    """Whether almost every value differs from the others, so that counting them tells nothing.

    Examples
    --------
    >>> [nearly_unique(pa.chunked_array([list(text)])) for text in ("abcdefg", "aabbccdd")]
    [True, False]
    """
    known = len(column) - column.null_count
    return known > UNIQUE_ROWS and count_distinct(column) > UNIQUE_SHARE * known


def count_distinct(column: Chunks) -> int:
    """Return the number of different values that are not null."""
    return int(pc.count_distinct(column, mode="only_valid").as_py())


def names_individuals(name: str) -> bool:
    """Whether a column is called as identifiers are: ``customer_id``, ``userId``, ``uuid``."""
    return bool(_ID.search(name) or _CAMEL_ID.search(name))


def _numbers(name: str, values: Numbers, rows: int, note: str = "") -> Guess:
    values = values[np.isfinite(values)]
    if not values.size:
        return Guess(ColumnKind.NUMERIC, note)
    if any((part != np.floor(part)).any() for part in (values[:LOOKED_AT], values)):
        return Guess(ColumnKind.NUMERIC, note)
    return _whole(name, values, rows, note)


def _whole(name: str, values: Numbers, rows: int, note: str) -> Guess:
    different = np.unique(values)
    size, low, high = different.size, float(different[0]), float(different[-1])
    also = f"; {note}" if note else ""
    if size == 2 and (low, high) == (0.0, 1.0):
        return Guess(ColumnKind.BOOLEAN, f"its values are 0 and 1{also}")
    if size == 1:
        return Guess(ColumnKind.NUMERIC, note)
    if low >= EPOCH and _TIME.search(name):
        return Guess(None, "times as numbers")
    individual = _individuals(name, values, different, rows)
    if individual:
        return Guess(None, individual)
    kind, seen = _quantity(name, values, different)
    return Guess(kind, f"{seen}{also}" if seen else note)


def _quantity(name: str, values: Numbers, different: Numbers) -> tuple[ColumnKind, str]:
    """Return whether whole numbers count something or are codes, and how that shows."""
    size, low, high = different.size, float(different[0]), float(different[-1])
    if _CODE.search(name) and size <= MOST_CODES:
        return ColumnKind.CATEGORICAL, f"{size} different whole numbers, codes by its name"
    if size > FEW_NUMBERS or values.size < REPEATS * size:
        return ColumnKind.NUMERIC, ""
    if size == 2 or size < GAPPY * (high - low + 1):
        gaps = "" if size == 2 else ", with gaps"
        return ColumnKind.CATEGORICAL, f"only {size} different whole numbers{gaps}: codes"
    seen = f"whole numbers from {low:.0f} to {high:.0f}, without gaps: counts or ratings"
    return ColumnKind.NUMERIC, seen


def _individuals(name: str, values: Numbers, different: Numbers, rows: int) -> str:
    """Return why whole numbers are identifiers; empty if they are not."""
    named = names_individuals(name)
    if different.size < values.size:
        individual = named and _many(different.size, values.size)
        return "an identifier, by its name" if individual else ""
    if named and values.size > UNIQUE_ROWS:
        return "an identifier: every value is another"
    if values.size < SURE_ROWS:
        return ""
    steps = np.diff(values)
    if (steps > 0).all() or (steps < 0).all():
        return "an identifier or row number: every value is another, in order"
    if different[-1] - different[0] < 2.0 * rows:
        return "an identifier: every value is another, numbered through"
    return ""


def _many(different: int, rows: int) -> bool:
    return different > MANY_IDS and rows < ID_REPEATS * different


def _texts(name: str, column: Chunks, rows: int) -> Guess:
    unique = [str(text) for text in cast("Texts", pc.unique(column)).to_pylist()]
    looked = unique[:: max(1, len(unique) // LOOKED_AT)]
    words = {text.strip().lower() for text in looked}
    if len(words) == 2 and {BOOLEAN_WORDS.get(word) for word in words} == {True, False}:
        return Guess(ColumnKind.BOOLEAN, f"its values are {' and '.join(sorted(words))}")
    if _share(_NUMBER, looked) >= MOSTLY and not _share(_LEADING_ZERO, looked):
        values = as_numbers(column)
        few = 2 < len(unique) <= FEW_NUMBERS and values.size >= REPEATS * len(unique)
        if few and (values == np.floor(values)).all():
            return Guess(ColumnKind.CATEGORICAL, "few whole numbers, stored as text: codes")
        return _numbers(name, values, rows, "numbers stored as text")
    reason = _no_category(name, column, unique, looked)
    return Guess(None if reason else ColumnKind.CATEGORICAL, reason)


def _no_category(name: str, column: Chunks, unique: list[str], looked: list[str]) -> str:
    """Return why texts are not to be compared; empty if they are categories."""
    prose = sum(text.count(" ") >= MANY_WORDS for text in looked) >= len(looked) / 2
    long = sum(map(len, looked)) > LONG_TEXT * len(looked)
    repeats = len(unique) <= len(column) / 2 or len(column) <= UNIQUE_ROWS
    reasons = {
        "an identifier (UUID)": _share(_UUID, looked) >= MOSTLY,
        "dates or times stored as text": _share(_DATE, looked) >= MOSTLY,
        "free text": (prose or long) and not repeats,
        "nearly every value is another, as in an identifier": nearly_unique(column),
        "an identifier, by its name": names_individuals(name) and _many(len(unique), len(column)),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _share(pattern: re.Pattern[str], texts: list[str]) -> float:
    return sum(pattern.fullmatch(text.strip()) is not None for text in texts) / len(texts)
