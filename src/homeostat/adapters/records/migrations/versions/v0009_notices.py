"""Notices of an incident, or to a receiver, are found without reading all of them."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

from homeostat.adapters.records.codec import key_text

revision = "0009"
down_revision = "0008"

AT_ONCE = 1000


def upgrade() -> None:
    """Add what a notice is about and whom it is for, which its body says; both have an index."""
    for name in ("receiver", "incident"):
        op.add_column("effects", sa.Column(name, sa.Text, nullable=False, server_default=""))
    names = ("number", "kind", "body", "receiver", "incident")
    effects = sa.table("effects", *(sa.column(name) for name in names))
    mine = sa.select(effects.c.number, effects.c.body).where(effects.c.kind == "Notify")
    known = sa.update(effects).where(effects.c.number == sa.bindparam("the_number"))
    last = 0
    while (
        rows := op.get_bind()
        .execute(mine.where(effects.c.number > last).order_by(effects.c.number).limit(AT_ONCE))
        .all()
    ):
        values = [(row.number, json.loads(row.body)) for row in rows]
        op.get_bind().execute(
            known.values(receiver=sa.bindparam("whom"), incident=sa.bindparam("what")),
            [
                {
                    "the_number": number,
                    "whom": key_text(body["receiver"]),
                    "what": key_text(body["incident"]),
                }
                for number, body in values
            ],
        )
        last = rows[-1].number
    for name in ("receiver", "incident"):
        op.create_index(f"effects_by_{name}", "effects", [name, "number"])
