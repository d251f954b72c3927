"""Has the registry's aliases say what the rollout's state says.

The state is the only champion pointer; aliases are for whoever reads the registry. They are
compared at each tick and moved where they differ: what was lost or changed by hand is mended.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

from homeostat.domain.alias import CHALLENGER, CHAMPION, PREVIOUS, AliasChange
from homeostat.domain.errors import NotFoundError
from homeostat.engine.ports import Registry
from homeostat.rollout.state import RolloutState

ACTOR = "homeostat"


def mirror(registry: Registry, state: RolloutState, now: datetime) -> None:
    """Move the model's aliases to where its rollout stands; other aliases are left alone.

    A version that the registry does not know cannot be pointed at: its alias then points nowhere,
    rather than at a version that it is not.

    Raises
    ------
    ConflictError
        If somebody else moves them meanwhile; the next tick looks again.
    HomeostatError
        If the registry is away.
    """
    wanted = {
        PREVIOUS: state.previous,
        CHAMPION: state.champion,
        CHALLENGER: state.challenger,
    }
    found = registry.aliases(state.model)
    for alias, version in wanted.items():
        before = found.get(alias, "")
        if before == version:
            continue
        change = AliasChange(state.model, alias, version, before, now, ACTOR, state.reason)
        try:
            registry.point(change)
        except NotFoundError:
            if before:
                reason = f"version {version} is not in the registry"
                away = AliasChange(state.model, alias, "", before, now, ACTOR, reason)
                with suppress(NotFoundError):
                    registry.point(away)
