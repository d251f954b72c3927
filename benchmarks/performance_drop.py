"""How soon a drop in accuracy is found, and how often nothing is.

Run with

    PYTHONPATH=src python benchmarks/performance_drop.py [--worlds A,B] [--holdouts 7,30] [--quick]

Ten labelled predictions a second, 864,000 a day; a decision is right or wrong. Wrong answers of a
tick are a binomial number, which says all that the bets need, so 90 quiet days of 20 deployments
are played tick by tick; `check` compares that with the detector itself, row by row. Every
deployment has a reference of its own, of one labelled row a second, with the same rhythm and the
same effects of days, hours and bursts as later traffic. Bets within the day are weighed only where
some span of rows is three and a half standard errors above those before: elsewhere they are worth
nothing.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.performance.baseline import (
    LossBaseline,
    PerformanceConfig,
    baseline,
    limits,
    rungs,
)
from homeostat.detectors.performance.bets import CAP, Hourly, bet_hourly
from homeostat.detectors.performance.detector import (
    PATIENT,
    SUDDEN,
    PerformanceState,
    evaluate,
)
from homeostat.detectors.performance.sudden import Today, add, weigh
from homeostat.domain.window import Window
from homeostat.stats.evidence import FRACTIONS

Floats = NDArray[np.float64]

START = datetime(2024, 1, 1, tzinfo=UTC)
SECONDS = 86_400
RATE = 10
BURST = 900  # seconds that a burst of errors lasts
LAGS = (1, 2, 3, 4, 6, 8, 12, 20, 30, 45, 60)  # in minutes, of what is looked at within the day
CONFIG = replace(PerformanceConfig(), share=0.125)  # half of the monitor's: the loss has the other
STAKES = np.asarray(FRACTIONS)


@dataclass(frozen=True)
class Traffic:
    """How accuracy moves while nothing is wrong; days turn at hour `turn`, UTC."""

    accuracy: float
    rhythm: float = 0.0
    days: float = 0.0
    hours: float = 0.0
    bursts: float = 0.0
    turn: int = 0

    def errors(self, rng: np.random.Generator, days: int, tick: int) -> Floats:
        """Return the chance of an error in each tick of some days."""
        each = SECONDS // tick
        at = (np.arange(days * each) + 0.5) * tick
        wave = self.rhythm * np.sin(2.0 * np.pi * at / SECONDS)
        by_day = np.repeat(rng.normal(0.0, self.days, days), each)
        by_day = np.roll(by_day, self.turn * each // 24)
        by_hour = np.repeat(rng.normal(0.0, self.hours, days * 24), each // 24)
        burst = np.zeros(at.size)
        for start in rng.random(rng.poisson(self.bursts * days)) * days * SECONDS:
            burst[(at >= start) & (at < start + BURST)] += 0.05
        return np.clip(1.0 - self.accuracy + wave + by_day + by_hour + burst, 0.001, 0.999)


def reference(traffic: Traffic, rng: np.random.Generator, days: int) -> LossBaseline:
    """Return the baseline of a hold-out with one labelled row a second."""
    wrong = rng.random(days * SECONDS) < traffic.errors(rng, days, 1)
    return baseline(wrong.astype(np.float64), hours=np.arange(days * SECONDS) // 3600)


class Rows:
    """The detector's bets on rows and hours for several deployments at once, from counts."""

    def __init__(self, known: list[LossBaseline], tick: int) -> None:
        ladders = [rungs(CONFIG, one) for one in known]
        self.known = known
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
        self.patient = np.array([one.effects.within > 0.0 for one in known])
        self.hourly = [Hourly() for _ in known]
        self.open = (0, np.zeros(len(known)), 0)

    def see(self, errors: NDArray[np.int64], rows: int, hour: int) -> Floats:
        """Add a tick; return the evidence of each deployment."""
        count = errors[:, None, None]
        growth = count * self.wins[:, hour % 24] + (rows - count) * self.loss
        grown = (self.capital + self.elapsed) * np.exp(growth)
        self.capital = np.minimum(grown, self.caps[..., None])
        found = np.asarray((self.capital.mean(axis=-1) * self.boosts).min(axis=1))
        if not self.patient.any():
            return found
        if hour != self.open[0]:
            mean = self.open[1] / self.open[2]
            for place in np.flatnonzero(self.patient).tolist():
                at = np.array([self.open[0], hour])
                self.hourly[place] = bet_hourly(
                    CONFIG, self.known[place].of_hours, self.hourly[place],
                    np.array([mean[place], 0.0]), at,
                )  # fmt: skip
                self.hourly[place] = replace(self.hourly[place], total=0.0, rows=0)
            self.open = (hour, np.zeros(mean.size), 0)
        self.open = (hour, self.open[1] + errors, self.open[2] + rows)
        late = np.array([one.evidence for one in self.hourly])
        return np.where(self.patient, (1.0 - PATIENT) * found + PATIENT * late, found)


