"""Commands about the rollout, carried out: by a tick, or at once by whoever brings them.

Both may happen at one time. States are compared when they are saved, so that each command is
carried out once; and who publishes looks afterwards whether the states still ask for that route,
so that the newest one is what stays published, whoever was slower.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from homeostat.domain.decision import Decision
from homeostat.domain.errors import ConflictError
from homeostat.domain.route import Route
from homeostat.engine.arms import Arms, arms_key, arms_of, follow, laid_over, standing
from homeostat.engine.commands import Inbox, Request, inbox_key
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Records, Registry, Routes, UnitOfWork
from homeostat.engine.rollouts import Rolled, obey
from homeostat.engine.watch import Watch, rollout_key, watch_key
from homeostat.rollout.state import RolloutState, route

ATTEMPTS = 5
FOR_THE_TURN = frozenset(
    {
        *(Request.RETRAIN, Request.ACKNOWLEDGE, Request.CLOSE),
        *(Request.START_BANDIT, Request.STOP_BANDIT),
    }
)
NOT_ADOPTED = "no version is under care yet: homeostat adopt HISTORY makes the first"


def obey_commands(
    records: Records, registry: Registry, plan: ModelPlan, now: datetime
) -> tuple[Route, ...]:
    """Carry out commands about the rollout; the others are left for the turn.

    Returns
    -------
    tuple of Route
        The one to publish, if anything was asked for or arms stand.

    Raises
    ------
    ConflictError
        If another engine was first.
    """
    name = plan.spec.name
    with records.begin() as uow:
        uow.prepare((inbox_key(name), rollout_key(name), watch_key(name), arms_key(name)))
        inbox = uow.load(inbox_key(name), Inbox) or Inbox()
        mine = tuple(c for c in inbox.commands if c.request not in FOR_THE_TURN)
        rollout = uow.load(rollout_key(name), RolloutState)
        if rollout is None:
            return _refuse(uow, plan, inbox, now)
        if not mine and standing(uow, name) == Arms():
            return ()
        watch = uow.load(watch_key(name), Watch)
        rolled = obey(plan, Rolled(rollout), mine, registry, now)
        if mine:
            left = tuple(c for c in inbox.commands if c.request in FOR_THE_TURN)
            uow.save(inbox_key(name), Inbox(left))
            uow.save(rollout_key(name), rolled.state)
            uow.decide(*rolled.decisions)
        wanted = route(rolled.state, now, watch.broken if watch else ())
        wanted = laid_over(wanted, follow(uow, rolled.state, now, mine))
    return (wanted,)


def _refuse(uow: UnitOfWork, plan: ModelPlan, inbox: Inbox, now: datetime) -> tuple[Route, ...]:
    """Refuse what is asked of a model that was not adopted: nobody would ever come to it."""
    name = plan.spec.name
    if inbox.commands:
        uow.save(inbox_key(name), Inbox())
    uow.decide(
        *(
            Decision(
                name, now, each.actor, "refuse", each.subject, f"{each.request}: {NOT_ADOPTED}"
            )
            for each in inbox.commands
        )
    )
    return ()


def publish(records: Records, routes: Routes, wanted: Route, now: datetime) -> None:
    """Make the published route what the states ask for.

    Parameters
    ----------
    records : Records
    routes : Routes
    wanted : Route
        What they asked for when they were last read.
    now : datetime
    """
    for _ in range(ATTEMPTS):
        if routes.current(wanted.model) == wanted:
            return
        routes.publish(wanted)
        wanted = _asked(records, wanted.model, now) or wanted


def _asked(records: Records, model: str, now: datetime) -> Route | None:
    state = records.read(rollout_key(model), RolloutState)
    watch = records.read(watch_key(model), Watch)
    if state is None:
        return None
    return laid_over(route(state, now, watch.broken if watch else ()), arms_of(records, model))


def carry_out(
    records: Records, registry: Registry, routes: Routes, plan: ModelPlan, now: datetime
) -> None:
    """Carry out at once what waits in a model's inbox, and publish; needs no control plane.

    Raises
    ------
    ConflictError
        If others were first again and again; the next tick does it.
    HomeostatError
        If the route cannot be published; the next tick does that.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(ConflictError):
            return _carry_out(records, registry, routes, plan, now)
    return _carry_out(records, registry, routes, plan, now)


def _carry_out(
    records: Records, registry: Registry, routes: Routes, plan: ModelPlan, now: datetime
) -> None:
    for wanted in obey_commands(records, registry, plan, now):
        publish(records, routes, wanted, now)
