"""Metric points of segments: the segment is part of a point's identity."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

IDENTITY = ("model", "name", "start", "end", "version", "cohort")


def upgrade() -> None:
    """Add the column; what was measured so far is of all rows."""
    if op.get_bind().dialect.name == "postgresql":
        op.add_column("metrics", sa.Column("segment", sa.Text, nullable=False, server_default=""))
        op.alter_column("metrics", "segment", server_default=None)
        op.drop_constraint("metrics_pkey", "metrics", type_="primary")
        op.create_primary_key("metrics_pkey", "metrics", [*IDENTITY, "segment"])
    else:
        _rebuild()


def _rebuild() -> None:
    # SQLite cannot change a primary key.
    columns = [
        sa.Column(name, sa.BigInteger if name in {"start", "end"} else sa.Text, nullable=False)
        for name in (*IDENTITY, "segment", "body")
    ]
    key = sa.PrimaryKeyConstraint(*IDENTITY, "segment")
    new = op.create_table("metrics_new", *columns, key)
    old = sa.table("metrics", *(sa.column(name) for name in (*IDENTITY, "body")))
    kept = sa.select(*(old.c[name] for name in IDENTITY), sa.literal(""), old.c.body)
    op.execute(sa.insert(new).from_select([*IDENTITY, "segment", "body"], kept))
    op.drop_table("metrics")
    op.rename_table("metrics_new", "metrics")
