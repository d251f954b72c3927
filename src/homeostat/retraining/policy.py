"""When to retrain: triggers, and the guards that can make a run wait or refuse it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from homeostat.retraining.freeze import Freeze, frozen_by
from homeostat.retraining.gate.behaviour import Expectation
from homeostat.retraining.gate.limits import GateLimits
from homeostat.retraining.rows import DataPolicy

MONTH = timedelta(days=30)


class TriggerKind(StrEnum):
    """What asks for a retraining."""

    PERFORMANCE = "performance"
    ESTIMATED = "estimated"
    CONCEPT = "concept"
    AGE = "age"
    DRIFT = "drift"
    SCHEDULE = "schedule"
    NEW_DATA = "new_data"
    EMERGENCY = "emergency"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True)
class Trigger:
    """One reason to retrain, in words."""

    kind: TriggerKind
    reason: str


@dataclass(frozen=True, slots=True)
class RetrainingPolicy:
    """When a model may and should be retrained.

    Attributes
    ----------
    performance_windows : int or None
        Consecutive matured windows with a performance drop that trigger; None: never.
    performance_floor : tuple of (str, float)
        A window also counts as a drop when one of these metrics is below its floor.
    estimated_floor : tuple of (str, float)
        Estimates without labels of these metrics trigger when their upper ends are below the floor
        in `performance_windows` consecutive windows. What is not identifiable is never below.
    concept_drift : bool
        A diagnosis of concept drift triggers.
    max_age : timedelta or None
        Age of the data that the champion knows which triggers, however often it was tried since.
    drift_share : float or None
        Share of features drifted that triggers, exclusive, in [0, 1].
    schedule : timedelta or None
        Age of the champion's training that triggers.
    new_data_share : float or None
        Newly labelled rows, as a share of the rows trained on, that trigger.
    hybrid : bool
        The schedule decides, and between its dates only an emergency does: more than
        `emergency_share` of the features drifted or a rise of the loss above `emergency_drop`
        (relative). An emergency does not wait for the cooldown.
    cooldown : timedelta
        Least time between the starts of two runs.
    budget_per_month : int
        Most runs started in any 30 days.
    min_rows, min_per_class : int
        Matured labels needed, counted since the onset of the change (classification: of each
        class).
    window : timedelta
        Training history before the hold-out.
    holdout : timedelta
        Newest matured predictions, kept out of training, on which the gate compares.
    timeout : timedelta
        A training that takes longer is cancelled.
    gate : GateLimits
        What a candidate must not be worse in, besides its loss.
    freezes : tuple of Freeze
        Times in which no training starts, whoever asks.
    data : DataPolicy
        Which rows are trained on.
    expected : tuple of Expectation
        What the owner expects of every candidate, besides.

    Raises
    ------
    ValueError
        If a figure is out of range.
    """

    performance_windows: int | None = 3
    performance_floor: tuple[tuple[str, float], ...] = ()
    estimated_floor: tuple[tuple[str, float], ...] = ()
    concept_drift: bool = False
    max_age: timedelta | None = None
    drift_share: float | None = 0.4
    schedule: timedelta | None = None
    new_data_share: float | None = None
    hybrid: bool = False
    emergency_share: float = 0.3
    emergency_drop: float = 0.05
    cooldown: timedelta = timedelta(days=3)
    budget_per_month: int = 4
    min_rows: int = 1000
    min_per_class: int = 50
    window: timedelta = timedelta(days=60)
    holdout: timedelta = timedelta(days=7)
    timeout: timedelta = timedelta(hours=6)
    gate: GateLimits = field(default_factory=GateLimits)
    freezes: tuple[Freeze, ...] = ()
    data: DataPolicy = DataPolicy()  # noqa: RUF009 - a frozen value
    expected: tuple[Expectation, ...] = ()

    def __post_init__(self) -> None:
        schedule = MONTH if self.schedule is None else self.schedule
        age = MONTH if self.max_age is None else self.max_age
        durations = (self.window, self.holdout, self.timeout, schedule, age)
        if min(durations) <= timedelta(0) or self.cooldown < timedelta(0):
            raise ValueError("a retraining policy's durations must be positive")
        if self.performance_windows is not None and self.performance_windows < 1:
            raise ValueError("performance_windows must be at least 1, or null for never")
        if min(self.budget_per_month, self.min_rows, self.min_per_class) < 0:
            raise ValueError("a retraining policy's budget and row counts cannot be negative")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the engine knows about a model when it asks whether to retrain.

    Attributes
    ----------
    now : datetime
    drops : int
        Newest consecutive matured windows whose performance verdict is ``drift``.
    metrics : tuple of tuple of (str, float)
        Metrics of the last matured windows, newest last.
    estimates : tuple of tuple of (str, float)
        Upper ends of the metrics estimated for the last windows, newest last.
    concept_drift : str
        The diagnosis in words where it is concept drift that retraining mends; else empty.
    performance_drop : float
        Rise of the mean loss as a share of the baseline's; 0: none, NaN: not known.
    share_drifted : float
        Share of features drifted.
    data_faults : tuple of str
        Active data faults in words; empty: none.
    trained_until : datetime or None
        End of the champion's training data.
    trained_rows, new_rows : int
        Rows the champion was trained on, and rows labelled since.
    starts : tuple of datetime
        When earlier runs began training.
    labelled_rows : int
        Matured labelled rows since the onset of the change (no change: since training).
    labels_per_class : tuple of (str, int)
        The same by class; empty for regression.
    rolling_out : str
        Challenger under rollout; empty if none.
    requested_by, request_reason : str
        Who asked by hand, and why; empty if nobody.
    """

    now: datetime
    drops: int = 0
    metrics: tuple[tuple[tuple[str, float], ...], ...] = ()
    estimates: tuple[tuple[tuple[str, float], ...], ...] = ()
    concept_drift: str = ""
    performance_drop: float = 0.0
    share_drifted: float = 0.0
    data_faults: tuple[str, ...] = ()
    trained_until: datetime | None = None
    trained_rows: int = 0
    new_rows: int = 0
    starts: tuple[datetime, ...] = ()
    labelled_rows: int = 0
    labels_per_class: tuple[tuple[str, int], ...] = ()
    rolling_out: str = ""
    requested_by: str = ""
    request_reason: str = ""


