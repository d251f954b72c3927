"""What a comparison of two sets of rows says, column by column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TypeAlias

import pyarrow as pa

from homeostat.domain.errors import NotFoundError
from homeostat.domain.model import ColumnKind
from homeostat.domain.verdict import Status

Scalar: TypeAlias = float | int | str
Fact: TypeAlias = Scalar | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ColumnComparison:
    """One column of the reference beside the same column of the current rows.

    Attributes
    ----------
    name : str
    kind : ColumnKind or None
        None: neither side has a value by which to tell.
    verdict : Status
        ``error``: absent, or of a type that cannot be compared; the reason says which.
    drift_score : float
        Largest effect in units of what the owner cares about: from 1 on it matters. NaN if the
        column was not judged.
    p_value : float
        Adjusted over all aspects and columns; NaN if the column was not judged.
    statistics : mapping of str to float
        Distances and tests, by name; for reading, the verdict does not depend on them.
    quality : mapping of str to fact
        Missing rates and the like on both sides; ``findings`` says in words what is wrong.
    reason : str
        One sentence for people.
    """

    name: str
    kind: ColumnKind | None
    verdict: Status
    drift_score: float
    p_value: float
    statistics: Mapping[str, float]
    quality: Mapping[str, Fact]
    reason: str

    @property
    def findings(self) -> tuple[str, ...]:
        """What is wrong with the data themselves, in words."""
        found = self.quality.get("findings")
        return found if isinstance(found, tuple) else ()

    def to_dict(self) -> dict[str, object]:
        """Return the column as plain values; NaN and infinities are None."""
        quality = {
            name: list(fact) if isinstance(fact, tuple) else _plain(fact)
            for name, fact in self.quality.items()
        }
        return {
            "name": self.name,
            "kind": None if self.kind is None else self.kind.value,
            "verdict": self.verdict.value,
            "drift_score": _plain(self.drift_score),
            "p_value": _plain(self.p_value),
            "statistics": {name: _plain(value) for name, value in self.statistics.items()},
            "quality": quality,
        }


@dataclass(frozen=True, slots=True)
class PairComparison:
    """Two columns of numbers whose rank correlation changed by enough to matter."""

    first: str
    second: str
    before: float
    now: float
    p_value: float

    @property
    def reason(self) -> str:
        """One sentence for people."""
        return f"{self.first} and {self.second}: correlation {self.before:+.2f} to {self.now:+.2f}"


@dataclass(frozen=True, slots=True)
class SegmentComparison:
    """The comparison of the rows of one segment, such as ``{"region": "north"}``."""

    segment: Mapping[str, str]
    comparison: Comparison

    @property
    def name(self) -> str:
        """The segment in words, such as ``region=north``."""
        return ", ".join(f"{column}={value}" for column, value in self.segment.items())


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two sets of rows compared.

    Attributes
    ----------
    columns : tuple of ColumnComparison
    n_reference, n_current : int
        Rows.
    dataset_share : float
        Share of drifted columns from which the data set as a whole counts as drifted.
    assumptions : tuple of str
        What was assumed about the data, a sentence each.
    segments : tuple of SegmentComparison
        Empty unless asked for.
    carriers : mapping of str to str
        For each drifted column, which segment carries the drift: a sentence.
    pairs : tuple of PairComparison
        Pairs of numbers that go together otherwise, whatever each does by itself.
    decided : bool or None
        Whether the data set drifted by another tool's rule; None: by `dataset_share`.

    Examples
    --------
    >>> column = ColumnComparison("x", None, Status.DRIFT, 2.0, 0.001, {}, {}, "it moved")
    >>> comparison = Comparison((column,), 100, 100)
    >>> comparison.drifted, comparison.share_drifted, comparison.dataset_drift
    (['x'], 1.0, True)
    """

    columns: tuple[ColumnComparison, ...]
    n_reference: int
    n_current: int
    dataset_share: float = 0.3
    assumptions: tuple[str, ...] = ()
    segments: tuple[SegmentComparison, ...] = ()
    carriers: Mapping[str, str] = field(default_factory=dict)
    pairs: tuple[PairComparison, ...] = ()
    decided: bool | None = None

    def __getitem__(self, name: str) -> ColumnComparison:
        for column in self.columns:
            if column.name == name:
                return column
        raise NotFoundError(f"no column {name!r} was compared")

    @property
    def drifted(self) -> list[str]:
        """Names of the columns that drifted."""
        return [column.name for column in self.columns if column.verdict is Status.DRIFT]

    @property
    def share_drifted(self) -> float:
        """Share of the judged columns that drifted; NaN if none could be judged."""
        judged = sum(column.verdict in {Status.OK, Status.DRIFT} for column in self.columns)
        return len(self.drifted) / judged if judged else float("nan")

    @property
    def dataset_drift(self) -> bool:
        """Whether enough columns drifted to call it a drift of the data set."""
        return self.share_drifted >= self.dataset_share if self.decided is None else self.decided

    @property
    def findings(self) -> list[str]:
        """What is wrong with the data themselves, a sentence each."""
        sides = (("reference", self.n_reference), ("current data", self.n_current))
        empty = [f"no rows in the {side}" for side, rows in sides if not rows]
        if empty:
            return empty
        return [f"{column.name}: {said}" for column in self.columns for said in column.findings]

    @property
    def ranked(self) -> list[ColumnComparison]:
        """Columns, those that need a look first."""
        order = [Status.DRIFT, Status.ERROR, Status.OK, Status.INCONCLUSIVE, Status.NO_DATA]
        return sorted(
            self.columns,
            key=lambda c: (
                order.index(c.verdict),
                c.verdict is Status.OK and not c.findings,
                -_number(c.drift_score),
                c.name,
            ),
        )

    @property
    def table(self) -> pa.Table:
        """One row a column, as an Arrow table: verdicts, statistics and missing rates."""
        names = sorted({name for column in self.columns for name in column.statistics})
        rows = [
            {
                "name": column.name,
                "kind": None if column.kind is None else column.kind.value,
                "verdict": column.verdict.value,
                "drift_score": column.drift_score,
                "p_value": column.p_value,
                "missing_reference": column.quality.get("missing_reference"),
                "missing_current": column.quality.get("missing_current"),
                "reason": column.reason,
                **{name: column.statistics.get(name) for name in names},
            }
            for column in self.columns
        ]
        texts, rates = ("name", "kind", "verdict"), ("missing_reference", "missing_current")
        fields: list[pa.Field[pa.DataType]] = [
            *(pa.field(name, pa.string()) for name in texts),
            *(pa.field(name, pa.float64()) for name in ("drift_score", "p_value", *rates)),
            pa.field("reason", pa.string()),
            *(pa.field(name, pa.float64()) for name in names),
        ]
        return pa.Table.from_pylist(rows, schema=pa.schema(fields))

    def to_dict(self) -> dict[str, object]:
        """Return plain values: what ``homeostat compare --json`` prints.

        ``correlations`` is there only if some changed, ``segments`` only if they were compared.
        """
        found: dict[str, object] = {
            "columns": [column.to_dict() for column in self.columns],
            "drifted": self.drifted,
            "share_drifted": _plain(self.share_drifted),
            "dataset_drift": self.dataset_drift,
            "n_reference": self.n_reference,
            "n_current": self.n_current,
        }
        if self.pairs:
            found["correlations"] = [
                {name: _plain(value) for name, value in asdict(pair).items()} for pair in self.pairs
            ]
        if self.segments:
            found["segments"] = [
                {"segment": dict(part.segment), **part.comparison.to_dict()}
                for part in self.segments
            ]
            found["carriers"] = dict(self.carriers)
        return found


def _plain(value: Scalar) -> Scalar | None:
    """Return the value, or None for a number that JSON cannot hold."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float) -> float:
    """Return the value, or less than any score if there is none."""
    return value if value == value else -1.0  # noqa: PLR0124
