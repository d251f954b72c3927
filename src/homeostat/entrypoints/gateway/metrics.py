"""Counters of the gateway, in the Prometheus text format."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from operator import itemgetter

from homeostat.entrypoints.exposition import exemplar
from homeostat.entrypoints.exposition import line as _line
from homeostat.entrypoints.gateway.answered import Answered
from homeostat.serving.breaker import Mode, Transition
from homeostat.serving.circuit import Circuit
from homeostat.serving.plan import Answerer, Role

TOGETHER = 64
"""Most rows, and most answers, that are kept to be counted at once."""
# Bounds of the OpenTelemetry convention for http.server.request.duration, in seconds.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class Metrics:
    """Counts answers and times requests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._new: list[Answered] = []
        self._answers: Counter[tuple[str, str, str, str, str]] = Counter()
        self._degraded: Counter[str] = Counter()
        self._buckets: dict[tuple[str, str], list[int]] = {}
        self._exemplars: dict[tuple[tuple[str, str], int], str] = {}  # the newest of each bucket
        self._seconds: dict[tuple[str, str], float] = {}
        self._tiers: dict[tuple[str, str], list[float]] = {}  # seconds, requests; see `_of_tiers`
        self._shed: Counter[str] = Counter()
        self._transitions: Counter[tuple[str, str, str]] = Counter()
        self.in_flight: Counter[str] = Counter()
        self.shadows: Counter[tuple[str, str, str]] = Counter()

    def answered(self, answered: Answered) -> None:
        """Count one answer; small ones when there are some, which costs less."""
        with self._lock:
            self._new.append(answered)
            if len(self._new) >= TOGETHER or len(answered.tier) > TOGETHER:
                self._count()

    def _count(self) -> None:
        for answered in self._new:
            model, seconds = answered.spec.name, answered.latency_ms / 1000
            tiers = answered.tier
            for marks in zip(answered.version, answered.role, tiers, answered.reason, strict=True):
                self._answers[(model, *marks)] += 1
            degraded = len(tiers) - tiers.count(Answerer.MODEL)
            if degraded and Role.OVERRIDE in answered.role:
                degraded = sum(
                    tier is not Answerer.MODEL and role != Role.OVERRIDE
                    for tier, role in zip(tiers, answered.role, strict=True)
                )
            self._degraded[model] += degraded
            timed = _timed(answered)
            buckets = self._buckets.setdefault(timed, [0] * (len(BOUNDS) + 1))
            buckets[bisect_left(BOUNDS, seconds)] += 1
            self._seconds[timed] = self._seconds.get(timed, 0.0) + seconds
            if answered.spent:
                for tier, spent in ((SPLIT, seconds), *answered.spent.items()):
                    total = self._tiers.setdefault((model, tier), [0.0, 0])
                    total[0] += spent
                    total[1] += 1
        self._new.clear()

    def traced(self, answered: Answered, trace: str, span: str, at: float) -> None:
        """Note the trace of an answer beside the bucket of its latency; each keeps its newest.

        Parameters
        ----------
        answered : Answered
        trace, span : str
            Ids in hexadecimal.
        at : float
            When it was answered, in seconds since 1970.
        """
        seconds = answered.latency_ms / 1000
        kept = _timed(answered), bisect_left(BOUNDS, seconds)
        with self._lock:
            self._exemplars[kept] = exemplar(trace, span, seconds, at)

    def transition(self, model: str, version: str, change: Transition) -> None:
        """Count a breaker's change of mode."""
        with self._lock:
            self._transitions[model, version, change.after] += 1

    def shadowed(self, model: str, version: str, result: str, rows: int) -> None:
        """Count shadow rows by result: scored, dropped or failed."""
        with self._lock:
            self.shadows[model, version, result] += rows

    def shed(self, model: str) -> None:
        """Count a request that was refused because there were too many."""
        with self._lock:
            self._shed[model] += 1

    def text(
        self,
        log: Mapping[str, int],
        waiting: Mapping[str, int],
        breakers: Mapping[tuple[str, str], Circuit],
    ) -> str:
        """Render everything.

        Parameters
        ----------
        log : mapping
            Rows by what became of them.
        waiting : mapping
            Rows that wait for the log, by where they do.
        breakers : mapping
            By model and version.
        """
        lines = self._counted()
        lines.append("# TYPE homeostat_log_rows_total counter")
        lines += [_line("homeostat_log_rows_total", ("fate",), (k,), v) for k, v in log.items()]
        lines.append("# TYPE homeostat_log_rows_waiting gauge")
        lines += [
            _line("homeostat_log_rows_waiting", ("where",), (k,), v) for k, v in waiting.items()
        ]
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
        for model in {model for model, _ in self._seconds}:
            seconds = sum(spent for key, spent in self._seconds.items() if key[0] == model)
            split = found.pop((model, SPLIT), (0.0, 0))
            own = found.get((model, Answerer.MODEL), (0.0, 0))
            requests = sum(sum(b) for key, b in self._buckets.items() if key[0] == model)
            found[model, Answerer.MODEL] = (
                own[0] + seconds - split[0],
                own[1] + requests - split[1],
            )
        return found

    def _counted(self) -> list[str]:
        with self._lock:
            self._count()
            return [
                "# TYPE homeostat_predictions_total counter",
                *(
                    _line("homeostat_predictions_total", ANSWER_LABELS, key, count)
                    for key, count in sorted(self._answers.items())
                ),
                *_family("homeostat_degraded_predictions_total", self._degraded),
                *_family("homeostat_shed_requests_total", self._shed),
                "# TYPE homeostat_shadow_predictions_total counter",
                *(
                    _line("homeostat_shadow_predictions_total", SHADOW_LABELS, key, count)
                    for key, count in sorted(self.shadows.items())
                ),
                "# TYPE homeostat_breaker_transitions_total counter",
                *(
                    _line("homeostat_breaker_transitions_total", CHANGE_LABELS, key, count)
                    for key, count in sorted(self._transitions.items())
                ),
                *_family("homeostat_requests_in_flight", self.in_flight, "gauge"),
                "# TYPE homeostat_request_duration_seconds histogram",
                *(line for timed in sorted(self._buckets) for line in self._histogram(timed)),
                "# TYPE homeostat_tier_duration_seconds summary",
                *(
                    _line(f"homeostat_tier_duration_seconds_{part}", TIER_LABELS, key, figure)
                    for key, figures in sorted(self._of_tiers().items())
                    for part, figure in zip(("sum", "count"), figures, strict=True)
                ),
            ]

    def _histogram(self, timed: tuple[str, str]) -> list[str]:
        name, lines, total = "homeostat_request_duration_seconds", [], 0
        bounds = (*map(str, BOUNDS), "+Inf")
        for place, (bound, count) in enumerate(zip(bounds, self._buckets[timed], strict=True)):
            total += count
            bucket = _line(f"{name}_bucket", (*TIMED_LABELS, "le"), (*timed, bound), total)
            lines.append(bucket + self._exemplars.get((timed, place), ""))
        lines.append(_line(f"{name}_sum", TIMED_LABELS, timed, self._seconds[timed]))
        lines.append(_line(f"{name}_count", TIMED_LABELS, timed, total))
        return lines


