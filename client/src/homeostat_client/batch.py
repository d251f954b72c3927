"""A batch: encoded rows that travel, fail and are kept together."""

from __future__ import annotations

import os
from dataclasses import dataclass

PREDICTIONS = "predictions"
LABELS = "labels"
OUTCOMES = "outcomes"
KINDS = (PREDICTIONS, LABELS, OUTCOMES)
KEY_BYTES = 16


@dataclass(frozen=True)
class Batch:
    """Rows of one kind as JSON texts, and the key under which they are sent.

    The key names the batch in ``Idempotency-Key``: sent again, it is the same batch.

    Examples
    --------
    >>> Batch("labels", "k", (b'{"label":1}', b'{"label":0}')).body
    b'{"labels":[{"label":1},{"label":0}]}'
    """

    kind: str
    key: str
    rows: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Bytes of the rows."""
        return sum(map(len, self.rows)) + len(self.rows)

    @property
    def body(self) -> bytes:
        """The request's body."""
        return b'{"%s":[%s]}' % (self.kind.encode(), b",".join(self.rows))

    def split(self) -> tuple[Batch, Batch]:
        """Return both halves; their keys follow from this one's, so that a repeat gives the same.

        Examples
        --------
        >>> left, right = Batch("labels", "k", (b"1", b"2", b"3")).split()
        >>> left.rows, right.rows, right.key
        ((b'1',), (b'2', b'3'), 'k.1')
        """
        middle = len(self.rows) // 2
        return (
            Batch(self.kind, f"{self.key}.0", self.rows[:middle]),
            Batch(self.kind, f"{self.key}.1", self.rows[middle:]),
        )


def new_key() -> str:
    """Return a key that no other batch has."""
    return os.urandom(KEY_BYTES).hex()
