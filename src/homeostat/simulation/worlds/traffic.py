"""Requests, labels and services of a world, each day drawn from a generator of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.columns import micros
from homeostat.domain.record import LABEL_SCHEMA, TIMESTAMP
from homeostat.domain.window import EPOCH, Window
from homeostat.simulation.worlds.case import START, Case, Event, Kind

Floats = NDArray[np.float64]
MICRO = timedelta(microseconds=1)
HOUR_MICROS, DAY_MICROS = 3_600_000_000, 86_400_000_000
MATURITY: Final = timedelta(days=1)
CHANNELS = ("app", "shop", "web")
OF_WEEKDAY = (1.0, 0.98, 1.0, 1.02, 1.08, 0.92, 0.85)
CUSTOMERS = 4000
LABEL_COLUMNS = ["prediction_id", "arrival", "label"]
LATEST = 6
"""Days after which a label that comes at all has come."""
LATENCY, FAILS = 30.0, 0.002


@dataclass
class Traffic:
    """What a world's clients send and what becomes known of it.

    The same case gives the same rows however windows are cut.
    """

    case: Case
    _days: dict[int, pa.Table] = field(default_factory=dict)
    _labels: dict[int, pa.Table] = field(default_factory=dict)

    def requests(self, window: Window) -> pa.Table:
        """Return the window's requests with ``label``, ``arrival`` and ``chance``, by time."""
        first, last = _day(window.start), _day(window.end - MICRO)
        rows = pa.concat_tables([self.day(number) for number in range(first, last + 1)])
        stamps = micros(rows, "timestamp")
        start, end = np.searchsorted(stamps, (_micro(window.start), _micro(window.end))).tolist()
        return rows.slice(start, end - start)

    def labels(self, window: Window) -> pa.Table:
        """Return the labels that arrive in a window, by the day of their requests and arrival."""
        first, last = _day(window.start), _day(window.end - MICRO)
        found = [LABEL_SCHEMA.empty_table()]
        start, end = _micro(window.start), _micro(window.end)
        for number in range(first - LATEST, last + 1):
            if number not in self._labels:
                self._labels[number] = _labels(self.case, self.day(number), number)
            rows = self._labels[number]
            at, to = np.searchsorted(micros(rows, "arrival"), (start, end)).tolist()
            found.append(rows.slice(at, to - at))
        return pa.concat_tables(found)

    def day(self, number: int) -> pa.Table:
        """Return the requests of a day since 1970."""
        if number not in self._days:
            for kept in (self._days, self._labels):
                for old in [day for day in kept if day < number - LATEST - 1]:
                    del kept[old]
            self._days[number] = _made(self.case, number)
        return self._days[number]

    def hit(self, kind: Kind, stamps: NDArray[np.int64]) -> Floats:
        """Return how bad something is at each moment, 0 where it does not happen."""
        return _strength(self.case.events, kind, stamps)

    def service(self, rows: pa.Table, number: int) -> tuple[NDArray[np.str_], Floats]:
        """Return why the model does not answer rows (or nothing), and after how long, in ms."""
        stamps = micros(rows, "timestamp")
        rng = np.random.default_rng([self.case.seed, 3, number])
        drawn = rng.random(stamps.size)
        latency = rng.lognormal(np.log(LATENCY), 0.4, stamps.size)
        reason = np.where(drawn < FAILS, "error", "").astype("<U8")
        for kind, why, share in ((Kind.ERRORS, "error", 0.4), (Kind.HANG, "timeout", 0.3)):
            hit = drawn < share * self.hit(kind, stamps)
            reason[hit] = why
            if why == "timeout":
                latency[hit] = 1000.0
        slow = self.hit(Kind.SLOW, stamps)
        latency[(slow > 0) & (drawn > 0.7)] += 500.0
        return reason, latency


def _labels(case: Case, rows: pa.Table, number: int) -> pa.Table:
    """Return the labels of a day's requests, and those that take some back a day later."""
    found = rows.select(LABEL_COLUMNS)
    stamps = micros(rows, "timestamp")
    wrong = _strength(case.events, Kind.CORRECTED_LABELS, stamps)
    if wrong.any():
        drawn = np.random.default_rng([case.seed, 4, number]).random(stamps.size)
        turned = found.filter(pa.array(drawn < 0.02 * wrong))
        arrival = pa.array(micros(turned, "arrival") + DAY_MICROS, TIMESTAMP)
        columns = [turned["prediction_id"], arrival, pa.array(1.0 - turned["label"].to_numpy())]
        found = pa.concat_tables([found, pa.table(columns, LABEL_COLUMNS)])
    found = pa.table({name: found[name] for name in LABEL_SCHEMA.names if name in LABEL_COLUMNS})
    return found.sort_by("arrival").combine_chunks()


def _micro(moment: datetime) -> int:
    return (moment - EPOCH) // MICRO


def _day(moment: datetime) -> int:
    return _micro(moment) // DAY_MICROS


def _of(events: tuple[Event, ...], kind: Kind) -> Iterator[Event]:
    return (event for event in events if event.kind is kind)


