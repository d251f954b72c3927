"""When to try again: exponential, with jitter, and never sooner than the server asks."""

from __future__ import annotations

import random
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

MOST_RETRY_AFTER = 600.0


@dataclass(frozen=True)
class Backoff:
    """Waits `first` seconds after one failure, twice as long after each further, up to `most`.

    Parameters
    ----------
    first, most : float
        Seconds.
    """

    first: float = 0.5
    most: float = 60.0

    def delay(self, failures: int, rng: random.Random, retry_after: float | None = None) -> float:
        """Return the seconds to wait after so many failures in a row.

        Between half and all of the exponential delay, so that many clients do not return at once;
        at least `retry_after`, which counts for at most ten minutes, plus up to a tenth.

        Examples
        --------
        >>> rng = random.Random(1)
        >>> [round(Backoff().delay(n, rng), 1) for n in (1, 2, 3, 20)]
        [0.3, 0.9, 1.8, 37.7]
        """
        whole = min(self.most, self.first * 2.0 ** min(failures - 1, 30))
        wait = whole * (0.5 + 0.5 * rng.random())
        if retry_after is None:
            return wait
        return max(wait, min(retry_after, MOST_RETRY_AFTER) * (1 + 0.1 * rng.random()))


def retry_after(text: str, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for; None if it cannot be read.

    Parameters
    ----------
    text : str
        Seconds, or an HTTP date.
    now : float
        Seconds since 1970.

    Examples
    --------
    >>> retry_after("7", 0.0), retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 20.0)
    (7.0, 40.0)
    >>> retry_after("soon", 0.0) is None
    True
    """
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
