"""Faults that leave a column distributed as it was: what goes with its values tells of them.

Signs of a column that is symmetric, two columns that look alike, categories as frequent as each
other: if they are turned, swapped or renamed, no distribution moves, and the meaning of the column
seems to have changed. But each value then goes with other columns and labels exactly as another
one did.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import Columns, Kind
from homeostat.detectors.faults.masses import FaultyRows
from homeostat.detectors.faults.scales import distance
from homeostat.diagnosis.sides import SCORE, Sides
from homeostat.domain.explanation import DataFault, FaultKind
from homeostat.domain.model import Task

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

_PLAIN = 30.0  # chi-squared by which a fault must fit better than no fault
_TOLD = 10.0  # and by what goes with categories alone
_REACH = 4.0  # standard deviations of a chi-squared that fits
_NOISE = 1.63  # Kolmogorov's 99 % quantile
_MOST = 20  # categories
_ROWS = 30  # of a category
_CODED = 10**9
_NOBODY = -2

_Ranked = tuple[float, FaultyRows]


@dataclass(frozen=True, slots=True)
class Hidden:
    """A fault that moved no distribution.

    ``sure`` is False where labels alone speak for it and no other column still means what it did:
    then the meaning of the column may have turned as well.
    """

    fault: FaultyRows
    sure: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Companions:
    """What goes with columns: features of all, and labels, standardised; whose they are."""

    before: Floats
    now: Floats
    owners: NDArray[np.int64]
    inputs: Mask


def find_hidden(sides: Sides, now: Columns) -> tuple[Hidden, ...]:
    """Find signs, columns and categories that changed places without moving a distribution.

    Each may explain the others: a column seems turned as well if one that it goes with is.

    Parameters
    ----------
    sides : Sides
        Rows that were looked at.
    now : Columns
        All current rows.

    Returns
    -------
    tuple of Hidden
        The plainest first.
    """
    with_them = _companions(sides)
    inputs = replace(with_them, owners=np.where(with_them.inputs, with_them.owners, _NOBODY))
    names = [name for name in sides.tables[0].numbers if not name.startswith(SCORE)]
    found = _all(sides, with_them, names, now)
    plain = {item.fault.columns for _, item in _all(sides, inputs, names, now)}
    return tuple(
        Hidden(
            item,
            sure=item.fault.columns in plain or _has_witness(sides, with_them, item.fault.columns),
        )
        for _, item in sorted(found, key=lambda pair: -pair[0])
    )


def _all(sides: Sides, with_them: _Companions, names: list[str], now: Columns) -> list[_Ranked]:
    return [
        *_turned(sides, with_them, names, now),
        *_exchanged(sides, with_them, names, now),
        *(
            item
            for name in sides.tables[0].categories
            for item in _renamed(sides, with_them, name, now)
        ),
    ]


def _has_witness(sides: Sides, with_them: _Companions, names: tuple[str, ...]) -> bool:
    """Whether another column goes with the labels as plainly as it did, and no other way.

    A meaning that turns in one of several columns, by exactly as much as it was, is less likely
    than a column that is turned.
    """
    noise = _noise(sides)
    labels = ~with_them.inputs
    before, after = (
        part[:, ~labels].T @ part[:, labels] / len(part)
        for part in (with_them.before, with_them.now)
    )
    others = _others(sides, with_them, *names)[~labels]
    size = before.shape[1]
    plain = (before**2).sum(axis=1) > (size + _REACH * np.sqrt(2.0 * size)) * noise**2
    still = ((after - before) ** 2).sum(axis=1) < (before**2).sum(axis=1) / 4
    return bool((others & plain & still).any())


def _companions(sides: Sides) -> _Companions:
    scores = [place for place, name in enumerate(sides.names) if name.startswith(SCORE)]
    kept = np.flatnonzero(~np.isin(sides.owners, scores))
    parts = [side.rows[:, kept] for side in (sides.before, sides.now)]
    owners = sides.owners[kept]
    if bool(sides.before.known.all()) and bool(sides.now.known.all()):
        labels = [
            side.labels[:, None] if sides.task is Task.REGRESSION else side.targets
            for side in (sides.before, sides.now)
        ]
        parts = [np.hstack(pair) for pair in zip(parts, labels, strict=True)]
        owners = np.append(owners, np.full(labels[0].shape[1], -1))
    middle, spread = parts[0].mean(axis=0), parts[0].std(axis=0)
    seen = spread > 1e-9
    one, two = ((part[:, seen] - middle[seen]) / spread[seen] for part in parts)
    return _Companions(one, two, owners[seen], owners[seen] >= 0)


def _profile(sides: Sides, with_them: _Companions, name: str) -> tuple[Floats, Floats]:
    """Return the correlation of a column with all companions, before and now."""
    head = int(np.searchsorted(sides.owners, sides.names.index(name)))
    found = []
    for side, others in ((sides.before, with_them.before), (sides.now, with_them.now)):
        column = side.rows[:, head] - side.rows[:, head].mean()
        found.append(column @ others / (len(side) * (float(column.std()) or 1.0)))
    return found[0], found[1]


def _others(sides: Sides, with_them: _Companions, *names: str) -> Mask:
    mine = [sides.names.index(name) for name in names]
    return ~np.isin(with_them.owners, [_NOBODY, *mine])


def _noise(sides: Sides) -> float:
    return float(np.sqrt(1.0 / len(sides.before) + 1.0 / len(sides.now)))


def _fits(left: float, size: int) -> bool:
    return left <= size + _REACH * float(np.sqrt(2.0 * size))


def _finite(numbers: Floats) -> Floats:
    return np.sort(numbers[np.isfinite(numbers)])


def _turned(
    sides: Sides, with_them: _Companions, names: list[str], now: Columns
) -> Iterator[_Ranked]:
    """Find columns about zero whose signs are turned, in all rows or, if inputs tell, in some."""
    noise = _noise(sides)
    for name in names:
        one, two = (_finite(table.numbers[name]) for table in sides.tables)
        if not min(one.size, two.size) or distance(np.sort(-one), two) > _NOISE * noise:
            continue
        before, after = _profile(sides, with_them, name)
        kept = _others(sides, with_them, name)
        was, left = (float((((after + way * before) / noise)[kept] ** 2).sum()) for way in (-1, 1))
        size = int(np.count_nonzero(kept))
        share = 1.0
        if was - left < _PLAIN or not _fits(left, size):
            kept &= with_them.inputs
            size = int(np.count_nonzero(kept))
            ours, theirs = before[kept] / noise, after[kept] / noise
            slope = float(ours @ theirs) / (float(ours @ ours) or 1.0)
            was, left = (float(((theirs - way * ours) ** 2).sum()) for way in (1.0, slope))
            share = (1.0 - slope) / 2.0
            if was - left < _PLAIN or not _fits(left, size) or not 0.03 < share < 1.0:
                continue
        rows = "" if share == 1.0 else f" in {share:.0%} of rows"
        text = f"{name}: signs are flipped{rows}, as what goes with it shows"
        fault = DataFault(FaultKind.SIGN_FLIP, (name,), text, share, factor=-1.0)
        yield was - left, FaultyRows(fault, np.isfinite(now[name].numbers))


def _exchanged(
    sides: Sides, with_them: _Companions, names: list[str], now: Columns
) -> Iterator[_Ranked]:
    """Find columns distributed alike that hold each other's values."""
    noise = _noise(sides)
    profiles = {name: _profile(sides, with_them, name) for name in names}
    moved = [n for n, (one, two) in profiles.items() if ((two - one) ** 2).sum() > noise**2]
    for place, first in enumerate(moved):
        for second in moved[place + 1 :]:
            kept = _others(sides, with_them, first, second)
            (a, b), (c, d) = profiles[first], profiles[second]
            was = float((((b - a)[kept] ** 2 + (d - c)[kept] ** 2) / noise**2).sum())
            left = float((((b - c)[kept] ** 2 + (d - a)[kept] ** 2) / noise**2).sum())
            size = 2 * int(np.count_nonzero(kept))
            if was - left < _PLAIN or not _fits(left, size):
                continue
            tables = sides.tables
            gaps = [
                distance(_finite(tables[0].numbers[x]), _finite(tables[1].numbers[y]))
                for x, y in ((first, second), (second, first))
            ]
            if max(gaps) <= _NOISE * noise:
                text = (
                    f"{first} and {second} hold each other's values, as what goes with them shows"
                )
                fault = DataFault(FaultKind.SWAPPED, (first, second), text)
                yield was - left, FaultyRows(fault, np.ones(now[first].numbers.size, dtype=bool))


