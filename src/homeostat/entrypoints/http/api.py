"""The control plane's HTTP API: predictions and labels in, verdicts and decisions out, commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from homeostat.domain.clock import Clock
from homeostat.domain.errors import DataError, NotFoundError
from homeostat.domain.model import ModelSpec
from homeostat.engine import commands
from homeostat.engine.orders import BY_HAND, give_order, standing
from homeostat.engine.ports import Receipt, Records
from homeostat.entrypoints import current
from homeostat.entrypoints.http.auth import Gate, Scope, Tokens
from homeostat.entrypoints.http.batching import Batches
from homeostat.entrypoints.http.body import read_bytes
from homeostat.entrypoints.http.events import Event, Pairs, read_event
from homeostat.entrypoints.http.formats import read_body, read_object
from homeostat.entrypoints.http.intake import Intake
from homeostat.entrypoints.http.problem import Endpoint, ProblemError, endpoint, reply
from homeostat.entrypoints.http.query import limit_of, model_of, time_of
from homeostat.entrypoints.http.retraining import retraining_api
from homeostat.entrypoints.http.rows import read_predictions
from homeostat.entrypoints.http.silencing import silences_api
from homeostat.entrypoints.http.storing import Body, Log, Store, as_text
from homeostat.entrypoints.story import Stories, told_of
from homeostat.serving import breaker

BASE = "/api/v1"
MAX_BYTES = 32 * 1024 * 1024
EVERY = "*"
"""Asks for the metrics of each segment and of all rows."""
NEEDS_SUBJECT = {
    commands.Request.PUSH: "the version to serve",
    commands.Request.SUBMIT: "the version to roll out",
    commands.Request.ACKNOWLEDGE: "the incident's key",
    commands.Request.CLOSE: "the incident's key",
    commands.Request.START_BANDIT: "the bandit's name",
    commands.Request.STOP_BANDIT: "the bandit's name",
}

E = TypeVar("E", bound=StrEnum)
Listing = Callable[[Request, ModelSpec], object]


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
    tokens : Tokens
        Who may ask; without any, only programs on this machine.
    max_bytes : int
        Larger requests are answered with 413.
    intake : Intake, optional
        What is taken at once; by default eight of the largest requests.
    """
    intake = intake or Intake(clock, 8 * max_bytes)
    named = {spec.name: spec for spec in specs}
    store = Store(log, clock, intake, max_bytes)
    batches: Batches[Body, Receipt] = Batches(store.each)
    shared = _Api(
        records, log, clock, Gate(tokens), named, max_bytes, intake, store, batches, Pairs(clock)
    )
    model = f"{BASE}/models/{{model}}"
    reads: dict[str, Listing] = {
        "verdicts": shared.verdicts,
        "metrics": shared.metrics,
        "decisions": shared.decisions,
        "incidents": shared.incidents,
        "quarantine": shared.quarantine,
        "breakers": shared.breakers,
    }
    return [
        Route(f"{BASE}/models", endpoint(shared.models), methods=["GET"]),
        Route(model, shared.read(shared.status), methods=["GET"]),
        *(
            Route(f"{model}/{field}", shared.ingest(field), methods=["POST"])
            for field in ("predictions", "labels", "outcomes")
        ),
        Route(f"{model}/diagnosis", shared.read(shared.diagnosis), methods=["GET"]),
        Route(f"{model}/payloads", endpoint(shared.payload), methods=["POST"]),
        Route(f"{model}/commands", endpoint(shared.command), methods=["POST"]),
        Route(f"{model}/breakers", endpoint(shared.order), methods=["POST"]),
        *(
            Route(f"{model}/{name}", shared.read(listing, name), methods=["GET"])
            for name, listing in reads.items()
        ),
        Route(f"{model}/incidents/{{key}}", shared.read(shared.incident), methods=["GET"]),
        *retraining_api(model, records, named, clock, shared.gate),
        *silences_api(records, list(named), clock, tokens),
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
    store: Store
    batches: Batches[Body, Receipt]
    pairs: Pairs

    def ingest(self, field: str) -> Endpoint:
        async def handle(request: Request) -> Response:
            actor = await self.gate.admit(request, Scope.INGEST)
            spec = model_of(request, self.specs)
            key = request.headers.get("idempotency-key", "")
            with self.intake.holding() as share:
                kind, content = await read_body(request, self.max_bytes, share)
                body = Body(spec, field, kind, content, actor, key)
                receipt = await self.batches.answer(body, len(content))
            return _answer(receipt, field)

        return endpoint(handle)

    async def payload(self, request: Request) -> Response:
        """Take one half of a call that a model server tells of."""
        actor = await self.gate.admit(request, Scope.INGEST)
        spec = model_of(request, self.specs)
        with self.intake.holding() as share:
            body = await read_bytes(request, self.max_bytes, share)
            event = read_event(request.headers, body)
            receipt = await run_in_threadpool(self._store_payload, spec, event, actor)
        return reply({"waiting": True}, 202) if receipt is None else _answer(receipt, "payload")

    def _store_payload(self, spec: ModelSpec, event: Event, actor: str) -> Receipt | None:
        now = self.clock.now()
        try:
            rows = self.pairs.rows(spec, event, now.isoformat())
        except DataError as error:
            text = as_text({"id": event.key, "body": event.body.decode(errors="replace")})
            self.log.refuse(spec, "predictions", [("payload", str(error), text)])
            raise
        if rows is None:
            return None
        self.intake.spend(actor, len(rows))
        found = read_predictions(spec, rows, now)
        self.store.refuse(spec, "predictions", found)
        return found.receipt(self.log.append(spec, found.table) if found.places else Receipt(0))

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
            "breakers": standing(self.records, spec.name),
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
        since, until = time_of(request, "since"), time_of(request, "until")
        most = limit_of(request)
        if until is None:
            return self.records.decisions(spec.name, since, most)
        return [d for d in self.records.decisions(spec.name, since) if d.at < until][-most:]

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

    def incident(self, request: Request, spec: ModelSpec) -> dict[str, object]:
        key = str(request.path_params["key"])
        if not key.startswith(f"{spec.name}:"):
            raise ProblemError(404, f"no incident {key!r} of {spec.name}", "list them", "key")
        stories = Stories(self.records, self.specs, self.clock)
        try:
            return {"incident": told_of(stories.of(key))}
        except NotFoundError as error:
            raise ProblemError(404, str(error), "list the model's incidents", "key") from None

    def quarantine(self, request: Request, spec: ModelSpec) -> object:
        return self.log.quarantined(spec.name, limit_of(request))

    def breakers(self, _request: Request, spec: ModelSpec) -> object:
        return standing(self.records, spec.name)

    async def order(self, request: Request) -> Response:
        """Take an order to a version's breaker."""
        actor = await self.gate.admit(request, Scope.OPERATE)
        spec = model_of(request, self.specs)
        body = _texts(await read_object(request, self.max_bytes), ("version", "order", "reason"))
        event = _chosen(breaker.Event, BY_HAND, body.get("order", ""), "order")
        if not body.get("version"):
            raise ProblemError(422, "an order needs a version", "name the version", "version")
        now, reason = self.clock.now(), body.get("reason", "")
        order = await run_in_threadpool(
            give_order, self.records, spec.name, body["version"], event, actor, reason, now
        )
        return reply({"order": order}, 202)

    async def command(self, request: Request) -> Response:
        actor = await self.gate.admit(request, Scope.OPERATE)
        spec = model_of(request, self.specs)
        command = _command(await read_object(request, self.max_bytes), spec.name, actor)
        await run_in_threadpool(commands.submit, self.records, command, self.clock.now())
        return reply({"submitted": command.request, "actor": actor}, 202)


def _answer(receipt: Receipt, field: str) -> Response:
    """Return the receipt; nothing taken and something refused is an error in itself."""
    body: dict[str, object] = {
        "accepted": receipt.accepted,
        "duplicates": receipt.duplicates,
        "rejected": [asdict(entry) for entry in receipt.rejected],
    }
    if not receipt.rejected or receipt.accepted or receipt.duplicates:
        return reply(body)
    first = receipt.rejected[0]
    where = ".".join(part for part in (field, str(first.row), first.column) if part)
    remedy = "correct the rows listed under rejected and send them again"
    return reply(body | {"error": first.reason, "field": where, "remedy": remedy}, 422)


def _command(body: dict[str, object], model: str, actor: str) -> commands.Command:
    given = _texts(body, ("request", "subject", "reason"))
    verbs = tuple(commands.Request)
    request = _chosen(commands.Request, verbs, given.get("request", ""), "request")
    subject = given.get("subject", "")
    if request in NEEDS_SUBJECT and not subject:
        remedy = f"name {NEEDS_SUBJECT[request]}"
        raise ProblemError(422, f"{request} needs a subject", remedy, "subject")
    return commands.Command(request, model, actor, subject, given.get("reason", ""))


def _texts(body: dict[str, object], known: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in body.items():
        if key not in known:
            raise ProblemError(422, "unknown field", f"known: {', '.join(sorted(known))}", key)
        if not isinstance(value, str):
            raise ProblemError(422, f"{key} must be text", "send a JSON string", key)
        found[key] = value
    return found


def _chosen(kind: type[E], allowed: Sequence[E], given: str, field: str) -> E:
    if given in allowed:
        return kind(given)
    raise ProblemError(422, f"unknown {field}", f"one of {', '.join(allowed)}", field)
