"""Settings of what Homeostat does about a finding: fall back, retrain, roll out, tell people."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from homeostat.domain.decision import Severity
from homeostat.domain.model import Task
from homeostat.entrypoints.settings.expected import Expected
from homeostat.entrypoints.settings.hours import Stretch
from homeostat.entrypoints.settings.monitors import Moment
from homeostat.entrypoints.settings.part import Part, only_one
from homeostat.entrypoints.settings.routes import Escalation
from homeostat.entrypoints.settings.rules import OwnRule
from homeostat.entrypoints.settings.trainers import Trainer, TrainingLimits
from homeostat.entrypoints.settings.values import (
    Count,
    Duration,
    Flag,
    Name,
    Number,
    Share,
    Wait,
    Weight,
    wrong,
)
from homeostat.retraining.freeze import Calendar, Span
from homeostat.retraining.rows import WEIGHT

Factor = Annotated[Number, Field(ge=0)]


class Cached(Part):
    """Answer with the entity's last prediction."""

    ttl: Duration = timedelta(hours=1)
    """Age up to which a cached prediction may answer."""


class Rule(Part):
    """Answer with a score when an expression over the features is true."""

    when: str = Field(min_length=1)
    """Such as ``amount > 500 and country != 'PT'``."""
    score: Number
    """The answer."""


class Default(Part):
    """Answer with one score, whatever the request."""

    score: Number
    """The answer."""


class Lighter(Part):
    """Answer with another registered version, usually one with fewer features."""

    version: str = Field(min_length=1)
    """The version."""
    share: Annotated[Number, Field(gt=0, lt=1)] = 0.3
    """Part of gateway.deadline that is kept for it, out of the reach of what comes before."""


class Tier(Part):
    """One fallback tier: exactly one of the four; a default comes last."""

    cached: Cached | None = None
    """The entity's last prediction."""
    lighter: Lighter | None = None
    """Another version."""
    rules: tuple[Rule, ...] | None = Field(default=None, min_length=1)
    """The first rule that is true."""
    default: Default | None = None
    """Always the same."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        only_one(self, "cached", "lighter", "rules", "default")
        return self


class Dates(Part):
    """A stretch of time."""

    since: Moment
    """When it begins: a day, or a time."""
    until: Moment
    """When it is over."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.until <= self.since:
            raise wrong("is not after since", "give the two in order", "until")
        return self


class FreezeTimes(Part):
    """Times in which no training starts: hours of the week, or a stretch of time."""

    weekly: Stretch | None = None
    """Hours of the week."""
    dates: Dates | None = None
    """From when to when, such as ``{since: 2026-11-27, until: 2026-12-01}``."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        only_one(self, "weekly", "dates")
        return self

    def times(self) -> Calendar:
        """Return the domain's view of them."""
        if self.weekly is not None:
            return self.weekly.hours()
        assert self.dates is not None  # one of the two is there
        return Span(self.dates.since, self.dates.until)


class Gate(Part):
    """What a candidate must not be worse in than the champion, besides its loss; null: not judged.

    It is refused where it is worse by more than the limit and that is beyond chance.
    """

    segment: Factor | None = 0.1
    """Rise of a segment's loss, as a part of the champion's there."""
    segment_proof: Flag = False
    """Each segment must be shown to be within the limit; needs many rows of each."""
    calibration: Factor | None = 0.02
    """Rise of the expected calibration error."""
    value: Factor | None = 0.02
    """Fall of a business metric, as a part of the champion's."""
    latency: Annotated[Number, Field(ge=1)] | None = 2.0
    """Ratio of the times to score one row, at the median and at the 95th percentile."""
    size_mb: Annotated[Number, Field(ge=1)] | None = None
    """Largest artifact, in megabytes."""
    robustness: Factor | None = 0.5
    """Rise of the loss on rows with noise, missing values or wrong units, as a part of the
    champion's on the same rows."""


