"""How numbers go together on two sides, from a sample of their rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.detectors.comparison.config import ComparisonConfig
from homeostat.detectors.multivariate.correlation import (
    CorrelationConfig,
    compare_correlation,
    fit_correlation,
)
from homeostat.domain.columns import float_array
from homeostat.domain.comparison import PairComparison
from homeostat.domain.model import ColumnKind
from homeostat.entrypoints.rows import Rows
from homeostat.profiles.cast import read_columns
from homeostat.stats.encoding import Table

MOST_COLUMNS = 100
MOST_ROWS = 10_000
FEWEST_ROWS = 50


def changed_pairs(
    before: Rows, after: Rows, kinds: Mapping[str, ColumnKind], config: ComparisonConfig
) -> tuple[PairComparison, ...]:
    """Return the pairs whose correlation changed: really, at `config.alpha`, and by enough."""
    names = [name for name, kind in kinds.items() if kind is ColumnKind.NUMERIC][:MOST_COLUMNS]
    tables = [_numbers(rows.sample(), names) for rows in (before, after)]
    both = [name for name in names if all(name in table for table in tables)]
    if len(both) < 2:
        return ()
    known, seen = (Table({name: table[name] for name in both}) for table in tables)
    if min(known.rows, seen.rows) < FEWEST_ROWS:
        return ()
    chosen = CorrelationConfig(FEWEST_ROWS, config.alpha)
    found = compare_correlation(fit_correlation([known], chosen), seen, chosen)
    return tuple(
        PairComparison(pair.first, pair.second, pair.before, pair.now, pair.p_value)
        for pair in found.pairs
        if abs(pair.now - pair.before) >= config.min_correlation
    )


def _numbers(table: pa.Table, names: list[str]) -> dict[str, NDArray[np.float64]]:
    step = max(1, table.num_rows // MOST_ROWS)
    table = table.take(np.arange(0, table.num_rows, step))
    wanted = {name: ColumnKind.NUMERIC for name in names if name in table.column_names}
    read = read_columns(table, wanted)[0]
    return {name: float_array(read[name].cast(pa.float64())) for name in read.column_names}
