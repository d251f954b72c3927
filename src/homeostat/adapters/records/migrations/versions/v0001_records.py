"""States, decisions, verdicts, metrics, effects, references and the log's catalogue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

revision = "0001"
down_revision = None

Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _integers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _numbered(name: str, *columns: SchemaItem) -> None:
    number = sa.Column("number", Serial, primary_key=True, autoincrement=True)
    op.create_table(name, number, *columns, sqlite_autoincrement=True)


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "states",
        sa.Column("key", sa.Text, primary_key=True),
        *_integers("version"),
        sa.Column("body", sa.Text),
    )
    _decided()
    _profiles()
    _log()


def _decided() -> None:
    _numbered("decisions", *_texts("model"), *_integers("at"), *_texts("body"))
    op.create_index("decisions_by_model", "decisions", ["model", "at"])
    _numbered("verdicts", *_texts("model"), *_integers("start"), *_texts("body"))
    op.create_index("verdicts_by_model", "verdicts", ["model", "start"])
    op.create_table(
        "metrics",
        *_texts("model", "name"),
        *_integers("start", "end"),
        *_texts("version", "cohort", "body"),
        sa.PrimaryKeyConstraint("model", "name", "start", "end", "version", "cohort"),
    )
    _numbered(
        "effects",
        sa.Column("key", sa.Text, nullable=False, unique=True),
        *_texts("kind", "body", "status"),
        *_integers("attempts", "not_before", "changed"),
        *_texts("problem"),
    )
    op.create_index("effects_by_status", "effects", ["status", "not_before"])


def _profiles() -> None:
    op.create_table(
        "reference_profiles",
        *_texts("model", "version"),
        *_integers("start", "end"),
        sa.Column("profile", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("model", "version", "start", "end"),
    )
    op.create_table(
        "log_profiles",
        *_texts("model", "version"),
        *_integers("hour"),
        sa.Column("profile", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("model", "version", "hour"),
    )


def _log() -> None:
    op.create_table(
        "log_segments", sa.Column("name", sa.Text, primary_key=True), *_integers("rolled")
    )
    _numbered(
        "log_files",
        *_texts("kind", "model", "day"),
        sa.Column("path", sa.Text, nullable=False, unique=True),
        *_integers("rows", "bytes", "first", "last"),
    )
    op.create_index("log_files_by_time", "log_files", ["model", "kind", "first"])
    _numbered(
        "log_quarantine",
        sa.Column("digest", sa.Text, nullable=False, unique=True),
        *_texts("model", "kind"),
        *_integers("at"),
        *_texts("column", "reason", "row"),
    )
    op.create_index("log_quarantine_by_model", "log_quarantine", ["model", "at"])
