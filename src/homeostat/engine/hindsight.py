"""Scores matured rows afterwards, with a version that did not score them when they were asked.

Where labels take months, a challenger that is judged only on requests it shadowed would wait as
long for its first one. Rows from after its training are as new to it whenever it scores them, and
what matures today is equally old for both: the proof is the same, and sooner.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

import pyarrow as pa

from homeostat.domain.columns import answered, texts, where
from homeostat.domain.errors import HomeostatError
from homeostat.domain.model import ModelSpec
from homeostat.domain.window import Window
from homeostat.engine.cohort import Outcomes
from homeostat.engine.ports import PredictionLog, Registry, Scorer

ORDER: list[tuple[str, Literal["ascending", "descending"]]] = [
    ("timestamp", "ascending"),
    ("prediction_id", "ascending"),
    ("version", "ascending"),
]


def unseen(registry: Registry, model: str, version: str, start: datetime) -> str:
    """Return who can be judged for a version on rows from a time on, to which they must be new.

    The version itself, if its training ended before; else the one that the gate has judged in its
    place, which is the same training on fewer rows; else nobody: an empty string.

    Raises
    ------
    HomeostatError
        If the registry does not know it.
    """
    for name in filter(None, (version, registry.get(model, version).judged)):
        until = registry.get(model, name).trained_until
        if until is not None and until <= start:
            return name
    return ""


@dataclass(frozen=True, slots=True)
class Hindsight:
    """The ports that it needs."""

    log: PredictionLog
    scorer: Scorer
    registry: Registry

    def fill(
        self, spec: ModelSpec, rows: Outcomes, window: Window, versions: tuple[str, ...]
    ) -> Outcomes:
        """Return the outcomes with what these versions make of rows that they have not scored.

        For a version whose training is not known to have ended before the window the one scores
        that `unseen` names; without one, or if it cannot score, it has no evidence here.

        Parameters
        ----------
        spec : ModelSpec
        rows : Outcomes
            Newly matured rows. A run of Homeostat trains and gates on what had matured before it
            began, so these are new to its candidate.
        window : Window
            The time of the rows.
        versions : tuple of str
        """
        for version in versions:
            try:
                rows = self._filled(spec, rows, window, version)
            except HomeostatError:
                continue
        return rows

    def _filled(self, spec: ModelSpec, rows: Outcomes, window: Window, version: str) -> Outcomes:
        judge = unseen(self.registry, spec.name, version, window.start)
        if not judge:
            return rows
        scored = set(texts(where(rows.rows, "version", version), "prediction_id"))
        asked = answered(rows.rows)
        lacking = [key not in scored for key in texts(asked, "prediction_id")]
        if not any(lacking):
            return rows
        asked = asked.filter(pa.array(lacking))
        scores = self.scorer.score(spec, judge, self._features(spec, asked, window))
        count = asked.num_rows
        columns = dict(zip(asked.column_names, asked.columns, strict=True))
        columns["version"] = pa.chunked_array([pa.array([version] * count, pa.string())])
        columns["role"] = pa.chunked_array([pa.array(["shadow"] * count, pa.string())])
        columns["score"] = pa.chunked_array([pa.array(scores, pa.float64())])
        whole = pa.concat_tables([rows.rows, pa.table(columns).cast(rows.rows.schema)])
        return replace(rows, rows=whole.sort_by(ORDER))

    def _features(self, spec: ModelSpec, asked: pa.Table, window: Window) -> pa.Table:
        """Return the features of the rows, in their order, as they were logged."""
        columns = ["prediction_id", "role", *spec.schema.names]
        logged = answered(self.log.rows(spec, window, columns))
        places = {key: place for place, key in enumerate(texts(logged, "prediction_id"))}
        return logged.take(pa.array([places[key] for key in texts(asked, "prediction_id")]))
