"""What gateways answer, how fast, and on what."""

from __future__ import annotations

from homeostat.entrypoints.monitoring.dashboards.panels import (
    BAD,
    BYTES,
    COUNT,
    GREEN,
    MODEL,
    MODELS,
    PER_SECOND,
    RED,
    ROWS,
    SECONDS,
    SHARE,
    Panel,
    Query,
    Section,
    Tree,
    dashboard,
    figure,
    history,
    lines,
)

MINE = f"{{{MODEL}}}"
QUANTILES = (0.5, 0.9, 0.95, 0.99)
FAILED = 'reason=~"error|timeout|overload"'


def serving() -> Tree:
    """Return the dashboard of the gateways."""
    return dashboard(
        "homeostat-serving",
        "Homeostat / Serving",
        "Requests, latency, errors, breakers, fallbacks, and the machines below.",
        [
            Section("Now", _now()),
            Section("Requests and latency", _requests()),
            Section("Errors, breakers, fallbacks", _errors()),
            Section("Prediction log", _log()),
            Section("Processes and graphics cards", _machine()),
        ],
        [MODELS],
        since="now-6h",
    )


def _now() -> tuple[Panel, ...]:
    return (
        figure(
            "Gateways", COUNT, "Gateways that answer Prometheus.",
            Query('sum(up{job="homeostat-gateway"})', "up", instant=True),
        ),
        figure(
            "Requests", PER_SECOND, "Requests a second, over five minutes.",
            Query(f"sum(homeostat:requests:rate5m{MINE})", "requests", instant=True),
        ),
        figure(
            "Slow requests", SHARE, "Largest share above the model's limit; 1 % may be.",
            Query(f"max(homeostat:slow_requests:ratio_rate5m{MINE})", "slow", instant=True),
            steps=((None, GREEN), (0.01, RED)),
        ),
        figure(
            "Errors", SHARE, "Largest share of rows that met errors, timeouts or overload.",
            Query(f"max(homeostat:errors:ratio_rate5m{MINE})", "errors", instant=True),
            steps=((None, GREEN), (0.01, RED)),
        ),
        figure(
            "Fallbacks", SHARE, "Largest share of rows that the model did not answer itself.",
            Query(f"max(homeostat:fallback:ratio_rate5m{MINE})", "fallbacks", instant=True),
            steps=((None, GREEN), (0.02, RED)),
        ),
        figure(
            "Open breakers", COUNT, "Breakers that keep calls from a version, over all workers.",
            Query(f"sum(homeostat:breakers_open{MINE})", "open", instant=True),
            steps=BAD,
        ),
    )  # fmt: skip


def _requests() -> tuple[Panel, ...]:
    return (*_latency(), *_work())


def _latency() -> tuple[Panel, ...]:
    bucket = f"rate(homeostat_request_duration_seconds_bucket{MINE}[$__rate_interval])"
    return (
        lines(
            "Requests by model", PER_SECOND, "Requests a second that gateways answered.",
            Query(
                "sum by (model) (rate(homeostat_request_duration_seconds_count"
                f"{MINE}[$__rate_interval]))",
                "{{model}}",
            ),
            span=(0.0,),
        ),
        lines(
            "Latency", SECONDS,
            "Quantiles over all chosen models, estimated from buckets; points lead to traces.",
            *(
                Query(
                    f"histogram_quantile({quantile}, sum by (le) ({bucket}))",
                    f"p{round(quantile * 100)}",
                    exemplars=quantile == QUANTILES[-1],
                )
                for quantile in QUANTILES
            ),
            span=(0.0,),
        ),
        lines(
            "Requests above the limit", SHARE, "By model; the limit is in homeostat.yaml.",
            Query(f"homeostat:slow_requests:ratio_rate5m{MINE}", "{{model}} > {{limit}} s"),
            span=(0.0,),
        ),
        lines(
            "Time by tier", SECONDS, "Mean seconds of a request by who worked on it.",
            Query(
                "sum by (model, tier) (rate(homeostat_tier_duration_seconds_sum"
                f"{MINE}[$__rate_interval])) / (sum by (model, tier) "
                f"(rate(homeostat_tier_duration_seconds_count{MINE}[$__rate_interval])) > 0)",
                "{{model}} {{tier}}",
            ),
            span=(0.0,),
        ),
    )  # fmt: skip


