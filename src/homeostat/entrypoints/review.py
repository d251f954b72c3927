"""``hs.review_queue``: which predictions a person should label next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.detectors.estimation.features import fit_binning, read_features
from homeostat.detectors.review.queue import (
    DRIFT,
    UNCERTAINTY,
    VALUE,
    Aspect,
    ReviewQueue,
    aspects,
    draw,
)
from homeostat.domain.columns import float_array
from homeostat.domain.errors import ConfigError, DataError
from homeostat.domain.model import Task
from homeostat.domain.predictions import Predictions, PredictionSpec
from homeostat.domain.repeats import drop_repeats
from homeostat.entrypoints.frames import Data
from homeostat.entrypoints.predictions import read_predictions
from homeostat.entrypoints.seeds import generator
from homeostat.entrypoints.windows import at_least_one, check_spec
from homeostat.stats.density_ratio import density_ratio
from homeostat.stats.encoding import Table

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

ENOUGH_LABELLED = 100
MOST_LEARNED = 20_000
"""Rows of each side from which it is learned which rows are unlike the labelled ones."""

_ROW = "\0row"


def review_queue(
    data: Data,
    spec: PredictionSpec,
    size: int,
    *,
    seed: int,
    by: Sequence[Literal["uncertainty", "drift", "value"]] = ("uncertainty",),
    value: str = "",
    floor: float = 0.1,
) -> ReviewQueue:
    """Draw predictions for a person to label, so that few labels tell much, without a bias.

    Rows without a label have a chance to be drawn that grows with what their label tells and is
    never 0; weighing by one over it (``ReviewQueue.weights``) makes `homeostat.evaluate` unbiased
    for all rows, those whose label was known included.

    Parameters
    ----------
    data : dataframe, mapping of columns or path
    spec : PredictionSpec
    size : int
        Predictions to draw: at least 1.
    seed : int
        The same seed draws the same rows.
    by : sequence of str
        ``"uncertainty"``: where the loss is hardest to foresee by the score, near the threshold
        above all. ``"drift"``: kinds of rows that are rare among the labelled ones. ``"value"``:
        amounts times uncertainty. Several count alike.
    value : str
        Column of the amounts.
    floor : float
        Share that is spread evenly, in (0, 1]: it finds what scores are wrong about.

    Raises
    ------
    ConfigError, DataError, NotFoundError
        If an option is wrong or the data cannot be read.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> score = rng.beta(0.3, 3.0, 20_000)
    >>> truth = rng.random(20_000) < score
    >>> rows = {"score": score, "label": np.full(20_000, None)}
    >>> spec = PredictionSpec("binary")
    >>> queue = review_queue(rows, spec, 500, seed=7)
    >>> queue.reasons[0]
    'score 0.5 leaves the outcome open (threshold 0.5)'
    >>> from homeostat.entrypoints.evaluate import evaluate
    >>> rows["label"][queue.rows] = truth[queue.rows]  # what a person says
    >>> rows["weight"] = queue.weights
    >>> found = evaluate(rows, replace(spec, weight="weight"))["accuracy"]
    >>> bool(found.lower < ((score >= 0.5) == truth).mean() < found.upper)
    True
    """
    check_spec(spec)
    asked = _checked(size, by, value, floor)
    whole = read_predictions(data, replace(spec, prediction_id="", features=()))
    _check_columns(whole, spec)
    return _drawn(whole, spec, size, (asked, value), floor, generator(seed))


def _drawn(
    whole: Predictions,
    spec: PredictionSpec,
    size: int,
    asked: tuple[tuple[str, ...], str],
    floor: float,
    rng: np.random.Generator,
) -> ReviewQueue:
    rows, places, problems = _once(whole, spec)
    open_rows = _open(rows, problems)
    candidates = rows.take(open_rows)
    views = _views(rows, candidates, spec, asked, rng, problems)
    own = np.ones(len(rows)) if rows.weights is None else rows.weights
    drawn, priority, chances, reasons = draw(views, own[open_rows], size, floor, rng)
    numbers, weights = places[open_rows][drawn], np.zeros(len(whole))
    weights[places[rows.known]] = own[rows.known]
    weights[numbers] = own[open_rows][drawn] / chances
    found = (numbers, _ids(candidates, drawn), priority, chances, reasons, weights)
    return ReviewQueue(*found, len(candidates), tuple(problems))


def _open(rows: Predictions, problems: list[str]) -> NDArray[np.bool_]:
    found = ~rows.known & ~_unscored(rows)
    unscored = int(np.count_nonzero(~rows.known & ~found))
    if unscored:
        problems.append(f"{unscored:,} rows without label have no score either: not in the queue")
    return found


def _views(
    rows: Predictions,
    candidates: Predictions,
    spec: PredictionSpec,
    asked: tuple[tuple[str, ...], str],
    rng: np.random.Generator,
    problems: list[str],
) -> Mapping[str, Aspect]:
    by, value = asked
    unlike = _unlike(rows, candidates, spec, rng, problems) if DRIFT in by else None
    amounts = _amounts(candidates, value, problems) if value else None
    views = aspects(candidates, by, unlike, amounts)
    if UNCERTAINTY in by and UNCERTAINTY not in views and len(candidates):
        problems.append("there are no probabilities to tell how uncertain rows are")
    return views


def _checked(size: int, by: Sequence[str], value: str, floor: float) -> tuple[str, ...]:
    at_least_one("size", size)
    if not 0.0 < floor <= 1.0:
        raise ConfigError(f"floor is {floor}", "give a share above 0, at most 1")
    asked = (by,) if isinstance(by, str) else tuple(by)
    known = (UNCERTAINTY, DRIFT, VALUE)
    for name in asked:
        if name not in known:
            raise ConfigError(f"by names {name!r}", f"choose from {', '.join(known)}")
    if (VALUE in asked) != bool(value):
        raise ConfigError(
            "the amounts at stake need a column, and a column of amounts by='value'",
            "give both or neither",
        )
    return asked


def _check_columns(whole: Predictions, spec: PredictionSpec) -> None:
    there = whole.features.column_names
    wanted = [name for name in (spec.prediction_id, *spec.features) if name and name not in there]
    lacking = [name for name in wanted if name not in spec.used or name == spec.prediction_id]
    if lacking:
        raise DataError(f"data have no column {lacking[0]!r}; there are {', '.join(there)}")


def _once(whole: Predictions, spec: PredictionSpec) -> tuple[Predictions, Places, list[str]]:
    """Return each prediction once, its row number in the data, and what was wrong."""
    places = np.arange(len(whole), dtype=np.intp)
    problems = list(whole.problems)
    if not spec.prediction_id:
        return whole, places, problems
    numbered = whole.features.append_column(_ROW, pa.array(places))
    ids = whole.features.column(spec.prediction_id).cast(pa.string()).combine_chunks()
    named = pa.chunked_array([cast("pa.StringArray", ids)])
    kept, repeats = drop_repeats(replace(whole, features=numbered, ids=named))
    return kept, kept.features.column(_ROW).to_numpy().astype(np.intp), problems + list(repeats)


def _unscored(rows: Predictions) -> NDArray[np.bool_]:
    """Return rows that cannot be judged even with a label, as `evaluate` leaves them out."""
    missing = np.isnan(rows.predictions)
    if rows.task is Task.REGRESSION:
        return missing
    scores = rows.scores if rows.scores.ndim == 2 else rows.scores[:, None]
    broken: NDArray[np.bool_] = np.asarray(np.isnan(scores).any(axis=1))
    return missing if broken.all() else missing | broken


def _unlike(
    rows: Predictions,
    candidates: Predictions,
    spec: PredictionSpec,
    rng: np.random.Generator,
    problems: list[str],
) -> Floats | None:
    """Return how much commoner candidates of each kind are than among the labelled rows."""
    known = np.flatnonzero(rows.known)
    least = min(known.size, len(candidates))
    if least < ENOUGH_LABELLED:
        problems.append(
            f"{least:,} rows with or without label are too few to tell which are unlike those "
            f"with one: {ENOUGH_LABELLED} are needed"
        )
        return None
    left = {spec.prediction_id, _ROW}
    there = [n for n in rows.features.column_names if n not in left]
    names = [n for n in spec.features if n in there] or there
    labelled = rows.take(np.sort(rng.permutation(known)[:MOST_LEARNED])).features.select(names)
    asked = candidates.features.select(names)
    sizes = (len(labelled), len(asked))
    before, after, said = read_features(labelled, asked, sizes)
    problems += said
    together = Table(
        {name: np.append(one, after.numbers[name]) for name, one in before.numbers.items()},
        {name: np.append(one, after.categories[name]) for name, one in before.categories.items()},
    )
    binning = fit_binning(together, np.repeat([0.0, 1.0], sizes))
    return density_ratio(binning.codes(before), binning.codes(after), rng).current


def _amounts(candidates: Predictions, name: str, problems: list[str]) -> Floats:
    if name not in candidates.features.column_names:
        raise DataError(f"data have no column {name!r} of amounts")
    try:
        values = float_array(candidates.features.column(name).cast(pa.float64()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(f"column {name!r} of amounts holds something else than numbers") from None
    wrong = ~np.isfinite(values)
    if wrong.any():
        problems.append(f"{int(wrong.sum()):,} amounts are missing or infinite: taken as 0")
    return np.where(wrong, 0.0, values)


def _ids(candidates: Predictions, drawn: Places) -> tuple[str | None, ...]:
    if candidates.ids is None:
        return ()
    return tuple(candidates.ids.take(pa.array(drawn, pa.int64())).to_pylist())
