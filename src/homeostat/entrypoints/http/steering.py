"""Steering a model's traffic over HTTP: roll back at once, arms, shadows, and the paired report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from homeostat.domain.clock import Clock
from homeostat.domain.errors import ArtifactError, DataError, NotFoundError
from homeostat.engine.arms import Arms, arms_of
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Records, Registry
from homeostat.entrypoints.http.auth import Gate, Scope, Tokens
from homeostat.entrypoints.http.formats import read_object
from homeostat.entrypoints.http.problem import ProblemError, endpoint, reply
from homeostat.entrypoints.http.query import plan_of
from homeostat.entrypoints.steering import Steering, beside, shown

BASE = "/api/v1/models/{model}"
LARGEST = 64 * 1024


def steering_api(
    records: Records,
    log: PredictionLog,
    registry: Registry,
    plans: Mapping[str, ModelPlan],
    clock: Clock,
    tokens: Tokens,
) -> list[BaseRoute]:
    """Return the routes; they go before those of `api`.

    Parameters
    ----------
    records, log, registry : Records, PredictionLog, Registry
        Called in worker threads.
    plans : mapping of model name to ModelPlan
    clock : Clock
    tokens : Tokens
        Looking needs the scope ``read``, all else ``operate``.
    """
    shared = _Api(records, log, registry, plans, clock, Gate(tokens))
    return [
        Route(f"{BASE}/rollout", endpoint(shared.show), methods=["GET"]),
        Route(f"{BASE}/rollback", endpoint(shared.roll_back), methods=["POST"]),
        Route(f"{BASE}/arms", endpoint(shared.arms), methods=["GET"]),
        Route(f"{BASE}/arms", endpoint(shared.set_arms), methods=["POST"]),
        Route(f"{BASE}/shadows", endpoint(shared.set_shadow), methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class _Api:
    records: Records
    log: PredictionLog
    registry: Registry
    plans: Mapping[str, ModelPlan]
    clock: Clock
    gate: Gate

    async def show(self, request: Request) -> Response:
        await self.gate.admit(request, Scope.READ)
        plan = plan_of(request, self.plans)
        return reply(await run_in_threadpool(shown, self.records, self.log, plan, self.clock.now()))

    async def arms(self, request: Request) -> Response:
        await self.gate.admit(request, Scope.READ)
        name = plan_of(request, self.plans).spec.name
        return reply(beside(await run_in_threadpool(arms_of, self.records, name)))

    async def roll_back(self, request: Request) -> Response:
        """Go back at once; 202 if it is left to the next tick, 409 if nothing came of it."""
        actor = await self.gate.admit(request, Scope.OPERATE)
        steering = self._steering(request)
        body = _known(await read_object(request, LARGEST), "reason")
        reason, now = _text(body, "reason"), self.clock.now()
        done = await run_in_threadpool(steering.roll_back, actor, reason, now)
        if done.refused:
            raise ProblemError(409, f"not rolled back: {done.refused}", "see GET .../rollout")
        return reply({"rollback": done}, 202 if done.problem else 200)

    async def set_arms(self, request: Request) -> Response:
        """Give versions their shares; ``{}`` ends the arms."""
        actor = await self.gate.admit(request, Scope.OPERATE)
        steering = self._steering(request)
        body = _known(await read_object(request, LARGEST), "shares", "reason", "deal")
        shares = _shares(body)
        reason, deal = _text(body, "reason"), _text(body, "deal")

        def change() -> Arms:
            return steering.set_arms(shares, actor, reason, self.clock.now(), deal)

        return reply(beside(await _changed(change)))

    async def set_shadow(self, request: Request) -> Response:
        """Add a shadow, or with ``"on": false`` take it away."""
        actor = await self.gate.admit(request, Scope.OPERATE)
        steering = self._steering(request)
        body = _known(await read_object(request, LARGEST), "version", "on", "reason")
        version, reason, on = _text(body, "version"), _text(body, "reason"), body.get("on", True)
        if not isinstance(on, bool):
            raise ProblemError(422, "on must be true or false", "send a JSON boolean", "on")

        def change() -> Arms:
            return steering.set_shadow(version, actor, reason, self.clock.now(), on=on)

        return reply(beside(await _changed(change)))

    def _steering(self, request: Request) -> Steering:
        return Steering(self.records, self.registry, plan_of(request, self.plans))


async def _changed(change: Callable[[], Arms]) -> Arms:
    try:
        return await run_in_threadpool(change)
    except (DataError, NotFoundError, ArtifactError) as error:
        raise ProblemError(422, str(error), "correct it and send it again") from None


def _known(body: Mapping[str, object], *names: str) -> Mapping[str, object]:
    for key in body:
        if key not in names:
            raise ProblemError(422, "unknown field", f"known: {', '.join(names)}", key[:100])
    return body


def _text(body: Mapping[str, object], name: str) -> str:
    found = body.get(name, "")
    if not isinstance(found, str):
        raise ProblemError(422, f"{name} must be text", "send a JSON string", name)
    return found


def _shares(body: Mapping[str, object]) -> dict[str, float]:
    found = body.get("shares")
    if not isinstance(found, dict):
        raise ProblemError(422, "shares are missing", 'such as {"3": 0.5}; {} ends them', "shares")
    shares: dict[str, float] = {}
    for version, share in found.items():
        if isinstance(share, bool) or not isinstance(share, int | float):
            raise ProblemError(422, "a share must be a number", "in [0, 1]", "shares")
        shares[str(version)] = float(share)
    return shares
