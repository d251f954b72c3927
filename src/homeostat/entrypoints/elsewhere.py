"""Models that are served elsewhere: what is normal is learnt from what they answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.adapters.models import ELSEWHERE, save_elsewhere
from homeostat.domain.answers import Answers
from homeostat.domain.errors import ArtifactError
from homeostat.domain.model import ModelSpec, ModelVersion
from homeostat.engine.adopt import adopt_scored
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Ports
from homeostat.entrypoints.settings import Model


def served_elsewhere(model: Model) -> bool:
    """Whether a model's answers are in its history, and it is not trained here."""
    return model.history.score is not None and model.retraining is None


def adopt_elsewhere(
    plan: ModelPlan,
    ports: Ports,
    rows: pa.Table,
    version: str,
    folder: Path,
    now: datetime,
    *,
    logged: bool = False,
) -> ModelVersion:
    """Take on the version that answered the rows; see `homeostat.engine.adopt.adopt_scored`.

    What stands for its artifact is written into `folder`, from where the registry takes it.
    """
    card = ModelVersion(plan.spec.name, version, ELSEWHERE, "", now, rows=rows.num_rows)
    save_elsewhere(folder)
    return adopt_scored(plan, ports, rows, card, folder, now, logged=logged)


@dataclass(frozen=True)
class Answered:
    """Implements the port ``Scorer`` for rows that carry the answers in a column ``score``."""

    def score(self, spec: ModelSpec, version: str, rows: pa.Table) -> NDArray[np.float64]:
        """Return the scores that are in the rows; raises ArtifactError if none are."""
        if "score" not in rows.column_names:
            raise ArtifactError(f"{spec.name} {version} is served elsewhere and cannot be asked")
        return np.asarray(rows["score"].to_numpy(), dtype=np.float64)

    def answer(self, spec: ModelSpec, version: str, rows: pa.Table) -> Answers:
        """Return the same, without probabilities."""
        return Answers(self.score(spec, version, rows))
