"""Times all metrics with intervals of a million scored rows, overall and in 20 segments.

python benchmarks/evaluate_speed.py [--rows N] [--segments N] [--runs N]

One process; the rows are in memory as an Arrow table, so reading them as predictions counts.
On a busy machine the CPU time tells more than the clock.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pyarrow as pa

import homeostat as hs

CLASSES = ("a", "b", "c", "d", "e")


def binary(rng: np.random.Generator, rows: int) -> dict[str, object]:
    odds = rng.normal(-3.0, 1.5, rows)
    scores = 1.0 / (1.0 + np.exp(-odds))
    return {"score": scores, "label": (rng.random(rows) < scores).astype(int)}


def multiclass(rng: np.random.Generator, rows: int) -> dict[str, object]:
    scores = rng.dirichlet(np.ones(len(CLASSES)), rows)
    drawn = (scores.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1)
    columns: dict[str, object] = {f"p_{name}": scores[:, k] for k, name in enumerate(CLASSES)}
    return columns | {"label": np.asarray(CLASSES)[np.minimum(drawn, len(CLASSES) - 1)]}


def regression(rng: np.random.Generator, rows: int) -> dict[str, object]:
    said = rng.gamma(3.0, 10.0, rows)
    return {"score": said, "label": said * rng.normal(1.0, 0.2, rows)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--segments", type=int, default=20)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    names = np.array([f"s{k:02d}" for k in range(args.segments)])
    segment = names[rng.integers(0, args.segments, args.rows)]
    weight = rng.uniform(0.5, 1.5, args.rows)
    for task, draw, score in (
        ("binary", binary, "score"),
        ("multiclass", multiclass, {name: f"p_{name}" for name in CLASSES}),
        ("regression", regression, "score"),
    ):
        table = pa.table({**draw(rng, args.rows), "segment": segment, "weight": weight})
        for weighted in (False, True):
            spec = hs.PredictionSpec(
                task, score=score, segments=("segment",), weight="weight" if weighted else ""
            )
            spent = []
            used = []
            for _ in range(args.runs):
                start, busy = time.perf_counter(), time.process_time()
                found = hs.evaluate(table, spec)
                spent.append(time.perf_counter() - start)
                used.append(time.process_time() - busy)
            what = f"{task}{', weighted' if weighted else ''}"
            print(
                f"{what:22} {min(spent):.2f} s ({min(used):.2f} s of CPU),",
                f"{len(found.figures)} figures",
                flush=True,
            )


if __name__ == "__main__":
    main()
