"""The control plane's HTTP API: predictions and labels in, verdicts and decisions out, commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import orjson
import pyarrow as pa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from homeostat.domain.clock import Clock
from homeostat.domain.errors import DataError
from homeostat.domain.model import ModelSpec
from homeostat.engine import commands
from homeostat.engine.ports import PredictionLog, Receipt, Records
from homeostat.entrypoints import current
from homeostat.entrypoints.http.auth import Gate, Scope, Tokens
from homeostat.entrypoints.http.body import held_size, read_bytes
from homeostat.entrypoints.http.events import Event, Pairs, read_event
from homeostat.entrypoints.http.formats import read_body, read_object, read_rows
from homeostat.entrypoints.http.intake import Intake
from homeostat.entrypoints.http.problem import Endpoint, ProblemError, endpoint, reply
from homeostat.entrypoints.http.query import limit_of, model_of, time_of
from homeostat.entrypoints.http.rows import Rows, read_predictions

BASE = "/api/v1"
MAX_BYTES = 32 * 1024 * 1024
EVERY = "*"
"""Asks for the metrics of each segment and of all rows."""
NEEDS_SUBJECT = {
    commands.Request.PUSH: "the version to serve",
    commands.Request.SUBMIT: "the version to roll out",
    commands.Request.ACKNOWLEDGE: "the incident's key",
}

Append = Callable[[ModelSpec, pa.Table], Receipt]
Listing = Callable[[Request, ModelSpec], object]


class Log(PredictionLog, Protocol):
    """A prediction log whose refused rows can be added to and looked at."""

    def refuse(self, spec: ModelSpec, kind: str, refused: Sequence[tuple[str, str, str]]) -> None:
        """Keep rows as (column, reason, JSON of the row); `kind` is labels or predictions."""
        ...

    def quarantined(self, model: str = "", limit: int = 100) -> Sequence[object]:
        """Return the newest refused rows as dataclasses, newest first."""
        ...


def api(
    records: Records,
    log: Log,
    specs: Sequence[ModelSpec],
    clock: Clock,
    tokens: Tokens,
    max_bytes: int = MAX_BYTES,
    intake: Intake | None = None,
) -> list[BaseRoute]:
    """Return the routes of the API.

    Parameters
    ----------
    records, log : Records, Log
        Called in worker threads, never on the event loop.
    specs : sequence of ModelSpec
    clock : Clock
        Arrival time of labels that name none.
    tokens : Tokens
        Who may ask; without any, only programs on this machine.
    max_bytes : int
        Larger requests are answered with 413.
    intake : Intake, optional
        What is taken at once; by default eight of the largest requests.
    """
    intake = intake or Intake(clock, 8 * max_bytes)
    named = {spec.name: spec for spec in specs}
    shared = _Api(records, log, clock, Gate(tokens), named, max_bytes, intake, Pairs(clock))
    model = f"{BASE}/models/{{model}}"
    later = log.append_labels
    writes = {"predictions": log.append, "labels": later, "outcomes": later}
    reads: dict[str, Listing] = {
        "verdicts": shared.verdicts,
        "metrics": shared.metrics,
        "decisions": shared.decisions,
        "incidents": shared.incidents,
        "quarantine": shared.quarantine,
    }
    return [
        Route(f"{BASE}/models", endpoint(shared.models), methods=["GET"]),
        Route(model, shared.read(shared.status), methods=["GET"]),
        *(
            Route(f"{model}/{field}", shared.ingest(field, append), methods=["POST"])
            for field, append in writes.items()
        ),
        Route(f"{model}/diagnosis", shared.read(shared.diagnosis), methods=["GET"]),
        Route(f"{model}/payloads", endpoint(shared.payload), methods=["POST"]),
        Route(f"{model}/commands", endpoint(shared.command), methods=["POST"]),
        *(
            Route(f"{model}/{name}", shared.read(listing, name), methods=["GET"])
            for name, listing in reads.items()
        ),
        Route(f"{BASE}/{{rest:path}}", endpoint(_nothing_here), methods=["GET", "POST"]),
    ]


async def _nothing_here(request: Request) -> Response:
    raise ProblemError(
        404, f"there is nothing at {request.url.path}", f"GET {BASE}/models lists the models"
    )


@dataclass(frozen=True, slots=True)
class _Api:
    records: Records
    log: Log
    clock: Clock
    gate: Gate
    specs: dict[str, ModelSpec]
    max_bytes: int
    intake: Intake
    pairs: Pairs

    def ingest(self, field: str, append: Append) -> Endpoint:
        async def handle(request: Request) -> Response:
            actor = await self.gate.admit(request, Scope.INGEST)
            spec = model_of(request, self.specs)
            key = request.headers.get("idempotency-key", "")
            with self.intake.holding(held_size(request, self.max_bytes)):
                kind, body = await read_body(request, self.max_bytes)
                receipt = await run_in_threadpool(
                    self._store, spec, field, kind, body, append, actor, key
                )
            return _answer(receipt, field)

        return endpoint(handle)

    async def payload(self, request: Request) -> Response:
        """Take one half of a call that a model server tells of."""
        actor = await self.gate.admit(request, Scope.INGEST)
        spec = model_of(request, self.specs)
        with self.intake.holding(held_size(request, self.max_bytes)):
            body = await read_bytes(request, self.max_bytes)
            event = read_event(request.headers, body)
            receipt = await run_in_threadpool(self._store_payload, spec, event, actor)
        return reply({"waiting": True}, 202) if receipt is None else _answer(receipt, "payload")

    def _store_payload(self, spec: ModelSpec, event: Event, actor: str) -> Receipt | None:
        now = self.clock.now()
        try:
            rows = self.pairs.rows(spec, event, now.isoformat())
        except DataError as error:
            text = _text({"id": event.key, "body": event.body.decode(errors="replace")})
            self.log.refuse(spec, "predictions", [("payload", str(error), text)])
            raise
        if rows is None:
            return None
        self.intake.spend(actor, len(rows))
        return self._append(spec, "predictions", read_predictions(spec, rows, now), self.log.append)

    def _store(
        self,
        spec: ModelSpec,
        field: str,
        kind: str,
        body: bytes,
        append: Append,
        actor: str,
        key: str,
    ) -> Receipt:
        place = f"{actor}/{spec.name}/{field}"
        known = self.intake.answered(place, key, body) if key else None
        if known is not None:
            return known
        rows = read_rows(spec, field, kind, body, self.clock.now())
        self.intake.spend(actor, rows.count)
        receipt = self._append(spec, field, rows, append)
        if key:
            self.intake.remember(place, key, body, receipt)
        return receipt

    def _append(self, spec: ModelSpec, field: str, rows: Rows, append: Append) -> Receipt:
        if rows.rejected:
            kept = "predictions" if field == "predictions" else "labels"
            self.log.refuse(spec, kept, _refused(rows))
        return rows.receipt(append(spec, rows.table) if rows.places else Receipt(0))

    def read(self, listing: Listing, name: str = "") -> Endpoint:
        async def handle(request: Request) -> Response:
            await self.gate.admit(request, Scope.READ)
            found = await run_in_threadpool(listing, request, model_of(request, self.specs))
            return reply({name: found} if name else found)

        return endpoint(handle)

    async def models(self, request: Request) -> Response:
        await self.gate.admit(request, Scope.READ)
        found = await run_in_threadpool(
            lambda: [self.status(request, spec) for spec in self.specs.values()]
        )
        return reply({"models": found})

    def status(self, _request: Request, spec: ModelSpec) -> dict[str, object]:
        rollout = current.rollout(self.records, spec.name)
        incidents = current.incidents(self.records, spec.name)
        return {
            "name": spec.name,
            "task": spec.task,
            "features": list(spec.schema.names),
            "rollout": rollout,
            "retraining": current.run(self.records, spec.name),
            "open_incidents": [state.key for state in incidents if state.open],
            "late": current.late(self.records, spec.name),
        }

    def verdicts(self, request: Request, spec: ModelSpec) -> object:
        since, until = time_of(request, "since"), time_of(request, "until")
        return self.records.verdicts(spec.name, since, until)[-limit_of(request) :]

    def metrics(self, request: Request, spec: ModelSpec) -> object:
        since, until = time_of(request, "since"), time_of(request, "until")
        name = request.query_params.get("name", "")
        segment = request.query_params.get("segment", "")
        chosen = None if segment == EVERY else segment
        return self.records.metrics(spec.name, name, since, until, chosen, limit_of(request))

    def decisions(self, request: Request, spec: ModelSpec) -> object:
        return self.records.decisions(spec.name, time_of(request, "since"), limit_of(request))

    def diagnosis(self, _request: Request, spec: ModelSpec) -> dict[str, object]:
        why = current.why(self.records, spec.name)
        told = why.rows.explanation
        return {
            "diagnosis": why.diagnosis,
            "explanation": None if told is None else told.to_dict(),
            "since": why.rows.since,
            "looked": why.rows.looked,
            "problem": why.rows.problem,
            "broken": why.rows.faults,
        }

    def incidents(self, request: Request, spec: ModelSpec) -> object:
        found = current.incidents(self.records, spec.name)[: limit_of(request)]
        return [asdict(state) | {"key": state.key, "open": state.open} for state in found]

    def quarantine(self, request: Request, spec: ModelSpec) -> object:
        return self.log.quarantined(spec.name, limit_of(request))

    async def command(self, request: Request) -> Response:
        actor = await self.gate.admit(request, Scope.OPERATE)
        spec = model_of(request, self.specs)
        command = _command(await read_object(request, self.max_bytes), spec.name, actor)
        await run_in_threadpool(commands.submit, self.records, command, self.clock.now())
        return reply({"submitted": command.request, "actor": actor}, 202)


def _refused(rows: Rows) -> list[tuple[str, str, str]]:
    return [(r.column, r.reason, _text(rows.originals.get(r.row))) for r in rows.rejected]


def _text(item: object) -> str:
    """Return a refused row as JSON, whatever it is made of."""
    return orjson.dumps(item, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


def _answer(receipt: Receipt, field: str) -> Response:
    """Return the receipt; nothing taken and something refused is an error in itself."""
    body: dict[str, object] = asdict(receipt)
    if not receipt.rejected or receipt.accepted or receipt.duplicates:
        return reply(body)
    first = receipt.rejected[0]
    where = ".".join(part for part in (field, str(first.row), first.column) if part)
    remedy = "correct the rows listed under rejected and send them again"
    return reply(body | {"error": first.reason, "field": where, "remedy": remedy}, 422)


def _command(body: dict[str, object], model: str, actor: str) -> commands.Command:
    known = {"request", "subject", "reason"}
    for key, value in body.items():
        if key not in known:
            raise ProblemError(422, "unknown field", f"known: {', '.join(sorted(known))}", key)
        if not isinstance(value, str):
            raise ProblemError(422, f"{key} must be text", "send a JSON string", key)
    try:
        request = commands.Request(str(body.get("request", "")))
    except ValueError:
        verbs = ", ".join(commands.Request)
        raise ProblemError(422, "unknown request", f"one of {verbs}", "request") from None
    subject = str(body.get("subject", ""))
    if request in NEEDS_SUBJECT and not subject:
        remedy = f"name {NEEDS_SUBJECT[request]}"
        raise ProblemError(422, f"{request} needs a subject", remedy, "subject")
    return commands.Command(request, model, actor, subject, str(body.get("reason", "")))
