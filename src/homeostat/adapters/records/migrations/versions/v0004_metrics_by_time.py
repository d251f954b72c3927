"""Metric points of a time, of all names: found without reading all of the model's."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the index."""
    op.create_index("metrics_by_time", "metrics", ["model", "start"])