def triggers(policy: RetrainingPolicy, facts: Facts) -> tuple[Trigger, ...]:
    """Return every reason to retrain, the most urgent first; empty if there is none.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> now = datetime(2024, 1, 1, tzinfo=UTC)
    >>> triggers(RetrainingPolicy(), Facts(now, drops=2))
    ()
    >>> triggers(RetrainingPolicy(), Facts(now, drops=3))[0].reason
    'performance dropped in 3 consecutive windows'
    """
    found = [*_manual(facts)]
    if policy.hybrid:
        found += [*_emergency(policy, facts)]
    else:
        found += [*_performance(policy, facts), *_estimated(policy, facts)]
        found += [*_concept(policy, facts), *_drift(policy, facts), *_new_data(policy, facts)]
    return (*found, *_schedule(policy, facts), *_age(policy, facts))


def _manual(facts: Facts) -> Iterator[Trigger]:
    if facts.requested_by:
        why = f": {facts.request_reason}" if facts.request_reason else ""
        yield Trigger(TriggerKind.MANUAL, f"asked for by {facts.requested_by}{why}")


def _emergency(policy: RetrainingPolicy, facts: Facts) -> Iterator[Trigger]:
    if facts.performance_drop > policy.emergency_drop:
        text = f"loss rose by {facts.performance_drop:.0%} of the baseline"
        yield Trigger(TriggerKind.EMERGENCY, f"{text} (limit {policy.emergency_drop:.0%})")
    if facts.share_drifted > policy.emergency_share:
        text = f"{facts.share_drifted:.0%} of the features drifted"
        yield Trigger(TriggerKind.EMERGENCY, f"{text} (limit {policy.emergency_share:.0%})")


def _performance(policy: RetrainingPolicy, facts: Facts) -> Iterator[Trigger]:
    needed = policy.performance_windows
    if needed is None:
        return
    if facts.drops >= needed:
        text = f"performance dropped in {facts.drops} consecutive windows"
        yield Trigger(TriggerKind.PERFORMANCE, text)
    for text in _below(policy.performance_floor, facts.metrics, needed):
        yield Trigger(TriggerKind.PERFORMANCE, text)


def _estimated(policy: RetrainingPolicy, facts: Facts) -> Iterator[Trigger]:
    needed = policy.performance_windows
    if needed is not None:
        for text in _below(policy.estimated_floor, facts.estimates, needed):
            yield Trigger(TriggerKind.ESTIMATED, f"estimated {text}")


def _below(
    floors: tuple[tuple[str, float], ...],
    windows: tuple[tuple[tuple[str, float], ...], ...],
    needed: int,
) -> Iterator[str]:
    for name, floor in floors:
        # A window without the metric breaks the run: unknown is not low.
        newest = [dict(point).get(name, floor) for point in windows[-needed:]]
        if len(newest) == needed and all(value < floor for value in newest):
            yield f"{name} below {floor:g} in {needed} consecutive windows"


def _concept(policy: RetrainingPolicy, facts: Facts) -> Iterator[Trigger]:
    if policy.concept_drift and facts.concept_drift:
        yield Trigger(TriggerKind.CONCEPT, f"concept drift: {facts.concept_drift}")


