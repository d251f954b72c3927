"""What came of an experiment so far, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from homeostat.rollout.experiment.effects import Effect


class Decision(StrEnum):
    """What to do with an experiment or an arm; only ``SHIP`` may ever promote."""

    SHIP = "ship"
    """Better on a success metric, safe on every guardrail, worse nowhere."""
    STOP = "stop"
    """Shown to be worse: take it back."""
    CONTINUE = "continue"
    """Not decided yet."""
    INCONCLUSIVE = "inconclusive"
    """Over, or not to be trusted, without proof: keep the control."""
    NO_DATA = "no_data"
    """Nothing was measured that could decide."""


@dataclass(frozen=True, slots=True)
class ArmReport:
    """One version beside the control.

    Attributes
    ----------
    arm : str
    decision : Decision
    reasons : tuple of str
        In plain words, the decisive ones first.
    effects : tuple of Effect
        One a metric, in the order of the experiment's.
    """

    arm: str
    decision: Decision
    reasons: tuple[str, ...]
    effects: tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class SegmentEffect:
    """One metric of one arm within a segment: for looking closer, and to hold what does harm.

    Attributes
    ----------
    segment : str
    effect : Effect
    harmed : bool
        Whether it is shown to be worse there, over all segments, metrics, arms and looks.
    """

    segment: str
    effect: Effect
    harmed: bool


@dataclass(frozen=True, slots=True)
class Report:
    """An experiment at one look.

    Attributes
    ----------
    experiment : str
    decision : Decision
    winner : str
        The version to ship; empty unless the decision is to ship.
    reasons : tuple of str
    arms : tuple of ArmReport
        One for each version but the control.
    segments : tuple of SegmentEffect
    entities : int
        Of all arms.
    sample_ratio : float
        P-value of the planned split, valid at any time; NaN without entities.
    """

    experiment: str
    decision: Decision
    winner: str
    reasons: tuple[str, ...]
    arms: tuple[ArmReport, ...]
    segments: tuple[SegmentEffect, ...]
    entities: int
    sample_ratio: float
