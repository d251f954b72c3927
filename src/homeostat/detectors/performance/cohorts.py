"""Which rows count, and how they are parted into windows, versions and segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.domain.evaluation import KNOWN, MATURED, VERSION, WINDOW
from homeostat.domain.model import Task
from homeostat.domain.predictions import (
    NEVER,
    Micros,
    Predictions,
    cut_windows,
    from_micros,
    to_micros,
)
from homeostat.domain.window import Window

Codes = NDArray[np.int64]

MOST_PARTS = 1000
"""Parts of one kind that get figures: the largest ones."""

ENOUGH_TIMES = 30
OUT = "left out"
MISSING = "(missing)"
MICRO = timedelta(microseconds=1)

LATE = 0.05
"""Share of the labels of a class that may come after the maturity, or be missing for it."""
FEW_LATE = 4
SLOWEST = 0.99
"""Share of labels that have come by the age from which they are taken to be complete after all."""


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Rows that count.

    Attributes
    ----------
    rows : Predictions
        A label that had not arrived by ``as_of`` is not known.
    name : str
        ``"matured"``, ``"weighted"`` or ``"known"``.
    as_of : datetime or None
    reasons : mapping of str to str
        Why a window cannot be told yet, by its name; ``""``: why the whole cannot.
    complete : float
        Share of predictions that have a label once even late ones have come; 0 unless labels were
        seen to come after the maturity.
    """

    rows: Predictions
    name: str
    as_of: datetime | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    complete: float = 0.0

    def unripe(self, coverage: float) -> str:
        """Return why rows of which so many have a label cannot be told, or nothing."""
        if coverage >= self.complete - LATE:
            return ""
        return (
            f"labels of {coverage:.0%} are known, of old predictions {self.complete:.0%}: they "
            "come later than the maturity, raise it"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Parting:
    """One way to part rows.

    Attributes
    ----------
    by : str
    names : tuple of str
    codes : ndarray of int64, shape (n,)
        Place of each row's part in ``names``; -1: in none.
    windows : tuple of Window
        Of the parts, if they are windows of time; else empty.
    """

    by: str
    names: tuple[str, ...]
    codes: Codes
    windows: tuple[Window, ...] = ()


def mature(
    rows: Predictions, maturity: timedelta | None, as_of: datetime | None, *, matured: bool
) -> Cohort:
    """Leave out predictions whose labels may still come.

    Parameters
    ----------
    maturity : timedelta or None
        Age from which labels are complete; None: no row is too young.
    as_of : datetime or None
        What "now" is; None: the latest time in the data, but for single times far beyond the rest,
        which are left out (see `settled`). Labels that arrived later are not known.
    matured : bool
        Whether to leave young rows out.
    """
    if as_of is not None:
        as_of = from_micros(to_micros(as_of))
        rows = _as_known(rows, to_micros(as_of))
    if maturity is None or not matured or rows.timestamps is None:
        return Cohort(rows, KNOWN, as_of)
    rows, now = settled(rows, maturity) if as_of is None else (rows, to_micros(as_of))
    times = rows.timestamps
    assert times is not None
    undated, old = times == NEVER, times <= now - maturity // MICRO
    young = int(np.count_nonzero(~old & ~undated))
    # Without any time there is no "now" either.
    moment = None if as_of is None and undated.all() else from_micros(now)
    age = str(maturity).removesuffix(", 0:00:00")
    then = f"{from_micros(now):%Y-%m-%d %H:%M} UTC"
    complete, late = _late(rows, maturity // MICRO, now)
    said = {
        f"predictions have no time, so that their age is not known: {OUT}": int(undated.sum()),
        f"predictions are younger than {age} at {then}: {OUT}": young,
    }
    problems = [f"{k:,} of {len(rows):,} {text}" for text, k in said.items() if k]
    if late:
        problems.append(f"{late} later than the maturity of {age}: figures are biased, raise it")
    kept = replace(rows.take(old & ~undated), problems=(*rows.problems, *problems))
    return Cohort(kept, MATURED, moment, complete=complete)


def _late(rows: Predictions, maturity: int, now: int) -> tuple[float, str]:
    """Return the share of predictions that get a label in the end, and how many labels come late.

    0 and nothing where labels come in time, or it is not known when they came.
    """
    times, arrivals = rows.timestamps, rows.arrivals
    assert times is not None
    if arrivals is None:
        return 0.0, ""
    dated = times != NEVER
    known = rows.known & dated & (arrivals != NEVER)
    delays = arrivals[known] - times[known]
    # Of a rare class all may come late and yet be few among all labels.
    kinds = rows.labels[known].astype(np.intp) * (rows.task is not Task.REGRESSION)
    sizes, tardy = np.bincount(kinds), np.bincount(kinds[delays > maturity])
    if not (tardy > np.maximum(LATE * sizes[: tardy.size], FEW_LATE)).any():
        return 0.0, ""
    slow = int(np.quantile(delays, SLOWEST, method="higher"))
    complete = rows.known[dated & (times <= now - slow)]
    return float(complete.mean()), f"{int(tardy.sum()):,} of {delays.size:,} labels arrived"


def hide_young(rows: Predictions, maturity: timedelta, now: int) -> Predictions:
    """Take the labels of predictions that are younger than `maturity` at `now` for not known.

    Labels that come early are a biased selection. Rows without a time are taken for old.

    Examples
    --------
    >>> from homeostat.domain.model import Task
    >>> one, table = np.ones(2), pa.table({"x": [1, 2]})
    >>> times = np.array([0, 5])
    >>> rows = Predictions(Task.BINARY, ("0", "1"), 0.5, one, one, one, table, timestamps=times)
    >>> hide_young(rows, timedelta(microseconds=4), now=6).labels.tolist()
    [1.0, nan]
    """
    assert rows.timestamps is not None
    young = rows.known & (rows.timestamps != NEVER) & (rows.timestamps > now - maturity // MICRO)
    count = int(young.sum())
    if not count:
        return rows
    text = f"{count:,} of {len(rows):,} labels are of predictions too young for all to be known"
    labels = np.where(young, np.nan, rows.labels)
    return replace(rows, labels=labels, problems=(*rows.problems, f"{text}: {OUT}"))


def hide_young_of(
    reference: Predictions, current: Predictions, maturity: timedelta
) -> tuple[Predictions, Predictions]:
    """Take young labels of both sides for not known, each as of the latest time in it.

    A reference that does not say when its labels came was read no sooner than the current rows.
    """
    current, last = settled(current, maturity)
    reference, seen = settled(reference, maturity)
    if reference.arrivals is None:
        seen = max(seen, last)
    return hide_young(reference, maturity, seen), hide_young(current, maturity, last)


def partings(rows: Predictions, window: timedelta | int | None) -> Iterator[Parting]:
    """Yield every way to part the rows: windows if asked for, versions, and each segment column."""
    if isinstance(window, timedelta):
        yield _by_time(rows, window)
    elif window is not None:
        yield _by_count(rows, window)
    if rows.versions is not None:
        yield _by_text(VERSION, rows.versions)
    if rows.segments is not None:
        for name in rows.segments.column_names:
            yield _by_text(name, rows.segments.column(name))


def _as_known(rows: Predictions, now: int) -> Predictions:
    """Return the rows as they were known at a time: no later prediction, no later label."""
    if rows.timestamps is not None:
        there = (rows.timestamps <= now) | (rows.timestamps == NEVER)
        rows = rows if there.all() else rows.take(there)
    if rows.arrivals is None:
        return rows
    labels = np.where(rows.arrivals <= now, rows.labels, np.nan)
    return replace(rows, labels=labels)


def settled(rows: Predictions, maturity: timedelta) -> tuple[Predictions, int]:
    """Leave out times that can only be wrong, and return the latest of the others (0: no time).

    One wrong clock would make every row old enough. Of at least `ENOUGH_TIMES` times, up to one in
    a thousand, and one in any case, are left out if they come after a gap of more than a quarter of
    the maturity that is three times as long as any gap before it.

    Examples
    --------
    >>> from homeostat.domain.model import Task
    >>> one, table = np.ones(40), pa.table({"x": np.ones(40)})
    >>> times = np.append(np.arange(39), 10_000)
    >>> rows = Predictions(Task.BINARY, ("0", "1"), 0.5, one, one, one, table, timestamps=times)
    >>> kept, now = settled(rows, timedelta(microseconds=20))
    >>> len(kept), now, kept.problems[0][:24]
    (39, 38, '1 of 40 times lie beyond')
    """
    parts = [part[part != NEVER] for part in (rows.timestamps, rows.arrivals) if part is not None]
    times = np.sort(np.concatenate([np.empty(0, np.int64), *parts]))
    latest = int(times[-1]) if times.size else 0
    start = _odd_from(times, maturity // MICRO // 4)
    if start == times.size:
        return rows, latest
    now = int(times[start - 1])
    problem = (
        f"{times.size - start:,} of {times.size:,} times lie beyond {from_micros(now):%Y-%m-%d}, "
        f"up to {from_micros(latest):%Y-%m-%d}, far from the rest: {OUT}; give as_of if they count"
    )
    kept = _as_known(rows, now)
    return replace(kept, problems=(*kept.problems, problem)), now


def _odd_from(times: Micros, least: int) -> int:
    """Return the place of the first of few ascending times after a gap of its own kind."""
    if times.size < ENOUGH_TIMES:
        return times.size
    gaps = np.diff(times)
    wide = (gaps[1:] > least) & (gaps[1:] > 3 * np.maximum.accumulate(gaps)[:-1])
    odd = np.flatnonzero(wide) + 2
    odd = odd[odd >= times.size - max(1, times.size // 1000)]
    return int(odd[0]) if odd.size else times.size


def _by_time(rows: Predictions, window: timedelta) -> Parting:
    assert rows.timestamps is not None
    windows, codes = cut_windows(rows.timestamps, window)
    return Parting(WINDOW, tuple(map(str, windows)), codes, windows)


def _by_count(rows: Predictions, size: int) -> Parting:
    """Return windows of so many rows each, in the order of time; the last may be shorter."""
    n = len(rows)
    order = np.arange(n) if rows.timestamps is None else _ordered(rows.timestamps)
    codes = np.empty(n, dtype=np.int64)
    codes[order] = np.arange(n) // size
    starts = range(0, n, size)
    return Parting(WINDOW, tuple(f"rows {s + 1} to {min(s + size, n)}" for s in starts), codes)


def _ordered(times: Micros) -> NDArray[np.intp]:
    order: NDArray[np.intp] = np.argsort(times, kind="stable")
    return order


def _by_text(by: str, column: pa.ChunkedArray[pa.StringScalar]) -> Parting:
    found = column.drop_null().unique()
    texts = [str(name) for name in found.to_pylist()]
    given = pc.index_in(column, value_set=found).fill_null(len(texts)).to_numpy()
    names = [*texts, MISSING] if column.null_count else texts
    order = sorted(range(len(names)), key=names.__getitem__)
    place = np.empty(len(names), dtype=np.int64)
    place[order] = np.arange(len(names))
    return Parting(by, tuple(names[k] for k in order), place[given.astype(np.int64)])
