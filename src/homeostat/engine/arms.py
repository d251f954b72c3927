"""Arms and further shadows of a model's route: state of their own, laid over what the rollout asks.

Operators, experiments and bandits publish here and nowhere else; the engine's next tick carries it
to the gateways. Who wins:

- Of two owners the first: arms of another owner have to be withdrawn before.
- Arms over a canary: champion and challenger share the entities that no arm has. A canary that is
  left without any holds for want of rows, and is never promoted.
- A push or a roll-back by hand, and whatever else changes the champion, over arms: all of them end,
  as what they were compared with is gone and a way back has to reach everybody.
- An abort over an arm: a version that was aborted or rolled back loses its entities at once.

Shadows that an operator asked for stay through all of that, until they are taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from homeostat.domain.arms import Arm, allot
from homeostat.domain.decision import Decision
from homeostat.domain.errors import ConflictError, DataError
from homeostat.domain.route import Route
from homeostat.engine.commands import Command, Request
from homeostat.engine.ports import Records, UnitOfWork
from homeostat.engine.watch import rollout_key
from homeostat.rollout.state import RolloutState

AUTOMATIC = "homeostat"
OPERATOR = "operator"
ATTEMPTS = 5
MOST_SHADOWS = 5


@dataclass(frozen=True, slots=True)
class Arms:
    """What stands beside a model's rollout.

    Attributes
    ----------
    owner : str
        Who published the arms: `OPERATOR`, ``experiment:NAME`` or ``bandit:NAME``; empty: none do.
    experiment : str
        Salt by which entities are dealt out to the slots.
    champion : str
        Under which they were published; under another one they do not count.
    arms : tuple of Arm
    shadows : tuple of str
        Versions that an operator wants to score copies of requests.
    actor, reason, since
        Who changed the arms last and why, and when their owner published the first.
    """

    owner: str = ""
    experiment: str = ""
    champion: str = ""
    arms: tuple[Arm, ...] = ()
    shadows: tuple[str, ...] = ()
    actor: str = ""
    reason: str = ""
    since: datetime | None = None

    @property
    def shares(self) -> dict[str, float]:
        """The part of all entities that each arm has, in [0, 1]."""
        return {arm.version: arm.share for arm in self.arms}


def arms_key(model: str) -> str:
    """Return the state key of a model's arms."""
    return f"arms:{model}"


def standing(uow: UnitOfWork, model: str) -> Arms:
    """Return a model's arms, and have the commit fail if they change meanwhile and are saved."""
    return uow.load(arms_key(model), Arms) or Arms()


def arms_of(records: Records, model: str) -> Arms:
    """Return a model's arms without intent to change them."""
    return records.read(arms_key(model), Arms) or Arms()


def publish_arms(
    uow: UnitOfWork,
    model: str,
    shares: Mapping[str, float],
    *,
    owner: str,
    actor: str,
    reason: str,
    now: datetime,
    experiment: str = "",
) -> Arms:
    """Give each version its share of all entities; what the shares do not move stays.

    The one way to publish arms. Whether they still stand is for the owner to look at before it
    publishes again (`standing`): if `Arms.owner` is not itself any more, somebody ended them, and
    `Arms.reason` says why.

    Parameters
    ----------
    uow : UnitOfWork
    model : str
    shares : mapping of version to share
        In [0, 1], together at most 1; champion and challenger have the rest.
    owner : str
        `OPERATOR`, ``experiment:NAME`` or ``bandit:NAME``.
    actor, reason : str
        For the decision log.
    now : datetime
    experiment : str
        Salt: entities are dealt out anew when it changes. `owner` if empty.

    Returns
    -------
    Arms
        What stands at commit.

    Raises
    ------
    DataError
        If the model has no champion, the shares are none, a version was aborted, or arms of
        another owner stand.
    """
    salt = experiment or owner
    before, champion = _place(uow, model, shares, owner)
    same = (before.owner, before.experiment, before.champion) == (owner, salt, champion)
    arms = _allotted(model, shares, before.arms if same else ())
    since = before.since if same else now
    after = Arms(owner, salt, champion, arms, before.shadows, actor, reason, since)
    uow.save(arms_key(model), after)
    uow.decide(_published(model, after, now))
    return after


def _published(model: str, arms: Arms, now: datetime) -> Decision:
    told = " ".join(f"{version}={share:g}" for version, share in arms.shares.items())
    evidence = tuple((f"share {version}", share) for version, share in arms.shares.items())
    reason = f"{arms.owner}: {arms.reason}"
    return Decision(model, now, arms.actor, "publish_arms", told, reason, evidence)


def _place(
    uow: UnitOfWork, model: str, shares: Mapping[str, float], owner: str
) -> tuple[Arms, str]:
    """Return what stands and the champion, if there is a place for the owner's arms."""
    state = uow.load(rollout_key(model), RolloutState)
    if state is None or not state.champion:
        raise DataError(f"{model} has no champion yet; arms are for models under care")
    before = standing(uow, model)
    if before.owner not in {"", owner}:
        raise DataError(f"arms of {before.owner} stand for {model}; withdraw them first")
    barred = sorted(set(shares) & set(state.aborted))
    if barred:
        raise DataError(f"{', '.join(barred)} of {model} was aborted; it is given no entities")
    return before, state.champion


