"""Simulated card payments of a high-risk portfolio, with labels that arrive as they do in life.

Who pays
    12,000 accounts, each with a home country, a spending level, a taste for buying online, a device
    and habits. Accounts close and are replaced, devices and contact data change: the portfolio is
    in balance, so that its make-up does not drift by itself.
When
    Hours and weekdays have their rhythm; on the 1st and the 15th (payday) there are a third more
    payments and they are somewhat larger, with a weaker echo on the day after.
Where
    600 merchants in ten categories, each with its own popularity and chargeback risk.
Fraud
    About 3.5 % of payments, far above an ordinary bank's 0.1 %: stolen cards (bursts of high
    amounts abroad, 40 % of them at night), card testing (many tiny amounts online), account
    takeover (new device, changed contact data, high amounts online) and *disguised* fraud that no
    feature tells apart. `World.new_pattern` switches on one that the first model has never seen.
Labels
    Fraud is reported by chargeback after a log-normal delay: median 4 days, 99 % within 10 days.
    Honest payments never report themselves: their label 0 comes with the settlement at an age of
    exactly 10 days. The one fraud in a hundred reported later is first settled as honest and then
    corrected. Three in ten payments, chosen by a hash of the payment's number, is *audited*: the
    customer is asked in the app, and 95 % answer within 90 seconds. Whether they answer depends on
    nothing else; those who do not are labelled like everybody else.

Times are UTC. Every day is drawn from a generator of its own, derived from (seed, day), so the same
seed gives the same payments however the windows are cut. ``payments_last_24h`` counts payments of
the known patterns; those of the new one are too few to matter there. The weekday shapes the traffic
but is no feature: a model retrained on the first three days of a new fraud pattern would learn that
it happens from Monday to Wednesday.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from portfolio import (
    COUNTRY_RISK,
    DAY,
    NAMES,
    NEW,
    PATTERN_NAMES,
    Draw,
    Floats,
    Population,
    Rng,
    known_payments,
    new_payments,
    recent_payments,
)

from homeostat.domain.record import LABEL_SCHEMA, TIMESTAMP
from homeostat.domain.window import EPOCH, Window

K = TypeVar("K")
V = TypeVar("V")

MATURITY = timedelta(days=10)
AUDIT_MATURITY = timedelta(minutes=2)
AUDITED_SHARE = 0.3

FEATURES = (
    "amount",
    "amount_ratio",
    "hour",
    "merchant_category",
    "merchant_risk",
    "channel",
    "is_foreign",
    "country_risk",
    "distance_km",
    "account_age_days",
    "device_age_days",
    "profile_age_days",
    "payments_last_24h",
)

REQUEST = ("prediction_id", "timestamp", "customer", *FEATURES, "audited")


@dataclass(frozen=True, slots=True)
class World:
    """What goes on outside: switches that the caller may throw at any moment.

    Attributes
    ----------
    new_pattern : float
        Share of all payments, in [0, 1), that belongs to a new kind of fraud: after a takeover of
        the app the card is put into a wallet and groceries are bought near the victim's home, by
        day, for usual to middling amounts, with a known device. Each feature by itself looks
        ordinary; grocery store *and* contact data changed in the last two days gives it away.
    cents : bool
        Upstream fault: ``amount`` arrives in cents instead of units. ``amount_ratio`` is derived
        from the amount by the feature service, against a mean that is in units: it is 100 times too
        large as well. No other column is affected.
    """

    new_pattern: float = 0.0
    cents: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.new_pattern < 1:
            raise ValueError(f"new_pattern is a share in [0, 1), not {self.new_pattern}")


NORMAL = World()


@dataclass
class Traffic:
    """An endless stream of payments around a starting moment.

    Parameters
    ----------
    seed : int
        Same seed, same payments.
    start : datetime
        First moment of live traffic, with time zone; `history` lies before it.
    volume : float
        Payments on an average day.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> start = datetime(2024, 3, 4, 12, tzinfo=UTC)
    >>> rows, labels = Traffic(7, start).batch(Window(start, start + timedelta(minutes=30)))
    >>> rows.num_rows > 200, labels.num_rows >= rows.num_rows
    (True, True)
    >>> labels.column_names
    ['prediction_id', 'label', 'arrival']
    """

    seed: int
    start: datetime
    volume: float = 10_000.0
    _population: Population = field(init=False, repr=False)
    _draws: dict[int, Draw] = field(init=False, repr=False, default_factory=dict)
    _days: dict[tuple[int, float], pa.Table] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise ValueError("start needs a time zone")
        self._population = Population.draw(self._rng(0, 0))

    def payments(self, window: Window, world: World = NORMAL) -> pa.Table:
        """Return all there is to know about the payments in the window, by time.

        Columns: ``prediction_id``, ``timestamp``, ``customer``, the `FEATURES`, ``audited``, and
        the truth: ``pattern`` (empty if honest), ``label`` and the ``arrival`` of its final event.
        """
        first, last = _day_of(window.start), _day_of(window.end - timedelta(microseconds=1))
        shares = dict.fromkeys((0.0, world.new_pattern))
        days = [self._day(d, share) for d in range(first, last + 1) for share in shares]
        table = pa.concat_tables([_between(day, window) for day in days])
        if len(shares) > 1:
            table = table.sort_by([("timestamp", "ascending"), ("prediction_id", "ascending")])
        return _in_cents(table) if world.cents else table

    def batch(self, window: Window, *, world: World = NORMAL) -> tuple[pa.Table, pa.Table]:
        """Return the requests in the window, and every label event that they will ever cause.

        The labels (`LABEL_SCHEMA`, by arrival) lie in the future: hand each over once its
        ``arrival`` has come.
        """
        table = self.payments(window, world)
        return table.select([*REQUEST]), _label_events(table)

    def history(self, days: int = 56) -> pa.Table:
        """Return the requests of the days before the start, with ``label`` and ``arrival``.

        These are the labels as finally known. Keep the rows that are older than `MATURITY` to see
        only what a trainer could have had at the start.
        """
        table = self.payments(Window(self.start - timedelta(days=days), self.start))
        return table.select([*REQUEST, "label", "arrival"])

    def _rng(self, day: int, stream: int) -> Rng:
        return np.random.default_rng([self.seed, day, stream])

    def _drawn(self, day: int) -> Draw:
        if day not in self._draws:
            _make_room(self._draws)
            people, rng = self._population, self._rng(day, 1)
            self._draws[day] = known_payments(rng, people, day, self.volume)
        return self._draws[day]

    def _day(self, day: int, share: float) -> pa.Table:
        """Return a day's payments of the known patterns (share 0), or those of the new one."""
        if (day, share) not in self._days:
            _make_room(self._days)
            before, today, draw = self._drawn(day - 1), self._drawn(day), self._drawn(day)
            if share:
                count = len(today["second"]) * share / (1 - share)
                draw = new_payments(self._rng(day, 2), self._population, day, count)
            recent = recent_payments(draw, before, today)
            rng = self._rng(day, 4 if share else 3)
            self._days[day, share] = _to_table(draw, recent, self._population, day, rng)
        return self._days[day, share]


