"""How soon a drop in accuracy is found, and how often nothing is.

Run with

    PYTHONPATH=src python benchmarks/performance_drop.py [--quick]

Ten labelled predictions a second, 864,000 a day; a decision is right or wrong. Wrong answers of a
tick are a binomial number, which says all that the bets need, so 90 quiet days of 20 deployments
are played tick by tick; `check` compares that with the detector itself, row by row. Every
deployment has a reference of its own, of one labelled row a second, with the same rhythm and the
same effects of days and hours as later traffic.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.performance.baseline import (
    LossBaseline,
    PerformanceConfig,
    baseline,
    limits,
    rungs,
)
from homeostat.detectors.performance.detector import CAP, PerformanceState, evaluate
from homeostat.domain.window import Window
from homeostat.stats.evidence import FRACTIONS

Floats = NDArray[np.float64]

START = datetime(2024, 1, 1, tzinfo=UTC)
SECONDS = 86_400
RATE = 10
CONFIG = replace(PerformanceConfig(), share=0.125)  # half of the monitor's: the loss has the other
STAKES = np.asarray(FRACTIONS)


@dataclass(frozen=True)
class Traffic:
    """How accuracy moves while nothing is wrong."""

    accuracy: float
    rhythm: float = 0.0
    days: float = 0.0
    hours: float = 0.0

    def errors(self, rng: np.random.Generator, days: int, tick: int) -> Floats:
        """Return the chance of an error in each tick of some days."""
        each = SECONDS // tick
        at = (np.arange(days * each) + 0.5) * tick
        wave = self.rhythm * np.sin(2.0 * np.pi * at / SECONDS)
        by_day = np.repeat(rng.normal(0.0, self.days, days), each)
        by_hour = np.repeat(rng.normal(0.0, self.hours, days * 24), each // 24)
        return np.clip(1.0 - self.accuracy + wave + by_day + by_hour, 0.001, 0.999)


def reference(traffic: Traffic, rng: np.random.Generator, days: int) -> LossBaseline:
    """Return the baseline of a hold-out with one labelled row a second."""
    wrong = rng.random(days * SECONDS) < traffic.errors(rng, days, 1)
    return baseline(wrong.astype(np.float64), hours=np.arange(days * SECONDS) // 3600)


class Deployments:
    """The detector's bets for several deployments at once, from counts of errors."""

    def __init__(self, known: list[LossBaseline], tick: int) -> None:
        ladders = [rungs(CONFIG, one) for one in known]
        self.elapsed = timedelta(seconds=tick) / CONFIG.every
        self.boosts = np.array([ladder.boosts for ladder in ladders])
        self.caps = CAP * CONFIG.threshold / self.boosts
        self.capital = np.zeros((*self.boosts.shape, STAKES.size))
        self.means = np.array(
            [
                [[float(limits(one, up, np.array([h]))[0]) if one.hours else
                  float(limits(one, up, None)) for up in ladder.above] for h in range(24)]
                for one, ladder in zip(known, ladders, strict=True)
            ]
        )  # fmt: skip
        self.wins = np.log1p(STAKES * (1.0 / self.means[..., None] - 1.0))
        self.loss = np.log1p(-STAKES)

    def see(self, errors: NDArray[np.int64], rows: int, hour: int) -> Floats:
        """Add a tick; return the evidence of each deployment."""
        count = errors[:, None, None]
        growth = count * self.wins[:, hour] + (rows - count) * self.loss
        grown = (self.capital + self.elapsed) * np.exp(growth)
        self.capital = np.minimum(grown, self.caps[..., None])
        return np.asarray((self.capital.mean(axis=-1) * self.boosts).min(axis=1))


def check() -> None:
    """Compare counts with the detector, row by row, over an hour that ends in a drop."""
    rng = np.random.default_rng(0)
    known = reference(Traffic(0.9, rhythm=0.02, days=0.003), rng, 7)
    bets, state, tick = Deployments([known], 60), PerformanceState(), 60
    state = replace(state, version="1", updated=START)
    for turn in range(60):
        wrong = (rng.random(tick * RATE) < (0.1 if turn < 50 else 0.15)).astype(np.float64)
        window = Window(START, START + timedelta(seconds=tick * (turn + 1)))
        hours = np.zeros(wrong.size, dtype=np.int64)
        if not state.firing:
            state, _ = evaluate(CONFIG, known, state, "m", "1", window, wrong, hours)
        seen = bets.see(np.array([int(wrong.sum())]), wrong.size, 0)[0]
        if not state.firing:
            np.testing.assert_allclose(state.evidence, seen, rtol=1e-9)


