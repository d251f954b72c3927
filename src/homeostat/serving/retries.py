"""Whether a call may be made once more: a budget for retries, and when to hedge."""

from __future__ import annotations

import math
import threading
from collections import deque

SHARE = 0.1
BURST = 10.0
HEDGED = 0.95
SEEN = 200
FEWEST = 20


class RetryBudget:
    """Keeps extra calls (retries and hedges) to a share of the requests: no storm can begin.

    A token bucket: each request adds a part of a token, each extra call takes a whole one.

    Parameters
    ----------
    share : float
        Extra calls for each request, in the long run.
    burst : float
        Most tokens that are kept, and tokens at first.

    Examples
    --------
    >>> budget = RetryBudget(share=0.5, burst=1.0)
    >>> budget.spend(), budget.spend()
    (True, False)
    >>> budget.earn(); budget.earn(); budget.spend()
    True
    >>> budget.restore(); budget.spend()
    True
    """

    def __init__(self, share: float = SHARE, burst: float = BURST) -> None:
        self._share, self._burst, self._tokens = share, burst, burst
        self._lock = threading.Lock()

    def earn(self) -> None:
        """Count a request."""
        with self._lock:
            self._tokens = min(self._tokens + self._share, self._burst)

    def restore(self) -> None:
        """Give a token back that was taken for a call which was not made after all."""
        with self._lock:
            self._tokens = min(self._tokens + 1, self._burst)

    def spend(self) -> bool:
        """Take the token for an extra call; False if there is none."""
        with self._lock:
            # A sum of tenths falls short of the whole that it stands for.
            if self._tokens < 1 - 1e-9:
                return False
            self._tokens = max(self._tokens - 1, 0.0)
            return True


class HedgeDelay:
    """How long to wait for an answer before a second endpoint is asked too.

    The 95th percentile of the newest latencies of answers: one request in twenty is asked twice
    (Dean & Barroso 2013, "The Tail at Scale"). One thread, or one event loop, may use it.

    Examples
    --------
    >>> delay = HedgeDelay()
    >>> delay.seconds  # too few answers to tell
    inf
    >>> for milliseconds in range(100):
    ...     delay.add(milliseconds / 1000)
    >>> delay.seconds
    0.095
    """

    def __init__(self) -> None:
        self._latencies: deque[float] = deque(maxlen=SEEN)
        self._fresh = 0
        self.seconds = math.inf

    def add(self, latency: float) -> None:
        """Take in how long an answer took, in seconds."""
        self._latencies.append(latency)
        self._fresh += 1
        if self._fresh >= FEWEST:
            self._fresh = 0
            ordered = sorted(self._latencies)
            self.seconds = ordered[min(int(HEDGED * len(ordered)), len(ordered) - 1)]
