"""How numbers and times are written for people."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import isfinite, isnan, log10

UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))


def number(value: float | None) -> str:
    """Write a number with three significant digits and no false precision.

    Examples
    --------
    >>> [number(value) for value in (0.12345, 1234.5, 7.0, float("nan"), 0.0, 12345678.0)]
    ['0.123', '1,234', '7', '—', '0', '12,345,678']
    >>> number(0.00001234), number(float("inf"))
    ('1.23e-05', '∞')
    """
    if value is None or isnan(value):
        return "—"
    if not isfinite(value):
        return "∞" if value > 0 else "-∞"
    size = abs(value)
    if 0 < size < 0.0005:
        return f"{value:.2e}"
    digits = 0 if size >= 100 or size == 0 else 2 - int(log10(size) // 1)
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def chance(p_value: float) -> str:
    """Write a p-value; how small a tiny one is tells nothing.

    Examples
    --------
    >>> [chance(value) for value in (1e-134, 0.0123, 1.0, float("nan"))]
    ['< 0.0001', '0.0123', '1', '—']
    """
    return "< 0.0001" if p_value < 0.0001 else number(p_value)


def when(moment: datetime | None) -> str:
    """Write a moment to the minute, with its zone.

    Examples
    --------
    >>> from datetime import UTC
    >>> when(datetime(2024, 3, 1, 14, 5, tzinfo=UTC)), when(None)
    ('2024-03-01 14:05 UTC', '—')
    """
    return "—" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def span(length: timedelta) -> str:
    """Write a duration in its largest unit.

    Examples
    --------
    >>> [span(timedelta(**{unit: 3})) for unit in ("seconds", "minutes", "hours", "days")]
    ['less than a minute', '3 minutes', '3 hours', '3 days']
    """
    seconds = length.total_seconds()
    for name, size in UNITS:
        count = int(seconds // size)
        if count:
            return f"{count} {name}{'' if count == 1 else 's'}"
    return "less than a minute"
