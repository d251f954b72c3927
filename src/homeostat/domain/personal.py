"""What becomes of values that say who somebody is, before anything is stored."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from homeostat.domain.errors import ConfigError
from homeostat.domain.model import Handling, ModelSpec

PREFIX = "hmac:"
DIGITS = 32
LEAST_KEY = 16
"""Bytes of the shortest key that is taken."""
ENTITY = "entity"
NOT_KEPT = "(not kept: it may be personal)"
_HASHED = re.compile(rf"{PREFIX}[0-9a-f]{{{DIGITS}}}")


def handled(spec: ModelSpec) -> dict[str, Handling]:
    """Return how the columns of a model are stored that are not stored as they are.

    The field ``entity`` is handled like the feature that it repeats.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from homeostat.domain.model import Column, ColumnKind, LabelSpec, Schema, Task
    >>> mail = Column("mail", ColumnKind.CATEGORICAL, personal=True, handling=Handling.HASH)
    >>> labels = LabelSpec(timedelta(days=1))
    >>> handled(ModelSpec("m", Task.BINARY, Schema((mail,)), labels, entity="mail"))
    {'mail': <Handling.HASH: 'hash'>, 'entity': <Handling.HASH: 'hash'>}
    """
    found: dict[str, Handling] = {}
    for column in spec.schema.columns:
        if column.handling is not Handling.KEEP:
            found[column.name] = column.handling
    entity = found.get(spec.entity, spec.entity_handling)
    return found if entity is Handling.KEEP else {**found, ENTITY: entity}


@dataclass(frozen=True, slots=True)
class Protector:
    """Hashes or drops personal values.

    Parameters
    ----------
    key : bytes
        Secret of the deployment. Who does not know it cannot find a value by trying them all; with
        the same key a value has the same hash everywhere, so that joins and drift stay right.

    Examples
    --------
    >>> Protector(b"0123456789abcdef").text("ada@example.org")
    'hmac:48eef52843ab78cd641876afd0f93ce3'
    """

    key: bytes = field(default=b"", repr=False)

    def text(self, value: str) -> str:
        """Return the keyed hash (HMAC-SHA256, its first 128 bits); a hash stays as it is.

        Raises
        ------
        ConfigError
            If there is no key, or it is too short to keep a secret.
        """
        if len(self.key) < LEAST_KEY:
            problem = f"a personal column is to be hashed, and the key has {len(self.key)} bytes"
            remedy = f"put a secret of at least {LEAST_KEY} bytes into the environment"
            raise ConfigError(problem, f"{remedy} and name it in personal_key_env")
        if _HASHED.fullmatch(value) or not value:
            return value
        return PREFIX + hmac.new(self.key, value.encode(), hashlib.sha256).hexdigest()[:DIGITS]

    def table(self, spec: ModelSpec, rows: pa.Table) -> pa.Table:
        """Return admitted prediction records as they may be stored."""
        for name, handling in handled(spec).items():
            if name in rows.column_names:
                place = rows.column_names.index(name)
                stored = rows.schema.field(place)
                if handling is Handling.DROP:
                    nothing = pa.scalar("" if name == ENTITY else None, stored.type)
                    column = pa.chunked_array([pa.repeat(nothing, len(rows))])
                else:
                    column = self._hashed(rows.column(place))
                rows = rows.set_column(place, stored, column)
        return rows

    def _hashed(
        self, column: pa.ChunkedArray[pa.Scalar[pa.DataType]]
    ) -> pa.ChunkedArray[pa.Scalar[pa.DataType]]:
        chunks = []
        for chunk in column.chunks:
            found = chunk.dictionary_encode()
            texts = [self.text(str(value)) for value in found.dictionary.to_pylist()]
            chunks.append(pa.array(texts, pa.string()).take(found.indices))
        return pa.chunked_array(chunks, pa.string())

    def row(self, spec: ModelSpec, row: object, known: frozenset[str]) -> object:
        """Return a refused row as it may be kept.

        Where columns are handled, what is no row and what stands in a column that is not `known` is
        not kept: a personal value under a misspelt name is a personal value.

        Parameters
        ----------
        spec : ModelSpec
        row : object
            A mapping of column to value, as it was sent; or whatever else was sent.
        known : frozenset of str
            The columns that a row can have.
        """
        handling = handled(spec)
        if not handling:
            return row
        if not isinstance(row, Mapping):
            return NOT_KEPT
        return {
            name: self._kept(value, handling.get(name, Handling.KEEP)) if name in known
            else NOT_KEPT
            for name, value in row.items()
        }  # fmt: skip

    def _kept(self, value: object, handling: Handling) -> object:
        if handling is Handling.KEEP or value is None:
            return value
        return None if handling is Handling.DROP else self.text(str(value))


def reason_kept(spec: ModelSpec, reason: str) -> str:
    """Return why a row was refused; where columns are handled, without the value it may quote.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from homeostat.domain.model import LabelSpec, Schema, Task
    >>> labels = LabelSpec(timedelta(days=1))
    >>> spec = ModelSpec("m", Task.BINARY, Schema(()), labels, entity_handling=Handling.DROP)
    >>> reason_kept(spec, "must be text, not 4711")
    'must be text'
    """
    return reason.partition(", not ")[0] if handled(spec) else reason
