"""How far early rates are off where delays, rates and mixes change: generated bookings.

Run: ``python benchmarks/early_labels.py [RUNS]`` (32 runs take two minutes). Prints, for each
world, the error (root mean square and mean) of the newest month's final cancellation rate as told
at its end, the naive one's, and how often the 95 % interval holds it. Lead time is the only column
that is named.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.detectors.performance.arrival import as_seen, early_shares
from homeostat.domain.model import Task
from homeostat.domain.predictions import Predictions

DAY = 86_400_000_000
MONTHS, ROWS, LENGTH = 16, 1000, 30
MATURITY = timedelta(days=130)
WORLDS = {
    "steady": "nothing changes",
    "mix": "lead times have seasons",
    "wander": "rates of months differ",
    "jump": "the newest month's rate is higher",
    "trend": "cancellations come sooner and sooner",
    "season": "how soon they come has seasons",
    "regime": "they come sooner since a day in the past",
    "profile": "how soon they come differs by month",
    "calendar": "months of cancelling, whatever was booked when",
    "all": "mix, wander and trend",
}

Floats = NDArray[np.float64]


def bookings(world: str, seed: int) -> Predictions:
    rng, n = np.random.default_rng(seed), MONTHS * ROWS
    made = np.sort(rng.random(n)) * MONTHS * LENGTH
    month = (made // LENGTH).astype(int)
    season = np.sin(2.0 * np.pi * made / 365.0)
    typical = 35.0 * np.exp(0.5 * season * (world in ("mix", "all")))
    soon = rng.random(n) < 0.25
    lead = np.minimum(np.where(soon, rng.integers(0, 3, n), rng.exponential(typical)), 119).astype(
        int
    )
    stay = rng.integers(1, 8, n)
    if world == "calendar":
        label, delay = _by_calendar(rng, made, lead, stay)
    else:
        odds = 0.28 * np.log1p(lead) - 2.2
        odds += rng.normal(0.0, 0.3, MONTHS)[month] * (world in ("wander", "all"))
        odds += 0.6 * (month == MONTHS - 1) * (world == "jump")
        label = rng.random(n) < 1.0 / (1.0 + np.exp(-odds))
        early = rng.random(n) < _early(world, rng, made, month, season)
        part = np.where(early, rng.beta(1.0, 6.0, n), rng.beta(3.0, 1.2, n))
        delay = np.where(label, lead * part, lead + stay)
    moments = np.asarray(made * DAY, np.int64)
    score = np.full(n, 0.2)
    return Predictions(
        Task.BINARY, ("kept", "cancelled"), 0.5, score, np.zeros(n), label.astype(float),
        pa.table({"lead": lead}), moments, moments + np.asarray(delay * DAY, np.int64),
    )  # fmt: skip


def _early(
    world: str, rng: np.random.Generator, made: Floats, month: NDArray[np.int64], season: Floats
) -> Floats:
    """Return the chance that a cancellation comes at the beginning."""
    past = made / made.max()
    if world in ("trend", "all"):
        return 0.25 + 0.5 * past
    if world == "season":
        return 0.5 + 0.25 * season
    if world == "regime":
        return np.where(past < 0.45, 0.2, 0.65)
    if world == "profile":
        return np.asarray(1.0 / (1.0 + np.exp(-rng.normal(0.0, 0.6, MONTHS)[month])))
    return np.full(made.size, 0.5)


def _by_calendar(
    rng: np.random.Generator, made: Floats, lead: NDArray[np.int64], stay: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], Floats]:
    mood = np.exp(rng.normal(0.0, 0.4, MONTHS + 8))
    usual = 0.012 * np.exp(rng.normal(0.0, 1.0, made.size) - 0.5)
    label, delay = np.zeros(made.size, bool), (lead + stay).astype(float)
    for day in range(120):
        hazard = (
            usual * (1.0 + 3.0 * np.exp(-day / 3.0)) * mood[((made + day) // LENGTH).astype(int)]
        )
        hit = ~label & (day <= lead) & (rng.random(made.size) < hazard)
        label[hit], delay[hit] = True, day + 0.5 * (lead[hit] > 0)
    return label, delay


def runs(world: str, count: int) -> Iterator[tuple[float, float, bool]]:
    now, length = MONTHS * LENGTH * DAY, LENGTH * DAY
    for seed in range(count):
        rows = bookings(world, seed)
        assert rows.timestamps is not None
        final = float(rows.labels[rows.timestamps >= now - length].mean())
        learned = as_seen(rows, now, MATURITY, ("lead",))
        found = early_shares(learned, learned.rows.ages <= length, length, length)[1]
        yield found.share - final, found.naive - final, final in found.interval


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 32
    print(f"{'world':10} {'rms':>7} {'mean':>7} {'naive':>7} covered")
    for world in WORLDS:
        error, naive, covered = (np.array(part) for part in zip(*runs(world, count), strict=True))
        rms = [float(np.sqrt((part**2).mean())) for part in (error, naive)]
        print(
            f"{world:10} {rms[0]:7.4f} {error.mean():+7.4f} {rms[1]:7.4f} {covered.mean():.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