@cache
def pieces(tick: int) -> tuple[Today, ...]:
    """Return the day's pieces after each tick, with the number of their ticks as losses."""
    elapsed = timedelta(seconds=tick) / CONFIG.every
    found = [Today()]
    for turn in range(SECONDS // tick):
        found.append(add(found[-1], turn * tick // 3600, tick * RATE, 1.0, elapsed))
    return tuple(found[1:])


def sudden(
    known: list[LossBaseline],
    errors: NDArray[np.int64],
    tick: int,
    until: NDArray[np.int64] | None = None,
) -> Floats:
    """Return the evidence of a rise within the day, shape (deployments, ticks); 0 after `until`."""
    each = SECONDS // tick
    found = np.zeros(errors.shape)
    for day in range(-(-errors.shape[1] // each)):
        today = errors[:, day * each : (day + 1) * each]
        sums = np.concatenate((np.zeros((len(known), 1)), np.cumsum(today, axis=1)), axis=1)
        for place, one in enumerate(known):
            if one.within is None:
                continue
            turns = _suspect(sums[place], tick)
            if until is not None:
                turns = turns[day * each + turns < until[place]]
            for turn in turns.tolist():
                state = pieces(tick)[turn]
                ends = np.cumsum(state.totals).astype(np.int64)
                totals = np.diff(sums[place][np.concatenate(([0], ends))])
                worth, _ = weigh(CONFIG.margin, one.within, state, totals)
                found[place, day * each + turn] = worth.sum()
    return found


def _suspect(sums: Floats, tick: int) -> NDArray[np.int64]:
    ends = np.arange(1, sums.size)
    flagged = np.zeros(ends.size, dtype=bool)
    for lag in {max(1, 60 * lag // tick) for lag in LAGS}:
        ok = ends > lag
        at = ends[ok]
        recent = (sums[at] - sums[at - lag]) / (lag * tick * RATE)
        reach = np.minimum(at - lag, 3600 // tick)
        past = (sums[at - lag] - sums[at - lag - reach]) / (reach * tick * RATE)
        error = np.sqrt(past.clip(0.001) * (1.0 / lag + 1.0 / reach) / (tick * RATE))
        flagged[ok] |= recent - past > 3.5 * error
    return np.flatnonzero(flagged)


def evidence(
    known: list[LossBaseline],
    chances: Floats,
    rng: np.random.Generator,
    tick: int,
    until: NDArray[np.int64] | None = None,
) -> tuple[Floats, Floats]:
    """Return the evidence of rows and hours, and that of a rise within the day."""
    errors = rng.binomial(tick * RATE, chances)
    bets, slow = Rows(known, tick), np.empty(chances.shape)
    for turn in range(chances.shape[1]):
        slow[:, turn] = bets.see(errors[:, turn], tick * RATE, turn * tick // 3600)
    return slow, sudden(known, errors, tick, until)


def alarmed(known: list[LossBaseline], slow: Floats, fast: Floats) -> NDArray[np.bool_]:
    """Return where the detector's evidence is at its threshold."""
    able = np.array([one.within is not None for one in known])[:, None]
    whole = np.where(able, (1.0 - SUDDEN) * slow + SUDDEN * fast, slow)
    return np.asarray(whole >= CONFIG.threshold)


def check() -> None:
    """Compare counts with the detector, row by row, over hours that end in a drop."""
    rng = np.random.default_rng(0)
    known, tick, turns = reference(Traffic(0.9, rhythm=0.02, days=0.003), rng, 7), 60, 130
    chances = np.where(np.arange(turns) < turns - 8, 0.1, 0.15)
    wrong = [rng.permutation(np.arange(tick * RATE) < count).astype(np.float64)
             for count in rng.binomial(tick * RATE, chances)]  # fmt: skip
    errors = np.array([[int(rows.sum()) for rows in wrong]])
    bets, state = Rows([known], tick), PerformanceState(version="1", updated=START)
    fast = sudden([known], errors, tick)[0]
    for turn, rows in enumerate(wrong):
        window = Window(START, START + timedelta(seconds=tick * (turn + 1)))
        hours = np.full(rows.size, turn * tick // 3600, dtype=np.int64)
        if state.firing:
            break
        state, _ = evaluate(CONFIG, known, state, "m", "1", window, rows, hours)
        slow = bets.see(errors[:, turn], rows.size, turn * tick // 3600)[0]
        seen = (1.0 - SUDDEN) * slow + SUDDEN * fast[turn] if known.within else slow
        if fast[turn] > 0.0 or known.within is None:
            np.testing.assert_allclose(state.evidence, seen, rtol=1e-9)


def quiet(
    traffic: Traffic, known: list[LossBaseline], days: int, tick: int, seed: int
) -> tuple[int, int]:
    """Return how many deployments alarm in some quiet days, and did by rows and hours alone."""
    rng = np.random.default_rng(seed)
    chances = np.array([traffic.errors(rng, days, tick) for _ in known])
    slow, fast = evidence(known, chances, rng, tick)
    both = alarmed(known, slow, fast).any(axis=1)
    return int(both.sum()), int((slow >= CONFIG.threshold).any(axis=1).sum())


def delays(
    traffic: Traffic, known: list[LossBaseline], tick: int, seed: int, drop: float = 0.05
) -> tuple[Floats, Floats]:
    """Return seconds from a drop, at some time of a quiet day, to the alarm; inf if none.

    The second: by rows and hours alone.
    """
    rng = np.random.default_rng(seed)
    chances = np.array([traffic.errors(rng, 1, tick) for _ in known])
    before = rng.integers(2 * 3600, 22 * 3600, len(known)) // tick
    chances += drop * (np.arange(chances.shape[1]) >= before[:, None])
    slow, fast = evidence(known, chances, rng, tick, before + 3600 // tick)

    def seconds(fired: NDArray[np.bool_]) -> Floats:
        found = np.where(fired.any(axis=1), (fired.argmax(axis=1) + 1.0 - before) * tick, np.inf)
        return np.where(found > 0.0, found, np.inf)

    return seconds(alarmed(known, slow, fast)), seconds(slow >= CONFIG.threshold)


WORLDS = {
    "i.i.d. rows": Traffic(0.9),
    "rhythm": Traffic(0.9, rhythm=0.02),
    "days 0.002": Traffic(0.9, rhythm=0.01, days=0.002, hours=0.001),
    "days 0.005": Traffic(0.9, rhythm=0.01, days=0.005, hours=0.002),
    "days 0.01": Traffic(0.9, rhythm=0.01, days=0.01, hours=0.002),
    "bursts": Traffic(0.9, rhythm=0.01, days=0.005, hours=0.002, bursts=2.0),
    "turn at 8": Traffic(0.9, rhythm=0.01, days=0.01, hours=0.002, turn=8),
}


def told(seconds: Floats) -> str:
    """Return median and 95th percentile."""
    middle, late = np.quantile(seconds, (0.5, 0.95), method="higher")
    return f"{middle:6.0f} /{late:6.0f}"


def main() -> None:
    """Print a line for each world, accuracy and length of the reference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer runs, for a look")
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--accuracies", default="0.8,0.9,0.97")
    parser.add_argument("--holdouts", default="7,30", help="days of reference")
    asked = parser.parse_args()
    check()
    runs, days = (4, 10) if asked.quick else (20, 90)
    print(
        f"alarms in {runs} x {days} quiet days (ticks of 60 s), and seconds to a drop of 5 points"
    )
    print(f"(ticks of 10 s, {2 * runs} runs): median / 95th percentile; after | by rows and hours")
    print(f"{'world':13}{'accuracy':>9}{'days':>6}{'able':>6}{'quiet':>7}{'drop':>17}")
    for name in asked.worlds.split(","):
        for accuracy in map(float, asked.accuracies.split(",")):
            world = replace(WORLDS[name], accuracy=accuracy)
            for holdout in map(int, asked.holdouts.split(",")):
                rng = np.random.default_rng(1)
                known = [reference(world, rng, holdout) for _ in range(runs)]
                able = sum(one.within is not None for one in known) / runs
                both, alone = quiet(world, known, days, 60, 2)
                found, slow = delays(world, 2 * known, 10, 3)
                print(
                    f"{name:13}{accuracy:9}{holdout:6}{able:6.0%}{both:4} |{alone:2}"
                    f"{told(found):>17} |{told(slow)}",
                    flush=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
