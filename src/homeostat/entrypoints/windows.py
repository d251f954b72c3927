"""Which specs, moments, and lengths and numbers of windows can be asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from homeostat.domain.errors import ConfigError
from homeostat.domain.predictions import PredictionSpec, to_micros

EARLIEST = to_micros(datetime(1678, 1, 1, tzinfo=UTC))
LATEST = to_micros(datetime(2262, 1, 1, tzinfo=UTC))
SPAN = "outside the years 1678 to 2261"
LONGEST = timedelta(days=36_525)


def check_moment(name: str, moment: object) -> None:
    """Refuse what is no point in time.

    Raises
    ------
    ConfigError
        If it is neither None nor a datetime of the years in which rows can be.
    """
    if moment is None:
        return
    if not isinstance(moment, datetime):
        raise ConfigError(f"{name} is {moment!r}", "give a datetime, such as datetime(2026, 2, 1)")
    if not EARLIEST <= to_micros(moment) < LATEST:
        raise ConfigError(f"{name} is {moment}", f"that is {SPAN}")


def check_spec(spec: object) -> None:
    """Refuse what is no spec, such as the name of a task.

    Raises
    ------
    ConfigError
    """
    if not isinstance(spec, PredictionSpec):
        shown = type(spec).__name__ if spec is not None else "None"
        raise ConfigError(f"spec is {shown}", "give a homeostat.PredictionSpec")


def check_as_of(as_of: object, spec: PredictionSpec) -> None:
    """Refuse a point in time to judge from, if rows do not say when they were made or known.

    Raises
    ------
    ConfigError
        So, or as of `check_moment` and `check_spec`.
    """
    check_spec(spec)
    check_moment("as_of", as_of)
    if as_of is not None and not spec.timestamp and not spec.arrival:
        raise ConfigError("as_of needs to know when rows were made", "name the timestamp column")


def check_length(name: str, length: object) -> None:
    """Refuse what is no length of a window.

    Raises
    ------
    ConfigError
        If it is no timedelta from a second to a century.
    """
    if not isinstance(length, timedelta):
        raise ConfigError(f"{name} is {length!r}", "give a timedelta, such as timedelta(days=7)")
    if length < timedelta(seconds=1):
        raise ConfigError(f"{name} of {length} is too short", "give a second or more")
    if length > LONGEST:
        raise ConfigError(f"{name} of {length} is too long", "give a century or less")


def check_count(count: int, most: int) -> None:
    """Refuse more windows than anybody reads.

    Raises
    ------
    ConfigError
    """
    if count > most:
        raise ConfigError(f"that makes {count:,} windows", f"at most {most:,}: make them longer")


def at_least_one(name: str, number: object, what: str = "") -> int:
    """Return a whole number of 1 or more.

    Raises
    ------
    ConfigError
    """
    if not isinstance(number, (int, np.integer)) or number < 1:
        raise ConfigError(f"{name} is {number!r}", f"give 1 or more{what}")
    return int(number)


def named(columns: str | Sequence[str]) -> tuple[str, ...]:
    """Return the columns that are named; one may be named by itself."""
    return (columns,) if isinstance(columns, str) else tuple(columns)
