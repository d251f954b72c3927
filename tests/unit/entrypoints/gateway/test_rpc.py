"""The Open Inference Protocol over gRPC, on a real socket."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc

from homeostat.adapters.clock import SystemClock
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway import Gateway
from homeostat.entrypoints.gateway.desk import Desk
from homeostat.entrypoints.gateway.door import Keys
from homeostat.entrypoints.gateway.lag import Lag
from homeostat.entrypoints.gateway.rpc import serving
from homeostat.entrypoints.gateway.rpc.wire import SERVICE, methods
from homeostat.entrypoints.http.auth import Scope, Tokens
from homeostat.simulation.fakes.records import MemoryRecords
from unit.entrypoints.gateway.gateway_world import World

Call = Callable[..., Awaitable[Any]]
LOCAL = "127.0.0.1:0"


@pytest.fixture
def gateway(world: World) -> Gateway:
    made = world.gateway()
    made.routes.publish(Route("fraud", "v1"))
    return made


def talk(gateway: Gateway, what: Callable[[Call], Awaitable[Any]], keys: Keys | None = None) -> Any:
    async def run() -> Any:
        ports: list[int] = []
        async with serving(Desk(gateway, Lag()), LOCAL, keys, ports.append):
            return await ask(f"127.0.0.1:{ports[0]}", what)

    return asyncio.run(run())


async def ask(where: str, what: Callable[[Call], Awaitable[Any]]) -> Any:
    async with grpc.aio.insecure_channel(where) as channel:

        async def call(method: str, token: str = "", **fields: object) -> Any:
            takes, gives = methods()[method]
            unary = channel.unary_unary(
                f"/{SERVICE}/{method}",
                request_serializer=takes.SerializeToString,
                response_deserializer=gives.FromString,
            )
            metadata = [("authorization", f"Bearer {token}")] if token else []
            return await unary(takes(**fields), metadata=metadata, timeout=20)

        return await what(call)


def one(gateway: Gateway, method: str, **fields: object) -> Any:
    return talk(gateway, lambda call: call(method, **fields))


def refused(gateway: Gateway, method: str, **fields: object) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        one(gateway, method, **fields)
    return caught.value


AMOUNTS = {
    "name": "amount",
    "datatype": "FP64",
    "shape": [2],
    "contents": {"fp64_contents": [0, 10]},
}
BYTE = AMOUNTS | {"datatype": "INT8", "shape": [2, 1], "contents": {"int_contents": [1, 300]}}
LANDS = {
    "name": "land",
    "datatype": "BYTES",
    "shape": [2, 1],
    "contents": {"bytes_contents": [b"de", b"fr"]},
}


def test_the_description_is_that_of_the_proto_file(tmp_path: Path) -> None:
    package = files("homeostat.entrypoints.gateway.rpc")
    (tmp_path / "oip.proto").write_text(package.joinpath("oip.proto").read_text())
    made = tmp_path / "made"
    assert not protoc.main(["", f"-I{tmp_path}", f"--descriptor_set_out={made}", "oip.proto"])
    kept = package.joinpath("oip.binpb").read_bytes()
    assert FileDescriptorSet.FromString(made.read_bytes()) == FileDescriptorSet.FromString(kept)


def test_what_a_server_says_of_itself(gateway: Gateway) -> None:
    async def look(call: Call) -> list[Any]:
        return [
            await call("ServerLive"),
            await call("ServerReady"),
            await call("ModelReady", name="fraud"),
            await call("ModelReady", name="fraud", version="v1"),
            await call("ServerMetadata"),
            await call("ModelMetadata", name="fraud"),
        ]

    live, *ready, server, model = talk(gateway, look)
    assert live.live
    assert all(each.ready for each in ready)
    assert (server.name, "model_repository" in server.extensions) == ("homeostat", True)
    assert [(item.name, item.datatype, list(item.shape)) for item in model.inputs] == [
        ("amount", "FP64", [-1]),
        ("age", "FP64", [-1]),
        ("land", "BYTES", [-1]),
    ]
    assert (list(model.versions), model.outputs[0].name) == (["v1"], "score")


def test_infer_by_contents(world: World, gateway: Gateway) -> None:
    given = {"entity": {"string_param": "anna"}, "priority": {"int64_param": 1}}
    answer = one(
        gateway,
        "ModelInfer",
        model_name="fraud",
        id="r1",
        inputs=[AMOUNTS, LANDS],
        parameters=given,
    )
    assert (answer.model_name, answer.model_version, answer.id) == ("fraud", "v1", "r1")
    found = {output.name: output.contents for output in answer.outputs}
    np.testing.assert_allclose(found["score"].fp64_contents, [0.5, 1 / (1 + np.exp(-1))])
    assert list(found["tier"].bytes_contents) == [b"model", b"model"]
    assert gateway.flush()
    assert world.logged()["entity"].to_pylist() == ["anna", "anna"]


@pytest.mark.parametrize("datatype", ["INT8", "UINT16", "INT64", "UINT64", "FP32"])
def test_infer_by_contents_of_other_numbers(gateway: Gateway, datatype: str) -> None:
    field = {"INT8": "int", "UINT16": "uint"}.get(datatype, datatype.lower()) + "_contents"
    tensor = {"name": "amount", "datatype": datatype, "shape": [2], "contents": {field: [0, 10]}}
    answer = one(gateway, "ModelInfer", model_name="fraud", inputs=[tensor])
    np.testing.assert_allclose(
        answer.outputs[0].contents.fp64_contents, [0.5, 1 / (1 + np.exp(-1))]
    )


def test_infer_by_raw_contents(gateway: Gateway) -> None:
    half = {"name": "amount", "datatype": "FP16", "shape": [2]}
    land = {"name": "land", "datatype": "BYTES", "shape": [2]}
    raw = [np.array([0, np.nan], "<f2").tobytes(), b"\x02\0\0\0de\x02\0\0\0fr"]
    answer = one(
        gateway,
        "ModelInfer",
        model_name="fraud",
        inputs=[half, land],
        raw_input_contents=raw,
        outputs=[{"name": "score"}, {"name": "tier"}],
    )
    assert answer.raw_output_contents[0] == np.array([0.5, 0.5]).tobytes()
    assert answer.raw_output_contents[1] == b"\x05\0\0\0model" * 2


BAD: list[tuple[str, dict[str, object], str]] = [
    ("no inputs", {}, "at least one tensor"),
    ("datatype", {"inputs": [AMOUNTS | {"datatype": "BF16"}]}, "'BF16' is none of BOOL"),
    ("shape", {"inputs": [AMOUNTS | {"shape": []}]}, "shape must be a list"),
    ("size", {"inputs": [AMOUNTS | {"shape": [3]}]}, "has 2 values, shape [3] says 3"),
    ("huge", {"inputs": [AMOUNTS | {"shape": [2**40, 2**40]}]}, "has 2 values"),
    ("field", {"inputs": [AMOUNTS | {"datatype": "FP32"}]}, "has fp64_contents"),
    ("FP16", {"inputs": [AMOUNTS | {"datatype": "FP16"}]}, "raw_input_contents only"),
    (
        "range",
        {"inputs": [BYTE]},
        "row 1, column 'amount': 300 is not in the range",
    ),
    (
        "UTF-8",
        {"inputs": [LANDS | {"contents": {"bytes_contents": [b"de", b"\xff"]}}]},
        "row 1, column 'land': is not UTF-8",
    ),
    (
        "infinite",
        {"inputs": [AMOUNTS | {"contents": {"fp64_contents": [0, float("inf")]}}]},
        "row 1, column 'amount': is infinite",
    ),
    ("truth", {"inputs": [AMOUNTS | {"datatype": "BOOL"}]}, "has fp64_contents"),
    (
        "truth for a number",
        {"inputs": [AMOUNTS | {"datatype": "BOOL", "contents": {"bool_contents": [True, False]}}]},
        "must be FP64",
    ),
    ("raw missing", {"inputs": [AMOUNTS, LANDS], "raw_input_contents": [b""]}, "1 raw_input_c"),
    ("both", {"inputs": [AMOUNTS], "raw_input_contents": [b"0" * 16]}, "has contents beside"),
    ("output", {"inputs": [AMOUNTS], "outputs": [{"name": "shap"}]}, "no output 'shap'"),
]


@pytest.mark.parametrize(("fields", "message"), [case[1:] for case in BAD], ids=[c[0] for c in BAD])
def test_bad_requests_are_answered_precisely(
    gateway: Gateway, fields: dict[str, object], message: str
) -> None:
    error = refused(gateway, "ModelInfer", model_name="fraud", **fields)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert message in str(error.details())
    live = gateway.routes.live("fraud")
    assert live is not None
    assert not any(live.versions["v1"].breaker.counts.values()), "it is no fault of the model"


def test_too_large_is_refused_by_its_size(gateway: Gateway) -> None:
    big = [b"0" * (16 * 2**20 + 1)]
    error = refused(gateway, "ModelInfer", model_name="fraud", raw_input_contents=big)
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_what_is_not_there(gateway: Gateway) -> None:
    missing = grpc.StatusCode.NOT_FOUND
    assert refused(gateway, "ModelInfer", model_name="spam").code() is missing
    assert refused(gateway, "ModelReady", name="fraud", version="v9").code() is missing
    assert refused(gateway, "ModelMetadata", name="spam").code() is missing


def test_repository(gateway: Gateway) -> None:
    index = one(gateway, "RepositoryIndex", ready=True)
    assert [(item.name, item.version, item.state) for item in index.models] == [
        ("fraud", "v1", "READY")
    ]
    one(gateway, "RepositoryModelLoad", model_name="fraud")
    error = refused(gateway, "RepositoryModelUnload", model_name="fraud")
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert re.search("needs v1", str(error.details()))


def test_unloading_what_is_not_loaded(world: World) -> None:
    assert one(world.gateway(), "RepositoryModelUnload", model_name="fraud") is not None


def test_tokens(gateway: Gateway) -> None:
    clock = SystemClock()
    tokens = Tokens(MemoryRecords(clock))
    reader = tokens.create("reader", (Scope.READ,), clock.now())

    async def knock(call: Call) -> list[object]:
        codes: list[object] = [(await call("ServerLive")).live]
        codes.append((await call("ModelReady", token=reader, name="fraud")).ready)
        for token, method in (("", "ModelReady"), (reader, "ModelInfer"), ("x", "ModelInfer")):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(method, token=token)
            codes.append(caught.value.code())
        return codes

    assert talk(gateway, knock, Keys(tokens, clock)) == [
        True,
        True,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
    ]
