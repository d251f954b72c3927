"""Settings of one monitored model."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from homeostat.alerting.rules import default_rules
from homeostat.detectors.series.dynamic import FEWEST
from homeostat.detectors.value.metric import (
    LABEL,
    PREDICTION,
    SCORE,
    ValueMetric,
    parse_metric,
)
from homeostat.domain.errors import ConfigError, NotFoundError
from homeostat.domain.expression import Type, column_types, parse
from homeostat.domain.model import (
    SEGMENT_JOINT,
    Audit,
    Column,
    ColumnKind,
    Handling,
    LabelSpec,
    ModelSpec,
    Schema,
    Task,
)
from homeostat.domain.record import RESERVED
from homeostat.domain.verdict import segment_name
from homeostat.engine.estimates import PREFIX
from homeostat.engine.importance import IMPORTANCE
from homeostat.entrypoints.settings.metrics import FREE, OWN, limits, useless, worth, written
from homeostat.entrypoints.settings.monitors import (
    Budget,
    Business,
    Diagnosis,
    Monitors,
    Threshold,
)
from homeostat.entrypoints.settings.part import Part
from homeostat.entrypoints.settings.retention import Keep
from homeostat.entrypoints.settings.serving import Serving
from homeostat.entrypoints.settings.upkeep import Alerts, Retraining, Rollout, Tier
from homeostat.entrypoints.settings.values import (
    Duration,
    Flag,
    Name,
    Number,
    Weight,
    format_duration,
    nearest,
    wrong,
)

MIN_CLASSES = 2


class Feature(Part):
    """One feature and its constraints; ``amount: numeric`` is short for ``kind: numeric``."""

    kind: ColumnKind
    """numeric, categorical or boolean."""
    min: Number | None = None
    """Smallest allowed value."""
    max: Number | None = None
    """Largest allowed value."""
    nullable: Flag = True
    """Whether the value may be missing."""
    categories: tuple[str, ...] | None = Field(default=None, min_length=1)
    """The allowed values; default: any."""
    personal: Flag | Handling = False
    """Whether the values must not appear in profiles or reports; hash: the log keeps a keyed hash
    of them only; drop: nothing; keep or true: the values."""

    @model_validator(mode="after")
    def _fits_kind(self) -> Self:
        if self.kind is not ColumnKind.NUMERIC:
            for name in ("min", "max"):
                if getattr(self, name) is not None:
                    raise wrong(f"is for numeric features, not {self.kind}", "remove it", name)
        if self.kind is not ColumnKind.CATEGORICAL and self.categories is not None:
            raise wrong(f"is for categorical features, not {self.kind}", "remove it", "categories")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise wrong(f"is above max ({self.max:g})", "swap the two", "min")
        if self.categories is not None and len(set(self.categories)) < len(self.categories):
            raise wrong("names a category twice", "keep each once", "categories")
        self._check_handling()
        return self

    def _check_handling(self) -> None:
        if self.personal is Handling.HASH:
            if self.kind is not ColumnKind.CATEGORICAL:
                problem = f"only text can be hashed, not {self.kind} values"
                raise wrong(problem, "use drop, or keep", "personal")
            if self.categories is not None:
                raise wrong("would not hold of hashes", "remove it", "categories")
        if self.personal is Handling.DROP and not self.nullable:
            raise wrong("dropped values are missing ones", "leave it at true", "nullable")

    def column(self, name: str) -> Column:
        """Return the domain's view of it."""
        handling = self.personal if isinstance(self.personal, Handling) else Handling.KEEP
        personal = bool(self.personal)
        limits = (self.min, self.max, self.categories)
        return Column(name, self.kind, self.nullable, *limits, personal, handling)


