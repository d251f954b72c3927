"""``hs.diagnose``: why current rows differ from reference rows, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.detectors.performance.cohorts import hide_young_of
from homeostat.diagnosis.explain import DEFAULT, DiagnoseConfig, explain
from homeostat.domain.errors import DataError
from homeostat.domain.explanation import Explanation
from homeostat.domain.model import Task
from homeostat.domain.predictions import Predictions, PredictionSpec
from homeostat.entrypoints.frames import Data
from homeostat.entrypoints.predictions import read_predictions
from homeostat.entrypoints.seeds import generator
from homeostat.entrypoints.usable import usable
from homeostat.entrypoints.windows import check_spec

Floats = NDArray[np.float64]

Value: TypeAlias = "str | Mapping[str, float | str] | Mapping[tuple[str, str], float | str]"

_OUTCOMES = {"tn": (0, 0), "fp": (0, 1), "fn": (1, 0), "tp": (1, 1)}


def diagnose(
    reference: Data,
    current: Data,
    spec: PredictionSpec,
    *,
    value: Value | None = None,
    config: DiagnoseConfig = DEFAULT,
    seed: int = 0,
) -> Explanation:
    """Say why current rows differ from reference rows: which cause, how much, where, what to do.

    Parameters
    ----------
    reference, current : dataframe, mapping of columns or path
        Scored rows with labels, as for `homeostat.compare`. Reference rows are ones that the model
        was not trained on. Of current rows labels may be missing, in part or all; what cannot be
        told then is among the caveats. Without timestamps rows are taken as independent: give them,
        and a reference of some weeks, where current rows are those of a few days.
    spec : PredictionSpec
        Rows without weight are left out; others must count alike.
    value : str or mapping, optional
        What predictions are worth: a column, which then is no feature; or an amount, or a column
        of amounts, for each outcome: ``{"tp": "amount", "fp": -5.0}`` for two classes,
        ``{("red", "blue"): -5.0}`` by true and predicted class. Outcomes not named are worth 0.
    config : DiagnoseConfig
        How sure to be, and which changes matter.
    seed : int
        Deals rows into folds; the same seed gives the same result.

    Raises
    ------
    NotFoundError, DataError
        If the data cannot be read, or `value` names what is not there.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> def month(unit):
    ...     cents = rng.lognormal(3, 1, 2000)
    ...     score = 1 / (1 + np.exp(2 - cents / 20))
    ...     return {"amount": cents * unit, "score": score, "label": rng.random(2000) < score}
    >>> found = diagnose(month(1), month(0.01), PredictionSpec("binary"))
    >>> found.cause, found.retrain
    (<Cause.DATA_FAULT: 'data_fault'>, False)
    >>> found.advice
    'Mend amount upstream. Do not retrain on broken data.'
    """
    check_spec(spec)
    if isinstance(value, str) and value in spec.features:
        raise DataError(f"{value!r} is both a feature and the value: leave it out of the features")
    before, now = _sides(reference, current, spec)
    worth = None
    if value is not None:
        worth = _worth(before, value, "reference"), _worth(now, value, "current")
        if isinstance(value, str):
            before, now = (_without(rows, value) for rows in (before, now))
    return explain(before, now, generator(seed), config, worth)


def _sides(reference: Data, current: Data, spec: PredictionSpec) -> tuple[Predictions, Predictions]:
    before = read_predictions(reference, spec, "reference", labelled=True)
    known = replace(spec, classes=before.classes) if before.classes else spec
    now = read_predictions(current, known, "current")
    before, now = (
        usable(rows, role, "a diagnosis")
        for rows, role in ((before, "reference"), (now, "current"))
    )
    if spec.maturity is not None:
        before, now = hide_young_of(before, now, spec.maturity)
    return before, now


def _without(rows: Predictions, name: str) -> Predictions:
    return replace(rows, features=rows.features.drop_columns([name]))


def _worth(rows: Predictions, value: Value, role: str) -> Floats:
    if isinstance(value, str):
        return _amounts(rows, value, role)
    if rows.task is Task.REGRESSION:
        raise DataError("a regression has no outcomes: give the column of values")
    found = np.zeros(len(rows))
    for outcome, amount in value.items():
        true, said = _places(outcome, rows.classes)
        hit = (rows.labels == true) & (rows.predictions == said)
        found[hit] = _amounts(rows, amount, role)[hit] if isinstance(amount, str) else amount
    return np.where(rows.known, found, np.nan)


def _places(outcome: str | tuple[str, str], classes: tuple[str, ...]) -> tuple[int, int]:
    if isinstance(outcome, str):
        if outcome in _OUTCOMES and len(classes) == 2:
            return _OUTCOMES[outcome]
        raise DataError(f"there is no outcome {outcome!r}: of two classes give tp, fp, fn, tn")
    if set(outcome) <= set(classes) and len(outcome) == 2:
        return classes.index(outcome[0]), classes.index(outcome[1])
    raise DataError(f"no outcome {outcome!r}: give two of the classes {', '.join(classes)}")


def _amounts(rows: Predictions, name: str, role: str) -> Floats:
    if name not in rows.features.column_names:
        raise DataError(f"{role} has no column {name!r} of values among its features")
    try:
        column = rows.features[name].cast(pa.float64())
    except pa.ArrowException as error:
        raise DataError(f"{role}, column {name!r}: values must be numbers") from error
    return np.asarray(column.to_numpy(), dtype=np.float64)
