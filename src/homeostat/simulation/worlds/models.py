"""Models of a world: logistic regressions that are fitted in milliseconds, the same everywhere."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.answers import Answers
from homeostat.domain.effect import StartTraining
from homeostat.domain.model import ModelSpec
from homeostat.engine.ports import Registry, Training
from homeostat.simulation.fakes import MemoryTrainer

FEATURES = ("signal", "amount")
FLAVOUR = "worlds-linear"
STEPS, RIDGE = 8, 1e-3


def design_of(rows: pa.Table) -> NDArray[np.float64]:
    """Return one row of numbers for each row; what is missing counts as usual."""
    signal = rows["signal"].to_numpy().astype(np.float64)
    amount = rows["amount"].to_numpy().astype(np.float64)
    scaled = (np.log(np.maximum(amount, 1e-3)) - 3.0) / 0.5
    return np.column_stack([np.ones(rows.num_rows), np.nan_to_num(signal), np.nan_to_num(scaled)])


def fit(rows: pa.Table, out: Path) -> dict[str, float]:
    """Fit by Newton's method and write the weights."""
    design, labels = design_of(rows), rows["label"].to_numpy().astype(np.float64)
    weights, ridge = np.zeros(design.shape[1]), RIDGE * np.eye(design.shape[1])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        curve = design * (chance * (1 - chance))[:, None]
        gradient = design.T @ (labels - chance) - ridge @ weights
        weights += np.linalg.solve(design.T @ curve + ridge, gradient)
    write(out, weights.tolist())
    return {"rows": float(rows.num_rows)}


def write(out: Path, weights: list[float]) -> Path:
    """Write an artifact, rounded so that it is the same on every processor."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([round(weight, 6) for weight in weights]))
    return out


def trainer(folder: Path, polls: int = 1) -> MemoryTrainer:
    """Return a trainer that fits in this process, and whose runs take a tick."""

    def run(request: StartTraining, spec: ModelSpec, rows: pa.Table) -> Training:
        del spec
        out = folder / f"{request.run_id}.json"
        metrics = fit(rows, out)
        return Training(True, out, FLAVOUR, metrics=tuple(metrics.items()))

    return MemoryTrainer(run, polls)


@dataclass
class LinearScorer:
    """Implements `homeostat.engine.ports.Scorer` over a registry's artifacts, read once each."""

    registry: Registry
    _weights: dict[tuple[str, str], NDArray[np.float64]] = field(default_factory=dict)

    def score(self, spec: ModelSpec, version: str, rows: pa.Table) -> NDArray[np.float64]:
        """Return one score a row; raises NotFoundError for an unknown version."""
        key = (spec.name, version)
        if key not in self._weights:
            read = self.registry.path(spec.name, version).read_text()
            self._weights[key] = np.array(json.loads(read), dtype=np.float64)
        logit = design_of(rows) @ self._weights[key]
        scores: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(logit, -30, 30)))
        return scores

    def answer(self, spec: ModelSpec, version: str, rows: pa.Table) -> Answers:
        """Return the scores; raises NotFoundError for an unknown version."""
        return Answers(self.score(spec, version, rows))
