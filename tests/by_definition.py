"""Shapley values by their definition, and a model to explain that explains nothing."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.models import Predictor


def rows(count: int) -> pa.Table:
    """Return rows of two numbers and a country."""
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(2, count))
    return pa.table({"a": a, "b": b, "land": rng.choice(["DE", "FR"], count)})


class Opaque:
    """A model of a runtime that explains nothing; its columns act together."""

    features = ("a", "b", "land")

    def __init__(self, classes: int = 1) -> None:
        self._classes = classes

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        french = np.asarray(table["land"].to_pylist()) == "FR"
        a, b = (table[name].to_numpy() for name in ("a", "b"))
        total = a * b + 2.0 * french
        return total if self._classes == 1 else np.stack([total, -total], axis=1)


def shapley(predictor: Predictor, row: pa.Table, background: pa.Table) -> dict[str, float]:
    """Return Shapley values by their definition: over all orders of the columns."""
    names = predictor.features

    def value(known: frozenset[str]) -> float:
        mixed = {
            name: row[name].combine_chunks().take([0] * len(background))
            if name in known
            else background[name]
            for name in names
        }
        return float(predictor.predict(pa.table(mixed)).mean())

    found = dict.fromkeys(names, 0.0)
    for order in itertools.permutations(names):
        for place, name in enumerate(order):
            before = frozenset(order[:place])
            found[name] += value(before | {name}) - value(before)
    return {name: total / math.factorial(len(names)) for name, total in found.items()}
