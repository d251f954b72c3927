"""What results look like in a notebook: a table and its pictures, light or dark as the page is."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

MOST_ROWS = 20
LONGEST = 200

STYLE = """\
.homeostat-shown { color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif; }
.homeostat-shown { --ink: #1b1f24; --soft: #57606a; --ground: #fff; --line: #d5dae0; }
@media (prefers-color-scheme: dark) {
.homeostat-shown { --ink: #e6e9ed; --soft: #9aa5b1; --ground: #14181d; --line: #343b44; } }
[data-jp-theme-light="true"] .homeostat-shown {
--ink: #1b1f24; --soft: #57606a; --ground: #fff; --line: #d5dae0; }
[data-jp-theme-light="false"] .homeostat-shown {
--ink: #e6e9ed; --soft: #9aa5b1; --ground: #14181d; --line: #343b44; }
.homeostat-shown { color: var(--ink); background: var(--ground); padding: .5rem; }
.homeostat-shown .soft { color: var(--soft); }
.homeostat-shown .scroll { overflow-x: auto; }
.homeostat-shown table { border-collapse: collapse; background: none; font-size: .9em; }
.homeostat-shown th, .homeostat-shown td { text-align: left; vertical-align: top;
padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); color: inherit;
background: none; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.homeostat-shown th { color: var(--soft); }
.homeostat-shown figure { margin: .5rem 0; max-width: 40rem; }"""


def fragment(
    lead: str,
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    total: int,
    notes: Sequence[str] = (),
    pictures: Sequence[str] = (),
) -> str:
    """Return a part of a page; every text is shown as text.

    Parameters
    ----------
    lead : str
        What it is, in a sentence.
    titles, rows
        The table; the first `MOST_ROWS` rows of it are shown.
    total : int
        How many rows there are.
    notes : sequence of str
        Sentences below the table.
    pictures : sequence of str
        SVG, put in as it is.

    Examples
    --------
    >>> shown = fragment("one row", ["name"], [["<script>"]], 1)
    >>> "&lt;script&gt;" in shown, "<script>" in shown
    (True, False)
    """
    heads = "".join(f'<th scope="col">{_cell(title)}</th>' for title in titles)
    shown = rows[:MOST_ROWS]
    body = "".join(f"<tr>{''.join(f'<td>{_cell(c)}</td>' for c in row)}</tr>" for row in shown)
    hidden = total - len(shown)
    more = [f"{hidden:,} further rows are not shown."] if hidden else []
    said = "".join(f'<p class="soft">{_cell(text)}</p>' for text in [*more, *notes])
    drawn = "".join(f"<figure>{picture}</figure>" for picture in pictures)
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
    return (
        f'<div class="homeostat-shown"><style>{STYLE}</style><p>{_cell(lead)}</p>'
        f'<div class="scroll">{table}</div>{said}{drawn}</div>'
    )


def _cell(text: str) -> str:
    cut = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return f"<bdi>{escape(cut)}</bdi>"
