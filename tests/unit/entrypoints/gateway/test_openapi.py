"""The gateway over HTTP does what its OpenAPI document says, whatever it is asked."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from homeostat.domain.route import Route
from homeostat.entrypoints.gateway import Gateway, app
from homeostat.entrypoints.gateway.openapi import PATH, document
from unit.entrypoints.gateway.gateway_world import World

# A tensor of the right form may still be of another model, of other rows, or no number.
BEYOND: list[CheckFunction] = [positive_data_acceptance]
POSITIVE, NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
PATHS = schemathesis.openapi.from_dict(document(["fraud"])).raw_schema["paths"]
OPERATIONS = [
    pytest.param(path, method, mode, id=f"{method}-{path}-{mode.value}")
    for path, item in PATHS.items()
    for method in item
    if method != "parameters"
    for mode in (POSITIVE, NEGATIVE)
    if mode is POSITIVE or "parameters" in item or "requestBody" in item[method]
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    world = World(tmp_path_factory.mktemp("openapi"))
    made = world.gateway()
    made.routes.publish(Route("fraud", "v1"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def api(gateway: Gateway) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_asgi(PATH, app(gateway))


@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_answers_are_as_documented(
    api: schemathesis.BaseSchema,
    gateway: Gateway,
    path: str,
    method: str,
    mode: schemathesis.GenerationMode,
) -> None:
    operation = api[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(derandomize=True, max_examples=12, suppress_health_check=list(HealthCheck))
    def ask(case: "schemathesis.Case[Any]") -> None:
        answer = case.call()
        # A body of too many rows may be refused for its size before they are counted.
        large = [negative_data_rejection] if answer.status_code == 413 else []
        case.validate_response(answer, excluded_checks=[*BEYOND, *large])

    ask()
    live = gateway.routes.live("fraud")
    assert live is not None
    counts = live.versions["v1"].breaker.counts
    assert counts["fault"] == counts["refused"] == 0
