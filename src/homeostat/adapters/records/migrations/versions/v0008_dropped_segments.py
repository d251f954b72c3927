"""Segments whose files are deleted stay known for a while."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the time since when a segment's file may be gone; null: it is there."""
    op.add_column("log_segments", sa.Column("dropped", sa.BigInteger))
