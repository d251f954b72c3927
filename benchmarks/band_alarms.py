"""False alarms and power of seasonal bands on series that were made up.

How to run: ``PYTHONPATH=src python benchmarks/band_alarms.py [--runs N] [--rare DAYS]``, and
``--worlds "seasonal 1 h,skewed 1 h"`` for quiet series of these alone.

Quiet: each run is a series of 12 weeks; alarms (one an episode) per week are counted from the third
day, apart for the first two weeks and the rest. Faults: four weeks of quiet, then one fault; it
counts as found by an alarm within a day of its beginning, and the delay is in points. The worlds
have rhythms of day and week, memory, heavy tails, skew and ties; none was made from the data of
`nab.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.band import BandConfig, BandState, step
from homeostat.stats.rhythm import DAY, HOUR, WEEK

Floats = NDArray[np.float64]
World = Callable[[np.random.Generator, Floats], Floats]


def remembering(rng: np.random.Generator, count: int, memory: float) -> Floats:
    """Deviations of unit variance that remember the ones before."""
    news = rng.normal(0.0, (1.0 - memory**2) ** 0.5, count)
    found = np.empty(count)
    found[0] = rng.normal()
    for place in range(1, count):
        found[place] = memory * found[place - 1] + news[place]
    return found


def day(times: Floats) -> Floats:
    """A rhythm of the day with two peaks, of standard deviation 0.8."""
    turn = times * 2.0 * np.pi / DAY
    found: Floats = np.sin(turn) + 0.5 * np.sin(2.0 * turn)
    return found


def weekend(times: Floats) -> Floats:
    """1 on two days of the week."""
    found: Floats = np.where(times // DAY % 7 >= 5, 1.0, 0.0)
    return found


WORLDS: dict[str, tuple[float, World]] = {
    "independent 5 min": (300.0, lambda rng, t: rng.normal(size=t.size)),
    "memory 0.95 5 min": (300.0, lambda rng, t: remembering(rng, t.size, 0.95)),
    "seasonal 5 min": (
        300.0,
        lambda rng, t: 3.0 * day(t) - 3.0 * weekend(t) + remembering(rng, t.size, 0.7),
    ),
    "counts 5 min": (
        300.0,
        lambda rng, t: rng.poisson(np.exp(2.0 + 0.8 * day(t) - 0.7 * weekend(t))).astype(float),
    ),
    "independent 1 h": (HOUR, lambda rng, t: rng.normal(size=t.size)),
    "memory 0.95 1 h": (HOUR, lambda rng, t: remembering(rng, t.size, 0.95)),
    "seasonal 1 h": (
        HOUR,
        lambda rng, t: 3.0 * day(t) - 3.0 * weekend(t) + remembering(rng, t.size, 0.7),
    ),
    "heavy tails (t3) 1 h": (
        HOUR,
        lambda rng, t: 2.0 * day(t) - 2.0 * weekend(t) + rng.standard_t(3, t.size) / 1.7,
    ),
    "skewed 1 h": (
        HOUR,
        lambda rng, t: np.exp(
            0.7 * day(t) - 0.5 * weekend(t) + 0.5 * remembering(rng, t.size, 0.8)
        ),
    ),
    "rare counts 5 min": (300.0, lambda rng, t: rng.poisson(0.05, t.size).astype(float)),
    "random walk 1 h": (HOUR, lambda rng, t: np.cumsum(rng.normal(size=t.size))),
    "growing a tenth a week 1 h": (
        HOUR,
        lambda rng, t: rng.poisson(
            np.exp(3.0 + 0.8 * day(t) - 0.5 * weekend(t) + 0.095 * t / WEEK)
        ).astype(float),
    ),
    "share of 500 rows 1 h": (HOUR, lambda rng, t: rng.binomial(500, 0.9, t.size) / 500.0),
}


def spike(values: Floats, at: int, _per_day: int) -> None:
    """One point is eight standard deviations off."""
    values[at] += 8.0


def shift(values: Floats, at: int, _per_day: int) -> None:
    """From now on three standard deviations higher."""
    values[at:] += 3.0


def unrest(values: Floats, at: int, _per_day: int) -> None:
    """From now on the deviations from the last day's mean are three times as large."""
    values[at:] += 2.0 * (values[at:] - values[at - _per_day : at].mean())


def still(values: Floats, at: int, _per_day: int) -> None:
    """The value stands still for a day."""
    values[at : at + _per_day] = values[at]


def skipped(values: Floats, at: int, _per_day: int) -> None:
    """A day's rhythm does not come: all day it is as it was at midnight, with the noise."""
    values[at : at + _per_day] -= 3.0 * day(np.arange(_per_day) * DAY / _per_day)


FAULTS = {f.__name__: f for f in (spike, shift, unrest, still, skipped)}
FAULTY = ("independent 5 min", "seasonal 5 min", "independent 1 h", "seasonal 1 h")


def begun(times: Floats, values: Floats, config: BandConfig) -> list[int]:
    """Return the places at which alarms begin."""
    state: BandState | None = None
    found = []
    for place, (time, value) in enumerate(zip(times.tolist(), values.tolist(), strict=True)):
        state, reading = step(state, time, value, config)
        if reading is not None and reading.alarm:
            found.append(place)
    return found


def quiet(name: str, runs: int, config: BandConfig) -> tuple[float, float]:
    """Return false alarms per week: of days 3 to 14, and afterwards."""
    every, world = WORLDS[name]
    times = np.arange(0.0, 12.0 * WEEK, every)
    early = late = 0
    for seed in range(runs):
        alarms = times[begun(times, world(np.random.default_rng(seed), times), config)]
        early += int(np.count_nonzero(alarms < 2.0 * WEEK))
        late += int(np.count_nonzero(alarms >= 2.0 * WEEK))
    return early / runs / (12.0 / 7.0), late / runs / 10.0


def power(name: str, fault: str, runs: int, config: BandConfig) -> tuple[float, float]:
    """Return the share that is found within a day, and the median delay of those in points."""
    every, world = WORLDS[name]
    times, at = np.arange(0.0, 5.0 * WEEK, every), int(4.0 * WEEK / every)
    per_day = int(DAY / every)
    delays = []
    for seed in range(runs):
        values = world(np.random.default_rng(10_000 + seed), times)
        place = at + (seed * per_day // runs if fault in ("spike", "shift", "unrest") else 0)
        FAULTS[fault](values, place, per_day)
        found = [b - place for b in begun(times, values, config) if 0 <= b - place < per_day]
        delays += found[:1]
    return len(delays) / runs, float(np.median(delays)) if delays else float("nan")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rare", type=float, default=7.0)
    parser.add_argument("--worlds", default="")
    given = parser.parse_args()
    config = BandConfig(given.rare * DAY)
    chosen = [name for name in given.worlds.split(",") if name] or list(WORLDS)
    print("| quiet | days 3 to 14 | later |\n| --- | --- | --- |")
    for name in chosen:
        early, late = quiet(name, given.runs, config)
        print(f"| {name} | {early:.2f} | {late:.2f} |", flush=True)
    if given.worlds:
        return
    print("\n| fault | " + " | ".join(FAULTY) + " |\n| --- |" + " --- |" * len(FAULTY))
    for fault in FAULTS:
        cells = [power(name, fault, given.runs, config) for name in FAULTY]
        print(
            f"| {fault} | " + " | ".join(f"{p:.0%} / {d:.0f}" for p, d in cells) + " |", flush=True
        )


if __name__ == "__main__":
    main()
