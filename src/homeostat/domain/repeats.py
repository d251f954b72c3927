"""Several rows about one prediction: the one whose label arrived last counts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.columns import float_array
from homeostat.domain.predictions import Predictions

Places = NDArray[np.intp]


def drop_repeats(rows: Predictions) -> tuple[Predictions, tuple[str, ...]]:
    """Keep one row of each id and version, and say what was dropped.

    Of rows with one id, a label beats none, a later arrival an earlier one, and then a later row an
    earlier one. Labels that arrived at once, or it is not known when, and contradict each other are
    not known.

    Examples
    --------
    >>> from homeostat.domain.model import Task
    >>> scores, labels = np.array([0.9, 0.9]), np.array([0.0, 1.0])
    >>> ids, table = pa.chunked_array([["a", "a"]]), pa.table({"x": [1, 1]})
    >>> rows = Predictions(Task.BINARY, ("0", "1"), 0.5, scores, labels, labels, table, ids=ids)
    >>> kept, problems = drop_repeats(rows)
    >>> kept.labels.tolist(), problems[0]
    ([nan], '1 of 2 rows repeat the id of another: one with a label counts')
    """
    if rows.ids is None or not len(rows):
        return rows, ()
    keys = _keys(rows)
    arrivals = np.zeros(keys.size, np.int64) if rows.arrivals is None else rows.arrivals
    order = np.lexsort((arrivals, rows.known, keys))
    ordered = keys[order]
    last = np.append(ordered[1:] != ordered[:-1], True)
    kept = order[last]
    dropped = keys.size - kept.size
    if not dropped:
        return rows, ()
    winner = kept[np.cumsum(last) - last]  # the row that stands for each ordered row
    rival = rows.known[order] & (arrivals[order] == arrivals[winner])
    against = rival & (rows.labels[order] != rows.labels[winner])
    torn = np.isin(kept, winner[against])
    found = rows.take(np.sort(kept))
    found.labels[torn[np.argsort(kept)]] = np.nan
    first = "one with a label" if rows.arrivals is None else "the label that arrived last"
    said = [f"{dropped:,} of {keys.size:,} rows repeat the id of another: {first} counts"]
    if torn.any():
        labels = f"{int(torn.sum()):,} predictions have labels that contradict each other"
        said.append(f"{labels}: taken as not known")
    unlike = np.unique(winner[_differ(rows, order, winner)]).size
    if unlike:
        said.append(f"{unlike:,} predictions have rows of other scores: those of one row count")
    return found, tuple(said)


def _differ(rows: Predictions, some: Places, others: Places) -> NDArray[np.bool_]:
    """Return where rows have other scores or predictions than others; missing ones do not count."""
    found = np.zeros(some.size, dtype=np.bool_)
    for values in (rows.scores.reshape(len(rows), -1), rows.predictions[:, None]):
        one, other = values[some], values[others]
        found |= ((one != other) & ~np.isnan(one) & ~np.isnan(other)).any(axis=1)
    return found


def _keys(rows: Predictions) -> NDArray[np.int64]:
    """Return a number for each id and version; rows without an id have one each."""
    assert rows.ids is not None
    ids = _codes(rows.ids)
    alone = ids < 0
    ids[alone] = ids.max(initial=-1) + 1 + np.arange(int(alone.sum()))
    if rows.versions is None:
        return ids
    versions = _codes(rows.versions) + 1
    return ids * (int(versions.max()) + 1) + versions


def _codes(texts: pa.ChunkedArray[pa.StringScalar]) -> NDArray[np.int64]:
    indices = texts.combine_chunks().dictionary_encode().indices.cast(pa.float64())
    codes = float_array(pa.chunked_array([indices]))
    return np.where(np.isnan(codes), -1, codes).astype(np.int64)
