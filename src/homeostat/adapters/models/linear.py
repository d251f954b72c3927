"""Linear models as JSON: no runtime to install, readable by people, good as a lighter fallback."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.models.artifact import EncodedPredictor
from homeostat.adapters.models.encoding import Encoding, read_json
from homeostat.domain.errors import ArtifactError

LINKS = ("identity", "logistic")
SOFTMAX = "softmax"


@dataclass(frozen=True, slots=True)
class Term:
    """One summand: ``weight * (x - mean) / scale``, or ``weight`` where x is `category`.

    A missing value contributes nothing, as if it were the mean.
    """

    feature: str
    weight: float
    mean: float = 0.0
    scale: float = 1.0
    category: str | None = None


class LinearPredictor(EncodedPredictor):
    """Sum of terms through a link.

    Examples
    --------
    >>> model = LinearPredictor("logistic", 0.0, (Term("amount", 1.0, mean=100.0),))
    >>> model.predict(pa.table({"amount": [100.0, None]})).tolist()
    [0.5, 0.5]
    """

    def __init__(self, link: str, intercept: float, terms: tuple[Term, ...]) -> None:
        self._link, self._intercept, self._terms = link, intercept, terms
        names = tuple(dict.fromkeys(term.feature for term in terms))
        known = {
            name: tuple(t.category for t in terms if t.feature == name and t.category is not None)
            for name in names
        }
        super().__init__(
            Encoding(names, {name: values for name, values in known.items() if values})
        )

    def predict_matrix(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scores of encoded rows."""
        total = self._total(matrix)
        if self._link == "identity":
            return total
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(total, -700.0, 700.0))), dtype=np.float64)

    def total(self, table: pa.Table) -> NDArray[np.float64]:
        """Return the sum of the terms, before the link."""
        return self._total(self._encoding.matrix(table))

    def _total(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.full(len(matrix), self._intercept)
        for _, summand in self._summands(matrix):
            total += summand
        return total

    def contributions(self, table: pa.Table) -> NDArray[np.float64]:
        """Return what each feature adds to the sum, shape (table.num_rows, features)."""
        found = np.zeros((table.num_rows, len(self.features)))
        for place, summand in self._summands(self._encoding.matrix(table)):
            found[:, place] += summand
        return found

    def _summands(self, matrix: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[np.float64]]]:
        for term in self._terms:
            place = self._encoding.features.index(term.feature)
            column = matrix[:, place]
            if term.category is None:
                moved = term.weight * (column - term.mean) / term.scale
                yield place, np.nan_to_num(moved, nan=0.0)
            else:
                yield place, term.weight * (column == self._code(term))

    def _code(self, term: Term) -> int:
        return self._encoding.categories[term.feature].index(str(term.category))


class SoftmaxPredictor:
    """One sum of terms a class; their exponentials over the sum of all are its probabilities.

    Examples
    --------
    >>> sums = [LinearPredictor("identity", weight, ()) for weight in (0.0, 0.0, 900.0)]
    >>> SoftmaxPredictor(tuple(sums)).predict(pa.table({"amount": [1.0]})).tolist()
    [[0.0, 0.0, 1.0]]
    """

    def __init__(self, sums: tuple[LinearPredictor, ...]) -> None:
        self._sums = sums

    @property
    def features(self) -> tuple[str, ...]:
        """Columns that it reads."""
        return tuple(dict.fromkeys(name for one in self._sums for name in one.features))

    def predict(self, table: pa.Table) -> NDArray[np.float64]:
        """Return one probability a class, shape (table.num_rows, classes)."""
        totals = np.stack([one.total(table) for one in self._sums], axis=1)
        powers = np.exp(totals - totals.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float64)

    def contributions(self, table: pa.Table) -> NDArray[np.float64]:
        """Return what each feature adds to each sum, shape (n, classes, features)."""
        found = np.zeros((table.num_rows, len(self._sums), len(self.features)))
        for row, one in enumerate(self._sums):
            places = [self.features.index(name) for name in one.features]
            found[:, row, places] = one.contributions(table)
        return found


def save_linear(
    folder: Path, intercept: float, terms: Sequence[Term], link: str = "logistic"
) -> None:
    """Write an artifact folder of flavour ``linear``; `link` is ``logistic`` or ``identity``."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"link": link, "intercept": intercept, "terms": [asdict(term) for term in terms]}
    (folder / "model.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def save_softmax(folder: Path, classes: Sequence[tuple[float, Sequence[Term]]]) -> None:
    """Write a multi-class artifact of flavour ``linear``: (intercept, terms) of each class."""
    folder.mkdir(parents=True, exist_ok=True)
    sums = [{"intercept": one, "terms": [asdict(term) for term in terms]} for one, terms in classes]
    content = {"link": SOFTMAX, "classes": sums}
    (folder / "model.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def load_linear(path: Path) -> LinearPredictor | SoftmaxPredictor:
    """Load an artifact folder.

    Raises
    ------
    ArtifactError
        If ``model.json`` is absent or not of the documented form.
    """
    file = path / "model.json"
    content = read_json(file)
    link = content.get("link")
    if link == SOFTMAX:
        classes = content.get("classes")
        if not isinstance(classes, list) or len(classes) < 2:
            raise ArtifactError(f"{file}: 'classes' must be a list of at least two")
        return SoftmaxPredictor(tuple(_sum(file, one, "identity") for one in classes))
    if link not in LINKS:
        raise ArtifactError(f"{file}: 'link' must be one of {', '.join((*LINKS, SOFTMAX))}")
    return _sum(file, content, str(link))


def _sum(file: Path, content: object, link: str) -> LinearPredictor:
    if not isinstance(content, dict) or not isinstance(content.get("terms"), list):
        raise ArtifactError(f"{file}: 'terms' must be a list")
    terms = tuple(_term(file, term) for term in content["terms"])
    return LinearPredictor(link, _number(file, content, "intercept", 0.0), terms)


def _term(file: Path, content: object) -> Term:
    if not isinstance(content, dict) or not isinstance(content.get("feature"), str):
        raise ArtifactError(f"{file}: each term must be an object that names its 'feature'")
    category = content.get("category")
    if category is not None and not isinstance(category, str):
        raise ArtifactError(f"{file}: 'category' of {content['feature']!r} must be a text")
    scale = _number(file, content, "scale", 1.0)
    if scale == 0:
        raise ArtifactError(f"{file}: 'scale' of {content['feature']!r} must not be zero")
    weight, mean = _number(file, content, "weight", None), _number(file, content, "mean", 0.0)
    return Term(content["feature"], weight, mean, scale, category)


def _number(file: Path, content: Mapping[str, object], key: str, default: float | None) -> float:
    value = content.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ArtifactError(f"{file}: {key!r} must be a finite number, not {value!r}")
    return float(value)
