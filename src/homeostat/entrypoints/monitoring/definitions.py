"""Every family that the control plane exports: the one place for names, units and meanings.

Units are base units (seconds, bytes, shares from 0 to 1 as ``_ratio``); times are seconds since
1970. Labels take few values: models, monitors, rules and stages are configured or built in, and of
features, metrics and columns only so many have series of their own (`MOST`).
"""

from __future__ import annotations

from homeostat.entrypoints.exposition import Definition, Kind

MOST = 20
"""Features of a model that have series of their own; the others are one series, `OTHER`."""
OTHER = "other"

COUNTER, GAUGE, INFO, SUMMARY = Kind.COUNTER, Kind.GAUGE, Kind.INFO, Kind.SUMMARY
MODEL = ("model",)
MONITOR = ("model", "monitor")
FEATURE = ("model", "monitor", "feature")
METRIC = ("model", "metric", "cohort", "version")
WORTH = ("model", "metric")

DEFINITIONS: dict[str, Definition] = {
    "homeostat_build": Definition(INFO, ("version", "python", "part"), "What runs here."),
    "homeostat_process_start_time_seconds": Definition(
        GAUGE, (), "When this process began, in seconds since 1970."
    ),
    "homeostat_leading": Definition(
        GAUGE, (), "1 if this control plane ticks, 0 if it waits to take over."
    ),
    "homeostat_leader_beat_timestamp_seconds": Definition(
        GAUGE, (), "When the control plane that ticks was last heard of, by its own clock."
    ),
    "homeostat_tick_interval_seconds": Definition(GAUGE, (), "Configured time between two ticks."),
    "homeostat_ticks": Definition(COUNTER, (), "Ticks of this process."),
    "homeostat_failed_ticks": Definition(
        COUNTER, (), "Ticks of this process in which something failed; the next one tries again."
    ),
    "homeostat_tick_duration_seconds": Definition(SUMMARY, (), "Time that ticks took."),
    "homeostat_tick_last_success_timestamp_seconds": Definition(
        GAUGE, (), "When a tick of this process last went well."
    ),
    "homeostat_notifications_waiting": Definition(
        GAUGE, ("receiver",), "Notifications on record that are not delivered yet."
    ),
    "homeostat_notifications_failing": Definition(
        GAUGE, ("receiver",), "Those of them that failed at least once and are tried again."
    ),
    "homeostat_notifications_undelivered": Definition(
        COUNTER, ("receiver",), "Notifications that were given up: dead letters on record."
    ),
    "homeostat_remote_write_samples": Definition(
        COUNTER,
        ("fate",),
        "Samples of remote write: sent, refused by the server, dropped since too many waited.",
    ),
    "homeostat_remote_write_retries": Definition(
        COUNTER, (), "Requests of remote write that failed and were to be tried again."
    ),
    "homeostat_remote_write_waiting": Definition(
        GAUGE, (), "Samples of remote write that wait for a server that is away."
    ),
    "homeostat_model": Definition(
        INFO, ("model", "task", "champion"), "Models under care and the version that serves."
    ),
    "homeostat_champion_trained_timestamp_seconds": Definition(
        GAUGE, ("model", "version"), "Newest row that the champion was trained on, or its making."
    ),
    "homeostat_champion_since_timestamp_seconds": Definition(
        GAUGE,
        ("model", "version"),
        "When it was promoted; of a first version, when monitoring began.",
    ),
    "homeostat_judged_rows": Definition(
        GAUGE, MONITOR, "Rows behind the newest verdicts of a monitor."
    ),
    "homeostat_judged_timestamp_seconds": Definition(
        GAUGE, MONITOR, "End of the newest window that a monitor has judged."
    ),
    "homeostat_verdicts": Definition(
        GAUGE,
        ("model", "monitor", "status"),
        "Subjects of a monitor by the status of their newest verdict: ok, drift, inconclusive, "
        "no_data, error.",
    ),
    "homeostat_verdict_score_ratio": Definition(
        GAUGE, MONITOR, "Largest effect of a monitor's newest verdicts; from 1 on it matters."
    ),
    "homeostat_verdict_evidence_ratio": Definition(
        GAUGE, MONITOR, "Largest evidence of them over that at which the alarm budget is spent."
    ),
    "homeostat_drift_score_ratio": Definition(
        GAUGE, FEATURE, "Drift score of the newest window; from 1 on it matters to the owner."
    ),
    "homeostat_drift_evidence_ratio": Definition(
        GAUGE, FEATURE, "Evidence of drift over that at which the alarm budget is spent."
    ),
    "homeostat_drifted_features": Definition(
        GAUGE, MODEL, "Features whose drift is a verdict now, over all rows."
    ),
    "homeostat_drifted_segments": Definition(
        GAUGE, MODEL, "Features in segments whose drift is a verdict now."
    ),
    "homeostat_watched_features": Definition(GAUGE, MODEL, "Features of the model."),
    "homeostat_data_faults": Definition(GAUGE, MODEL, "Columns that are broken upstream now."),
    "homeostat_data_fault_open": Definition(
        GAUGE, ("model", "feature"), "1 while the column is broken upstream."
    ),
    "homeostat_metric_value": Definition(
        GAUGE,
        METRIC,
        "A metric of its newest window, in its own unit. Cohorts: matured (all labels), audit (the "
        "audited share), weighted (early labels), estimated (none).",
    ),
    "homeostat_metric_lower": Definition(GAUGE, METRIC, "Lower end of its 95 % interval."),
    "homeostat_metric_upper": Definition(GAUGE, METRIC, "Upper end of its 95 % interval."),
    "homeostat_metric_rows": Definition(GAUGE, METRIC, "Rows that it was measured on."),
    "homeostat_metric_reference_value": Definition(
        GAUGE, METRIC, "Its mean over the version's first 28 windows, by rows: what was usual."
    ),
    "homeostat_metric_timestamp_seconds": Definition(
        GAUGE, ("model", "cohort"), "End of the newest window that has metrics of a cohort."
    ),
    "homeostat_label_coverage_ratio": Definition(
        GAUGE, ("model", "cohort"), "Share of that window's predictions whose label is known."
    ),
    "homeostat_business_value": Definition(
        GAUGE, WORTH, "What predictions of the newest window are worth, as the owner defines it."
    ),
    "homeostat_business_value_lower": Definition(GAUGE, WORTH, "Lower end of its 95 % interval."),
    "homeostat_business_value_upper": Definition(GAUGE, WORTH, "Upper end of its 95 % interval."),
    "homeostat_business_value_rows": Definition(GAUGE, WORTH, "Rows that it was measured on."),
    "homeostat_late_rows": Definition(
        COUNTER, MODEL, "Predictions that came after their hour was judged."
    ),
    "homeostat_late_labels": Definition(
        COUNTER, MODEL, "Labels that came, or were corrected, after their window was measured."
    ),
    "homeostat_incident_open": Definition(
        GAUGE, ("model", "rule", "severity"), "1 while the incident of an alert rule is open."
    ),
    "homeostat_incidents": Definition(
        GAUGE, ("model", "stage"), "Alert rules by the stage of their incident."
    ),
    "homeostat_incident_episodes": Definition(
        COUNTER, ("model", "rule"), "How often an alert rule has fired."
    ),
    "homeostat_alarms_accepted": Definition(
        GAUGE, MODEL, "False alarms that the owner accepts in a period of the alarm budget."
    ),
    "homeostat_alarms_fired": Definition(
        GAUGE, MODEL, "Alarms, true or false, that fired in the newest period of that length."
    ),
    "homeostat_retraining_stage": Definition(
        GAUGE, ("model", "stage"), "1 at the stage of the newest retraining run, else 0."
    ),
    "homeostat_retraining_runs": Definition(
        COUNTER, MODEL, "Retraining runs that were asked for; one that never trained is one."
    ),
    "homeostat_rollout_stage": Definition(
        GAUGE, ("model", "stage"), "1 at the stage of the rollout, else 0."
    ),
    "homeostat_rollout_since_timestamp_seconds": Definition(
        GAUGE, MODEL, "Start of the rollout's stage or canary step."
    ),
    "homeostat_rollout_weight_ratio": Definition(
        GAUGE, MODEL, "Share of the entities that the challenger answers."
    ),
}
