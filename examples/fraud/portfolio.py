"""Who pays whom, how, and how cards are abused: the figures behind `traffic`.

A day is drawn as a dict of equally long float arrays, one element a payment; `traffic` makes rows
and labels of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.window import EPOCH

Floats = NDArray[np.float64]
Draw = dict[str, Floats]
Rng = np.random.Generator

DAY = 86_400
ACCOUNTS, MERCHANTS = 12_000, 600

# name, typical amount, weight in store, weight online, mean chargeback rate of its merchants
CATEGORIES = (
    ("grocery", 34.0, 0.38, 0.06, 0.004),
    ("restaurant", 27.0, 0.20, 0.08, 0.006),
    ("fuel", 48.0, 0.12, 0.00, 0.008),
    ("health", 26.0, 0.08, 0.06, 0.004),
    ("household", 42.0, 0.09, 0.12, 0.008),
    ("fashion", 56.0, 0.07, 0.20, 0.015),
    ("electronics", 110.0, 0.04, 0.10, 0.030),
    ("travel", 190.0, 0.02, 0.08, 0.025),
    ("digital", 13.0, 0.00, 0.20, 0.030),
    ("gaming", 19.0, 0.00, 0.10, 0.040),
)
NAMES = tuple(row[0] for row in CATEGORIES)
TYPICAL, IN_STORE, ONLINE, RISK = (
    np.array([row[i] for row in CATEGORIES], float) for i in range(1, 5)
)

# Customers live in the first four countries; the last three are known for fraud.
COUNTRY_RISK = np.array([0.05, 0.06, 0.08, 0.05, 0.10, 0.12, 0.15, 0.20, 0.45, 0.60, 0.80])
HOME = np.array([0.42, 0.28, 0.18, 0.12])
HONEST_ABROAD = np.array([2, 2, 2, 2, 4, 4, 3, 2, 0.6, 0.4, 0.3])
FRAUD_ABROAD = np.array([1, 1, 1, 1, 1, 1, 1, 1.5, 3, 3, 3])

WEEKDAY_VOLUME = np.array([0.94, 0.93, 0.96, 1.00, 1.14, 1.18, 0.85])
# Day of the month: how many more payments, and how much larger they are.
PAYDAY = {1: (1.33, 1.10), 2: (1.12, 1.04), 15: (1.33, 1.10), 16: (1.12, 1.04)}
_H = np.arange(24)
STORE_HOURS = 0.05 + np.exp(-0.5 * ((_H - 12.5) / 3) ** 2) + np.exp(-0.5 * ((_H - 18) / 2) ** 2)
ONLINE_HOURS = (
    0.15 + np.exp(-0.5 * ((_H - 13) / 4) ** 2) + 1.3 * np.exp(-0.5 * ((_H - 21) / 2) ** 2)
)
EVEN_HOURS = np.ones(24)
NIGHT_HOURS = np.where((_H >= 23) | (_H < 5), 2.0, 1.0)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A way to defraud: bursts of payments on one account.

    ``events`` a day, each with 1 + Poisson(`more`) payments that are `gap` seconds apart on
    average. Amounts are log-normal (median, sigma); with `relative`, in units of the account's own
    usual amount.
    """

    name: str
    events: float
    more: float
    gap: float
    hours: Floats
    online: float
    categories: tuple[tuple[str, float], ...]
    abroad: float
    median: float
    sigma: float
    relative: bool = False
    fresh_device: float = 0.0
    fresh_profile: float = 0.0


PATTERNS = (
    Pattern(
        "stolen_card", 42, 2.0, 400, NIGHT_HOURS, 0.3,
        (("electronics", 4), ("fashion", 3), ("travel", 2), ("fuel", 1)), 0.75, 140, 0.8,
        fresh_device=0.2,
    ),
    Pattern(
        "card_testing", 26, 3.5, 50, EVEN_HOURS, 1.0,
        (("digital", 5), ("gaming", 4), ("household", 1)), 0.5, 1.9, 0.7, fresh_device=0.7,
    ),
    Pattern(
        "account_takeover", 40, 1.2, 1500, ONLINE_HOURS, 1.0,
        (("electronics", 5), ("travel", 3), ("fashion", 3), ("digital", 1)), 0.2, 2.6, 0.6,
        relative=True, fresh_device=0.85, fresh_profile=0.8,
    ),
)  # fmt: skip
DISGUISED_SHARE = 0.003
NEW_PATTERN = Pattern(
    "wallet_takeover", 0, 0.0, 0, STORE_HOURS, 0.0, (("grocery", 1),), 0.0, 1.2, 0.45,
    relative=True, fresh_profile=1.0,
)  # fmt: skip
PATTERN_NAMES = ("", "disguised", *(p.name for p in PATTERNS), NEW_PATTERN.name)
NEW = len(PATTERN_NAMES) - 1


