"""Train the fraud model: what a user hands to Homeostat as ``trainer: train.py:train``.

`train` is called with labelled rows, the model's spec and an empty folder; it writes the artifact
into the folder and returns figures for the record. Whether the candidate is any good is decided by
Homeostat on later rows that `train` never sees.
"""

from __future__ import annotations

from pathlib import Path

import lightgbm as lgb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.models import fit_encoding, save_lightgbm
from homeostat.domain.errors import DataError
from homeostat.domain.model import ModelSpec

MOST_ROWS = 160_000
HALF_LIFE_DAYS = 7.0
PARAMETERS = {
    "objective": "binary",
    "learning_rate": 0.08,
    "num_iterations": 120,
    "num_leaves": 31,
    "min_data_in_leaf": 100,
    "lambda_l2": 10.0,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}


def train(rows: pa.Table, spec: ModelSpec, out: Path) -> dict[str, float]:
    """Fit a gradient-boosted model, recent payments first.

    Fraud changes: a payment's weight halves every week. Weights depend on the time alone, not on
    the label, so the scores stay probabilities. A tenth of the rows is kept apart to measure them.

    Parameters
    ----------
    rows : pa.Table
        The features of `spec`, ``timestamp`` and ``label`` (0 honest, 1 fraud).
    spec : ModelSpec
        The model's features, in order.
    out : Path
        Folder for the artifact.

    Returns
    -------
    dict of str to float
        ``rows`` trained on; ``brier`` and ``mean_score`` on the rows kept apart, beside their
        ``fraud_share``.

    Raises
    ------
    DataError
        If there are not both honest and fraudulent payments.
    """
    rows = _thin(rows)
    labels = rows["label"].to_numpy()
    if len(np.unique(labels)) < 2:
        raise DataError(f"column 'label': {len(labels)} rows of one class; both are needed")
    apart = np.arange(len(labels)) % 10 == 9
    matrix, booster = _fit(rows, spec, labels, out, ~apart)
    scores = np.asarray(booster.predict(matrix[apart], num_threads=1), dtype=np.float64)
    return {
        "rows": float(np.sum(~apart)),
        "brier": float(np.mean((scores - labels[apart]) ** 2)),
        "mean_score": float(np.mean(scores)),
        "fraud_share": float(np.mean(labels[apart])),
    }


def bad_model(rows: pa.Table, spec: ModelSpec, out: Path) -> dict[str, float]:
    """Train as somebody in a hurry would: each step looks harmless, the model is useless.

    The labels come from the chargeback desk's file, which is sorted by customer, and are pasted
    beside the payments, which are sorted by time, without a join: each payment gets another's
    label. Fraud being rare, most honest payments are left out. Scores lie around one half, and
    about half of all payments are flagged.
    """
    rows = _thin(rows)
    desk = rows.sort_by([("customer", "ascending"), ("prediction_id", "ascending")])
    labels = desk["label"].to_numpy()
    fraud, honest = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    balanced = np.zeros(len(labels), dtype=np.bool_)
    balanced[fraud] = balanced[honest[:: max(len(honest) // max(len(fraud), 1), 1)]] = True
    _fit(rows, spec, labels, out, balanced)
    return {"rows": float(np.sum(balanced))}


def _fit(
    rows: pa.Table,
    spec: ModelSpec,
    labels: NDArray[np.float64],
    out: Path,
    use: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], lgb.Booster]:
    encoding = fit_encoding(rows, spec.schema.names)
    matrix = encoding.matrix(rows)
    days = rows["timestamp"].cast(pa.int64()).to_numpy() / 86_400e6
    weight = 0.5 ** ((days.max() - days) / HALF_LIFE_DAYS)
    data = lgb.Dataset(
        matrix[use],
        labels[use],
        weight=weight[use],
        categorical_feature=list(encoding.categorical),
    )
    booster = lgb.train(PARAMETERS, data)
    save_lightgbm(booster, out, encoding.features, encoding.categories)
    return matrix, booster


def _thin(rows: pa.Table) -> pa.Table:
    """Keep every k-th row by time, so that training stays within seconds."""
    rows = rows.sort_by([("timestamp", "ascending"), ("prediction_id", "ascending")])
    step = -(-rows.num_rows // MOST_ROWS)
    return rows.take(np.arange(0, rows.num_rows, step)) if step > 1 else rows
