"""False alarms of the calibration monitor where models are miscalibrated and stay as they are.

Run with

    PYTHONPATH=src python benchmarks/calibration_alarms.py [--runs N] [--rows R] [--quiet]

Each run fits a reference of 1,000 or 20,000 labelled rows of a world and judges days of new rows
of the same world: any alarm is false. Then the truth moves by so many log-odds, or what scores say
is halved, and the median day of the alarm is printed with the share found within 40 days.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.calibration.detector import (
    CalibrationConfig,
    CalibrationReference,
    CalibrationState,
    evaluate,
    fit,
)
from homeostat.domain.verdict import Status
from homeostat.domain.window import Window

Floats = NDArray[np.float64]
Law = Callable[[Floats], Floats]

START, DAY = datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=1)
CONFIG = CalibrationConfig()
SIZES = (1_000, 20_000)


@dataclass(frozen=True)
class World:
    """How scores are drawn, and the log-odds of the truth for those of a score."""

    scores: Callable[[np.random.Generator, int], Floats]
    law: Law

    def draw(
        self, rng: np.random.Generator, n: int, change: Law | None = None
    ) -> tuple[Floats, Floats]:
        """Return labels and scores."""
        said = self.scores(rng, n)
        truth = self.law(np.clip(np.log(said) - np.log1p(-said), -14.0, 14.0))
        truth = truth if change is None else change(truth)
        return (rng.random(n) < 1.0 / (1.0 + np.exp(-truth))).astype(np.float64), said


def normal(base: float, spread: float = 1.2) -> Callable[[np.random.Generator, int], Floats]:
    """Scores whose log-odds are normal."""
    return lambda rng, n: 1.0 / (1.0 + np.exp(-rng.normal(base, spread, n)))


def beta(rng: np.random.Generator, n: int) -> Floats:
    """Scores near 0 and 1."""
    return np.clip(rng.beta(0.5, 0.5, n), 1e-12, 1.0 - 1e-12)


def few(rng: np.random.Generator, n: int) -> Floats:
    """Five scores."""
    return rng.choice([0.05, 0.2, 0.35, 0.7, 0.95], n)


def steps(odds: Floats) -> Floats:
    """A forest of few leaves: level between two jumps."""
    return np.where(odds < -1.0, -2.0, np.where(odds < 0.5, 0.0, 1.5))


WORLDS = {
    "exact": World(normal(-1.0), lambda odds: odds),
    "offset": World(normal(-1.0), lambda odds: odds + 1.5),
    "too extreme": World(normal(-1.0), lambda odds: 0.5 * odds),
    "too timid": World(normal(-1.0), lambda odds: 1.6 * odds),
    "near 0 and 1": World(beta, lambda odds: 0.7 * odds),
    "rare": World(normal(-4.5), lambda odds: -4.5 + 0.7 * (odds + 4.5)),
    "few scores": World(few, lambda odds: 0.8 + 0.5 * odds),
    "steps": World(normal(-1.0), steps),
    "wavy": World(normal(-1.0), lambda odds: odds + 0.6 * np.sin(3.0 * odds)),
    "fine waves": World(normal(-1.0), lambda odds: odds + 0.8 * np.sin(6.0 * odds)),
}

CHANGES: dict[str, Law] = {
    "+0.6": lambda odds: odds + 0.6,
    "-0.6": lambda odds: odds - 0.6,
    "+1.5": lambda odds: odds + 1.5,
    "halved": lambda odds: 0.5 * odds,
}


def first(
    reference: CalibrationReference, rows: Callable[[], tuple[Floats, Floats]], days: int
) -> int:
    """Return the day of the first alarm, or one more than all."""
    state = CalibrationState()
    for at in range(days):
        window = Window(START + at * DAY, START + (at + 1) * DAY)
        state, verdict = evaluate(CONFIG, reference, state, "m", "1", window, *rows())
        if verdict.status is Status.DRIFT:
            return at + 1
    return days + 1


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--quiet", action="store_true", help="false alarms alone")
    asked = parser.parse_args()
    print(f"{asked.runs} runs, {asked.rows} rows a day; alarms in {asked.days} quiet days")
    print(f"{'world':14}{'reference':>10}{'quiet':>7}" + "".join(f"{c:>14}" for c in CHANGES))
    for name in asked.worlds.split(","):
        world = WORLDS[name]
        for size in SIZES:
            quiet, late = 0, {change: list[int]() for change in CHANGES}
            for seed in range(asked.runs):
                rng = np.random.default_rng(seed)
                known = fit(*world.draw(rng, size), CONFIG)

                def draw(change: Law | None = None) -> tuple[Floats, Floats]:
                    return world.draw(rng, asked.rows, change)  # noqa: B023

                quiet += first(known, draw, asked.days) <= asked.days
                for label, change in ({} if asked.quiet else CHANGES).items():
                    late[label].append(first(known, partial(draw, change), 40))
            cells = (
                f"{np.median(days):7.0f} ({np.mean(np.array(days) <= 40):4.0%})"
                for days in late.values()
                if days
            )
            print(f"{name:14}{size:10}{quiet:7}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
