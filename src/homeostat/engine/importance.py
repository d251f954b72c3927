"""Measures now and then which columns the champion lives on, on rows that are new to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.detectors.importance.permutation import Score, importance
from homeostat.domain.admission import as_admitted
from homeostat.domain.columns import answered, float_array, where
from homeostat.domain.logged import with_features
from homeostat.domain.losses import row_losses
from homeostat.domain.predictions import Predictions
from homeostat.domain.record import feature_schema
from homeostat.domain.verdict import MetricPoint, Status
from homeostat.domain.window import Window
from homeostat.engine.cohort import MATURED
from homeostat.engine.plan import ImportancePolicy, ModelPlan
from homeostat.engine.ports import PredictionLog, Registry, Scorer
from homeostat.engine.samples import trained_until
from homeostat.engine.training import clear_stretches
from homeostat.engine.watch import Watch

IMPORTANCE = "importance:"
"""Begins the name of the metric points: ``importance:amount``."""

PIECE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ImportanceMemory:
    """Up to where importance was measured; None before the first time."""

    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What a look at importance brought; `problem` says why nothing could be measured."""

    memory: ImportanceMemory
    points: tuple[MetricPoint, ...] = ()
    problem: str = ""


def importance_key(model: str) -> str:
    """Return the state key of what is remembered of importance."""
    return f"importance:{model}"


@dataclass(frozen=True, slots=True)
class Importances:
    """Measures a champion's importance on what the log holds.

    The window is read a day at a time, and of its rows only a random sample is kept: memory is
    bounded by a day, scoring by the policy.
    """

    log: PredictionLog
    scorer: Scorer
    registry: Registry

    def measure(
        self,
        plan: ModelPlan,
        memory: ImportanceMemory,
        champion: str,
        watch: Watch,
        now: datetime,
        rng: np.random.Generator,
    ) -> Measured:
        """Measure the newest window whose labels are complete, unless it was measured before.

        Parameters
        ----------
        plan : ModelPlan
            Without a policy nothing is measured.
        memory : ImportanceMemory
        champion : str
            Rows that it was trained on are left out: what it learnt by heart would look important.
        watch : Watch
            Says when monitoring began, and which rows a data fault covers.
        now : datetime
        rng : numpy.random.Generator

        Returns
        -------
        Measured
            A point for each column that could be measured; see `IMPORTANCE`.
        """
        policy = plan.importance
        if policy is None:
            return Measured(memory)
        window = _due(policy, memory.until or watch.since, now - plan.spec.labels.maturity)
        if window is None:
            return Measured(memory)
        rows, coverage = self._sample(plan, policy, window, champion, watch, now, rng)
        losses = partial(row_losses, plan.spec.task)
        found = importance(self._score(plan, champion), rows, losses, rng, config=policy.config)
        points = tuple(
            MetricPoint(
                plan.spec.name,
                champion,
                IMPORTANCE + one.name,
                window,
                one.value,
                one.lower,
                one.upper,
                one.n,
                coverage,
                MATURED,
            )
            for one in found
            if one.status is Status.OK
        )
        problem = "" if points else found[0].reason
        return Measured(ImportanceMemory(window.end), points, problem)

    def _score(self, plan: ModelPlan, champion: str) -> Score:
        def score(table: pa.Table) -> NDArray[np.float64]:
            answers = self.scorer.answer(plan.spec, champion, table)
            return answers.scores if answers.probabilities is None else answers.probabilities

        return score

    def _sample(
        self,
        plan: ModelPlan,
        policy: ImportancePolicy,
        window: Window,
        champion: str,
        watch: Watch,
        now: datetime,
        rng: np.random.Generator,
    ) -> tuple[Predictions, float]:
        """Return rows drawn from all labelled ones, and the share of requests that are labelled."""
        spec = plan.spec
        faults = tuple(fault.window(now) for fault in watch.faults)
        columns = ["role", "tier", *spec.schema.names]
        kept = feature_schema(spec).append(pa.field("label", pa.float64())).empty_table()
        kept = kept.select([*spec.schema.names, "label"])
        keys = np.empty(0)
        asked = labelled = 0
        for stretch in self._new_to(spec.name, champion, window, faults):
            table, _ = as_admitted(spec, self.log.labelled(spec, stretch, now, columns))
            table = answered(with_features(spec, table))
            known = table.filter(~pc.field("label").is_null())
            asked, labelled = asked + table.num_rows, labelled + known.num_rows
            known = where(known, "tier", "model").select([*spec.schema.names, "label"])
            keys = np.concatenate([keys, rng.random(known.num_rows)])
            kept = pa.concat_tables([kept, known])
            # The rows with the smallest keys of all are a random sample of all.
            first = np.sort(np.argsort(keys)[: policy.config.rows])
            keys, kept = keys[first], kept.take(np.asarray(first, dtype=np.int64))
        labels = float_array(kept.column("label"))
        scores = np.full(labels.size, np.nan)
        features = kept.select(spec.schema.names)
        rows = Predictions(
            spec.task, spec.classes, spec.threshold, scores, scores, labels, features
        )
        return rows, labelled / asked if asked else 0.0

    def _new_to(
        self, model: str, champion: str, window: Window, faults: tuple[Window, ...]
    ) -> Iterator[Window]:
        """Yield the window's days from after the champion's training, without faults."""
        trained = trained_until(self.registry, model, champion)
        start = max(window.start, trained) if trained else window.start
        while start < window.end:
            end = min(start + PIECE, window.end)
            yield from clear_stretches(Window(start, end), faults)
            start = end


def _due(policy: ImportancePolicy, since: datetime, until: datetime) -> Window | None:
    """Return the newest whole period that ended by `until`; after a long pause others are left."""
    periods = (until - since) // policy.every
    if periods < 1:
        return None
    end = since + periods * policy.every
    return Window(end - policy.every, end)
