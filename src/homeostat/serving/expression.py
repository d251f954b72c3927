"""Conditions over features, such as ``amount > 500 and country not in ('DE', 'FR')``.

A small typed language with Python's syntax: numbers, text, ``+ - * /``, comparisons, ``in`` lists,
``and or not`` and ``missing(name)``. Nothing is executed as Python; the syntax tree is checked
against the schema when the configuration is read and then evaluated on whole columns. A comparison
with a missing value is false.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.errors import ConfigError
from homeostat.domain.model import ColumnKind, Schema

LONGEST = 2_000

Values = NDArray[np.generic]
Evaluate = Callable[[pa.Table], Values]


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
ARITHMETIC: dict[type[ast.operator], Callable[[Values, Values], Values]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
ORDER: dict[type[ast.cmpop], Callable[[Values, Values], Values]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition and the features that it uses."""

    text: str
    features: frozenset[str]
    _part: Part

    def matches(self, table: pa.Table) -> NDArray[np.bool_]:
        """Return for each row of `table` whether the condition holds.

        Parameters
        ----------
        table : pyarrow.Table
            Has at least the columns `features`, typed as in the schema.

        Returns
        -------
        ndarray of bool, shape (table.num_rows,)
        """
        with np.errstate(all="ignore"):
            result = self._part.evaluate(table)
        return np.array(np.broadcast_to(result, table.num_rows), dtype=np.bool_)


def parse(text: str, schema: Schema) -> Expression:
    """Check a condition against the schema.

    Raises
    ------
    ConfigError
        If it is not part of the language, names no column, or mixes types.

    Examples
    --------
    >>> from homeostat.domain.model import Column
    >>> land = Column("land", ColumnKind.CATEGORICAL)
    >>> schema = Schema((Column("amount", ColumnKind.NUMERIC), land))
    >>> rule = parse("amount > 100 and land != 'DE'", schema)
    >>> rule.matches(pa.table({"amount": [50.0, 200.0], "land": ["FR", "FR"]})).tolist()
    [False, True]
    >>> sorted(rule.features)
    ['amount', 'land']
    """
    if len(text) > LONGEST:
        raise ConfigError(f"a condition has {len(text)} characters; at most {LONGEST} are taken")
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(
            f"condition {text!r} cannot be read",
            "write for example: amount > 500 and country == 'DE'",
        ) from error
    checker = _Checker(text, schema)
    part = checker.check(tree.body, Type.TRUTH)
    return Expression(text, frozenset(checker.features), part)


