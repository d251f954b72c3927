"""Which versions answer for a model: what the engine publishes and the gateway obeys."""

from __future__ import annotations

from dataclasses import dataclass


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
    """

    model: str
    champion: str = ""
    challenger: str = ""
    weight: float = 0.0
    shadows: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()

    @property
    def versions(self) -> tuple[str, ...]:
        """Versions that must be loaded, champion first, each once."""
        named = (self.champion, self.challenger, *self.shadows)
        return tuple(dict.fromkeys(version for version in named if version))
