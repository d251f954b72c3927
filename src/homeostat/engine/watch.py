"""What the engine remembers about a model between two ticks, besides its machines' states."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from homeostat.detectors.calibration.detector import CalibrationReference, CalibrationState
from homeostat.detectors.drift.detector import DriftState
from homeostat.detectors.performance.detector import LossBaseline, PerformanceState
from homeostat.detectors.quality.detector import QualityState
from homeostat.detectors.service.detector import ServiceState
from homeostat.detectors.volume.detector import VolumeState
from homeostat.domain.decision import Diagnosis
from homeostat.domain.limit import LimitState
from homeostat.domain.verdict import Monitor, Verdict
from homeostat.domain.window import Window
from homeostat.stats.paired import SURE, PairedBets


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a version did on rows that it was not trained on, later than its training rows.

    ``volumes`` are the reference's row counts per window of the volume monitor; ``calibration`` is
    None where probabilities were not compared with labels: not binary, or in an older record.
    ``metrics`` are those that follow from scores and labels, by name; an older record has none.
    """

    version: str
    loss: LossBaseline
    volumes: tuple[tuple[Window, int], ...] = ()
    calibration: CalibrationReference | None = None
    metrics: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """A stretch of time in which a column was broken upstream; ``end`` is None while it lasts."""

    column: str
    start: datetime
    end: datetime | None = None
    reason: str = ""

    def window(self, now: datetime) -> Window:
        """Return the time it covers up to now."""
        return Window(self.start, max(self.end or now, self.start + timedelta(microseconds=1)))


@dataclass(frozen=True, slots=True)
class Matured:
    """Labelled rows of one matured metric window, by class (regression: one figure).

    Of ``asked`` requests in it ``known`` have a label; 0 of 0 in older records.
    """

    window: Window
    counts: tuple[int, ...]
    asked: int = 0
    known: int = 0

    @property
    def rows(self) -> int:
        """Labelled rows of all classes."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Pairing:
    """Paired evidence about another version on the champion's rows.

    Since ``since`` (a stage or canary step), ``answered`` paired rows have matured and the other
    version has served ``served`` callers.
    """

    champion: str = ""
    other: str = ""
    bets: PairedBets = PairedBets()
    answered: int = 0
    served: int = 0
    since: datetime | None = None
    margin: float = 0.0
    sure: float = SURE


@dataclass(frozen=True, slots=True)
class Watch:
    """Cursors, detector evidence and findings of one model.

    ``reference`` names the version whose reference windows and baseline apply: the champion's, or
    its predecessor's if it came without.
    ``latest`` holds the newest verdict of each monitor and subject. ``drop_since`` is when realized
    performance began to be worse, ``drops`` counts the consecutive metric windows in which it was.
    Windows were looked at for late labels until ``restated_until``, and for answers by fallback
    tiers until ``degraded_until``. ``sound_until`` has the end of the newest window in which a
    column was judged to be fine.
    """

    model: str
    since: datetime
    inputs_until: datetime
    quality_until: datetime
    volume_until: datetime
    service_until: datetime
    loss_until: datetime
    metrics_until: tuple[tuple[str, datetime], ...]
    reference: str
    quality: QualityState = QualityState()
    volume: VolumeState = VolumeState()
    loss: PerformanceState = PerformanceState()
    service: ServiceState = ServiceState()
    challenger: Pairing = Pairing()
    warm: Pairing = Pairing()
    faults: tuple[Fault, ...] = ()
    latest: tuple[Verdict, ...] = ()
    matured: tuple[Matured, ...] = ()
    drop_since: datetime | None = None
    drops: int = 0
    diagnosis: Diagnosis | None = None
    restated_until: datetime | None = None
    calibration: CalibrationState = CalibrationState()
    degraded: LimitState = field(default_factory=LimitState)
    degraded_until: datetime | None = None
    sound_until: tuple[tuple[str, datetime], ...] = ()

    @property
    def open_faults(self) -> tuple[Fault, ...]:
        """Faults that last."""
        return tuple(fault for fault in self.faults if fault.end is None)

    @property
    def broken(self) -> tuple[str, ...]:
        """Columns that are broken now, each once."""
        return tuple(dict.fromkeys(fault.column for fault in self.open_faults))

    def verdicts(self, monitor: Monitor) -> tuple[Verdict, ...]:
        """Return the newest verdicts of one monitor."""
        return tuple(verdict for verdict in self.latest if verdict.monitor is monitor)

    def noting(self, verdicts: tuple[Verdict, ...]) -> Watch:
        """Return a watch in which these verdicts replace older ones on the same subjects."""
        newest = {(v.monitor, v.subject): v for v in (*self.latest, *verdicts)}
        return replace(self, latest=tuple(newest.values()))


@dataclass(frozen=True, slots=True)
class DriftMemory:
    """Evidence on drift of a model's inputs and of one champion's scores; changes once a window.

    ``anchor`` is where a reference that moves along ends; None while the version's own applies.
    """

    inputs: DriftState = DriftState()
    scores: DriftState = DriftState()
    champion: str = ""
    anchor: datetime | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Up to where windows were measured before their labels, and why the newest told nothing."""

    until: datetime | None = None
    problem: str = ""


def fresh(model: str, reference: str, now: datetime, cohort_names: tuple[str, ...]) -> Watch:
    """Return the watch of a model whose monitoring starts now."""
    return Watch(
        model=model,
        since=now,
        inputs_until=now,
        quality_until=now,
        volume_until=now,
        service_until=now,
        loss_until=now,
        metrics_until=tuple((name, now) for name in cohort_names),
        reference=reference,
    )


def watch_key(model: str) -> str:
    """Return the state key of a model's watch."""
    return f"watch:{model}"


def drift_key(model: str) -> str:
    """Return the state key of the evidence on drift."""
    return f"drift:{model}"


def baseline_key(model: str, version: str) -> str:
    """Return the state key of a version's baseline."""
    return f"baseline:{model}:{version}"


def rollout_key(model: str) -> str:
    """Return the state key of a model's rollout."""
    return f"rollout:{model}"


def guardrails_key(model: str) -> str:
    """Return the state key of what a canary's guardrails have seen; changes at each tick."""
    return f"guardrails:{model}"


def retraining_key(model: str) -> str:
    """Return the state key of a model's newest retraining run."""
    return f"retraining:{model}"


def rules_key(model: str) -> str:
    """Return the state key of what is remembered of a model's own alert rules."""
    return f"rules:{model}"


def tallies_key(model: str) -> str:
    """Return the state key of what is being counted for alert rules; changes at each tick."""
    return f"tallies:{model}"


def incident_key(model: str, rule: str) -> str:
    """Return the state key of a rule's incident on a model."""
    return f"incident:{model}:{rule}"
