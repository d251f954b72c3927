"""Retraining asked for over HTTP: by a person, a pipeline or a webhook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from homeostat.domain.clock import Clock
from homeostat.domain.model import ModelSpec
from homeostat.engine import commands
from homeostat.engine.ports import Records
from homeostat.entrypoints import current
from homeostat.entrypoints.http.auth import Gate, Scope
from homeostat.entrypoints.http.formats import read_object
from homeostat.entrypoints.http.problem import ProblemError, endpoint, reply
from homeostat.entrypoints.http.query import model_of

LARGEST = 64 * 1024
LONGEST_REASON, LONGEST_KEY = 1000, 200


def retraining_api(
    base: str, records: Records, specs: Mapping[str, ModelSpec], clock: Clock, gate: Gate
) -> list[BaseRoute]:
    """Return the route by which a retraining is asked for; it needs the scope ``operate``."""
    api = _Api(records, specs, clock, gate)
    return [Route(f"{base}/retrain", endpoint(api.asked), methods=["POST"])]


@dataclass(frozen=True, slots=True)
class _Api:
    records: Records
    specs: Mapping[str, ModelSpec]
    clock: Clock
    gate: Gate

    async def asked(self, request: Request) -> Response:
        """Ask for a retraining; the same Idempotency-Key, or one that waits, asks once."""
        actor = await self.gate.admit(request, Scope.OPERATE)
        spec = model_of(request, self.specs)
        key = request.headers.get("idempotency-key", "")
        if len(key) > LONGEST_KEY:
            said = f"Idempotency-Key is longer than {LONGEST_KEY} characters"
            raise ProblemError(422, said, "send a shorter one, such as a UUID", "Idempotency-Key")
        reason = _reason(await read_object(request, LARGEST))
        command = commands.Command(commands.Request.RETRAIN, spec.name, actor, "", reason)
        new = await run_in_threadpool(
            commands.submit_once, self.records, command, key, self.clock.now()
        )
        run = await run_in_threadpool(current.run, self.records, spec.name)
        answer = {"submitted": command.request, "actor": actor, "new": new, "retraining": run}
        return reply(answer, 202 if new else 200)


def _reason(body: Mapping[str, object]) -> str:
    for key in body:
        if key != "reason":
            raise ProblemError(422, "unknown field", "known: reason", key[:100])
    reason = body.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        raise ProblemError(422, "a retraining needs a reason", "say why, in words", "reason")
    if len(reason) > LONGEST_REASON:
        said = f"the reason is longer than {LONGEST_REASON} characters"
        raise ProblemError(422, said, "say it shorter", "reason")
    return reason
