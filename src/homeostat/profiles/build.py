"""From a table to its profile."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.domain.model import ColumnKind, Schema
from homeostat.profiles.profile import ColumnProfile, Profile, category_rank, keep_categories
from homeostat.stats.bitbins import blur, count_bins
from homeostat.stats.exact import exact_sums

Chunks: TypeAlias = "pa.ChunkedArray[pa.Scalar[pa.DataType]]"

_TOGETHER = 1 << 16  # values profiled in one go; more would only cost memory


def profile_table(
    table: pa.Table, kinds: Mapping[str, ColumnKind], personal: Collection[str] = ()
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
    absent = [name for name in kinds if name not in table.column_names]
    if absent:
        raise ValueError(f"the table has no column {', '.join(map(repr, absent))}")
    numeric = [name for name, kind in kinds.items() if kind is ColumnKind.NUMERIC]
    together = max(1, _TOGETHER // max(1, table.num_rows))
    columns: dict[str, ColumnProfile] = {}
    for start in range(0, len(numeric), together):
        names = numeric[start : start + together]
        series = [_numbers(name, table.column(name), hide=name in personal) for name in names]
        columns |= zip(names, _profile_series(series), strict=True)
    for name, kind in kinds.items():
        if kind is not ColumnKind.NUMERIC:
            columns[name] = _categories(name, table.column(name), kind, hide=name in personal)
    return Profile(table.num_rows, {name: columns[name] for name in kinds})


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
    return profile_table(rows, kinds, personal)


def profile_numbers(values: NDArray[np.float64], *, missing: int = 0) -> ColumnProfile:
    """Summarise numbers, with `missing` further rows that are null.

    Examples
    --------
    >>> import numpy as np
    >>> column = profile_numbers(np.array([0.0, 2.0, np.nan, np.inf]))
    >>> column.nan, column.infinite, column.zeros, column.maximum
    (1, 1, 1, 2.0)
    """
    return _profile_series([_Series(values, missing)])[0]


@dataclass(frozen=True, slots=True)
class _Series:
    """A numeric column: its values, and how many rows have none."""

    values: NDArray[np.float64]
    missing: int


def _profile_series(series: Sequence[_Series]) -> list[ColumnProfile]:
    """Profile numeric columns laid end to end: small ones cost a few array operations in all."""
    owners = len(series)
    sizes = np.array([item.values.size for item in series])
    owner = np.repeat(np.arange(owners), sizes)
    values = np.concatenate([item.values for item in series]) if owners > 1 else series[0].values
    usable = np.isfinite(values)
    nan = np.zeros(owners, dtype=np.int64)
    present = sizes
    if not usable.all():
        nan = np.bincount(owner[np.isnan(values)], minlength=owners)
        values, owner = values[usable], owner[usable]
        present = np.bincount(owner, minlength=owners)
    low, high = _extremes(values, present)
    zeros = np.bincount(owner[values == 0.0], minlength=owners)
    histograms = count_bins(values, owner, owners)
    sums = exact_sums(values, owner, owners)
    return [
        ColumnProfile(
            ColumnKind.NUMERIC,
            count=int(sizes[i]) + item.missing,
            missing=item.missing,
            nan=int(nan[i]),
            infinite=int(sizes[i] - present[i] - nan[i]),
            zeros=int(zeros[i]),
            bins=histograms[i][0],
            counts=histograms[i][1],
            minimum=float(low[i]),
            maximum=float(high[i]),
            total=sums[i][0],
            squares=sums[i][1],
        )
        for i, item in enumerate(series)
    ]


def _extremes(
    values: NDArray[np.float64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return smallest and largest value of each column; NaN for those without values."""
    low, high = np.full(sizes.size, np.nan), np.full(sizes.size, np.nan)
    filled = np.flatnonzero(sizes)
    if filled.size:
        starts = (np.cumsum(sizes) - sizes)[filled]
        # Adding zero makes -0.0 and 0.0 one value, so that the order of rows leaves no trace.
        low[filled] = np.minimum.reduceat(values, starts) + 0.0
        high[filled] = np.maximum.reduceat(values, starts) + 0.0
    return low, high


def _numbers(name: str, column: Chunks, *, hide: bool) -> _Series:
    try:
        cast = column.cast(pa.float64(), safe=False)
    except pa.ArrowException as error:
        raise ValueError(f"column {name!r} cannot be read as numbers: {error}") from error
    missing = cast.null_count
    values = (cast.drop_null() if missing else cast).to_numpy()
    return _Series(blur(values) if hide else values, missing)


def _categories(name: str, column: Chunks, kind: ColumnKind, *, hide: bool) -> ColumnProfile:
    try:
        cast = column.cast(pa.bool_()) if kind is ColumnKind.BOOLEAN else column
        texts = cast.cast(pa.string())
    except pa.ArrowException as error:
        raise ValueError(f"column {name!r} cannot be read as {kind}: {error}") from error
    found = pc.value_counts(texts)
    keys: list[str | None] = found.field("values").to_pylist()
    counts = found.field("counts").to_numpy().tolist()
    values: dict[str, int] = {}
    for key, rows in zip(keys, counts, strict=True):
        if key is not None:
            text = f"#{category_rank(key):016x}" if hide else key
            values[text] = values.get(text, 0) + rows
    kept, other = keep_categories(values)
    return ColumnProfile(kind, count=len(texts), missing=texts.null_count, values=kept, other=other)
