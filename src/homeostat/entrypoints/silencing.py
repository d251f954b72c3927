"""Silences as people write them, on the command line, in a form or in JSON: all of it text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from homeostat.alerting.silences import Matcher, Silence
from homeostat.domain.decision import Severity
from homeostat.domain.errors import DataError
from homeostat.engine.silencing import Silencing
from homeostat.entrypoints.settings.values import parse_duration

PATTERNS = ("model", "rule", "subject")
FIELDS = (*PATTERNS, "severity", "owner", "reason", "start", "end", "for")


def make(silencing: Silencing, fields: Mapping[str, str], actor: str, now: datetime) -> Silence:
    """Make a silence.

    Parameters
    ----------
    silencing : Silencing
    fields : mapping
        Of `FIELDS`; what is missing or empty is as if not given. ``severity`` may be several, with
        commas between them; of ``end`` and ``for`` there is one.
    actor : str
    now : datetime

    Raises
    ------
    DataError
        If a field cannot be read, or nothing says which incidents are meant.
    """
    given = {name: text.strip() for name, text in fields.items() if text.strip()}
    unknown = sorted(set(given) - set(FIELDS))
    if unknown:
        raise DataError(f"{unknown[0]} is no field of a silence; use one of {', '.join(FIELDS)}")
    if not {*PATTERNS, "severity"} & set(given):
        raise DataError(
            "say which incidents are meant: a model, rule, subject or severity; model * is all"
        )
    models = given.get("model", "*")
    matcher = Matcher(models, given.get("rule", "*"), given.get("subject", "*"), _loud(given))
    if not any(matcher.covers(name) for name in silencing.models):
        raise DataError(f"no model matches {models!r}; known: {', '.join(silencing.models)}")
    start = moment("start", given["start"]) if "start" in given else None
    span = (start, _end(given, start or now))
    return silencing.add(matcher, given.get("owner", ""), given.get("reason", ""), span, actor, now)


def _loud(given: Mapping[str, str]) -> frozenset[Severity]:
    words = [word.strip() for word in given.get("severity", "").split(",") if word.strip()]
    try:
        return frozenset(Severity(word) for word in words)
    except ValueError:
        known = ", ".join(Severity)
        raise DataError(f"severity is {given['severity']!r}; use some of {known}") from None


def _end(given: Mapping[str, str], start: datetime) -> datetime:
    if ("end" in given) == ("for" in given):
        raise DataError("a silence ends: give its end, or for how long it is, such as 2h")
    if "end" in given:
        return moment("end", given["end"])
    try:
        return start + parse_duration(given["for"])
    except (ValueError, OverflowError) as error:
        raise DataError(f"for {error}") from None


def moment(field: str, text: str) -> datetime:
    """Read a time; without a zone it is in UTC.

    Raises
    ------
    DataError
        If it is none.
    """
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise DataError(f"{field} is {text[:60]!r}; use a time such as 2024-01-31T12:00Z") from None


def number(text: str) -> int:
    """Read a silence's number; raises DataError."""
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise DataError(f"{text[:60]!r} is no number of a silence; homeostat alerts silences")
    return int(text)


def standing(silence: Silence, now: datetime) -> str:
    """Say where it stands: to come, holding or over.

    Examples
    --------
    >>> from datetime import timedelta
    >>> start, hour = datetime(2024, 1, 1, tzinfo=UTC), timedelta(hours=1)
    >>> one = Silence(1, Matcher(), "ana", "known", start, start + hour, "ana", start)
    >>> [standing(one, start + hours * hour) for hours in (-1, 0, 1)]
    ['to come', 'holding', 'over']
    """
    if silence.is_over(now):
        return "over"
    return "holding" if silence.holds(now) else "to come"


def described(silence: Silence, now: datetime) -> dict[str, object]:
    """Return a silence for machines."""
    matcher = asdict(silence.matcher) | {"severities": sorted(silence.matcher.severities)}
    return asdict(silence) | {"matcher": matcher, "standing": standing(silence, now)}
