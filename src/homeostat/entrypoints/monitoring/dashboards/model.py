"""The health of one model: inputs, scores, performance, calibration."""

from __future__ import annotations

from homeostat.entrypoints.monitoring.dashboards.panels import (
    BAD,
    COUNT,
    GREEN,
    NAME,
    PLAIN,
    RED,
    ROWS,
    SECONDS,
    SHARE,
    WORTH_A_LOOK,
    YELLOW,
    Panel,
    Query,
    Section,
    Tree,
    Variable,
    dashboard,
    figure,
    history,
    lines,
    table,
)

ONE = 'model="$model"'
CLOSE = ((None, GREEN), (0.5, YELLOW), (1.0, RED))
VARIABLES = (
    Variable("model", "Model", "label_values(homeostat_model_info, model)", many=False),
    Variable(
        "metric", "Metric", f"label_values(homeostat_metric_value{{{ONE}}}, metric)", many=False
    ),
)


def model() -> Tree:
    """Return the dashboard of one model."""
    return dashboard(
        "homeostat-model",
        "Homeostat / Model health",
        "One model: what goes in, what comes out, what turned out to be true.",
        [
            Section("Now", _now()),
            Section("Inputs and scores", _inputs()),
            Section("Performance", _performance()),
            Section("Calibration", _calibration()),
            Section("Monitors", _monitors()),
        ],
        VARIABLES,
        since="now-30d",
    )


def _now() -> tuple[Panel, ...]:
    return (
        figure(
            "Champion", PLAIN, "The version that serves.",
            Query(
                f"max by (champion) (homeostat_model_info{{{ONE}}})", "{{champion}}", instant=True
            ),
            options=NAME,
        ),
        figure(
            "Version's age", SECONDS, "Since the newest row that it was trained on.",
            Query(f"homeostat:version_age_seconds{{{ONE}}}", "{{version}}", instant=True),
        ),
        figure(
            "Open incidents", COUNT, "Incidents somebody was told of and that are not over.",
            Query(
                f"sum(max by (rule) (homeostat_incident_open{{{ONE}}}))", "open", instant=True
            ),
            steps=BAD,
        ),
        figure(
            "Broken columns", COUNT, "Columns that are broken upstream now.",
            Query(f"max(homeostat_data_faults{{{ONE}}})", "columns", instant=True),
            steps=BAD,
        ),
        figure(
            "Drifted features", COUNT, "Features whose drift is a verdict now.",
            Query(f"max(homeostat_drifted_features{{{ONE}}})", "features", instant=True),
            steps=WORTH_A_LOOK,
        ),
        figure(
            "Alarm budget spent", SHARE,
            "Alarms, true or false, of the newest period over the false ones that are accepted.",
            Query(f"homeostat:alarm_budget_spent_ratio{{{ONE}}}", "spent", instant=True),
        ),
    )  # fmt: skip


def _inputs() -> tuple[Panel, ...]:
    data, scores = (f'{{{ONE}, monitor="{name}"}}' for name in ("data_drift", "prediction_drift"))
    return (
        history(
            "Drift of features", SHARE,
            "Drift score of each window over the score that matters: 1 matters. The features that "
            "drifted or come closest; the others are one row.",
            Query(f"max by (feature) (homeostat_drift_score_ratio{data})", "{{feature}}"),
            width=24, height=12, steps=CLOSE,
        ),
        history(
            "Evidence of it", SHARE,
            "Evidence over that at which the alarm budget is spent. A verdict needs both.",
            Query(f"max by (feature) (homeostat_drift_evidence_ratio{data})", "{{feature}}"),
            width=24, height=12, steps=CLOSE,
        ),
        lines(
            "Drift of scores", SHARE, "Score and evidence, each over what makes a verdict.",
            Query(f"max by (feature) (homeostat_drift_score_ratio{scores})", "{{feature}} score"),
            Query(
                f"max by (feature) (homeostat_drift_evidence_ratio{scores})",
                "{{feature}} evidence",
            ),
            span=(0.0,),
        ),
        lines(
            "Drifted features and segments", COUNT, "Verdicts of drift.",
            Query(f"max(homeostat_drifted_features{{{ONE}}})", "features"),
            Query(f"max(homeostat_drifted_segments{{{ONE}}})", "in segments"),
            span=(0.0,),
        ),
    )  # fmt: skip


