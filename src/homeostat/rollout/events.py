"""What can happen to a rollout."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

AUTOMATIC = "homeostat"


class EvidenceKind(StrEnum):
    """What the paired comparison of challenger and champion says so far.

    Only ``BETTER`` and ``NOT_WORSE`` (within the margin that the owner tolerates) can move a
    rollout on; ``INCONCLUSIVE`` and ``NO_DATA`` never do.
    """

    BETTER = "better"
    NOT_WORSE = "not_worse"
    WORSE = "worse"
    INCONCLUSIVE = "inconclusive"
    NO_DATA = "no_data"


@dataclass(frozen=True, slots=True)
class First:
    """Install the first version of a model."""

    version: str
    actor: str = AUTOMATIC


@dataclass(frozen=True, slots=True)
class Submitted:
    """A candidate that passed the evaluation gate asks to be rolled out."""

    version: str
    reason: str = ""
    actor: str = AUTOMATIC


@dataclass(frozen=True, slots=True)
class Verified:
    """The challenger's artifact is what was registered, loads, and scores rows."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """State of the paired comparison, given at each tick.

    Attributes
    ----------
    kind : EvidenceKind
    n : int
        Rows that both versions scored and whose labels matured in the current step (since
        ``RolloutState.since``).
    e : float
        Anytime-valid e-value for `kind`, on matured labels; a step needs ``e >= 1 / alpha``.
    difference : float
        Champion's mean loss minus the challenger's (above 0: the challenger is better).
    held : str
        Why the rollout does not move on whatever the evidence says; empty if nothing is in its way.
    futile : str
        Why no proof can be expected any more; empty if it can.
    """

    kind: EvidenceKind
    n: int = 0
    e: float = 1.0
    difference: float = float("nan")
    held: str = ""
    futile: str = ""

    def proves(self, alpha: float) -> bool:
        """Whether it may move a rollout on: a proof, of an e-value of at least ``1 / alpha``.

        Examples
        --------
        >>> Evidence(EvidenceKind.BETTER, n=900, e=25.0).proves(alpha=0.05)
        True
        >>> Evidence(EvidenceKind.INCONCLUSIVE, n=900, e=25.0).proves(alpha=0.05)
        False
        """
        # A NaN proves nothing either.
        return self.kind in {EvidenceKind.BETTER, EvidenceKind.NOT_WORSE} and self.e >= 1 / alpha


@dataclass(frozen=True, slots=True)
class GuardrailBreached:
    """Something must be taken back at once.

    ``version`` is the one to blame; empty: the challenger if there is one, else the champion. A
    champion is rolled back only on probation: later, a worse champion means that the world changed.
    ``evidence`` holds the figures that it rests on.
    """

    reason: str
    version: str = ""
    evidence: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Approved:
    """A person approves the promotion that waits."""

    actor: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Promoted:
    """The challenger is ready everywhere: move the champion pointer."""


@dataclass(frozen=True, slots=True)
class Push:
    """A person makes a version the champion at once, whatever the evidence."""

    version: str
    actor: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RollBack:
    """Undo the latest change: withdraw the challenger if there is one, else the champion."""

    reason: str
    actor: str = AUTOMATIC


@dataclass(frozen=True, slots=True)
class Abort:
    """Withdraw the challenger for good."""

    reason: str
    actor: str = AUTOMATIC


Event = (
    First
    | Submitted
    | Verified
    | Evidence
    | GuardrailBreached
    | Approved
    | Promoted
    | Push
    | RollBack
    | Abort
)
