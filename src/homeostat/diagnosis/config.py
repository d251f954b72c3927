"""How sure a diagnosis must be, and what matters to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from homeostat.detectors.faults.config import FaultConfig
from homeostat.diagnosis.decide import DecisionConfig


@dataclass(frozen=True, slots=True)
class DiagnoseConfig:
    """How sure to be, and what matters.

    Attributes
    ----------
    decision : DecisionConfig
    faults : FaultConfig
    min_rows : int
        Rows, and labelled rows, of a side below which nothing is decided on them.
    max_rows : int
        Rows of a side, and labelled rows of it, that are looked at, drawn at random.
    min_harm : float
        Rise of the mean loss that matters, as a share of what it was.
    min_gain : float
        Share of the squared error that a new model must win to be worth training.
    min_shared : float
        Effective share of rows in the overlap of both sides below which changed meaning cannot be
        told from changed inputs.
    """

    decision: DecisionConfig = field(default_factory=DecisionConfig)
    faults: FaultConfig = field(default_factory=FaultConfig)
    min_rows: int = 60
    max_rows: int = 12_000
    min_harm: float = 0.03
    min_gain: float = 0.02
    min_shared: float = 0.05


DEFAULT = DiagnoseConfig()
