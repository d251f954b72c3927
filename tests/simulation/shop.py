"""A shop's traffic with all that a healthy year has in it, and the incidents that can befall it.

Hours, weekdays, paydays (the 1st and the 15th) and a holiday have their own volumes, amounts and
channels; labels come when they come, one in a hundred after its maturity. One request in five
hundred fails and as many are slow. Each hour is drawn from a generator of its own, so the same
seed gives the same traffic however windows are cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.domain.columns import micros
from homeostat.domain.record import TIMESTAMP
from homeostat.domain.window import EPOCH, Window

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MICRO = timedelta(microseconds=1)
MICROS = HOUR // MICRO
MATURITY = 3 * DAY
CHANNELS = ("web", "app", "shop")
PAYDAYS = (1, 15)
OF_HOUR = np.array(
    [
        *(0.4, 0.3, 0.25, 0.25, 0.3, 0.5, 0.7, 0.9, 1.1, 1.2, 1.25, 1.3),
        *(1.35, 1.3, 1.25, 1.2, 1.25, 1.35, 1.45, 1.5, 1.4, 1.2, 0.9, 0.6),
    ]
)
OF_WEEKDAY = np.array([1.0, 0.98, 1.0, 1.02, 1.1, 0.9, 0.75])

Floats = NDArray[np.float64]


class Kind(StrEnum):
    """What goes wrong."""

    CONCEPT = "accuracy drop: what amounts mean is turned round"
    RATE = "accuracy drop: everybody says yes three times as often"
    AGES = "covariate drift: customers are older"
    CHANNEL = "covariate drift: half of the web moves to the app"
    MOVED = "covariate drift: every column is otherwise"
    CENTS = "units: amounts come in cents"
    GONE = "a column is missing"
    HOLES = "a column is missing in one row of four"
    RENAMED = "schema: categories are written otherwise"
    STUCK = "a value is stuck"
    NEGATIVE = "one amount in ten is negative"
    SWAPPED = "two columns have changed places"
    SLOW = "latency: one request in ten is slow"
    ERRORS = "errors: one request in five fails"
    TIMEOUTS = "errors: one request in ten times out"
    OPEN = "the breaker is open"
    OVERLOAD = "degraded: a third is answered by a fallback, overloaded"
    SILENCE = "zero traffic"
    BURST = "volume: five times the requests"
    LOST = "volume: three requests in four are lost"
    CHEAP = "value: amounts fall by a third"


ON_LABELS = frozenset({Kind.CONCEPT, Kind.RATE})


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that goes wrong for a while."""

    kind: Kind
    window: Window

    def covers(self, moment: datetime) -> bool:
        """Whether it goes on at a moment."""
        return self.window.start <= moment < self.window.end


