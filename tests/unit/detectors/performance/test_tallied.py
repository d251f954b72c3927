"""Tallies add up exactly, and tell what the rows tell."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from homeostat.detectors.performance import distributed, tallied
from homeostat.detectors.performance.cohorts import Cohort
from homeostat.detectors.performance.distributed import Asked, Cell, evaluate_tallied
from homeostat.detectors.performance.evaluation import Request, evaluate_predictions
from homeostat.detectors.performance.tallied import (
    Tally,
    from_bytes,
    merge_tallied,
    merge_tallies,
    tally,
    tally_rows,
    to_bytes,
)
from homeostat.domain.evaluation import WINDOW, Evaluation, Figure
from homeostat.domain.model import Task
from homeostat.domain.predictions import Predictions
from homeostat.domain.window import Window

Floats = NDArray[np.float64]
Kind = tuple[Task, int]
KINDS: dict[str, Kind] = {
    "binary": (Task.BINARY, 2),
    "rare": (Task.BINARY, 2),
    "classes only": (Task.BINARY, 2),
    "three": (Task.MULTICLASS, 3),
    "three without": (Task.MULTICLASS, 3),
    "numbers": (Task.REGRESSION, 0),
}
UNTOLD = {"macro_auc", "wape", "r2"}


def scored(name: str, count: int = 600) -> Predictions:
    task, classes = KINDS[name]
    rng = np.random.default_rng(5)
    table = pa.table({"x": np.arange(count)})
    names = tuple(map(str, range(classes)))
    if task is Task.REGRESSION:
        labels: Floats = np.asarray(rng.normal(size=count).round(1), np.float64)
        said = labels + rng.gamma(1.0, size=count).round(2)
        return Predictions(task, (), 0.5, said, said, labels, table)
    if task is Task.MULTICLASS:
        chances = np.asarray(rng.dirichlet(np.ones(3), count), np.float64)
        labels = np.array([float(rng.choice(3, p=row)) for row in chances])
        labels[::9] = np.nan
        said = chances.argmax(axis=1) * 1.0
        shown = np.empty((count, 0)) if name == "three without" else chances
        return Predictions(task, names, 0.5, shown, said, labels, table)
    scores = np.asarray(rng.random(count).round(2), np.float64)
    chance = scores * (0.05 if name == "rare" else 1.0)
    labels = np.asarray(rng.random(count) < chance, np.float64)
    labels[::7], scores[::11] = np.nan, np.nan
    said = np.asarray(np.where(np.isnan(scores), np.nan, scores >= 0.5), np.float64)
    if name == "classes only":
        said, scores = rng.integers(0, 2, count).astype(np.float64), np.full(count, np.nan)
    return Predictions(task, names, 0.5, scores, said, labels, table)


def cuts(rows: Predictions, parts: int) -> list[Predictions]:
    return [rows.take(np.arange(len(rows)) % parts == part) for part in range(parts)]


def figures(found: Sequence[Figure]) -> list[tuple[object, ...]]:
    return [
        (f.metric, f.n, f.coverage, f.by, f.part, f.problem, f.effective)
        for f in found
        if f.metric not in UNTOLD
    ]


def expect_alike(mine: Evaluation, theirs: Evaluation) -> None:
    assert figures(mine.figures) == figures(theirs.figures)
    assert (mine.confusion, mine.calibration) == (theirs.confusion, theirs.calibration)
    assert (mine.rows, mine.labelled, mine.problems) == (
        theirs.rows,
        theirs.labelled,
        theirs.problems,
    )
    for one, other in zip(mine.figures, theirs.figures, strict=True):
        if one.metric in UNTOLD:
            assert one.value is None
            continue
        for value, wanted in (
            (one.value, other.value),
            (one.lower, other.lower),
            (one.upper, other.upper),
        ):
            assert value == (None if wanted is None else pytest.approx(wanted, rel=1e-10))


@pytest.mark.parametrize("name", KINDS)
def test_figures_are_those_of_the_rows(name: str) -> None:
    rows = scored(name)
    values = np.array([[1.0, -2.0], [-5.0, 3.0]]) if len(rows.classes) == 2 else None
    request = Request(values=values, min_rows=5, quantile=0.8)
    asked = Asked(rows.task, rows.classes, "known")
    found = evaluate_tallied({Cell(): tally_rows(rows)}, (), asked, request)
    expect_alike(found, evaluate_predictions(Cohort(rows, "known"), request))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("parts", [2, 7])
def test_parts_add_up_to_the_same_bytes(name: str, parts: int) -> None:
    rows = scored(name)
    whole = tally_rows(rows, {"odd": 3})
    some = [tally_rows(part) for part in cuts(rows, parts)]
    again = [tally_rows(rows.take(np.empty(0, np.intp)), {"odd": 2}), *reversed(some)]
    again[-1] = replace(again[-1], notes={"odd": 1})
    assert to_bytes(merge_tallied(again)) == to_bytes(whole)
    assert from_bytes(to_bytes(whole)) == whole
    assert whole != some[0]
    assert whole != "something else"


@pytest.mark.parametrize("name", KINDS)
def test_no_rows_are_told_as_such(name: str) -> None:
    rows = scored(name).take(np.empty(0, np.intp))
    asked = Asked(rows.task, rows.classes, "known")
    found = evaluate_tallied({Cell(): tally_rows(rows)}, (), asked, Request())
    assert {figure.value for figure in found.figures} == {None}
    assert found.coverage == 0.0


def test_labels_that_are_all_zero_have_no_relative_error() -> None:
    zeros, said = np.zeros(40), np.linspace(1.0, 2.0, 40)
    rows = Predictions(Task.REGRESSION, (), 0.5, said, said, zeros, pa.table({"x": said}))
    asked = Asked(rows.task, (), "known")
    found = evaluate_tallied({Cell(): tally_rows(rows)}, (), asked, Request())
    assert found["mape"].problem == "every label is 0"


def test_parts_are_told_in_order_the_largest_first_to_be_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(distributed, "MOST_PARTS", 2)
    rows = scored("binary")
    start = datetime(2024, 1, 1, tzinfo=UTC)
    day = timedelta(days=1)
    cells = {Cell(): tally_rows(rows, {"scores are odd": 2})}
    for number in (2, 0, 1):
        window = Window(start + number * day, start + (number + 1) * day)
        part = rows.take(np.arange(len(rows)) < 200 + 100 * number)
        cells[Cell(WINDOW, str(window), window)] = tally_rows(part)
    no_score = replace(rows, scores=np.full(len(rows), np.nan))
    cells[Cell("land", "DE")] = tally_rows(no_score)
    asked = Asked(rows.task, rows.classes, "known")
    found = evaluate_tallied(cells, (WINDOW, "land"), asked, Request(("auc",)))
    parts = [(figure.by, figure.part[:10]) for figure in found.figures]
    assert parts == [
        ("overall", ""),
        (WINDOW, "2024-01-02"),
        (WINDOW, "2024-01-03"),
        ("land", "DE"),
    ]
    assert found.figures[-1].problem == "no labelled rows have a score and a weight above 0"
    assert found.problems[0] == "2 scores are odd"
    assert found.problems[-1].startswith("window has 3 parts")


numbers = st.lists(st.floats(allow_nan=False), max_size=30)


@given(numbers, numbers)
def test_a_tally_counts_each_number(one: list[float], other: list[float]) -> None:
    found = merge_tallies([tally(np.array(one)), tally(np.array(other))])
    whole = np.array(one + other) + 0.0
    values, counts = np.unique(whole, return_counts=True)
    assert found.values.tolist() == values.tolist()
    assert found.counts.tolist() == [counts.tolist()]


@given(st.lists(st.floats(0.0, 1.0), min_size=40, max_size=80, unique=True), st.integers(1, 79))
def test_of_too_many_numbers_the_last_bits_go_however_they_were_cut(
    values: list[float], cut: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tallied, "MOST", 20)
        array = np.array(values)
        whole = tally(array)
        parts = merge_tallies([tally(array[cut:]), tally(array[:cut])])
    assert whole.keys.size <= 20
    assert whole.counts.sum() == len(values)
    assert same(whole, parts)


def same(one: Tally, other: Tally) -> bool:
    return (
        one.shift == other.shift
        and one.keys.tolist() == other.keys.tolist()
        and one.counts.tolist() == other.counts.tolist()
    )


def test_numbers_put_together_stay_close_and_infinity_stays() -> None:
    rng = np.random.default_rng(3)
    values = rng.random(tallied.MOST + 70_000)
    found = tally(values)
    assert found.shift
    order = np.sort(values)
    told = np.repeat(found.values, found.counts[0])
    assert np.abs(told / order - 1.0).max() < 1.0 / 30_000
    assert Tally(52, tally(np.array([np.inf])).keys >> 52, found.counts[:, :1]).values[0] == np.inf


def test_other_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="no tally"):
        from_bytes(b"HSPF....")
