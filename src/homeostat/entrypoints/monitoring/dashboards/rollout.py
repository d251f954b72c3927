"""Versions: who serves, who wants to, experiments and retraining."""

from __future__ import annotations

from homeostat.entrypoints.monitoring.dashboards.panels import (
    BLUE,
    GREEN,
    MODEL,
    MODELS,
    PER_SECOND,
    PLAIN,
    SECONDS,
    SHARE,
    Panel,
    Query,
    Section,
    Tree,
    Variable,
    dashboard,
    history,
    lines,
    table,
)

MINE = f"{{{MODEL}}}"
METRIC = Variable(
    "metric", "Metric", f"label_values(homeostat_metric_value{MINE}, metric)", many=False
)
STAGE = ((None, "transparent"), (1.0, BLUE))


def rollout(*, gateway: bool = True) -> Tree:
    """Return the dashboard of rollouts, experiments and retraining."""
    sections = [Section("Rollout", _rollout()), Section("Versions side by side", _versions())]
    if gateway:
        sections.append(Section("Traffic by version", _traffic()))
    return dashboard(
        "homeostat-rollout",
        "Homeostat / Rollouts and experiments",
        "Which version answers whom, how they compare, and when the next one comes.",
        [*sections, Section("Retraining", _retraining())],
        [MODELS, METRIC],
    )


def _rollout() -> tuple[Panel, ...]:
    return (
        history(
            "Stage", PLAIN, "Where each model's rollout stands; champion is rest.",
            Query(
                f"max by (model, stage) (homeostat_rollout_stage{MINE})", "{{model}} {{stage}}"
            ),
            steps=STAGE, height=9,
        ),
        lines(
            "Weight of the challenger", SHARE, "Share of the entities that it answers.",
            Query(f"max by (model) (homeostat_rollout_weight_ratio{MINE})", "{{model}}"),
            span=(0.0, 1.0), height=9,
        ),
        table(
            "Champions", "The version that serves, how long it has, and how old its data is.",
            {
                "model": "Model",
                "version": "Version",
                "Value #A": "Serving for (days)",
                "Value #B": "Trained on data up to (days ago)",
            },
            Query(
                "(time() - max by (model, version) "
                f"(homeostat_champion_since_timestamp_seconds{MINE})) / 86400",
                instant=True,
            ),
            Query(f"homeostat:version_age_seconds{MINE} / 86400", instant=True),
            width=12,
        ),
        lines(
            "Time in the stage", SECONDS, "Since the stage or canary step began.",
            Query(
                "time() - max by (model) "
                f"(homeostat_rollout_since_timestamp_seconds{MINE})",
                "{{model}}",
            ),
            span=(0.0,),
        ),
    )  # fmt: skip


def _versions() -> tuple[Panel, ...]:
    labels = f'{{{MODEL}, metric="$metric", cohort=~"matured|audit"}}'

    def figures(part: str) -> str:
        return f"max by (model, version, cohort) (homeostat_metric_{part}{labels})"

    return (
        lines(
            "$metric by version", PLAIN, "With its 95 % interval, on rows with all labels.",
            Query(figures("value"), "{{model}} {{version}} {{cohort}}"),
            Query(figures("lower"), "{{model}} {{version}} {{cohort}} lower"),
            Query(figures("upper"), "{{model}} {{version}} {{cohort}} upper"),
            width=24, height=10,
        ),
    )  # fmt: skip


def _traffic() -> tuple[Panel, ...]:
    rows = "rate(homeostat_predictions_total"
    split = f'{rows}{{{MODEL}, role!="override"}}[$__rate_interval])'
    return (
        lines(
            "Rows by version and role", PER_SECOND, "Arms of experiments are roles arm:VERSION.",
            Query(
                f"sum by (model, version, role) ({rows}{MINE}[$__rate_interval]))",
                "{{model}} {{version}} {{role}}",
            ),
            span=(0.0,),
        ),
        lines(
            "Share of rows by version", SHARE,
            "What a split or an experiment came to, without rows whose caller chose the version.",
            Query(
                f"sum by (model, version) ({split}) / on (model) group_left"
                f" sum by (model) ({split})",
                "{{model}} {{version}}",
            ),
            span=(0.0, 1.0),
        ),
        lines(
            "Shadow rows", PER_SECOND, "Rows that shadows scored, dropped or failed on.",
            Query(
                "sum by (version, result) (rate(homeostat_shadow_predictions_total"
                f"{MINE}[$__rate_interval]))",
                "{{version}} {{result}}",
            ),
            span=(0.0,),
        ),
    )  # fmt: skip


def _retraining() -> tuple[Panel, ...]:
    return (
        history(
            "Stage of the newest run", PLAIN, "Where each model's newest retraining run stands.",
            Query(
                f"max by (model, stage) (homeostat_retraining_stage{MINE}) > 0",
                "{{model}} {{stage}}",
            ),
            steps=((None, GREEN),), height=9,
        ),
        lines(
            "Runs", PLAIN, "Retraining runs so far.",
            Query(f"max by (model) (homeostat_retraining_runs_total{MINE})", "{{model}}"),
            span=(0.0,), height=9,
        ),
    )  # fmt: skip
