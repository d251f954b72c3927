"""Realized performance of rows that are read elsewhere: files and windows of a prediction log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import pyarrow as pa

from homeostat.adapters.predlog.shares import logged_rows
from homeostat.adapters.profilers.engine import Engine
from homeostat.adapters.profilers.parts import Cell, Part
from homeostat.adapters.profilers.performance import Logged, Performance, cells_of
from homeostat.adapters.records.codec import to_micros
from homeostat.detectors.performance.distributed import Asked, evaluate_tallied
from homeostat.detectors.performance.distributed import Cell as Rows
from homeostat.detectors.performance.evaluation import Request
from homeostat.detectors.performance.tallied import tally_rows
from homeostat.domain.errors import ConfigError, DataError
from homeostat.domain.evaluation import KNOWN, MATURED, VERSION, WINDOW, Evaluation
from homeostat.domain.model import ColumnKind, Task
from homeostat.domain.predictions import Predictions, PredictionSpec
from homeostat.entrypoints.classes import MOST_CLASSES
from homeostat.entrypoints.logged import LogWindow
from homeostat.entrypoints.predictions import Reader
from homeostat.profiles.build import profile_table
from homeostat.profiles.profile import Profile

ELSEWHERE = "evaluate fewer rows with engine='local'"


@dataclass(frozen=True, slots=True)
class Scored:
    """Reads a table of files by a spec whose classes are named."""

    spec: PredictionSpec

    def __call__(self, table: pa.Table) -> Predictions:
        """Return the rows; raises DataError."""
        return Reader(self.spec, table, "data", labelled=False, unknown=False).scored()


@dataclass(frozen=True, slots=True)
class Classes:
    """Counts the texts of columns that hold classes, as work."""

    spec: PredictionSpec
    columns: tuple[str, ...]

    def cells(self, table: pa.Table) -> Iterator[tuple[Cell, Part]]:
        """Yield a profile of the texts."""
        reader = Reader(self.spec, table, "data", labelled=False, unknown=False)
        texts = pa.table({name: reader.texts(name) for name in self.columns})
        yield (0, "[]"), profile_table(texts, dict.fromkeys(self.columns, ColumnKind.CATEGORICAL))


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of the rows: when, and which of them."""

    cohort: str = MATURED
    as_of: datetime | None = None

    def asked(self, task: Task, classes: tuple[str, ...], maturity: timedelta | None) -> Asked:
        """Return it with what the rows are."""
        aged = self.cohort == MATURED and maturity is not None
        return Asked(task, classes, MATURED if aged else KNOWN, self.as_of)


def check_elsewhere(spec: PredictionSpec, window: timedelta | int | None, how: Question) -> None:
    """Refuse what no sum over rows can tell.

    Raises
    ------
    ConfigError
    """
    wrong = {
        "repeated ids need all rows of an id together": bool(spec.prediction_id),
        "weighted rows cannot be tallied": bool(spec.weight),
        "windows of so many rows need their order": isinstance(window, int),
        f"cohort {how.cohort!r} needs the rows themselves": how.cohort not in {MATURED, KNOWN},
        "the latest time in the data is not known beforehand: give as_of": (
            how.cohort == MATURED and spec.maturity is not None and how.as_of is None
        ),
    }
    for problem, is_so in wrong.items():
        if is_so:
            raise ConfigError(problem, ELSEWHERE)


def settled_spec(engine: Engine, location: str, spec: PredictionSpec) -> PredictionSpec:
    """Return the spec with its classes named: told from all rows if they are not.

    Raises
    ------
    DataError
        If there are too many of them, or they cannot be told apart.
    """
    if spec.task is Task.REGRESSION:
        return spec
    single = spec.score if isinstance(spec.score, str) else ""
    named = [spec.label, spec.prediction, single if spec.task is Task.MULTICLASS else ""]
    columns = tuple(dict.fromkeys(name for name in named if name))
    kinds = dict.fromkeys(columns, ColumnKind.CATEGORICAL)
    found = engine.files(location, kinds, Classes(spec, columns))
    values: dict[str, list[str]] = {name: [] for name in columns}
    for part in found.values():
        for name, column in cast("Profile", part).columns.items():
            if column.distinct > MOST_CLASSES or column.sketch is not None:
                raise DataError(f"{location}, column {name!r} has over {MOST_CLASSES} classes")
            values[name] = sorted(column.values)
    return replace(spec, classes=_classes_of(spec, values, location))