def _make_room(kept: dict[K, V]) -> None:
    while len(kept) >= 8:
        del kept[next(iter(kept))]


def _day_of(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(days=1)


def _to_table(draw: Draw, recent: Floats, people: Population, day: int, rng: Rng) -> pa.Table:
    account, number = draw["account"].astype(np.int64), np.arange(len(recent))
    new = bool((draw["pattern"] == NEW).any())
    stamp = day * DAY * 1_000_000 + np.floor(draw["second"] * 1e6).astype(np.int64)
    today = EPOCH + timedelta(days=day)
    prefix = f"{'w' if new else 'p'}{today:%Y%m%d}-"
    tenants = people.tenants(account, day)
    country = draw["country"].astype(np.int64)
    audited = _hash01(day * 2**21 + new * 2**20 + number) < AUDITED_SHARE
    fraud = draw["pattern"] > 0
    columns = {
        "prediction_id": [f"{prefix}{k:05d}" for k in number.tolist()],
        "timestamp": pa.array(stamp).cast(TIMESTAMP),
        "customer": [f"c{a:05d}.{k}" for a, k in zip(account, tenants, strict=True)],
        "amount": np.maximum(draw["amount"], 0.5).round(2),
        "amount_ratio": draw["amount"] / people.usual(draw["account"]),
        "hour": draw["second"] // 3600,
        "merchant_category": np.array(NAMES)[draw["category"].astype(np.int64)],
        "merchant_risk": people.merchant_risk[draw["merchant"].astype(np.int64)],
        "channel": np.where(draw["online"] > 0, "online", "pos"),
        "is_foreign": country != people.home[account],
        "country_risk": COUNTRY_RISK[country],
        "distance_km": draw["distance_km"].round(1),
        "account_age_days": people.ages(0, draw["account"], day),
        "device_age_days": draw["device_age_days"],
        "profile_age_days": draw["profile_age_days"],
        "payments_last_24h": recent,
        "audited": audited,
        "pattern": np.array(PATTERN_NAMES)[draw["pattern"].astype(np.int64)],
        "label": fraud.astype(float),
        "arrival": pa.array(stamp + _delay(rng, fraud, audited)).cast(TIMESTAMP),
    }
    return pa.table({name: pa.array(column) for name, column in columns.items()})


def _hash01(number: NDArray[np.int64]) -> Floats:
    """Map numbers to [0, 1) with the SplitMix64 finaliser (Steele, Lea & Flood 2014)."""
    z = number.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(float) / 2**53


def _delay(rng: Rng, fraud: NDArray[np.bool_], audited: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the age in microseconds at which each payment's final label is known."""
    n = len(fraud)
    answers = audited & (rng.random(n) < 0.95)
    in_app = np.clip(rng.lognormal(np.log(25), 0.6, n), 3, 90)
    chargeback = rng.lognormal(np.log(4 * DAY), 0.394, n)
    later = np.where(fraud, chargeback, MATURITY.total_seconds())
    return np.floor(np.where(answers, in_app, later) * 1e6).astype(np.int64)


def _label_events(table: pa.Table) -> pa.Table:
    """Return the final labels, and the settlements as honest that late chargebacks correct."""
    names = LABEL_SCHEMA.names
    matured = pc.add(table["timestamp"], pa.scalar(MATURITY))
    late = pc.and_(pc.greater(table["arrival"], matured), pc.equal(table["label"], pa.scalar(1.0)))
    ids = table["prediction_id"].filter(late)
    settled = pa.table([ids, pa.array(np.zeros(len(ids))), matured.filter(late)], names=names)
    events = pa.concat_tables([table.select(names), settled])
    return events.sort_by([("arrival", "ascending"), ("prediction_id", "ascending")])


def _between(day: pa.Table, window: Window) -> pa.Table:
    stamps = day["timestamp"].cast(pa.int64()).to_numpy()
    ends = [(t - EPOCH) // timedelta(microseconds=1) for t in (window.start, window.end)]
    first, last = np.searchsorted(stamps, ends)
    return day.slice(first, last - first)


def _in_cents(table: pa.Table) -> pa.Table:
    for name in ("amount", "amount_ratio"):
        table = table.set_column(
            table.column_names.index(name), name, pc.multiply(table[name], 100.0)
        )
    return table
