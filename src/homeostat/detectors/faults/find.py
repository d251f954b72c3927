"""All faults of current rows, found by comparing them with reference rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.clocks import find_clock_shift
from homeostat.detectors.faults.columns import Columns, Kind, Values
from homeostat.detectors.faults.config import FaultConfig
from homeostat.detectors.faults.masses import (
    FaultyRows,
    as_words,
    find_missing,
    find_number,
    find_word,
    word_shares,
)
from homeostat.detectors.faults.offsets import Sources, find_offset
from homeostat.detectors.faults.scales import distance, find_scale, find_swaps
from homeostat.detectors.faults.shapes import find_power, find_signs
from homeostat.domain.explanation import DataFault, FaultKind

__all__ = ["FaultConfig", "find_faults"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_WHOLE = 0.9  # share of a source's rows from which it is broken, and of the fault that it explains
_ELSEWHERE = 0.02
_LOOKS = 100  # at least
_COARSE = 2.2  # logarithm of a factor that no mix of rows brings about


def find_faults(
    before: Columns,
    now: Columns,
    config: FaultConfig,
    segments: tuple[Columns, Columns] | None = None,
) -> tuple[FaultyRows, ...]:
    """Find what is broken in current rows.

    Parameters
    ----------
    before, now : Columns
        Features of reference and current rows, from `read_pair`.
    config : FaultConfig
    segments : tuple of Columns, optional
        Columns of both that are no features, but may name where rows come from.

    Returns
    -------
    tuple of FaultyRows
        The most certain fault of each column; swapped columns and repeated rows once.
    """
    found = list(_schema(before, now))
    broken = {name for item in found for name in item.fault.columns}
    pairs = {n: (before[n], now[n]) for n in before if n in now and n not in broken}
    numbers = {n: p for n, p in pairs.items() if p[0].kind is Kind.NUMBER and not p[0].is_code}
    for swap, first, second in find_swaps(numbers, config):
        if not {first, second} & broken:
            found.append(swap)
            broken |= {first, second}
    sources = _sources(pairs, segments, config)
    codes = sum(one.is_code and _moved(one, two) for one, two in pairs.values())
    patient = replace(config, looks=max(1, codes))
    strict = _strict(pairs, sources, config)
    for name, (one, two) in pairs.items():
        if name in broken:
            continue
        fault = check_column(name, one, two, patient)
        moved = fault is None or fault.fault.share < _WHOLE
        if moved and (offset := _find_offset(name, one, two, sources, strict)):
            found.append(offset)
        elif fault is not None:
            found.append(_from_source(fault, sources, name))
        else:
            found.extend(_in_one_source(name, one, two, sources, strict))
    return tuple(found)


def find_suspects(
    before: Columns,
    now: Columns,
    found: Sequence[FaultyRows],
    config: FaultConfig,
    segments: tuple[Columns, Columns] | None = None,
) -> tuple[FaultyRows, ...]:
    """Find sound columns whose change may be one of unit, or one of the mix of rows.

    Of all rows, or of those of one source.
    """
    broken = {name for item in found for name in item.fault.columns}
    pairs = {n: (before[n], now[n]) for n in before if n in now and n not in broken}
    sources = _sources(pairs, segments, config)
    strict = _strict(pairs, sources, config)
    suspects = []
    for name, (one, two) in pairs.items():
        if one.kind is two.kind is Kind.NUMBER:
            suspect = find_scale(name, one, two, config, suspect=True)
            offset = _find_offset(name, one, two, sources, strict, suspect=True)
            suspects += [item for item in (suspect, offset) if item]
    return tuple(suspects)


def _find_offset(
    name: str,
    one: Values,
    two: Values,
    sources: Sources,
    config: FaultConfig,
    *,
    suspect: bool = False,
) -> FaultyRows | None:
    if not one.kind is two.kind is Kind.NUMBER or "hour" in name.lower() or not _moved(one, two):
        return None
    return find_offset(name, one, two, sources, config, suspect=suspect)


def _strict(
    pairs: Mapping[str, tuple[Values, Values]], sources: Sources, config: FaultConfig
) -> FaultConfig:
    """Return what it takes where each column is looked at in each source."""
    parts = sum(int(np.unique(two.codes[two.codes >= 0]).size) for _, two in sources.values())
    looks = max(1, len(pairs) * parts)
    return replace(config, level=config.level / max(_LOOKS, looks), min_rise=0.5, looks=looks)


def check_column(name: str, one: Values, two: Values, config: FaultConfig) -> FaultyRows | None:
    """Find the fault of one column, if it has one."""
    if min(one.missing.size, two.missing.size) < config.min_rows:
        return None
    missing = find_missing(name, one, two, config)
    if missing or Kind.EMPTY in {one.kind, two.kind}:
        return missing
    if one.kind is Kind.TIME or "hour" in name.lower():
        clock = find_clock_shift(name, one, two, config)
        if clock or one.kind is Kind.TIME:
            return clock
    if one.kind is Kind.TEXT:
        return find_word(name, one, two, config) if one.is_code else _cut_short(name, one, two)
    if one.is_code:
        word = find_word(name, as_words(one), as_words(two), config)
        return word or find_number(name, one, two, config)
    kinds = (find_number, find_signs, find_scale, find_power)
    return next((found for kind in kinds if (found := kind(name, one, two, config))), None)


def _schema(before: Columns, now: Columns) -> Iterator[FaultyRows]:
    rows = next(iter(now.values())).numbers.size if now else 0
    everyone = np.ones(rows, dtype=bool)
    for name, one in before.items():
        if name not in now:
            text = f"{name} is absent"
            yield FaultyRows(DataFault(FaultKind.MISSING_COLUMN, (name,), text), everyone)
        elif one.kind is not now[name].kind and Kind.EMPTY not in {one.kind, now[name].kind}:
            text = f"{name} is of type {now[name].type_name}, not {one.type_name}"
            yield FaultyRows(DataFault(FaultKind.TYPE_CHANGED, (name,), text), everyone)
    for name in now:
        if name not in before:
            text = f"{name} was not there before"
            yield FaultyRows(DataFault(FaultKind.EXTRA_COLUMN, (name,), text), everyone)


def _cut_short(name: str, one: Values, two: Values) -> FaultyRows | None:
    """Find texts that all end at one length, which they did not."""
    before, now = _lengths(one), _lengths(two)
    if min(before.size, now.size) < 30:
        return None
    most = int(now.max())
    at_most = float((now == most).mean())
    longer = float((before > most).mean())
    if longer < 0.05 or at_most < 0.05 or abs(at_most - float((before >= most).mean())) > 0.1:
        return None
    text = f"{name}: texts are cut after {most} characters; {longer:.0%} were longer"
    rows = np.zeros(two.codes.size, dtype=bool)
    rows[two.codes >= 0] = now == most
    return FaultyRows(DataFault(FaultKind.TRUNCATED, (name,), text, at_most, 0.0), rows)


def _lengths(values: Values) -> Codes:
    lengths = np.array([len(word) for word in values.words], dtype=np.int64)
    found: Codes = lengths[values.codes[values.codes >= 0]]
    return found


def _sources(
    pairs: Mapping[str, tuple[Values, Values]],
    segments: tuple[Columns, Columns] | None,
    config: FaultConfig,
) -> dict[str, tuple[Values, Values]]:
    """Return the columns whose values may name where rows come from."""
    found = {}
    named = dict(pairs)
    if segments is not None:
        named |= {n: (segments[0][n], segments[1][n]) for n in segments[0] if n in segments[1]}
    for name, (one, two) in named.items():
        if one.kind is two.kind and one.is_code and Kind.EMPTY not in {one.kind, two.kind}:
            both = as_words(_joined(one, two)) if one.kind is Kind.NUMBER else None
            n = one.codes.size
            parts = (
                (one, two) if both is None else (both.take(np.arange(n)), both.take(_from(n, two)))
            )
            if 2 <= np.unique(parts[0].codes[parts[0].codes >= 0]).size <= config.max_sources:
                found[name] = parts
    return found


def _from(start: int, values: Values) -> NDArray[np.intp]:
    return np.arange(start, start + values.codes.size)


def _joined(one: Values, two: Values) -> Values:
    return replace(
        one,
        numbers=np.concatenate((one.numbers, two.numbers)),
        codes=np.concatenate((one.codes, two.codes)),
    )


def _from_source(found: FaultyRows, sources: Sources, column: str) -> FaultyRows:
    """Say so if the faulty rows are those of one value of another column."""
    rows = found.rows
    if not 0.0 < rows.mean() < _WHOLE:
        return found
    for name, (one, two) in sources.items():
        if name == column:
            continue
        counts = np.bincount(two.codes[rows & (two.codes >= 0)], minlength=len(two.words))
        place = int(np.argmax(counts))
        inside = two.codes == place
        broken, elsewhere = float(rows[inside].mean()), float(rows[~inside].mean())
        if broken >= 0.7 and elsewhere <= max(_ELSEWHERE, 0.15 * broken) and not inside.all():
            source = f"{name}={two.words[place]}"
            text = f"{found.fault.text}, only where {source}"
            fault = replace(found.fault, source=source, text=text)
            return FaultyRows(fault, inside, one.codes == place)
    return found


def _may_be_mix(fault: DataFault) -> bool:
    """Whether a mix of rows may look like this fault."""
    if fault.kind is FaultKind.UNIT:
        return abs(math.log(abs(fault.factor))) < _COARSE
    return fault.kind in {FaultKind.RECODED, FaultKind.STUCK}


def _moved(one: Values, two: Values) -> bool:
    """Whether a column differs at all from what it was: a source at fault moves the whole, too."""
    noise = math.sqrt(1.0 / min(one.missing.size, two.missing.size))
    if abs(float(one.missing.mean()) - float(two.missing.mean())) > 3.0 * noise:
        return True
    if one.kind is Kind.TEXT:
        before, now = word_shares(one), word_shares(two)
        gaps = [abs(before.get(word, 0.0) - now.get(word, 0.0)) for word in {*before, *now}]
        return max(gaps, default=0.0) > 2.0 * noise
    sides = [np.sort(values.numbers[np.isfinite(values.numbers)]) for values in (one, two)]
    if not min(side.size for side in sides):
        return False
    return distance(sides[0], sides[1]) > 1.9 * noise


def _in_one_source(
    name: str,
    one: Values,
    two: Values,
    sources: Sources,
    config: FaultConfig,
) -> Iterator[FaultyRows]:
    """Look for a fault that shows only among the rows of one value of another column.

    ``config`` is that of `_strict`.
    """
    if min(one.missing.size, two.missing.size) < config.min_rows or not _moved(one, two):
        return
    for other, (before, now) in sources.items():
        if other == name:
            continue
        hits = []
        for place in np.unique(now.codes[now.codes >= 0]).tolist():
            ours, theirs = before.codes == place, now.codes == place
            small = min(np.count_nonzero(ours), np.count_nonzero(theirs)) < 2 * config.min_rows
            if small:
                continue
            found = check_column(name, one.take(ours), two.take(theirs), config)
            if found is not None and found.fault.share >= 0.5:
                hits.append((place, found))
        if len(hits) == 1:
            place, found = hits[0]
            elsewhere = before.codes != place, now.codes != place
            if _may_be_mix(found.fault) and _moved(one.take(elsewhere[0]), two.take(elsewhere[1])):
                continue  # what few rows let pass for a fault of one source is everywhere
            source = f"{other}={now.words[place]}"
            rows = now.codes == place
            text = f"{found.fault.text}, only where {source}"
            fault = replace(found.fault, source=source, text=text, share=float(rows.mean()))
            yield FaultyRows(fault, rows, before.codes == place)
            return
