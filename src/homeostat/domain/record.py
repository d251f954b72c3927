"""Rows of the prediction log as Arrow schemas.

A *prediction record* is one version's answer to one request row; shadow answers to the same request
share its ``prediction_id`` and differ in ``version``. A *label* is what turned out to be true; the
latest arrival for a ``prediction_id`` counts. An *outcome* is another number that becomes known
later, such as money or a conversion: a label with the outcome's name.
"""

from __future__ import annotations

import pyarrow as pa

from homeostat.domain.model import ColumnKind, ModelSpec, Task

TIMESTAMP = pa.timestamp("us", tz="UTC")

PROBABILITIES = "probabilities"
"""Field of multi-class records only: one probability a class, in the order of the classes."""

ROLES = ("champion", "challenger", "shadow", "override")
"""What a row was assigned to; an arm of an experiment is `ARM` and its version."""
ARM = "arm:"
ROLE = f"{'|'.join(ROLES)}|{ARM}[^\\x00-\\x1f\\x7f]{{1,200}}"
"""All of them, as a regular expression of the whole text that Python and Arrow read alike."""
TIERS = ("model", "cached", "lighter", "rules", "default")
"""Who gave an answer."""

# Fields every prediction record has, before the features. In multi-class records `PROBABILITIES`
# follows ``prediction``, and ``score`` is the class index too.
RECORD_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("prediction_id", pa.string()),
    ("timestamp", TIMESTAMP),
    ("version", pa.string()),
    ("role", pa.string()),  # `ROLE`
    ("tier", pa.string()),  # of `TIERS`
    (
        "reason",
        pa.string(),
    ),  # why a fallback: one of the words of `serving.plan.Reason`
    ("entity", pa.string()),
    ("score", pa.float64()),
    ("prediction", pa.float64()),
    ("latency_ms", pa.float64()),
    ("arm_share", pa.float64()),  # with which chance its arm was chosen; null if by no arm
)

LABEL_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("prediction_id", pa.string()),
    ("label", pa.float64()),  # class index, or the true number
    ("arrival", TIMESTAMP),  # when the label became known here
)

RESERVED = frozenset(name for name, _ in RECORD_FIELDS) | {PROBABILITIES, "label", "arrival"}

ARROW_TYPE = {
    ColumnKind.NUMERIC: pa.float64(),
    ColumnKind.CATEGORICAL: pa.string(),
    ColumnKind.BOOLEAN: pa.bool_(),
}


def arrival_of(outcome: str) -> str:
    """Return the name of the column that says when an outcome became known; of the label too.

    Examples
    --------
    >>> arrival_of("bought"), arrival_of("")
    ('arrival:bought', 'arrival')
    """
    return f"arrival:{outcome}" if outcome else "arrival"


def feature_schema(spec: ModelSpec) -> pa.Schema:
    """Return the Arrow schema of a request: the features and, if there is one, the audit flag."""
    fields = [pa.field(c.name, ARROW_TYPE[c.kind]) for c in spec.schema.columns]
    audit = spec.labels.audit
    if audit is not None and audit.column not in spec.schema.names:
        fields.append(pa.field(audit.column, pa.bool_()))
    return pa.schema(fields)


def prediction_schema(spec: ModelSpec) -> pa.Schema:
    """Return the Arrow schema of the model's prediction records.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from homeostat.domain.model import Column, LabelSpec, Schema, Task
    >>> columns = Schema((Column("amount", ColumnKind.NUMERIC),))
    >>> spec = ModelSpec("fraud", Task.BINARY, columns, LabelSpec(timedelta(days=30)))
    >>> prediction_schema(spec).names[-3:]
    ['latency_ms', 'arm_share', 'amount']
    """
    fields = [pa.field(*pair) for pair in RECORD_FIELDS]
    if spec.task is Task.MULTICLASS:
        after = [name for name, _ in RECORD_FIELDS].index("prediction") + 1
        fields.insert(after, pa.field(PROBABILITIES, pa.list_(pa.float64())))
    return pa.schema(fields + list(feature_schema(spec)))


LABEL_SCHEMA = pa.schema([pa.field(*pair) for pair in LABEL_FIELDS])
OUTCOME_SCHEMA = LABEL_SCHEMA.append(pa.field("outcome", pa.string()))
"""Labels and outcomes side by side: ``outcome`` names what ``label`` is the value of, "" itself."""
