"""Whether labels are known of too few rows to tell another mix of labels from a selection."""

from __future__ import annotations

import numpy as np

from homeostat.diagnosis.mechanisms import Evidence
from homeostat.domain.decision import Cause
from homeostat.domain.predictions import Predictions

_FEW = 0.9  # share of rows with labels, and of what it was, below which they may be a selection


def coverage(rows: Predictions) -> float:
    """Return the share of rows with labels, of those no later than the latest that has one.

    Rows that are too young for a label are no selection.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from homeostat.domain.model import Task
    >>> said, label = np.array([0.2, 0.9, 0.4]), np.array([0.0, 1.0, np.nan])
    >>> table, at = pa.table({"x": [1, 2, 3]}), np.array([1, 2, 3])
    >>> rows = Predictions(Task.BINARY, ("0", "1"), 0.5, said, said.round(), label, table, at)
    >>> coverage(rows)
    1.0
    """
    if not rows.known.any():
        return 0.0
    asked = np.ones(len(rows), dtype=bool)
    if rows.timestamps is not None:
        asked = rows.timestamps <= rows.timestamps[rows.known].max()
    return float(rows.known[asked].mean())


def is_selection(before: Predictions, now: Predictions) -> bool:
    """Whether plainly fewer current rows have labels than reference rows had."""
    seen = coverage(now)
    return 0.0 < seen < _FEW and seen < _FEW * coverage(before)


def say_selection(before: Predictions, now: Predictions) -> str:
    """Say why labels do not tell."""
    return (
        f"labels are known of {coverage(now):.0%} of the rows that could have one, "
        f"{coverage(before):.0%} before: if which rows go with the label, that looks like "
        "another mix of labels"
    )


def selects(told: tuple[Cause, ...], found: Evidence, level: float) -> bool:
    """Whether knowing labels of one class rather than of another would look like this.

    It changes the log-odds of labels by a constant, whatever the inputs.
    """
    constant = Cause.CONCEPT_DRIFT in told and found.offset.p_value > level
    return constant or Cause.LABEL_SHIFT in told
