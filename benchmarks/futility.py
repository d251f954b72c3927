"""What the futility stop of a rollout saves, and what it costs.

    PYTHONPATH=src nice -n 15 .venv/bin/python benchmarks/futility.py    # some 3 minutes

Each life is a shadow of 60 days of 400 paired rows with an effect of the day in common, of a
challenger that is better by `difference` of loss (the day's own effect has a standard deviation of
0.01). It prints how many would prove themselves without the stop, how many of these it would have
ended before, and on which day those end that prove nothing.
"""

from __future__ import annotations

import argparse

import numpy as np

from homeostat.rollout.futility import chance_of_proof
from homeostat.rollout.state import RolloutPolicy
from homeostat.stats.evidence import mixture
from homeostat.stats.paired import PairedBets, bet_on_differences, paired_e

DAYS, ROWS, OF_DAY, OF_ROW = 60, 400, 0.01, 0.2
POLICY = RolloutPolicy()
DIFFERENCES = (-0.005, 0.0, 0.002, 0.003, 0.005, 0.01)


def life(seed: int, difference: float) -> tuple[bool, int]:
    """Return whether it proves itself in the end, and the day on which it is given up; 0: never."""
    rng, bets, stopped = np.random.default_rng(seed), PairedBets(), 0
    for day in range(DAYS):
        mean = difference + rng.normal(0, OF_DAY)
        rows = np.clip(rng.normal(mean, OF_ROW, ROWS), -1, 1)
        bets = bet_on_differences(bets, rows, 0.0, day)
        better, worse, _ = paired_e(bets)
        if max(better, worse) >= 1 / POLICY.alpha:
            return better > worse, stopped
        needed = 2 / POLICY.alpha - mixture(bets.better)
        mean = bets.total / bets.n
        chance = chance_of_proof(bets.days[0], mean, DAYS - day - 1, needed)
        if not stopped and chance < POLICY.futility:
            stopped = day + 1
    return False, stopped


def main() -> None:
    """Print one row a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lives", type=int, default=300)
    lives = parser.parse_args().lives
    print("| difference | lives | prove themselves | of these ended before | others end on day |")
    print("| --- | --- | --- | --- | --- |")
    for difference in DIFFERENCES:
        found = [life(seed, difference) for seed in range(lives)]
        proven = [stopped for proven, stopped in found if proven]
        others = [stopped or DAYS for proven, stopped in found if not proven]
        lost = sum(stopped > 0 for stopped in proven)
        median = f"{np.median(others):.0f}" if others else "-"
        print(f"| {difference} | {lives} | {len(proven) / lives:.1%} | {lost} | {median} |")


if __name__ == "__main__":
    main()
