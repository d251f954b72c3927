"""Experiments and bandits against what is promised of them: errors, power, late labels, speed.

Run with ``PYTHONPATH=src python benchmarks/experiments.py [PART ...] [--runs N]``; all of it takes
about half an hour of one core. The parts:

- ``aa``: two arms that are the same, looked at a hundred times a day apart, 50 entities an arm and
  day, 10 % convert; how often a version is ever shipped, or stopped, by `analyse`, and how often a
  two-sided z-test of every look would have called a difference.
- ``power``: 10 % against 12 %, 100 entities an arm and day for a hundred days; how many entities an
  arm had when it shipped.
- ``skew``: the same promise for revenue of which few have most, at an even split and at a tenth.
- ``latency``: the same promise for a 95th percentile of log-normal times, and for rare errors.
- ``bandit``: a better arm (0.10) whose labels come after 20 days on average beside one (0.08) whose
  labels come after half a day, 400 entities a day for 60 and 120 days: share of all traffic on the
  better arm by what is counted.
- ``speed``: 10,000 experiments of a million users each from their tallies.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from homeostat.rollout.bandit.delays import Earned, matured, weighted
from homeostat.rollout.bandit.thompson import thompson
from homeostat.rollout.experiment.analyse import analyse
from homeostat.rollout.experiment.design import Experiment, Kind, Metric, Role
from homeostat.rollout.experiment.report import Decision
from homeostat.rollout.experiment.tally import Histogram, Measured, Tally, measure
from homeostat.stats.moments import PairSums
from homeostat.stats.special import normal_quantile
from homeostat.stats.survival import Curve

Counts = NDArray[np.int64]

PAID = Metric("paid", Kind.CONVERSION)
SPENT = Metric("spent", Kind.REVENUE)
CLICKS = Metric("clicks", Kind.RATIO)
ERRORS = Metric("errors", Kind.ERROR_RATE, Role.GUARDRAIL, margin=0.1)
SLOW = Metric("slow", Kind.LATENCY, Role.GUARDRAIL, margin=0.05)
EVEN = (0.5, 0.5)
LOOKS = 100


def binary(metric: Metric, n: int, hits: int) -> Tally:
    """One arm with one metric of 0 and 1."""
    sums = PairSums(float(n), float(hits), float(hits))
    return Tally(n, {metric.name: Measured(sums)})


def follow(design: Experiment, metric: Metric, step: int, hits: Counts) -> tuple[Decision, int]:
    """Look after every step until a version ships or stops; entities an arm then."""
    for look, (a, b) in enumerate(hits.T.tolist(), 1):
        n = step * look
        tallies = {"a": binary(metric, n, a), "b": binary(metric, n, b)}
        decision = analyse(design, tallies).decision
        if decision in {Decision.SHIP, Decision.STOP}:
            return decision, n
    return Decision.INCONCLUSIVE, n


def significant(step: int, hits: Counts) -> bool:
    """Whether a pooled z-test at 5 % is significant at any look."""
    n = step * np.arange(1, hits.shape[1] + 1)
    pooled = hits.sum(axis=0) / (2 * n)
    with np.errstate(invalid="ignore"):
        z = (hits[1] - hits[0]) / n / np.sqrt(pooled * (1.0 - pooled) * 2.0 / n)
    return bool((np.abs(z) > normal_quantile(0.975)).any())


def a_a(runs: int) -> None:
    """False promotion under a hundred looks."""
    rng, step = np.random.default_rng(1), 50
    design = Experiment("aa", ("a", "b"), (PAID,), 2 * step * LOOKS, shares=EVEN)
    ship = stop = fixed = 0
    for _ in range(runs):
        hits = rng.binomial(step, 0.10, (2, LOOKS)).cumsum(axis=1)
        decision, _ = follow(design, PAID, step, hits)
        ship += decision is Decision.SHIP
        stop += decision is Decision.STOP
        fixed += significant(step, hits)
    print(
        f"A/A {runs} runs, {LOOKS} looks: shipped {ship / runs:.4f}, stopped {stop / runs:.4f},"
        f" a fixed-horizon test at every look {fixed / runs:.4f}"
    )


def power(runs: int) -> None:
    """How soon 10 % against 12 % is found."""
    rng, step = np.random.default_rng(2), 100
    design = Experiment("power", ("a", "b"), (PAID,), 2 * step * LOOKS // 2, shares=EVEN)
    sizes = []
    for _ in range(runs):
        hits = rng.binomial(step, np.array([[0.10], [0.12]]), (2, LOOKS)).cumsum(axis=1)
        decision, n = follow(design, PAID, step, hits)
        sizes.append(n if decision is Decision.SHIP else 10**9)
    found = np.asarray(sizes)
    print(
        f"10 % to 12 %, {runs} runs planned for 5,000 an arm: median {np.median(found):.0f} an arm,"
        f" shipped by 5,000 {np.mean(found <= 5000):.3f}, by 10,000 {np.mean(found <= 10_000):.3f}"
    )


def skew(runs: int) -> None:
    """The error of means of skewed revenue."""
    rng = np.random.default_rng(5)
    kinds: dict[str, Callable[[int], NDArray[np.float64]]] = {
        "one in twenty buys, log-normal": lambda n: np.where(
            rng.random(n) < 0.05, rng.lognormal(3.0, 1.0, n), 0.0
        ),
        "log-normal, sigma 1.5": lambda n: rng.lognormal(3.0, 1.5, n),
    }
    for (name, draw), small in itertools.product(kinds.items(), (100, 900)):
        steps = (900, small)
        shares = (900 / sum(steps), small / sum(steps))
        design = Experiment("skew", ("a", "b"), (SPENT,), LOOKS * sum(steps), shares=shares)
        ship = stop = 0
        for _ in range(runs):
            decision = revenue_a_a(design, steps, draw)
            ship += decision is Decision.SHIP
            stop += decision is Decision.STOP
        print(
            f"revenue, {name}, {small} of {sum(steps)} a day, A/A, {runs} runs of {LOOKS} looks:"
            f" shipped {ship / runs:.4f}, stopped {stop / runs:.4f}",
            flush=True,
        )


def revenue_a_a(
    design: Experiment, steps: tuple[int, int], draw: Callable[[int], NDArray[np.float64]]
) -> Decision:
    """Look at the same revenue in both arms until one ships or stops."""
    sides = [Tally(), Tally()]
    for _ in range(LOOKS):
        days = [Tally(n, {SPENT.name: measure(SPENT, draw(n))}) for n in steps]
        sides = [side.merge(day) for side, day in zip(sides, days, strict=True)]
        decision = analyse(design, dict(zip(design.arms, sides, strict=True))).decision
        if decision in {Decision.SHIP, Decision.STOP}:
            break
    return decision


def latency(runs: int) -> None:
    """The error of quantiles and of rare events."""
    rng, looks, step = np.random.default_rng(3), 20, 200
    fast = Metric("fast", Kind.LATENCY)
    design = Experiment("latency", ("a", "b"), (fast,), 2 * looks * step, shares=EVEN)
    decided = 0
    for _ in range(runs):
        sides = [
            itertools.accumulate(
                (Tally(step, {"fast": measure(fast, day)}) for day in days), Tally.merge
            )
            for days in rng.lognormal(4.0, 0.7, (2, looks, step))
        ]
        decided += any(
            analyse(design, {"a": a, "b": b}).decision in {Decision.SHIP, Decision.STOP}
            for a, b in zip(*sides, strict=True)
        )
    print(
        f"p95 of latency, A/A, {runs} runs of {looks} looks:"
        f" shipped or stopped {decided / runs:.4f}"
    )
    rare = Metric("failed", Kind.ERROR_RATE)
    design = Experiment("rare", ("a", "b"), (rare,), 2 * step * LOOKS, shares=EVEN)
    decided = sum(
        follow(design, rare, step, hits)[0] is not Decision.INCONCLUSIVE
        for hits in rng.binomial(step, 0.003, (runs, 2, LOOKS)).cumsum(axis=2)
    )
    print(
        f"errors of 0.3 %, A/A, {runs} runs of {LOOKS} looks:"
        f" shipped or stopped {decided / runs:.4f}"
    )


def deal(
    count: Callable[[int, NDArray[np.float64], NDArray[np.float64]], Earned], seed: int, days: int
) -> float:
    """Share of all traffic on the better, slower arm."""
    rng = np.random.default_rng(seed)
    ages: list[list[NDArray[np.float64]]] = [[], []]
    arrivals: list[list[NDArray[np.float64]]] = [[], []]
    share, good, daily = 0.5, 0, 400
    for day in range(days):
        counts = rng.multinomial(daily, [share, 1.0 - share]).tolist()
        good += counts[0]
        earned = {}
        for arm, (n, rate, delay) in enumerate(zip(counts, (0.10, 0.08), (20.0, 0.5), strict=True)):
            pays = rng.random(n) < rate
            arrivals[arm].append(np.where(pays, day + rng.exponential(delay, n), np.inf))
            ages[arm].append(np.full(n, float(day)))
            came = np.concatenate(arrivals[arm]) <= day + 1.0
            age = day + 1.0 - np.concatenate(ages[arm])
            earned[str(arm)] = count(arm, age, np.where(came, 1.0, np.nan))
        share = thompson(earned, rng).of["0"]
    return good / (days * daily)


def bandit(runs: int) -> None:
    """What late labels do to a bandit."""
    grid = np.linspace(0.0, 400.0, 4001)
    curves = [Curve(grid, -np.expm1(-grid / delay), np.zeros(grid.size)) for delay in (20.0, 0.5)]
    ways: dict[str, Callable[[int, NDArray[np.float64], NDArray[np.float64]], Earned]] = {
        "no label yet is a failure": lambda _, age, came: matured(age, came, 0.0),
        "matured after 30 days only": lambda _, age, came: matured(age, came, 30.0),
        "weighted by the delay": lambda arm, age, came: weighted(age, came, curves[arm]),
    }
    for (name, count), days in itertools.product(ways.items(), (60, 120)):
        found = [deal(count, seed, days) for seed in range(runs)]
        print(
            f"late labels, {days} days, {name}: {np.mean(found):.3f} on the better arm,"
            f" median {np.median(found):.3f}, worst {min(found):.3f}"
        )


def speed(runs: int) -> None:
    """How long many experiments take."""
    rng, users = np.random.default_rng(4), 1_000_000
    whole = (PAID, SPENT, CLICKS, ERRORS, SLOW)
    templates = [measure(SLOW, rng.lognormal(4.0, 0.7, users // 20)).histogram for _ in range(20)]

    def tally(n: int, template: int) -> Tally:
        sums: dict[str, PairSums] = {}
        for name, rate in (("paid", 0.1), ("errors", 0.02)):
            hits = float(rng.binomial(n, rate))
            sums[name] = PairSums(float(n), hits, hits)
        spent = rng.normal(5.0, 20.0 / np.sqrt(n)) * n
        sums["spent"] = PairSums(float(n), spent, 425.0 * n)
        clicks = float(rng.binomial(4 * n, 0.2))
        sums["clicks"] = PairSums(float(n), clicks, 1.4 * n, 4.0 * n, 20.0 * n, 4.0 * n)
        found = {name: Measured(each) for name, each in sums.items()}
        times = templates[template]
        found["slow"] = Measured(
            PairSums(float(n)), Histogram(times.bins, times.counts * (20 * n // users))
        )
        return Tally(n, found)

    tallies = [
        {"a": tally(users * 9 // 10, i % 20), "b": tally(users // 10, (7 * i + 1) % 20)}
        for i in range(runs)
    ]
    for metrics in ((PAID,), (PAID, SPENT, ERRORS), whole):
        names = {metric.name for metric in metrics}
        design = Experiment("speed", ("a", "b"), metrics, users * 2)
        parts = [
            {
                arm: Tally(each.assigned, {k: v for k, v in each.metrics.items() if k in names})
                for arm, each in sides.items()
            }
            for sides in tallies
        ]
        start, cpu = time.perf_counter(), time.process_time()
        for sides in parts:
            analyse(design, sides)
        wall, used = time.perf_counter() - start, time.process_time() - cpu
        print(
            f"{runs} experiments of {users} users, {', '.join(m.name for m in metrics)}:"
            f" {wall:.1f} s, CPU {used:.1f} s"
        )


PARTS: dict[str, tuple[Callable[[int], None], int]] = {
    "aa": (a_a, 4000),
    "power": (power, 1000),
    "skew": (skew, 1000),
    "latency": (latency, 1000),
    "bandit": (bandit, 40),
    "speed": (speed, 10_000),
}


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    parser.add_argument("--runs", type=int)
    asked = parser.parse_args()
    for name in asked.parts:
        part, runs = PARTS[name]
        start = time.process_time()
        part(asked.runs or runs)
        print(f"  ({name}: {time.process_time() - start:.0f} s of CPU)", flush=True)


if __name__ == "__main__":
    main()