class TrainingData(Part):
    """Which rows a model is trained on; a column ``training_weight`` may say what each counts."""

    refit: Flag = False
    """Once a candidate has passed the gate, train once more, with the hold-out's rows. The result
    serves if it agrees with the candidate."""
    early: Flag = False
    """With refit: train on rows that are too young for all labels, too. A label that has not come
    counts as what it will probably be. Binary models only."""
    kinds: tuple[Name, ...] = ()
    """Features that decide how long a label takes, such as the days until arrival."""
    agreement: Factor = 0.25
    """How far the refit's scores of the newest rows may be from the candidate's on average, in
    standard deviations of the labels (multi-class: on which share of the rows)."""
    half_life: Duration | None = None
    """A row this much older counts half as much; null: all alike."""
    negatives: Annotated[Number, Field(gt=0, le=1)] = 1.0
    """Share of the negative class that is kept; it counts for all, so that scores stay right."""
    max_rows: Count | None = None
    """Most rows; of more, each class gives its share."""
    propensity: str = ""
    """Feature or outcome with the probability that the row was to get a label, of a policy that
    answers some rows at random; a row counts for its inverse."""

    @model_validator(mode="after")
    def _refitted(self) -> Self:
        if self.early and not self.refit:
            raise wrong("needs a refit", "add refit: true, or remove early", "early")
        return self

    def check(self, task: Task, features: Collection[str], outcomes: Collection[str]) -> None:
        """Refuse what a model of this task, with these features and outcomes, cannot have."""
        where = ("retraining", "data")
        if task is not Task.BINARY and self.early:
            raise wrong("is for binary models", "remove early", *where, "early")
        if task is not Task.BINARY and self.negatives < 1:
            raise wrong("is for binary models", "use max_rows", *where, "negatives")
        for place, name in enumerate(self.kinds):
            if name not in features:
                raise wrong(f"{name!r} is no feature", "name one", *where, "kinds", place)
        if self.propensity and self.propensity not in {*features, *outcomes}:
            problem = f"{self.propensity!r} is neither a feature nor an outcome"
            raise wrong(problem, "name one of them", *where, "propensity")
        if WEIGHT in features and (self.early or self != TrainingData(refit=self.refit)):
            raise wrong(f"the feature {WEIGHT} hides the weights", "rename the feature", *where)


class Retraining(Part):
    """When to retrain, on what, and how a candidate is judged."""

    trainer: Trainer
    """Where it is trained: ``train.py:train``, or a command, a container, a webhook or Airflow."""
    limits: TrainingLimits = TrainingLimits()
    """What a training on this machine may take."""
    performance_windows: Count | None = 3
    """Retrain after so many windows in a row with worse performance; null: never."""
    floor: dict[str, Number] = Field(default_factory=dict)
    """A window also counts as worse when a metric is below its floor, such as ``auc: 0.8``."""
    estimated_floor: dict[str, Number] = Field(default_factory=dict)
    """Retrain when a metric's estimate without labels is below its floor, even at the upper end of
    its interval, in performance_windows windows in a row. What cannot be identified never is."""
    concept_drift: Flag = False
    """Retrain when the diagnosis is concept drift: same inputs, other labels."""
    max_age: Duration | None = None
    """Retrain when the champion knows nothing of so long a time, also if candidates were refused
    since; null: never."""
    drift_share: Share | None = 0.4
    """Retrain when more than this share of the features has drifted; null: never."""
    schedule: Duration | None = None
    """Retrain when the champion's training is this old; null: never."""
    new_data_share: Annotated[Number, Field(gt=0)] | None = None
    """Retrain when so many rows were labelled since, as a share of the rows trained on."""
    hybrid: Flag = False
    """The schedule decides, and between its dates only an emergency does."""
    emergency_share: Share = 0.3
    """Emergency: more than this share of the features has drifted."""
    emergency_drop: Weight = 0.05
    """Emergency: performance fell by more than this part of what it was."""
    cooldown: Wait = timedelta(days=3)
    """Least time between the starts of two trainings."""
    budget_per_month: Count = 4
    """Most trainings in any 30 days."""
    min_rows: Count = 1000
    """Fewest matured rows, since the change began, to train on."""
    min_per_class: Count = 50
    """Fewest of them of each class."""
    window: Duration = timedelta(days=60)
    """How far back the training rows reach."""
    holdout: Duration = timedelta(days=7)
    """The newest matured stretch, kept out of training, on which the candidate is judged."""
    timeout: Duration = timedelta(hours=6)
    """A training that takes longer is cancelled."""
    freeze: dict[Name, FreezeTimes] = Field(default_factory=dict)
    """By name: times in which no training starts, whoever asks; what is due waits for their end."""
    margin: Number = 0.0
    """Part of the champion's loss by which a candidate, or challenger, may be worse; negative: must
    be better on the hold-out."""

    gate: Gate = Gate()
    """What else the candidate must not be worse in."""
    data: TrainingData = TrainingData()
    """Which rows it is trained on."""
    checks: dict[Name, Expected] = Field(default_factory=dict)
    """By name: what you expect of every candidate, on rows that you choose."""

    @model_validator(mode="after")
    def _scheduled(self) -> Self:
        if self.hybrid and self.schedule is None:
            raise wrong("needs a schedule", "add schedule: 30d, or remove hybrid", "hybrid")
        return self


