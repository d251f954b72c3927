"""What the prediction log has of a bandit's arms: answers, rewards, and how long these took."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.domain.admission import as_admitted
from homeostat.domain.columns import answered, float_array, micros
from homeostat.domain.model import ModelSpec
from homeostat.domain.record import ARM, arrival_of
from homeostat.domain.window import EPOCH, Window
from homeostat.engine.cohort import without
from homeostat.engine.ports import PredictionLog
from homeostat.rollout.bandit.design import Bandit, Kind
from homeostat.rollout.bandit.evaluate import Logged
from homeostat.rollout.bandit.learn import Exposures
from homeostat.rollout.bandit.repeats import GROUPS

DAY = timedelta(days=1) / timedelta(microseconds=1)
COLUMNS = ("prediction_id", "timestamp", "version", "role", "tier", "entity", "arm_share")


@dataclass(frozen=True)
class BanditRows:
    """Reads one bandit's rows as they are known at a moment.

    Parameters
    ----------
    log : PredictionLog
    spec : ModelSpec
    design : Bandit
    as_of : datetime
    faults : tuple of Window
        Rows of these times say nothing about any arm.
    """

    log: PredictionLog
    spec: ModelSpec
    design: Bandit
    as_of: datetime
    faults: tuple[Window, ...] = ()

    def exposures(self, window: Window) -> dict[str, Exposures]:
        """Return each arm's answers in a window, by what was assigned."""
        table = self._read(window)
        rewards, delays = self._rewards(table)
        ages = _ages(table, self.as_of)
        batches = np.floor(ages * (timedelta(days=1) / self.design.every))
        weights = self.design.discount ** np.maximum(batches, 0.0)
        rows = Exposures(ages, rewards, delays, weights, _groups(table))
        places = self._places(table)
        return {arm: rows.take(places == place) for place, arm in enumerate(self.design.arms)}

    def delays(self, window: Window) -> dict[str, NDArray[np.float64]]:
        """Return, by version, how many days the rewards of a window's answers took."""
        table = self._read(window, arms=False)
        rewards, delays = self._rewards(table)
        came = np.isfinite(rewards) & (rewards != 0.0)
        versions = table["version"].combine_chunks().dictionary_encode()
        which = np.asarray(versions.indices.to_numpy())
        names = versions.dictionary.to_pylist()
        return {str(name): delays[came & (which == place)] for place, name in enumerate(names)}

    def logged(self, window: Window, features: Sequence[str] = ()) -> tuple[Logged, pa.Table]:
        """Return answers with complete labels and the chance of their arm, and their rows.

        Where the reward is a score, those that have one. The rows have these features.
        """
        table = self._read(window, columns=[*COLUMNS, *features])
        rewards, _ = self._rewards(table)
        chances = float_array(table["arm_share"])
        known = np.isfinite(chances)
        if self.design.kind is Kind.SCORE:
            known &= np.isfinite(rewards)
        places = self._places(table)
        known &= places >= 0
        kept = table.filter(pa.array(known))
        # Shares are of all entities; the policy deals those of the bandit.
        propensities = np.minimum(chances[known] / self.design.traffic, 1.0)
        rewards = np.nan_to_num(rewards[known])
        return Logged(places[known], rewards, propensities, _entities(kept)), kept

    def _places(self, table: pa.Table) -> NDArray[np.intp]:
        """Return the place of each row's arm among all, -1 for those of no arm."""
        found = pc.index_in(table["role"], self._roles).fill_null(-1)
        return np.asarray(found.to_numpy(), dtype=np.intp)

    @property
    def _roles(self) -> pa.Array[pa.StringScalar]:
        return pa.array([ARM + arm for arm in self.design.arms], pa.string())

    def _read(
        self, window: Window, *, arms: bool = True, columns: Sequence[str] = COLUMNS
    ) -> pa.Table:
        outcome = self.design.outcome
        asked = [*columns, *([outcome, arrival_of(outcome)] if outcome else [])]
        tables = []
        for stretch in self.log.stretches(self.spec, window):
            table, _ = as_admitted(
                self.spec, self.log.labelled(self.spec, stretch, self.as_of, asked)
            )
            table = without(table, self.faults)
            if arms:
                table = table.filter(pc.is_in(table["role"], self._roles))
            tables.append(answered(table))
        return pa.concat_tables(tables)

    def _rewards(self, table: pa.Table) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return rewards and the days they took, NaN where none came."""
        outcome = self.design.outcome
        rewards = float_array(table[outcome or "label"])
        if self.design.kind is Kind.CONVERSION:
            rewards = np.where(np.isnan(rewards), np.nan, rewards > 0.0)
        arrivals = table[arrival_of(outcome)].cast(pa.int64())
        took = np.asarray(arrivals.to_numpy(), dtype=np.float64) - micros(table, "timestamp")
        return rewards, np.maximum(took, 0.0) / DAY


def _ages(table: pa.Table, as_of: datetime) -> NDArray[np.float64]:
    now = (as_of - EPOCH) // timedelta(microseconds=1)
    return np.maximum(now - micros(table, "timestamp"), 0) / DAY


def _entities(table: pa.Table) -> NDArray[np.intp]:
    """Number those whom the rows are about; a row without a name is of its own."""
    names = table["entity"].combine_chunks()
    found = np.array(names.dictionary_encode().indices.to_numpy(), dtype=np.intp)
    alone = np.asarray(pc.equal(names, pa.scalar("")).to_numpy(zero_copy_only=False), np.bool_)
    found[alone] = found.size + np.arange(np.count_nonzero(alone))
    return np.unique(found, return_inverse=True)[1].reshape(-1)


def _groups(table: pa.Table) -> NDArray[np.intp]:
    """Return the group of whom each row is about; a row without a name is of its own."""
    names, ids = (table[name].combine_chunks() for name in ("entity", "prediction_id"))
    found = pc.if_else(pc.equal(names, pa.scalar("")), ids, names).dictionary_encode()
    groups = [zlib.crc32(str(text).encode()) % GROUPS for text in found.dictionary.to_pylist()]
    places = np.asarray(found.indices.to_numpy(), dtype=np.intp)
    return np.array(groups, dtype=np.intp)[places]
