"""Columns whose values are times or numbers, written so that they read as something else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

LOOKED = 1000
MOST_OF = 0.9
DAY = r"(\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{4})"
DATE = rf"^\s*{DAY}([ T]+\d{{1,2}}:\d{{2}}.*)?\s*$"
SEPARATED = r"^\s*[-+]?[€$£]?\s?\d{1,3}([,.' ]?\d{3})*([.,]\d+)?\s?[€$£%]?\s*$"
SIGNS = r"[,'€$£%]"
SINCE_1970 = ((1e8, 4e9, "seconds"), (1e11, 4e12, "milliseconds"))
CLOCKS = re.compile(r"(^|_)(ts|time|timestamp|date|datetime|epoch|created|updated)(_|$)")
ROW = re.compile(r"-?\d+\.\d+|\d{4}-\d\d-\d\d.*")


def odd(name: str, column: pa.ChunkedArray[Any]) -> str:
    """Return how a column should be written, if it is a time or a number in another form.

    Examples
    --------
    >>> print(odd("when", pa.chunked_array([["31.01.2026 10:00", "01.02.2026 11:30"]])))
    times such as '31.01.2026 10:00'; write 2026-01-31T12:00:00Z, so that they can be read
    >>> odd("shop", pa.chunked_array([["a", "b"]]))
    ''
    """
    found = column.drop_null().slice(0, LOOKED)
    if not len(found):
        return ""
    if pt.is_string(column.type):
        shown = str(found[0])[:40]
        if _share(found, DATE) >= MOST_OF:
            return f"times such as {shown!r}; write 2026-01-31T12:00:00Z, so that they can be read"
        if _share(found, SEPARATED) >= MOST_OF and _share(found, SIGNS) > 0:
            return f"numbers such as {shown!r}; write 1234.5, so that they can be read"
        return ""
    if CLOCKS.search(name.lower()) and (pt.is_integer(column.type) or pt.is_floating(column.type)):
        low, high = (float(end.as_py()) for end in pc.min_max(found).values())
        for least, most, unit in SINCE_1970:
            if least <= low <= high <= most:
                return f"{unit} since 1970, it seems; write 2026-01-31T12:00:00Z"
    return ""


def no_header(names: Sequence[str]) -> str:
    """Return what to say if names of columns look like a row of values; else nothing.

    Examples
    --------
    >>> no_header(["0", "2026-01-01", "12.5"])
    "the first line looks like a row, not like names ('2026-01-01'): give the file a header"
    >>> no_header(["amount", "2024"])
    ''
    """
    value = next((name for name in names if ROW.fullmatch(name)), "")
    told = f"the first line looks like a row, not like names ({value[:40]!r})"
    return f"{told}: give the file a header" if value else ""


def _share(texts: pa.ChunkedArray[Any], pattern: str) -> float:
    fits = pc.match_substring_regex(texts, pattern)
    return float(pc.mean(fits.cast(pa.float64())).as_py())