def _performance() -> tuple[Panel, ...]:
    def figures(part: str) -> str:
        labels = f'{{{ONE}, metric="$metric"}}'
        return f"max by (version, cohort) (homeostat_metric_{part}{labels})"

    return (
        lines(
            "$metric", PLAIN,
            "Of the newest window of each cohort, with its 95 % interval. matured: all labels are "
            "known; audit: the audited share; weighted: early labels; estimated: none yet.",
            Query(figures("value"), "{{version}} {{cohort}}"),
            Query(figures("lower"), "{{version}} {{cohort}} lower"),
            Query(figures("upper"), "{{version}} {{cohort}} upper"),
            Query(figures("reference_value"), "{{version}} {{cohort}} usual"),
            width=24, height=10,
        ),
        lines(
            "Delay of the labels", SECONDS,
            "Age of the newest window that could be measured, by cohort: so old is what is known.",
            Query(f"homeostat:label_age_seconds{{{ONE}}}", "{{cohort}}"),
            span=(0.0,), width=8,
        ),
        lines(
            "Coverage by labels", SHARE, "Share of that window's predictions whose label is known.",
            Query(
                f"max by (cohort) (homeostat_label_coverage_ratio{{{ONE}}})", "{{cohort}}"
            ),
            span=(0.0, 1.0), width=8,
        ),
        lines(
            "Labelled rows", ROWS, "Rows that $metric was measured on.",
            Query(figures("rows"), "{{version}} {{cohort}}"),
            span=(0.0,), width=8,
        ),
    )  # fmt: skip


def _calibration() -> tuple[Panel, ...]:
    judged = f'{{{ONE}, monitor="calibration"}}'
    measured = f'{{{ONE}, metric=~"ece|calibration_error|bias"}}'
    return (
        lines(
            "Calibration error", PLAIN,
            "How far chances are from what comes true: ece over bins, calibration_error without, "
            "bias with its sign.",
            Query(
                f"max by (metric, version, cohort) (homeostat_metric_value{measured})",
                "{{metric}} {{version}} {{cohort}}",
            ),
        ),
        lines(
            "Evidence of miscalibration", SHARE, "Size and evidence; from 1 on both, an alarm.",
            Query(f"max(homeostat_verdict_score_ratio{judged})", "size"),
            Query(f"max(homeostat_verdict_evidence_ratio{judged})", "evidence"),
            span=(0.0,),
        ),
    )  # fmt: skip


def _monitors() -> tuple[Panel, ...]:
    return (
        history(
            "Evidence by monitor", SHARE, "Over that at which the alarm budget is spent.",
            Query(
                f"max by (monitor) (homeostat_verdict_evidence_ratio{{{ONE}}})", "{{monitor}}"
            ),
            steps=CLOSE, height=9,
        ),
        lines(
            "Rows judged", ROWS, "Rows behind the newest verdicts of each monitor.",
            Query(f"max by (monitor) (homeostat_judged_rows{{{ONE}}})", "{{monitor}}"),
            span=(0.0,), height=9,
        ),
        table(
            "Verdicts", "Subjects of each monitor by the status of their newest verdict.",
            {"monitor": "Monitor", "status": "Status", "Value": "Subjects"},
            Query(
                f"max by (monitor, status) (homeostat_verdicts{{{ONE}}}) > 0", instant=True
            ),
        ),
        table(
            "Which columns are broken", "Columns that are broken upstream now; empty is well.",
            {"feature": "Column"},
            Query(f"max by (feature) (homeostat_data_fault_open{{{ONE}}})", instant=True),
            height=5,
        ),
    )  # fmt: skip
