"""Bandits over HTTP: where they stand, and what another way to deal would have earned.

They are started and stopped by commands, as everything is that the engine does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from homeostat.domain.clock import Clock
from homeostat.domain.errors import DataError, NotFoundError
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Records
from homeostat.entrypoints.bandits import (
    Policy,
    design_of,
    judged,
    plain,
    read_rule,
    read_shares,
    told,
)
from homeostat.entrypoints.http.auth import Gate, Scope, Tokens
from homeostat.entrypoints.http.problem import ProblemError, endpoint, reply
from homeostat.entrypoints.http.query import plan_of

BASE = "/api/v1/models/{model}/bandits"


def bandits_api(
    records: Records,
    log: PredictionLog,
    plans: Mapping[str, ModelPlan],
    clock: Clock,
    tokens: Tokens,
) -> list[BaseRoute]:
    """Return the routes of the API about bandits; they need the scope ``read``.

    Parameters
    ----------
    records, log : Records, PredictionLog
        Called in worker threads, never on the event loop.
    plans : mapping of model name to ModelPlan
    clock : Clock
    tokens : Tokens
    """
    api = _Api(records, log, plans, clock, Gate(tokens))
    return [
        Route(BASE, endpoint(api.listed), methods=["GET"]),
        Route(f"{BASE}/{{bandit}}/evaluation", endpoint(api.evaluation), methods=["GET"]),
    ]


@dataclass(frozen=True, slots=True)
class _Api:
    records: Records
    log: PredictionLog
    plans: Mapping[str, ModelPlan]
    clock: Clock
    gate: Gate

    async def listed(self, request: Request) -> Response:
        await self.gate.admit(request, Scope.READ)
        plan = plan_of(request, self.plans)
        found = await run_in_threadpool(
            lambda: [told(self.records, design) for design in plan.bandits]
        )
        return reply({"bandits": found})

    async def evaluation(self, request: Request) -> Response:
        await self.gate.admit(request, Scope.READ)
        return reply({"evaluation": await run_in_threadpool(self._evaluate, request)})

    def _evaluate(self, request: Request) -> dict[str, object]:
        plan = plan_of(request, self.plans)
        name = str(request.path_params["bandit"])
        try:
            _, design = design_of({plan.spec.name: plan}, name)
            shares = read_shares(request.query_params.getlist("share"))
            rules = tuple(read_rule(rule) for rule in request.query_params.getlist("rule"))
            policy = Policy(shares, rules)
            found = judged(self.records, self.log, plan, design, policy, self.clock.now())
        except NotFoundError as error:
            raise ProblemError(404, str(error), "list the model's bandits", "bandit") from None
        except DataError as error:
            remedy = "give share=VERSION=SHARE for each arm, with sum 1"
            raise ProblemError(422, str(error), remedy, "share") from None
        return plain(found)
