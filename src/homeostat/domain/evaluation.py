"""How good predictions were, in figures that say what they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

import pyarrow as pa

from homeostat.domain.errors import NotFoundError
from homeostat.domain.model import Task
from homeostat.domain.notebook import fragment
from homeostat.domain.text import lines
from homeostat.domain.window import Window
from homeostat.stats.calibration import Calibration

OVERALL = "overall"
WINDOW = "window"
VERSION = "version"
MATURED = "matured"
KNOWN = "known"
WEIGHTED = "weighted"

_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric of one set of rows.

    Attributes
    ----------
    metric : str
    value, lower, upper : float or None
        With the bounds of a 95 % interval; all None where it is not available.
    n : int
        Rows it rests on: of a precision, those that were predicted positive.
    coverage : float
        Share of the set's predictions whose label is known, in [0, 1].
    cohort : str
        ``"matured"``: only predictions old enough for their labels to be complete; ``"weighted"``:
        younger ones too, each known label counting for those of its kind still to come; or
        ``"known"``: all, as if the known labels were a sample.
    by, part : str
        Which set: ``"overall"``, or ``"window"``, ``"version"`` or a column, and its value.
    window : Window or None
        Times of a window's predictions.
    problem : str
        Why it is not available.
    effective : float
        How many equally weighted rows say as much as the set's labelled ones (Kish); 0: none.
    """

    metric: str
    value: float | None
    lower: float | None
    upper: float | None
    n: int
    coverage: float
    cohort: str
    by: str = OVERALL
    part: str = ""
    window: Window | None = None
    problem: str = ""
    effective: float = 0.0

    def __str__(self) -> str:
        where = "" if self.by == OVERALL else f" ({self.by} {self.part})"
        if self.value is None:
            return f"{self.metric}{where}: not available, {self.problem}"
        return (
            f"{self.metric}{where}: {self.value:.4g} [{self.lower:.4g}, {self.upper:.4g}], "
            f"n {self.n:,}, labels of {self.coverage:.0%}"
            f"{f', as good as {self.effective:,.0f}' if self.cohort == WEIGHTED else ''}"
        )

    def to_dict(self) -> dict[str, object]:
        """Return plain values."""
        found = asdict(self)
        window = self.window
        found["window"] = None if window is None else [f"{t:%FT%TZ}" for t in _ends(window)]
        return found


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Realized performance: overall, and by window, version and segment.

    Attributes
    ----------
    task : Task
    figures : tuple of Figure
    rows, labelled : int
        Predictions looked at, and how many of them have a label.
    cohort : str
    as_of : datetime or None
        What "now" was where the age of predictions mattered.
    classes : tuple of str
    confusion : tuple of tuple of float
        Rows, or their weight, by true (outer) and predicted class; empty for a regression.
    calibration : Calibration or None
        Of a binary model's probabilities, over all rows.
    problems : tuple of str
        What was wrong with rows and what was done about it, a sentence each.
    """

    task: Task
    figures: tuple[Figure, ...]
    rows: int
    labelled: int
    cohort: str
    as_of: datetime | None = None
    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[float, ...], ...] = ()
    calibration: Calibration | None = None
    problems: tuple[str, ...] = ()

    def __getitem__(self, metric: str) -> Figure:
        for figure in self.figures:
            if figure.metric == metric and figure.by == OVERALL:
                return figure
        names = ", ".join(dict.fromkeys(figure.metric for figure in self.figures))
        raise NotFoundError(f"no metric {metric!r} was evaluated; there are {names}")

    @property
    def coverage(self) -> float:
        """Share of the predictions whose label is known."""
        return self.labelled / self.rows if self.rows else 0.0

    def select(self, metric: str = "", by: str = "") -> tuple[Figure, ...]:
        """Return the figures of one metric, or of one way to part rows, or both, in order."""
        return tuple(
            figure
            for figure in self.figures
            if metric in {"", figure.metric} and by in {"", figure.by}
        )

    @property
    def table(self) -> pa.Table:
        """One row a figure, as an Arrow table."""
        rows = [
            {
                "by": figure.by,
                "part": figure.part,
                "start": None if figure.window is None else figure.window.start,
                "end": None if figure.window is None else figure.window.end,
                "metric": figure.metric,
                "value": figure.value,
                "lower": figure.lower,
                "upper": figure.upper,
                "n": figure.n,
                "effective": figure.effective,
                "label_coverage": figure.coverage,
                "cohort": figure.cohort,
                "problem": figure.problem,
            }
            for figure in self.figures
        ]
        return pa.Table.from_pylist(rows, schema=pa.schema(_FIELDS))

    def to_dict(self) -> dict[str, object]:
        """Return plain values that JSON can hold."""
        return {
            "task": self.task.value,
            "rows": self.rows,
            "labelled": self.labelled,
            "label_coverage": self.coverage,
            "cohort": self.cohort,
            "as_of": None if self.as_of is None else self.as_of.isoformat(),
            "classes": list(self.classes),
            "confusion": [list(row) for row in self.confusion],
            "calibration": None if self.calibration is None else _calibration(self.calibration),
            "figures": [figure.to_dict() for figure in self.figures],
            "problems": list(self.problems),
        }

    def __str__(self) -> str:
        now = "" if self.as_of is None else f" as of {self.as_of:%Y-%m-%d %H:%M} UTC"
        head = (
            f"{self.rows:,} {'matured ' if self.cohort == MATURED else ''}predictions{now}, "
            f"labels of {self.coverage:.1%} known"
        )
        ordered = sorted(self.figures, key=lambda figure: figure.by != OVERALL)
        hidden = len(ordered) - _SHOWN
        more = [f"... and {hidden:,} more figures"] if hidden > 0 else []
        shown = [str(figure) for figure in ordered[:_SHOWN]]
        return lines([head, *shown, *more, *self.problems])

    def _repr_html_(self) -> str:
        rows = sorted(self.figures, key=lambda figure: figure.by != OVERALL)
        cells = [(f"{f.by} {f.part}".rstrip(), *_shown(f)) for f in rows]
        titles = ("of", "metric", "value", "95 % interval", "n", "labels of")
        lead = f"{self.task} model: {self.rows:,} predictions, labels of {self.coverage:.1%} known"
        return fragment(lead, titles, cells, len(cells), self.problems)


_FIELDS: list[pa.Field[pa.DataType]] = [
    *(pa.field(name, pa.string()) for name in ("by", "part")),
    *(pa.field(name, pa.timestamp("us", "UTC")) for name in ("start", "end")),
    pa.field("metric", pa.string()),
    *(pa.field(name, pa.float64()) for name in ("value", "lower", "upper")),
    pa.field("n", pa.int64()),
    pa.field("effective", pa.float64()),
    pa.field("label_coverage", pa.float64()),
    *(pa.field(name, pa.string()) for name in ("cohort", "problem")),
]


def _shown(figure: Figure) -> tuple[str, ...]:
    rests_on = f"{figure.n:,}", f"{figure.coverage:.0%}"
    if figure.value is None:
        return figure.metric, "—", f"not available: {figure.problem}", *rests_on
    ends = f"{figure.lower:.4g} to {figure.upper:.4g}"
    return figure.metric, f"{figure.value:.4g}", ends, *rests_on


def _ends(window: Window) -> tuple[datetime, datetime]:
    return window.start, window.end


def _calibration(found: Calibration) -> Mapping[str, object]:
    plain = asdict(found)
    for name in ("ece_debiased", "rms_debiased", "intercept", "slope", "in_the_large"):
        figure = plain[name]
        if figure["problem"]:
            plain[name] = figure | {"value": None, "lower": None, "upper": None}
    plain["cells"] = list(plain["cells"])
    plain["ece"] = found.ece if found.cells else None
    return plain
