"""A candidate's trial: champion and candidate score the hold-out, and damaged copies of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.detectors.value.metric import PREDICTION, SCORE, ValueMetric
from homeostat.domain.columns import micros
from homeostat.domain.errors import HomeostatError
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.segments import groups
from homeostat.engine.cohort import HOUR
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Registry, Scorer
from homeostat.engine.ports_registry import Weighing
from homeostat.engine.training import probable, score_floats
from homeostat.retraining.gate import GateResult, evaluate
from homeostat.retraining.gate.behaviour import Expectation, changed, judge_expectation
from homeostat.retraining.gate.checks import Check, Clusters, conclude
from homeostat.retraining.gate.cost import judge_latency, judge_size
from homeostat.retraining.gate.limits import GateLimits
from homeostat.retraining.gate.paired import row_losses
from homeostat.retraining.gate.quality import Amounts, judge_calibration, judge_value
from homeostat.retraining.gate.robustness import Damage, damaged, judge_damage, judge_order
from homeostat.retraining.gate.segments import judge_segments

Floats = NDArray[np.float64]
TURNS, WARM_UP = 100, 5
MOST_SECONDS = 20.0
"""Time for all turns; a candidate that hangs in one is the scorer's to end."""
MOST_DAMAGED = 2_000


@dataclass(frozen=True, eq=False)
class Trial:
    """Two versions on one hold-out.

    Parameters
    ----------
    plan : ModelPlan
    limits : GateLimits
    scorer : Scorer
    registry : Registry
    champion, candidate : str
    rows : pyarrow.Table
        Labelled rows later than the training.
    rng : numpy.random.Generator
    stopwatch : callable or None
        Seconds that only grow; None: latency is not judged, so that a replay stays a replay.
    expected : tuple of Expectation
        What the owner expects of every candidate.
    """

    plan: ModelPlan
    limits: GateLimits
    scorer: Scorer
    registry: Registry
    champion: str
    candidate: str
    rows: pa.Table
    rng: np.random.Generator
    stopwatch: Callable[[], float] | None = None
    expected: tuple[Expectation, ...] = ()

    @property
    def _spec(self) -> ModelSpec:
        return self.plan.spec

    def judge(self, champion: Floats, candidate: Floats) -> GateResult:
        """Judge the losses of these scores and, if they pass, everything else."""
        plan, spec = self.plan, self._spec
        labels = np.asarray(self.rows["label"].to_numpy(), dtype=np.float64)
        entities = (
            np.asarray(self.rows["entity"].to_numpy(zero_copy_only=False)) if spec.entity else None
        )
        days = micros(self.rows, "timestamp") // (24 * HOUR)
        result = evaluate(
            spec, labels, champion, candidate, plan.gate_margin, self.rng, entities=entities,
            days=days, scale=plan.performance.scale,
        )  # fmt: skip
        if not result.accepted:
            return result
        usable = np.flatnonzero(np.isfinite(labels) & np.isfinite(champion))
        known = None if entities is None else np.unique(entities, return_inverse=True)[1]
        pairs = _Pairs(
            self.rows.take(usable),
            labels[usable],
            champion[usable],
            candidate[usable],
            Clusters(known, days).of(usable),
        )
        return conclude(result, self._checks(pairs))

    def _checks(self, pairs: _Pairs) -> Iterator[Check]:
        limits, spec = self.limits, self._spec
        before, after = (self._losses(pairs.labels, s) for s in (pairs.champion, pairs.candidate))
        if limits.segment is not None and spec.segments:
            parts = (part for names in spec.segment_columns for part in groups(pairs.rows, names))
            # What the owner allows over all is allowed on each segment too.
            limit = max(limits.segment, self.plan.gate_margin)
            yield judge_segments(
                before, after, parts, pairs.clusters, limit, proof=limits.segment_proof
            )
        if limits.calibration is not None and spec.task is Task.BINARY:
            yield self._calibration(pairs, limits.calibration)
        if limits.value is not None:
            for metric in self.plan.business:
                yield self._value(pairs, metric, limits.value)
        if limits.size is not None:
            yield self._size(limits.size)
        if limits.latency is not None and self.stopwatch is not None:
            yield self._latency(pairs.rows, limits.latency, self.stopwatch)
        if limits.robustness is not None:
            yield from self._robustness(pairs, limits.robustness)
        for asked in self.expected:
            yield self._expectation(asked)

    def _losses(self, labels: Floats, scores: Floats) -> Floats:
        return row_losses(self._spec, labels, scores, self.plan.performance.scale)

    def _calibration(self, pairs: _Pairs, limit: float) -> Check:
        fit = probable(pairs.champion, pairs.labels) & probable(pairs.candidate, pairs.labels)
        if not fit.all():
            return Check("calibration", None, "some scores are no probabilities")
        return judge_calibration(
            pairs.labels, pairs.champion, pairs.candidate, pairs.clusters.entities, limit, self.rng
        )

    def _value(self, pairs: _Pairs, metric: ValueMetric, limit: float) -> Check:
        amounts = [
            metric.amounts(_decided(self._spec, pairs.rows, scores))
            for scores in (pairs.champion, pairs.candidate)
        ]
        both = Amounts(metric.name, amounts[0], amounts[1], metric.better == "higher")
        return judge_value(both, pairs.clusters.entities, limit, self.rng)

    def _size(self, limit: int) -> Check:
        if not isinstance(self.registry, Weighing):
            return Check("size", None, "the registry does not tell it")
        return judge_size(self.registry.size(self._spec.name, self.candidate), limit)

    def _latency(self, rows: pa.Table, limit: float, stopwatch: Callable[[], float]) -> Check:
        """Let both score one row at a time, in turns, who begins changing from turn to turn."""
        taken: dict[str, list[float]] = {self.champion: [], self.candidate: []}
        began = stopwatch()
        for turn in range(WARM_UP + TURNS):
            row = rows.slice(turn % rows.num_rows, 1)
            for version in list(taken)[:: 1 if turn % 2 else -1]:
                start = stopwatch()
                self.scorer.score(self._spec, version, row)
                taken[version].append(stopwatch() - start)
            if turn >= WARM_UP and stopwatch() - began > MOST_SECONDS:
                break
        champion, candidate = (np.asarray(times[WARM_UP:]) for times in taken.values())
        return judge_latency(champion, candidate, limit)

    def _robustness(self, pairs: _Pairs, limit: float) -> Iterator[Check]:
        count = pairs.rows.num_rows
        chosen = np.unique(np.linspace(0, count - 1, min(count, MOST_DAMAGED)).astype(np.int64))
        some = pairs.of(chosen)
        shuffled = self.rng.permutation(chosen.size)
        back = np.argsort(shuffled)
        mixed = self._scores(self.candidate, some.rows.take(shuffled))
        if isinstance(mixed, str):
            yield Check("robustness to order", False, mixed)
        else:
            yield judge_order(some.candidate, mixed[back])
        for damage in Damage:
            yield self._damage(some, damage, limit)

    def _damage(self, pairs: _Pairs, damage: Damage, limit: float) -> Check:
        rows = damaged(self._spec.schema, pairs.rows, damage, self.rng)
        old, new = (self._scores(version, rows) for version in (self.champion, self.candidate))
        name = f"robustness to {damage}"
        if isinstance(old, str):
            return Check(name, None, f"the champion cannot score such rows: {old}")
        if isinstance(new, str):
            return Check(name, False, f"it cannot score such rows, the champion can: {new}")
        usable = np.flatnonzero(np.isfinite(old))
        broken = int((~np.isfinite(new[usable])).sum())
        if broken:
            return Check(name, False, f"no finite score on {broken} of {usable.size} such rows")
        if usable.size < 2:
            return Check(name, None, "the champion has no finite scores on such rows")
        some = pairs.of(usable)
        clean, plain = (self._losses(some.labels, s) for s in (some.champion, some.candidate))
        before, after = (self._losses(some.labels, s[usable]) for s in (old, new))
        already = float((plain - clean).mean())
        moved = (
            float(np.abs(old - pairs.champion)[usable].mean()),
            float(np.abs(new - pairs.candidate)[usable].mean()),
        )
        return judge_damage(damage, before, after, already, moved, some.clusters, limit)

    def _expectation(self, asked: Expectation) -> Check:
        rows = asked.rows
        if rows is None:
            count = self.rows.num_rows
            chosen = np.linspace(0, count - 1, min(count, MOST_DAMAGED)).astype(np.int64)
            rows = self.rows.take(np.unique(chosen))
        scores = self._scores(self.candidate, rows)
        after: Floats | str | None = None
        if asked.changes:
            after = self._scores(self.candidate, changed(rows, asked.changes))
        if isinstance(scores, str) or isinstance(after, str):
            said = scores if isinstance(scores, str) else after
            return Check(f"check {asked.name}", False, f"it cannot score such rows: {said}")
        return judge_expectation(asked, scores, after)

    def _scores(self, version: str, rows: pa.Table) -> Floats | str:
        """Return the scores, or why there are none."""
        try:
            return score_floats(self.scorer, self._spec, version, rows)
        except HomeostatError as error:
            return str(error)


@dataclass(frozen=True, eq=False)
class _Pairs:
    rows: pa.Table
    labels: Floats
    champion: Floats
    candidate: Floats
    clusters: Clusters

    def of(self, rows: NDArray[np.int64]) -> _Pairs:
        return _Pairs(
            self.rows.take(rows),
            self.labels[rows],
            self.champion[rows],
            self.candidate[rows],
            self.clusters.of(rows),
        )


def value_columns(plan: ModelPlan) -> tuple[str, ...]:
    """Return the outcomes that the model's business metrics are made of."""
    wanted = frozenset[str]().union(*(metric.columns for metric in plan.business))
    return tuple(name for name in plan.spec.outcomes if name in wanted)


def _decided(spec: ModelSpec, rows: pa.Table, scores: Floats) -> pa.Table:
    decided = scores
    if spec.task is Task.BINARY:
        decided = (scores >= spec.threshold).astype(np.float64)
    for name, values in ((SCORE, scores), (PREDICTION, decided)):
        if name not in spec.schema.names:
            rows = rows.append_column(name, pa.array(values, pa.float64()))
    return rows
