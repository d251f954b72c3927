"""Values that take the place of others: missing, default, stuck; categories under new names."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import Kind, Values
from homeostat.detectors.faults.config import DEFAULT_WORDS, DEFAULTS, FaultConfig
from homeostat.domain.explanation import DataFault, FaultKind
from homeostat.stats.special import normal_sf

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_DEFAULTS = np.array(sorted(DEFAULTS))
STILL = 0.995  # share of one value in a column that stands still
_ODDS = 2.0  # factor of the odds of a missing value that no change of customers brings about
_RARE = 0.02  # share of the commonest number up to which a column counts as continuous
_LOOKED_AT = 3  # commonest numbers that are looked at
_LIKE = 0.12  # total variation up to which frequencies pass for the same
_PREFIX = 0.8
_BESIDE = 2  # values on either side whose rise a value may share
_STANDS_OUT = 2.0  # times what it would hold if it had risen as they did
_CHANCE = 0.01  # that another mix of rows has the same frequencies in another order
_LAST = chr(0x10FFFF)  # sorts after all that goes on as a word does
_ORDERED = 20  # categories beyond which some order always fits


@dataclass(frozen=True, slots=True, eq=False)
class FaultyRows:
    """A fault, the current rows that it touches, and reference rows that look like them.

    ``alike`` is None where reference rows cannot.
    """

    fault: DataFault
    rows: Mask
    alike: Mask | None = None


def find_missing(name: str, one: Values, two: Values, config: FaultConfig) -> FaultyRows | None:
    """Find more missing values than there were."""
    rows = two.missing
    before, now = float(one.missing.mean()), float(rows.mean())
    p_value = rise_p(before, one.missing.size, now, rows.size)
    odds = (now + 1e-9) * (1.0 - before + 1e-9) / ((before + 1e-9) * (1.0 - now + 1e-9))
    if now - before < config.min_rise or p_value > config.level or odds < _ODDS:
        return None
    text = f"{name}: {now:.0%} of rows have no value, {before:.1%} had none"
    fault = DataFault(FaultKind.NULLS, (name,), text, now - before, p_value)
    return FaultyRows(fault, rows, one.missing)


def find_number(name: str, one: Values, two: Values, config: FaultConfig) -> FaultyRows | None:
    """Find one number in the place of many: a default, or a value that stands still."""
    before, now = one.numbers[~one.missing], two.numbers[~two.missing]
    if min(before.size, now.size) < config.min_rows:
        return None
    values, counts = np.unique(now, return_counts=True)
    usual = np.unique(before, return_counts=True)
    continuous = float(usual[1].max()) / before.size <= _RARE and usual[0].size > 20
    low, high = float(usual[0][0]), float(usual[0][-1])
    for place in np.argsort(-counts, kind="stable")[:_LOOKED_AT].tolist():
        value, share = float(values[place]), float(counts[place]) / now.size
        was = float((before == value).mean())
        p_value = rise_p(was, before.size, share, now.size)
        rise = share - was
        if rise < config.min_rise or p_value > config.level:
            continue
        stuck = share >= STILL and was <= 0.9
        usually = _if_like_others(value, usual, (values, counts))
        if not stuck and share < max(_STANDS_OUT * usually, usually + config.min_rise):
            continue
        odd = value in DEFAULTS or not low <= value <= high
        new = was <= 0.005 or (share * (1 - was) > 8.0 * was * (1 - share) and value in DEFAULTS)
        rows, alike = two.numbers == value, one.numbers == value
        if stuck or (continuous and not odd):
            text = f"{name}: {share:.0%} of rows hold {value:g}, {was:.1%} did: the value is stuck"
            return FaultyRows(DataFault(FaultKind.STUCK, (name,), text, rise, p_value), rows, alike)
        if odd and (continuous or new):
            text = f"{name}: {share:.0%} of rows hold the default {value:g}, {was:.1%} did"
            return FaultyRows(
                DataFault(FaultKind.DEFAULT, (name,), text, rise, p_value), rows, alike
            )
    return None


def _if_like_others(
    value: float,
    usual: tuple[Floats, NDArray[np.intp]],
    seen: tuple[Floats, NDArray[np.intp]],
) -> float:
    """Return the share of rows that would hold a value if it had risen as those next to it did."""
    near = np.union1d(usual[0], seen[0])
    near = near[(near != value) & ~(np.isin(near, _DEFAULTS) & ~np.isin(near, usual[0]))]
    place = int(np.searchsorted(near, value))
    beside = np.append(near[max(0, place - _BESIDE) : place + _BESIDE], value)
    was, now = (
        (np.where(np.isin(beside, levels), counts[_places(levels, beside)], 0) + 1) / counts.sum()
        for levels, counts in (usual, seen)
    )
    return float((now[:-1] / was[:-1]).max(initial=0.0) * was[-1])


def _places(levels: Floats, values: Floats) -> NDArray[np.intp]:
    return np.minimum(np.searchsorted(levels, values), levels.size - 1)


def find_word(name: str, one: Values, two: Values, config: FaultConfig) -> FaultyRows | None:
    """Find categories that are stuck, default, cut short or under another name."""
    before, now = word_shares(one), word_shares(two)
    if not before or not now:
        return None
    n, m = int(np.count_nonzero(~one.missing)), int(np.count_nonzero(~two.missing))
    top = max(now, key=lambda word: now[word])
    was = before.get(top, 0.0)
    plain_before = {_plain(word) for word in before}
    for word in sorted(now, key=lambda word: -now[word]):
        plain, share, rise = word.strip().lower(), now[word], now[word] - before.get(word, 0.0)
        p_value = rise_p(before.get(word, 0.0), n, share, m)
        if plain in DEFAULT_WORDS and rise >= config.min_rise and p_value <= config.level:
            rare = before.get(word, 0.0) <= 0.01 or share * 1.0 > 8 * before[word]
            if rare and not (_plain(word) and _plain(word) in plain_before):
                said = repr(word) if word else "an empty text"
                text = f"{name}: {share:.0%} of rows hold {said}, {before.get(word, 0.0):.1%} did"
                fault = DataFault(FaultKind.DEFAULT, (name,), text, rise, p_value)
                return FaultyRows(fault, holds(two, {word}), holds(one, {word}))
    renamed = _find_renamed(name, before, now, (n, m), two, config)
    if renamed:
        return renamed
    p_value = rise_p(was, n, now[top], m)
    if now[top] >= STILL and was <= 0.9 and p_value <= config.level and len(before) > 1:
        text = f"{name}: {now[top]:.0%} of rows hold {top!r}, {was:.1%} did: the value is stuck"
        fault = DataFault(FaultKind.STUCK, (name,), text, now[top] - was, p_value)
        return FaultyRows(fault, holds(two, {top}), holds(one, {top}))
    return None


def word_shares(values: Values) -> dict[str, float]:
    """Return the share of each word among rows that have one."""
    there = values.codes[values.codes >= 0]
    counts = np.bincount(there, minlength=len(values.words))
    return {
        values.words[place]: float(counts[place]) / there.size
        for place in np.flatnonzero(counts).tolist()
    }


def holds(values: Values, words: set[str]) -> Mask:
    """Return the rows that hold one of these words."""
    places = [place for place, word in enumerate(values.words) if word in words]
    return np.isin(values.codes, places)


def rise_p(before: float, n: int, now: float, m: int) -> float:
    """Return the one-sided p-value of a share's rise, pooled, careful with rare values."""
    pooled = (before * n + now * m + 1.0) / (n + m + 2.0)
    error = float(np.sqrt(pooled * (1.0 - pooled) * (1.0 / max(n, 1) + 1.0 / max(m, 1))))
    return normal_sf((now - before - 0.5 / max(m, 1)) / error)