def _work() -> tuple[Panel, ...]:
    return (
        lines(
            "Requests under way", COUNT, "Requests that wait for their answer.",
            Query(f"sum by (model) (homeostat_requests_in_flight{MINE})", "{{model}}"),
            span=(0.0,),
        ),
        lines(
            "Places for calls", SHARE, "Calls of a version under way, over the places for them.",
            Query(
                f"sum by (model, version) (homeostat_calls_under_way{MINE})"
                f" / (sum by (model, version) (homeostat_call_places{MINE}) > 0)",
                "{{model}} {{version}}",
            ),
            span=(0.0, 1.0),
        ),
        lines(
            "Rows by tier", PER_SECOND, "Rows a second by who answered.",
            Query(
                f"sum by (tier) (rate(homeostat_predictions_total{MINE}[$__rate_interval]))",
                "{{tier}}",
            ),
            span=(0.0,),
        ),
    )  # fmt: skip


def _errors() -> tuple[Panel, ...]:
    return (
        lines(
            "Errors by model", SHARE, "Rows that met errors, timeouts or overload.",
            Query(f"homeostat:errors:ratio_rate5m{MINE}", "{{model}}"),
            span=(0.0,),
        ),
        lines(
            "Why others answered", PER_SECOND, "Rows a second that a fallback answered, by reason.",
            Query(
                "sum by (reason) (rate(homeostat_predictions_total"
                f'{{{MODEL}, tier!="model"}}[$__rate_interval]))',
                "{{reason}}",
            ),
            span=(0.0,),
        ),
        lines(
            "Fallbacks by model", SHARE, "Rows that the model did not answer itself.",
            Query(f"homeostat:fallback:ratio_rate5m{MINE}", "{{model}}"),
            span=(0.0,),
        ),
        history(
            "Breakers", COUNT, "Workers whose breaker keeps calls from the version.",
            Query(f"homeostat:breakers_open{MINE}", "{{model}} {{version}}"),
            steps=BAD,
        ),
        lines(
            "Calls by outcome", PER_SECOND, "Calls of versions as their breakers count them.",
            Query(
                "sum by (outcome) (rate(homeostat_breaker_calls_total"
                f"{MINE}[$__rate_interval]))",
                "{{outcome}}",
            ),
            span=(0.0,),
        ),
        lines(
            "Refused requests", PER_SECOND, "Refused at once because there were too many.",
            Query(
                "sum by (model) (rate(homeostat_shed_requests_total"
                f"{MINE}[$__rate_interval])) or 0 * homeostat:requests:rate5m{MINE}",
                "{{model}}",
            ),
            span=(0.0,),
        ),
    )  # fmt: skip


def _log() -> tuple[Panel, ...]:
    return (
        lines(
            "Rows for the log", PER_SECOND, "By what became of them.",
            Query(
                "sum by (fate) (rate(homeostat_log_rows_total[$__rate_interval]))", "{{fate}}"
            ),
            span=(0.0,),
        ),
        lines(
            "Rows that wait for the log", ROWS, "In memory and on disk.",
            Query("sum by (where) (homeostat_log_rows_waiting)", "{{where}}"),
            span=(0.0,),
        ),
    )  # fmt: skip


def _machine() -> tuple[Panel, ...]:
    gateway = '{job="homeostat-gateway"}'
    name = "{{instance}} {{worker}}"
    return (
        lines(
            "Processor", COUNT, "Cores that each worker keeps busy.",
            Query(f"rate(process_cpu_seconds_total{gateway}[$__rate_interval])", name),
            span=(0.0,), width=8,
        ),
        lines(
            "Memory", BYTES, "Resident memory of each worker.",
            Query(f"process_resident_memory_bytes{gateway}", name),
            span=(0.0,), width=8,
        ),
        lines(
            "Lag of the event loop", SECONDS, "By which each worker's loop is late.",
            Query("homeostat_event_loop_lag_seconds", name),
            span=(0.0,), width=8,
        ),
        lines(
            "Load of graphics cards", SHARE, "Of the time in which a kernel ran.",
            Query("homeostat_gpu_utilisation_ratio", "{{instance}} {{index}} {{name}}"),
            span=(0.0, 1.0),
        ),
        lines(
            "Memory of graphics cards", SHARE, "Used, over what there is.",
            Query(
                "homeostat_gpu_memory_used_bytes / homeostat_gpu_memory_bytes",
                "{{instance}} {{index}} {{name}}",
            ),
            span=(0.0, 1.0),
        ),
    )  # fmt: skip
