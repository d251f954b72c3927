"""Lets controller, trainer, registry, store, log and routes die at random steps of many lives.

    PYTHONPATH=src:tests python benchmarks/rollout_kills.py [--seeds 500] [--first 0] [--rate 0.05]

One life is nine to seventeen days of a model whose world changes on the first: it is retrained,
rolled out and promoted, people push, submit, abort and roll back, and in the first six days
something happens at each step (a call of a port, a commit) with the given probability.
`tests/simulation/doomed.py` says what, and what is checked after each tick: one champion, who
follows from the decision log, no promotion and no training twice, nothing asked for lost or done
twice; in the quiet days gateways and registry know what the state says, and in the end a version
that has learnt the change serves. Ends with 1 if anything of that did not hold in
a life, and names its seed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

from simulation.doomed import Doomed
from simulation.world import MODEL

TOLD = ("promote", "roll_back", "push", "abort", "start_training", "refuse")


def main() -> int:
    """Live the lives; return 1 if one of them went wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.05)
    args = parser.parse_args()
    happened, made, wrong = Counter[str](), Counter[str](), []
    steps = deaths = 0
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(args.first, args.first + args.seeds):
            life = Doomed.begin(Path(folder), seed, args.rate)
            try:
                life.live()
            except Exception:  # noqa: BLE001 - whatever it was, the others are lived, too
                wrong.append(seed)
                sys.stdout.write(f"seed {seed}\n{traceback.format_exc(limit=-2)}\n")
            for what, count in life.chaos.happened.items():
                port, _, sort = what.partition(".")
                happened[f"{port}: {sort.partition(' ')[2]}"] += count
            made.update(d.action for d in life.world.ports.records.decisions(MODEL))
            made.update(f"asked, {'answered' if a.answered else 'answer lost'}" for a in life.asked)
            if seed % 20 == 19:
                sys.stderr.write(f"{seed + 1 - args.first} lives, {len(wrong)} gone wrong\n")
            steps, deaths = steps + life.chaos.steps, deaths + life.deaths
    sys.stdout.write(
        f"{args.seeds} lives, {steps} steps, {sum(happened.values())} of them fatal:\n"
    )
    for what, count in sorted(happened.items()):
        sys.stdout.write(f"  {what:40} {count:6}\n")
    sys.stdout.write(f"controllers that died: {deaths}\n")
    for what in (*TOLD, "asked, answered", "asked, answer lost"):
        sys.stdout.write(f"  {what:40} {made[what]:6}\n")
    sys.stdout.write(f"lives gone wrong: {len(wrong)} {wrong}\n")
    sys.stdout.write(f"{time.process_time() - began:.0f} s of CPU\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
