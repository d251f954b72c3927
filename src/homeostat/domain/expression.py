"""Conditions and numbers over a row, such as ``amount > 500 and country not in ('DE', 'FR')``.

A small typed language with Python's syntax: numbers, text, ``+ - * /``, comparisons, ``in`` lists,
``and or not``, ``a if condition else b``, ``min``, ``max``, ``abs`` and ``missing(name)``; a column
whose name is no word is ``column('its name')``. Nothing is executed as Python; the syntax tree is
checked against the columns when the configuration is read and then evaluated on whole columns. A
comparison with a missing value is false, and so is a missing boolean by itself; arithmetic with a
missing value is missing.
"""

from __future__ import annotations

import ast
import math
import operator
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.errors import ConfigError
from homeostat.domain.missing import Values, equal, holds, present, unequal, values_of
from homeostat.domain.model import ColumnKind, Schema

LONGEST = 2_000
DEEPEST, MOST_PARTS = 100, 1_000

Evaluate = Callable[[pa.Table], Values]
Join = Callable[[Values, Values], Values]
Test = Callable[[Values, pa.Table], tuple[Values, Values]]
"""From the values on the left: whether the comparison holds, and the values on its right."""


class Type(StrEnum):
    """What a part of an expression yields."""

    NUMBER = "a number"
    TEXT = "text"
    TRUTH = "true or false"


@dataclass(frozen=True, slots=True)
class Part:
    """A checked part of an expression."""

    type: Type
    evaluate: Evaluate


