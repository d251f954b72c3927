"""People of a world: they take incidents on late, approve or abort, and push bad versions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np

from homeostat.alerting.episode import IncidentState
from homeostat.alerting.episode import Stage as Incident
from homeostat.domain.model import ModelVersion
from homeostat.engine.commands import Command, Request, submit_once
from homeostat.engine.ports import Ports
from homeostat.engine.watch import rollout_key
from homeostat.rollout.state import RolloutState, Stage
from homeostat.simulation.worlds.case import HOUR, Case, Kind
from homeostat.simulation.worlds.models import FLAVOUR, write
from homeostat.simulation.worlds.plan import MODEL

CONTRARY = [0.0, -2.5, -0.8]
ABORTS = 0.2
"""Share of the promotions that a person is asked about and does not want."""


@dataclass
class People:
    """Who is on duty, who approves, and who deploys by hand."""

    case: Case
    folder: Path
    _since: dict[str, datetime] = field(default_factory=dict)

    def act(self, ports: Ports, now: datetime) -> None:
        """Do what is due."""
        for number, event in enumerate(self.case.events):
            if event.kind is Kind.BAD_PUSH and event.start < now:
                self._push(ports, now, number)
        self._take_on(ports, now)
        self._approve(ports, now)

    def _push(self, ports: Ports, now: datetime, number: int) -> None:
        if not self._once(f"push {number}", now):
            return
        size = self.case.events[number].size
        artifact = write(self.folder / f"pushed-{number}.json", [size * w for w in CONTRARY])
        card = ports.registry.register(ModelVersion(MODEL, "", FLAVOUR, "", now), artifact)
        command = Command(Request.PUSH, MODEL, "ben", card.version)
        submit_once(ports.records, command, f"push {number}", now)

    def _take_on(self, ports: Ports, now: datetime) -> None:
        for key in ports.records.keys(f"incident:{MODEL}:"):
            state = ports.records.read(key, IncidentState)
            if state is None or state.stage is not Incident.FIRING:
                continue
            name = f"{MODEL}:{state.rule}:{state.episode}"
            if self._ripe(name, now):
                submit_once(
                    ports.records, Command(Request.ACKNOWLEDGE, MODEL, "ana", name), name, now
                )

    def _approve(self, ports: Ports, now: datetime) -> None:
        state = ports.records.read(rollout_key(MODEL), RolloutState)
        if not self.case.approval or state is None or state.stage is not Stage.PROMOTING:
            return
        name = f"approve {state.challenger}"
        if not self._ripe(name, now):
            return
        drawn = np.random.default_rng([self.case.seed, 6, int(state.challenger)]).random()
        request = Request.ABORT if drawn < ABORTS else Request.APPROVE
        submit_once(ports.records, Command(request, MODEL, "ana"), name, now)

    def _ripe(self, name: str, now: datetime) -> bool:
        """Whether a thing was first seen as long ago as people take."""
        return now - self._since.setdefault(name, now) >= self.case.patience * HOUR

    def _once(self, name: str, now: datetime) -> bool:
        """Whether a thing is seen for the first time."""
        return self._since.setdefault(name, now) == now
