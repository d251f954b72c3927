"""The persisted state of a model's rollout, its policy, and the route that follows from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from homeostat.domain.route import Route
from homeostat.rollout.guardrails import GuardrailPolicy


class Stage(StrEnum):
    """Where a model's rollout stands; ``CHAMPION`` is rest, ``EMPTY`` comes before any version."""

    EMPTY = "empty"
    CHAMPION = "champion"
    CANDIDATE = "candidate"
    SHADOW = "shadow"
    CANARY = "canary"
    PROMOTING = "promoting"


@dataclass(frozen=True, slots=True)
class RolloutPolicy:
    """What a challenger must show before it becomes champion.

    Attributes
    ----------
    shadow_min, shadow_min_rows : timedelta, int
        Least time and least matured rows in shadow.
    ramp : tuple of float
        Share of entities that the challenger answers in each canary step, rising, in (0, 1);
        empty: no canary.
    step_min, step_min_rows : timedelta, int
        Least time in each canary step; least callers served in it, and least pairs matured.
    alpha : float
        Error that the owner accepts for one promotion; evidence must reach ``1 / alpha``.
    probation : timedelta
        After a promotion or push the previous champion is kept warm, and a guardrail breach rolls
        back by itself, for this long.
    patience : timedelta
        A rollout without proof after this time is aborted.
    approval : bool
        A person has to approve each promotion.
    futility : float
        In [0, 1): a rollout ends, inconclusive, once the probability that proof still comes within
        `patience` is less than this (`homeostat.rollout.futility`); 0: it always waits.
    guardrails : GuardrailPolicy
        What a canary may do worse than the champion.

    Raises
    ------
    ValueError
        If a figure is out of range.
    """

    shadow_min: timedelta = timedelta(days=1)
    shadow_min_rows: int = 500
    ramp: tuple[float, ...] = (0.1, 0.5)
    step_min: timedelta = timedelta(hours=6)
    step_min_rows: int = 100
    alpha: float = 0.05
    probation: timedelta = timedelta(days=7)
    patience: timedelta = timedelta(days=60)
    approval: bool = False
    futility: float = 0.05
    guardrails: GuardrailPolicy = field(default_factory=GuardrailPolicy)

    def __post_init__(self) -> None:
        if not 0 <= self.futility < 1:
            raise ValueError(f"futility is {self.futility}; it must lie in [0, 1)")
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha is {self.alpha}; it must lie between 0 and 1")
        if any(not 0 < weight < 1 for weight in self.ramp):
            raise ValueError(f"ramp is {self.ramp}; each share must lie between 0 and 1")
        if list(self.ramp) != sorted(set(self.ramp)):
            raise ValueError(f"ramp is {self.ramp}; the shares must rise from step to step")
        if min(self.shadow_min_rows, self.step_min_rows) < 1:
            raise ValueError("a step needs at least one row; without data nothing is promoted")


@dataclass(frozen=True, slots=True)
class RolloutState:
    """Who serves, who wants to, and how far it got.

    Attributes
    ----------
    champion : str
        Version that serves; empty only in stage ``EMPTY``.
    lineage : tuple of str
        Earlier champions to go back to, newest last; none that did harm or was withdrawn since.
    challenger : str
        Version under rollout; empty at rest.
    step, weight : int, float
        Canary step (from 0) and the share of entities that the challenger answers.
    since : datetime or None
        Start of the current stage or step.
    submitted_at, promoted_at, probation_until : datetime or None
    aborted : tuple of str
        Versions that were aborted or rolled back and did not serve since: never rolled out again by
        themselves.
    reason : str
        Why the state is as it is.
    approved_by : str
        Who approved the promotion that waits.
    said : str
        The last "not yet" on record, so that it is recorded once.
    """

    model: str
    stage: Stage = Stage.EMPTY
    champion: str = ""
    lineage: tuple[str, ...] = ()
    challenger: str = ""
    step: int = 0
    weight: float = 0.0
    since: datetime | None = None
    submitted_at: datetime | None = None
    promoted_at: datetime | None = None
    probation_until: datetime | None = None
    aborted: tuple[str, ...] = ()
    reason: str = ""
    approved_by: str = ""
    said: str = ""

    @property
    def previous(self) -> str:
        """Version that a roll-back goes to; empty if there is none."""
        return self.lineage[-1] if self.lineage else ""

    def on_probation(self, now: datetime) -> bool:
        """Whether the champion is so new that a breach rolls it back."""
        return self.probation_until is not None and now < self.probation_until


def ready_to_promote(state: RolloutState, policy: RolloutPolicy) -> bool:
    """Whether `Promoted` may be sent: canary passed and, where asked for, approved by a person."""
    return state.stage is Stage.PROMOTING and (bool(state.approved_by) or not policy.approval)


def route(state: RolloutState, now: datetime, degraded: tuple[str, ...] = ()) -> Route:
    """Return the traffic plan that the state asks for.

    In a canary both versions also shadow the rows that the other one answers, so that their losses
    stay paired on all traffic.

    Parameters
    ----------
    state : RolloutState
    now : datetime
        Ends the probation, during which the previous champion is kept warm as a shadow.
    degraded : tuple of str
        Features known to be broken upstream.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> state = RolloutState("fraud", Stage.CANARY, "v1", challenger="v2", weight=0.1)
    >>> plan = route(state, datetime(2024, 1, 1, tzinfo=UTC))
    >>> plan.champion, plan.challenger, plan.weight, plan.shadows
    ('v1', 'v2', 0.1, ('v2', 'v1'))
    """
    proven = state.stage in {Stage.CANARY, Stage.PROMOTING}
    live = proven and state.weight > 0
    compared = (state.challenger,) if proven or state.stage is Stage.SHADOW else ()
    partner = (state.champion,) if live else ()
    warm = (state.previous,) if state.previous and state.on_probation(now) else ()
    return Route(
        model=state.model,
        champion=state.champion,
        challenger=state.challenger if live else "",
        weight=state.weight if live else 0.0,
        shadows=tuple(dict.fromkeys(compared + partner + warm)),
        degraded=degraded,
    )
