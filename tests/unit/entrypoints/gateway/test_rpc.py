"""The Open Inference Protocol over gRPC, on a real socket."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from certificates import write_certificate
from homeostat.adapters.clock import SystemClock
from homeostat.adapters.telemetry import Telemetry
from homeostat.domain.errors import ConfigError
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway import Gateway
from homeostat.entrypoints.gateway.desk import Desk
from homeostat.entrypoints.gateway.door import Keys
from homeostat.entrypoints.gateway.lag import Lag
from homeostat.entrypoints.gateway.rpc import Credentials, Manner, serving
from homeostat.entrypoints.gateway.rpc.wire import SERVICE, methods
from homeostat.entrypoints.gateway.traced import telling, tracing
from homeostat.entrypoints.http.auth import Scope, Tokens
from homeostat.simulation.fakes.records import MemoryRecords
from unit.entrypoints.gateway.gateway_world import World

Call = Callable[..., Awaitable[Any]]
LOCAL, PLAIN = "127.0.0.1:0", Manner()


@pytest.fixture
def gateway(world: World) -> Gateway:
    made = world.gateway()
    made.routes.publish(Route("fraud", "v1"))
    return made


def talk(
    gateway: Gateway,
    what: Callable[[Call], Awaitable[Any]],
    manner: Manner = PLAIN,
    root: bytes = b"",
) -> Any:
    async def run() -> Any:
        ports: list[int] = []
        async with serving(Desk(gateway, Lag()), LOCAL, manner, ports.append):
            return await ask(f"127.0.0.1:{ports[0]}", what, root)

    return asyncio.run(run())


async def ask(where: str, what: Callable[[Call], Awaitable[Any]], root: bytes = b"") -> Any:
    options = [("grpc.ssl_target_name_override", "models")]
    made = (
        grpc.aio.secure_channel(where, grpc.ssl_channel_credentials(root), options)
        if root
        else grpc.aio.insecure_channel(where)
    )
    async with made as channel:

        async def call(
            method: str,
            token: str = "",
            patience: float | None = 20,
            trace: str = "",
            **fields: object,
        ) -> Any:
            takes, gives = methods()[method]
            unary = channel.unary_unary(
                f"/{SERVICE}/{method}",
                request_serializer=takes.SerializeToString,
                response_deserializer=gives.FromString,
            )
            metadata = [("authorization", f"Bearer {token}")] if token else []
            metadata += [("traceparent", trace)] if trace else []
            return await unary(takes(**fields), metadata=metadata, timeout=patience)

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

    assert talk(gateway, knock, Manner(Keys(tokens, clock))) == [
        True,
        True,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
    ]


def hurried(patience: float | None) -> Callable[[Call], Awaitable[Any]]:
    """Return what asks for scores, and waits so long."""

    async def infer(call: Call) -> Any:
        return await call("ModelInfer", model_name="fraud", inputs=[AMOUNTS], patience=patience)

    return infer


def test_the_callers_deadline_leaves_time_for_the_fallback(world: World) -> None:
    gateway = world.gateway(deadline=60.0)
    gateway.routes.publish(Route("fraud", "v1"))
    world.backend.hanging.add("v1")
    answer = talk(gateway, hurried(0.4))
    found = {output.name: output.contents for output in answer.outputs}
    assert list(found["score"].fp64_contents) == [0.125, 0.125]
    assert list(found["tier"].bytes_contents) == [b"default"] * 2
    world.backend.released.set()


def test_a_caller_that_waits_longer_gets_the_models_deadline(world: World) -> None:
    gateway = world.gateway(deadline=0.1)
    gateway.routes.publish(Route("fraud", "v1"))
    world.backend.hanging.add("v1")
    for patience in (60.0, None):
        answer = talk(gateway, hurried(patience))
        assert list(answer.outputs[0].contents.fp64_contents) == [0.125, 0.125]
    world.backend.released.set()


def test_connections_are_encrypted_and_the_certificate_is_renewed(
    tmp_path: Path, gateway: Gateway
) -> None:
    files = write_certificate(tmp_path, "models")
    first = files.certificate.read_bytes()
    credentials = Credentials(files)

    async def run() -> list[object]:
        ports: list[int] = []
        async with serving(
            Desk(gateway, Lag()), LOCAL, Manner(credentials=credentials), ports.append
        ):
            where = f"127.0.0.1:{ports[0]}"
            seen: list[object] = [(await ask(where, hurried(20), first)).model_version]
            with pytest.raises(grpc.aio.AioRpcError):
                await ask(where, hurried(20))  # in the open
            write_certificate(tmp_path, "models")
            second = files.certificate.read_bytes()
            credentials.renew()
            with pytest.raises(grpc.aio.AioRpcError):
                await ask(where, hurried(20), first)
            seen.append((await ask(where, hurried(20), second)).model_version)
            files.key.write_text("nonsense")
            with pytest.raises(ConfigError, match="cannot be used"):
                credentials.renew()
            seen.append((await ask(where, hurried(20), second)).model_version)
            return seen

    assert asyncio.run(run()) == ["v1", "v1", "v1"]


def test_a_port_is_shared_only_with_those_who_share_it(gateway: Gateway) -> None:
    async def run() -> None:
        ports: list[int] = []
        desk = Desk(gateway, Lag())
        async with serving(desk, LOCAL, Manner(shared=True), ports.append):
            where = f"127.0.0.1:{ports[0]}"
            async with serving(desk, where, Manner(shared=True), ports.append):
                assert ports[0] == ports[1]
                assert (await ask(where, hurried(20))).model_version == "v1"
            with pytest.raises(RuntimeError, match="bind"):
                async with serving(desk, where):
                    pass

    asyncio.run(run())


def test_inference_is_a_span_of_the_callers_trace(gateway: Gateway) -> None:
    spans, tracer = InMemorySpanExporter(), TracerProvider()
    tracer.add_span_processor(SimpleSpanProcessor(spans))
    telemetry = Telemetry(metrics=False, tracer=tracer)
    manner = Manner(tracing=partial(tracing, telemetry, SystemClock()))
    gateway.watchers.append(telling(gateway.metrics, SystemClock()))
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

    async def infer(call: Call) -> None:
        await call("ServerLive")
        for model in ("fraud", "spam"):
            with contextlib.suppress(grpc.aio.AioRpcError):
                await call(
                    "ModelInfer",
                    model_name=model,
                    inputs=[AMOUNTS],
                    trace=f"00-{trace}-{parent}-01",
                )

    talk(gateway, infer, manner)
    good, bad = spans.get_finished_spans()
    assert good.name == bad.name == f"POST /{SERVICE}/ModelInfer"
    for span, status in ((good, 200), (bad, 404)):
        assert span.context is not None
        assert span.parent is not None
        assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (trace, parent)
        assert (span.attributes or {})["http.response.status_code"] == status
    assert (good.attributes or {})["homeostat.version"] == "v1"
