"""Writes down what each training is trained on, before it begins, and proves it later."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from homeostat.domain.columns import answered
from homeostat.domain.content import content_hash, schema_hash
from homeostat.domain.effect import StartTraining
from homeostat.domain.manifest import (
    HISTORY,
    LOG,
    Exclusion,
    TrainingManifest,
    manifest_key,
    seed_of,
)  # fmt: skip
from homeostat.domain.model import ModelSpec
from homeostat.domain.window import Window
from homeostat.engine.cohort import without
from homeostat.engine.ports import PredictionLog, Records, Scorer, Trainer
from homeostat.engine.ports_training import Sourced
from homeostat.engine.training import TrainingRows

COVERED = ["prediction_id", "timestamp", "role"]


@dataclass(frozen=True)
class Manifests:
    """Keeps the manifest of every training that is started."""

    records: Records
    log: PredictionLog

    def __call__(
        self, spec: ModelSpec, request: StartTraining, rows: pa.Table, trainer: Trainer
    ) -> None:
        """Write the manifest of a run that is about to begin.

        A start that is repeated may find other rows than the first one: late ones. Where the
        trainer has the run already, it has the first ones, and their manifest stays.
        """
        key = manifest_key(request.model, request.run_id)
        manifest = manifest_of(self.log, spec, request, rows, source_of(trainer))
        with self.records.begin() as uow:
            known = uow.load(key, TrainingManifest)
            if known is not None and known.content != manifest.content:
                begun = trainer.poll(request.model, request.run_id)
                if not begun.problem:
                    return
            if known != manifest:
                uow.save(key, manifest)


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether a manifest's rows can be read again: ``found`` is what they are now."""

    manifest: TrainingManifest
    found: TrainingManifest
    holds: bool
    problem: str = ""


def manifest_of(
    log: PredictionLog, spec: ModelSpec, request: StartTraining, rows: pa.Table, code: str
) -> TrainingManifest:
    """Return the manifest of a request whose rows are these."""
    asked = log.labelled(spec, request.window, request.as_of, COVERED)
    asked = without(answered(asked), request.excluded)
    reasons = (*request.reasons, *("" for _ in request.excluded))
    pairs = zip(request.excluded, reasons, strict=False)
    return TrainingManifest(
        model=request.model,
        run_id=request.run_id,
        window=request.window,
        as_of=request.as_of,
        rows=rows.num_rows,
        content=content_hash(rows),
        schema=schema_hash(spec.schema),
        seed=seed_of(request.run_id),
        code=code,
        parent=request.parent,
        excluded=tuple(Exclusion(window, why) for window, why in pairs),
        answered=asked.num_rows,
        labelled=asked.num_rows - asked["label"].null_count,
        choice=request.choice,
        guide=request.guide,
        kinds=request.kinds,
        origin=LOG,
    )


def manifest_of_history(
    spec: ModelSpec,
    run_id: str,
    rows: pa.Table,
    until: datetime,
    as_of: datetime,
    trainer: object,
) -> TrainingManifest:
    """Return the manifest of a training on a file that was handed in.

    Parameters
    ----------
    spec : ModelSpec
    run_id : str
    rows : pyarrow.Table
        Those trained on, by time.
    until : datetime
        When they end.
    as_of : datetime
    trainer : object
        What trained, if that is known.
    """
    first: datetime = rows["timestamp"][0].as_py()
    return TrainingManifest(
        model=spec.name,
        run_id=run_id,
        window=Window(first, max(until, first + timedelta(microseconds=1))),
        as_of=as_of,
        rows=rows.num_rows,
        content=content_hash(rows),
        schema=schema_hash(spec.schema),
        seed=seed_of(run_id),
        code=source_of(trainer),
        labelled=rows.num_rows,
        answered=rows.num_rows,
        origin=HISTORY,
    )


def prove(log: PredictionLog, scorer: Scorer, spec: ModelSpec, manifest: TrainingManifest) -> Proof:
    """Read a manifest's rows again from the log and compare.

    The scorer is asked where young rows are among them: their labels were guessed by a version.
    """
    if manifest.origin != LOG:
        problem = "it was trained on a file that was handed in, which the log cannot give again"
        return Proof(manifest, manifest, holds=False, problem=problem)
    request = StartTraining(
        manifest.run_id,
        manifest.model,
        manifest.parent,
        manifest.window,
        manifest.as_of,
        tuple(each.window for each in manifest.excluded),
        manifest.choice,
        manifest.guide,
        manifest.kinds,
        tuple(each.why for each in manifest.excluded),
    )
    rows = TrainingRows(log, scorer)(spec, request)
    found = manifest_of(log, spec, request, rows, manifest.code)
    return Proof(manifest, found, found.content == manifest.content, _difference(manifest, found))


def _difference(then: TrainingManifest, now: TrainingManifest) -> str:
    if now.content == then.content:
        return ""
    if now.schema != then.schema:
        return "the model's features are others than then"
    if now.rows != then.rows:
        return f"there were {then.rows} rows then, there are {now.rows} now"
    return f"the same {now.rows} rows hold other values than then"


def source_of(trainer: object) -> str:
    """Return the code that a trainer runs, as far as it says."""
    return trainer.source() if isinstance(trainer, Sourced) else ""
