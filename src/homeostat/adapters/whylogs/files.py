"""whylogs files, written and read with whylogs itself.

whylogs 1.6 logs data only with NumPy 1, so it belongs into an environment of its own.
"""

from __future__ import annotations

import importlib
import os
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from homeostat.adapters.profiles.files import write_file
from homeostat.adapters.whylogs.summary import ColumnSummary, Points, column_of, summary_of
from homeostat.domain.errors import DataError, NotFoundError, UserError
from homeostat.profiles.profile import Profile

_LEVELS = 4096  # quantiles read from a KLL sketch, several times as many as it holds
_TYPES = ("integral", "fractional", "boolean", "string", "object", "tensor")


def export_whylogs(profile: Profile, path: Path, *, at: datetime) -> None:
    """Write a profile as a whylogs file.

    Kept: rows, null, NaN, infinite, types, extremes, mean, standard deviation, quantiles (as good
    as whylogs' KLL sketch), frequent items, and of categories the number of distinct ones.

    Parameters
    ----------
    profile : Profile
    path : Path
    at : datetime
        With time zone: the time that whylogs shows for the data.

    Raises
    ------
    UserError
        If whylogs is not installed, or the file cannot be written.
    """
    core = _whylogs()
    columns = {name: _view(summary_of(column)) for name, column in profile.columns.items()}
    view = core.DatasetProfileView(columns=columns, dataset_timestamp=at, creation_timestamp=at)
    write_file(view.serialize(), path)


def import_whylogs(path: Path) -> Profile:
    """Read a whylogs file as a profile.

    Histograms are approximate: they come from the quantiles of whylogs' KLL sketch. A column of
    numbers is numeric, one of booleans boolean, any other categorical.

    Raises
    ------
    UserError
        If whylogs is not installed.
    NotFoundError, DataError
        If there is no such file, or it is not one of whylogs.
    """
    core = _whylogs()
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {path}; check the path") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        views = core.DatasetProfileView.deserialize(data).get_columns()
        summaries = {name: _summary(view) for name, view in views.items()}
    except Exception as error:  # a damaged file makes whylogs raise whatever it happens to
        raise DataError(f"{path} is not a whylogs profile: {error}") from error
    columns = {}
    for name, summary in summaries.items():
        try:
            columns[name] = column_of(summary)
        except ValueError as error:
            raise DataError(f"{path}: column {name!r} cannot be used: {error}") from error
    return Profile(max((column.count for column in columns.values()), default=0), columns)


def _whylogs() -> ModuleType:
    # whylogs reports to its maker on import unless told not to.
    os.environ.setdefault("WHYLOGS_NO_ANALYTICS", "True")
    try:
        return importlib.import_module("whylogs.core")
    except ImportError as error:
        raise UserError(
            "whylogs is not installed; pip install 'homeostat[whylogs]' into an environment of "
            "its own, because whylogs does not run with NumPy 2"
        ) from error


def _view(summary: ColumnSummary) -> Any:  # noqa: ANN401 - whylogs has no types
    """Return whylogs' view of a column."""
    sketches = importlib.import_module("whylogs_sketching")
    metrics = importlib.import_module("whylogs.core.metrics.metrics")
    counters = importlib.import_module("whylogs.core.metrics.column_metrics")
    parts = importlib.import_module("whylogs.core.metrics.metric_components")
    views = importlib.import_module("whylogs.core.view.column_profile_view")
    whole = parts.IntegralComponent
    names = ("n", "null", "nan", "inf", "true")
    counts = {name: whole(getattr(summary, name)) for name in names}
    types = {name: whole(summary.types.get(name, 0)) for name in _TYPES}
    found = {
        "counts": counters.ColumnCountsMetric(**counts),
        "types": counters.TypeCountersMetric(**types),
        "distribution": metrics.DistributionMetric(
            kll=parts.KllComponent(_kll(sketches, summary.points)),
            mean=parts.FractionalComponent(summary.mean),
            m2=parts.FractionalComponent(summary.squares),
        ),
    }
    if summary.cardinality:
        hll = sketches.hll_sketch.deserialize(summary.cardinality)
        found["cardinality"] = metrics.CardinalityMetric(hll=parts.HllComponent(hll))
    if summary.frequent:
        frequent = sketches.frequent_strings_sketch.deserialize(summary.frequent)
        component = parts.FrequentStringsComponent(frequent)
        found["frequent_items"] = metrics.FrequentItemsMetric(frequent_strings=component)
    return views.ColumnProfileView(found)


def _kll(sketches: ModuleType, points: Points) -> Any:  # noqa: ANN401 - as above
    """Feed weighted points bit by bit: a sketch merged with itself has each value twice."""
    sketch = sketches.kll_doubles_sketch(256)
    for bit in reversed(range(int(points.rows.max(initial=0)).bit_length())):
        sketch.merge(sketches.kll_doubles_sketch.deserialize(sketch.serialize()))
        sketch.update(points.values[points.rows >> bit & 1 == 1])
    return sketch


def _summary(view: Any) -> ColumnSummary:  # noqa: ANN401 - as above
    """Return what is in whylogs' view of a column."""
    counts, types = view.get_metric("counts"), view.get_metric("types")
    distribution = view.get_metric("distribution")
    cardinality, frequent = view.get_metric("cardinality"), view.get_metric("frequent_items")
    mean = distribution.mean.value if distribution else 0.0
    squares = distribution.m2.value if distribution else 0.0
    return ColumnSummary(
        n=counts.n.value,
        null=counts.null.value,
        nan=counts.nan.value,
        inf=counts.inf.value,
        true=counts.true.value,
        types={name: getattr(types, name).value for name in _TYPES},
        mean=float(mean),
        squares=float(squares),
        points=_quantiles(distribution.kll.value) if distribution else Points(),
        cardinality=cardinality.hll.value.serialize_updatable() if cardinality else b"",
        frequent=frequent.frequent_strings.value.serialize() if frequent else b"",
    )


def _quantiles(sketch: Any) -> Points:  # noqa: ANN401 - as above
    rows = int(sketch.get_n())
    if not rows:
        return Points()
    levels = min(rows, _LEVELS)
    upto = np.arange(levels + 1, dtype=np.int64) * rows // levels
    values = np.array(sketch.get_quantiles(((upto[1:] - 0.5) / rows).tolist()))
    # The extremes are kept exactly, but not by every quantile.
    values[0], values[-1] = sketch.get_min_value(), sketch.get_max_value()
    return Points(values, np.diff(upto))
