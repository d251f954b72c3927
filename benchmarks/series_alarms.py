"""False alarms and power of dynamic thresholds on metric series.

How to run: ``PYTHONPATH=src python benchmarks/series_alarms.py [--runs N] [--share S] [--days D]``

Each run learns from 56 days of a simulated series, one window a day (or an hour), and judges those
after it as the engine does: the history moves on while all is quiet. It prints false alarms per 90
days over quiet series of many kinds, with a 95 % upper bound; then for shifts of 1, 1.5, 2 and 4
standard deviations the share found within 28 windows, and the median delay in windows (99: not
found). A series may spend ``--share`` of one false alarm per 90 days.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.series.dynamic import (
    SeriesBaseline,
    SeriesConfig,
    SeriesState,
    evaluate,
    fit,
    renewable,
)
from homeostat.domain.point import Point
from homeostat.domain.verdict import Status
from homeostat.domain.window import Window

Floats = NDArray[np.float64]
START, HISTORY = datetime(2024, 1, 1, tzinfo=UTC), 56


def autoregressive(rng: np.random.Generator, n: int, memory: float) -> Floats:
    """Deviations of unit variance that remember the ones before."""
    found = np.empty(n)
    found[0] = rng.normal()
    news = rng.normal(0.0, (1.0 - memory**2) ** 0.5, n)
    for place in range(1, n):
        found[place] = memory * found[place - 1] + news[place]
    return found


def weekly(n: int) -> Floats:
    """Weekends are three standard deviations lower."""
    found: Floats = np.where(np.arange(n) % 7 >= 5, -3.0, 0.0)
    return found


def daily(n: int) -> Floats:
    """Two standard deviations up and down over 24 windows."""
    found: Floats = 2.0 * np.sin(np.arange(n) * 2.0 * np.pi / 24.0)
    return found


WORLDS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "iid": lambda rng, n: rng.normal(0.0, 1.0, n),
    "weekly": lambda rng, n: rng.normal(0.0, 1.0, n) + weekly(n),
    "ar 0.3": lambda rng, n: autoregressive(rng, n, 0.3),
    "ar 0.6": lambda rng, n: autoregressive(rng, n, 0.6),
    "ar 0.8": lambda rng, n: autoregressive(rng, n, 0.8),
    "weekly and ar": lambda rng, n: autoregressive(rng, n, 0.4) + weekly(n),
    "heavy (t3)": lambda rng, n: rng.standard_t(3, n) / 3**0.5,
    "skewed": lambda rng, n: (rng.lognormal(0.0, 1.0, n) - 1.65) / 2.16,
    "trend 1 in 240": lambda rng, n: rng.normal(0.0, 1.0, n) + np.arange(n) / 240.0,
    "trend 1 in 120": lambda rng, n: rng.normal(0.0, 1.0, n) + np.arange(n) / 120.0,
    "trend 1 in 60": lambda rng, n: rng.normal(0.0, 1.0, n) + np.arange(n) / 60.0,
    "hourly and ar": lambda rng, n: autoregressive(rng, n, 0.4) + daily(n),
}


def alarms(config: SeriesConfig, values: Floats, first: int) -> list[int]:
    """Return the windows in which an alarm begins, as the engine would see them."""
    points = [
        Point(Window(START + day * config.every, START + (day + 1) * config.every), float(value))
        for day, value in enumerate(values)
    ]
    state, found = SeriesState(), []
    baseline: SeriesBaseline | None = fit(config, points[:first])
    for place in range(first, len(points)):
        before = state.firing
        state, verdict = evaluate(config, baseline, state, "m", "metric", points[place])
        if verdict.status is Status.DRIFT and not before:
            found.append(place)
        if baseline is not None and renewable(config, baseline, state):
            baseline = fit(config, points[: place + 1], state.apart)
    return found


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--days", type=int, default=360)
    parser.add_argument("--worlds", default=",".join(WORLDS))
    options = parser.parse_args()
    print(f"{'world':16} alarms per 90 days (at most {options.share:g}); found within 28, delay")
    for name in options.worlds.split(","):
        rng = np.random.default_rng(7)
        made, day = WORLDS[name], 24 if name.startswith("hourly") else 1
        config = SeriesConfig(every=timedelta(days=1) / day, share=options.share)
        first, length = HISTORY * day, options.days * day
        count = sum(
            len(alarms(config, made(rng, first + length), first)) for _ in range(options.runs)
        )
        periods = options.runs * options.days / 90.0
        upper = (count + 1.92 + 1.96 * (count + 1) ** 0.5) / periods
        told = f"{name:16} {count / periods:.3f} (up to {upper:.3f})"
        for size in (1.0, 1.5, 2.0, 4.0):
            delays = []
            onset = first + 14
            for _ in range(max(20, options.runs // 2)):
                values = made(rng, onset + 28)
                values[onset:] -= size
                found = [at for at in alarms(config, values, first) if at >= onset]
                delays.append(found[0] - onset + 1 if found else 99)
            share = np.mean([delay <= 28 for delay in delays])
            told += f"; {size:g} sd {share:.0%}, {np.median(delays):.0f}"
        print(told, flush=True)


if __name__ == "__main__":
    main()
