"""How much traffic a running bandit gives to the better arm.

Run from the repository: ``PYTHONPATH=src:tests python benchmarks/bandits.py PART --runs N``. What
runs is what the engine runs (`homeostat.engine.bandits.Dealer`) on a log in memory; only
customers are simulated. Parts: late (delayed rewards), turn (the better arm changes), quiet (labels
for one arm only), prior (priors, floors and a first phase, in the calculation alone).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from homeostat.engine.commands import Request
from homeostat.rollout.bandit.design import Bandit, Delay
from simulation.dealing import NAME, OUTCOME, Market, Rate, steady
from simulation.world import DAY, MODEL

ARMS = ("v1", "v2")
LATE = Bandit(NAME, MODEL, ARMS, OUTCOME, floor=0.01, least=50)
SLOW = {"v1": 0.2, "v2": 8.0}


def market(
    design: Bandit, rates: Mapping[str, Rate], seed: int, days: float, daily: int,
    delays: Mapping[str, float],
) -> Market:  # fmt: skip
    """Return a market in a folder of its own."""
    folder = Path(tempfile.mkdtemp())
    return Market(folder, design, rates, delays, maturity=days * DAY, daily=daily, seed=seed)


def late(runs: int) -> None:
    """The better arm (10 %, v2) has labels after 8 days, the other (8 %) after five hours."""
    rates = {"v1": steady(0.08), "v2": steady(0.10)}
    for known, delay, days in (
        (True, Delay.WEIGHTED, 60),
        (True, Delay.WEIGHTED, 120),
        (False, Delay.WEIGHTED, 120),
    ):
        found = []
        for seed in range(runs):
            made = market(replace(LATE, delay=delay), rates, seed, 40.0, 400, SLOW)
            before = 0
            if known:  # both arms answered half of all before, months ago
                before = 81
                made.tick(Request.START_BANDIT)
                made.live(before, still=True)
                made.tick(Request.STOP_BANDIT)
            made.tick(Request.START_BANDIT)
            made.live(days)
            found.append(made.part("v2", before))
        told("late", f"{delay}, delays {'known' if known else 'unknown'}, {days} days", found)


def turn(runs: int) -> None:
    """15 % against 10 %, which change places after 40 days; labels within hours."""

    def change(first: float, second: float) -> Rate:
        return lambda day: first if day < 40 else second

    rates = {"v1": change(0.15, 0.10), "v2": change(0.10, 0.15)}
    for discount in (1.0, 0.9, 0.8):
        before, after, end = [], [], []
        for seed in range(runs):
            design = replace(LATE, discount=discount, floor=0.05)
            made = market(design, rates, seed, 1.0, 300, dict.fromkeys(ARMS, 0.1))
            made.tick(Request.START_BANDIT)
            made.live(80)
            before.append(part(made, "v1", 10, 40))
            after.append(part(made, "v2", 40, 80))
            end.append(part(made, "v2", 70, 80))
        told("turn", f"discount {discount}, days 10 to 40", before)
        told("turn", f"discount {discount}, days 40 to 80", after)
        told("turn", f"discount {discount}, days 70 to 80", end)


def quiet(runs: int) -> None:
    """The better arm's labels stay away for 20 days, and never come for these."""
    rates = {"v1": steady(0.08), "v2": steady(0.10)}
    held, after = [], []
    for seed in range(runs):
        made = market(LATE, rates, seed, 2.0, 400, dict.fromkeys(ARMS, 0.5))
        made.mute = frozenset({"v2"})
        made.tick(Request.START_BANDIT)
        made.live(20)
        held.append(made.part("v2"))
        made.mute = frozenset()
        made.live(60)
        after.append(part(made, "v2", 20, 80))
    told("quiet", "while labels of the better arm stay away", held)
    told("quiet", "60 days after", after)


