"""Profiles of rows of the prediction log, as work: of a window, and as the log keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa

from homeostat.adapters.predlog.hours import HOUR
from homeostat.adapters.predlog.parquet import split_by
from homeostat.adapters.predlog.roll import joined
from homeostat.adapters.profilers.parts import Cell, Part
from homeostat.adapters.profilers.performance import MOST_CELLS
from homeostat.domain.columns import answered, texts, where
from homeostat.domain.model import ColumnKind
from homeostat.domain.segments import by_segment
from homeostat.profiles.build import profile_table


@dataclass(frozen=True, slots=True)
class LoggedProfiles:
    """The profile of what was answered.

    Attributes
    ----------
    kinds : mapping of str to ColumnKind
        Of those that a file lacks, its rows say nothing.
    personal : frozenset of str
    version : str
        Only this one; empty: all.
    """

    kinds: Mapping[str, ColumnKind]
    personal: frozenset[str] = frozenset()
    version: str = ""

    def cells(self, table: pa.Table) -> Iterator[tuple[Cell, Part]]:
        """Yield the profile."""
        rows = answered(table)
        if self.version:
            rows = where(rows, "version", self.version)
        yield (0, "[]"), profile_table(rows, _here(self.kinds, table), self.personal, pairs=True)


@dataclass(frozen=True, slots=True)
class HourlyProfiles:
    """Profiles by hour and version, and by segment, as `homeostat.adapters.predlog.roll` makes.

    The segment of a cell is the JSON of version, columns and segment; of all rows without the two.
    """

    kinds: Mapping[str, ColumnKind]
    personal: frozenset[str] = frozenset()
    segments: tuple[tuple[str, ...], ...] = ()

    def cells(self, table: pa.Table) -> Iterator[tuple[Cell, Part]]:
        """Yield the profiles."""
        kinds = _here(self.kinds, table)
        for hour, rows in split_by(answered(table), "timestamp", HOUR):
            for version in sorted(set(texts(rows, "version"))):
                seen = where(rows, "version", version)
                profile = profile_table(seen, kinds, self.personal, pairs=True)
                yield (hour, json.dumps([version])), profile
                for names in self.segments:
                    if set(names) - set(table.column_names):
                        continue
                    for segment, part in by_segment(seen, names, MOST_CELLS):
                        profile = profile_table(part, kinds, self.personal, pairs=True)
                        yield (hour, json.dumps([version, joined(names), segment])), profile


def _here(kinds: Mapping[str, ColumnKind], table: pa.Table) -> dict[str, ColumnKind]:
    return {name: kind for name, kind in kinds.items() if name in table.column_names}
