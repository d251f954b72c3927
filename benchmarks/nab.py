"""Seasonal bands on the Numenta Anomaly Benchmark, scored as it scores.

How to run: ``PYTHONPATH=src python benchmarks/nab.py DATA/nab.parquet``, with ``--rare DAYS`` for
another setting, ``--detector gaussian`` or ``null`` for others' alarms. The scoring is checked by
``--published FOLDER``, such as ``results/ARTime`` of a clone of the benchmark's repository: it
prints what the scores published there are worth; ``results/final_results.json`` says what they are.

Detectors: ``band`` (ours; its alarms are what it calls alarms), ``gaussian`` (the benchmark's own
windowed Gaussian; its threshold is the one that scores best on the corpus, as the benchmark does
it) and ``null`` (never an alarm). Ours sees one value after the other with its time and nothing
else: neither the length nor the range of a series, which the benchmark's runner gives away.

Scoring follows Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms" (ICMLA 2015):
the first 15 % of a series, at most 750 rows, are not scored; the first alarm in a labelled window
earns up to 1, the earlier the more; a window without one costs 1 (2 in the profile that rewards few
misses); an alarm outside costs up to 0.11 (0.22 in the one that rewards few false alarms), less if
it follows a window closely. 0 is no alarm at all and 100 all windows found at once.

A *false alarm* is an episode's beginning outside of all windows in the scored part; its rate is per
week of scored time over all series. The *delay* is from a window's beginning to its first alarm, as
a part of the window: the labelled anomaly itself is near its middle. Halves are of the names'
SHA-256: the detector was developed on the first.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow.csv import read_csv

from homeostat.stats.band import BandConfig, BandState, step
from homeostat.stats.rhythm import DAY, WEEK

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PROFILES = {
    "standard": (1.0, 0.11, 1.0),
    "few false alarms": (1.0, 0.22, 1.0),
    "few misses": (1.0, 0.11, 2.0),
}
"""What a found window earns, a false alarm costs and a missed window costs."""
HALVES = {"all": (0, 1), "developed on": (0,), "held out": (1,)}
GAUSSIAN_WINDOW, GAUSSIAN_STEP = 6_400, 100
"""As published: the window grows row by row, then moves on by so many at once."""


@dataclass(frozen=True)
class Labelled:
    """One series: seconds, values, labelled windows (first and last row), rows not scored."""

    name: str
    times: Floats
    values: Floats
    windows: tuple[tuple[int, int], ...]
    unscored: int

    @property
    def half(self) -> int:
        """0: developed on; 1: held out."""
        return hashlib.sha256(self.name.encode()).digest()[0] & 1

    @property
    def weeks(self) -> float:
        """Scored time."""
        return float(self.times[-1] - self.times[self.unscored]) / WEEK

    def credit(self) -> Floats:
        """Return what an alarm at each row is worth: up to 1 in windows, down to -1 outside."""
        found = np.full(len(self.values), -1.0)
        rows = np.arange(len(self.values))
        for place, (first, last) in enumerate(self.windows):
            later = self.windows[place + 1 :]
            following = later[0][0] if later else len(rows)
            width = last - first + 1
            inside, after = rows[first : last + 1], rows[last + 1 : following]
            found[inside] = _sigmoid(-(last - inside + 1) / width) / _sigmoid(-1.0)
            past = (after - last) / max(width - 1, 1)
            found[after] = np.where(past >= 3.0, -1.0, _sigmoid(np.minimum(past, 3.0)))
        return found

    def outside(self) -> Bools:
        """Return which rows are scored and in no window."""
        found = np.arange(len(self.values)) >= self.unscored
        for first, last in self.windows:
            found[first : last + 1] = False
        return found


def _sigmoid(place: Floats | float) -> Floats:
    return np.asarray(2.0 / (1.0 + np.exp(5.0 * np.asarray(place))) - 1.0)


def load(path: str) -> list[Labelled]:
    """Return all series of the file."""
    table = pq.read_table(path)
    names = np.asarray(table["series"].to_pylist())
    times = table["timestamp"].to_numpy().astype("datetime64[us]").astype(np.float64) / 1e6
    values, inside = table["value"].to_numpy(), table["in_window"].to_numpy()
    edges = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), len(names)]
    found = []
    for start, stop in pairwise(edges):
        turns = np.diff(np.concatenate([[0], inside[start:stop].astype(int), [0]]))
        firsts, lasts = np.flatnonzero(turns == 1), np.flatnonzero(turns == -1) - 1
        windows = tuple(zip(firsts.tolist(), lasts.tolist(), strict=True))
        unscored = min(math.floor(0.15 * (stop - start)), 750)
        found.append(
            Labelled(str(names[start]), times[start:stop], values[start:stop], windows, unscored)
        )
    return found


def score(series: Sequence[Labelled], alarms: Sequence[Bools], profile: str) -> float:
    """Return the score, 0 for no alarm and 100 for all windows found at once."""
    earns, false, missed = PROFILES[profile]
    total, windows = 0.0, 0
    for one, alarm in zip(series, alarms, strict=True):
        credit = one.credit()
        total += false * float(credit[alarm & one.outside()].sum())
        for first, last in one.windows:
            begin = max(first, one.unscored)
            hits = np.flatnonzero(alarm[begin : last + 1])
            total += earns * float(credit[begin + hits[0]]) if hits.size else -missed
            windows += 1
    return 100.0 * (total + missed * windows) / ((earns + missed) * windows)


def band(one: Labelled, config: BandConfig) -> Bools:
    """Return where our alarms begin."""
    state: BandState | None = None
    found = np.zeros(len(one.values), dtype=bool)
    for row, (at, value) in enumerate(zip(one.times.tolist(), one.values.tolist(), strict=True)):
        state, reading = step(state, at, value, config)
        found[row] = reading is not None and reading.alarm
    return found


def gaussian(one: Labelled) -> Floats:
    """Return how probable a value nearer to the mean of the rows before is, if they are normal."""
    found = np.zeros(len(one.values))
    for row in range(1, len(one.values)):
        beyond = max(0, row - GAUSSIAN_WINDOW) // GAUSSIAN_STEP * GAUSSIAN_STEP
        before = one.values[beyond : min(row, beyond + GAUSSIAN_WINDOW)]
        found[row] = abs(one.values[row] - before.mean()) / (before.std() or 1e-6)
    # The published scores have 12 digits, so that all beyond 7 standard deviations are equal.
    return np.array([round(1.0 - 0.5 * math.erfc(z / math.sqrt(2.0)), 12) for z in found])


def best(series: Sequence[Labelled], scores: Sequence[Floats], profile: str) -> float:
    """Return the highest score that one threshold for all series reaches, of all thresholds."""
    earns, false, missed = PROFILES[profile]
    rows = []
    for number, (one, values) in enumerate(zip(series, scores, strict=True)):
        place = np.full(len(values), -1)
        for window, (first, last) in enumerate(one.windows):
            place[first : last + 1] = window
        rows += [
            (-value, number, window, credit)
            for value, window, credit in zip(
                values[one.unscored :].tolist(),
                place[one.unscored :].tolist(),
                one.credit()[one.unscored :].tolist(),
                strict=True,
            )
        ]
    rows.sort()
    windows = sum(len(one.windows) for one in series)
    total, top = 0.0, 0.0
    earned: dict[tuple[int, int], float] = {}
    for at, (value, number, window, credit) in enumerate(rows):
        if window < 0:
            total += false * credit
        else:
            before = earned.get((number, window))
            now = max(earns * credit, -missed if before is None else before)
            total += now + missed if before is None else now - before
            earned[number, window] = now
        if at + 1 == len(rows) or rows[at + 1][0] != value:
            top = max(top, total)
    return 100.0 * top / ((earns + missed) * windows)


def published(series: Sequence[Labelled], folder: Path) -> list[Floats]:
    """Return a detector's scores from its folder of the benchmark's results."""
    found = []
    for one in series:
        group, name = one.name.split("/")
        table = read_csv(folder / group / f"{folder.name}_{name}")
        found.append(table["anomaly_score"].to_numpy().astype(np.float64))
    return found


def described(name: str, series: Sequence[Labelled], alarms: Sequence[Bools]) -> str:
    """Return a line of the table."""
    scores = " | ".join(f"{score(series, alarms, profile):.1f}" for profile in PROFILES)
    false = sum(int((a & one.outside()).sum()) for one, a in zip(series, alarms, strict=True))
    weeks = sum(one.weeks for one in series)
    delays, windows = [], 0
    for one, alarm in zip(series, alarms, strict=True):
        for first, last in one.windows:
            hits = np.flatnonzero(alarm[max(first, one.unscored) : last + 1])
            delays += [float(hits[0]) / (last - first + 1)] if hits.size else []
            windows += 1
    delay = f"{np.median(delays):.2f}" if delays else "-"
    return (
        f"| {name} | {scores} | {len(delays)} of {windows} | {false / weeks:.2f} ({false} in "
        f"{weeks:.0f}) | {delay} |"
    )


def main() -> None:
    """Print the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--detector", choices=("band", "gaussian", "null"), default="band")
    parser.add_argument("--rare", type=float, default=7.0, help="days to one false alarm")
    parser.add_argument("--published", type=Path, help="a detector's folder of published scores")
    given = parser.parse_args()
    series = load(given.path)
    if given.published or given.detector == "gaussian":
        scores = (
            published(series, given.published)
            if given.published
            else [gaussian(one) for one in series]
        )
        for name, halves in HALVES.items():
            chosen = [place for place, one in enumerate(series) if one.half in halves]
            print(name, end=": ")
            parts = [series[i] for i in chosen], [scores[i] for i in chosen]
            print(", ".join(f"{profile} {best(*parts, profile):.1f}" for profile in PROFILES))
        return
    begun = time.process_time()
    config = BandConfig(given.rare * DAY)
    alarms = [
        band(one, config) if given.detector == "band" else np.zeros(len(one.values), dtype=bool)
        for one in series
    ]
    spent = (time.process_time() - begun) / sum(len(one.values) for one in series)
    print(f"| series | {' | '.join(PROFILES)} | windows found | false alarms a week | delay |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, halves in HALVES.items():
        chosen = [place for place, one in enumerate(series) if one.half in halves]
        print(described(name, [series[i] for i in chosen], [alarms[i] for i in chosen]))
    print(f"\n{1e6 * spent:.0f} microseconds of CPU per point")


if __name__ == "__main__":
    main()