TYPE_OF = {
    ColumnKind.NUMERIC: Type.NUMBER,
    ColumnKind.CATEGORICAL: Type.TEXT,
    ColumnKind.BOOLEAN: Type.TRUTH,
}
ARITHMETIC: dict[type[ast.operator], Join] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
ORDER: dict[type[ast.cmpop], Join] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
FUNCTIONS: dict[str, Join] = {"min": np.minimum, "max": np.maximum}
ALLOWED = "columns, numbers, 'text', + - * /, comparisons, in, and, or, not, a if truth else b, "
ALLOWED += "min, max, abs, missing(name), column('name')"


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression and the columns that it uses."""

    text: str
    columns: frozenset[str]
    type: Type
    _part: Part

    def matches(self, table: pa.Table) -> NDArray[np.bool_]:
        """Return for each row of `table` whether the condition holds.

        Parameters
        ----------
        table : pyarrow.Table
            Has at least the columns `columns`, of the types that the expression was parsed with.

        Returns
        -------
        ndarray of bool, shape (table.num_rows,)
        """
        return np.array(holds(self._evaluate(table)), dtype=np.bool_)

    def numbers(self, table: pa.Table) -> NDArray[np.float64]:
        """Return the number of each row of `table`; a condition gives 1 or 0.

        Returns
        -------
        ndarray of float64, shape (table.num_rows,)
            NaN where a value that it needs is missing, or where there is no finite result.
        """
        values = self._evaluate(table)
        values = holds(values) if self.type is Type.TRUTH else values
        found = np.array(values, dtype=np.float64)
        found[~np.isfinite(found)] = np.nan
        return found

    def _evaluate(self, table: pa.Table) -> Values:
        with np.errstate(all="ignore"):
            return np.broadcast_to(self._part.evaluate(table), table.num_rows)


def column_types(schema: Schema) -> dict[str, Type]:
    """Return the type of each feature."""
    return {column.name: TYPE_OF[column.kind] for column in schema.columns}


def parse(text: str, columns: Mapping[str, Type], wanted: Type = Type.TRUTH) -> Expression:
    """Check a condition, or a number, against the columns that there are.

    Parameters
    ----------
    text : str
        At most `LONGEST` characters and `MOST_PARTS` parts, nested at most `DEEPEST` deep.
    columns : mapping of str to Type
    wanted : Type
        What it has to yield.

    Raises
    ------
    ConfigError
        If it is not part of the language, names no column, or mixes types.

    Examples
    --------
    >>> columns = {"amount": Type.NUMBER, "land": Type.TEXT}
    >>> rows = pa.table({"amount": [50.0, 200.0], "land": ["FR", "FR"]})
    >>> rule = parse("amount > 100 and land != 'DE'", columns)
    >>> rule.matches(rows).tolist(), sorted(rule.columns)
    ([False, True], ['amount', 'land'])
    >>> parse("max(amount, 100) if land == 'FR' else 0", columns, Type.NUMBER).numbers(rows)
    array([100., 200.])
    """
    return check(read(text), text, columns, wanted)


def read(text: str) -> ast.expr:
    """Return the syntax tree of an expression; it may hold anything that Python can say.

    Raises
    ------
    ConfigError
        If it is no expression, too long, of too many parts or nested too deep.
    """
    if len(text) > LONGEST:
        problem = f"an expression has {len(text)} characters; at most {LONGEST} are taken"
        raise ConfigError(problem, "split it, or prepare a feature")
    remedy = "write for example: amount > 500 and country == 'DE'"
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"expression {text!r} cannot be read", remedy) from error
    level: list[ast.AST] = [tree]
    parts = 0
    for _ in range(DEEPEST):
        parts += sum(isinstance(node, ast.expr) for node in level)
        level = [below for node in level for below in ast.iter_child_nodes(node)]
        if not level and parts <= MOST_PARTS:
            return tree
    problem = f"has more than {MOST_PARTS:,} parts or is nested more than {DEEPEST} deep"
    raise ConfigError(f"expression {text[:40]!r}... {problem}", "split it, or prepare a feature")


def check(
    tree: ast.expr, text: str, columns: Mapping[str, Type], wanted: Type | None = None
) -> Expression:
    """Check (a part of) a syntax tree that `read` returned; `text` is what was read.

    Without `wanted` it may yield a number or a truth.

    Raises
    ------
    ConfigError
        As `parse`.
    """
    checker = _Checker(text.strip(), columns)
    part = checker.check(tree, wanted)
    return Expression(text, frozenset(checker.columns), part.type, part)


class _Checker:
    """Turns a syntax tree into checked parts, collecting the columns that it names."""

    def __init__(self, text: str, types: Mapping[str, Type]) -> None:
        self.text, self.types = text, types
        self.columns: set[str] = set()

    def check(self, node: ast.expr, wanted: Type | None) -> Part:
        part = self._part(node)
        if wanted is None and part.type is Type.TEXT:
            raise self._error(node, f"is {part.type}, where {Type.NUMBER} is needed")
        if wanted is not None and part.type is not wanted:
            raise self._error(node, f"is {part.type}, where {wanted} is needed")
        return part

    def _truth(self, node: ast.expr) -> Evaluate:
        evaluate = self.check(node, Type.TRUTH).evaluate
        return lambda table: holds(evaluate(table))

    def _error(self, node: ast.AST, problem: str) -> ConfigError:
        source = ast.get_source_segment(self.text, node) or self.text
        return ConfigError(f"expression {self.text!r}: {source!r} {problem}", f"use {ALLOWED}")

    def _part(self, node: ast.expr) -> Part:
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name() | ast.Call(func=ast.Name(id="column")):
                return self._name(node)
            case ast.IfExp():
                return self._choice(node)
            case ast.Call(func=ast.Name(id="min" | "max" | "abs")):
                return Part(Type.NUMBER, self._function(node))
            case ast.UnaryOp() | ast.BinOp():
                return self._operation(node)
            case ast.BoolOp() | ast.Compare() | ast.Call():
                return Part(Type.TRUTH, self._condition(node))
            case _:
                raise self._error(node, "is not allowed here")

    def _condition(self, node: ast.BoolOp | ast.Compare | ast.Call) -> Evaluate:
        match node:
            case ast.BoolOp():
                return self._logic(node)
            case ast.Compare():
                return self._comparison(node)
            case ast.Call(func=ast.Name(id="missing"), args=[name], keywords=[]):
                return self._missing(name)
            case _:
                raise self._error(node, "is no function that may be used here")

    def _choice(self, node: ast.IfExp) -> Part:
        truth = self._truth(node.test)
        chosen = self._part(node.body)
        other = self.check(node.orelse, chosen.type).evaluate
        return Part(chosen.type, lambda t: np.where(truth(t), chosen.evaluate(t), other(t)))

    def _function(self, node: ast.Call) -> Evaluate:
        name = ast.unparse(node.func)
        fewest, most = (1, 1) if name == "abs" else (2, math.inf)
        if node.keywords or not fewest <= len(node.args) <= most:
            raise self._error(node, "takes one number" if name == "abs" else "takes numbers, 2 up")
        parts = [self.check(part, Type.NUMBER).evaluate for part in node.args]
        if name == "abs":
            return lambda table: np.abs(parts[0](table))
        return lambda table: reduce(FUNCTIONS[name], (part(table) for part in parts))

    def _operation(self, node: ast.UnaryOp | ast.BinOp) -> Part:
        if isinstance(node, ast.BinOp):
            return self._arithmetic(node)
        if isinstance(node.op, ast.Not):
            truth = self._truth(node.operand)
            return Part(Type.TRUTH, lambda table: np.logical_not(truth(table)))
        if isinstance(node.op, ast.USub):
            number = self.check(node.operand, Type.NUMBER).evaluate
            return Part(Type.NUMBER, lambda table: np.negative(number(table)))
        raise self._error(node, "uses an operator other than - and not")

    def _constant(self, node: ast.Constant) -> Part:
        value: Values
        match node.value:
            case bool():
                kind, value = Type.TRUTH, np.array(node.value)
            case int() | float():
                kind, value = Type.NUMBER, np.array(self._finite(node, node.value))
            case str():
                kind, value = Type.TEXT, np.array(node.value, dtype=object)
            case _:
                raise self._error(node, "is neither a number, text, nor True or False")
        return Part(kind, lambda _: value)

    def _finite(self, node: ast.Constant, number: float) -> float:
        if abs(number) > sys.float_info.max:
            raise self._error(node, "is too large a number")
        return float(number)

    def _name(self, node: ast.expr) -> Part:
        name = self._column(node)
        kind = self.types[name]
        stored = pa.string() if kind is Type.TEXT else pa.float64()
        return Part(kind, lambda table: values_of(table, name, stored))

    def _column(self, node: ast.expr) -> str:
        match node:
            case ast.Name(id=name):
                pass
            case ast.Call(func=ast.Name(id="column"), args=[ast.Constant(str(name))], keywords=[]):
                pass
            case _:
                raise self._error(node, "names no column")
        if name not in self.types:
            raise self._error(node, f"is no column; there are {', '.join(self.types)}")
        self.columns.add(name)
        return name

    def _missing(self, node: ast.expr) -> Evaluate:
        name = self._column(node)
        return lambda table: np.asarray(table[name].is_null(nan_is_null=True))

    def _arithmetic(self, node: ast.BinOp) -> Part:
        apply = ARITHMETIC.get(type(node.op))
        if apply is None:
            raise self._error(node, "uses an operator other than + - * /")
        left = self.check(node.left, Type.NUMBER).evaluate
        right = self.check(node.right, Type.NUMBER).evaluate
        return Part(Type.NUMBER, lambda table: apply(left(table), right(table)))

    def _logic(self, node: ast.BoolOp) -> Evaluate:
        parts = [self._truth(value) for value in node.values]
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
        start = np.full(1, isinstance(node.op, ast.And))
        return lambda table: reduce(join, (part(table) for part in parts), start)

    def _comparison(self, node: ast.Compare) -> Evaluate:
        first = left = self._part(node.left)
        tests: list[Test] = []
        source = node.left
        for operation, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(source, ast.Tuple | ast.List):
                raise self._error(source, "is not allowed here")
            if isinstance(operation, ast.In | ast.NotIn):
                tests.append(self._membership(left, operation, right))
            else:
                second = self.check(right, left.type)
                tests.append(_against(self._join(source, left, operation), second))
                left = second
            source = right

        def evaluate(table: pa.Table) -> Values:
            held: Values = np.ones(1, dtype=np.bool_)
            values = first.evaluate(table)
            for test in tests:
                holds, values = test(values, table)
                held = np.logical_and(held, holds)
            return held

        return evaluate

    def _join(self, source: ast.expr, left: Part, operation: ast.cmpop) -> Join:
        allowed = ORDER | SAME if left.type is Type.NUMBER else SAME
        if type(operation) not in allowed:
            raise self._error(source, "can only be compared with == and !=")
        return allowed[type(operation)]

    def _membership(self, left: Part, operation: ast.In | ast.NotIn, right: ast.expr) -> Test:
        if not isinstance(right, ast.Tuple | ast.List) or not right.elts:
            raise self._error(right, "is not a list of values such as ('DE', 'FR')")
        choices = [self.check(choice, left.type).evaluate for choice in right.elts]
        negated = isinstance(operation, ast.NotIn)

        def test(values: Values, table: pa.Table) -> tuple[Values, Values]:
            same = (equal(values, choice(table)) for choice in choices)
            found = reduce(np.logical_or, same, np.zeros(1, dtype=np.bool_))
            if negated:
                found = np.logical_and(present(values), np.logical_not(found))
            return found, values

        return test


def _against(join: Join, right: Part) -> Test:
    def test(values: Values, table: pa.Table) -> tuple[Values, Values]:
        others = right.evaluate(table)
        return join(values, others), others

    return test


SAME: dict[type[ast.cmpop], Join] = {ast.Eq: equal, ast.NotEq: unequal}
