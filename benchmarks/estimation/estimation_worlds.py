"""Estimates in generated worlds, where what is true is known.

Run (a few minutes of one core; fewer seeds are quicker)::

    python benchmarks/estimation/estimation_worlds.py [SEEDS] [WORLD ...]

A world draws a reference and a current table from a seed. Printed for each world and metric: the
share of windows that is told; mean absolute differences from the realized figure of what is told,
of calibrated scores alone and of "nothing has changed"; the share of told intervals that hold the
realized figure; half their width; and the share in which scores alone are further from the estimate
than that. Worlds in brackets break the assumption that labels follow from inputs as they did.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

import homeostat as hs
from homeostat.stats.expected import binary_metrics, multiclass_metrics

Floats = NDArray[np.float64]
Columns = dict[str, Floats]
SEEDS = 40
BINARY = ("accuracy", "precision", "recall", "auc")
SEVERAL = ("accuracy", "f1", "auc")
NUMBERS = ("mae", "rmse")
NAMES = "abcdef"


@dataclass(frozen=True, slots=True)
class World:
    """What a draw of rows is made of; `shift` and `moved` are of the current rows.

    ``shift`` moves the features, ``along`` two of them towards higher scores; ``prior`` keeps
    current rows of one class (positives of two) by this chance (label shift);
    ``base`` is the constant of the log-odds and ``slope`` by what the model stretches them;
    ``unseen`` is the weight of a feature that labels depend on and the score does not;
    ``wander`` drifts the log-odds over the reference; ``moved`` is added to those of the current
    rows; ``corner`` puts current rows beyond what the reference has.
    """

    task: str = "binary"
    rows: int = 4000
    window: int = 1000
    shift: float = 0.0
    along: float = 0.0
    prior: float = 1.0
    base: float = 0.0
    slope: float = 1.0
    unseen: float = 0.0
    wander: float = 0.0
    moved: float = 0.0
    corner: bool = False
    classes: int = 3
    threshold: float = 0.5

    def draw(self, rng: np.random.Generator, *, current: bool) -> Columns:
        """Return columns, among them the score or scores and the label ``y``."""
        n = max(2000, 2 * self.window) if current else self.rows
        inputs = rng.normal(self.shift if current else 0.0, 1.0, (4, n))
        if current:
            inputs[0] += self.along
            inputs[2] -= self.along
        columns = {f"x{i}": values for i, values in enumerate(inputs)}
        columns["c"] = rng.uniform(2.0, 3.0, n) if current and self.corner else rng.random(n)
        drift = self.moved * np.ones(n) if current else self.wander * np.linspace(-1.0, 1.0, n)
        if self.task == "regression":
            mean = 100.0 + 10.0 * inputs[0]
            spread = np.exp(1.0 + 0.5 * inputs[0] + 0.5 * self.unseen * inputs[1] + drift)
            return columns | {"p": mean, "y": mean + spread * rng.normal(size=n)}
        if self.task == "multiclass":
            drawn = columns | self._several(inputs, drift, rng)
            return self._kept(drawn, rng) if current else drawn
        seen = 1.2 * inputs[0] - 0.8 * inputs[2] + self.base
        truth = _logistic(seen + self.unseen * inputs[1] + drift)
        drawn = columns | {"p": _logistic(self.slope * seen), "y": 1.0 * (rng.random(n) < truth)}
        return self._kept(drawn, rng) if current else drawn

    def _kept(self, drawn: Columns, rng: np.random.Generator) -> Columns:
        if self.prior == 1.0:
            return drawn
        kept = (drawn["y"] != 1) | (rng.random(drawn["y"].size) < self.prior)
        return {name: values[kept] for name, values in drawn.items()}

    def _several(self, inputs: Floats, drift: Floats, rng: np.random.Generator) -> Columns:
        turns = 2.0 * np.pi * np.arange(self.classes)[:, None] / self.classes
        seen = 1.2 * (np.cos(turns) * inputs[0] + np.sin(turns) * inputs[2])
        hidden = self.unseen * np.cos(turns) * inputs[1] + drift * (turns == 0.0)
        truth, scores = (_softmax(levels) for levels in (seen + hidden, self.slope * seen))
        edges = truth.cumsum(axis=0)[:-1]
        label = (rng.random(inputs.shape[1]) > edges).sum(axis=0)
        return {f"p{NAMES[k]}": scores[k] for k in range(self.classes)} | {"y": label}

    @property
    def spec(self) -> hs.PredictionSpec:
        """Which columns are what."""
        features = ("x0", "x1", "x2", "x3", "c")
        if self.task == "multiclass":
            scores = {str(k): f"p{NAMES[k]}" for k in range(self.classes)}
            return hs.PredictionSpec("multiclass", "y", scores, features=features)
        return hs.PredictionSpec(self.task, "y", "p", threshold=self.threshold, features=features)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is estimated."""
        return {"binary": BINARY, "multiclass": SEVERAL}.get(self.task, NUMBERS)

    def realized(self, rows: Columns) -> dict[str, float]:
        """Return the metrics of labelled rows."""
        if self.task == "regression":
            error = rows["p"] - rows["y"]
            return {"mae": float(np.abs(error).mean()), "rmse": float(np.sqrt((error**2).mean()))}
        if self.task == "binary":
            flagged = (rows["p"] >= self.threshold).astype(np.float64)
            found = binary_metrics(rows["y"], flagged, rows["p"], BINARY)
        else:
            scores = np.stack([rows[f"p{NAMES[k]}"] for k in range(self.classes)], axis=1)
            truth = np.eye(self.classes)[rows["y"].astype(np.int64)]
            found = multiclass_metrics(truth, scores.argmax(axis=1), scores, SEVERAL)
        return {name: each.value for name, each in found.items()}


