"""The control plane's API does what its OpenAPI document says, whatever it is asked."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from starlette.applications import Starlette
from starlette.routing import Route

from asgi import Caller
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.decision import Decision
from homeostat.domain.verdict import Monitor
from homeostat.engine.orders import BY_HAND, give_order
from homeostat.entrypoints.http.api import api as api_routes
from homeostat.entrypoints.http.auth import Scope, Tokens
from homeostat.entrypoints.http.bandits import bandits_api
from homeostat.entrypoints.http.data import data_api
from homeostat.entrypoints.http.experiments import Tried, experiments_api
from homeostat.entrypoints.http.health import health
from homeostat.entrypoints.http.openapi import described, of
from homeostat.entrypoints.http.paging import Inbound, paging_api
from homeostat.entrypoints.http.reports import reports_api
from homeostat.entrypoints.http.steering import steering_api
from homeostat.entrypoints.openapi import PATH
from homeostat.entrypoints.reports import Reports
from homeostat.rollout.bandit.design import Bandit
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import NOW, SPEC, labels, predictions
from homeostat.simulation.fakes import MemoryRegistry
from simulation import market
from unit.engine.bench import verdict
from unit.entrypoints.monitoring import standing

MODEL = replace(SPEC, name="fraud")
PLAN = replace(standing.PLAN, spec=MODEL)
TRIED = replace(market.PLAN, model="fraud")
WITH_BANDIT = replace(PLAN, spec=MODEL, bandits=(Bandit("offers", "fraud", ("1", "2")),))
# Rows of the right form may still be of another model; what is left out of a query is no mistake.
BEYOND: list[CheckFunction] = [positive_data_acceptance, negative_data_rejection]
POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
PATHS = schemathesis.openapi.from_dict(of(["fraud"])).raw_schema["paths"]
OPERATIONS = [
    pytest.param(path, method, mode, id=f"{method}-{path}-{mode.value}")
    for path, item in PATHS.items()
    for method in item
    if method != "parameters"
    for mode in (POSITIVE, NEGATIVE)
    # Those that look share what reads their parameters: two have all of them.
    if mode is POSITIVE or "requestBody" in item[method] or path.endswith(("/metrics", "/rows"))
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Starlette, dict[str, str]]]:
    folder, clock = tmp_path_factory.mktemp("openapi"), SimulatedClock(NOW)
    records = DatabaseRecords(f"sqlite:///{folder}/records.db", clock)
    log = FilePredictionLog(folder / "log", records, fsync=False)
    log.append(MODEL, predictions(["a", "b"]))
    log.append_labels(MODEL, labels(["a"], 1.0, NOW))
    log.refuse(MODEL, "labels", [("label", "is odd", "{}")])
    with records.begin() as uow:
        uow.judge(replace(verdict(Monitor.SERVICE, "availability"), model="fraud"))
        uow.decide(Decision("fraud", NOW, "homeostat", "fire", "x", "y"))
    give_order(records, "fraud", "1", BY_HAND[0], "ana", "slow", NOW)
    tokens = Tokens(records)
    plans = {"fraud": PLAN}
    routes = [
        *health(records),
        *described(["fraud"], tokens),
        *data_api(log, [MODEL], clock, tokens),
        *experiments_api(
            Tried(records, MemoryRegistry(), log, {"checkout": TRIED}, {"fraud": MODEL}, clock),
            tokens,
        ),
        *bandits_api(records, log, {"fraud": WITH_BANDIT}, clock, tokens),
        *paging_api(records, clock, {"hook": Inbound("webhook", "s3cret")}),
        *reports_api(Reports(records, log, MemoryRegistry(), plans, clock), tokens),
        *steering_api(records, log, MemoryRegistry(), plans, clock, tokens),
        *api_routes(records, log, [MODEL], clock, tokens),
    ]
    secret = tokens.create("all", tuple(Scope), NOW)
    yield Starlette(routes=routes), {"Authorization": f"Bearer {secret}"}
    log.close()
    records.close()


@pytest.fixture(scope="module")
def api(site: tuple[Starlette, dict[str, str]]) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_asgi(PATH, site[0], headers=site[1])


@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_answers_are_as_documented(
    api: schemathesis.BaseSchema,
    site: tuple[Starlette, dict[str, str]],
    path: str,
    method: str,
    mode: schemathesis.GenerationMode,
) -> None:
    operation = api[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(derandomize=True, max_examples=4, suppress_health_check=list(HealthCheck))
    def ask(case: "schemathesis.Case[Any]") -> None:
        case.call_and_validate(headers=site[1], excluded_checks=BEYOND)

    ask()


def test_every_route_is_in_the_document(site: tuple[Starlette, dict[str, str]]) -> None:
    routes = [route for route in site[0].routes if isinstance(route, Route)]
    served = {
        (route.path, method.lower())
        for route in routes
        for method in (route.methods or set()) - {"HEAD"}
        if "{rest:path}" not in route.path
    }
    told = {
        (path, method) for path, item in PATHS.items() for method in item if method != "parameters"
    }
    assert served == told


def test_the_document_is_for_those_who_may_read(site: tuple[Starlette, dict[str, str]]) -> None:
    caller = Caller(site[0], "http://127.0.0.1:8420")
    assert caller.get(PATH).status_code == 401
    assert caller.get(PATH, headers=site[1]).json() == of(["fraud"])
