"""From verdicts to what kind of change it is and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from homeostat.domain.decision import Cause, Diagnosis
from homeostat.domain.verdict import Monitor, Status, Verdict

PROOF = 20.0
"""E-value of a paired comparison that counts as proof: a lifetime error of 5 %."""


@dataclass(frozen=True, slots=True)
class Symptoms:
    """All that is known now about one model.

    Attributes
    ----------
    verdicts : tuple of Verdict
        The latest of every monitor and subject.
    champion : str
        Version that serves.
    version_age : timedelta or None
        Since it serves; None if it has served ever since monitoring began.
    previous : str
        Version before it; empty if there is none to go back to.
    previous_better_e : float
        E-value for "the previous version loses less on the same rows"; 1 if never compared.
    """

    verdicts: tuple[Verdict, ...]
    champion: str = ""
    version_age: timedelta | None = None
    previous: str = ""
    previous_better_e: float = 1.0


@dataclass(frozen=True, slots=True)
class DiagnosisConfig:
    """``young`` is the age until which a drop is blamed on the version, not on the world.

    ``young`` should be at least the label delay plus a few windows.
    """

    young: timedelta = timedelta(days=3)


def diagnose(symptoms: Symptoms, config: DiagnosisConfig) -> Diagnosis | None:
    """Name the cause that explains the verdicts best, or return None if all is well.

    The order is that of the remedies' urgency, and each cause hides those after it, as it brings
    their symptoms about: a model that does not answer, then broken data, then a bad version, then
    a changed world. ``retrain`` is never True for the first three.

    Examples
    --------
    >>> diagnose(Symptoms(verdicts=()), DiagnosisConfig()) is None
    True
    """
    seen = _Evidence(symptoms.verdicts)
    if seen.down:
        return _model_down(seen)
    if seen.faults:
        return _data_fault(seen)
    if _blames_version(symptoms, config, seen):
        return _bad_version(symptoms, seen)
    if seen.worse and not seen.drifted:
        return _concept_drift(seen)
    if seen.drifted:
        return _covariate_shift(seen)
    return _unknown(seen) if seen.odd or seen.off else None


class _Evidence:
    """Verdicts that claim a change, sorted by what they are about."""

    def __init__(self, verdicts: Iterable[Verdict]) -> None:
        fired = [verdict for verdict in verdicts if verdict.status is Status.DRIFT]
        self.down = [
            v for v in fired if v.monitor is Monitor.SERVICE and v.subject == "availability"
        ]
        self.faults = [v for v in fired if v.monitor is Monitor.DATA_QUALITY]
        self.worse = [v for v in fired if v.monitor is Monitor.PERFORMANCE]
        self.drifted = [v for v in fired if v.monitor is Monitor.DATA_DRIFT and v.subject]
        self.odd = [
            v
            for v in fired
            if v.monitor in {Monitor.PREDICTION_DRIFT, Monitor.VOLUME, Monitor.SERVICE}
        ]
        self.off = [v for v in fired if v.monitor is Monitor.CALIBRATION]


def _columns(verdicts: Iterable[Verdict]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(verdict.subject for verdict in verdicts if verdict.subject))


def _listed(verdicts: Iterable[Verdict]) -> str:
    return "; ".join(f"{v.subject}: {v.reason}" if v.subject else v.reason for v in verdicts)


def _blames_version(symptoms: Symptoms, config: DiagnosisConfig, seen: _Evidence) -> bool:
    if not symptoms.previous:
        return False
    age = symptoms.version_age
    young = age is not None and age <= config.young
    # Where the previous version loses more on the same rows, the world has become harder.
    suspect = bool(seen.worse) and young and symptoms.previous_better_e >= 1.0
    return symptoms.previous_better_e >= PROOF or suspect


def _model_down(seen: _Evidence) -> Diagnosis:
    return Diagnosis(
        Cause.MODEL_DOWN,
        (),
        "Restore the model's backend; fallback tiers answer until it is back. Do not retrain.",
        f"The model does not answer reliably. {_listed(seen.down)}.",
        retrain=False,
    )


def _data_fault(seen: _Evidence) -> Diagnosis:
    columns = _columns(seen.faults)
    named = ", ".join(columns) or "the data"
    effect = " Performance has dropped with it." if seen.worse else ""
    return Diagnosis(
        Cause.DATA_FAULT,
        columns,
        f"Mend {named} upstream. Do not retrain on it; fallback tiers without it may serve.",
        f"Broken input data. {_listed(seen.faults)}.{effect}",
        retrain=False,
    )


def _bad_version(symptoms: Symptoms, seen: _Evidence) -> Diagnosis:
    proof = symptoms.previous_better_e
    parts = [f"Version {symptoms.champion} does worse"]
    if proof >= PROOF:
        parts.append(f" than {symptoms.previous} on the same rows (e-value {proof:.3g})")
    if seen.worse:
        parts.append(f": {_listed(seen.worse)}")
    return Diagnosis(
        Cause.BAD_VERSION,
        (),
        f"Roll back to version {symptoms.previous}. Do not retrain before it serves again.",
        "".join(parts) + ".",
        retrain=False,
    )


def _concept_drift(seen: _Evidence) -> Diagnosis:
    return Diagnosis(
        Cause.CONCEPT_DRIFT,
        (),
        "Retrain on matured labels from after the change.",
        "The inputs are as they were, but what they mean has changed. " + _listed(seen.worse) + ".",
        retrain=True,
    )


def _covariate_shift(seen: _Evidence) -> Diagnosis:
    columns = _columns(seen.drifted)
    if seen.worse:
        advice = "Retrain on matured labels from after the shift."
        text = f"The inputs have shifted and the model does worse. {_listed(seen.worse)}. "
    else:
        advice = "Watch performance as labels mature; retrain if it drops or much has shifted."
        text = "The inputs have shifted; no loss of performance is proven. "
    return Diagnosis(
        Cause.COVARIATE_SHIFT,
        columns,
        advice,
        f"{text}Shifted: {_listed(seen.drifted)}.",
        retrain=bool(seen.worse),
    )


def _unknown(seen: _Evidence) -> Diagnosis:
    advice = "Look into it; nothing calls for retraining yet."
    if seen.off:
        advice = "Recalibrate the scores on matured labels; retrain if performance drops too."
    return Diagnosis(
        Cause.UNKNOWN,
        (),
        advice,
        f"Inputs and performance are as usual, but {_listed((*seen.off, *seen.odd))}.",
        retrain=False,
    )
