"""The matrix of causes: what happened against what was said, and what was advised.

    PYTHONPATH=src python benchmarks/diagnosis [--seeds 20] [--rows 4000] [--worlds cards,homes]
        [--cells none,covariate_shift] [--learner linear]

Prints one line a cell (cause, size and data set), then the confusion matrix, the share of pure
cells told right, and the share of data faults on which retraining was advised.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter, defaultdict

import numpy as np
from happenings import CELLS, SIZES, make
from scenes import WORLDS

import homeostat as hs


def named(causes: tuple[str, ...]) -> str:
    return "+".join(sorted(causes)) or "none"


def expected(cell: str) -> str:
    return named(tuple(part.partition(":")[0] for part in cell.split("+")))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--cells", default=",".join(CELLS))
    parser.add_argument("--learner", choices=("boosted", "linear"), default="boosted")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    warnings.filterwarnings("ignore")
    confusion: dict[str, Counter[str]] = defaultdict(Counter)
    retrained = faulty = 0
    for name in asked.worlds.split(","):
        world = WORLDS[name]()
        world.learner = asked.learner
        world.fit(np.random.default_rng(1))
        for cell in asked.cells.split(","):
            for size, place in SIZES.items():
                said: Counter[str] = Counter()
                advised: Counter[str] = Counter()
                for seed in range(asked.first, asked.first + asked.seeds):
                    rng = np.random.default_rng([seed, place])
                    before, now = make(world, cell, place, asked.rows, rng)
                    found = hs.diagnose(before, now, world.spec)
                    said[named(found.causes)] += 1
                    advised[found.action.value] += 1
                    if "data_fault" in cell:
                        faulty += 1
                        retrained += found.retrain
                confusion[expected(cell)] += said
                right = said[expected(cell)] / asked.seeds
                print(f"{name} {cell} {size}: {right:.2f} {dict(said)} {dict(advised)}", flush=True)
                if expected(cell) == "none":
                    break
    report(confusion, retrained, faulty)


def report(confusion: dict[str, Counter[str]], retrained: int, faulty: int) -> None:
    print("\nhappened -> said")
    for cause, said in confusion.items():
        total = said.total()
        told = ", ".join(f"{name} {count}" for name, count in said.most_common())
        print(f"{cause} ({total}): right {said[cause] / total:.3f}; {told}")
    pure = {cause: said for cause, said in confusion.items() if "+" not in cause}
    rates = [said[cause] / said.total() for cause, said in pure.items()]
    right = sum(said[cause] for cause, said in pure.items())
    total = sum(said.total() for said in pure.values())
    if total:
        print(f"pure cells right: {right / total:.3f} of all, {np.mean(rates):.3f} by cause")
    if faulty:
        print(f"retrain advised on a data fault: {retrained} of {faulty}")


if __name__ == "__main__":
    main()
