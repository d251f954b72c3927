"""What can happen to current rows: each cause, in three sizes, and mixtures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scenes import Columns, Rng, World

SIZES = {"small": 0, "medium": 1, "large": 2}
TILT = (0.35, 0.6, 1.0)
MIX = {"cards": (1.6, 2.2, 3.5), "homes": (0.35, 0.6, 1.0), "tickets": (1.5, 2.0, 3.0)}
CONCEPT = (0.5, 0.8, 1.4)
SHARE = (0.3, 0.6, 1.0)


def take(rows: Columns, at: NDArray[np.intp]) -> Columns:
    return {name: values[at] for name, values in rows.items()}


def weighted(rng: Rng, odds: NDArray[np.float64], n: int) -> NDArray[np.intp]:
    weights = np.exp(odds - odds.max())
    return rng.choice(odds.size, n, replace=False, p=weights / weights.sum())


def shifted(world: World, n: int, rng: Rng, size: float) -> Columns:
    pool = world.draw(15 * n, rng)
    return take(pool, weighted(rng, size * world.tilt(pool), n))


def by_label(
    world: World, n: int, rng: Rng, size: int, concept: float = 0.0, tilt: float = 0.0
) -> tuple[Columns, NDArray[np.float64]]:
    pool = world.draw(15 * n, rng)
    if tilt:
        pool = take(pool, weighted(rng, tilt * world.tilt(pool), 10 * n))
    labels = world.label(pool, rng, 0.0)
    amount = MIX[world.name][size]
    if world.spec.task == "regression":
        odds = amount * (labels - labels.mean()) / labels.std()
    else:
        odds = np.log(amount) * (labels == labels.max())
    at = weighted(rng, odds, n)
    rows, drawn = take(pool, at), labels[at]
    if concept:
        # The mix of labels moved, and then what they mean for some rows: the same dice, new odds.
        dice = int(rng.integers(1 << 30))
        again = world.label(rows, np.random.default_rng(dice), concept)
        usual = world.label(rows, np.random.default_rng(dice), 0.0)
        if world.spec.task == "regression":
            drawn = drawn + world.truth(rows, concept) - world.truth(rows, 0.0)
        else:
            drawn = np.where(again != usual, again, drawn)
    return rows, drawn


# A fault gets the rows, a generator and which rows it touches, and need not use them all.
# ruff: noqa: ARG001
Fault = Callable[[Columns, Rng, NDArray[np.bool_]], Columns]


def _numbers(rows: Columns) -> list[str]:
    return [n for n, v in rows.items() if v.dtype != object and np.unique(v).size > 20]


def _texts(rows: Columns) -> list[str]:
    return [n for n, v in rows.items() if v.dtype == object]


def _scaled(factor: float, offset: float = 0.0) -> Fault:
    def apply(rows: Columns, rng: Rng, hit: NDArray[np.bool_]) -> Columns:
        name = _numbers(rows)[0]
        values = rows[name].astype(float)
        return {**rows, name: np.where(hit, values * factor + offset, values)}

    return apply


def _value(value: float) -> Fault:
    def apply(rows: Columns, rng: Rng, hit: NDArray[np.bool_]) -> Columns:
        name = _numbers(rows)[int(rng.integers(2))]
        return {**rows, name: np.where(hit, value, rows[name].astype(float))}

    return apply


def _stuck(rows: Columns, rng: Rng, hit: NDArray[np.bool_]) -> Columns:
    name = _numbers(rows)[0]
    values = rows[name].astype(float)
    return {**rows, name: np.where(hit, np.nanmedian(values), values)}


def _word(word: str | None) -> Fault:
    def apply(rows: Columns, rng: Rng, hit: NDArray[np.bool_]) -> Columns:
        name = _texts(rows)[0]
        values = rows[name].copy()
        values[hit] = word
        return {**rows, name: values}

    return apply


def _renamed(how: Callable[[str], str]) -> Fault:
    def apply(rows: Columns, rng: Rng, hit: NDArray[np.bool_]) -> Columns:
        name = _texts(rows)[0]
        values = rows[name].copy()
        values[hit] = [None if v is None else how(str(v)) for v in values[hit]]
        return {**rows, name: values}

    return apply


def _recoded(rows: Columns, rng: Rng, hit: NDArray[np.bool_]) -> Columns:
    name = _texts(rows)[0]
    codes = {word: str(k + 1) for k, word in enumerate(sorted(set(rows[name])))}
    values = rows[name].copy()
    values[hit] = [codes[v] for v in values[hit]]
    return {**rows, name: values}


def _swapped(rows: Columns, rng: Rng, hit: NDArray[np.bool_]) -> Columns:
    a, b = _numbers(rows)[:2]
    one, two = rows[a].astype(float), rows[b].astype(float)
    return {**rows, a: np.where(hit, two, one), b: np.where(hit, one, two)}


def _dropped(rows: Columns, rng: Rng, hit: NDArray[np.bool_]) -> Columns:
    name = _numbers(rows)[0]
    return {**rows, name: np.full(rows[name].shape, np.nan)}


FAULTS: dict[str, Fault] = {
    "x100": _scaled(100.0),
    "x1000": _scaled(0.001),
    "inch": _scaled(1 / 2.54),
    "affine": _scaled(1.8, 32.0),
    "sign": _scaled(-1.0),
    "stuck": _stuck,
    "nulls": _value(float("nan")),
    "minus-one": _value(-1.0),
    "zero": _value(0.0),
    "999": _value(999.0),
    "unknown": _word("unknown"),
    "empty": _word(""),
    "null-word": _word(None),
    "case": _renamed(lambda v: v.upper() if v.lower() == v else v.lower()),
    "space": _renamed(lambda v: v + " "),
    "truncated": _renamed(lambda v: v[:1]),
    "recoded": _recoded,
    "swapped": _swapped,
    "dropped": _dropped,
}


def broken(name: str, rows: Columns, rng: Rng, share: float) -> Columns:
    n = next(iter(rows.values())).shape[0]
    hit = rng.random(n) < share
    return FAULTS[name](rows, rng, hit)


CELLS = (
    "none",
    "covariate_shift",
    "label_shift",
    "concept_drift",
    *(f"data_fault:{name}" for name in FAULTS),
    "data_fault:duplicates",
    "data_fault:score",
    "covariate_shift+concept_drift",
    "label_shift+concept_drift",
    "covariate_shift+label_shift",
    "data_fault+covariate_shift",
    "data_fault+concept_drift",
)


def make(world: World, cell: str, size: int, n: int, rng: Rng) -> tuple[Columns, Columns]:
    """Return reference and current tables in which this happened."""
    ref = world.draw(n, rng)
    before = world.table(ref, world.label(ref, rng))
    causes = {part.partition(":")[0] for part in cell.split("+")}
    concept = CONCEPT[size] if "concept_drift" in causes else 0.0
    tilt = TILT[size] if "covariate_shift" in causes else 0.0
    if "label_shift" in causes:
        rows, labels = by_label(world, n, rng, size, concept, tilt)
    else:
        rows = shifted(world, n, rng, tilt) if tilt else world.draw(n, rng)
        labels = world.label(rows, rng, concept)
    kind = cell.partition(":")[2] or ("x100" if "data_fault" in causes else "")
    if kind == "duplicates":
        at = np.sort(
            np.concatenate((np.arange(n), rng.integers(0, n, int(n * (0.2, 0.4, 0.8)[size]))))
        )
        rows, labels = take(rows, at), labels[at]
    elif kind and kind != "score":
        rows = broken(kind, rows, rng, SHARE[size])
    now = world.table(rows, labels)
    if kind == "score":
        for name in [c for c in now if c == "score" or (c[0] == "p" and c[1:].isdigit())]:
            now[name] = np.full(labels.size, float(np.mean(now[name])))
    return before, now
