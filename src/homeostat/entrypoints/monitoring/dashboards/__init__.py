"""Grafana dashboards: the fleet, one model, value, serving, rollouts, incidents."""

from __future__ import annotations

from homeostat.entrypoints.monitoring.dashboards import (
    fleet,
    incidents,
    model,
    rollout,
    serving,
    value,
)
from homeostat.entrypoints.monitoring.dashboards.panels import Tree


def dashboards(*, gateway: bool = True) -> list[Tree]:
    """Return all dashboards; without gateways what they export is left out."""
    made = [
        fleet.fleet(gateway=gateway),
        model.model(),
        value.value(),
        rollout.rollout(gateway=gateway),
        incidents.incidents(),
    ]
    return [*made, serving.serving()] if gateway else made
