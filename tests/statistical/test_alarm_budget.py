"""False alarms are held by the budget, whatever healthy traffic does; real changes are found.

Each null is ten columns over 90 days, the period of the default budget, of which the drift monitor
may spend a quarter: in healthy runs, at most a quarter may see an alarm. Seeds are fixed.
"""

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import pytest

from homeostat.detectors.drift.detector import DriftConfig, DriftState, evaluate, fit
from homeostat.detectors.performance import detector as performance
from homeostat.domain.verdict import Status
from homeostat.domain.window import Window
from homeostat.profiles.build import profile_numbers
from homeostat.profiles.profile import Profile, merge_all

pytestmark = pytest.mark.statistical

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
COLUMNS = 10
NAMES = [f"c{i}" for i in range(COLUMNS)]
CONFIG = DriftConfig()
RUNS = 4
HISTORIES = (7, 14, 28)


def day(index: int) -> Window:
    return Window(START + index * DAY, START + (index + 1) * DAY)


def traffic(
    rng: np.random.Generator, index: int, kind: str, rows: int, shift: float = 0.0
) -> Profile:
    """A day of ten lognormal columns; only the first one shifts."""
    columns = {}
    for number in range(COLUMNS):
        center = shift if number == 0 else 0.0
        center += {
            "iid": 0.0,
            "weekday": 0.5 if index % 7 >= 5 else 0.0,
            "batch": rng.normal(0.0, 0.15),
        }[kind]
        columns[f"c{number}"] = profile_numbers(np.exp(rng.normal(center, 1.0, rows)))
    return Profile(rows, columns)


@cache
def healthy_days(seed: int, kind: str) -> list[Profile]:
    """The days of one seed and kind, whatever part of them is history."""
    rng = np.random.default_rng(seed)
    rows = (100, 1000)[seed % 2]
    return [traffic(rng, i, kind, rows) for i in range(max(HISTORIES) + 90)]


def healthy_run(seed: int, kind: str, windows: int) -> tuple[bool, bool]:
    """Return whether any of 90 healthy days alarmed, and whether evidence alone would have."""
    days = healthy_days(seed, kind)
    reference = fit([(day(i), days[i]) for i in range(windows)], NAMES, CONFIG)
    state, alarmed, crossed = DriftState(), False, False
    for index in range(windows, windows + 90):
        state, verdicts = evaluate(reference, state, "m", day(index), days[index], CONFIG)
        alarmed |= any(verdict.status is Status.DRIFT for verdict in verdicts)
        crossed |= verdicts[-1].evidence >= CONFIG.threshold
    return alarmed, crossed


@pytest.mark.parametrize("windows", HISTORIES)
@pytest.mark.parametrize("kind", ["iid", "weekday", "batch"])
def test_healthy_traffic_stays_within_the_budget(kind: str, windows: int) -> None:
    found = [healthy_run(seed, kind, windows) for seed in range(RUNS)]
    # Evidence alone, without the effect, must already hold the budget: `RUNS` / 4 expected at most.
    assert sum(crossed for _, crossed in found) <= 2
    assert sum(alarmed for alarmed, _ in found) <= 1


SEGMENTS = {"s=a": 300, "s=b": 100, "s=c": 60, "s=d": 40}


