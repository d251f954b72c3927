"""How many rows of one call may be refused, and what the sender is told if it is more."""

from __future__ import annotations

from collections.abc import Iterable

from homeostat.domain.errors import DataError

MOST_REFUSED = 10_000
"""Refused rows of one call that are kept to be looked at; of more, something else is wrong."""
TOLD = 3


def too_many(first: Iterable[tuple[int, str, str]], rest: str = "none is taken") -> DataError:
    """Return what is said of a call of which more than `MOST_REFUSED` rows are refused.

    Parameters
    ----------
    first : iterable of (row, column, reason)
        The refused rows, of which the first ones are told.
    rest : str
        What becomes of the call's other rows.

    Examples
    --------
    >>> print(too_many([(0, "score", "is missing"), (1, "", "is no row")]))
    more than 10,000 rows are refused, and none is taken: row 0: score is missing; row 1: is no row
    """
    some = [found for found, _ in zip(first, range(TOLD), strict=False)]
    told = "; ".join(f"row {row}: {f'{column} {reason}'.strip()}" for row, column, reason in some)
    return DataError(f"more than {MOST_REFUSED:,} rows are refused, and {rest}: {told}")