def _age(policy: RetrainingPolicy, facts: Facts) -> Iterator[Trigger]:
    if policy.max_age is None or facts.trained_until is None:
        return
    age = facts.now - facts.trained_until
    if age >= policy.max_age:
        text = f"the champion knows nothing of the last {age.days} days"
        yield Trigger(TriggerKind.AGE, f"{text} (limit {policy.max_age.days})")


def _drift(policy: RetrainingPolicy, facts: Facts) -> Iterator[Trigger]:
    if policy.drift_share is not None and facts.share_drifted > policy.drift_share:
        text = f"{facts.share_drifted:.0%} of the features drifted"
        yield Trigger(TriggerKind.DRIFT, f"{text} (limit {policy.drift_share:.0%})")


def _new_data(policy: RetrainingPolicy, facts: Facts) -> Iterator[Trigger]:
    if policy.new_data_share is None or not facts.trained_rows:
        return
    share = facts.new_rows / facts.trained_rows
    if share >= policy.new_data_share:
        yield Trigger(TriggerKind.NEW_DATA, f"{share:.0%} new labelled rows since training")


def _schedule(policy: RetrainingPolicy, facts: Facts) -> Iterator[Trigger]:
    if policy.schedule is None or facts.trained_until is None:
        return
    age = facts.now - max((facts.trained_until, *facts.starts))
    if age >= policy.schedule:
        yield Trigger(TriggerKind.SCHEDULE, f"last training is {age.days} days old")


class Outcome(StrEnum):
    """Answer of the guards."""

    OK = "ok"
    WAIT = "wait"
    REFUSE = "refuse"


class Guard(StrEnum):
    """What can hold a run back."""

    DATA_FAULT = "data_fault"
    FREEZE = "freeze"
    ROLLOUT = "rollout"
    COOLDOWN = "cooldown"
    BUDGET = "budget"
    ROWS = "rows"
    CLASSES = "classes"


@dataclass(frozen=True, slots=True)
class GuardResult:
    """Whether a run may train now, and every guard that says no, in words."""

    outcome: Outcome
    objections: tuple[tuple[Guard, str], ...] = ()

    @property
    def reason(self) -> str:
        """All objections in one sentence."""
        return "; ".join(text for _, text in self.objections)


def guards(
    policy: RetrainingPolicy, facts: Facts, kind: TriggerKind = TriggerKind.PERFORMANCE
) -> GuardResult:
    """Return whether a run that `kind` asked for may train now.

    A data fault refuses it: broken data must be mended, not learnt. The other guards make it wait;
    a request by hand or an emergency need not wait for cooldown and budget, but for the end of a
    freeze.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> now = datetime(2024, 1, 1, tzinfo=UTC)
    >>> counts = (("genuine", 5000), ("fraud", 20))
    >>> facts = Facts(now, labelled_rows=5020, labels_per_class=counts)
    >>> guards(RetrainingPolicy(), facts).reason
    'only 20 of 50 matured labels of class fraud'
    >>> guards(RetrainingPolicy(), Facts(now, data_faults=("amount is in cents",))).outcome.value
    'refuse'
    """
    if facts.data_faults:
        text = f"data fault: {'; '.join(facts.data_faults)}; mend it upstream"
        return GuardResult(Outcome.REFUSE, ((Guard.DATA_FAULT, text),))
    hurried = kind in {TriggerKind.MANUAL, TriggerKind.EMERGENCY}
    pace = () if hurried else tuple(_pace(policy, facts))
    frozen = ((Guard.FREEZE, text) for text in frozen_by(policy.freezes, facts.now))
    objections = (*frozen, *_rollout(facts), *pace, *_labels(policy, facts))
    return GuardResult(Outcome.WAIT if objections else Outcome.OK, objections)


def _rollout(facts: Facts) -> Iterator[tuple[Guard, str]]:
    if facts.rolling_out:
        yield Guard.ROLLOUT, f"{facts.rolling_out} is under rollout"


def _pace(policy: RetrainingPolicy, facts: Facts) -> Iterator[tuple[Guard, str]]:
    if facts.starts and facts.now - max(facts.starts) < policy.cooldown:
        until = max(facts.starts) + policy.cooldown
        yield Guard.COOLDOWN, f"cooldown until {until:%Y-%m-%d %H:%M}"
    recent = sum(facts.now - start < MONTH for start in facts.starts)
    if recent >= policy.budget_per_month:
        yield Guard.BUDGET, f"{recent} of {policy.budget_per_month} runs in 30 days are used up"


def _labels(policy: RetrainingPolicy, facts: Facts) -> Iterator[tuple[Guard, str]]:
    if facts.labelled_rows < policy.min_rows:
        text = f"only {facts.labelled_rows} of {policy.min_rows} matured labels"
        yield Guard.ROWS, text
    for name, count in facts.labels_per_class:
        if count < policy.min_per_class:
            text = f"only {count} of {policy.min_per_class} matured labels of class {name}"
            yield Guard.CLASSES, text
