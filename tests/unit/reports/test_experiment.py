"""The page of an experiment: what cannot be drawn, and names that are hostile."""

import math
from datetime import UTC, datetime

import pytest

from homeostat.reports.experiment import (
    MOST_REACH,
    WIDTH,
    ExperimentPage,
    FigureLine,
    bar,
    percent,
    reach,
    to_html,
    to_markdown,
)

NOW = datetime(2024, 3, 1, tzinfo=UTC)
HOSTILE = "<script>x</script>|`y`"
SAFE = FigureLine("v8", HOSTILE, "guardrail", "10 ms", "11 ms", "safe", 0.1, -0.2, 0.25, 0.3)
UNKNOWN = FigureLine("v8", "paid", "success", "—", "—", "no data yet", *(math.nan,) * 3)
OPEN = FigureLine("v8", "rare", "success", "0 %", "1 %", "better", 2.0, -0.5, math.inf)


def page(*figures: FigureLine) -> ExperimentPage:
    log = ((NOW, HOSTILE, "start experiment", HOSTILE),)
    facts = (("split", "as planned"),)
    return ExperimentPage(HOSTILE, HOSTILE, "wait", facts, (HOSTILE,), figures, (SAFE,), log, NOW)


def test_names_are_text() -> None:
    html, markdown = to_html(page(SAFE, UNKNOWN, OPEN)), to_markdown(page(SAFE, UNKNOWN, OPEN))
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "<script" not in markdown
    assert "\\|\\`y\\`" in markdown
    assert html.count("<svg") == 3  # nothing is drawn of what is not known


def test_a_page_without_figures_has_no_table_of_them() -> None:
    bare = ExperimentPage("x", "y", "z", (), (), (), (), (), NOW)
    assert "Everybody" not in to_html(bare)
    assert "Everybody" not in to_markdown(bare)


def test_intervals_are_drawn_on_one_scale() -> None:
    assert reach([SAFE, UNKNOWN]) == 0.3
    assert reach([OPEN, FigureLine("v", "x", "r", "", "", "", 3.0, -4.0, 9.0)]) == MOST_REACH
    drawn = bar(OPEN, 1.0)
    assert drawn is not None
    assert (drawn.left, drawn.right, drawn.at) == (WIDTH / 4, WIDTH, WIDTH)
    guarded = bar(SAFE, 0.5)
    assert guarded is not None
    assert guarded.limit == pytest.approx(WIDTH * 0.8)
    assert bar(UNKNOWN, 1.0) is None
    assert percent(math.nan) == "unknown"
