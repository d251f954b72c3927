"""How often a sound change of the mix of rows, or nothing at all, is called a fault of the data.

    PYTHONPATH=src python benchmarks/diagnosis/false_faults.py [--runs 200] [--whole]

Every run draws a world of its own: columns that depend on each other, ages in whole years, steps,
categories of two to six words, and sources. Current rows are drawn alike ("null"), by a random
tilt of all columns ("tilt"), with one narrow group of ages that comes to 6 to 30 % more of the
rows ("group"), or tilted in one source only ("source"). Small: 400 rows now, 2,000 before; large:
5,000 and 20,000. ``--whole`` asks `hs.diagnose` with labels, else only the faults are looked for.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import homeostat as hs
from homeostat.detectors.faults.columns import read_pair
from homeostat.detectors.faults.config import FaultConfig
from homeostat.detectors.faults.find import find_faults

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[np.generic]]
SIZES = {"small": (2_000, 400), "large": (20_000, 5_000)}
CELLS = ("null", "tilt", "group", "source")


def words(names: str, latent: Floats, rng: np.random.Generator, weights: Floats) -> Columns:
    odds = np.log(weights) + np.outer(latent, np.linspace(-0.6, 0.6, weights.size))
    drawn = (odds + rng.gumbel(size=odds.shape)).argmax(axis=1)
    return {names: np.array([f"{names}{k}" for k in range(weights.size)], dtype=object)[drawn]}


def draw(n: int, seed: int, rng: np.random.Generator) -> Columns:
    shape = np.random.default_rng(seed)
    z = rng.normal(size=(n, 4))
    rows: Columns = {
        "age": np.floor(95 / (1 + np.exp(-1.5 * z[:, 0] - 0.8 * z[:, 1]))),
        "amount": np.exp(3 + 0.8 * z[:, 1] + 0.3 * z[:, 2]),
        "gap": z[:, 2] + 0.5 * rng.normal(size=n),
        "extra": rng.choice([0.0, 0.5, 1.0, 4.5], n, p=[0.52, 0.3, 0.17, 0.01]),
        "visits": rng.poisson(np.exp(1.0 + 0.4 * z[:, 3])).astype(float),
        "hours": np.clip(np.round(38 + 10 * z[:, 3]), 0, 90),
    }
    for k in range(4):
        weights = shape.dirichlet(np.full(int(shape.integers(2, 7)), 2.0)) + 0.02
        rows |= words(f"c{k}", z[:, k], rng, weights)
    rows |= words("vendor", z[:, 3], rng, np.array([0.5, 0.3, 0.2]))
    return rows


def odds_of(rows: Columns, rng: np.random.Generator) -> Floats:
    total = np.zeros(rows["age"].size)
    for values in rows.values():
        if values.dtype == object:
            _, codes = np.unique(values, return_inverse=True)
            total += rng.normal(0.0, 0.8, codes.max() + 1)[codes]
        else:
            total += rng.normal(0.0, 0.5) * (values - values.mean()) / values.std()
    return total


def pick(rows: Columns, odds: Floats, n: int, rng: np.random.Generator) -> Columns:
    weights = np.exp(odds - odds.max())
    at = rng.choice(odds.size, n, replace=False, p=weights / weights.sum())
    return {name: values[at] for name, values in rows.items()}


def grouped(pool: Columns, n: int, rng: np.random.Generator) -> Columns:
    first, width = rng.integers(10, 60), rng.integers(3, 8)
    inside = (pool["age"] >= first) & (pool["age"] < first + width)
    wanted = inside.mean() + rng.uniform(0.06, 0.3)
    return pick(pool, np.where(inside, np.log(wanted / inside.mean()), 0.0), n, rng)


def make(cell: str, size: str, seed: int) -> tuple[Columns, Columns]:
    rng = np.random.default_rng([seed, len(cell), len(size)])
    n, m = SIZES[size]
    before = draw(n, seed, rng)
    if cell == "null":
        return before, draw(m, seed, rng)
    pool = draw(12 * m, seed, rng)
    if cell == "group":
        return before, grouped(pool, m, rng)
    odds = odds_of(pool, rng)
    if cell == "source":
        odds = np.where(pool["vendor"] == f"vendor{rng.integers(3)}", odds, odds.mean())
    return before, pick(pool, odds, m, rng)


def labelled(rows: Columns, rng: np.random.Generator) -> Columns:
    odds = -1 + 0.03 * (rows["age"] - 40) + 0.4 * rows["gap"] + 0.5 * (rows["vendor"] == "vendor1")
    score = 1 / (1 + np.exp(-odds))
    return {**rows, "score": score, "label": (rng.random(score.size) < score).astype(int)}


def told(before: Columns, now: Columns, seed: int, *, whole: bool) -> list[str]:
    if whole:
        rng = np.random.default_rng(seed)
        spec = hs.PredictionSpec("binary", classes=("0", "1"))
        return [f.text for f in hs.diagnose(labelled(before, rng), labelled(now, rng), spec).faults]
    return [
        item.fault.text
        for item in find_faults(*read_pair(pa.table(before), pa.table(now)), FaultConfig())
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--cells", default=",".join(CELLS))
    parser.add_argument("--whole", action="store_true")
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")
    for size in SIZES:
        for cell in asked.cells.split(","):
            wrong: Counter[str] = Counter()
            hit = 0
            for seed in range(asked.first, asked.first + asked.runs):
                texts = told(*make(cell, size, seed), seed, whole=asked.whole)
                hit += bool(texts)
                wrong.update(text[:90] for text in texts)
            print(f"{size} {cell}: {hit} of {asked.runs} told a fault", flush=True)
            for text, count in wrong.most_common(6):
                print(f"    {count} {text}", flush=True)


if __name__ == "__main__":
    main()