@dataclass(frozen=True)
class Shop:
    """The traffic.

    Attributes
    ----------
    per_day : int
        Requests on an average day.
    holidays : tuple of date
        Days with the traffic of a Sunday, and a seventh less of it.
    hiccups : tuple of Window
        Labels of requests in them come a maturity late.
    incidents : tuple of Incident
        Their windows consist of whole hours.
    """

    seed: int
    per_day: int = 2400
    holidays: tuple[date, ...] = ()
    hiccups: tuple[Window, ...] = ()
    incidents: tuple[Incident, ...] = ()

    def requests(self, window: Window) -> pa.Table:
        """Return the window's requests with their labels and when those arrive, by time."""
        first, last = ((at - EPOCH) // HOUR for at in (window.start, window.end - MICRO))
        rows = pa.concat_tables([_hour(self, number) for number in range(first, last + 1)])
        return within(rows, "timestamp", window)

    def service(self, rows: pa.Table) -> dict[str, NDArray[np.str_] | Floats]:
        """Return why the model does not answer rows (or nothing), and after how long it does."""
        if not rows.num_rows:
            return {"reason": np.array([], "<U12"), "latency_ms": np.array([])}
        stamps = micros(rows, "timestamp")
        rng = np.random.default_rng([self.seed, 7, int(stamps[0] % 2**32), rows.num_rows])
        drawn = rng.random(rows.num_rows)
        latency = rng.lognormal(3.4, 0.4, rows.num_rows)
        latency[rng.random(rows.num_rows) < 0.002] *= 10
        reason = np.where(drawn < 0.002, "error", "").astype("<U12")
        for each in self.incidents:
            now = _inside(stamps, each.window)
            match each.kind:
                case Kind.SLOW:
                    latency[now & (drawn > 0.9)] += 400.0
                case Kind.ERRORS:
                    reason[now & (drawn < 0.2)] = "error"
                case Kind.TIMEOUTS:
                    reason[now & (drawn < 0.1)] = "timeout"
                case Kind.OPEN:
                    reason[now] = "breaker_open"
                case Kind.OVERLOAD:
                    reason[now & (drawn < 0.33)] = "overload"
        return {"reason": reason, "latency_ms": latency}


def within(rows: pa.Table, column: str, window: Window) -> pa.Table:
    """Return the rows whose time is in the window."""
    return rows.filter(pa.array(_inside(micros(rows, column), window)))


def _inside(stamps: NDArray[np.int64], window: Window) -> NDArray[np.bool_]:
    start, end = ((at - EPOCH) // MICRO for at in (window.start, window.end))
    found: NDArray[np.bool_] = (stamps >= start) & (stamps < end)
    return found


@dataclass
class _Drawn:
    """An hour's requests before anything breaks on their way, and what is true of them."""

    amount: Floats
    age: Floats
    items: Floats
    channel: NDArray[np.str_]
    label: Floats


@dataclass(frozen=True)
class _Mood:
    """What a calendar makes of an hour."""

    volume: float
    amount: float
    app: float

    @classmethod
    def of(cls, shop: Shop, at: datetime) -> _Mood:
        holiday = at.date() in shop.holidays
        weekday = 6 if holiday else at.weekday()
        volume = float(OF_HOUR[at.hour] / OF_HOUR.mean() * OF_WEEKDAY[weekday])
        amount, app = 0.0, 0.35
        if weekday > 4:
            amount, app = amount + 0.1, app + 0.03
        if holiday:
            volume *= 0.85
        if at.day in PAYDAYS:
            volume, amount = volume * 1.3, amount + 0.2
        return cls(volume, amount, app)


def expected(shop: Shop, at: datetime) -> int:
    """Return the requests of the hour that begins then, if nothing happens to them."""
    number = (at - EPOCH) // HOUR
    return _size(shop, _Mood.of(shop, at), number, np.random.default_rng([shop.seed, number]))


def _size(shop: Shop, mood: _Mood, number: int, rng: np.random.Generator) -> int:
    # Busy days are busier than chance makes them: two in three are within a twentieth.
    busy = float(np.exp(np.random.default_rng([shop.seed, 1, number // 24]).normal(0, 0.05)))
    return int(rng.poisson(shop.per_day / 24 * mood.volume * busy))


def _hour(shop: Shop, number: int) -> pa.Table:
    at = EPOCH + number * HOUR
    hit = tuple(each.kind for each in shop.incidents if each.covers(at))
    late = any(each.start <= at < each.end for each in shop.hiccups)
    return _made(replace(shop, hiccups=(), incidents=()), number, hit, late)


@lru_cache(maxsize=400)
def _made(shop: Shop, number: int, hit: tuple[Kind, ...], late: bool) -> pa.Table:
    at = EPOCH + number * HOUR
    mood, rng = _Mood.of(shop, at), np.random.default_rng([shop.seed, number])
    factor = {Kind.SILENCE: 0.0, Kind.BURST: 5.0, Kind.LOST: 0.25}
    size = _size(shop, mood, number, rng)
    size = int(size * np.prod([factor.get(kind, 1.0) for kind in hit]))
    drawn = _broken(_drawn(rng, size, mood, hit), rng, hit)
    stamps = np.sort(rng.integers(0, MICROS, size)) + number * MICROS
    delay = rng.lognormal(np.log(12 * 3600), 0.8, size).clip(300, 20 * 86_400)
    arrival = stamps + (delay * 1e6).astype(np.int64) + (MATURITY // MICRO if late else 0)
    return pa.table(
        {
            "prediction_id": pa.array([f"{number}-{i}" for i in range(size)], pa.string()),
            "timestamp": pa.array(stamps, TIMESTAMP),
            "entity": pa.array([f"c{i}" for i in rng.integers(0, 5000, size)], pa.string()),
            "amount": pa.array(drawn.amount, from_pandas=True),
            "age": pa.array(drawn.age, from_pandas=True),
            "items": drawn.items,
            "channel": pa.array(drawn.channel.tolist(), pa.string()),
            "label": drawn.label,
            "arrival": pa.array(arrival, TIMESTAMP),
        }
    )


def _drawn(rng: np.random.Generator, size: int, mood: _Mood, hit: tuple[Kind, ...]) -> _Drawn:
    moved, older = Kind.MOVED in hit, bool({Kind.AGES, Kind.MOVED} & set(hit))
    amount = np.exp(rng.normal(0.25 * (mood.amount + moved), 0.25, size)) * 50.0
    age = rng.normal(42.0 + (6.0 if older else 0.0), 12.0, size).clip(16, 95).round(1)
    items = 1.0 + rng.poisson(3.0 if moved else 2.0, size)
    if Kind.CHEAP in hit:
        amount *= 0.67
    web = 0.5 - (0.25 if moved or Kind.CHANNEL in hit else 0.0)
    app = mood.app + 0.5 - web
    channel = rng.choice(CHANNELS, size, p=[web, app, 1.0 - web - app])
    sign = -1.0 if Kind.CONCEPT in hit else 1.0
    logit = -1.0 + sign * 1.2 * (amount - 51.5) / 13.0 - 0.8 * (age - 42.0) / 12.0
    logit += 0.4 * (items - 3.0) + (1.5 if Kind.RATE in hit else 0.0)
    label = (rng.random(size) < 1 / (1 + np.exp(-logit))).astype(np.float64)
    return _Drawn(amount, age, items, channel, label)


def _broken(drawn: _Drawn, rng: np.random.Generator, hit: tuple[Kind, ...]) -> _Drawn:
    """Break data on their way: what is true of the requests stays."""
    chance = rng.random(drawn.age.size)
    for kind in hit:
        match kind:
            case Kind.CENTS:
                drawn = replace(drawn, amount=drawn.amount * 100.0)
            case Kind.GONE:
                drawn = replace(drawn, age=np.full_like(drawn.age, np.nan))
            case Kind.HOLES:
                drawn = replace(drawn, age=np.where(chance < 0.25, np.nan, drawn.age))
            case Kind.RENAMED:
                drawn = replace(drawn, channel=np.char.upper(drawn.channel))
            case Kind.STUCK:
                drawn = replace(drawn, age=np.full_like(drawn.age, 42.0))
            case Kind.NEGATIVE:
                amount = np.where(chance < 0.1, -drawn.amount, drawn.amount)
                drawn = replace(drawn, amount=amount)
            case Kind.SWAPPED:
                drawn = replace(drawn, amount=drawn.age, age=drawn.amount)
    return drawn


@dataclass
class Answered:
    """How a gateway would have logged rows."""

    base: float = 0.3
    fallback: dict[str, str] = field(default_factory=lambda: {"overload": "cached"})

    def log(self, records: pa.Table, found: dict[str, NDArray[np.str_] | Floats]) -> pa.Table:
        """Put reasons, tiers, fallbacks' scores and latencies into records."""
        reasons = [str(reason) for reason in found["reason"]]
        tiers = ["model" if not why else self.fallback.get(why, "default") for why in reasons]
        elsewhere = pa.array([bool(why) for why in reasons])
        score = pc.if_else(elsewhere, self.base, records["score"])
        decided = pc.if_else(elsewhere, 0.0, records["prediction"])
        columns = {
            "tier": pa.array(tiers, pa.string()),
            "reason": pa.array(reasons, pa.string()),
            "latency_ms": pa.array(found["latency_ms"], pa.float64()),
            "score": score,
            "prediction": decided,
        }
        for name, values in columns.items():
            records = records.set_column(records.column_names.index(name), name, values)
        return records
