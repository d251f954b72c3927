"""What the families that a gateway exports say: their HELP lines."""

from __future__ import annotations

import platform

from homeostat import __version__
from homeostat.entrypoints.exposition import line

SERVED: dict[str, str] = {
    "homeostat_build_info": "What runs here.",
    "homeostat_predictions_total": (
        "Rows answered, by version, role, the tier that answered and why it was not the model."
    ),
    "homeostat_degraded_predictions_total": "Rows that a fallback tier answered.",
    "homeostat_shed_requests_total": "Requests refused at once because there were too many.",
    "homeostat_shadow_predictions_total": "Shadow rows by what became of them.",
    "homeostat_breaker_transitions_total": "Changes of a breaker's mode, by the new one.",
    "homeostat_requests_in_flight": "Requests under way.",
    "homeostat_request_duration_seconds": "Time from a request's arrival to its answer.",
    "homeostat_tier_duration_seconds": "Time of requests by the tier that spent it.",
    "homeostat_log_rows_total": "Rows for the prediction log, by what became of them.",
    "homeostat_log_rows_waiting": "Rows that wait for the prediction log, by where they do.",
    "homeostat_breaker_mode": "Workers whose breaker of the version is in this mode.",
    "homeostat_breaker_calls_total": "Calls of a version as its breaker counts them.",
    "homeostat_calls_under_way": "Calls of a version that have not ended.",
    "homeostat_call_places": "Calls of a version that may be under way at once.",
    "homeostat_lost_threads": "Threads whose call of a version does not end.",
    "process_cpu_seconds_total": "Processor time of each worker.",
    "process_resident_memory_bytes": "Resident memory of each worker.",
    "process_open_fds": "Open files of each worker.",
    "process_threads": "Threads of each worker.",
    "homeostat_event_loop_lag_seconds": "By how much each worker's event loop is late.",
    "homeostat_gpu_utilisation_ratio": "Share of the time in which the card was at work.",
    "homeostat_gpu_memory_used_bytes": "Memory of the card that is in use.",
    "homeostat_gpu_memory_bytes": "Memory of the card.",
}


def built(part: str) -> str:
    """Return the family that says what runs, in the classic format.

    Parameters
    ----------
    part : str
        Such as ``gateway``.

    Examples
    --------
    >>> print(built("gateway").splitlines()[0])
    # TYPE homeostat_build_info gauge
    """
    labels, values = ("version", "python", "part"), (__version__, platform.python_version(), part)
    name = "homeostat_build_info"
    return f"# TYPE {name} gauge\n{line(name, labels, values, 1)}\n"
