"""Taking a value out of the names of segments: profiles, metrics, and texts that tell of them."""

from __future__ import annotations

import json
from collections.abc import Sequence

import sqlalchemy as sa

from homeostat.adapters.predlog.catalogue import FEW
from homeostat.adapters.predlog.hours import merged, pack, unpack
from homeostat.adapters.records.codec import storable
from homeostat.adapters.records.engine import Database
from homeostat.adapters.records.tables import (
    decisions,
    effects,
    log_segment_profiles,
    metrics,
    states,
    verdicts,
)
from homeostat.domain.segments import names_value, rename_value
from homeostat.domain.verdict import segment_value
from homeostat.profiles.forget import ERASED
from homeostat.profiles.format import from_bytes, to_bytes


def unname(database: Database, model: str, values: Sequence[str]) -> int:
    """Take values out of the names of a model's segments; return the rows that were changed.

    Profiles are counted in the segment of `ERASED`, figures of a segment are deleted, and in what
    was judged, decided and is remembered the value is replaced. A state that its owner changes
    meanwhile is read again by whoever was second.

    Raises
    ------
    StorageError
        If the database failed: ask again.
    """
    changed = 0
    for value in dict.fromkeys((*values, *map(segment_value, values))):
        changed += _profiles(database, model, storable(value))
        changed += _figures(database, model, storable(value))
        changed += _texts(database, model, value)
    return changed


def forms(value: str) -> set[str]:
    """Return how a value may be written in a text: as it is, and as in JSON."""
    return {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}


def stored_forms(value: str) -> set[str]:
    """Return how a value may be written in a table: NUL only in JSON, or made `storable`."""
    return {form for form in (*forms(value), storable(value)) if "\0" not in form}


def _profiles(database: Database, model: str, value: str) -> int:
    table = log_segment_profiles
    like = table.c.segment.contains(f"={value}", autoescape=True)
    with database.write() as connection:
        found = connection.execute(sa.select(table).where(table.c.model == model, like)).all()
        found = [row for row in found if names_value(row.segment, value)]
        for row in found:
            place = {name: getattr(row, name) for name in ("model", "version", "columns", "hour")}
            here = sa.and_(*(table.c[name] == part for name, part in place.items()))
            new = rename_value(row.segment, value, ERASED)
            connection.execute(sa.delete(table).where(here, table.c.segment == row.segment))
            there = sa.select(table).where(here, table.c.segment == new)
            other = connection.execute(there).one_or_none()
            key = {**place, "segment": new}
            if other is None:
                values = {"rows": row.rows, "packed": row.packed}
                connection.execute(sa.insert(table).values(**key, **values))
            else:
                whole = merged(unpack(other.packed), from_bytes(unpack(row.packed)))
                values = {"rows": other.rows + row.rows, "packed": pack(to_bytes(whole))}
                same = here & (table.c.segment == new)
                connection.execute(sa.update(table).where(same).values(**values))
    return len(found)


def _figures(database: Database, model: str, value: str) -> int:
    column = metrics.c.segment
    mine = metrics.c.model == model
    like = column.contains(f"={value}", autoescape=True)
    with database.write() as connection:
        found = connection.execute(sa.select(column).where(mine, like).distinct()).scalars()
        named = [segment for segment in found if names_value(segment, value)]
        gone = sa.delete(metrics).where(mine, column.in_(named))
        return connection.execute(gone).rowcount if named else 0


def _texts(database: Database, model: str, value: str) -> int:
    changed = 0
    for table in (decisions, verdicts, effects, states):
        key = next(iter(table.primary_key))
        likes = [table.c.body.contains(f"={form}", autoescape=True) for form in stored_forms(value)]
        query = sa.select(key, table.c.body).where(sa.or_(*likes))
        few = query.execution_options(yield_per=FEW)
        # Looked through first: nobody waits for the database meanwhile.
        with database.read() as connection, connection.execute(few) as rows:
            told = (
                (n, b, _unnamed(n if table is states else "", b, model, value)) for n, b in rows
            )
            found = [(name, body, new) for name, body, new in told if new != body]
        for name, body, new in found:
            kept = {"body": new, **({"version": states.c.version + 1} if table is states else {})}
            same = sa.update(table).where(key == name, table.c.body == body).values(**kept)
            with database.write() as connection:
                changed += connection.execute(same).rowcount
    return changed


def _unnamed(state: str, body: str, model: str, value: str) -> str:
    """Return what a row says without the value, if it is about the model; `state` is its key."""
    if state and not _of_model(state, model):
        return body
    content = json.loads(body)
    if not state and content["model"] != model:
        return body
    return json.dumps(_renamed(content, value), separators=(",", ":"))


def _of_model(key: str, model: str) -> bool:
    """Whether a state is about a model: its key names it after what it is."""
    about = key.partition(":")[2]
    return about == model or about.startswith(f"{model}:")


def _renamed(content: object, value: str) -> object:
    """Return a JSON document in whose texts no segment has the value."""
    if isinstance(content, str):
        return rename_value(content, value, ERASED)
    if isinstance(content, dict):
        return {rename_value(k, value, ERASED): _renamed(v, value) for k, v in content.items()}
    if isinstance(content, list):
        return [_renamed(item, value) for item in content]
    return content
