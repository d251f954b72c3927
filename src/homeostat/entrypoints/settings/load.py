"""Read homeostat.yaml: settings, or errors that name the line and the remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from homeostat.domain.errors import ConfigError
from homeostat.entrypoints.settings import document
from homeostat.entrypoints.settings.deployment import Settings
from homeostat.entrypoints.settings.schema import known_keys
from homeostat.entrypoints.settings.values import nearest

KEY = "[key]"  # how pydantic marks an error in a mapping's key
REMEDIES = {
    "string_type": ("must be text", "put it in quotes"),
    "bool_type": ("must be true or false", "write true or false"),
    "int_type": ("must be a whole number", "write it without quotes or decimals"),
    "float_type": ("must be a number", "write it without quotes"),
    "tuple_type": ("must be a list", "write it like [a, b]"),
    "dict_type": ("must be a mapping", "write indented 'key: value' lines under it"),
    "model_type": ("must be a mapping", "write indented 'key: value' lines under it"),
    "model_attributes_type": ("must be a mapping", "write indented 'key: value' lines under it"),
    "finite_number": ("must be a finite number", "remove it, or write a number"),
    "union_tag_not_found": ("has no type", "add a line such as 'type: console'"),
    "too_short": ("must not be empty", "add at least one entry"),
    "string_too_short": ("must not be empty", "write something"),
    "string_pattern_mismatch": ("does not have the right form", "write it like train.py:train"),
}


def load(path: Path | str, copy: Path | None = None) -> Settings:
    """Read a deployment's settings.

    Parameters
    ----------
    path : Path or str
        Paths in the file start from its folder.
    copy : Path, optional
        Of an earlier state of the file, which is read instead of it.

    Raises
    ------
    ConfigError
        The first thing that is wrong, in the order of the file; `problems` has all of them.
    """
    settings, errors = _read(Path(path), copy)
    if settings is None:
        raise errors[0]
    return settings


def problems(path: Path | str) -> tuple[ConfigError, ...]:
    """Return everything that is wrong with a file, in its order; empty if it loads."""
    try:
        return _read(Path(path))[1]
    except ConfigError as error:
        return (error,)


def _read(path: Path, copy: Path | None = None) -> tuple[Settings | None, tuple[ConfigError, ...]]:
    source = document.read(path, copy)
    try:
        settings = Settings.model_validate(source.values)
    except ValidationError as error:
        details = error.errors(include_url=False)
        found = [_explain(detail, source) for detail in details if not _echo(detail)]
        return None, tuple(sorted(found, key=lambda item: item.line or 0))
    settings._file, settings._text = path, source.text  # noqa: SLF001
    return settings, ()


def _echo(detail: ErrorDetails) -> bool:
    """Whether it only repeats that entries of a list are wrong: they do not count as entries."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _explain(detail: ErrorDetails, source: document.Document) -> ConfigError:
    context: Mapping[str, Any] = detail.get("ctx", {})
    deeper = context.get("path", ())
    path: Sequence[str | int] = (
        *(step for step in detail["loc"] if step != KEY),
        *deeper,
    )
    line, field = source.locate(path, lacking=detail["type"] == "missing" or bool(deeper))
    problem, remedy = _words(detail, context)
    return ConfigError(problem, remedy, source.file, line, field)


def _words(detail: ErrorDetails, context: Mapping[str, Any]) -> tuple[str, str]:
    match detail["type"]:
        case "wrong":
            words = str(context["problem"]), str(context["remedy"])
        case "missing":
            words = "is missing", "add it"
        case "extra_forbidden":
            *above, key = (step for step in detail["loc"] if step != KEY)
            words = "is no setting here", nearest(str(key), known_keys(above))
        case "enum" | "literal_error" | "union_tag_invalid":
            words = _unknown_choice(detail["input"], context)
        case kind:
            words = _bad_value(kind, detail["input"], detail["msg"])
    return words


def _unknown_choice(given: object, context: Mapping[str, Any]) -> tuple[str, str]:
    allowed = context.get("expected") or context.get("expected_tags")
    shown = given.get("type") if isinstance(given, dict) else given
    return f"{shown!r} is not known", f"use one of {allowed}"


def _bad_value(kind: str, given: object, message: str) -> tuple[str, str]:
    if given is None:
        return "has no value", "write one, or remove the line"
    problem, remedy = REMEDIES.get(kind, (message.removeprefix("Input "), "correct the value"))
    shown = "" if isinstance(given, dict | list | tuple) or given == "" else f", not {given!r}"
    return problem + shown, remedy
