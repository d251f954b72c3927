"""Why labelled, scored rows differ from reference rows: all of a diagnosis but reading the data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import read_pair
from homeostat.detectors.faults.labels import find_label_fault, hide_labels, only_class
from homeostat.detectors.faults.scored import find_in_predictions
from homeostat.detectors.faults.telling import leave_out_clocks
from homeostat.diagnosis.conclude import conclude
from homeostat.diagnosis.config import DEFAULT, DiagnoseConfig
from homeostat.diagnosis.judge import judge, set_scene
from homeostat.diagnosis.known import is_selection, say_selection
from homeostat.diagnosis.suspects import say_open, settle
from homeostat.domain.explanation import Explanation
from homeostat.domain.predictions import Predictions

__all__ = ["DEFAULT", "DiagnoseConfig", "explain"]

Floats = NDArray[np.float64]


def explain(
    before: Predictions,
    now: Predictions,
    rng: np.random.Generator,
    config: DiagnoseConfig = DEFAULT,
    value: tuple[Floats, Floats] | None = None,
) -> Explanation:
    """Name the causes of a change, what they add to it, who carries it, and what to do.

    Parameters
    ----------
    before, now : Predictions
        Of the same task and classes; current labels may be missing in part or all. With timestamps
        rows of a day may have an effect in common, as large as days of the reference show; without
        them rows are taken as independent, which is among the caveats.
    rng : Generator
        The same seed gives the same result.
    config : DiagnoseConfig
    value : tuple of ndarray of float64, optional
        What each prediction was worth, before and now, NaN where not known.
    """
    one, two, clocks = leave_out_clocks(
        *read_pair(before.features, now.features),
        (before.timestamps, now.timestamps),
        config.faults,
    )
    columns = one, two
    found = find_in_predictions(before, now, columns, config.faults)
    label = find_label_fault(before, now, config.faults)
    said: tuple[str, ...] = ()
    if label is not None:
        found, now = (*found, label), hide_labels(now)
    elif is_selection(before, now) and only_class(before, now, config.faults) is not None:
        said, now = (say_selection(before, now),), hide_labels(now)
    scene = set_scene(before, now, columns, found)
    told = judge(scene, config, rng)
    settled = settle(scene, told, columns, config, rng)
    told = say_open(settled.told, settled.open)
    told = replace(told, caveats=(*told.caveats, *said, *clocks))
    return conclude(settled.scene, told, value, config, rng)
