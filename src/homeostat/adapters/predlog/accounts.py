"""What files hold of each hour, compared with what its profile counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from homeostat.adapters.predlog.catalogue import FileEntry
from homeostat.adapters.predlog.hours import HOUR
from homeostat.adapters.predlog.pools import POOL, HourKey
from homeostat.adapters.records.codec import key_text
from homeostat.domain.columns import answered, micros


@dataclass(frozen=True, slots=True)
class Gone:
    """Rows of a file that cannot be read: how many at most are in no other, and of which hours."""

    first: int
    last: int
    rows: int


@dataclass
class Accounts:
    """What files hold: rows answered by (model, version, hour), and by model what is gone."""

    answered: Counter[HourKey] = field(default_factory=Counter)
    gone: dict[str, list[Gone]] = field(default_factory=lambda: defaultdict(list))

    def lose(self, file: FileEntry, elsewhere: int) -> None:
        """Note a file of predictions that cannot be read, of which others hold so many rows."""
        hours = file.first // HOUR * HOUR, file.last // HOUR * HOUR
        self.gone[file.model].append(Gone(*hours, file.rows - elsewhere))

    def compare(
        self, profiled: Mapping[HourKey, int], damaged: Collection[HourKey]
    ) -> tuple[dict[HourKey, int], dict[str, int]]:
        """Compare what files hold with what profiles count.

        Returns
        -------
        more : dict
            Rows of an hour that are in files and not in its profile.
        lost : dict
            Rows of a model that profiles count, and that are neither in files nor, as far as hours
            tell, were in those that are gone.
        """
        missing: dict[str, Counter[int]] = defaultdict(Counter)
        held, more = Counter[HourKey](), dict[HourKey, int]()
        there = {*profiled, *damaged}
        for (model, version, hour), rows in self.answered.items():
            pooled = (model, version, hour) not in there and (model, POOL, hour) in there
            held[model, POOL if pooled else version, hour] += rows
        # How many rows a damaged one counts is not known.
        for place in {*held, *profiled}.difference(damaged):
            model, _, hour = place
            beyond = held[place] - profiled.get(place, 0)
            if beyond > 0:
                more[place] = beyond
            elif beyond < 0:
                missing[model][hour] -= beyond
        lost = {model: self._unexplained(model, hours) for model, hours in missing.items()}
        return more, lost

    def _unexplained(self, model: str, missing: Counter[int]) -> int:
        gone = self.gone[model]
        beyond = sum(
            max(rows - sum(f.rows for f in gone if f.first <= hour <= f.last), 0)
            for hour, rows in missing.items()
        )
        return max(missing.total() - sum(file.rows for file in gone), beyond)


def answers(model: str, table: pa.Table) -> Counter[HourKey]:
    """Count the rows of predictions that were answered, by version and hour."""
    told = answered(table)
    versions = told.column("version").combine_chunks().dictionary_encode()
    hours = micros(told, "timestamp") // HOUR
    names = versions.dictionary.to_pylist()
    pairs, amounts = np.unique(
        np.stack([np.asarray(versions.indices, np.int64), hours]), axis=1, return_counts=True
    )
    return Counter(
        {
            (model, key_text(str(names[version])), hour * HOUR): amount
            for version, hour, amount in zip(*pairs.tolist(), amounts.tolist(), strict=True)
        }
    )