def as_words(values: Values) -> Values:
    """Return whole numbers that stand for categories as words."""
    if values.kind is Kind.TEXT:
        return values
    there = np.isfinite(values.numbers)
    found, places = np.unique(values.numbers[there], return_inverse=True)
    codes = np.full(values.numbers.shape, -1, dtype=np.int64)
    codes[there] = places
    words = tuple(f"{value:g}" for value in found)
    return Values(Kind.TEXT, values.type_name, np.full(codes.size, np.nan), codes, words)


def _plain(word: str) -> str:
    return "".join(c for c in word.casefold() if c.isalnum())


def _find_renamed(
    name: str,
    before: dict[str, float],
    now: dict[str, float],
    sizes: tuple[int, int],
    two: Values,
    config: FaultConfig,
) -> FaultyRows | None:
    new = {word: share for word, share in now.items() if before.get(word, 0.0) == 0.0}
    mass = sum(new.values())
    p_value = rise_p(0.0, sizes[0], mass, sizes[1])
    if mass < config.min_rise or p_value > config.level:
        return _find_permuted(name, before, now, sizes, two, config)
    rows = holds(two, set(new))
    few = len(new) + len(before) <= config.max_words
    spelled = _spelled(new, before) if few else {}
    if sum(new[word] for word in spelled) >= _PREFIX * mass:
        text = f"{name}: categories are written otherwise, such as {_example(spelled)}"
        return _recoded(name, spelled, mass, p_value, rows, text)
    cut = _completed(new, before) if few else {}
    if sum(new[word] for word in cut) >= _PREFIX * mass:
        text = f"{name}: texts are cut short, such as {_example(cut)}"
        return FaultyRows(DataFault(FaultKind.TRUNCATED, (name,), text, mass, p_value), rows)
    known = sorted(before, key=lambda word: -before[word])
    gone = [w for w in known if w not in now]
    whole = mass >= 0.95
    paired = known if whole or len(new) == len(known) else gone
    fresh = sorted(new, key=lambda word: -new[word])
    if not paired or len(fresh) > len(paired) or len(paired) - len(fresh) > 0.2 * len(paired):
        return None
    lost = sum(before[w] for w in paired)
    pairs = list(zip(paired, fresh, strict=False))
    gap = sum(abs(before[a] / lost - new[b] / mass) for a, b in pairs) / 2.0
    noise = 0.5 * float(np.sqrt(len(fresh) / max(1.0, mass * sizes[1])))
    balanced = whole or abs(lost - mass) <= 0.25 * mass or len(new) == len(known)
    errors = [np.sqrt(before[a] * (1.0 / sizes[0] + 1.0 / sizes[1])) for a, _ in pairs]
    alike = all(
        abs(before[a] - new[b]) <= 3.0 * error for (a, b), error in zip(pairs, errors, strict=True)
    )
    if gap > _LIKE + noise or not balanced or (paired is gone and not alike):
        return None
    mapping = {b: a for a, b in pairs}
    text = f"{name}: categories have other names, such as {_example(mapping)}"
    return _recoded(name, mapping, mass, p_value, rows, text)


