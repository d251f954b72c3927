"""Many rows at once: lists of mappings, columns, and the data frames of any library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

FIELDS = (
    "score",
    "prediction_id",
    "timestamp",
    "version",
    "entity",
    "latency_ms",
    "prediction",
    "probabilities",
    "role",
    "tier",
    "reason",
    "arm_share",
)


def rows_of(table: Any) -> Iterator[dict[str, Any]]:
    """Yield rows as new mappings.

    Raises
    ------
    TypeError, ValueError
        If it is no table, or its columns are not equally long.

    Examples
    --------
    >>> list(rows_of({"amount": [1.0, 2.0], "score": [0.1, 0.2]}))
    [{'amount': 1.0, 'score': 0.1}, {'amount': 2.0, 'score': 0.2}]
    """
    columns = _columns(table)
    if columns is None:
        return (dict(row) for row in table)
    names, lists = list(columns), [_listed(column) for column in columns.values()]
    if len({len(values) for values in lists}) > 1:
        raise ValueError("the columns are not equally long")
    return (dict(zip(names, values)) for values in zip(*lists))


def _columns(table: Any) -> Any:
    if isinstance(table, Mapping):
        return table
    if hasattr(table, "to_pydict"):  # PyArrow
        return table.to_pydict()
    if hasattr(table, "get_columns"):  # Polars
        return {column.name: column.to_list() for column in table.get_columns()}
    if hasattr(table, "columns") and hasattr(table, "items"):  # pandas
        return dict(table.items())
    return None


def _listed(column: Iterable[Any]) -> list[Any]:
    found = column.tolist() if hasattr(column, "tolist") else column
    return found if isinstance(found, list) else list(found)