def _shorthand(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


FeatureOrKind = Annotated[
    Feature,
    BeforeValidator(_shorthand, json_schema_input_type=Feature | ColumnKind),
]


class History(Part):
    """How columns of a history file are called."""

    id: str = "prediction_id"
    """Column with the prediction's id."""
    timestamp: str = "timestamp"
    """Column with the time of the prediction."""
    label: str = "label"
    """Column with what turned out to be true."""
    label_timestamp: str = "label_timestamp"
    """Column with the time at which the label became known."""
    score: str | None = None
    """Column with the answers of a model that is served elsewhere and not trained here."""
    where: str | None = None
    """Boolean column; only rows in which it is true are used."""


class AuditLabels(Part):
    """A random share of predictions whose labels come early."""

    column: str
    """Boolean field that is true in those rows."""
    maturity: Duration
    """Age after which their labels are complete."""


class Labels(Part):
    """How labels arrive."""

    maturity: Duration
    """Age of a prediction after which its label, if there will be one, has arrived."""
    audit: AuditLabels | None = None
    """A random share of predictions whose labels come early."""
    folder: str = ""
    """Folder, relative to this file, whose files of labels the server takes; default: none."""


class Model(Part):
    """A model under Homeostat's care."""

    name: Name
    """Unique in this file."""
    task: Task
    """binary (scores are probabilities), multiclass or regression."""
    classes: tuple[str, ...] = ()
    """Class names; of a binary model: [negative, positive]."""
    threshold: Weight = 0.5
    """Binary score from which the positive class is predicted."""
    entity: str = ""
    """Field that names who a prediction is about, for sticky traffic splits."""
    entity_personal: Handling = Handling.KEEP
    """What the log keeps of it: keep, hash or drop. A feature of that name decides by itself."""
    features: dict[str, FeatureOrKind] = Field(min_length=1)
    """The model's inputs, in the order in which it takes them."""
    segments: tuple[str, ...] = ()
    """Features by whose values to measure as well, such as country, or country & channel."""
    outcomes: tuple[Name, ...] = ()
    """Numbers that become known after a prediction, besides its label: lost, bought."""
    history: History = History()
    """Columns of a history file, for backtests and first training."""
    labels: Labels
    """How labels arrive."""
    budget: Budget = Budget()
    """False alarms that are accepted."""
    monitors: Monitors = Monitors()
    """What is watched."""
    diagnosis: Diagnosis = Diagnosis()
    """Why something changed."""
    business: dict[Name, Business] = Field(default_factory=dict)
    """What predictions are worth, by the name of the figure."""
    fallback: tuple[Tier, ...] = ()
    """Who answers when the model cannot, first that can."""
    serving: Serving = Serving()
    """How the gateway asks it."""
    retraining: Retraining | None = None
    """Default: never retrained by Homeostat."""
    rollout: Rollout = Rollout()
    """How a challenger becomes champion."""
    alerts: Alerts = Alerts()
    """Who is told."""
    retention: Keep = Keep()
    """How long its data is kept."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_classes()
        for name in self.features:
            if name in RESERVED:
                remedy = f"rename the feature; Homeostat keeps {', '.join(sorted(RESERVED))}"
                raise wrong("is a field of Homeostat's own", remedy, "features", name)
            if not name.strip():
                raise wrong("a feature needs a name", "write the column's name", "features")
        audit = self.labels.audit
        if audit is not None:
            same = self.features.get(audit.column)
            if same is not None and same.kind is not ColumnKind.BOOLEAN:
                problem = f"names the {same.kind} feature {audit.column!r}"
                raise wrong(problem, "name a boolean field", "labels", "audit", "column")
        self.retention.check(self.labels.maturity, self.retraining)
        if self.retraining is not None:
            self.retraining.data.check(self.task, self.features, self.outcomes)
        self._check_segments()
        self._check_outcomes()
        self._check_fallback()
        self._check_rules()
        self._check_business()
        return self

    def _check_segments(self) -> None:
        spec = self.spec()
        for number, segment in enumerate(self.segments):
            try:
                columns = [spec.schema[name] for name in spec.columns_of(segment)]
            except NotFoundError as error:
                remedy = f"name features, with {SEGMENT_JOINT} between them"
                raise wrong(str(error), remedy, "segments", number) from None
            for column in columns:
                if column.kind is ColumnKind.NUMERIC:
                    problem = f"{column.name!r} is numeric: each value would be a segment"
                    raise wrong(problem, "name a categorical or boolean one", "segments", number)
                if column.personal:
                    problem = f"{column.name!r} is personal: its values would be on record"
                    raise wrong(problem, "leave it out", "segments", number)
            if len(set(columns)) < len(columns) or segment in self.segments[:number]:
                raise wrong("is named twice", "keep it once", "segments", number)

    def _check_fallback(self) -> None:
        columns = column_types(self.spec().schema)
        share = 0.0
        for number, tier in enumerate(self.fallback):
            share += tier.lighter.share if tier.lighter is not None else 0.0
            if share >= 1:
                problem = "with it, lighter versions take the whole deadline"
                remedy = "lower share: the model needs some of it"
                raise wrong(problem, remedy, "fallback", number, "lighter", "share")
            if tier.default is not None and number < len(self.fallback) - 1:
                raise wrong("a default answers always", "put it last", "fallback", number)
            for place, rule in enumerate(tier.rules or ()):
                try:
                    parse(rule.when, columns)
                except ConfigError as error:
                    at = ("fallback", number, "rules", place, "when")
                    raise wrong(error.problem, error.remedy, *at) from None

    def _check_rules(self) -> None:
        known = [rule.name for rule in default_rules(())]
        for name in self.alerts.overrides:
            if name not in known:
                raise wrong("is no alert rule", nearest(name, known), "alerts", "overrides", name)

    def _check_business(self) -> None:
        for name in self.business:
            if name in OWN:
                raise wrong("is a metric of Homeostat's own", "rename it", "business", name)
            if name.startswith((PREFIX, IMPORTANCE)):
                problem = "begins as metrics of Homeostat's own do"
                raise wrong(problem, "rename it", "business", name)
            try:
                self.metric(name)
            except ConfigError as error:
                raise wrong(error.problem, error.remedy, "business", name, "value") from None
        seen = {name for name, part in self.business.items() if part.alert}
        known = self.written()
        for number, threshold in enumerate(self.monitors.thresholds):
            if threshold.metric not in known:
                problem = f"nobody writes a metric {threshold.metric!r} of a {self.task} model"
                remedy = nearest(threshold.metric, known)
                raise wrong(problem, remedy, "monitors", "thresholds", number, "metric")
            place = ("monitors", "thresholds", number, "segment")
            self.check_segment(threshold.metric, threshold.segment, *place)
            if threshold.name in seen:
                problem = f"{threshold.name!r} has such a threshold already"
                remedy = "keep one of them"
                raise wrong(problem, remedy, "monitors", "thresholds", number, "metric")
            seen.add(threshold.name)
            self._check_history(threshold, number)
            self._check_range(threshold, number)

    def _check_range(self, threshold: Threshold, number: int) -> None:
        low, high = self.span(threshold.metric)
        found = useless((low, high), threshold.above, threshold.below)
        if found is not None:
            remedy = f"write a value above {low:g} and below {high:g}"
            raise wrong(found[1], remedy, "monitors", "thresholds", number, found[0])

    def _check_history(self, threshold: Threshold, number: int) -> None:
        every = self.every(threshold.metric)
        if threshold.history is None or threshold.history >= FEWEST * every:
            return
        kept = format_duration(threshold.history)
        problem = f"a window of {threshold.metric} is {format_duration(every)}: of {kept} there "
        problem += f"are {threshold.history // every}, and {FEWEST} are needed"
        remedy = f"write {format_duration(FEWEST * every)} or more, or leave it out"
        raise wrong(problem, remedy, "monitors", "thresholds", number, "history")

    def every(self, metric: str) -> timedelta:
        """Return how often a metric is written."""
        if metric.startswith(IMPORTANCE):
            return self.monitors.importance.every
        return self.monitors.performance.window

    def span(self, metric: str) -> tuple[float, float]:
        """Return the least and greatest value that a metric can have, as far as is known."""
        if metric.startswith(IMPORTANCE):
            return FREE
        if metric in self.business:
            return worth(self.metric(metric))
        return limits(self.task, metric)

    def check_segment(self, metric: str, segment: str, *place: str | int) -> None:
        """Refuse a segment that no figures are written of."""
        if not segment:
            return
        if metric not in OWN | self.business.keys():
            raise wrong("there are no figures of segments of this metric", "remove it", *place)
        spec = self.spec()
        forms = [segment_name(names, ["..."] * len(names)) for names in spec.segment_columns]
        if not any(_has_form(segment, form) for form in forms):
            given = f"write {' or '.join(forms)}" if forms else "name features under segments"
            raise wrong(f"{segment!r} is none of the segments", given, *place)

    def written(self) -> list[str]:
        """Return the names of the metrics that can have a threshold or an alert rule."""
        importances = (IMPORTANCE + name for name in self.features)
        return [*written(self.task), *self.business, *importances]

    def metric(self, name: str) -> ValueMetric:
        """Return the domain's view of a business metric."""
        part = self.business[name]
        outcome = Type.TEXT if self.task is Task.MULTICLASS else Type.NUMBER
        columns = column_types(self.spec().schema) | {LABEL: outcome, PREDICTION: outcome}
        if self.task is not Task.MULTICLASS:
            columns[SCORE] = Type.NUMBER
        columns |= dict.fromkeys(self.outcomes, Type.NUMBER)
        return parse_metric(name, part.value, columns, part.better)

    def _check_outcomes(self) -> None:
        taken = {*RESERVED, *self.features}
        for number, name in enumerate(self.outcomes):
            if name in taken:
                problem = f"{name!r} is a feature, a field or an outcome already"
                raise wrong(problem, "give it another name", "outcomes", number)
            taken.add(name)

    def _check_classes(self) -> None:
        count = len(self.classes)
        if len(set(self.classes)) < count:
            raise wrong("names a class twice", "keep each once", "classes")
        if self.task is Task.REGRESSION and count:
            raise wrong("a regression has no classes", "remove it", "classes")
        if self.task is Task.BINARY and count not in {0, MIN_CLASSES}:
            problem = f"a binary model has two classes, not {count}"
            raise wrong(problem, "write [negative, positive]", "classes")
        if self.task is Task.MULTICLASS and count < MIN_CLASSES:
            remedy = "list the class names in the order of the model's output"
            raise wrong("a multiclass model needs at least two classes", remedy, "classes")

    def spec(self) -> ModelSpec:
        """Return the domain's view of the model."""
        audit = self.labels.audit
        chosen = None if audit is None else Audit(audit.column, audit.maturity)
        return ModelSpec(
            name=self.name,
            task=self.task,
            schema=Schema(tuple(part.column(name) for name, part in self.features.items())),
            labels=LabelSpec(self.labels.maturity, chosen),
            entity=self.entity,
            classes=self.classes,
            threshold=self.threshold,
            segments=self.segments,
            outcomes=self.outcomes,
            entity_handling=self.entity_personal,
        )


def _has_form(segment: str, form: str) -> bool:
    """Return whether a segment is called as in `form`, in which ``...`` stands for each value."""
    return re.fullmatch(".+".join(map(re.escape, form.split("..."))), segment) is not None
