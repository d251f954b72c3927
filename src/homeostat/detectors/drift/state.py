"""What the drift detector remembers between two windows."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

from homeostat.stats.changepoint import Tally, fresh


@dataclass(frozen=True, slots=True)
class DriftState:
    """Windows seen since the reference named ``reference``, summed up.

    Attributes
    ----------
    reference : str
        Key of the reference that the sums belong to.
    seen : int
        Windows so far.
    starts : tuple of int
        Windows at which a change may have begun.
    sums : str
        The sums of `homeostat.stats.changepoint.Tally`: float64, little-endian, base 64.
    drifted : tuple of str
        Subjects whose last verdict was ``drift``.
    """

    reference: str = ""
    seen: int = 0
    starts: tuple[int, ...] = ()
    sums: str = ""
    drifted: tuple[str, ...] = ()

    def tally(self, series: int) -> Tally:
        """Return the sums as arrays."""
        if not self.sums:
            return fresh(series)
        flat = np.frombuffer(base64.b64decode(self.sums), "<f8").astype(np.float64)
        total, since = flat[: 4 * series], flat[4 * series :]
        return Tally(
            self.seen,
            self.starts,
            total.reshape(4, series),
            since.reshape(len(self.starts), 2, series),
        )


def pack(reference: str, tally: Tally, drifted: tuple[str, ...]) -> DriftState:
    """Return the state that holds a tally.

    Examples
    --------
    >>> state = pack("2024", fresh(2), ())
    >>> state.tally(2).total.shape
    (4, 2)
    """
    flat = np.concatenate((tally.total.ravel(), tally.since.ravel())).astype("<f8")
    text = base64.b64encode(flat.tobytes()).decode()
    return DriftState(reference, tally.seen, tally.starts, text, drifted)
