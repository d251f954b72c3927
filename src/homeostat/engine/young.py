"""Young rows as training rows: each label on its way counts as what it will probably be.

Labels of one class may come sooner than those of another, so that the early ones say too much of
the first. Leaving rows out until they are mature is safe and slow. Here a young row without a label
is there once for every class, each weighing the probability of that class given that the label has
not come: what a version makes of the row, times the share of that class's labels that take longer,
by Bayes. This is a step of the EM algorithm of Chapelle, "Modeling delayed feedback in display
advertising" (KDD 2014), with delays as they were seen (`homeostat.detectors.performance.delay`) in
place of exponential ones. A label that has come is what it is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.detectors.performance.arrival import Learned, as_seen
from homeostat.domain.columns import micros
from homeostat.domain.effect import StartTraining
from homeostat.domain.logged import logged_predictions
from homeostat.domain.model import ModelSpec
from homeostat.domain.predictions import to_micros
from homeostat.retraining.rows import WEIGHT

Floats = NDArray[np.float64]
Score = Callable[[ModelSpec, str, pa.Table], Floats]
ENOUGH_MATURE = 500
"""Rows with complete labels, and `ENOUGH_OF_CLASS` of each class, to learn delays from."""
ENOUGH_OF_CLASS = 30


def with_young(score: Score, spec: ModelSpec, request: StartTraining, rows: pa.Table) -> pa.Table:
    """Return labelled rows, and young ones by what they will probably be, with weights.

    Parameters
    ----------
    score : callable
        Scores rows with a version: ``score(spec, version, rows)``.
    spec : ModelSpec
        Of a binary model.
    request : StartTraining
        ``guide`` scores the rows that wait; ``kinds`` decide how long a label takes.
    rows : pyarrow.Table
        Answered rows, with ``label`` and ``arrival`` as known at ``as_of``, and the columns of
        `homeostat.domain.logged.LOGGED`.

    Returns
    -------
    pyarrow.Table
        By time. Where too few labels are complete to learn delays from, the mature rows.
    """
    now = to_micros(request.as_of)
    age = now - micros(rows, "timestamp")
    young = age < spec.labels.maturity.total_seconds() * 1e6
    known = np.asarray(rows["label"].is_valid().to_numpy(), np.bool_)
    seen = logged_predictions(spec, rows)
    learned = as_seen(seen, now, spec.labels.maturity, request.kinds)
    few = learned.delays.labels.min(initial=ENOUGH_OF_CLASS) < ENOUGH_OF_CLASS
    if few or learned.delays.matured < ENOUGH_MATURE:
        return rows.filter(pa.array(known & ~young))
    waits = np.flatnonzero(young & ~known)
    chances = score(spec, request.guide, rows.take(waits))
    usable = (chances >= 0.0) & (chances <= 1.0)
    waits, chances = waits[usable], chances[usable]
    late = _probable(learned, waits, chances)
    sure = np.flatnonzero(known)
    parts = [
        (sure, np.asarray(rows["label"].to_numpy()[sure], np.float64), np.ones(sure.size)),
        *((waits, np.full(waits.size, float(label)), late[label]) for label in (0, 1)),
    ]
    places, labels, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    counted = np.flatnonzero(weights > 0.0)
    counted = counted[np.argsort(places[counted], kind="stable")]
    found = rows.take(places[counted])
    at = found.schema.get_field_index("label")
    found = found.set_column(at, found.schema.field(at), pa.array(labels[counted], pa.float64()))
    return found.append_column(WEIGHT, pa.array(weights[counted], pa.float64()))


def _probable(learned: Learned, waits: NDArray[np.intp], chances: Floats) -> Floats:
    """Return how probable each class is for rows without a label, shape (2, m).

    What is lacking to 1 is the chance that no label ever comes.
    """
    place = np.searchsorted(learned.present, waits)
    seen, delays = learned.rows.take(place), learned.delays
    come = delays.known_by(seen.strata, delays.reached(seen.ages), np.array([0]))[0]
    never = delays.never[0, seen.strata]
    mass = np.stack([1.0 - chances, chances]) * (1.0 - come) * (1.0 - never)
    whole = mass.sum(axis=0) + never
    return np.asarray(np.divide(mass, whole, out=np.zeros(mass.shape), where=whole > 0.0))
