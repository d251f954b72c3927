"""Takes a model into care: its first version, its reference windows and its baseline."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.domain.effect import StartTraining
from homeostat.domain.errors import ConflictError, DataError, TrainingError
from homeostat.domain.model import ModelVersion
from homeostat.domain.record import TIMESTAMP
from homeostat.domain.window import Window
from homeostat.engine.cohort import cohorts
from homeostat.engine.manifests import manifest_of_history
from homeostat.engine.outcomes import class_counts
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Ports, Records, Trainer, Training
from homeostat.engine.training import baseline_of, one_each, reference_of, score_floats, volumes_of
from homeostat.engine.watch import Matured, baseline_key, fresh, rollout_key, watch_key
from homeostat.rollout.events import First
from homeostat.rollout.machine import step
from homeostat.rollout.state import RolloutState, Stage

SMALLEST_HOLDOUT = 30


@dataclass(frozen=True)
class History:
    """Labelled rows from before Homeostat's watch, by time: ``trained`` and the later ``held_out``.

    Columns: ``timestamp``, the features, ``label``; further ones are passed to the trainer.
    """

    trained: pa.Table
    held_out: pa.Table

    @property
    def rows(self) -> pa.Table:
        """All of them."""
        return pa.concat_tables([self.trained, self.held_out])

    @property
    def split(self) -> datetime:
        """Time of the first held-out row."""
        first: datetime = self.held_out["timestamp"][0].as_py()
        return first


def matured(plan: ModelPlan, rows: pa.Table, now: datetime) -> pa.Table:
    """Return the rows that are old enough for all of their labels to be known.

    Of younger rows the labels that came early are a biased choice: cancellations and chargebacks
    come before their absence is certain.

    Raises
    ------
    DataError
        If none is left.
    """
    edge = now - plan.spec.labels.maturity
    if "timestamp" not in rows.column_names:
        raise DataError(f"the history of {plan.spec.name} lacks the column timestamp")
    old = rows.filter(pc.field("timestamp") < pa.scalar(edge, TIMESTAMP))
    if not old.num_rows:
        raise DataError(
            f"no row of {plan.spec.name} is older than labels.maturity "
            f"({plan.spec.labels.maturity}), so no label of the history is certain yet"
        )
    return old


def split_history(plan: ModelPlan, rows: pa.Table) -> History:
    """Sort labelled rows by time and hold out the latest stretch.

    Raises
    ------
    DataError
        If a column is absent, or too few labelled rows are left on either side.
    """
    spec = plan.spec
    absent = [n for n in ("timestamp", "label", *spec.schema.names) if n not in rows.column_names]
    if absent:
        raise DataError(f"the history of {spec.name} lacks the columns {', '.join(absent)}")
    rows = rows.filter(~pc.field("label").is_null()).sort_by("timestamp")
    if rows.num_rows < 2 * SMALLEST_HOLDOUT:
        raise DataError(f"the history of {spec.name} has only {rows.num_rows} labelled rows")
    last: datetime = rows["timestamp"][-1].as_py()
    first: datetime = rows["timestamp"][0].as_py()
    span = (last - first) / 2
    holdout = min(plan.retraining.holdout, span) if plan.retraining else span / 2
    edge = np.datetime64((last - holdout).replace(tzinfo=None), "us")
    cut = int(np.searchsorted(rows["timestamp"].to_numpy(), edge))
    if rows.num_rows - cut < SMALLEST_HOLDOUT:
        raise DataError(
            f"only {rows.num_rows - cut} labelled rows of {spec.name} lie in the last {holdout}, "
            f"which are held out; {SMALLEST_HOLDOUT} are needed: raise retraining.holdout"
        )
    return History(rows.slice(0, cut), rows.slice(cut))


def first_run(model: str, now: datetime) -> str:
    """Return the id of a first training; after one that failed, the next attempt is another run."""
    return f"{model}-first-{now:%Y%m%dT%H%M%S%f}"


def check_vacant(records: Records, model: str) -> None:
    """Raise ConflictError if the model has a champion already."""
    existing = records.read(rollout_key(model), RolloutState)
    if existing is not None and existing.stage is not Stage.EMPTY:
        raise ConflictError(
            f"{model} has a champion already ({existing.champion}); push or submit a version"
        )


def train_first(plan: ModelPlan, trainer: Trainer, history: History, now: datetime) -> Training:
    """Train a first version on the history's earlier part, with a trainer that waits.

    Raises
    ------
    TrainingError
        If it fails.
    """
    name = plan.spec.name
    first: datetime = history.trained["timestamp"][0].as_py()
    window = Window(first, history.split)
    request = StartTraining(first_run(name, now), name, "", window, now)
    trainer.start(request, plan.spec, history.trained)
    training = trainer.poll(name, request.run_id)
    if not training.done or training.problem:
        raise TrainingError(f"{name}: the first training failed: {training.problem or 'no result'}")
    return training


def adopt(
    plan: ModelPlan,
    ports: Ports,
    history: History,
    training: Training,
    now: datetime,
    *,
    logged: bool = False,
    trained_at: datetime | None = None,
) -> ModelVersion:
    """Register the first version, learn what is normal from the history, and install it.

    Monitoring starts at `now`. With `logged`, the history is in the prediction log too, so that
    later versions can be trained on it. `trained_at` is the moment that `train_first` was given,
    if that is another.

    Raises
    ------
    ConflictError
        If the model has a champion already.
    TrainingError
        If the training left no artifact.
    """
    spec = plan.spec
    if training.artifact is None:
        raise TrainingError(f"{spec.name}: there is no artifact to adopt")
    check_vacant(ports.records, spec.name)
    run_id, trainer = first_run(spec.name, trained_at or now), ports.trainers.get(spec.name)
    card = ports.registry.register(
        ModelVersion(
            spec.name,
            "",
            training.flavour,
            training.sha256,
            now,
            run_id=run_id,
            rows=int(dict(training.metrics).get("rows", history.trained.num_rows)),
            trained_until=history.split,
            metrics=training.metrics,
            manifest=manifest_of_history(
                plan.spec, run_id, history.trained, history.split, trained_at or now, trainer
            ),
        ),
        training.artifact,
    )
    scores = score_floats(ports.scorer, spec, card.version, history.held_out)
    _learn(plan, ports, history, scores, card.version, now, logged=logged)
    return card


def adopt_scored(
    plan: ModelPlan,
    ports: Ports,
    rows: pa.Table,
    card: ModelVersion,
    artifact: Path,
    now: datetime,
    *,
    logged: bool = False,
) -> ModelVersion:
    """Take on a model that is served elsewhere, from what it answered.

    Parameters
    ----------
    plan : ModelPlan
    ports : Ports
    rows : pyarrow.Table
        What it answered, by time: ``timestamp``, the features, ``score`` and ``label`` (null:
        unknown). The model must not have been trained on them: what it learnt by heart would look
        normal.
    card : ModelVersion
        Of the version; its artifact stands for it.
    artifact : Path
    now : datetime
        When monitoring starts.
    logged : bool
        The rows are in the prediction log too.

    Raises
    ------
    ConflictError
        If the model has a champion already.
    DataError
        If too few rows are labelled.
    """
    name = plan.spec.name
    check_vacant(ports.records, name)
    labelled = rows.filter(~pc.field("label").is_null()).sort_by("timestamp")
    if labelled.num_rows < SMALLEST_HOLDOUT:
        raise DataError(
            f"only {labelled.num_rows} rows of {name} have a label; {SMALLEST_HOLDOUT} are needed "
            "to know how good it was"
        )
    kept = ports.registry.register(card, artifact)
    history = History(labelled.slice(0, 0), labelled)
    scores = np.asarray(labelled["score"].to_numpy(), dtype=np.float64)
    _learn(plan, ports, history, scores, kept.version, now, logged=logged)
    return kept


def _learn(
    plan: ModelPlan,
    ports: Ports,
    history: History,
    scores: NDArray[np.float64],
    version: str,
    now: datetime,
    *,
    logged: bool,
) -> None:
    spec = plan.spec
    held_out = history.held_out
    trained = reference_of(plan, history.trained, None, None)
    reference = one_each((*trained, *reference_of(plan, held_out, scores, history.split)))
    ports.records.save_reference(spec.name, version, reference)
    volumes = volumes_of(history.rows, plan.volume.every)
    baseline = baseline_of(plan, version, held_out, scores, volumes)
    names = tuple(cohort.name for cohort in cohorts(spec))
    with ports.records.begin() as uow:
        before = uow.load(rollout_key(spec.name), RolloutState) or RolloutState(spec.name)
        rollout, decisions = step(before, First(version), now, plan.rollout)
        uow.save(rollout_key(spec.name), rollout)
        uow.save(baseline_key(spec.name, version), baseline)
        watch = fresh(spec.name, version, now, names)
        if logged:
            known = np.asarray(history.rows["label"].to_numpy(), dtype=np.float64)
            first: datetime = history.rows["timestamp"][0].as_py()
            counted = Matured(Window(first, now), class_counts(spec, known))
            watch = replace(watch, matured=(counted,))
        uow.save(watch_key(spec.name), watch)
        uow.decide(*decisions)
