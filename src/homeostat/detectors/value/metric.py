"""A business metric: what it says, checked against the columns that there are."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.errors import ConfigError
from homeostat.domain.expression import Expression, Type, check, read

Floats = NDArray[np.float64]
Better = Literal["higher", "lower"]

LABEL, PREDICTION, SCORE = "label", "prediction", "score"
OUTCOMES = (LABEL, PREDICTION, SCORE)


class Kind(StrEnum):
    """How rows become one figure."""

    MEAN = "mean"
    RATE = "rate"
    TOTAL = "total"
    RATIO = "ratio"


@dataclass(frozen=True, slots=True)
class ValueMetric:
    """What is measured.

    Attributes
    ----------
    name : str
    text : str
        As the owner wrote it.
    kind : Kind
    numerator : Expression
    denominator : Expression or None
        Of ratios only.
    better : {"higher", "lower"}
    """

    name: str
    text: str
    kind: Kind
    numerator: Expression
    denominator: Expression | None = None
    better: Better = "higher"

    @property
    def columns(self) -> frozenset[str]:
        """Every column that it uses."""
        below = self.denominator.columns if self.denominator else frozenset()
        return self.numerator.columns | below

    def amounts(self, table: pa.Table) -> tuple[Floats, Floats]:
        """Return numerator and denominator (1 where there is none) of each row.

        Both are NaN where something that counts is missing.
        """
        above = self.numerator.numbers(table)
        below = np.ones_like(above)
        if self.denominator is not None:
            below = self.denominator.numbers(table)
        unknown = np.isnan(above) | np.isnan(below)
        for name in self.columns & set(OUTCOMES):
            # A comparison with a missing outcome is false, which would count it as a wrong one.
            unknown |= np.asarray(table[name].is_null(nan_is_null=True))
        above[unknown] = below[unknown] = np.nan
        return above, below


def parse_metric(
    name: str, text: str, columns: Mapping[str, Type], better: Better = "higher"
) -> ValueMetric:
    """Check a business metric.

    Parameters
    ----------
    name, text : str
        ``EXPRESSION`` or ``mean(EXPRESSION)``: the mean over rows, or the share of rows of a
        condition; ``sum(EXPRESSION)``: the total; ``sum(EXPRESSION) / sum(EXPRESSION)``: a ratio.
        The language is that of `homeostat.domain.expression`.
    columns : mapping of str to Type
        The features, and those of ``label``, ``prediction`` and ``score`` that there are.
    better : {"higher", "lower"}

    Raises
    ------
    ConfigError
        If it is not part of the language, names no column, or mixes types.

    Examples
    --------
    >>> columns = {"amount": Type.NUMBER, "label": Type.NUMBER, "prediction": Type.NUMBER}
    >>> rows = pa.table({"amount": [90.0, 10.0], "label": [1.0, 1.0], "prediction": [1.0, 0.0]})
    >>> caught = "sum(amount if label == 1 and prediction == 1 else 0) / sum(amount * label)"
    >>> metric = parse_metric("caught", caught, columns)
    >>> metric.kind.value, [part.tolist() for part in metric.amounts(rows)]
    ('ratio', [[90.0, 0.0], [90.0, 10.0]])
    """
    if better not in {"higher", "lower"}:
        raise ConfigError(f"better is {better!r}", "write higher or lower", field=name)
    tree = read(text)
    match tree:
        case ast.BinOp(left=left, op=ast.Div(), right=right) if _sum(left) and _sum(right):
            above, below = _sum(left), _sum(right)
        case _:
            above, below = _sum(tree), None
    _refuse_endless(tree, text)
    if above is not None:
        numerator = check(above, text, columns)
        if below is None:
            return ValueMetric(name, text, Kind.TOTAL, numerator, None, better)
        denominator = check(below, text, columns)
        if _constant(below) == 0.0:
            raise ConfigError(
                f"expression {text!r} divides by a sum of zeros", "divide by a column"
            )
        return ValueMetric(name, text, Kind.RATIO, numerator, denominator, better)
    numerator = check(_inside(tree, "mean") or tree, text, columns)
    kind = Kind.RATE if numerator.type is Type.TRUTH else Kind.MEAN
    return ValueMetric(name, text, kind, numerator, None, better)


def _refuse_endless(tree: ast.expr, text: str) -> None:
    """Raise ConfigError for a part that is a finite number for no row."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.BinOp):
            continue
        zero = isinstance(node.op, ast.Div) and _constant(node.right) == 0.0
        if zero or math.isnan(_constant(node) or 0.0):
            part = ast.unparse(node)
            raise ConfigError(
                f"expression {text!r}: {part!r} is never a finite number", "divide by a column"
            )


def _constant(node: ast.expr) -> float | None:
    """Return the number that a part is for every row, NaN if not finite; None if rows differ."""
    try:
        part = check(node, ast.unparse(node), {})
    except ConfigError:
        return None
    return float(part.numbers(pa.table({"row": [0]}))[0])


def _sum(node: ast.expr) -> ast.expr | None:
    return _inside(node, "sum")


def _inside(node: ast.expr, function: str) -> ast.expr | None:
    """Return the argument of a call of the function; None if it is none."""
    match node:
        case ast.Call(func=ast.Name(id=name), args=[inner], keywords=[]) if name == function:
            return inner
        case _:
            return None
