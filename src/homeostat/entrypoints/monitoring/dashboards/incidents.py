"""What fires, what fired, and whether anybody was told."""

from __future__ import annotations

from homeostat.entrypoints.monitoring.dashboards.panels import (
    BAD,
    COUNT,
    MODEL,
    MODELS,
    SHARE,
    Panel,
    Query,
    Section,
    Tree,
    dashboard,
    history,
    lines,
    table,
)

MINE = f"{{{MODEL}}}"


def incidents() -> Tree:
    """Return the dashboard of incidents and alerts."""
    return dashboard(
        "homeostat-incidents",
        "Homeostat / Incidents",
        "What fires, what fired, and whether anybody was told.",
        [Section("Now", _now()), Section("Course", _course())],
        [MODELS],
    )


def _now() -> tuple[Panel, ...]:
    return (
        table(
            "Open incidents", "Homeostat's own: somebody was told, and they are not over.",
            {"model": "Model", "rule": "Rule", "severity": "Severity"},
            Query(
                f"max by (model, rule, severity) (homeostat_incident_open{MINE}) > 0",
                instant=True,
            ),
            width=12,
        ),
        table(
            "Alerts of Prometheus", "Pending and firing.",
            {"alertname": "Alert", "alertstate": "State", "model": "Model", "severity": "Severity"},
            Query('ALERTS{source="homeostat"}', instant=True),
            width=12,
        ),
    )  # fmt: skip


def _course() -> tuple[Panel, ...]:
    return (
        history(
            "Incidents by rule", COUNT, "Open incidents of each alert rule.",
            Query(
                f"sum by (rule) (max by (model, rule) (homeostat_incident_open{MINE}))",
                "{{rule}}",
            ),
            steps=BAD, width=24, height=10,
        ),
        lines(
            "Alert rules by stage", COUNT, "Pending ones may fire soon.",
            Query(
                "sum by (stage) (max by (model, stage) (homeostat_incidents"
                f'{{{MODEL}, stage!="inactive"}}))',
                "{{stage}}",
            ),
            span=(0.0,),
        ),
        lines(
            "Times fired", COUNT, "How often each rule has fired so far.",
            Query(
                f"sum by (rule) (max by (model, rule) (homeostat_incident_episodes_total{MINE}))",
                "{{rule}}",
            ),
            span=(0.0,),
        ),
        lines(
            "Alarm budget spent", SHARE,
            "Alarms, true or false, of the newest period over the false ones that are accepted.",
            Query(f"homeostat:alarm_budget_spent_ratio{MINE}", "{{model}}"),
            span=(0.0,),
        ),
        lines(
            "Notifications", COUNT, "By receiver: waiting, tried again, given up.",
            Query("max by (receiver) (homeostat_notifications_waiting)", "{{receiver}} waiting"),
            Query("homeostat:notifications_failing", "{{receiver}} failing"),
            Query("homeostat:notifications_undelivered", "{{receiver}} given up"),
            span=(0.0,),
        ),
    )  # fmt: skip
