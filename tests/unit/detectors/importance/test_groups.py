"""Columns that say nearly the same."""

from decimal import Decimal

import numpy as np
import pyarrow as pa

from homeostat.detectors.importance.groups import correlated_groups

X = np.random.default_rng(1).normal(size=300)
NOISE = np.random.default_rng(2).normal(size=300)


def test_any_kind_of_number_is_compared_whatever_its_scale() -> None:
    table = pa.table(
        {
            "x": X,
            "shop": pa.array(["a", "b", None] * 100),
            "power": np.exp(5 * X),
            "minus": -X,
            "sign": pa.array((X > 0).tolist()),
            "whole": pa.array((1000 * X).astype(int)),
            "money": pa.array([Decimal(f"{value:.2f}") for value in X]),
            "noise": NOISE,
            "near": NOISE + 0.3 * X,
        }
    )
    whole = ("x", "power", "minus", "whole", "money")
    groups = correlated_groups(table, 0.95)
    assert groups == (whole, ("shop",), ("sign",), ("noise", "near"))
    assert correlated_groups(table, 0.7)[0] == ("x", "power", "minus", "sign", "whole", "money")


def test_missing_and_constant_columns_stand_alone() -> None:
    gaps = np.where(NOISE > 1, np.nan, X)
    table = pa.table(
        {"x": X, "gaps": gaps, "same": np.ones(300), "none": pa.nulls(300, pa.float64())}
    )
    assert correlated_groups(table) == (("x", "gaps"), ("same",), ("none",))


def test_no_columns_of_numbers_and_no_rows() -> None:
    assert correlated_groups(pa.table({"a": ["x"], "b": ["y"]})) == (("a",), ("b",))
    assert correlated_groups(pa.table({"a": pa.array([], pa.float64())})) == (("a",),)
    assert correlated_groups(pa.table({"a": [1.0], "b": [2.0]})) == (("a",), ("b",))
