"""Profiles of segments, and how many rows of a profile came late."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0004"


def upgrade() -> None:
    """Add the table and the count; of hours that were rolled so far no row counts as late."""
    op.create_table(
        "log_segment_profiles",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("model", "version")),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("columns", "segment")),
        sa.Column("hour", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("packed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("model", "version", "columns", "segment", "hour"),
    )
    late = sa.Column("late", sa.BigInteger, nullable=False, server_default="0")
    op.add_column("log_profiles", late)
