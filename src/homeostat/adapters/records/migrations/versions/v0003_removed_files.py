"""Files leave the log, and labels lie by the day of their predictions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the table of removed files; label files written so far are not sorted by day yet."""
    serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "log_removed",
        sa.Column("number", serial, primary_key=True, autoincrement=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("kind", "model", "day")),
        sa.Column("path", sa.Text, nullable=False, unique=True),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("rows", "bytes", "first", "last", "at")
        ),
        sqlite_autoincrement=True,
    )
    files = sa.table("log_files", sa.column("kind"), sa.column("day"))
    op.execute(sa.update(files).where(files.c.kind == "LABELS").values(day="recent"))
