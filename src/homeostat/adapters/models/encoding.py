"""Features as a matrix of numbers: the one encoding that training and serving share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.domain.errors import ArtifactError, DataError

Row: TypeAlias = "tuple[object, ...]"
RowReader: TypeAlias = "Callable[[Sequence[Row]], NDArray[np.float64]]"


@dataclass(frozen=True)
class Encoding:
    """Which columns a model takes, in which order, and the code of each category.

    Numbers stay as they are, booleans become 0 and 1, a category its position in the list. A
    missing value or a category that was not known in training becomes NaN.

    Examples
    --------
    >>> encoding = Encoding(("amount", "land"), {"land": ("DE", "FR")})
    >>> encoding.matrix(pa.table({"land": ["FR", "XX"], "amount": [1.5, None]})).tolist()
    [[1.5, 1.0], [nan, nan]]
    """

    features: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def categorical(self) -> tuple[int, ...]:
        """Positions of the categorical columns."""
        return tuple(i for i, name in enumerate(self.features) if name in self.categories)

    def matrix(self, table: pa.Table) -> NDArray[np.float64]:
        """Return the features as float64, shape (table.num_rows, len(features)).

        Raises
        ------
        DataError
            If a column is absent or of a type that cannot be encoded.
        """
        result = np.empty((table.num_rows, len(self.features)))
        for position, name in enumerate(self.features):
            result[:, position] = self._column(table, name)
        return result

    def reader(self, names: Sequence[str]) -> RowReader:
        """Return a function that does for a few rows what `matrix` does for a table, but cheaper.

        Parameters
        ----------
        names : sequence of str
            What the values of a row are, in order; a row is a tuple of numbers, truth values and
            texts, None where one is missing.

        Raises
        ------
        DataError
            If a feature is not among the names.

        Examples
        --------
        >>> encoding = Encoding(("amount", "land"), {"land": ("DE", "FR")})
        >>> encoding.reader(["land", "amount"])([("FR", 1.5), ("XX", None)]).tolist()
        [[1.5, 1.0], [nan, nan]]
        """
        for name in self.features:
            if name not in names:
                raise DataError(f"column {name!r}, which the model takes, is absent")
        places = [names.index(name) for name in self.features]
        whole = places == list(range(len(names)))
        codes = [
            (self.features.index(name), {value: float(i) for i, value in enumerate(values)})
            for name, values in self.categories.items()
            if name in self.features
        ]
        shape = (-1, len(places)) if places else (0, 0)
        pick = itemgetter(*places) if len(places) > 1 else None

        def read(rows: Sequence[Row]) -> NDArray[np.float64]:
            if not places:
                return np.empty((len(rows), 0))
            if codes:
                picked = [[row[place] for place in places] for row in rows]
                for values in picked:
                    for position, known in codes:
                        values[position] = known.get(values[position], np.nan)  # type: ignore[call-overload]
                return np.array(picked, dtype=np.float64).reshape(shape)
            if whole:
                return np.array(rows, dtype=np.float64).reshape(shape)
            chosen = list(map(pick, rows)) if pick else [row[places[0]] for row in rows]
            return np.array(chosen, dtype=np.float64).reshape(shape)

        return read

    def _column(self, table: pa.Table, name: str) -> NDArray[np.float64]:
        if name not in table.column_names:
            raise DataError(f"column {name!r}, which the model takes, is absent")
        values = table[name]
        try:
            if name in self.categories:
                known = pa.array(self.categories[name], pa.string())
                codes = pc.index_in(values.cast(pa.string()), value_set=known)
                return np.asarray(codes.cast(pa.float64()))
            if pa.types.is_boolean(values.type):
                values = values.cast(pa.uint8())
            return np.asarray(values.cast(pa.float64()))
        except pa.ArrowException as error:
            raise DataError(f"column {name!r} of type {values.type}: {error}") from error

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        content = {"features": list(self.features), "categories": dict(self.categories)}
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Encoding:
        """Read what `save` wrote.

        Raises
        ------
        ArtifactError
            If the file is absent or is not of that form.
        """
        content = read_json(path)
        categories = content.get("categories", {})
        if not isinstance(categories, dict):
            raise ArtifactError(f"{path}: 'categories' must be an object")
        known = {name: _texts(path, name, values) for name, values in categories.items()}
        return cls(_texts(path, "features", content.get("features")), known)


def fit_encoding(table: pa.Table, features: Sequence[str]) -> Encoding:
    """Collect the categories of the text columns, sorted, from training rows.

    Examples
    --------
    >>> rows = pa.table({"land": ["FR", "DE", None], "amount": [1.0, 2.0, 3.0]})
    >>> fit_encoding(rows, ["amount", "land"]).categories
    {'land': ('DE', 'FR')}
    """
    categories: dict[str, tuple[str, ...]] = {}
    for name in features:
        kind = table[name].type
        if (
            pa.types.is_dictionary(kind)
            or pa.types.is_string(kind)
            or pa.types.is_large_string(kind)
        ):
            known = pc.unique(table[name].cast(pa.string())).drop_null().to_pylist()
            categories[name] = tuple(sorted(str(value) for value in known))
    return Encoding(tuple(features), categories)


def read_json(path: Path) -> dict[str, object]:
    """Read a JSON object of an artifact.

    Raises
    ------
    ArtifactError
        If the file is absent, is not JSON, or holds something else than an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ArtifactError(f"{path}: must hold a JSON object")
    return content


def _texts(path: Path, name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ArtifactError(f"{path}: {name!r} must be a list of texts")
    return tuple(value)