def split_run(seed: int, kind: str) -> tuple[bool, bool]:
    """Return whether any of 90 healthy days of four segments, two of them small, alarmed."""
    rng = np.random.default_rng([seed, 9])

    def parts(rows: int) -> Profile:
        centers = rng.normal(0.0, 0.15 if kind == "batch" else 0.0, 2)
        names = zip(NAMES, centers, strict=False)
        return Profile(
            rows, {n: profile_numbers(np.exp(rng.normal(at, 1.0, rows))) for n, at in names}
        )

    days = [{name: parts(rows) for name, rows in SEGMENTS.items()} for _ in range(28 + 90)]
    known = [(day(index), split) for index, split in enumerate(days[:28])]
    whole = [(window, merge_all(split.values())) for window, split in known]
    segments = {name: [(window, split[name]) for window, split in known] for name in SEGMENTS}
    reference = fit(whole, NAMES[:2], CONFIG, segments)
    state, alarmed, crossed = DriftState(), False, False
    for index, split in enumerate(days[28:], 28):
        whole_day = merge_all(split.values())
        state, verdicts = evaluate(reference, state, "m", day(index), whole_day, CONFIG, split)
        alarmed |= any(verdict.status is Status.DRIFT for verdict in verdicts)
        crossed |= verdicts[-1].evidence >= CONFIG.threshold
    return alarmed, crossed


@pytest.mark.parametrize("kind", ["iid", "batch"])
def test_segments_spend_no_more_than_the_budget(kind: str) -> None:
    found = [split_run(seed, kind) for seed in range(RUNS)]
    # `RUNS` / 4 expected at most, as without segments.
    assert sum(crossed for _, crossed in found) <= 2
    assert sum(alarmed for alarmed, _ in found) <= 1


@pytest.mark.parametrize(
    ("kind", "rows", "shift", "within"),
    [
        ("iid", 1000, 1.0, 1),
        ("iid", 100, 1.0, 3),
        ("iid", 1000, 0.25, 3),
        ("iid", 1000, 0.1, 15),
        ("batch", 1000, 1.0, 4),
    ],
)
def test_a_shift_is_found_in_time(kind: str, rows: int, shift: float, within: int) -> None:
    delays = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        reference = fit([(day(i), traffic(rng, i, kind, rows)) for i in range(14)], NAMES, CONFIG)
        state = DriftState()
        for delay in range(1, 31):
            window = day(13 + delay)
            profile = traffic(rng, 13 + delay, kind, rows, shift)
            state, verdicts = evaluate(reference, state, "m", window, profile, CONFIG)
            if verdicts[0].status is Status.DRIFT:
                break
        delays.append(delay)
    assert np.median(delays) <= within


@pytest.mark.parametrize("rows", [1, 20])
def test_performance_is_quiet_for_ninety_days_of_mild_variation(rows: int) -> None:
    config = performance.PerformanceConfig()
    base = performance.LossBaseline(mean=0.02, n=5000, upper=0.0215)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        state = performance.PerformanceState()
        for index in range(90 * 24):
            center = 0.02 * (1.0 + 0.3 * np.sin(index * 2.0 * np.pi / 24)) * rng.uniform(0.8, 1.2)
            window = Window(START + index * DAY / 24, START + (index + 1) * DAY / 24)
            found = (rng.random(rows) < center).astype(float)
            state, verdict = performance.evaluate(config, base, state, "m", "v1", window, found)
            assert verdict.status is not Status.DRIFT, (seed, index)


def test_performance_finds_a_jump_within_twenty_rows() -> None:
    config = performance.PerformanceConfig()
    base = performance.LossBaseline(mean=0.02, n=5000, upper=0.0215)
    delays = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        state = performance.PerformanceState()
        for index in range(400):
            window = Window(START + index * DAY / 96, START + (index + 1) * DAY / 96)
            mean = 0.02 if index < 200 else 0.25
            found = [rng.beta(2.0 * mean / (1.0 - mean), 2.0)]
            state, verdict = performance.evaluate(config, base, state, "m", "v1", window, found)
            if index >= 200 and verdict.status is Status.DRIFT:
                break
        delays.append(index - 199)
    assert np.median(delays) <= 20


def test_paired_evidence_errs_within_its_level_though_it_is_read_every_row() -> None:
    wrong = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        state = performance.PairedBets()
        for _ in range(20):
            pair = rng.beta(1.0, 4.0, (2, 25))
            state, found = performance.compare_paired(pair[0], pair[1], state)
            if found.better_e >= 20.0:
                wrong += 1
                break
    assert wrong <= 10
