"""What becomes of a candidate that has passed the gate: it is trained once more, on newer rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.columns import answered, float_array
from homeostat.domain.errors import HomeostatError, StorageError
from homeostat.domain.logged import with_features
from homeostat.domain.manifest import TrainingManifest
from homeostat.domain.model import ModelVersion
from homeostat.domain.window import Window
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Registry, Scorer, Training
from homeostat.engine.training import feature_columns, score_floats
from homeostat.retraining.policy import RetrainingPolicy
from homeostat.retraining.refit import agreement
from homeostat.retraining.run import Refitted, RunState, overdue

Floats = NDArray[np.float64]


def card_of(
    state: RunState,
    training: Training,
    manifest: TrainingManifest | None,
    now: datetime,
    judged: str = "",
) -> ModelVersion:
    """Return the card of what a run has trained; `judged` stands for it before the gate."""
    plan = state.plan
    assert plan is not None  # a training has one
    trained = plan.refit if judged and plan.refit is not None else plan.training
    return ModelVersion(
        model=state.model,
        version="",
        flavour=training.flavour,
        sha256=training.sha256,
        created=now,
        parent=plan.parent,
        run_id=state.training_id,
        rows=manifest.rows if manifest else int(dict(training.metrics).get("rows", 0)),
        trained_until=trained.end,
        metrics=training.metrics,
        judged=judged,
        manifest=manifest,
    )


@dataclass(frozen=True)
class Refit:
    """One run's refit, and the ports by which it is looked at."""

    plan: ModelPlan
    policy: RetrainingPolicy
    log: PredictionLog
    scorer: Scorer
    registry: Registry
    manifest: TrainingManifest | None

    def outcome(
        self,
        state: RunState,
        training: Training,
        fault: Window | None,
        rows: pa.Table,
        judged: Floats,
        now: datetime,
    ) -> Refitted | None:
        """Say which version serves; None while the refit goes on.

        Parameters
        ----------
        state : RunState
        training : Training
            What the trainer says of the refit.
        fault : Window or None
            A data fault that covers part of its rows and was not known when it began.
        rows : pyarrow.Table
            The hold-out.
        judged : float64 array
            Scores of it by the version that the gate has judged.
        now : datetime

        Raises
        ------
        StorageError
            If the log or the registry is away.
        """
        problem = training.problem
        if fault is not None:
            problem = f"a data fault found meanwhile covers part of its data ({fault})"
        elif not training.done:
            if not overdue(state, self.policy, now):
                return None
            problem = f"still training after {self.policy.timeout}"
        elif training.artifact is None:
            problem = problem or "no artifact"
        if problem:
            return _kept(state, problem)
        try:
            return self._compared(state, training, rows, judged, now)
        except StorageError:
            raise  # log or registry is away: the same again at the next tick
        except HomeostatError as error:
            return _kept(state, str(error))

    def _compared(
        self, state: RunState, training: Training, rows: pa.Table, judged: Floats, now: datetime
    ) -> Refitted:
        assert training.artifact is not None  # `outcome` has looked
        card = card_of(state, training, self.manifest, now, state.candidate)
        version = self.registry.register(card, training.artifact).version
        newest = self._newest(state)
        old, new = (
            score_floats(self.scorer, self.plan.spec, name, newest)
            for name in (state.candidate, version)
        )
        held_out = score_floats(self.scorer, self.plan.spec, version, rows)
        found = agreement(
            self.plan.spec, float_array(rows["label"]), (judged, old), (held_out, new),
            self.policy.data.agreement, self.plan.performance.scale,
        )  # fmt: skip
        if found.problem:
            return _kept(state, f"{version} does not agree with it: {found.problem}")
        apart = dict(found.evidence)["apart"]
        text = f"{state.candidate}, trained on rows up to {card.trained_until:%Y-%m-%d} too"
        return Refitted(version, f"{text}; scores of the newest rows are {apart:.3f} apart")

    def _newest(self, state: RunState) -> pa.Table:
        """Return the newest rows that the refit may have seen, labelled or not."""
        assert state.plan is not None  # a refit has one
        window = Window(state.plan.as_of - self.policy.holdout, state.plan.as_of)
        spec = self.plan.spec
        return with_features(spec, answered(self.log.rows(spec, window, feature_columns(spec))))


def _kept(state: RunState, problem: str) -> Refitted:
    return Refitted("", f"{state.candidate} serves as it was judged; its refit does not: {problem}")
