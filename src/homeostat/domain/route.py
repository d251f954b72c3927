"""Which versions answer for a model: what the engine publishes and the gateway obeys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from homeostat.domain.arms import SLOTS, Arm, allot


@dataclass(frozen=True, slots=True)
class Route:
    """The traffic plan of one model.

    Attributes
    ----------
    model : str
    champion : str
        Version that answers; empty before the first one.
    challenger : str
        Version that answers the share ``weight`` of entities (canary); empty if none.
    weight : float
        In [0, 1].
    shadows : tuple of str
        Versions that score copies of each request; never seen by the caller. A version that also
        answers shadows only the rows that it does not answer.
    degraded : tuple of str
        Features that are known to be broken upstream: the model and every fallback tier that uses
        one of them is passed over. Empty: all is well.
    arms : tuple of Arm
        Versions that answer a share of all entities, for an experiment or a bandit; champion and
        challenger have the rest.
    experiment : str
        Its name: entities are dealt out anew for each.
    """

    model: str
    champion: str = ""
    challenger: str = ""
    weight: float = 0.0
    shadows: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()
    arms: tuple[Arm, ...] = ()
    experiment: str = ""

    def with_arms(self, shares: Mapping[str, float], experiment: str = "") -> Route:
        """Return the route with these shares of arms; within one experiment only what must moves.

        Raises
        ------
        ValueError
            As `allot`.

        Examples
        --------
        >>> route = Route("fraud", "v1").with_arms({"v2": 0.1, "v3": 0.1}, "prices")
        >>> route.with_arms({"v2": 0.1, "v3": 0.2}, "prices").arms[0] == route.arms[0]
        True
        """
        known = self.arms if experiment == self.experiment else ()
        return replace(self, arms=allot(shares, known), experiment=experiment)

    @property
    def versions(self) -> tuple[str, ...]:
        """Versions that must be loaded, champion first, each once."""
        arms = (arm.version for arm in self.arms if arm.slots)
        named = (self.champion, self.challenger, *arms, *self.shadows)
        return tuple(dict.fromkeys(version for version in named if version))

    @property
    def shares(self) -> dict[str, float]:
        """The part of all entities that each version is to answer, in [0, 1]; champion first.

        Examples
        --------
        >>> Route("fraud", "v1", "v2", 0.5).with_arms({"v3": 0.2, "v4": 0.0}).shares
        {'v1': 0.4, 'v2': 0.4, 'v3': 0.2}
        """
        rest = 1.0 - round(sum(arm.share for arm in self.arms) * SLOTS) / SLOTS
        weight = self.weight if self.challenger else 0.0
        found = {self.champion: rest * (1.0 - weight)}
        if self.challenger:
            found[self.challenger] = rest * weight
        for arm in self.arms:
            if arm.slots:
                found[arm.version] = found.get(arm.version, 0.0) + arm.share
        return found
