"""The prediction log over HTTP: figures, rows, and what is done about refused ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from homeostat.adapters.predlog.export import page
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.domain.admission import EARLIEST, MAX_AHEAD
from homeostat.domain.clock import Clock
from homeostat.domain.model import ModelSpec
from homeostat.domain.window import Window
from homeostat.entrypoints.http.auth import Gate, Scope, Tokens
from homeostat.entrypoints.http.formats import ARROW, read_object
from homeostat.entrypoints.http.problem import ProblemError, endpoint, reply
from homeostat.entrypoints.http.query import limit_of, model_of, time_of
from homeostat.entrypoints.quarantine import fix, quarantine_of, replay, replay_all

BASE = "/api/v1"
MAX_BYTES = 32 * 1024 * 1024
ROWS = 50_000
MOST_ROWS = 200_000
NEXT = "Homeostat-Next"
ACTIONS = ("replay", "drop", "fix")


def data_api(
    log: FilePredictionLog,
    specs: Sequence[ModelSpec],
    clock: Clock,
    tokens: Tokens,
    max_bytes: int = MAX_BYTES,
) -> list[BaseRoute]:
    """Return the routes that give figures and rows out and that deal with refused ones.

    They go before those of `homeostat.entrypoints.http.api.api`, which end with a catch-all.
    """
    shared = _Data(log, {spec.name: spec for spec in specs}, clock, Gate(tokens), max_bytes)
    model = f"{BASE}/models/{{model}}"
    return [
        Route(f"{BASE}/status", endpoint(shared.status), methods=["GET"]),
        Route(f"{model}/rows", endpoint(shared.rows), methods=["GET"]),
        Route(f"{model}/quarantine/counts", endpoint(shared.counts), methods=["GET"]),
        Route(f"{model}/quarantine", endpoint(shared.change), methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class _Data:
    log: FilePredictionLog
    specs: dict[str, ModelSpec]
    clock: Clock
    gate: Gate
    max_bytes: int

    async def status(self, request: Request) -> Response:
        """Say what the log holds, where its files lie, and why that place does not answer."""
        await self.gate.admit(request, Scope.READ)
        return reply({"log": await run_in_threadpool(self.log.status)})

    async def rows(self, request: Request) -> Response:
        """Give a page of rows by time as an Arrow IPC stream; a header says where to go on."""
        await self.gate.admit(request, Scope.READ)
        spec, now = model_of(request, self.specs), self.clock.now()
        since = time_of(request, "since") or datetime(1970, 1, 1, tzinfo=UTC)
        until, as_of = time_of(request, "until") or now, time_of(request, "as_of")
        if until <= since:
            raise ProblemError(422, "until is not after since", "swap the two", "until")
        labels = request.query_params.get("labels", "true" if as_of else "false")
        if labels not in {"true", "false"}:
            raise ProblemError(422, f"{labels!r} is neither true nor false", "use one", "labels")
        moment = (as_of or now) if labels == "true" else None
        most = limit_of(request, ROWS, MOST_ROWS)
        window = _held(since, until, now)
        found = await run_in_threadpool(page, self.log, spec, window, moment, most)
        answer = Response(await run_in_threadpool(_stream, found.rows), media_type=ARROW)
        if found.next is not None:
            answer.headers[NEXT] = found.next.isoformat()
        return answer

    async def counts(self, request: Request) -> Response:
        """Say how many rows were refused, by reason."""
        await self.gate.admit(request, Scope.READ)
        found = await run_in_threadpool(
            quarantine_of(self.log, model_of(request, self.specs)).counts
        )
        return reply({"counts": found})

    async def change(self, request: Request) -> Response:
        """Replay, drop or mend refused rows."""
        await self.gate.admit(request, Scope.OPERATE)
        spec = model_of(request, self.specs)
        body = await read_object(request, self.max_bytes)
        return reply(await run_in_threadpool(self._change, spec, body))

    def _change(self, spec: ModelSpec, body: dict[str, object]) -> object:
        action, numbers = body.get("action"), _numbers(body.get("numbers"))
        kept = quarantine_of(self.log, spec)
        for key in body:
            if key not in {"action", "numbers", "row"}:
                raise ProblemError(422, "unknown field", "known: action, numbers, row", key)
        if action == "replay":
            if numbers is None:
                return replay_all(self.log, spec)
            return replay(self.log, spec, kept.get(numbers))
        if action not in ACTIONS:
            raise ProblemError(422, "unknown action", f"one of {', '.join(ACTIONS)}", "action")
        if not numbers:
            remedy = "send a list of the numbers that GET quarantine shows"
            raise ProblemError(422, f"{action} needs numbers", remedy, "numbers")
        if action == "drop":
            return {"dropped": kept.drop(numbers)}
        if len(numbers) > 1 or "row" not in body:
            remedy = "send one number and the row as it should be"
            raise ProblemError(422, "fix needs one number and a row", remedy, "row")
        return {"fixed": fix(self.log, spec, numbers[0], body["row"])}


def _held(since: datetime, until: datetime, now: datetime) -> Window:
    """Return the part of a window in which there can be rows: millennia are not looked through."""
    latest = now + MAX_AHEAD
    start = min(max(since, EARLIEST), latest)
    return Window(start, max(min(until, latest), start + timedelta(microseconds=1)))


def _numbers(found: object) -> list[int] | None:
    if found is None:
        return None
    numbers = [n for n in found if type(n) is int] if isinstance(found, list) else []
    if not isinstance(found, list) or len(numbers) < len(found):
        remedy = "send a list of the numbers that GET quarantine shows"
        raise ProblemError(422, "numbers must be whole numbers", remedy, "numbers")
    return numbers


def _stream(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue().to_pybytes()
