"""Known incidents: a CSV file that says when a model was really in trouble."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from homeostat.alerting.replay import Trouble
from homeostat.domain.errors import DataError, NotFoundError
from homeostat.entrypoints.settings.values import nearest

NEEDED, KIND = ("model", "start", "end"), "kind"
FOREVER = datetime.max.replace(tzinfo=UTC)
FORM = "write model,start,end and, if you like, kind in its first line"


def read_truth(path: Path, rules: Mapping[str, Sequence[str]]) -> tuple[Trouble, ...]:
    """Read known incidents.

    Parameters
    ----------
    path : Path
        CSV with the columns ``model``, ``start``, ``end`` and perhaps ``kind``: the alert rule that
        should tell. Times are ISO 8601, without a zone in UTC; a day as an end is its beginning,
        and no end at all is `FOREVER`.
    rules : mapping of model to its rules
        All models of the deployment.

    Raises
    ------
    NotFoundError
        If there is no such file.
    DataError
        If a column is absent, a model or rule unknown, a time unreadable or an end not after its
        start; the line is named.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError):
        raise NotFoundError(f"there is no file {path}") from None
    except (UnicodeDecodeError, PermissionError) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    try:
        return tuple(_troubles(csv.DictReader(text.splitlines(), strict=True), path, rules))
    except csv.Error as error:
        raise DataError(f"{path} is no CSV: {error}") from None


def _troubles(
    rows: csv.DictReader[str], path: Path, rules: Mapping[str, Sequence[str]]
) -> Iterator[Trouble]:
    titles = [title.strip() for title in rows.fieldnames or ()]
    rows.fieldnames = titles
    for name in NEEDED:
        if name not in titles:
            raise DataError(f"{path} has no column {name!r}; {FORM}")
    for row in rows:
        where = f"{path}:{rows.line_num}"
        if None in row or None in row.values():
            raise DataError(f"{where}: has not as many fields as the first line")
        cells = {name: text.strip() for name, text in row.items()}
        model, kind = cells["model"], cells.get(KIND, "")
        if model not in rules:
            raise DataError(f"{where}: no model is named {model!r}; {nearest(model, rules)}")
        if kind and kind not in rules[model]:
            remedy = nearest(kind, rules[model])
            raise DataError(f"{where}: no alert rule is named {kind!r}; {remedy}")
        start = _moment(cells["start"], where, "start")
        end = _moment(cells["end"], where, "end") if cells["end"] else FOREVER
        if end <= start:
            raise DataError(f"{where}: ends at {cells['end']}, not after {cells['start']}")
        yield Trouble(model, start, end, kind)


def _moment(text: str, where: str, name: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise DataError(
            f"{where}: {name} is {text!r}; write it like 2026-03-01T14:00 or 2026-03-01"
        ) from None
