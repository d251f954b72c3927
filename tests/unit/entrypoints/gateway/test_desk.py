"""Bodies on their way in, whatever the protocol."""

import asyncio
import json
from collections.abc import AsyncIterator, MutableMapping

import pytest

from homeostat.entrypoints.gateway import Gateway, app
from unit.entrypoints.gateway.test_oip import (
    AMOUNTS,
    INFER,
    LENGTH,
    assert_untouched,
    caller,
    gateway,
    outputs,
)

__all__ = ["gateway"]  # the fixture

RAW: list[tuple[str, bytes, dict[str, str], int]] = [
    ("not JSON", b"{", {}, 400),
    ("no object", b"[]", {}, 400),
    ("NaN in JSON", b'{"inputs": [NaN]}', {}, 400),
    ("invalid UTF-8", b'{"id": "\xff"}', {}, 400),
    ("nested", b'{"inputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}", {}, 400),
    ("header no number", b"{}", {LENGTH: "x"}, 400),
    ("header too long", b"{}", {LENGTH: "3"}, 400),
    ("bytes of nobody", b"{}x", {LENGTH: "2"}, 400),
    ("text", b"{}", {"content-type": "text/plain"}, 415),
    ("binary without its header", b"{}", {"content-type": "application/octet-stream"}, 415),
    ("compressed", b"{}", {"content-encoding": "gzip"}, 415),
    ("huge by its word", b"{}", {"content-length": str(100 * 2**20)}, 413),
    ("length no number", b"{}", {"content-length": "9" * 30}, 413),
    ("huge", b" " * (16 * 2**20 + 1), {"transfer-encoding": "chunked"}, 413),
]


PATHS = {"oip": INFER, "json": "/v1/models/fraud/predict", "mlflow": "/models/fraud/invocations"}
EVERYWHERE = [
    pytest.param(path, *case[1:], id=f"{name}-{case[0]}")
    for name, path in PATHS.items()
    for case in RAW
    if path == INFER or LENGTH not in case[2]  # only this protocol knows the header
]


@pytest.mark.parametrize(("path", "body", "headers", "status"), EVERYWHERE)
def test_bad_bodies_are_refused_everywhere(
    gateway: Gateway, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    response = caller(gateway).post(path, content=body, headers=headers)
    assert response.status_code == status
    assert response.json().keys() & {"error", "error_code"}
    assert_untouched(gateway)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_caller_that_hangs_up_costs_nothing(gateway: Gateway, path: str) -> None:
    """Half a body comes, then the connection is gone."""
    pieces: list[dict[str, object]] = [
        {"type": "http.request", "body": b'{"rows": [', "more_body": True},
        {"type": "http.disconnect"},
    ]
    statuses: list[object] = []

    async def receive() -> dict[str, object]:
        return pieces.pop(0)

    async def send(message: MutableMapping[str, object]) -> None:
        statuses.append(message.get("status"))

    scope = {"type": "http", "method": "POST", "path": path, "headers": [], "query_string": b""}
    asyncio.run(app(gateway)(scope, receive, send))
    assert not {200, 500}.intersection(statuses)
    assert_untouched(gateway)


def test_a_body_may_come_in_pieces(gateway: Gateway) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b'{"inputs": [', json.dumps(AMOUNTS).encode(), b"]}"):
            yield piece

    assert outputs(caller(gateway).post(INFER, content=pieces()))["score"][0] == 0.5
