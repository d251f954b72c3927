"""How often the 95 % intervals of a binary model's figures hold the truth, where positives are few.

Run with ``python benchmarks/rare_intervals.py [REPEATS]`` (a few minutes at 400): a line of
coverage for each number of rows, rate of positives, spread of scores and error of the scores. The
truth of bias, Brier score and log loss is that of endlessly many such rows; of the calibration
errors that of the same cells of scores. The mean width stands beside it: an interval of everything
would cover too.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.performance.realized import Labelled, realize
from homeostat.domain.model import Task
from homeostat.stats.calibration import reliability

Floats = NDArray[np.float64]

METRICS = ("bias", "brier", "log_loss", "ece", "calibration_error")
SIZES = (20, 50, 100, 300, 1000, 2000)
RATES = (0.001, 0.005, 0.02, 0.1, 0.5)
SPREADS = ("even", "wide")
ERRORS = {"right": 1.0, "twice too high": 0.5, "half too low": 2.0}


def draw(
    rng: np.random.Generator, n: int, rate: float, spread: str, factor: float
) -> tuple[Floats, Floats]:
    """Scores, and the chances that are true of them, `factor` times their odds."""
    if spread == "even":
        chances = rng.uniform(0.5 * rate, 1.5 * rate, n)
    else:
        chances = 1.0 / (1.0 + np.exp(-np.log(rate / (1.0 - rate)) - rng.normal(0.0, 1.2, n)))
    odds = chances / (1.0 - chances) / factor
    return odds / (1.0 + odds), chances


def truths(scores: Floats, chances: Floats) -> dict[str, float]:
    """Figures over endlessly many rows, from a large sample of scores."""
    return {
        "bias": float(np.mean(scores - chances)),
        "brier": float(np.mean((1.0 - chances) * scores**2 + chances * (1.0 - scores) ** 2)),
        "log_loss": float(-np.mean(chances * np.log(scores) + (1.0 - chances) * np.log1p(-scores))),
    }


def cell(n: int, rate: float, spread: str, factor: float, repeats: int) -> dict[str, list[float]]:
    """Coverage, mean width and share of available intervals of each metric."""
    rng = np.random.default_rng([n, int(rate * 1e4), len(spread), int(factor * 10)])
    whole = truths(*draw(rng, 400_000, rate, spread, factor))
    found: dict[str, list[tuple[bool, float]]] = {name: [] for name in METRICS}
    for _ in range(repeats):
        scores, chances = draw(rng, n, rate, spread, factor)
        order = np.argsort(scores)
        scores, chances = scores[order], chances[order]
        labels = (rng.random(n) < chances).astype(float)
        said = (scores >= 0.5).astype(float)
        made = realize(Labelled(Task.BINARY, labels, said, scores))
        assert made.ranking is not None
        cells = reliability(made.ranking)
        edges = np.cumsum([part.n for part in cells])[:-1]
        gaps = np.array([part.mean() for part in np.split(chances - scores, edges)])
        shares = np.array([part.share for part in cells])
        whole["ece"] = float(shares @ np.abs(gaps))
        whole["calibration_error"] = float(np.sqrt(shares @ gaps**2))
        for name in METRICS:
            figure = made.estimates[name]
            if figure.bounded:
                right = figure.lower - 1e-12 <= whole[name] <= figure.upper + 1e-12
                found[name].append((right, figure.upper - figure.lower))
    return {
        name: [*np.mean(rows, axis=0).tolist(), len(rows) / repeats] if rows else [np.nan] * 3
        for name, rows in found.items()
    }


def main() -> None:
    """Print the table."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    print("n      rate   scores  error           " + "".join(f"{name:>25}" for name in METRICS))
    every: dict[str, list[float]] = {name: [] for name in METRICS}
    for n in SIZES:
        for rate in RATES:
            for spread in SPREADS:
                for error, factor in ERRORS.items():
                    found = cell(n, rate, spread, factor, repeats)
                    line = f"{n:<6} {rate:<6} {spread:<7} {error:<16}"
                    for name, (cover, width, there) in found.items():
                        line += f"{cover:>11.3f} {width:>8.4f} {there:>4.0%}"
                        every[name].append(cover)
                    print(line, flush=True)
    for name, covers in every.items():
        seen = np.array(covers)[~np.isnan(covers)]
        low, mean = float(seen.min()), float(seen.mean())
        print(f"{name}: lowest {low:.3f}, mean {mean:.3f}, {np.sum(seen < 0.92)} cells under 0.92")


if __name__ == "__main__":
    main()
