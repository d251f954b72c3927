"""Where each model stands, read from the records: one place for the API, the CLI and the UI."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from homeostat.alerting.episode import IncidentState
from homeostat.domain.decision import Diagnosis
from homeostat.domain.errors import NotFoundError
from homeostat.engine.explanations import ExplanationMemory, explanation_key
from homeostat.engine.late import LateMemory, late_key
from homeostat.engine.lease import BEAT, LEASE, Beat, Lease
from homeostat.engine.ports import Records
from homeostat.engine.watch import Watch, incident_key, retraining_key, rollout_key, watch_key
from homeostat.retraining.run import RunState
from homeostat.rollout.state import RolloutState


@dataclass(frozen=True, slots=True)
class Why:
    """Why something changed: the diagnosis, if there is one, and what rows said."""

    diagnosis: Diagnosis | None
    rows: ExplanationMemory


@dataclass(frozen=True, slots=True)
class Late:
    """What has come after it was judged or measured, and when that was put on record last."""

    rows: int
    labels: int
    corrected: int
    told: datetime | None

    def __str__(self) -> str:
        return f"{self.rows} rows, {self.labels} labels, {self.corrected} corrected labels"


@dataclass(frozen=True, slots=True)
class Leader:
    """Which control plane ticks (empty: none does now), since when, and when it was last heard of.

    Times are by the clock of the leader.
    """

    holder: str
    since: datetime | None
    heard: datetime | None


def leader(records: Records) -> Leader | None:
    """Return which control plane leads; None before the first one did."""
    lease, beat = records.read(LEASE, Lease), records.read(BEAT, Beat)
    if lease is None:
        return None
    return Leader(lease.holder, lease.since, beat.at if beat else None)


def why(records: Records, model: str) -> Why:
    """Return the model's present diagnosis and what it rests on."""
    watch = records.read(watch_key(model), Watch)
    rows = records.read(explanation_key(model), ExplanationMemory) or ExplanationMemory()
    return Why(watch.diagnosis if watch else None, rows)


def late(records: Records, model: str) -> Late:
    """Return what has come late of a model's rows and labels, and updated its windows."""
    found = records.read(late_key(model), LateMemory) or LateMemory()
    return Late(found.rows, found.labels, found.corrected, found.told)


def incidents(records: Records, model: str) -> tuple[IncidentState, ...]:
    """Return the model's incidents that have fired, newest first."""
    found = (records.read(key, IncidentState) for key in records.keys(incident_key(model, "")))
    fired = [state for state in found if state is not None and state.fired_at is not None]
    return tuple(sorted(fired, key=lambda state: str(state.fired_at), reverse=True))


def rollout(records: Records, model: str) -> RolloutState:
    """Return where the model's rollout stands; before any version, stage ``empty``."""
    return records.read(rollout_key(model), RolloutState) or RolloutState(model)


def run(records: Records, model: str) -> RunState | None:
    """Return the model's latest retraining run."""
    return records.read(retraining_key(model), RunState)


def find_incident(records: Records, key: str) -> IncidentState:
    """Return the incident with this key, such as ``fraud:data_fault:1``, on record.

    Its model need not be configured any more.

    Raises
    ------
    NotFoundError
    """
    for state in incidents(records, key.partition(":")[0]):
        if state.key == key:
            return state
    raise NotFoundError(f"there is no incident {key!r}; see: homeostat alerts list")
