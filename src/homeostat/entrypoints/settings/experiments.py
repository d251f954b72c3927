"""Experiments in homeostat.yaml: which versions are compared on what, and who decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from homeostat.domain.errors import NotFoundError
from homeostat.domain.model import ColumnKind, Handling, ModelSpec
from homeostat.domain.personal import handled
from homeostat.engine.experiments_ledger import REACH
from homeostat.entrypoints.settings.model import Model
from homeostat.entrypoints.settings.part import Part
from homeostat.entrypoints.settings.values import (
    Count,
    Duration,
    Flag,
    Name,
    Number,
    Share,
    Wait,
    Weight,
    format_duration,
    nearest,
    wrong,
)
from homeostat.rollout.experiment.design import Experiment, Horizon, Kind, Metric, Role
from homeostat.rollout.experiment.life import PATIENCE
from homeostat.rollout.experiment.plan import SERVING, ExperimentPlan, Source
from homeostat.rollout.experiment.planning import FINEST

LABEL = "label"
LEAST = 100
"""Entities an arm needs before anything is said of it."""
SHORTEST = timedelta(hours=1)


def _texts(value: object) -> object:
    """Let versions be written as numbers: the local registry counts them."""
    if isinstance(value, dict):
        return {str(key): share for key, share in value.items()}
    return value


class ExperimentMetric(Part):
    """One figure of an experiment."""

    kind: Kind
    """conversion, revenue, ratio, latency or error_rate."""
    role: Role = Role.SUCCESS
    """success: it has to be better for a version to ship; guardrail: it must not be worse."""
    of: str = ""
    """The label, an outcome or a numeric feature; latency and error_rate need none."""
    per: str = ""
    """Denominator of a ratio, in the same way; default: the number of answers."""
    before: str = ""
    """Numeric feature that tells of the time before (CUPED); of revenue."""
    absent: Literal["unknown", "zero"] = "unknown"
    """What an outcome that never came means: zero where only what happened is reported."""
    margin: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    """Share of the control's figure by which a guardrail may be worse."""
    better: Literal["higher", "lower"] | None = None
    """Default: as the kind says."""
    quantile: Weight = 0.95
    """Of a latency."""

    @model_validator(mode="after")
    def _fits_kind(self) -> Self:
        kind = self.kind
        if not self.of and kind not in SERVING:
            raise wrong(f"a {kind} is made of something", "name the label or an outcome", "of")
        checks: tuple[tuple[str, bool, str], ...] = (
            ("per", kind is Kind.RATIO, "a ratio"),
            ("before", kind is Kind.REVENUE, "revenue"),
            ("quantile", kind is Kind.LATENCY, "a latency"),
            ("margin", self.role is Role.GUARDRAIL, "a guardrail"),
            ("absent", bool(self.of), "an outcome (of)"),
        )
        for name, fits, whose in checks:
            if name in self.model_fields_set and not fits:
                raise wrong(f"belongs to {whose}", "remove it", name)
        if kind is Kind.LATENCY and self.role is Role.GUARDRAIL and self.margin < FINEST:
            remedy = f"use {FINEST:g} or more: times are known to 0.8 %"
            raise wrong("is too small to be proven", remedy, "margin")
        return self

    def metric(self, name: str) -> Metric:
        """Return it as the design takes it."""
        falling = None if self.better is None else self.better == "lower"
        return Metric(
            name, self.kind, self.role, self.margin, falling, self.quantile, bool(self.before)
        )

    def source(self, name: str) -> Source:
        """Return where its values are."""
        return Source(name, self.of, self.per, self.before, self.absent == "zero")