def evaluate_files(
    engine: Engine, location: str | Path, spec: PredictionSpec, request: Request, how: Question
) -> Evaluation:
    """Evaluate rows of files; see `homeostat.entrypoints.evaluate.evaluate`.

    Raises
    ------
    ConfigError
        If what is asked needs all rows in one place.
    NotFoundError, DataError, UserError
        If the data cannot be read or the engine not be used.
    """
    window = request.window
    assert not isinstance(window, int)
    columns = _columns(spec)
    maturity = spec.maturity if how.cohort == MATURED else None
    work = Performance(Scored(spec), window, maturity, how.as_of)
    found = engine.files(str(location), columns, work)
    by = [WINDOW, *([VERSION] if spec.version else ()), *spec.segments]
    asked = how.asked(Task(spec.task), spec.classes, spec.maturity)
    return _told(found, window, by, asked, request, no_rows(spec))


def evaluate_log(engine: Engine, asked: LogWindow, request: Request, how: Question) -> Evaluation:
    """Evaluate what a model answered in a window of a log; raises as `evaluate_files`.

    Only answers of models count, not those of fallbacks or shadows. ``as_of``: now, if not given.
    """
    window = request.window
    assert not isinstance(window, int)
    with asked.opened() as (log, spec, now):
        how = replace(how, as_of=how.as_of or now)
        assert how.as_of is not None
        read = Logged(spec, asked.version)
        rows = logged_rows(log, spec, asked.window, read.columns, as_of=to_micros(how.as_of))
        maturity = spec.labels.maturity if how.cohort == MATURED else None
        found = engine.logged(rows, Performance(read, window, maturity, how.as_of))
        by = [WINDOW, VERSION, *spec.segments]
        told = how.asked(spec.task, read.classes, spec.labels.maturity)
        return _told(found, window, by, told, request, read.nothing())


def _told(
    found: dict[Cell, Part],
    window: timedelta | None,
    by: list[str],
    asked: Asked,
    request: Request,
    nothing: Predictions,
) -> Evaluation:
    cells = cells_of(found, window)
    cells.setdefault(Rows(), tally_rows(nothing))
    return evaluate_tallied(cells, by, asked, request)


def no_rows(spec: PredictionSpec) -> Predictions:
    """Return no rows of a spec that names its classes."""
    return Scored(spec)(pa.table({name: pa.array([], pa.string()) for name in _columns(spec)}))


def _columns(spec: PredictionSpec) -> dict[str, ColumnKind]:
    """Return the columns that are read, and which of them hold numbers."""
    numbers = {
        spec.weight,
        *((spec.score,) if isinstance(spec.score, str) else spec.score.values()),
    }
    if spec.task is Task.REGRESSION:
        numbers |= {spec.label, spec.prediction}
    elif spec.task is Task.MULTICLASS and isinstance(spec.score, str):
        numbers.discard(spec.score)
    return {
        name: ColumnKind.NUMERIC if name in numbers else ColumnKind.CATEGORICAL
        for name in dict.fromkeys((*spec.used, *spec.segments))
    }


def _classes_of(
    spec: PredictionSpec, values: Mapping[str, Sequence[str]], role: str
) -> tuple[str, ...]:
    """Return the classes of rows whose columns hold these texts; raises DataError."""
    most = max(map(len, values.values()), default=0)
    padded = {name: [*texts, *[None] * (most - len(texts))] for name, texts in values.items()}
    columns = {name: pa.array(texts, pa.string()) for name, texts in padded.items()}
    return Reader(spec, pa.table(columns), role, labelled=True, unknown=False).classes()