def part(made: Market, arm: str, first: int, last: int) -> float:
    """Return an arm's share of the answers of some days."""
    days = made.taken[first:last]
    return sum(day.get(arm, 0) for day in days) / sum(sum(day.values()) for day in days)


def told(name: str, what: str, found: list[float]) -> None:
    """Print what runs have in common."""
    print(
        f"{name}: {what}: {np.mean(found):.3f} of all traffic, median {np.median(found):.3f},"
        f" worst {min(found):.3f} ({len(found)} runs)",
        flush=True,
    )


Prior = Callable[[float], tuple[float, float]]


def prior(runs: int) -> None:
    """Does the prior, the floor or a first phase of even shares explain bad runs?"""
    ways: dict[str, tuple[Prior, float, float]] = {
        "flat prior (as it is), floor 0.01": (lambda _: (1.0, 1.0), 0.01, 0.0),
        "no floor": (lambda _: (1.0, 1.0), 0.0, 0.0),
        "floor 0.05": (lambda _: (1.0, 1.0), 0.05, 0.0),
        "prior of 2 rows at the mean": (lambda m: (2 * m, 2 - 2 * m), 0.01, 0.0),
        "prior of 50 rows at the mean": (lambda m: (50 * m, 50 - 50 * m), 0.01, 0.0),
        "even until 25 count": (lambda _: (1.0, 1.0), 0.01, 25.0),
        "even until 100 count": (lambda _: (1.0, 1.0), 0.01, 100.0),
        "even until 200 count": (lambda _: (1.0, 1.0), 0.01, 200.0),
    }
    for slow, delays in (
        ("better", (20.0, 0.5)),
        ("worse", (0.5, 20.0)),
        ("neither", (0.01, 0.01)),
    ):
        for name, (made, floor, least) in ways.items():
            found = [pure(seed, 60, delays, made, floor, least) for seed in range(runs)]
            told("prior", f"60 days, {slow} arm slow, {name}", found)


def pure(
    seed: int, days: int, delays: tuple[float, float], made: Prior, floor: float, least: float
) -> float:
    """Play weighted Thompson sampling of 10 % against 8 %, 400 a day, delays known."""
    rng = np.random.default_rng(seed)
    rates, share, good = (0.10, 0.08), 0.5, 0
    dealt = np.zeros((2, days))
    came = np.zeros((2, days + 1))
    for day in range(days):
        counts = rng.multinomial(400, [share, 1.0 - share])
        good += int(counts[0])
        dealt[:, day] = counts
        for arm in range(2):
            paid = rng.binomial(counts[arm], rates[arm])
            arrivals = np.floor(day + rng.exponential(delays[arm], paid)).astype(int)
            np.add.at(came[arm], arrivals[arrivals < days], 1.0)
        ages = day + 1.0 - np.arange(day + 1)
        total = came[:, : day + 1].sum(axis=1)
        known = np.array(
            [(dealt[a, : day + 1] * -np.expm1(-ages / delays[a])).sum() for a in (0, 1)]
        )
        a, b = made(float(np.clip(total.sum() / known.sum(), 1e-3, 0.999)))
        draws = rng.beta(a + total, b + np.maximum(known - total, 0.0), size=(4000, 2))
        best = float((draws[:, 0] > draws[:, 1]).mean())
        share = 0.5 if (known < least).any() else floor + (1.0 - 2.0 * floor) * best
    return good / (400 * days)


PARTS: dict[str, tuple[Callable[[int], None], int]] = {
    "late": (late, 10),
    "turn": (turn, 10),
    "quiet": (quiet, 10),
    "prior": (prior, 200),
}


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    parser.add_argument("--runs", type=int)
    asked = parser.parse_args()
    for name in asked.parts:
        run, usual = PARTS[name]
        start = time.process_time()
        run(asked.runs or usual)
        print(f"  ({name}: {time.process_time() - start:.0f} s of CPU)", flush=True)


if __name__ == "__main__":
    main()
