"""Profiles that no longer name a value: counts stay, the name goes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from homeostat.profiles.profile import ColumnProfile, Profile, category_rank

ERASED = "(erased)"
"""Stands for values that were erased."""


def mentions(profile: Profile, values: Collection[str]) -> bool:
    """Whether a column counts one of the values by name, or by the hash of a personal one.

    Examples
    --------
    >>> from homeostat.domain.model import ColumnKind
    >>> cards = ColumnProfile(ColumnKind.CATEGORICAL, count=3, values={"card 1": 2, "card 12": 1})
    >>> profile = Profile(3, {"card": cards})
    >>> mentions(profile, {"card 1"}), mentions(profile, {"card"})
    (True, False)
    """
    wanted = _names(values)
    return any(not wanted.isdisjoint(_counted(column)) for column in profile.columns.values())


def forget(profile: Profile, values: Collection[str]) -> Profile:
    """Return the profile with the values counted as `ERASED`.

    Registers that estimate the number of distinct values stay: no value can be read from them.

    Examples
    --------
    >>> from homeostat.domain.model import ColumnKind
    >>> cards = ColumnProfile(ColumnKind.CATEGORICAL, count=3, values={"card 1": 2, "card 12": 1})
    >>> forget(Profile(3, {"card": cards}), {"card 1"}).columns["card"].values
    {'card 12': 1, '(erased)': 2}
    """
    wanted = _names(values)
    columns = {}
    for name, column in profile.columns.items():
        sketch = column.sketch
        if sketch is not None:
            sketch = replace(sketch, counts=_renamed(sketch.counts, wanted))
        columns[name] = replace(column, values=_renamed(column.values, wanted), sketch=sketch)
    return replace(profile, columns=columns)


def counted(profile: Profile) -> set[str]:
    """Return all values that the profile counts by name."""
    return {name for column in profile.columns.values() for name in _counted(column)}


def _names(values: Collection[str]) -> set[str]:
    return {*values, *(f"#{category_rank(value):016x}" for value in values)}


def _counted(column: ColumnProfile) -> set[str]:
    return {*column.values, *(() if column.sketch is None else column.sketch.counts)}


def _renamed(counts: Mapping[str, int], wanted: set[str]) -> dict[str, int]:
    kept = {name: rows for name, rows in counts.items() if name not in wanted}
    gone = sum(rows for name, rows in counts.items() if name in wanted)
    return {**kept, ERASED: kept.get(ERASED, 0) + gone} if gone else kept
