"""What is wrong with the data themselves, apart from a change of distribution."""

from __future__ import annotations

from dataclasses import replace

from homeostat.detectors.comparison.config import ComparisonConfig
from homeostat.detectors.comparison.evidence import two_shares
from homeostat.detectors.comparison.unseen import expected_unseen, unseen_p_value
from homeostat.domain.comparison import Fact
from homeostat.domain.model import ColumnKind
from homeostat.profiles.cast import Reading, family
from homeostat.profiles.profile import ColumnProfile
from homeostat.stats.bitbins import left_edge

NAMED = 10
NAME_LENGTH = 60
MOST_FAR = 0.01
"""Share of rows far outside the reference's range from which it is a finding."""


def quality(
    reference: ColumnProfile | None,
    current: ColumnProfile | None,
    readings: tuple[Reading, Reading],
    config: ComparisonConfig,
    columns: int = 1,
) -> dict[str, Fact]:
    """Return facts on the data of both sides, and under ``findings`` what is wrong, in words.

    Shares are of all rows. ``missing`` is null, ``nan`` not a number, ``infinite`` ±infinity,
    ``unreadable`` not of the column's kind (also counted as missing). Facts that a side does not
    have are left out. A finding that chance could make has a p-value of at most
    ``config.alpha / columns``, halved for the two that a column can have.

    Examples
    --------
    >>> from homeostat.profiles.profile import ColumnProfile
    >>> before = ColumnProfile(ColumnKind.CATEGORICAL, 100, values={"a": 60, "b": 40})
    >>> after = ColumnProfile(ColumnKind.CATEGORICAL, 100, values={"a": 60, "c": 40})
    >>> facts = quality(before, after, (Reading(), Reading()), ComparisonConfig())
    >>> facts["new_categories"], facts["findings"]
    (('c',), ('40% of rows have categories that the reference lacks: c',))
    """
    facts: dict[str, Fact] = {}
    findings: list[str] = []
    for side, column, reading in zip(
        ("reference", "current"), (reference, current), readings, strict=True
    ):
        if reading.type:
            facts[f"type_{side}"] = reading.type
        if column is not None:
            facts |= {f"{name}_{side}": value for name, value in _facts(column).items()}
        if reading.unreadable and column is not None:
            facts[f"unreadable_{side}"] = column.share(reading.unreadable)
    findings += _type_findings(readings, current)
    if reference is not None and current is not None and reference.count and current.count:
        strict = replace(config, alpha=config.alpha / (2 * columns))
        findings += _rate_findings(reference, current, readings, strict)
        if reference.kind is ColumnKind.NUMERIC:
            found, said = _range(reference, current, strict)
            facts |= found
            findings += said
        else:
            found, said = _new_categories(reference, current, strict)
            facts |= found
            findings += said
    facts["findings"] = tuple(findings)
    return facts


def _facts(column: ColumnProfile) -> dict[str, Fact]:
    facts: dict[str, Fact] = {"missing": column.share(column.missing)}
    if column.kind is ColumnKind.NUMERIC:
        facts |= {
            "nan": column.share(column.nan),
            "infinite": column.share(column.infinite),
            "zeros": column.share(column.zeros),
            "minimum": column.minimum,
            "maximum": column.maximum,
            "mean": column.mean,
        }
    else:
        facts["distinct"] = column.distinct
    return facts


def _type_findings(readings: tuple[Reading, Reading], column: ColumnProfile | None) -> list[str]:
    reference, current = readings
    findings = []
    if reference.type and current.type and family(reference.type) != family(current.type):
        findings.append(f"its type changed from {reference.type} to {current.type}")
    if current.unreadable and not current.problem:
        share = current.unreadable / current.known
        kind = "its kind" if column is None else column.kind
        findings.append(f"{share:.2%} of its current values are unreadable as {kind}")
    return findings


def _rate_findings(
    reference: ColumnProfile,
    current: ColumnProfile,
    readings: tuple[Reading, Reading],
    config: ComparisonConfig,
) -> list[str]:
    findings = []
    n, m = reference.count, current.count
    x, y = (
        side.missing + side.nan - reading.unreadable  # those are a finding of their own
        for side, reading in zip((reference, current), readings, strict=True)
    )
    large = abs(y / m - x / n) >= config.min_missing
    if large and two_shares(x, n, y, m) <= config.alpha:
        findings.append(f"missing values went from {x / n:.2%} to {y / m:.2%} of rows")
    if current.infinite and not reference.infinite:
        findings.append(f"{current.infinite:,} infinite values; the reference has none")
    return findings


def _range(
    reference: ColumnProfile, current: ColumnProfile, config: ComparisonConfig
) -> tuple[dict[str, Fact], list[str]]:
    """Return which share of the current rows lies beyond the reference's extremes, within a bin.

    It is a finding if enough rows lie beyond them by more than the reference's whole range.
    """
    if not (reference.present and current.present):
        return {}, []
    inside = (current.bins >= reference.bins[0]) & (current.bins <= reference.bins[-1])
    facts: dict[str, Fact] = {"out_of_range": current.share(int(current.counts[~inside].sum()))}
    width = reference.maximum - reference.minimum
    if not width:
        return facts, []  # of a constant any other value is as far
    below = left_edge(current.bins + 1) <= reference.minimum - width
    above = left_edge(current.bins) >= reference.maximum + width
    far = int(current.counts[below | above].sum())
    chance = two_shares(0, reference.present, far, current.present)
    if far < MOST_FAR * current.count or chance > config.alpha:
        return facts, []
    span = f"{reference.minimum:.4g} to {reference.maximum:.4g}"
    return facts, [f"{current.share(far):.2%} of rows lie far outside the reference's {span}"]


def _new_categories(
    reference: ColumnProfile, current: ColumnProfile, config: ComparisonConfig
) -> tuple[dict[str, Fact], list[str]]:
    new = {value: n for value, n in current.values.items() if not reference.bounds(value)[1]}
    gone = {value: n for value, n in reference.values.items() if not current.bounds(value)[1]}
    share = current.share(sum(new.values()))
    if not reference.other:
        known = sum(current.rows_with(list(reference.values)))
        share = current.share(current.present - known)
    facts: dict[str, Fact] = {
        "new_categories": _names(new),
        "new_categories_share": share,
        "gone_categories": _names(gone),
    }
    beyond = share - expected_unseen(reference)
    if beyond < config.min_missing or unseen_p_value(reference, current) > config.alpha:
        return facts, []
    named = ", ".join(_names(new)[:5]) + (", ..." if len(new) > 5 else "")
    said = f"{share:.0%} of rows have categories that the reference lacks"
    return facts, [f"{said}: {named}" if named else said]


def _names(rows: dict[str, int]) -> tuple[str, ...]:
    """Return the most frequent values, cut to a readable length."""
    largest = sorted(rows, key=lambda value: (-rows[value], value))[:NAMED]
    return tuple(v if len(v) <= NAME_LENGTH else f"{v[: NAME_LENGTH - 1]}…" for v in largest)
