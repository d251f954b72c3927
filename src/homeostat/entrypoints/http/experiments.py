"""Experiments over HTTP: planned, started, read and ended by programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from homeostat.domain.clock import Clock
from homeostat.domain.errors import NotFoundError
from homeostat.domain.model import ModelSpec
from homeostat.engine.experiments import end, experiments_of, start
from homeostat.engine.experiments_before import Past, forecast, read_past, rehearse_past
from homeostat.engine.ports import PredictionLog, Records, Registry
from homeostat.entrypoints.experiments import described, listed, page_of
from homeostat.entrypoints.http.auth import Gate, Scope, Tokens
from homeostat.entrypoints.http.formats import read_object
from homeostat.entrypoints.http.problem import Endpoint, ProblemError, endpoint, reply
from homeostat.reports.experiment import to_html
from homeostat.rollout.experiment.life import ExperimentState
from homeostat.rollout.experiment.plan import ExperimentPlan

PATH = "/api/v1/experiments"
LARGEST = 64 * 1024
MOST_DAYS, MOST_RUNS = 400, 200
SAFE = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}

Answer = Callable[[Request, str], Response]


@dataclass(frozen=True, slots=True)
class Tried:
    """What the routes work on.

    Attributes
    ----------
    records, registry, log
        Called in worker threads, never on the event loop.
    plans : mapping of name to ExperimentPlan
    specs : mapping of model to ModelSpec
    clock : Clock
    """

    records: Records
    registry: Registry
    log: PredictionLog
    plans: Mapping[str, ExperimentPlan]
    specs: Mapping[str, ModelSpec]
    clock: Clock


def experiments_api(tried: Tried, tokens: Tokens) -> list[BaseRoute]:
    """Return the routes of the API about experiments.

    Reading needs the scope ``read``, starting and ending ``operate``.
    """
    api = _Api(tried, Gate(tokens))
    one = f"{PATH}/{{name}}"
    reads: dict[str, Answer] = {
        one: api.shown,
        f"{one}/report": api.report,
        f"{one}/power": api.power,
        f"{one}/aa": api.aa,
    }
    return [
        Route(PATH, endpoint(api.all), methods=["GET"]),
        *(Route(path, api.read(answer), methods=["GET"]) for path, answer in reads.items()),
        Route(f"{one}/start", endpoint(api.start), methods=["POST"]),
        Route(f"{one}/stop", endpoint(api.stop), methods=["POST"]),
    ]


@dataclass(frozen=True, slots=True)
class _Api:
    tried: Tried
    gate: Gate

    def read(self, answer: Answer) -> Endpoint:
        async def handle(request: Request) -> Response:
            await self.gate.admit(request, Scope.READ)
            return await run_in_threadpool(answer, request, str(request.path_params["name"]))

        return endpoint(handle)

    async def all(self, request: Request) -> Response:
        await self.gate.admit(request, Scope.READ)
        found = await run_in_threadpool(listed, self.tried.records, self.tried.plans)
        return reply({"experiments": found})

    def shown(self, _request: Request, name: str) -> Response:
        return reply({"experiment": described(self.tried.records, self._state(name))})

    def report(self, _request: Request, name: str) -> Response:
        page = page_of(self.tried.records, self._state(name), self.tried.clock.now())
        return HTMLResponse(to_html(page), headers=SAFE)

    def power(self, request: Request, name: str) -> Response:
        effect, power = _number(request, "effect", 0.1, 10.0), _number(request, "power", 0.8, 1.0)
        return reply(asdict(forecast(self._plan(name), self._past(request, name), effect, power)))

    def aa(self, request: Request, name: str) -> Response:
        runs, seed = _whole(request, "runs", 100, MOST_RUNS), _whole(request, "seed", 1, 2**31)
        past = self._past(request, name)
        rng = np.random.default_rng(seed)
        rehearsal, tests = rehearse_past(self._plan(name), past, rng, runs)
        return reply(asdict(rehearsal) | {"rate": rehearsal.rate, "metrics": tests})

    async def start(self, request: Request) -> Response:
        actor = await self.gate.admit(request, Scope.OPERATE)
        reason, _ = _asked(await read_object(request, LARGEST), ("reason",))
        plan = self._plan(str(request.path_params["name"]))
        tried, now = self.tried, self.tried.clock.now()
        state = await run_in_threadpool(
            start, tried.records, tried.registry, plan, actor, now, reason
        )
        return reply({"experiment": {"name": plan.name, "stage": state.stage}}, 201)

    async def stop(self, request: Request) -> Response:
        actor = await self.gate.admit(request, Scope.OPERATE)
        name = str(request.path_params["name"])
        reason, promote = _asked(await read_object(request, LARGEST), ("reason", "promote"))

        def ended() -> ExperimentState:
            model = self._state(name).plan.model
            now = self.tried.clock.now()
            return end(self.tried.records, model, name, actor, now, reason, promote=promote)

        state = await run_in_threadpool(ended)
        told = {"name": name, "stage": state.stage, "winner": state.winner}
        return reply({"experiment": told})

    def _plan(self, name: str) -> ExperimentPlan:
        if name not in self.tried.plans:
            known = ", ".join(self.tried.plans) or "none"
            raise ProblemError(404, f"no experiment named {name!r}", f"known: {known}", "name")
        return self.tried.plans[name]

    def _state(self, name: str) -> ExperimentState:
        for model in self.tried.specs:
            state = experiments_of(self.tried.records, model).named(name)
            if state is not None:
                return state
        self._plan(name)
        raise NotFoundError(f"{name} was never started: POST {PATH}/{name}/start")

    def _past(self, request: Request, name: str) -> Past:
        days = _whole(request, "days", 28, MOST_DAYS)
        plan, tried = self._plan(name), self.tried
        return read_past(plan, tried.log, tried.specs[plan.model], days, tried.clock.now())


def _whole(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:12]) <= most:
        raise ProblemError(422, f"{text!r} is no number", f"use one from 1 to {most}", name)
    return int(text)


def _number(request: Request, name: str, default: float, most: float) -> float:
    text = request.query_params.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < most:
        raise ProblemError(422, f"{text!r} is no {name}", f"between 0 and {most:g}", name)
    return value


def _asked(body: Mapping[str, object], known: tuple[str, ...]) -> tuple[str, bool]:
    for key in body:
        if key not in known:
            raise ProblemError(422, "unknown field", f"known: {', '.join(known)}", key[:100])
    reason, promote = body.get("reason", ""), body.get("promote", False)
    if not isinstance(reason, str):
        raise ProblemError(422, "reason must be text", "send a JSON string", "reason")
    if not isinstance(promote, bool):
        raise ProblemError(422, "promote is true or false", "send a JSON boolean", "promote")
    return reason, promote
