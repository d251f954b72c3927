"""Counters of the gateway, in the Prometheus text format."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from operator import itemgetter

from homeostat.entrypoints.exposition import line as _line
from homeostat.entrypoints.gateway.answered import Answered
from homeostat.serving.breaker import Mode
from homeostat.serving.circuit import Circuit
from homeostat.serving.plan import Answerer

# Bounds of the OpenTelemetry convention for http.server.request.duration, in seconds.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class Metrics:
    """Counts answers and times requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: Counter[tuple[str, str, str, str, str]] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}
        self._tiers: dict[tuple[str, str], list[float]] = {}  # seconds, requests; see `_of_tiers`
        self._shed: Counter[str] = Counter()
        self.shadows: Counter[tuple[str, str, str]] = Counter()

    def answered(self, answered: Answered) -> None:
        """Count the rows of one answer."""
        model, seconds = answered.spec.name, answered.latency_ms / 1000
        rows = zip(answered.version, answered.role, answered.tier, answered.reason, strict=True)
        with self._lock:
            for marks in rows:
                self._answers[(model, *marks)] += 1
            buckets = self._buckets.setdefault(model, [0] * (len(BOUNDS) + 1))
            buckets[bisect_left(BOUNDS, seconds)] += 1
            self._seconds[model] = self._seconds.get(model, 0.0) + seconds
            if answered.spent:
                for tier, spent in ((SPLIT, seconds), *answered.spent.items()):
                    total = self._tiers.setdefault((model, tier), [0.0, 0])
                    total[0] += spent
                    total[1] += 1

    def shadowed(self, model: str, version: str, result: str, rows: int) -> None:
        """Count shadow rows by result: scored, dropped or failed."""
        with self._lock:
            self.shadows[model, version, result] += rows

    def shed(self, model: str) -> None:
        """Count a request that was refused because there were too many."""
        with self._lock:
            self._shed[model] += 1

    def text(self, log: Mapping[str, int], breakers: Mapping[tuple[str, str], Circuit]) -> str:
        """Render everything; `log` are rows by fate, `breakers` go by model and version."""
        with self._lock:
            lines = [
                "# TYPE homeostat_predictions_total counter",
                *(
                    _line("homeostat_predictions_total", ANSWER_LABELS, key, count)
                    for key, count in sorted(self._answers.items())
                ),
                "# TYPE homeostat_shed_requests_total counter",
                *(
                    _line("homeostat_shed_requests_total", ("model",), (model,), count)
                    for model, count in sorted(self._shed.items())
                ),
                "# TYPE homeostat_shadow_predictions_total counter",
                *(
                    _line("homeostat_shadow_predictions_total", SHADOW_LABELS, key, count)
                    for key, count in sorted(self.shadows.items())
                ),
                "# TYPE homeostat_request_duration_seconds histogram",
                *(line for model in sorted(self._buckets) for line in self._histogram(model)),
                "# TYPE homeostat_tier_duration_seconds summary",
                *(
                    _line(f"homeostat_tier_duration_seconds_{part}", TIER_LABELS, key, figure)
                    for key, figures in sorted(self._of_tiers().items())
                    for part, figure in zip(("sum", "count"), figures, strict=True)
                ),
            ]
        lines.append("# TYPE homeostat_log_rows_total counter")
        lines += [_line("homeostat_log_rows_total", ("fate",), (k,), v) for k, v in log.items()]
        ordered = sorted(breakers.items(), key=itemgetter(0))
        lines.append("# TYPE homeostat_breaker_mode gauge")
        for key, breaker in ordered:
            lines += [
                _line(
                    "homeostat_breaker_mode", MODE_LABELS, (*key, each), int(each is breaker.mode)
                )
                for each in Mode
            ]
        lines.append("# TYPE homeostat_breaker_calls_total counter")
        for key, breaker in ordered:
            lines += [
                _line("homeostat_breaker_calls_total", CALL_LABELS, (*key, outcome), count)
                for outcome, count in breaker.counts.items()
            ]
        return "\n".join(lines) + "\n"

    def _of_tiers(self) -> dict[tuple[str, str], tuple[float, float]]:
        """Return seconds and requests by model and tier.

        Requests that took no more than the model, which are most, are those that were not counted.
        """
        found = {key: (total[0], total[1]) for key, total in self._tiers.items()}
        for model, seconds in self._seconds.items():
            split = found.pop((model, SPLIT), (0.0, 0))
            own = found.get((model, Answerer.MODEL), (0.0, 0))
            requests = sum(self._buckets[model])
            found[model, Answerer.MODEL] = (
                own[0] + seconds - split[0],
                own[1] + requests - split[1],
            )
        return found

    def _histogram(self, model: str) -> list[str]:
        name, lines, total = "homeostat_request_duration_seconds", [], 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self._buckets[model], strict=True):
            total += count
            lines.append(_line(f"{name}_bucket", ("model", "le"), (model, bound), total))
        lines.append(_line(f"{name}_sum", ("model",), (model,), self._seconds[model]))
        lines.append(_line(f"{name}_count", ("model",), (model,), total))
        return lines


SPLIT = ""  # in place of a tier: requests that more than the model worked on
ANSWER_LABELS = ("model", "version", "role", "tier", "reason")
TIER_LABELS = ("model", "tier")
SHADOW_LABELS = ("model", "version", "result")
MODE_LABELS = ("model", "version", "mode")
CALL_LABELS = ("model", "version", "outcome")
