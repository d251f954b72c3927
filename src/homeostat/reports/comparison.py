"""A comparison as one self-contained HTML page, or as a part of one for notebooks."""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from homeostat.domain.comparison import ColumnComparison, Comparison
from homeostat.domain.model import ColumnKind
from homeostat.domain.verdict import Status
from homeostat.profiles.profile import ColumnProfile, Profile
from homeostat.reports.overlay import BASE, HEIGHT, WIDTH, Bar, Curves, bars, curves
from homeostat.reports.wording import chance, number

MOST_FIGURES = 40
MOST_LINES = 1000
MOST_SENTENCES = 200
WORDS = {
    Status.DRIFT: "drift",
    Status.OK: "ok",
    Status.INCONCLUSIVE: "inconclusive",
    Status.NO_DATA: "no data",
    Status.ERROR: "cannot compare",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One column drawn: curves or bars."""

    column: ColumnComparison
    n_reference: int
    n_current: int
    curves: Curves | None
    bars: tuple[Bar, ...]


def summarise(comparison: Comparison, most: int = 5) -> str:
    """Return the outcome in one or two sentences.

    Examples
    --------
    >>> summarise(Comparison((), 100, 50))
    'No column could be compared.'
    """
    judged = [c for c in comparison.columns if c.verdict in {Status.OK, Status.DRIFT}]
    drifted = comparison.drifted
    if not judged:
        said = "No column could be compared."
    elif not drifted:
        one = len(judged) == 1
        said = "The one column did not drift." if one else f"None of {len(judged)} columns drifted."
    else:
        named = ", ".join(c.name for c in comparison.ranked[: min(most, len(drifted))])
        more = f" and {len(drifted) - most} more" if len(drifted) > most else ""
        said = f"{len(drifted)} of {len(judged)} columns drifted: {named}{more}."
    if comparison.dataset_drift:
        said += " That is enough to call it a drift of the data set."
    if comparison.pairs:
        count = len(comparison.pairs)
        words = "pair of numbers goes" if count == 1 else "pairs of numbers go"
        said += f" {count} {words} together otherwise."
    broken = len(comparison.findings)
    if broken:
        said += f" {broken} finding{'' if broken == 1 else 's'} on data quality."
    return said


def render_comparison(
    comparison: Comparison,
    reference: Profile,
    current: Profile,
    title: str,
    *,
    fragment: bool = False,
) -> str:
    """Return HTML: no script, no network; every name and value is shown as text.

    Parameters
    ----------
    comparison : Comparison
    reference, current : Profile
        What it was made from; drifted columns are drawn from them.
    title : str
    fragment : bool
        Leave out what makes it a page of its own.
    """
    environment = Environment(
        loader=PackageLoader("homeostat.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"number": number, "chance": chance, "words": WORDS.__getitem__}
    ranked = comparison.ranked
    drifted = [column for column in ranked if column.verdict is Status.DRIFT]
    figures = [
        _figure(column, reference.columns[column.name], current.columns[column.name])
        for column in drifted[:MOST_FIGURES]
        if column.name in reference.columns and column.name in current.columns
    ]
    return environment.get_template("comparison.html").render(
        title=title,
        fragment=fragment,
        comparison=comparison,
        summary=summarise(comparison),
        columns=ranked[:MOST_LINES],
        hidden=max(0, len(ranked) - MOST_LINES),
        figures=figures,
        undrawn=max(0, len(drifted) - MOST_FIGURES),
        findings=comparison.findings[:MOST_SENTENCES],
        assumptions=comparison.assumptions[:MOST_SENTENCES],
        width=WIDTH,
        height=HEIGHT,
        base=BASE,
    )


def _figure(column: ColumnComparison, before: ColumnProfile, after: ColumnProfile) -> Figure:
    numeric = before.kind is ColumnKind.NUMERIC
    return Figure(
        column,
        before.present,
        after.present,
        curves(before, after) if numeric else None,
        () if numeric else bars(before, after),
    )
