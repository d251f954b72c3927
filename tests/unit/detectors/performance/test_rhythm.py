"""A model that is worse every night has not drifted."""

from datetime import UTC, datetime, timedelta

import numpy as np

from homeostat.detectors.performance.detector import (
    LossBaseline,
    PerformanceConfig,
    PerformanceState,
    baseline,
    evaluate,
)
from homeostat.domain.verdict import Status
from homeostat.domain.window import Window
from homeostat.stats.blocks import HOURS

CONFIG = PerformanceConfig(every=timedelta(hours=1))
START = datetime(2024, 1, 1, tzinfo=UTC)
RATES = np.where(np.arange(HOURS) < 8, 0.5, 0.1)  # share of wrong answers, by hour of the day


def rows(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    hours = rng.integers(0, HOURS, n)
    return (rng.random(n) < RATES[hours]).astype(np.float64), hours


def night(known: LossBaseline, *, hours: bool, rate: float) -> Status:
    """Judge 400 rows scored at three o'clock."""
    losses = (np.random.default_rng(2).random(400) < rate).astype(np.float64)
    window = Window(START, START + timedelta(hours=1))
    at_three = np.full(400, 3) if hours else None
    return evaluate(
        CONFIG, known, PerformanceState(), "fraud", "1", window, losses, at_three
    )[1].status  # fmt: skip


def test_a_night_like_every_night_is_fine_and_a_worse_one_is_found() -> None:
    losses, hours = rows(np.random.default_rng(1), 24_000)
    known = baseline(losses, hours=hours)
    assert len(known.hours) == HOURS
    assert night(known, hours=True, rate=0.5) is Status.OK
    assert night(known, hours=True, rate=0.8) is Status.DRIFT
    assert night(known, hours=False, rate=0.5) is Status.DRIFT


def test_the_rhythm_needs_rows_in_every_hour() -> None:
    losses, hours = rows(np.random.default_rng(1), 24_000)
    seen = hours != 3
    assert baseline(losses[seen], hours=hours[seen]).hours == ()
    few = np.arange(losses.size) < 24 * 15
    assert baseline(losses[few], hours=hours[few]).hours == ()