def _renamed(sides: Sides, with_them: _Companions, name: str, now: Columns) -> Iterator[_Ranked]:
    """Find categories that go with everything as another one of them did."""
    codes = [table.categories[name] for table in sides.tables]
    words, counts = np.unique(codes[0][codes[0] >= 0], return_counts=True)
    again, sizes = np.unique(codes[1][codes[1] >= 0], return_counts=True)
    if not 2 <= words.size <= _MOST or not np.array_equal(words, again):
        return
    if min(counts.min(), sizes.min()) < _ROWS:
        return
    before, after = (
        np.stack([rows[held == word].mean(axis=0) for word in words])
        for rows, held in ((with_them.before, codes[0]), (with_them.now, codes[1]))
    )
    # Only what differs between categories tells which is which.
    apart = (counts[:, None] * before**2).sum(axis=0)
    kept = _others(sides, with_them, name)
    kept &= apart > words.size + _REACH * float(np.sqrt(2.0 * words.size))
    n, m = len(sides.before), len(sides.now)
    shares = counts / n, sizes / m
    error = 1.0 / sizes[:, None] + 1.0 / counts
    told = ((after[:, None, kept] - before[:, kept]) ** 2).sum(axis=2) / error
    costs = told + (shares[1][:, None] - shares[0]) ** 2 / (shares[0] / n + shares[1][:, None] / m)
    here, best = np.arange(words.size), _assign(costs)
    was, left = float(costs[here, here].sum()), float(costs[here, best].sum())
    if was - left < _PLAIN or not _fits(left, words.size * (1 + int(np.count_nonzero(kept)))):
        return
    # Another mix of rows may have the same frequencies in another order.
    if float(told[here, here].sum() - told[here, best].sum()) < _TOLD:
        return
    said = [_word(now, name, int(word)) for word in words]
    pairs = tuple(sorted((said[b], said[a]) for a, b in enumerate(best.tolist()) if a != b))
    example = f"{pairs[0][0]!r} now {pairs[0][1]!r}"
    text = (
        f"{name}: categories have changed places, such as {example}, as what goes with them shows"
    )
    values = now[name]
    rows = ~values.missing
    fault = DataFault(FaultKind.RECODED, (name,), text, mapping=pairs)
    yield was - left, FaultyRows(fault, rows)


def _assign(costs: Floats) -> NDArray[np.intp]:
    """Return the column of each row, each column once, that no exchange of two makes cheaper."""
    best = np.arange(len(costs))
    while True:
        swapped = costs[:, best]
        own = swapped.diagonal()
        gain = own[:, None] + own - swapped - swapped.T
        first, second = np.unravel_index(gain.argmax(), gain.shape)
        if gain[first, second] <= 1e-9:
            return best
        best[[first, second]] = best[[second, first]]


def _word(now: Columns, name: str, code: int) -> str:
    return now[name].words[code] if now[name].kind is Kind.TEXT else f"{code - _CODED:g}"