@dataclass(frozen=True, slots=True)
class Population:
    """Accounts and merchants: arrays over accounts, and over merchants sorted by category.

    ``*_life`` and ``*_phase`` in days: at day d the thing is ``(phase + d) mod life`` days old.
    ``merchant_cut`` rises by one a category, so that ``category + u`` with u uniform finds a
    merchant by popularity.
    """

    weight: Floats
    home: Floats
    level: Floats
    online: Floats
    radius: Floats
    lives: tuple[Floats, Floats, Floats]
    phases: tuple[Floats, Floats, Floats]
    merchant_cut: Floats
    merchant_risk: Floats

    @classmethod
    def draw(cls, rng: Rng) -> Population:
        """Draw accounts and merchants."""
        n = ACCOUNTS
        lives = tuple(
            np.clip(rng.lognormal(np.log(median), 0.7, n), low, 6000).round()
            for median, low in ((1400, 90), (420, 45), (110, 30))
        )
        phases = tuple((rng.random(n) * life).round(3) for life in lives)
        per = MERCHANTS // len(CATEGORIES)
        popularity = 1 / np.arange(1, per + 1) ** 0.8
        cut = np.concatenate(
            [k + np.cumsum(popularity) / popularity.sum() for k in range(len(CATEGORIES))]
        )
        return cls(
            weight=rng.gamma(2.0, 1.0, n),
            home=_pick(rng, HOME, n),
            level=rng.lognormal(0, 0.35, n),
            online=rng.beta(2.5, 4.5, n),
            radius=rng.lognormal(np.log(6), 0.5, n),
            lives=(lives[0], lives[1], lives[2]),
            phases=(phases[0], phases[1], phases[2]),
            merchant_cut=cut,
            merchant_risk=np.repeat(RISK, per) * rng.gamma(4.0, 0.25, per * len(CATEGORIES)),
        )

    def ages(self, which: int, account: Floats, day: int) -> Floats:
        """Return the age in days of accounts (0), devices (1) or contact data (2) on a day."""
        at = account.astype(np.int64)
        return np.floor((self.phases[which][at] + day) % self.lives[which][at])

    def tenants(self, account: NDArray[np.int64], day: int) -> NDArray[np.int64]:
        """Return how many customers have held each account's place before."""
        past = (self.phases[0][account] + day) // self.lives[0][account]
        return past.astype(np.int64)

    def merchants(self, rng: Rng, category: Floats) -> Floats:
        """Draw a merchant of each category by popularity."""
        return np.searchsorted(self.merchant_cut, category + rng.random(len(category))).astype(
            float
        )

    def usual(self, account: Floats) -> Floats:
        """Return the mean amount of each account, as the ledger knows it."""
        return self.level[account.astype(np.int64)] * 55.0


def _cumulative(weights: Floats) -> Floats:
    total: Floats = np.cumsum(weights) / np.sum(weights)
    return total


def _pick(rng: Rng, weights: Floats, n: int) -> Floats:
    return np.searchsorted(_cumulative(weights)[:-1], rng.random(n)).astype(float)


