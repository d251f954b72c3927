"""Damaged rows: noise, missing values and wrong units, as the champion bears them."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.domain.model import ColumnKind, Schema
from homeostat.retraining.gate.checks import Check, Clusters, rise
from homeostat.retraining.gate.paired import Floats

NOISE = 0.1
"""Standard deviation of the noise, as a share of the column's."""
MISSING = 0.1
"""Share of the values that go missing."""
UNITS = 100.0
"""Factor of a wrong unit, as of cents."""
SAME = 1e-6


class Damage(StrEnum):
    """What is done to rows."""

    NOISE = "noise"
    MISSING = "missing values"
    UNITS = "wrong units"


def damaged(schema: Schema, rows: pa.Table, damage: Damage, rng: np.random.Generator) -> pa.Table:
    """Return the rows with damaged features; the same generator gives the same damage.

    Noise moves every numeric value inside of its column's range, whole numbers to whole numbers,
    since a model owes nothing to 0.03 of a yes; of columns that may be null a tenth goes missing; a
    wrong unit befalls one numeric column of each row, in turns.

    Examples
    --------
    >>> from homeostat.domain.model import Column
    >>> schema = Schema((Column("amount", ColumnKind.NUMERIC), Column("land", ColumnKind.NUMERIC)))
    >>> rows = pa.table({"amount": [1.0, 2.0], "land": [3.0, 4.0]})
    >>> damaged(schema, rows, Damage.UNITS, np.random.default_rng(0)).to_pydict()
    {'amount': [100.0, 2.0], 'land': [3.0, 400.0]}
    """
    numeric = [c.name for c in schema.columns if c.kind is ColumnKind.NUMERIC]
    for column in schema.columns:
        name, values = column.name, rows[column.name]
        if damage is Damage.MISSING and column.nullable:
            gone = pa.array(rng.random(rows.num_rows) < MISSING)
            changed = pc.if_else(gone, pa.scalar(None, values.type), values)
        elif damage is not Damage.MISSING and name in numeric:
            known = np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)
            missing = np.asarray(values.is_null().to_numpy(zero_copy_only=False), dtype=np.bool_)
            mine = np.arange(known.size) % len(numeric) == numeric.index(name)
            moved = _noisy(known, rng) if damage is Damage.NOISE else known * UNITS**mine
            changed = pa.array(moved, pa.float64(), mask=missing)
        else:
            continue
        rows = rows.set_column(rows.column_names.index(name), name, changed)
    return rows


def _noisy(values: Floats, rng: np.random.Generator) -> Floats:
    """Move values, but not out of the world: whole numbers stay whole, and all in their range."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return values
    moved = values + rng.normal(0.0, NOISE * float(finite.std()), values.size)
    if np.array_equal(finite, np.rint(finite)):
        moved = np.rint(moved)
    return np.clip(moved, finite.min(), finite.max())


def judge_damage(
    damage: Damage,
    before: Floats,
    after: Floats,
    already: float,
    moved: tuple[float, float],
    clusters: Clusters,
    limit: float,
    alpha: float = 0.05,
) -> Check:
    """Compare the losses on damaged rows.

    Parameters
    ----------
    damage : Damage
    before, after : float64 arrays of shape (n,)
        Losses of champion and candidate; a score that is no number loses most.
    already : float
        By how much the candidate's mean loss is higher on the same rows without the damage.
    moved : tuple of float
        By how much the damage moved the scores of champion and candidate, on average.
    clusters : Clusters
    limit : float
        As a share of the champion's loss on the damaged rows.
    alpha : float

    Examples
    --------
    >>> before = np.linspace(0.1, 0.2, 50)
    >>> judge_damage(Damage.NOISE, before, 2 * before, 0.0, (0.1, 0.3), Clusters(), 0.5).text
    'with noise its loss is 0.3, champion 0.15 (limit 50% more)'
    """
    found, base = rise(after - before, clusters), float(before.mean())
    text = f"with {damage} its loss is {base + found.mean:.4g}, champion {base:.4g}"
    evidence = (
        ("champion", base),
        ("candidate", base + found.mean),
        ("moved_champion", moved[0]),
        ("moved_candidate", moved[1]),
    )
    # What the candidate loses anyway was judged before; here it is what the damage adds.
    added = found.mean - max(already, 0.0)
    bad = added > limit * base and found.p_value <= alpha
    return Check(f"robustness to {damage}", not bad, f"{text} (limit {limit:.0%} more)", evidence)


def judge_order(straight: Floats, shuffled: Floats) -> Check:
    """Compare scores of the same rows asked for in two orders: they must be the same.

    Examples
    --------
    >>> judge_order(np.array([0.1, 0.2]), np.array([0.1, 0.3])).text
    'the answers to 1 of 2 rows depend on which rows are asked about with them, or on their order'
    """
    same = np.isclose(straight, shuffled, rtol=SAME, atol=SAME, equal_nan=True)
    odd = int((~same).sum())
    text = f"the answers to {odd} of {same.size} rows depend on which rows are asked about with"
    return Check("robustness to order", not odd, f"{text} them, or on their order")
