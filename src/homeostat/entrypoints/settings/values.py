"""Text forms used in homeostat.yaml, and the errors that its parts raise."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    Strict,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
DURATION = r"^(\d+(\.\d+)?(ms|w|d|h|m|s))+$"
_STEP = re.compile(r"(\d+(?:\.\d+)?)(ms|w|d|h|m|s)")
_REMEDY = "use a number and a unit (w, d, h, m, s, ms), such as 10d, 1h30m or 200ms"


def wrong(problem: str, remedy: str = "", *path: str | int) -> PydanticCustomError:
    """Return an error about the value at `path` below the part that raises it."""
    return PydanticCustomError(
        "wrong", "{problem}", {"problem": problem, "remedy": remedy, "path": path}
    )


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a remedy: the known word that was probably meant, or the list of them.

    Examples
    --------
    >>> nearest("treshold", ["task", "threshold"])
    "did you mean 'threshold'?"
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(names)}" if names else "nothing may stand here"


def url_problem(url: str) -> str:
    """Say what is wrong with an http address; empty if nothing is."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return "is not a URL"
    if parts.scheme not in {"http", "https"} or not host:
        return "is not an http or https URL"
    return "holds a password; use url_env" if parts.password else ""


def parse_duration(text: str) -> timedelta:
    """Read a duration.

    Raises
    ------
    ValueError
        If `text` is not numbers with units, or is longer than Python's dates can hold.

    Examples
    --------
    >>> parse_duration("1h30m")
    datetime.timedelta(seconds=5400)
    >>> parse_duration("200ms")
    datetime.timedelta(microseconds=200000)
    """
    if not re.fullmatch(DURATION, text):
        raise ValueError(f"is not a duration: {text!r}")
    try:
        steps = (float(number) * UNITS[unit] for number, unit in _STEP.findall(text))
        return sum(steps, timedelta(0))
    except OverflowError as error:
        raise ValueError(f"is too long a duration: {text!r}") from error


def format_duration(duration: timedelta) -> str:
    """Write a duration in the form that `parse_duration` reads.

    Examples
    --------
    >>> format_duration(timedelta(hours=36))
    '1d12h'
    """
    milliseconds = round(duration / UNITS["ms"])
    parts: list[str] = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, milliseconds = divmod(milliseconds, round(UNITS[unit] / UNITS["ms"]))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _read_duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise wrong(f"is not a duration: {value!r}", _REMEDY)
    try:
        return parse_duration(value.strip())
    except ValueError as error:
        raise wrong(str(error), _REMEDY) from None


def _positive(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise wrong("must be longer than zero", _REMEDY)
    return duration


def _name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", value):
        raise wrong(
            f"is not a usable name: {value!r}",
            "use up to 64 letters, digits, '_', '-' and '.', beginning with a letter or digit",
        )
    return value


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        # The value may be the secret itself, so it is not repeated.
        raise wrong(
            "is not the name of an environment variable",
            "put the secret into the environment and write the variable's name here",
        )
    return value


_DURATION_SCHEMA = WithJsonSchema(
    {"type": "string", "pattern": DURATION, "examples": ["10d", "1h30m", "200ms"]}
)
_DURATION_TEXT = PlainSerializer(format_duration, return_type=str, when_used="json")

Duration = Annotated[
    timedelta,
    BeforeValidator(_read_duration),
    AfterValidator(_positive),
    _DURATION_SCHEMA,
    _DURATION_TEXT,
]
"""A positive duration such as ``10d`` or ``1h30m``."""

Wait = Annotated[timedelta, BeforeValidator(_read_duration), _DURATION_SCHEMA, _DURATION_TEXT]
"""A duration that may be zero (``0s``)."""

Name = Annotated[str, AfterValidator(_name)]
"""The name of a model or a receiver; it becomes part of paths and keys."""

Variable = Annotated[str, AfterValidator(_variable)]
"""The name of an environment variable that holds a secret."""

Number = Annotated[float, Strict()]
"""A number; text that looks like one is refused."""

Count = Annotated[int, Strict(), Field(ge=1)]
"""A whole number from 1."""

Flag = Annotated[bool, Strict()]
"""true or false."""

Share = Annotated[Number, Field(gt=0, le=1)]
"""A part of a whole, in (0, 1]."""

Weight = Annotated[Number, Field(gt=0, lt=1)]
"""A part, neither nothing nor all."""

Port = Annotated[int, Strict(), Field(ge=0, le=65535)]
"""A TCP port; 0 lets the system choose."""
