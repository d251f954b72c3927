"""From a table to its profile."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pyarrow as pa

from homeostat.domain.columns import float_array
from homeostat.domain.model import ColumnKind, Schema
from homeostat.profiles.categories import profile_categories
from homeostat.profiles.numbers import (
    PIECE,
    Series,
    merge_columns,
    profile_numbers,
    profile_series,
)
from homeostat.profiles.pairs import MOST_COLUMNS, pairs_of
from homeostat.profiles.profile import ColumnProfile, Profile
from homeostat.profiles.tallies import Chunks
from homeostat.stats.bitbins import blur

__all__ = ["profile_numbers", "profile_predictions", "profile_table"]

_TOGETHER = 1 << 16  # values profiled in one go; more would only cost memory


def profile_table(
    table: pa.Table,
    kinds: Mapping[str, ColumnKind],
    personal: Collection[str] = (),
    *,
    pairs: bool = False,
) -> Profile:
    """Summarise columns of a table.

    Parameters
    ----------
    table : pyarrow.Table
        Columns not named in `kinds` are left out.
    kinds : mapping of str to ColumnKind
        Numeric columns may be of any type that casts to float64; categorical ones are counted by
        their text.
    personal : collection of str
        Columns whose values must not be kept: numbers move to the middle of their bin (0.8 % wide),
        texts are replaced by ``#`` and a 64-bit hash. A hash of few possible values can be guessed;
        it hides them from a reader, not from an attacker.
    pairs : bool
        Whether to summarise also how the first 50 numeric columns go together
        (`homeostat.profiles.pairs`).

    Raises
    ------
    ValueError
        If a column is absent, or cannot be read as its kind.

    Examples
    --------
    >>> table = pa.table({"amount": [1.0, 3.0, None], "shop": ["a", "b", "a"]})
    >>> kinds = {"amount": ColumnKind.NUMERIC, "shop": ColumnKind.CATEGORICAL}
    >>> profile = profile_table(table, kinds)
    >>> profile.columns["amount"].mean, profile.columns["shop"].values
    (2.0, {'a': 2, 'b': 1})
    """
    present = set(table.column_names)
    absent = [name for name in kinds if name not in present]
    if absent:
        raise ValueError(f"the table has no column {', '.join(map(repr, absent))}")
    numeric = [name for name, kind in kinds.items() if kind is ColumnKind.NUMERIC]
    together = max(1, _TOGETHER // max(1, table.num_rows))
    columns: dict[str, ColumnProfile] = {}
    for start in range(0, len(numeric), together):
        names = numeric[start : start + together]
        found = _numeric(table.select(names), {name for name in names if name in personal})
        columns |= zip(names, found, strict=True)
    for name, kind in kinds.items():
        if kind is not ColumnKind.NUMERIC:
            column = table.column(name)
            columns[name] = profile_categories(name, column, kind, hide=name in personal)
    joint = pairs_of(table.select(numeric[:MOST_COLUMNS])) if pairs else None
    return Profile(table.num_rows, {name: columns[name] for name in kinds}, joint)


def profile_predictions(rows: pa.Table, schema: Schema) -> Profile:
    """Summarise the features and, where there is one, the ``score``; personal columns are hidden.

    Examples
    --------
    >>> from homeostat.domain.model import Column
    >>> schema = Schema((Column("email", ColumnKind.CATEGORICAL, personal=True),))
    >>> rows = pa.table({"email": ["ada@example.org"], "score": [0.25]})
    >>> profile = profile_predictions(rows, schema)
    >>> list(profile.columns), profile.columns["email"].values
    (['email', 'score'], {'#94c98cf6f23eed72': 1})
    """
    kinds = {column.name: column.kind for column in schema.columns}
    if "score" in rows.column_names:
        kinds["score"] = ColumnKind.NUMERIC
    personal = {column.name for column in schema.columns if column.personal}
    return profile_table(rows, kinds, personal, pairs=True)


def _numeric(table: pa.Table, hidden: Collection[str]) -> list[ColumnProfile]:
    """Profile short columns together, or one long column a piece at a time."""
    names = table.column_names
    if len(names) > 1 or table.num_rows < PIECE:
        series = [_numbers(name, table.column(name), hide=name in hidden) for name in names]
        if len(series) > 1:
            return profile_series(series)
        return [profile_numbers(series[0].values, missing=series[0].missing)]
    parts = [
        _numeric(table.slice(start, PIECE - 1), hidden)[0]
        for start in range(0, table.num_rows, PIECE - 1)
    ]
    return [merge_columns(parts)]


def _numbers(name: str, column: Chunks, *, hide: bool) -> Series:
    try:
        right = column.type == pa.float64()
        floats = column if right else column.cast(pa.float64(), safe=False)
    except pa.ArrowException as error:
        raise ValueError(f"column {name!r} cannot be read as numbers: {error}") from error
    missing = floats.null_count
    values = float_array(floats.drop_null() if missing else floats)
    return Series(blur(values) if hide else values, missing)