class ExperimentPart(Part):
    """Versions that are compared with a control on a model's traffic."""

    name: Name
    """Unique in this file."""
    model: str = ""
    """Whose versions; not needed if there is only one model."""
    arms: Annotated[dict[str, Share], BeforeValidator(_texts)]
    """Versions and their shares of the traffic that takes part, together 1; the first is the
    control. "champion" stands for the one that serves when it begins."""
    metrics: dict[Name, ExperimentMetric] = Field(min_length=1)
    """What is measured on each entity, by name."""
    size: Count
    """Entities of all arms together at which it ends (homeostat experiment power)."""
    traffic: Share = 1.0
    """Share of all entities that take part; the champion answers the others."""
    alpha: Annotated[Weight, Field(lt=0.5)] = 0.05
    """Accepted chance of shipping a version that is no better."""
    horizon: Horizon = Horizon.SEQUENTIAL
    """sequential: may be read at any time; fixed: once, at its end."""
    every: Duration = timedelta(days=1)
    """Time between two looks."""
    observe: Duration = timedelta(days=1)
    """For so long after an entity was first met its answers count."""
    outcomes_after: Wait | None = None
    """Then its outcomes have so long to come; default: labels.maturity, or 0s without outcomes."""
    longest: Duration = timedelta(days=90)
    """After this time it ends, however few came."""
    segments: tuple[str, ...] = ()
    """Features, or combinations of them, by which harm is looked for."""
    auto_promote: Flag = False
    """Roll a version that ships out, without a person."""

    @model_validator(mode="after")
    def _decidable(self) -> Self:
        if len(self.arms) < 2:
            raise wrong("needs a control and another version", "name two or more", "arms")
        total = math.fsum(self.arms.values())
        if abs(total - 1.0) > 1e-6:
            raise wrong(f"the shares add up to {total:g}", "make them add up to 1", "arms")
        if all(metric.role is not Role.SUCCESS for metric in self.metrics.values()):
            remedy = "give one of them the role success"
            raise wrong("has no success metric: nothing could make it ship", remedy, "metrics")
        least = LEAST * len(self.arms)
        if self.size < least:
            remedy = f"use {least} or more; homeostat experiment power says how many"
            raise wrong("is too few entities for the arms", remedy, "size")
        if self.every < SHORTEST:
            raise wrong("is less than an hour", "use 1h or more", "every")
        return self

    def check(self, model: Model, *path: str | int) -> None:
        """Raise if a metric or segment is not of the model, or its rows do not last."""
        spec = model.spec()
        lost = {name for name, way in handled(spec).items() if way is not Handling.KEEP}
        numeric = [
            column.name
            for column in spec.schema.columns
            if column.kind is ColumnKind.NUMERIC and column.name not in lost
        ]
        known = (LABEL, *spec.outcomes, *numeric)
        for name, metric in self.metrics.items():
            _known(metric.of, known, *path, "metrics", name, "of")
            _known(metric.per, known, *path, "metrics", name, "per")
            _known(metric.before, numeric, *path, "metrics", name, "before")
        for place, segment in enumerate(self.segments):
            try:
                columns = [spec.schema[column] for column in spec.columns_of(segment)]
            except NotFoundError as error:
                raise wrong(str(error), "name a feature", *path, "segments", place) from None
            if any(column.personal for column in columns):
                remedy = "name a feature that may be shown"
                raise wrong("is personal", remedy, *path, "segments", place)
        if spec.entity and handled(spec).get("entity") is Handling.DROP:
            problem = f"the log does not keep {spec.entity!r}, by which entities are told apart"
            raise wrong(problem, "use entity_personal: hash", *path, "model")
        self._check_kept(model, *path)

    def _check_kept(self, model: Model, *path: str | int) -> None:
        kept = model.retention.retention(model.labels.maturity, model.retraining)
        if kept.records < self.longest + PATIENCE:
            days = format_duration(kept.records)
            problem = f"with {PATIENCE.days} days to decide is longer than rows are kept ({days})"
            raise wrong(problem, "lower it, or raise retention.records", *path, "longest")
        plan = self.plan(model.spec())
        features = set(model.features)
        used = [name for each in plan.sources for name in (each.of, each.per, each.before)]
        needed = plan.every + plan.observe + plan.wait + REACH
        if (self.segments or features.intersection(used)) and kept.features < needed:
            problem = f"features are kept for {format_duration(kept.features)} only"
            remedy = f"raise retention.features to {format_duration(needed)}"
            raise wrong(problem, remedy, *path, "observe")

    def plan(self, spec: ModelSpec) -> ExperimentPlan:
        """Return the plan as the engine takes it."""
        metrics = self.metrics.items()
        late = any(part.of or part.kind not in SERVING for part in self.metrics.values())
        wait = spec.labels.maturity if late else timedelta(0)
        total = math.fsum(self.arms.values())
        design = Experiment(
            self.name,
            tuple(self.arms),
            tuple(part.metric(name) for name, part in metrics),
            self.size,
            tuple(share / total for share in self.arms.values()),
            self.alpha,
            self.horizon,
            LEAST,
        )
        return ExperimentPlan(
            spec.name,
            design,
            tuple(part.source(name) for name, part in metrics),
            self.traffic,
            self.every,
            self.observe,
            wait if self.outcomes_after is None else self.outcomes_after,
            self.longest,
            self.segments,
            self.auto_promote,
        )


def _known(name: str, known: Sequence[str], *path: str | int) -> None:
    if name and name not in known:
        raise wrong(f"{name!r} is no number of this model", nearest(name, known), *path)


def plan_named(plans: Mapping[str, ExperimentPlan], name: str) -> ExperimentPlan:
    """Return the plan of an experiment; raises NotFoundError."""
    if name not in plans:
        known = nearest(name, plans) if plans else "there are none in homeostat.yaml"
        raise NotFoundError(f"no experiment named {name!r}; {known}")
    return plans[name]


def check_experiments(
    experiments: Sequence[ExperimentPart], find: Callable[[str], Model], models: Sequence[str]
) -> None:
    """Raise if two have one name, or one does not fit its model."""
    seen: dict[str, int] = {}
    for number, part in enumerate(experiments):
        path = ("experiments", number)
        if part.name in seen:
            problem = f"{part.name!r} is also the name of experiments.{seen[part.name]}"
            raise wrong(problem, "rename one of them", *path, "name")
        seen[part.name] = number
        if part.model not in models and (part.model or len(models) > 1):
            problem = f"no model is named {part.model!r}" if part.model else "names no model"
            raise wrong(problem, nearest(part.model, models), *path, "model")
        part.check(find(part.model), *path)
