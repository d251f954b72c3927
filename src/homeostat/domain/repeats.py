"""Several rows about one prediction: the one whose label arrived last counts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.columns import float_array
from homeostat.domain.predictions import Predictions


def drop_repeats(rows: Predictions) -> tuple[Predictions, tuple[str, ...]]:
    """Keep one row of each id and version, and say what was dropped.

    Of rows with one id, a label beats none and a later arrival an earlier one. Labels that arrived
    at once and contradict each other are not known.

    Examples
    --------
    >>> from homeostat.domain.model import Task
    >>> scores, labels = np.array([0.9, 0.9]), np.array([0.0, 1.0])
    >>> ids, table = pa.chunked_array([["a", "a"]]), pa.table({"x": [1, 1]})
    >>> rows = Predictions(Task.BINARY, ("0", "1"), 0.5, scores, labels, labels, table, ids=ids)
    >>> kept, problems = drop_repeats(rows)
    >>> kept.labels.tolist(), problems[0]
    ([nan], '1 of 2 rows repeat the id of another: the label that arrived last counts')
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
    repeated = "rows repeat the id of another: the label that arrived last counts"
    said = [f"{dropped:,} of {keys.size:,} {repeated}"]
    if torn.any():
        said.append(f"{int(torn.sum()):,} predictions have labels that contradict each other")
    return found, tuple(said)


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
