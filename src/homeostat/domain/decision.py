"""The decision log: every automatic decision with its evidence, actor, cause and effect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Severity(StrEnum):
    """How loudly a person is told."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Cause(StrEnum):
    """What kind of change it is; the remedy differs with it."""

    DATA_FAULT = "data_fault"
    COVARIATE_SHIFT = "covariate_shift"
    LABEL_SHIFT = "label_shift"
    CONCEPT_DRIFT = "concept_drift"
    BAD_VERSION = "bad_version"
    MODEL_DOWN = "model_down"
    UNKNOWN = "unknown"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Decision:
    """One entry of the decision log.

    ``actor`` is ``"homeostat"`` or who asked by hand; ``action`` is a verb such as ``promote`` or
    ``refuse_retraining``; ``subject`` is what it is done to (a version, a run, an incident);
    ``evidence`` holds the figures it rests on.
    """

    model: str
    at: datetime
    actor: str
    action: str
    subject: str
    reason: str
    evidence: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why something changed and what to do about it."""

    cause: Cause
    columns: tuple[str, ...]
    advice: str
    text: str
    retrain: bool