def _strength(events: tuple[Event, ...], kind: Kind, stamps: NDArray[np.int64]) -> Floats:
    found = np.zeros(stamps.size)
    for event in _of(events, kind):
        start, end = _micro(event.start), _micro(event.end)
        grown = np.ones(stamps.size)
        if event.ramp:
            grown = np.clip((stamps - start) / (event.ramp * HOUR_MICROS), 0.0, 1.0)
        inside = (stamps >= start) & (stamps < end)
        found = np.maximum(found, np.where(inside, event.size * grown, 0.0))
    return found


def _volume(case: Case, number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return how many requests come in each hour of a day."""
    hours = np.arange(24)
    since = number - _day(START)
    rhythm = 1.0 - 0.5 * np.cos(2 * np.pi * (hours - 3) / 24)
    weekday = OF_WEEKDAY[(EPOCH + timedelta(days=number)).weekday()]
    busy = float(np.exp(rng.normal(0.0, 0.04)))
    grown = (1.0 + case.growth) ** (max(since, 0) / 30)
    rate = case.per_day / 24 * rhythm * weekday * busy * grown
    if since in case.holidays:
        rate *= 0.8
    starts = number * DAY_MICROS + hours * HOUR_MICROS
    rate *= np.where(_strength(case.events, Kind.SILENCE, starts) > 0, 0.0, 1.0)
    rate *= 1.0 + 5.0 * _strength(case.events, Kind.BURST, starts)
    counts: NDArray[np.int64] = rng.poisson(rate)
    return counts


def _made(case: Case, number: int) -> pa.Table:
    rng = np.random.default_rng([case.seed, 2, number + 100_000])
    counts = _volume(case, number, rng)
    size = int(counts.sum())
    offsets = np.repeat(np.arange(24), counts) * HOUR_MICROS + rng.integers(0, HOUR_MICROS, size)
    stamps = np.sort(offsets) + number * DAY_MICROS
    signal = rng.normal(size=size) + 1.2 * _strength(case.events, Kind.SHIFT, stamps)
    amount = rng.lognormal(3.0, 0.5, size)
    channel = rng.choice(3, size, p=(0.3, 0.2, 0.5))
    turned = rng.random(size) < _strength(case.events, Kind.CONCEPT, stamps)
    logit = np.where(turned, -2.5, 2.5) * signal + 0.8 * (np.log(amount) - 3.0) / 0.5
    logit += 2.5 * _strength(case.events, Kind.PRIOR, stamps)
    chance = 1.0 / (1.0 + np.exp(-logit))
    label = (rng.random(size) < chance).astype(np.float64)
    arrival = stamps + _delays(case, rng, stamps, label)
    columns = _broken(case, rng, stamps, signal, amount, channel)
    return pa.table(
        {
            "prediction_id": pa.array([f"{number}-{i}" for i in range(size)], pa.string()),
            "timestamp": pa.array(stamps, TIMESTAMP),
            "entity": pa.array([f"c{i}" for i in rng.integers(0, CUSTOMERS, size).tolist()]),
            **columns,
            "label": label,
            "arrival": pa.array(arrival, TIMESTAMP),
            "chance": chance,
        }
    )


def _delays(
    case: Case, rng: np.random.Generator, stamps: NDArray[np.int64], label: Floats
) -> NDArray[np.int64]:
    """Return after how many microseconds labels come; those that are lost come in ten years."""
    hours = rng.lognormal(np.log(8.0), 0.4, stamps.size).clip(0.5, 23.0)
    drawn = rng.random(stamps.size)
    late = drawn < _strength(case.events, Kind.LATE_LABELS, stamps)
    hours = np.where(late, hours + 36.0, hours)
    biased = _strength(case.events, Kind.BIASED_LABELS, stamps)
    hours = np.where((label > 0) & (drawn < biased), hours + 48.0, hours)
    lost = _strength(case.events, Kind.LOST_LABELS, stamps)
    hours = np.where(drawn < np.maximum(0.6 * lost, 0.005), 24.0 * 3650, hours)
    return (hours * HOUR_MICROS).astype(np.int64)


def _broken(
    case: Case,
    rng: np.random.Generator,
    stamps: NDArray[np.int64],
    signal: Floats,
    amount: Floats,
    channel: NDArray[np.int64],
) -> dict[str, pa.Array[pa.Scalar[pa.DataType]]]:
    """Break columns on their way: what is true of the requests stays."""

    def hit(kind: Kind) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = _strength(case.events, kind, stamps) > 0
        return found

    drawn = rng.random(stamps.size)
    sent = np.where(hit(Kind.SWAPPED), amount, signal)
    amount = np.where(hit(Kind.SWAPPED), signal, amount)
    amount = np.where(hit(Kind.UNITS), amount * 100.0, amount)
    sent = np.where(hit(Kind.STUCK), 0.25, sent)
    nulls = drawn < 0.6 * _strength(case.events, Kind.NULLS, stamps)
    names = np.array([*CHANNELS, *(name.upper() for name in CHANNELS)])
    texts = names[channel + 3 * hit(Kind.RENAMED)]
    return {
        "signal": pa.array(sent, mask=nulls),
        "amount": pa.array(amount),
        "channel": pa.array(texts.tolist(), pa.string()),
    }
