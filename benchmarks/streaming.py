"""Compares the streaming detectors with River's: false alarms, delays, speed. Takes half a minute.

    python benchmarks/streaming.py

False alarms are per 20,000 values of a stable stream, each learnt from the 2,000 before (which only
the e-detectors with a reference use). Delays are means over the streams in which the change was
found at all within 2,000 values, after 2,000 stable ones; in brackets the share in which it was
not. Speeds are million values a second on this machine: event by event, then as one array.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from river import drift

from homeostat.detectors.streaming import adwin, edetector, page_hinkley

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]

RUN_LENGTH = 100_000.0
KNOWN, STABLE, AFTER = 2000, 20_000, 2000
STREAMS, CHANGES = 20, 40


@dataclass(frozen=True)
class Detector:
    """How to scan an array after a reference, and how to take in one value at a time."""

    name: str
    scan: Callable[[Floats, Floats], list[int]]
    step: Callable[[Floats, Floats], None]


def rivers(name: str, make: Callable[[], drift.ADWIN | drift.PageHinkley]) -> Detector:
    def scan(_: Floats, values: Floats) -> list[int]:
        oracle, found = make(), []
        for index, value in enumerate(values.tolist()):
            oracle.update(value)
            if oracle.drift_detected:
                found.append(index)
        return found

    return Detector(name, scan, lambda known, values: void(scan(known, values)))


def void(_: object) -> None:
    """Drop a result."""


def adwins() -> Detector:
    def step(_: Floats, values: Floats) -> None:
        state = adwin.AdwinState()
        for value in values.tolist():
            state = adwin.update(state, value)

    return Detector(
        "ADWIN", lambda _, values: adwin.update_many(adwin.AdwinState(), values)[1].tolist(), step
    )


def page_hinkleys(name: str, config: page_hinkley.PageHinkleyConfig) -> Detector:
    begin = page_hinkley.PageHinkleyState(config)

    def step(_: Floats, values: Floats) -> None:
        state = begin
        for value in values.tolist():
            state = page_hinkley.update(state, value)

    return Detector(
        name, lambda _, values: page_hinkley.update_many(begin, values)[1].tolist(), step
    )


def edetectors(name: str, fit: Callable[[Floats], edetector.EDetectorConfig]) -> Detector:
    def scan(known: Floats, values: Floats) -> list[int]:
        found = edetector.update_many(edetector.EDetectorState(fit(known)), values)[1]
        return list(found.tolist())

    def step(known: Floats, values: Floats) -> None:
        state = edetector.EDetectorState(fit(known))
        for value in values.tolist():
            state = edetector.update(state, value)

    return Detector(name, scan, step)


def moments(known: Floats) -> edetector.EDetectorConfig:
    sd = float(known.std())
    error = 2.0 * sd / known.size**0.5
    return edetector.standardised(float(known.mean()), sd, error, RUN_LENGTH)


DETECTORS = [
    rivers("river ADWIN", drift.ADWIN),
    adwins(),
    rivers("river PageHinkley", drift.PageHinkley),
    page_hinkleys("Page-Hinkley as river", page_hinkley.river()),
    page_hinkleys("Page-Hinkley, scaled", page_hinkley.PageHinkleyConfig()),
    edetectors("e-detector, fit", lambda known: edetector.fit(known, run_length=RUN_LENGTH)),
    edetectors("e-detector, standardised", moments),
]

STREAMS_OF: dict[str, Draw] = {
    "N(0, 1)": lambda rng, n: rng.normal(size=n),
    "N(0, 100)": lambda rng, n: rng.normal(0.0, 100.0, n),
    "rate 2 %": lambda rng, n: (rng.random(n) < 0.02).astype(np.float64),
    "exponential": lambda rng, n: rng.exponential(size=n),
    "Student t3": lambda rng, n: rng.standard_t(3.0, n),
}

CHANGES_OF: dict[str, tuple[Draw, Draw]] = {
    f"+{shift} sd": (
        STREAMS_OF["N(0, 1)"],
        lambda rng, n, shift=shift: rng.normal(shift, 1.0, n),
    )
    for shift in (0.25, 0.5, 1.0, 3.0)
} | {
    "rate 2 to 5 %": (
        STREAMS_OF["rate 2 %"],
        lambda rng, n: (rng.random(n) < 0.05).astype(np.float64),
    )
}


def false_alarms(detector: Detector, draw: Draw) -> float:
    total = 0
    for seed in range(STREAMS):
        rng = np.random.default_rng(seed)
        total += len(detector.scan(draw(rng, KNOWN), draw(rng, STABLE)))
    return total / STREAMS


def delay(detector: Detector, before: Draw, after: Draw) -> str:
    delays, missed = [], 0
    for seed in range(CHANGES):
        rng = np.random.default_rng(1000 + seed)
        known = before(rng, KNOWN)
        stream = np.concatenate((before(rng, AFTER), after(rng, AFTER)))
        found = [index - AFTER for index in detector.scan(known, stream) if index >= AFTER]
        delays += found[:1]
        missed += not found
    shown = f"{np.mean(delays):.0f}" if delays else "-"
    return shown + (f" ({missed / CHANGES:.0%})" if missed else "")


def speed(run: Callable[[Floats, Floats], object], n: int) -> float:
    rng = np.random.default_rng(0)
    known, values = rng.normal(size=KNOWN), rng.normal(size=n)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        run(known, values)
        seconds.append(time.perf_counter() - start)
    return n / min(seconds) / 1e6


def table(title: str, columns: list[str], rows: dict[str, list[str]]) -> Table:
    shown = Table(title=title, title_justify="left")
    shown.add_column("detector")
    for column in columns:
        shown.add_column(column, justify="right")
    for name, cells in rows.items():
        shown.add_row(name, *cells)
    return shown


def main() -> None:
    console = Console(width=100)
    alarms = {
        d.name: [f"{false_alarms(d, draw):.2f}" for draw in STREAMS_OF.values()] for d in DETECTORS
    }
    console.print(table("False alarms per 20,000 values", list(STREAMS_OF), alarms))
    delays = {d.name: [delay(d, *change) for change in CHANGES_OF.values()] for d in DETECTORS}
    console.print(table("Delay in values", list(CHANGES_OF), delays))
    speeds = {
        d.name: [f"{speed(d.step, 20_000):.2f}", f"{speed(d.scan, 200_000):.2f}"] for d in DETECTORS
    }
    console.print(table("Million values a second", ["one by one", "as an array"], speeds))


if __name__ == "__main__":
    main()
