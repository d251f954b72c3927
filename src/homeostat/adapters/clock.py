"""The machine's clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """Wall time in UTC and the kernel's monotonic clock.

    Examples
    --------
    >>> SystemClock().now().tzinfo
    datetime.timezone.utc
    """

    def now(self) -> datetime:
        """Return the wall time, in UTC."""
        return datetime.now(UTC)

    # Seconds that never run backwards, from an arbitrary origin: asked several times a request.
    monotonic = staticmethod(time.monotonic)