def quiet(traffic: Traffic, runs: int, holdout: int, days: int, tick: int, seed: int) -> int:
    """Return how many of the deployments alarm in some quiet days."""
    rng = np.random.default_rng(seed)
    bets = Deployments([reference(traffic, rng, holdout) for _ in range(runs)], tick)
    chances = np.array([traffic.errors(rng, days, tick) for _ in range(runs)])
    alarmed = np.zeros(runs, dtype=bool)
    for turn in range(chances.shape[1]):
        errors = rng.binomial(tick * RATE, chances[:, turn])
        hour = turn * tick % SECONDS // 3600
        alarmed |= bets.see(errors, tick * RATE, hour) >= CONFIG.threshold
    return int(alarmed.sum())


def delays(
    traffic: Traffic, runs: int, holdout: int, tick: int, seed: int, drop: float = 0.05
) -> Floats:
    """Return seconds from a drop, at some time of a quiet day, to the alarm; NaN if none."""
    rng = np.random.default_rng(seed)
    bets = Deployments([reference(traffic, rng, holdout) for _ in range(runs)], tick)
    before = int(rng.integers(4 * 3600, 20 * 3600)) // tick
    chances = np.array([traffic.errors(rng, 1, tick) for _ in range(runs)])
    chances[:, before:] += drop
    found = np.full(runs, np.nan)
    early = np.zeros(runs, dtype=bool)
    for turn in range(min(before + 3600 // tick, chances.shape[1])):
        errors = rng.binomial(tick * RATE, chances[:, turn])
        fired = bets.see(errors, tick * RATE, turn * tick // 3600) >= CONFIG.threshold
        if turn < before:
            early |= fired
        else:
            found[fired & np.isnan(found)] = (turn + 1 - before) * tick
    found[early] = np.nan
    return found


WORLDS = {
    "i.i.d. rows": Traffic(0.9),
    "rhythm": Traffic(0.9, rhythm=0.02),
    "days 0.002": Traffic(0.9, rhythm=0.01, days=0.002, hours=0.001),
    "days 0.005": Traffic(0.9, rhythm=0.01, days=0.005, hours=0.002),
    "days 0.01": Traffic(0.9, rhythm=0.01, days=0.01, hours=0.002),
}


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs, for a look")
    quick = parser.parse_args().quick
    check()
    runs, days, tick = (4, 10, 60) if quick else (20, 90, 30)
    print(f"alarms in {runs} x {days} quiet days, ticks of {tick} s")
    print(f"{'world':14}{'accuracy':>9}{'7 days':>9}{'14 days':>9}{'28 days':>9}")
    for name, traffic in WORLDS.items():
        for accuracy in (0.8, 0.9, 0.97):
            world = replace(traffic, accuracy=accuracy)
            found = [quiet(world, runs, holdout, days, tick, 1) for holdout in (7, 14, 28)]
            print(f"{name:14}{accuracy:9}" + "".join(f"{one:9}" for one in found), flush=True)
    runs = 20 if quick else 100
    print(f"seconds to a drop of 5 points, ticks of 10 s, {runs} runs: median / 95th percentile")
    print(f"{'world':14}{'accuracy':>9}{'7 days':>16}{'14 days':>16}{'28 days':>16}")
    for name, traffic in WORLDS.items():
        for accuracy in (0.8, 0.85, 0.9, 0.95, 0.97):
            world = replace(traffic, accuracy=accuracy)
            cells = []
            for holdout in (7, 14, 28):
                seconds = delays(world, runs, holdout, 10, 2)
                lost = np.nan_to_num(seconds, nan=np.inf)
                middle, late = np.quantile(lost, (0.5, 0.95), method="higher")
                cells.append(f"{middle:8.0f} /{late:6.0f}")
            print(f"{name:14}{accuracy:9}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
