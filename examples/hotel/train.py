"""Train the cancellation model: what a user hands to Homeostat as ``trainer: train.py:train``.

There are only about a thousand bookings a month, so the trees are small: eight leaves did best when
fitted on bookings before mid-October 2015 and tried on those up to December, that is before the
first month that the backtest judges.
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

ROUNDS = 200
PARAMETERS = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 8,
    "min_data_in_leaf": 50,
    "lambda_l2": 5.0,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}


def train(rows: pa.Table, spec: ModelSpec, out: Path) -> dict[str, float]:
    """Fit on bookings whose ``label`` (1: cancelled) is known and write the artifact into `out`.

    Returns
    -------
    dict of str to float
        ``rows`` trained on, their ``cancelled`` share and the ``brier`` score on them, which is
        better than it will be on new bookings.

    Raises
    ------
    DataError
        If there are not both kept and cancelled bookings.
    """
    rows = rows.sort_by([("timestamp", "ascending"), ("prediction_id", "ascending")])
    labels = rows["label"].cast(pa.float64()).to_numpy()
    if len(np.unique(labels)) < 2:
        raise DataError(f"column 'label': {len(labels)} rows of one class; both are needed")
    encoding = fit_encoding(rows, spec.schema.names)
    matrix = encoding.matrix(rows)
    weights = _weights(rows)
    categorical = list(encoding.categorical)
    data = lgb.Dataset(matrix, labels, weight=weights, categorical_feature=categorical)
    booster = lgb.train(PARAMETERS, data, ROUNDS)
    save_lightgbm(booster, out, encoding.features, encoding.categories)
    scores = np.asarray(booster.predict(matrix, num_threads=1), dtype=np.float64)
    return {
        "rows": float(len(labels)),
        "cancelled": float(np.average(labels, weights=weights)),
        "brier": float(np.average((scores - labels) ** 2, weights=weights)),
    }


def _weights(rows: pa.Table) -> NDArray[np.float64]:
    """Return how much each row counts, which Homeostat says where rows do not count alike."""
    if "training_weight" not in rows.column_names:
        return np.ones(rows.num_rows)
    return np.asarray(rows["training_weight"].to_numpy(), dtype=np.float64)
