"""What predictions are worth."""

from __future__ import annotations

from homeostat.entrypoints.monitoring.dashboards.panels import (
    BAD,
    COUNT,
    MODEL,
    MODELS,
    PLAIN,
    SHARE,
    Query,
    Section,
    Tree,
    Variable,
    dashboard,
    figure,
    lines,
)

METRIC = Variable("worth", "Figure", f"label_values(homeostat_business_value{{{MODEL}}}, metric)")


def value() -> Tree:
    """Return the dashboard of business metrics."""
    mine = f'{{{MODEL}, metric=~"$worth"}}'

    def largest(name: str) -> str:
        return f"max by (model, metric) (homeostat_business_value{name}{mine})"

    def of_value(name: str) -> str:
        return f'max by (model) ({name}{{{MODEL}, monitor="value"}})'

    now = (
        figure(
            "Newest window", PLAIN, "What predictions of the newest whole window are worth.",
            Query(largest(""), "{{model}} {{metric}}", instant=True),
            width=12,
        ),
        figure(
            "Figures that have dropped", COUNT, "Business metrics that left their usual level.",
            Query(
                "sum(max by (model) (homeostat_verdicts"
                f'{{{MODEL}, monitor="value", status="drift"}}))',
                "dropped",
                instant=True,
            ),
            width=6, steps=BAD,
        ),
        figure(
            "Rows behind it", COUNT, "Rows of that window whose outcome is known.",
            Query(largest("_rows"), "{{model}} {{metric}}", instant=True),
            width=6,
        ),
    )  # fmt: skip
    course = (
        lines(
            "Value", PLAIN, "With its 95 % interval. In the unit that the owner defined.",
            Query(largest(""), "{{model}} {{metric}}"),
            Query(largest("_lower"), "{{model}} {{metric}} lower"),
            Query(largest("_upper"), "{{model}} {{metric}} upper"),
            width=24, height=10,
        ),
        lines(
            "Evidence that it has dropped", SHARE, "From 1 on it is an alarm.",
            Query(of_value("homeostat_verdict_evidence_ratio"), "{{model}}"),
            span=(0.0,),
        ),
        lines(
            "Size of the drop", SHARE, "Over the change that matters to the owner; 1: it matters.",
            Query(of_value("homeostat_verdict_score_ratio"), "{{model}}"),
            span=(0.0,),
        ),
    )  # fmt: skip
    return dashboard(
        "homeostat-value",
        "Homeostat / Business value",
        "What predictions are worth once their outcomes are known.",
        [Section("Now", now), Section("Course", course)],
        [MODELS, METRIC],
        since="now-30d",
    )
