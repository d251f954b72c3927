"""What a monitored model is: its task, its features and how its labels arrive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from homeostat.domain.errors import NotFoundError
from homeostat.domain.manifest import TrainingManifest

SEGMENT_JOINT = "&"
"""Stands between the features of a segment that is a combination of several."""


class Task(StrEnum):
    """What the model predicts."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class ColumnKind(StrEnum):
    """How a feature is summarised and compared."""

    NUMERIC = "numeric"
    CATEGORICAL = "categorical"
    BOOLEAN = "boolean"


class Handling(StrEnum):
    """How a column's values are stored in the prediction log."""

    KEEP = "keep"
    HASH = "hash"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Column:
    """One feature and the constraints that its owner states.

    ``minimum`` and ``maximum`` are inclusive; ``categories`` is the closed list of allowed values
    (None: any). A value outside breaks the constraint, a missing one only if not ``nullable``.
    ``personal`` marks columns whose values must not appear in profiles or reports; ``handling``
    says whether the prediction log keeps them, a keyed hash of them, or nothing.
    """

    name: str
    kind: ColumnKind
    nullable: bool = True
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] | None = None
    personal: bool = False
    handling: Handling = Handling.KEEP


@dataclass(frozen=True, slots=True)
class Schema:
    """The features of a model, in the order in which the model takes them."""

    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        names = self.names
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise ValueError(f"columns named twice: {', '.join(twice)}")

    @property
    def names(self) -> tuple[str, ...]:
        """Column names, in order."""
        return tuple(column.name for column in self.columns)

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise NotFoundError(f"no column named {name!r}; there are {', '.join(self.names)}")


@dataclass(frozen=True, slots=True)
class Audit:
    """A random share of predictions whose labels come early.

    Rows in which the boolean feature-like field ``column`` is true were chosen independently of the
    features and of the prediction (for example by a hash of the id), so that performance on them is
    unbiased. Their labels are complete after ``maturity``.
    """

    column: str
    maturity: timedelta


@dataclass(frozen=True, slots=True)
class LabelSpec:
    """How labels arrive: ``maturity`` is the age after which a cohort's labels are complete."""

    maturity: timedelta
    audit: Audit | None = None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model under Homeostat's care.

    Attributes
    ----------
    name : str
        Unique in the deployment.
    task : Task
        Binary models give the probability of the positive class; multi-class models an index into
        ``classes``; regression models a number.
    schema : Schema
        Features.
    labels : LabelSpec
        Label delay.
    entity : str
        Field that names who a prediction is about (customer, card), for sticky traffic splits and
        cached predictions; empty if there is none.
    classes : tuple of str
        Class names; for a binary model (negative, positive).
    threshold : float
        Binary score at or above which the positive class is predicted.
    segments : tuple of str
        Features by whose values performance and value are measured too: ``"country"``, or
        ``"country & channel"`` for each pair of values.
    outcomes : tuple of str
        Names of numbers that become known after a prediction, besides its label: what was lost,
        whether it was bought.
    entity_handling : Handling
        How the prediction log stores who a prediction is about, if that is no feature.
    """

    name: str
    task: Task
    schema: Schema
    labels: LabelSpec
    entity: str = ""
    classes: tuple[str, ...] = ()
    threshold: float = 0.5
    segments: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    entity_handling: Handling = Handling.KEEP

    @property
    def segment_columns(self) -> tuple[tuple[str, ...], ...]:
        """The features behind each of the segments.

        Raises
        ------
        NotFoundError
            If one of them is no feature.

        Examples
        --------
        >>> columns = [Column(name, ColumnKind.CATEGORICAL) for name in ("country", "channel")]
        >>> labels = LabelSpec(timedelta(days=30))
        >>> by = ("country", "country & channel")
        >>> spec = ModelSpec("m", Task.BINARY, Schema(tuple(columns)), labels, segments=by)
        >>> spec.segment_columns
        (('country',), ('country', 'channel'))
        """
        return tuple(self.columns_of(segment) for segment in self.segments)

    def columns_of(self, segment: str) -> tuple[str, ...]:
        """Return the features behind one segment; raises NotFoundError."""
        if segment in self.schema.names:
            return (segment,)
        parts = tuple(part.strip() for part in segment.split(SEGMENT_JOINT))
        return tuple(self.schema[part].name for part in parts)


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A registered, immutable artifact of a model.

    ``sha256`` is of the artifact's bytes; ``flavour`` names the runtime that loads it; ``parent``
    is the champion at the time of training; ``metrics`` come from its own training. ``judged`` is
    the version that the gate judged in its place, trained alike on fewer rows; empty: itself.
    ``manifest`` says what it was trained on, where that is known.
    """

    model: str
    version: str
    flavour: str
    sha256: str
    created: datetime
    parent: str = ""
    run_id: str = ""
    rows: int = 0
    trained_until: datetime | None = None
    metrics: tuple[tuple[str, float], ...] = ()
    judged: str = ""
    manifest: TrainingManifest | None = None