def known_payments(rng: Rng, people: Population, day: int, volume: float) -> Draw:
    """Draw a day of honest payments and of the fraud patterns known so far, by time."""
    today = EPOCH + timedelta(days=day)
    busy = volume * WEEKDAY_VOLUME[today.weekday()]
    extra, larger = PAYDAY.get(today.day, (1.0, 1.0))
    count = rng.poisson(busy * 0.965 * extra * rng.lognormal(0, 0.03))
    parts = [_honest(rng, people, day, count, larger)]
    for pattern in PATTERNS:
        events = rng.poisson(pattern.events * busy / 10_000)
        parts.append(_bursts(rng, people, day, pattern, events))
    return _by_time({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def new_payments(rng: Rng, people: Population, day: int, expected: float) -> Draw:
    """Draw a day of the new fraud pattern, by time."""
    return _by_time(_bursts(rng, people, day, NEW_PATTERN, rng.poisson(expected)))


def _by_time(draw: Draw) -> Draw:
    order = np.argsort(draw["second"], kind="stable")
    return {name: column[order] for name, column in draw.items()}


def _honest(rng: Rng, people: Population, day: int, n: int, larger: float) -> Draw:
    account = _pick(rng, people.weight, n)
    at = account.astype(np.int64)
    online = rng.random(n) < people.online[at]
    hour = np.where(online, _pick(rng, ONLINE_HOURS, n), _pick(rng, STORE_HOURS, n))
    category = np.where(online, _pick(rng, ONLINE, n), _pick(rng, IN_STORE, n))
    abroad = rng.random(n) < np.where(online, 0.10, 0.03)
    amount = TYPICAL[category.astype(np.int64)] * people.level[at] * rng.lognormal(0, 0.6, n)
    fresh = rng.random(n) < 0.03
    return {
        "account": account,
        "second": (hour + rng.random(n)) * 3600,
        "online": online.astype(float),
        "category": category,
        "merchant": people.merchants(rng, category),
        "country": np.where(abroad, _pick(rng, HONEST_ABROAD, n), people.home[at]),
        "amount": amount * larger,
        "distance_km": _distance(rng, people, account, abroad & (~online | (rng.random(n) < 0.2))),
        "device_age_days": np.where(
            fresh, np.floor(rng.random(n) * 3), people.ages(1, account, day)
        ),
        "profile_age_days": people.ages(2, account, day),
        "pattern": (rng.random(n) < DISGUISED_SHARE).astype(float),
    }


def _bursts(rng: Rng, people: Population, day: int, pattern: Pattern, events: int) -> Draw:
    size = 1 + rng.poisson(pattern.more, events)
    n = int(size.sum())

    def per_event(values: Floats) -> Floats:
        return np.repeat(values, size)

    account = per_event(np.floor(rng.random(events) * ACCOUNTS))
    at = account.astype(np.int64)
    gaps = np.cumsum(rng.exponential(pattern.gap, n)) if n else np.zeros(0)
    since = gaps - per_event(gaps[np.cumsum(size) - size])
    start = per_event((_pick(rng, pattern.hours, events) + rng.random(events)) * 3600)
    abroad = per_event(rng.random(events)) < pattern.abroad
    fresh = per_event(rng.random(events)) < pattern.fresh_device
    changed = per_event(rng.random(events)) < pattern.fresh_profile
    weights = np.array([dict(pattern.categories).get(name, 0.0) for name in NAMES])
    category = _pick(rng, weights, n)
    unit = people.usual(account) if pattern.relative else 1.0
    new = np.floor(rng.random(n) * 2)
    return {
        "account": account,
        "second": np.minimum(start + since, DAY - 1e-3),
        "online": (per_event(rng.random(events)) < pattern.online).astype(float),
        "category": category,
        "merchant": people.merchants(rng, category),
        "country": np.where(abroad, per_event(_pick(rng, FRAUD_ABROAD, events)), people.home[at]),
        "amount": unit * pattern.median * rng.lognormal(0, pattern.sigma, n),
        "distance_km": _distance(rng, people, account, abroad),
        "device_age_days": np.where(fresh, new, people.ages(1, account, day)),
        "profile_age_days": np.where(changed, new, people.ages(2, account, day)),
        "pattern": np.full(n, float(PATTERN_NAMES.index(pattern.name))),
    }


def _distance(rng: Rng, people: Population, account: Floats, far: NDArray[np.bool_]) -> Floats:
    near = people.radius[account.astype(np.int64)] * rng.exponential(1.0, len(account))
    return np.where(far, rng.lognormal(np.log(900), 0.7, len(account)), near)


def recent_payments(draw: Draw, before: Draw, today: Draw) -> Floats:
    """Count each account's known payments in the 24 hours before each payment."""
    account = np.concatenate([before["account"], today["account"]])
    second = np.concatenate([before["second"] - DAY, today["second"]])
    keys = np.sort(account * 4 * DAY + second)
    now = draw["account"] * 4 * DAY + draw["second"]
    counts = np.searchsorted(keys, now) - np.searchsorted(keys, now - DAY)
    return counts.astype(float)
