"""False alarms of data drift with segments, over 90 healthy days: together, and each by itself.

Each run is a model with two columns and four segments of 40 to 300 rows a day, 28 days of reference
and 90 days judged, the period of the default budget, of which drift's share is a quarter here: at
most a quarter of the runs may see an alarm. *Together* is what the engine does: all rows and
segments in one reference, which share the evidence. *By itself* is each segment with a reference,
and a budget, of its own.

    PYTHONPATH=src OMP_NUM_THREADS=1 python benchmarks/segment_alarms.py [runs]
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta

import numpy as np

from homeostat.detectors.drift.detector import DriftConfig, DriftState, evaluate, fit
from homeostat.detectors.drift.reference import DriftReference
from homeostat.domain.verdict import Status
from homeostat.domain.window import Window
from homeostat.profiles.build import profile_numbers
from homeostat.profiles.profile import Profile, merge_all

START, DAY = datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=1)
NAMES = ("a", "b")
SEGMENTS = {"s=a": 300, "s=b": 100, "s=c": 60, "s=d": 40}
KNOWN, JUDGED = 28, 90
BATCH = 0.15  # standard deviation of a day's mean
CONFIG = DriftConfig()

Day = tuple[Window, Profile, dict[str, Profile]]


def healthy(seed: int, sd: float) -> list[Day]:
    """Return days whose segments differ by chance, and by batches."""
    rng = np.random.default_rng([seed, 9])

    def part(rows: int) -> Profile:
        centers = rng.normal(0.0, sd, len(NAMES)) if sd else np.zeros(len(NAMES))
        return Profile(
            rows,
            {
                name: profile_numbers(np.exp(rng.normal(center, 1.0, rows)))
                for name, center in zip(NAMES, centers, strict=True)
            },
        )

    days = []
    for index in range(KNOWN + JUDGED):
        split = {name: part(rows) for name, rows in SEGMENTS.items()}
        window = Window(START + index * DAY, START + (index + 1) * DAY)
        days.append((window, merge_all(split.values()), split))
    return days


def judge(reference: DriftReference, days: list[Day], segment: str = "") -> tuple[bool, bool]:
    """Return whether a day alarmed, and whether the evidence alone reached the threshold."""
    state, alarmed, crossed = DriftState(), False, False
    for window, whole, split in days[KNOWN:]:
        profile, parts = (split[segment], None) if segment else (whole, split)
        state, verdicts = evaluate(reference, state, "m", window, profile, CONFIG, parts)
        alarmed |= any(verdict.status is Status.DRIFT for verdict in verdicts)
        crossed |= verdicts[-1].evidence >= CONFIG.threshold
    return alarmed, crossed


def together(days: list[Day]) -> tuple[bool, bool]:
    """Judge all rows and the segments at once."""
    known = days[:KNOWN]
    parts = {name: [(window, split[name]) for window, _, split in known] for name in SEGMENTS}
    reference = fit([(window, whole) for window, whole, _ in known], NAMES, CONFIG, parts)
    return judge(reference, days)


def by_itself(days: list[Day]) -> tuple[bool, bool]:
    """Judge each segment as if there were no other."""
    found = []
    for name in SEGMENTS:
        known = [(window, split[name]) for window, _, split in days[:KNOWN]]
        found.append(judge(fit(known, NAMES, CONFIG), days, name))
    return any(alarmed for alarmed, _ in found), any(crossed for _, crossed in found)


def main(runs: int) -> None:
    """Print how many runs alarmed."""
    began = time.process_time()
    for kind, sd in (("iid", 0.0), ("batch", BATCH)):
        for name, judged in (("together", together), ("by itself", by_itself)):
            found = [judged(healthy(seed, sd)) for seed in range(runs)]
            alarms, crossings = (sum(pair[place] for pair in found) for place in (0, 1))
            print(f"{kind:6} {name:10} {alarms:4} alarmed {crossings:4} crossed of {runs}")
    print(f"{time.process_time() - began:.0f} s CPU")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
