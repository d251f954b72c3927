"""How many rows each stored profile of an hour has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the count; of hours that are stored it is read from the profile until rows are added."""
    op.add_column("log_profiles", sa.Column("rows", sa.BigInteger))
    op.create_index("log_profiles_rows", "log_profiles", ["model", "hour", "rows"])
