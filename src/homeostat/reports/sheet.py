"""A report as sections of words, charts and tables: one HTML file, Markdown, or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

import orjson
from jinja2 import Environment, PackageLoader, StrictUndefined

from homeostat.domain.window import Window
from homeostat.reports.document import Table, escaped, markdown_table
from homeostat.reports.drawing import svg
from homeostat.reports.plot import Picture
from homeostat.reports.specification import specification
from homeostat.reports.wording import when

MOST_ROWS = 60
LONGEST_TEXT = 400
LARGEST = 1_000_000
"""Bytes of an HTML file that is still mailed and opened without thinking."""


@dataclass(frozen=True, slots=True)
class Section:
    """What is said about one thing; words come first, then charts, then tables."""

    title: str
    words: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """What is said about one model, or one version of it.

    ``level`` and ``verdict`` are its health; empty where a report judges nothing.
    """

    name: str
    sections: tuple[Section, ...]
    lead: tuple[str, ...] = ()
    level: str = ""
    verdict: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A report.

    Attributes
    ----------
    kind : str
        ``weekly``, ``monthly``, ``drift`` or ``card``.
    title : str
    window : Window
        The time that it is about.
    generated : datetime
    parts : tuple of Part
    problems : tuple of str
        What could not be read and is therefore missing.
    """

    kind: str
    title: str
    window: Window
    generated: datetime
    parts: tuple[Part, ...]
    problems: tuple[str, ...] = field(default=())

    @property
    def headline(self) -> str:
        """All models in one line, as for the subject of a mail."""
        if len(self.parts) == 1:
            only = self.parts[0]
            said = only.verdict or (only.lead[0] if only.lead else "")
            return ": ".join(filter(None, (only.name, said)))
        counts: dict[str, int] = {}
        for part in self.parts:
            counts[part.level] = counts.get(part.level, 0) + 1
        told = ", ".join(f"{count} {level}" for level, count in counts.items() if level)
        return f"{len(self.parts)} models" + (f": {told}" if told else "")


def listing(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], empty: str, note: str = ""
) -> Table:
    """Return a table of the first rows; what is left out is counted, and no rows are `empty`.

    Examples
    --------
    >>> listing("Incidents", ("when",), (), "No incidents").note
    'No incidents'
    """
    hidden = len(rows) - MOST_ROWS
    said = [note, f"{hidden} further rows are left out" if hidden > 0 else ""]
    kept = tuple(tuple(_cut(text) for text in row) for row in rows[:MOST_ROWS])
    return Table(title, tuple(header), kept, ". ".join(filter(None, said)) if rows else empty)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def together(sheets: Sequence[Sheet], title: str) -> Sheet:
    """Return several models' reports of one kind and time as one.

    Raises
    ------
    ValueError
        If there are none.
    """
    if not sheets:
        raise ValueError("there is no report to put together")
    first = sheets[0]
    parts = tuple(part for sheet in sheets for part in sheet.parts)
    problems = tuple(problem for sheet in sheets for problem in sheet.problems)
    return Sheet(first.kind, title, first.window, first.generated, parts, problems)


def to_html(sheet: Sheet) -> str:
    """Return one HTML file: no script, no network, every name shown as text.

    One of more than `LARGEST` bytes goes without the pictures of its last parts, and says so.
    """
    text = _html(sheet, len(sheet.parts))
    drawn = len(sheet.parts)
    while len(text.encode()) > LARGEST and drawn:
        drawn = drawn * 2 // 3
        text = _html(sheet, drawn)
    return text


def _html(sheet: Sheet, drawn: int) -> str:
    environment = Environment(
        loader=PackageLoader("homeostat.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"when": when, "svg": svg}
    template = environment.get_template("sheet.html")
    return template.render(sheet=sheet, drawn=drawn)


def to_markdown(sheet: Sheet) -> str:
    """Return the report as Markdown: words and tables; of a chart, what stands below it."""
    period = f"{when(sheet.window.start)} to {when(sheet.window.end)}"
    lines = [f"# {escaped(sheet.title)}", "", f"{period}, made {when(sheet.generated)}.", ""]
    lines += [f"- Missing: {escaped(problem)}" for problem in sheet.problems]
    lines += [""] if sheet.problems else []
    for part in sheet.parts:
        lines += [f"## {escaped(part.name)}", ""]
        lines += [f"**{escaped(part.verdict)}**", ""] if part.verdict else []
        lines += [*(f"- {escaped(word)}" for word in part.lead), ""]
        for section in part.sections:
            lines += [f"### {escaped(section.title)}", ""]
            lines += [line for word in section.words for line in (escaped(word), "")]
            for picture in section.pictures:
                lines += [f"*{escaped(picture.title)}*: {escaped(picture.caption)}", ""]
            for table in section.tables:
                lines += [f"#{line}" if line.startswith("### ") else line for line in
                          markdown_table(table)]  # fmt: skip
    return "\n".join(lines)


def to_json(sheet: Sheet) -> bytes:
    """Return the report as JSON; charts are Vega-Lite, and NaN becomes null."""
    return orjson.dumps(
        {
            "kind": sheet.kind,
            "title": sheet.title,
            "window": sheet.window,
            "generated": sheet.generated,
            "problems": sheet.problems,
            "models": [
                {
                    "name": part.name,
                    "level": part.level or None,
                    "verdict": part.verdict,
                    "lead": part.lead,
                    "sections": [
                        {
                            "title": section.title,
                            "words": section.words,
                            "charts": [specification(picture) for picture in section.pictures],
                            "tables": [asdict(table) for table in section.tables],
                        }
                        for section in part.sections
                    ],
                }
                for part in sheet.parts
            ],
        },
        option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z,
    )