class _Checker:
    """Turns a syntax tree into checked parts, collecting the features that it names."""

    def __init__(self, text: str, schema: Schema) -> None:
        self.text, self.schema = text, schema
        self.features: set[str] = set()

    def check(self, node: ast.expr, wanted: Type) -> Part:
        part = self._part(node)
        if part.type is not wanted:
            raise self._error(node, f"is {part.type}, where {wanted} is needed")
        return part

    def _error(self, node: ast.AST, problem: str) -> ConfigError:
        source = ast.get_source_segment(self.text, node) or self.text
        return ConfigError(
            f"condition {self.text!r}: {source!r} {problem}",
            "use features, numbers, 'text', + - * /, comparisons, in, and, or, not, missing(name)",
        )

    def _part(self, node: ast.expr) -> Part:
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name():
                return self._name(node)
            case ast.UnaryOp():
                return self._unary(node)
            case ast.BinOp():
                return self._arithmetic(node)
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
            case ast.Call(func=ast.Name(id="missing"), args=[ast.Name() as name], keywords=[]):
                return self._missing(name)
            case _:
                raise self._error(node, "is not allowed; the only function is missing(name)")

    def _unary(self, node: ast.UnaryOp) -> Part:
        if isinstance(node.op, ast.Not):
            truth = self.check(node.operand, Type.TRUTH).evaluate
            return Part(Type.TRUTH, lambda table: np.logical_not(truth(table)))
        if isinstance(node.op, ast.USub):
            number = self.check(node.operand, Type.NUMBER).evaluate
            return Part(Type.NUMBER, lambda table: np.negative(number(table).astype(np.float64)))
        raise self._error(node, "uses an operator other than - and not")

    def _constant(self, node: ast.Constant) -> Part:
        match node.value:
            case bool():
                kind = Type.TRUTH
            case int() | float():
                kind = Type.NUMBER
            case str():
                kind = Type.TEXT
            case _:
                raise self._error(node, "is neither a number, text, nor True or False")
        value: Values = np.array(node.value, dtype=object if kind is Type.TEXT else None)
        return Part(kind, lambda _: value)

    def _name(self, node: ast.Name) -> Part:
        name = self._column(node)
        kind = TYPE_OF[self.schema[name].kind]
        return Part(kind, lambda table: _read(table, name, kind))

    def _column(self, node: ast.Name) -> str:
        if node.id not in self.schema.names:
            raise self._error(node, f"is no feature; there are {', '.join(self.schema.names)}")
        self.features.add(node.id)
        return node.id

    def _missing(self, node: ast.Name) -> Evaluate:
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
        parts = [self.check(value, Type.TRUTH).evaluate for value in node.values]
        join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or

        start = np.full(1, isinstance(node.op, ast.And))
        return lambda table: reduce(join, (part(table) for part in parts), start)

    def _comparison(self, node: ast.Compare) -> Evaluate:
        sides = [node.left, *node.comparators]
        pairs = [
            self._pair(sides[i], operation, sides[i + 1]) for i, operation in enumerate(node.ops)
        ]
        true = np.ones(1, dtype=np.bool_)
        return lambda table: reduce(np.logical_and, (pair(table) for pair in pairs), true)

    def _pair(self, left: ast.expr, operation: ast.cmpop, right: ast.expr) -> Evaluate:
        if isinstance(operation, ast.In | ast.NotIn):
            return self._membership(left, operation, right)
        first = self._part(left)
        second = self.check(right, first.type).evaluate
        if isinstance(operation, ast.Eq | ast.NotEq):
            return _equality(first, second, negated=isinstance(operation, ast.NotEq))
        if type(operation) not in ORDER or first.type is not Type.NUMBER:
            raise self._error(left, "can only be compared with == and !=")
        apply = ORDER[type(operation)]
        return lambda table: apply(first.evaluate(table), second(table))

    def _membership(
        self, left: ast.expr, operation: ast.In | ast.NotIn, right: ast.expr
    ) -> Evaluate:
        if not isinstance(right, ast.Tuple | ast.List) or not right.elts:
            raise self._error(right, "is not a list of values such as ('DE', 'FR')")
        item = self._part(left)
        choices = [
            _equality(item, self.check(choice, item.type).evaluate, negated=False)
            for choice in right.elts
        ]
        present = _present(item)
        negated = isinstance(operation, ast.NotIn)

        def evaluate(table: pa.Table) -> Values:
            found = _any(table, choices)
            return np.logical_and(present(table), np.logical_not(found)) if negated else found

        return evaluate


def _any(table: pa.Table, tests: Sequence[Evaluate]) -> Values:
    return reduce(np.logical_or, (test(table) for test in tests), np.zeros(1, dtype=np.bool_))


def _read(table: pa.Table, name: str, kind: Type) -> Values:
    column = table[name]
    if kind is Type.TRUTH:
        return np.asarray(column.to_numpy() == np.True_, dtype=np.bool_)
    values: Values = column.cast(pa.float64() if kind is Type.NUMBER else pa.string()).to_numpy()
    return values


def _present(part: Part) -> Evaluate:
    if part.type is Type.NUMBER:
        return lambda table: np.logical_not(np.isnan(part.evaluate(table).astype(np.float64)))
    absent = np.array(None, dtype=object)
    return lambda table: np.not_equal(part.evaluate(table), absent)


def _equality(first: Part, second: Evaluate, *, negated: bool) -> Evaluate:
    if not negated:
        return lambda table: np.equal(first.evaluate(table), second(table)).astype(np.bool_)
    one, other = _present(first), _present(Part(first.type, second))

    def evaluate(table: pa.Table) -> Values:
        differs = np.not_equal(first.evaluate(table), second(table)).astype(np.bool_)
        return np.logical_and(differs, np.logical_and(one(table), other(table)).astype(np.bool_))

    return evaluate
