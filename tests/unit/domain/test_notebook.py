"""Results as notebooks show them: tables in which names from data are text."""

from __future__ import annotations

from datetime import UTC, datetime

from homeostat.domain.estimation import NAN, Estimation, MetricEstimate, Standing, WindowEstimate
from homeostat.domain.evaluation import Evaluation, Figure
from homeostat.domain.model import Task
from homeostat.domain.notebook import LONGEST, MOST_ROWS, fragment

HOSTILE = "<script>alert(1)</script>"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_what_is_long_is_cut_and_said() -> None:
    shown = fragment("many", ["x"], [["y" * 1000]] * 50, 50, ["a note"], ["<svg></svg>"])
    assert shown.count("<tr><td>") == MOST_ROWS
    assert "30 further rows are not shown" in shown
    assert "y" * LONGEST not in shown
    assert "<figure><svg></svg></figure>" in shown
    assert "a note" in shown
    assert "further" not in fragment("one", ["x"], [["y"]], 1)


def test_both_themes_are_there() -> None:
    shown = fragment("one", ["x"], [["y"]], 1)
    assert "prefers-color-scheme: dark" in shown
    assert 'data-jp-theme-light="false"' in shown


def test_an_evaluation() -> None:
    figures = (
        Figure("auc", 0.9, 0.8, 0.95, 100, 0.5, "known", by="country", part=HOSTILE),
        Figure("f1", None, None, None, 0, 0.0, "known", problem="one class only"),
    )
    shown = Evaluation(Task.BINARY, figures, 200, 100, "known", problems=(HOSTILE,))._repr_html_()
    assert "<script" not in shown
    assert shown.index("not available: one class only") < shown.index("0.8 to 0.95")
    assert "labels of 50.0% known" in shown


def test_an_estimation() -> None:
    known = MetricEstimate("auc", Standing.ESTIMATED, 0.91, 0.88, 0.94, 500)
    unknown = MetricEstimate("f1", Standing.NOT_IDENTIFIABLE, NAN, NAN, NAN, 0, HOSTILE)
    windows = (
        WindowEstimate(0, 500, NOW, NOW, 500, (known,), 0.0, 0.0),
        WindowEstimate(500, 900, None, None, 0, (unknown,), 0.0, 0.0),
    )
    shown = Estimation(Task.BINARY, windows, {}, "by confidence", {})._repr_html_()
    assert "<script" not in shown
    assert "2026-01-01 00:00 to 2026-01-01 00:00" in shown
    assert "rows 501 to 900" in shown
    assert "0.88 to 0.94" in shown
    assert "not identifiable: &lt;script" in shown
