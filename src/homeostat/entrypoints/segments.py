"""Rows split by the values of columns, and profiled by segment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.detectors.comparison.segments import SegmentProfiles
from homeostat.domain.errors import DataError
from homeostat.domain.model import ColumnKind
from homeostat.entrypoints.rows import Rows, profile_piece
from homeostat.profiles.cast import Texts, read_as
from homeostat.profiles.profile import EMPTY, Profile, merge_all

Key: TypeAlias = tuple[str, ...]

MOST_SEGMENTS = 1000
MISSING = "(missing)"


def split(
    reference: Rows | Profile,
    current: Rows | Profile,
    by: Sequence[str],
    kinds: Mapping[str, ColumnKind],
) -> list[SegmentProfiles]:
    """Profile both sides by the values of the columns `by`.

    Raises
    ------
    DataError
        If a side is a stored profile, lacks one of the columns, or has over `MOST_SEGMENTS` values.
    """
    if isinstance(reference, Profile) or isinstance(current, Profile):
        raise DataError("a stored profile has no rows to split: segments need files or dataframes")
    wanted = {name: kind for name, kind in kinds.items() if name not in by}
    sides = [_profiles(rows, by, wanted) for rows in (reference, current)]
    keys = sorted({*sides[0], *sides[1]})
    return [
        SegmentProfiles(
            dict(zip(by, key, strict=True)), sides[0].get(key, EMPTY), sides[1].get(key, EMPTY)
        )
        for key in keys
    ]


def _profiles(rows: Rows, by: Sequence[str], kinds: Mapping[str, ColumnKind]) -> dict[Key, Profile]:
    found: dict[Key, Profile] = {}
    for piece in rows.pieces():
        for key, part in _parts(piece, by):
            profile, _ = profile_piece(part, kinds)
            found[key] = merge_all((found.get(key, EMPTY), profile))
            if len(found) > MOST_SEGMENTS:
                names = ", ".join(by)
                raise DataError(f"{names} has over {MOST_SEGMENTS:,} values; segment by another")
    return found


def _parts(table: pa.Table, by: Sequence[str]) -> Iterator[tuple[Key, pa.Table]]:
    """Yield the rows of each segment; one sorting takes them all apart."""
    absent = [name for name in by if name not in table.column_names]
    if absent:
        raise DataError(f"there is no column {absent[0]!r} to segment by; check its name")
    codes = np.zeros(table.num_rows, dtype=np.int64)
    values: list[list[str]] = []
    for name in by:
        texts = read_as(table.column(name), ColumnKind.CATEGORICAL)
        named = pc.unique(texts.drop_null())
        places = pc.index_in(texts, named).fill_null(len(named)).to_numpy()
        values.append([*map(str, cast("Texts", named).to_pylist()), MISSING])
        codes = codes * len(values[-1]) + places
    order = np.argsort(codes, kind="stable")
    ordered = table.take(order)
    sizes = tuple(len(names) for names in values)
    found, starts = np.unique(codes[order], return_index=True)
    ends = [*starts[1:].tolist(), table.num_rows]
    for code, start, end in zip(found.tolist(), starts.tolist(), ends, strict=True):
        chosen = np.unravel_index(code, sizes)
        key = tuple(names[int(place)] for names, place in zip(values, chosen, strict=True))
        yield key, ordered.slice(start, end - start)