def _allotted(model: str, shares: Mapping[str, float], known: tuple[Arm, ...]) -> tuple[Arm, ...]:
    try:
        return allot(shares, known)
    except ValueError as error:
        raise DataError(f"arms of {model}: {error}") from error


def withdraw_arms(
    uow: UnitOfWork, model: str, *, actor: str, reason: str, now: datetime, owner: str = ""
) -> Arms:
    """End the arms of an owner, or with no owner given whoever's they are; shadows stay.

    Where there are none, nothing is written.
    """
    before = standing(uow, model)
    if not before.owner or owner not in {"", before.owner}:
        return before
    after = Arms(shadows=before.shadows, actor=actor, reason=reason, since=now)
    uow.save(arms_key(model), after)
    told = " ".join(before.shares)
    uow.decide(Decision(model, now, actor, "withdraw_arms", told, f"{before.owner}: {reason}"))
    return after


def set_shadow(
    uow: UnitOfWork, model: str, version: str, *, on: bool, actor: str, reason: str, now: datetime
) -> Arms:
    """Have a version score copies of requests, or no more; nothing is judged by that.

    Raises
    ------
    DataError
        If it names no version, or more than `MOST_SHADOWS` would shadow.
    """
    before = standing(uow, model)
    if not version:
        raise DataError("a shadow needs the name of a version")
    if (version in before.shadows) == on:
        return before
    others = tuple(other for other in before.shadows if other != version)
    if on and len(others) >= MOST_SHADOWS:
        raise DataError(f"{model} has {MOST_SHADOWS} shadows already: {', '.join(others)}")
    after = replace(before, shadows=(*others, version) if on else others)
    uow.save(arms_key(model), after)
    action = "add_shadow" if on else "remove_shadow"
    uow.decide(Decision(model, now, actor, action, version, reason))
    return after


def follow(
    uow: UnitOfWork, state: RolloutState, now: datetime, obeyed: Sequence[Command] = ()
) -> Arms:
    """End arms that the rollout has overtaken, or what a person asked of it; return what stands."""
    found = standing(uow, state.model)
    for command in obeyed:
        pushed = command.request is Request.PUSH and command.subject == state.champion
        if pushed or command.request is Request.ROLL_BACK:
            reason = f"asked to {command.request.replace('_', ' ')}, which is for everybody"
            return withdraw_arms(uow, state.model, actor=command.actor, reason=reason, now=now)
    if found.owner and found.champion != state.champion:
        reason = f"{state.champion} is champion now, in place of {found.champion}"
        return withdraw_arms(uow, state.model, actor=AUTOMATIC, reason=reason, now=now)
    gone = [arm.version for arm in found.arms if arm.version in state.aborted]
    if not gone:
        return found
    kept = tuple(arm for arm in found.arms if arm.version not in gone)
    reason = f"{', '.join(gone)} was aborted or rolled back"
    if not kept:
        return withdraw_arms(uow, state.model, actor=AUTOMATIC, reason=reason, now=now)
    found = replace(found, arms=kept, actor=AUTOMATIC, reason=reason)
    uow.save(arms_key(state.model), found)
    uow.decide(
        *(Decision(state.model, now, AUTOMATIC, "drop_arm", version, reason) for version in gone)
    )
    return found


def laid_over(route: Route, arms: Arms) -> Route:
    """Return the rollout's route with the arms and shadows that stand beside it.

    Examples
    --------
    >>> arms = Arms(OPERATOR, "prices", "v1", allot({"v2": 0.5}), shadows=("v3",))
    >>> found = laid_over(Route("fraud", "v1"), arms)
    >>> found.shares, found.shadows
    ({'v1': 0.5, 'v2': 0.5}, ('v3',))
    >>> laid_over(Route("fraud", "v9"), arms).arms
    ()
    """
    shadows = tuple(dict.fromkeys((*route.shadows, *arms.shadows)))
    if not arms.owner or arms.champion != route.champion:
        return replace(route, shadows=shadows)
    return replace(route, shadows=shadows, arms=arms.arms, experiment=arms.experiment)


def by_hand(records: Records, change: Callable[[UnitOfWork], Arms]) -> Arms:
    """Make one change in a unit of work of its own; durable on return.

    Raises
    ------
    ConflictError
        If other writers were first several times in a row.

    Examples
    --------
    >>> from datetime import UTC
    >>> from homeostat.rollout.state import Stage
    >>> from homeostat.simulation.clock import SimulatedClock
    >>> from homeostat.simulation.fakes import MemoryRecords
    >>> now = datetime(2024, 1, 1, tzinfo=UTC)
    >>> records = MemoryRecords(SimulatedClock(now))
    >>> with records.begin() as uow:
    ...     uow.save(rollout_key("fraud"), RolloutState("fraud", Stage.CHAMPION, "v1"))
    >>> asked = {"owner": OPERATOR, "actor": "ana", "reason": "try it", "now": now}
    >>> by_hand(records, lambda uow: publish_arms(uow, "fraud", {"v2": 0.1}, **asked)).shares
    {'v2': 0.1}
    >>> arms_of(records, "fraud").owner, records.decisions("fraud")[0].action
    ('operator', 'publish_arms')
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(ConflictError):
            return _made(records, change)
    return _made(records, change)


def _made(records: Records, change: Callable[[UnitOfWork], Arms]) -> Arms:
    with records.begin() as uow:
        return change(uow)