def _find_permuted(
    name: str,
    before: dict[str, float],
    now: dict[str, float],
    sizes: tuple[int, int],
    two: Values,
    config: FaultConfig,
) -> FaultyRows | None:
    """Find codes that changed places: other frequencies, but the same set of frequencies.

    Of few categories another mix of rows may have them, too: what goes with them must tell then.
    """
    words = sorted(before, key=lambda word: -before[word])
    if set(now) != set(before) or len(words) < 3:
        return None
    ranked = sorted(now, key=lambda word: -now[word])
    moved = sum(abs(before[w] - now[w]) for w in words) / 2.0
    left = sum(abs(before[a] - now[b]) for a, b in zip(words, ranked, strict=True)) / 2.0
    noise = float(np.sqrt(len(words) * (1.0 / sizes[0] + 1.0 / sizes[1])))
    chance = config.looks * _coincidence(len(words), left)
    if moved < 0.25 or left > min(0.1 * moved, noise) or chance > _CHANCE:
        return None
    mapping = {b: a for a, b in zip(words, ranked, strict=True) if a != b}
    text = f"{name}: categories have changed places, such as {_example(mapping)}"
    rows = holds(two, set(mapping))
    return _recoded(name, mapping, float(rows.mean()), chance, rows, text, whole=1.0)


def _coincidence(words: int, left: float) -> float:
    """Return the chance that shares drawn at random are within a total variation, in some order.

    The volume of the ball of that radius in the simplex, times the number of orders.

    Examples
    --------
    >>> round(_coincidence(3, 0.02), 4), round(_coincidence(5, 0.02), 4)
    (0.0144, 0.0013)
    """
    ball = math.comb(2 * (words - 1), words - 1) * left ** (words - 1)
    return min(1.0, math.factorial(words) * ball) if words <= _ORDERED else 1.0


def _recoded(
    name: str,
    mapping: dict[str, str],
    share: float,
    p_value: float,
    rows: Mask,
    text: str,
    whole: float = 0.0,
) -> FaultyRows:
    pairs = tuple(sorted((old, new) for new, old in mapping.items()))
    fault = DataFault(FaultKind.RECODED, (name,), text, max(share, whole), p_value, mapping=pairs)
    return FaultyRows(fault, rows)


def _spelled(new: Iterable[str], before: dict[str, float]) -> dict[str, str]:
    """Return the one word that each was called alike but for case, blanks and signs."""
    known: dict[str, list[str]] = {}
    for word in before:
        known.setdefault(_plain(word), []).append(word)
    matches = ((word, known.get(plain, [])) for word in new if (plain := _plain(word)))
    return {word: found[0] for word, found in matches if len(found) == 1}


def _completed(new: Iterable[str], before: dict[str, float]) -> dict[str, str]:
    """Return the commonest word that each begins."""
    ordered = sorted(before)
    found = {}
    for word in filter(None, new):
        first = bisect_left(ordered, word)
        last = bisect_left(ordered, word + _LAST, first)
        longer = [other for other in ordered[first:last] if other != word]
        if longer:
            found[word] = max(longer, key=lambda other: before[other])
    return found


def _example(mapping: dict[str, str]) -> str:
    new, old = next(iter(mapping.items()))
    return f"{old!r} now {new!r}"