PLAIN, SEVERE = World(), World(shift=1.0)
REGRESSED, CLASSED = World("regression"), World("multiclass", rows=6000)
WORLDS: dict[str, World] = {
    "none": PLAIN,
    "covariate shift, mild": World(shift=0.4),
    "covariate shift, strong": SEVERE,
    "features say more": World(unseen=1.0, rows=8000),
    "features say more, mild shift": World(unseen=1.0, shift=0.4, rows=8000),
    "features say more, strong shift": World(unseen=1.0, shift=1.0, rows=8000),
    "scores shift": World(along=0.3),
    "label shift": World(prior=0.4),
    "label shift, mild": World(prior=0.75),
    "label shift, slight": World(prior=0.88),
    "label shift, features say more": World(prior=0.5, unseen=1.0, rows=8000),
    "label shift, rarer": World(prior=0.4, base=-1.5, rows=8000, window=2000),
    "label shift, windows of 5,000": World(prior=0.7, window=5000, rows=10_000),
    "label shift beside covariate shift": World(prior=0.5, shift=0.2),
    "3 classes, label shift": replace(CLASSED, prior=0.5),
    "rare positives": World(base=-5.5, rows=10_000, window=5000, threshold=0.05),
    "under-confident": World(slope=0.5, shift=0.4),
    "over-confident": World(slope=2.0, shift=0.4),
    "windows of 200": World(window=200),
    "windows of 5,000": World(window=5000, rows=10_000),
    "regression": REGRESSED,
    "regression, mild shift": replace(REGRESSED, shift=0.4, unseen=1.0),
    "regression, strong shift": replace(REGRESSED, shift=1.0, unseen=1.0, rows=8000),
    "3 classes": CLASSED,
    "3 classes, over-confident, shift": replace(CLASSED, slope=2.0, shift=0.4),
    "3 classes, features say more, shift": replace(CLASSED, unseen=1.0, shift=0.5),
    "6 classes, shift": replace(CLASSED, classes=6, shift=0.4),
    "reference drifts": World(wander=0.3),
    "reference drifts strongly": World(wander=1.0),
    "support missing": World(corner=True),
    "concept drift (unknowable)": World(moved=1.0),
    "3 classes, concept drift (unknowable)": replace(CLASSED, moved=1.0),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One metric of one window: truth, estimate (NaN if not told), interval and what else says."""

    realized: float
    value: float
    lower: float
    upper: float
    by_score: float
    unchanged: float


def answers(world: World, seed: int) -> dict[str, list[Answer]]:
    """Estimate one draw of a world."""
    rng = np.random.default_rng(seed)
    before, now = (world.draw(rng, current=current) for current in (False, True))
    blind = {name: values for name, values in now.items() if name != "y"}
    result = hs.estimate(before, blind, world.spec, window=world.window, metrics=world.metrics)
    found: dict[str, list[Answer]] = {name: [] for name in world.metrics}
    for window in result.windows:
        if window.last - window.first < world.window // 2:
            continue
        cut = {name: values[window.first : window.last] for name, values in now.items()}
        truth = world.realized(cut)
        for name in world.metrics:
            each = window[name]
            said = each.cross_checks
            value = said.get("withheld", each.value)
            if np.isfinite(truth[name]):
                whole = said.get("score_only", value), said["reference"]
                found[name].append(Answer(truth[name], each.value, each.lower, each.upper, *whole))
    return found


def main(arguments: list[str], show: Callable[[str], None] = print) -> None:
    """Print a line for each world and metric."""
    seeds = int(arguments[0]) if arguments else SEEDS
    show(f"{'world':38} {'metric':9} told    error by score unchanged coverage half width    apart")
    for name in arguments[1:] or WORLDS:
        world = WORLDS[name]
        draws = [answers(world, seed) for seed in range(seeds)]
        for metric in world.metrics:
            rows = [
                (a.realized, a.value, a.lower, a.upper, a.by_score, a.unchanged)
                for draw in draws
                for a in draw[metric]
            ]
            truth, value, lower, upper, score, unchanged = np.array(rows).T
            told = ~np.isnan(value)
            figures = "       -" * 6
            if told.any():
                errors = [np.abs(v - truth)[told].mean() for v in (value, score, unchanged)]
                held = ((lower <= truth) & (truth <= upper))[told].mean()
                half = (upper - lower)[told].mean() / 2.0
                apart = (np.abs(score - value) > (upper - lower) / 2.0)[told].mean()
                figures = " ".join(f"{each:8.4f}" for each in (*errors, held, half, apart))
            show(f"{name:38} {metric:9} {told.mean():4.0%} {figures}")


def _logistic(levels: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-levels)))


def _softmax(levels: Floats) -> Floats:
    whole = np.exp(levels - levels.max(axis=0))
    return np.asarray(whole / whole.sum(axis=0))


if __name__ == "__main__":
    main(sys.argv[1:])
