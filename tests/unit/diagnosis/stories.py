"""A small world whose model is right, and what can happen to it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.predictions import PredictionSpec

Columns = dict[str, NDArray[np.generic]]
Floats = NDArray[np.float64]

SPECS = {
    "binary": PredictionSpec("binary", classes=("0", "1")),
    "regression": PredictionSpec("regression"),
    "multiclass": PredictionSpec(
        "multiclass", classes=("0", "1", "2"), score={"0": "p0", "1": "p1", "2": "p2"}
    ),
}


def inputs(n: int, rng: np.random.Generator) -> Columns:
    shop = rng.choice(np.array(["a", "b", "c"], dtype=object), n, p=[0.6, 0.3, 0.1])
    gap = np.where(rng.random(n) < 0.05, np.nan, rng.gamma(2.0, 2.0, n))
    return {"x": rng.normal(size=n), "z": rng.lognormal(1, 1, n), "shop": shop, "gap": gap}


def truth(task: str, rows: Columns, concept: float = 0.0) -> Floats:
    x = rows["x"].astype(float)
    z = np.log(rows["z"].astype(float)) - 1.0
    line = 1.2 * x + 0.9 * z + 1.0 * (rows["shop"] == "c")
    turn = concept * (1.5 * (rows["shop"] == "b") - 1.2 * x)
    if task == "regression":
        return 10.0 + 3.0 * (line + turn)
    if task == "binary":
        return 1.0 / (1.0 + np.exp(1.5 - line - turn))
    odds = np.exp(np.column_stack((0.0 * x, line + turn - 0.5, 0.8 * z - 0.6 * x)))
    shares: Floats = odds / odds.sum(axis=1, keepdims=True)
    return shares


def outcome(task: str, known: Floats, rng: np.random.Generator) -> Floats:
    if task == "regression":
        return known + rng.normal(0.0, 3.0, known.size)
    if task == "binary":
        return (rng.random(known.size) < known).astype(float)
    drawn = (known.cumsum(axis=1) < rng.random((len(known), 1))).sum(axis=1)
    return np.minimum(drawn, 2).astype(float)


def scores(task: str, rows: Columns) -> Columns:
    said = truth(task, rows)
    if task == "multiclass":
        return {f"p{k}": said[:, k] for k in range(3)}
    return {"score": said}


def story(
    task: str, n: int, seed: int, *, shift: float = 0.0, mix: float = 0.0, concept: float = 0.0
) -> Columns:
    """Return scored and labelled rows: inputs moved, labels drawn otherwise, or other meaning."""
    rng = np.random.default_rng(seed)
    rows = inputs(12 * n if shift or mix else n, rng)
    labels = outcome(task, truth(task, rows, concept), rng)
    if shift or mix:
        high = labels == labels.max()
        if task == "regression":
            high = (labels - labels.mean()) / labels.std()
        odds = shift * rows["x"].astype(float) + mix * high
        weights = np.exp(odds - odds.max())
        at = rng.choice(labels.size, n, replace=False, p=weights / weights.sum())
        rows, labels = {name: values[at] for name, values in rows.items()}, labels[at]
    return {**rows, **scores(task, rows), "label": labels}
