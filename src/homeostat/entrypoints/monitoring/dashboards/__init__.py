"""Grafana dashboards: the fleet, one model, value, serving, rollouts, incidents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

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


def place_of(drawn: Iterable[Tree], uid: str, title: str) -> int:
    """Return the number of a panel of a dashboard, by which links and alerts name it."""
    panels = next(cast("list[Tree]", each["panels"]) for each in drawn if each["uid"] == uid)
    return next(cast("int", panel["id"]) for panel in panels if panel["title"] == title)
