"""``hs.value``: what predictions are worth, and whether they became worth less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from homeostat.detectors.performance.cohorts import mature
from homeostat.detectors.value.contrast import Contrast, compare_value
from homeostat.detectors.value.measure import Value, measure_value
from homeostat.domain.predictions import Predictions, PredictionSpec
from homeostat.entrypoints.frames import Data
from homeostat.entrypoints.predictions import read_predictions
from homeostat.entrypoints.windows import check_length, check_moment


@dataclass(frozen=True, slots=True)
class ValueReport:
    """Business metrics of rows.

    Attributes
    ----------
    figures : tuple of Value
        Of all rows, each version and each segment, by window if asked for.
    changes : tuple of Contrast
        Against the reference, if there is one: one a metric, beside how often the model is right.
    problems : tuple of str
    """

    figures: tuple[Value, ...]
    changes: tuple[Contrast, ...] = ()
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        told = [f"{one.name}: {one.estimate.value:.4g}" for one in self.figures]
        return "\n".join([*told, *(change.text for change in self.changes), *self.problems])


def value(
    data: Data,
    spec: PredictionSpec,
    metrics: Mapping[str, str],
    *,
    reference: Data | None = None,
    every: timedelta | None = None,
    as_of: datetime | None = None,
) -> ValueReport:
    """Measure what predictions are worth, as ``business`` in homeostat.yaml does.

    Parameters
    ----------
    data : dataframe, mapping of columns or path
    spec : PredictionSpec
        With a maturity, only predictions of that age count.
    metrics : mapping of str to str
        Expressions by the name of the figure, over the columns, ``label``, ``prediction`` and
        ``score``: see docs/guide/business-metrics.md.
    reference : dataframe, mapping of columns or path, optional
        Rows to compare with: `changes` says so where value falls and accuracy rises.
    every : timedelta, optional
        Length of the windows; None: all rows are one.
    as_of : datetime, optional
        Leave out what came later.

    Raises
    ------
    ConfigError, DataError, NotFoundError
        If an option or an expression is wrong, or the data cannot be read.

    Examples
    --------
    >>> rows = {"amount": range(60), "score": [0.9, 0.2] * 30, "label": [1, 0] * 30}
    >>> metrics = {"caught": "amount if label == 1 and prediction == 1 else 0"}
    >>> print(value(rows, PredictionSpec(), metrics))
    caught: 14.5
    """
    if every is not None:
        check_length("every", every)
    check_moment("as_of", as_of)
    rows = _read(data, spec, as_of)
    changes: tuple[Contrast, ...] = ()
    if reference is not None:
        changes = compare_value(_read(reference, spec, as_of, "reference"), rows, metrics)
    return ValueReport(measure_value(rows, metrics, every), changes, rows.problems)


def _read(
    data: Data, spec: PredictionSpec, as_of: datetime | None, role: str = "data"
) -> Predictions:
    rows = read_predictions(data, replace(spec, features=()), role)
    return mature(rows, spec.maturity, as_of, matured=True).rows
