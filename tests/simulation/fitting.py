"""Logistic regression by Newton's method: trains in milliseconds, the same everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from homeostat.adapters.models.linear import Term, save_linear
from homeostat.domain.effect import StartTraining
from homeostat.domain.model import ModelSpec
from homeostat.engine.ports import Training
from homeostat.simulation.fakes import MemoryTrainer

FEATURES = ("signal", "amount")


def train(rows: pa.Table, spec: ModelSpec, out: Path) -> dict[str, float]:
    """Fit and write a 'linear' artifact, as a user's trainer would."""
    design = np.column_stack([np.ones(rows.num_rows), *(rows[n].to_numpy() for n in FEATURES)])
    labels = rows["label"].to_numpy()
    weights = np.zeros(design.shape[1])
    ridge = 1e-3 * np.eye(design.shape[1])
    for _ in range(8):
        chance = 1 / (1 + np.exp(-design @ weights))
        curve = design * (chance * (1 - chance))[:, None]
        gradient = design.T @ (labels - chance) - ridge @ weights
        weights += np.linalg.solve(design.T @ curve + ridge, gradient)
    terms = [Term(name, float(w)) for name, w in zip(FEATURES, weights[1:], strict=True)]
    save_linear(out, float(weights[0]), terms)
    return {"rows": float(rows.num_rows)}


def memory_trainer(folder: Path, polls: int = 0) -> MemoryTrainer:
    """Return a trainer that fits in this process, each run into a folder of its own."""

    def run(request: StartTraining, spec: ModelSpec, rows: pa.Table) -> Training:
        out = folder / request.run_id
        metrics = train(rows, spec, out)
        return Training(True, out, "linear", metrics=tuple(metrics.items()))

    return MemoryTrainer(run, polls)


def contrary(folder: Path) -> Path:
    """Write a model that believes the opposite of what is true in the world's quiet times."""
    save_linear(folder, 0.0, [Term("signal", -3.0), Term("amount", 0.0)])
    return folder
