"""All models at a glance."""

from __future__ import annotations

from homeostat.entrypoints.monitoring.dashboards.panels import (
    BAD,
    COUNT,
    MODEL,
    MODELS,
    NAME,
    PER_SECOND,
    SECONDS,
    SHARE,
    WORTH_A_LOOK,
    Panel,
    Query,
    Section,
    Tree,
    dashboard,
    figure,
    lines,
    table,
)


def fleet(*, gateway: bool = True) -> Tree:
    """Return the overview."""
    return dashboard(
        "homeostat-fleet",
        "Homeostat / Fleet",
        "Every model: is it well, is it used, and is Homeostat itself at work?",
        [
            Section("Now", _now()),
            Section("Models", (_models(gateway=gateway),)),
            Section("Lately", _lately(gateway=gateway)),
            Section("Homeostat itself", _itself()),
        ],
        [MODELS],
    )


def _now() -> tuple[Panel, ...]:
    mine = f"{{{MODEL}}}"
    return (
        figure(
            "Models", COUNT, "Models under care.",
            Query(f"count(max by (model) (homeostat_model_info{mine}))", "models", instant=True),
        ),
        figure(
            "Open incidents", COUNT, "Incidents somebody was told of and that are not over.",
            Query(
                f"sum(max by (model, rule) (homeostat_incident_open{mine}))", "open", instant=True
            ),
            steps=BAD,
        ),
        figure(
            "Models with an incident", COUNT, "Models that have at least one open incident.",
            Query(
                f"sum(max by (model) (homeostat_incident_open{mine}))", "models", instant=True
            ),
            steps=BAD,
        ),
        figure(
            "Broken columns", COUNT, "Columns that are broken upstream, over all models.",
            Query(f"sum(max by (model) (homeostat_data_faults{mine}))", "columns", instant=True),
            steps=BAD,
        ),
        figure(
            "Drifted features", COUNT, "Features whose drift is a verdict, over all models.",
            Query(
                f"sum(max by (model) (homeostat_drifted_features{mine}))", "features", instant=True
            ),
            steps=WORTH_A_LOOK,
        ),
        figure(
            "Rollouts under way", COUNT, "Models with a challenger in shadow, canary or promotion.",
            Query(
                "sum(max by (model, stage) (homeostat_rollout_stage"
                f'{{{MODEL}, stage=~"candidate|shadow|canary|promoting"}}))',
                "rollouts",
                instant=True,
            ),
        ),
    )  # fmt: skip


def _models(*, gateway: bool) -> Panel:
    mine = f"{{{MODEL}}}"
    queries = [
        f"max by (model, task, champion) (homeostat_model_info{mine})",
        f"sum by (model) (max by (model, rule) (homeostat_incident_open{mine}))",
        f"max by (model) (homeostat_drifted_features{mine})",
        f"max by (model) (homeostat_data_faults{mine})",
        f"homeostat:version_age_seconds{mine} / 86400",
        f"homeostat:alarm_budget_spent_ratio{mine}",
    ]
    columns = {
        "model": "Model",
        "champion": "Champion",
        "task": "Task",
        "Value #B": "Open incidents",
        "Value #C": "Drifted features",
        "Value #D": "Broken columns",
        "Value #E": "Version's age (days)",
        "Value #F": "Alarm budget spent",
    }
    if gateway:
        queries += [
            f"homeostat:requests:rate5m{mine}",
            f"homeostat:fallback:ratio_rate5m{mine}",
        ]
        columns |= {"Value #G": "Requests a second", "Value #H": "Share of fallbacks"}
    return table(
        "Model by model",
        "One row a model. Alarm budget spent: alarms of the newest period over the false ones that "
        "are accepted.",
        columns,
        *(Query(query, instant=True) for query in queries),
        height=9,
    )


def _lately(*, gateway: bool) -> tuple[Panel, ...]:
    mine = f"{{{MODEL}}}"
    found = [
        lines(
            "Open incidents by model", COUNT, "Somebody was told of them and they are not over.",
            Query(
                f"sum by (model) (max by (model, rule) (homeostat_incident_open{mine}))",
                "{{model}}",
            ),
            span=(0.0,),
        ),
        lines(
            "Evidence against the alarm budget", SHARE,
            "Largest evidence of a model's monitors over that at which the budget is spent.",
            Query(f"max by (model) (homeostat_verdict_evidence_ratio{mine})", "{{model}}"),
            span=(0.0,),
        ),
    ]  # fmt: skip
    if gateway:
        found += [
            lines(
                "Requests", PER_SECOND, "Requests a second that gateways answered.",
                Query(
                    "sum by (model) (rate(homeostat_request_duration_seconds_count"
                    f"{mine}[$__rate_interval]))",
                    "{{model}}",
                ),
                span=(0.0,),
            ),
            lines(
                "Share of fallbacks", SHARE, "Rows that the model did not answer itself.",
                Query(f"homeostat:fallback:ratio_rate5m{mine}", "{{model}}"),
                span=(0.0,),
            ),
        ]  # fmt: skip
    return tuple(found)


def _itself() -> tuple[Panel, ...]:
    return (
        figure(
            "Since the last tick", SECONDS, "Since the last look at all models that went well.",
            Query("homeostat:tick_age_seconds", "age", instant=True),
        ),
        figure(
            "Control planes", COUNT, "Control planes that answer.",
            Query('sum(up{job="homeostat"})', "up", instant=True),
        ),
        figure(
            "Build", "none", "What runs there.",
            Query(
                "count by (version) (homeostat_build_info)", "{{version}}", instant=True
            ),
            options=NAME,
        ),
        lines(
            "Time of a tick", SECONDS, "Mean time of the ticks.",
            Query("homeostat:tick_seconds:mean15m", "tick"),
            width=6, height=6, span=(0.0,),
        ),
        lines(
            "Notifications that fail", COUNT, "Waiting to be tried again, by receiver.",
            Query("homeostat:notifications_failing", "{{receiver}}"),
            width=6, height=6, span=(0.0,),
        ),
    )  # fmt: skip