class Guardrails(Part):
    """What a canary may do worse than the champion, of the same time, before it is taken back."""

    alpha: Weight = 0.05
    """Accepted probability that a challenger that is not worse is ever taken back; all share it."""
    latency: Annotated[Number, Field(ge=1)] | None = 1.25
    """So many times the champion's latency, at the quantile; null: not guarded."""
    quantile: Weight = 0.95
    """Which quantile of the latency."""
    errors: Annotated[Number, Field(ge=0, lt=1)] | None = 0.005
    """By so much may the share of failed answers be higher; null: not guarded."""
    scores: Annotated[Number, Field(ge=0, lt=1)] | None = 0.4
    """So far apart may the distributions of scores be (Kolmogorov distance); null: not guarded."""
    value: Factor | None = 0.0
    """By this part of the champion's mean may a business metric be worse; null: not guarded."""
    sample_ratio: Weight = 0.001
    """Accepted probability that a right split of traffic is ever taken for a wrong one."""
    settle: Wait = timedelta(minutes=1)
    """After a change of the route, how long answers do not count."""


class Rollout(Part):
    """How a challenger becomes champion."""

    shadow_min: Wait = timedelta(days=1)
    """Shortest stay in shadow."""
    shadow_min_rows: Count = 500
    """Fewest matured shadow answers before the next stage."""
    ramp: tuple[Weight, ...] = (0.1, 0.5)
    """Traffic weights of the canary, rising; empty: no canary."""
    step_min: Wait = timedelta(hours=6)
    """Shortest stay on each step of the canary."""
    step_min_rows: Count = 100
    """Fewest rows answered on each step of the canary."""
    alpha: Weight = 0.05
    """Accepted probability of a wrong promotion."""
    probation: Wait = timedelta(days=7)
    """After a promotion, once its first labels are complete: how long the previous champion is kept
    warm and a breach rolls back."""
    patience: Duration = timedelta(days=60)
    """A rollout without proof after this time is aborted."""
    approval: Flag = False
    """Whether a person must approve before promotion."""
    futility: Annotated[Number, Field(ge=0, lt=1)] = 0.05
    """A rollout ends, inconclusive, once proof within its patience is less probable; 0: never."""
    guardrails: Guardrails = Guardrails()
    """What a canary may do worse."""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if list(self.ramp) != sorted(set(self.ramp)):
            raise wrong("must rise from step to step", "write it like [0.1, 0.5]", "ramp")
        return self


class Override(Part):
    """What differs from the built-in alert rule; what is left out stays."""

    hold: Wait | None = None
    """How long the condition must last before the alert fires."""
    keep_firing: Wait | None = None
    """How long it must be gone before the alert resolves."""
    severity: Severity | None = None
    """critical, warning or info."""
    receivers: tuple[Name, ...] | None = None
    """Who is told."""


class Alerts(Part):
    """Who is told, exceptions from the built-in rules, and rules of the owner's."""

    receivers: tuple[Name, ...] = ()
    """Receivers of this model's alerts; default: as routes say, or all of them."""
    team: str = ""
    """Team that owns the model, for routes."""
    escalation: tuple[Escalation, ...] | None = None
    """Whom critical incidents are told to that nobody takes on; default: as the deployment says."""
    overrides: dict[str, Override] = Field(default_factory=dict)
    """By the name of the alert rule."""
    rules: dict[Name, OwnRule | None] = Field(default_factory=dict)
    """By name; null switches one of the deployment's off."""