def _timed(answered: Answered) -> tuple[str, str]:
    """Return the model and the tier that a request's latency is counted for."""
    tiers = answered.tier
    return answered.spec.name, (tiers[0] if len(set(tiers)) == 1 else MIXED)


def place_lines(versions: Mapping[tuple[str, str], tuple[int, int, int]]) -> list[str]:
    """Return what there is of places for calls and of threads that are lost.

    Parameters
    ----------
    versions : mapping
        Places that are held, places that there are, and lost threads, by model and version.
    """
    lines = []
    for place, name in enumerate(("calls_under_way", "call_places", "lost_threads")):
        lines.append(f"# TYPE homeostat_{name} gauge")
        lines += [
            _line(f"homeostat_{name}", ("model", "version"), key, figures[place])
            for key, figures in sorted(versions.items())
        ]
    return lines


SPLIT = ""  # in place of a tier: requests that more than the model worked on


def _family(name: str, figures: Mapping[str, int], kind: str = "counter") -> list[str]:
    lines = [_line(name, ("model",), (model,), figures[model]) for model in sorted(figures)]
    return [f"# TYPE {name} {kind}", *lines]


ANSWER_LABELS = ("model", "version", "role", "tier", "reason")
TIER_LABELS = ("model", "tier")
SHADOW_LABELS = ("model", "version", "result")
MODE_LABELS = ("model", "version", "mode")
CALL_LABELS = ("model", "version", "outcome")
CHANGE_LABELS = ("model", "version", "to")
TIMED_LABELS = ("model", "tier")
MIXED = "mixed"
"""Tier of a request whose rows were answered by several."""
