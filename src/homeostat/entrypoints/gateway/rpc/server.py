"""The gateway's server for gRPC; it runs in the event loop of the one for HTTP."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

import grpc
from google.protobuf.message import Message

from homeostat.adapters.telemetry import Exchange, Running
from homeostat.entrypoints.gateway.batch import InputError
from homeostat.entrypoints.gateway.desk import LARGEST_BODY, Desk
from homeostat.entrypoints.gateway.door import Keys
from homeostat.entrypoints.gateway.forms import RefusedError
from homeostat.entrypoints.gateway.inference import EXTENSIONS, NAME, Inference, server_version
from homeostat.entrypoints.gateway.rpc.convert import answer, described, parameters, tensors
from homeostat.entrypoints.gateway.rpc.credentials import Credentials
from homeostat.entrypoints.gateway.rpc.wire import SERVICE, methods
from homeostat.entrypoints.http.auth import Scope

Handler: TypeAlias = "Callable[[Message, float], Awaitable[Message]]"
Call: TypeAlias = "Callable[[Message, grpc.aio.ServicerContext], Awaitable[Message]]"
Tracing: TypeAlias = "Callable[[Exchange], AbstractContextManager[Running]]"

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    503: grpc.StatusCode.UNAVAILABLE,
}
STATUS = {code: status for status, code in CODES.items()}
RETURN = 0.1
"""Part of the time a caller waits that is kept for the answer's way back."""
TRACED = frozenset({"ModelInfer"})
OPEN = frozenset({"ServerLive", "ServerReady"})
NEEDED = {
    "ModelInfer": Scope.INGEST,
    "RepositoryModelLoad": Scope.OPERATE,
    "RepositoryModelUnload": Scope.OPERATE,
}


@dataclass(frozen=True, slots=True)
class Manner:
    """How calls are taken.

    Attributes
    ----------
    keys : Keys, optional
        Asks callers for a token, in the metadata ``authorization``.
    credentials : Credentials, optional
        Encrypts connections.
    shared : bool
        Whether other processes may serve on the same port: the system spreads connections.
    tracing : callable, optional
        Makes a span of an exchange.
    grace : float
        Seconds that calls under way have to finish in the end.
    """

    keys: Keys | None = None
    credentials: Credentials | None = None
    shared: bool = False
    tracing: Tracing | None = None
    grace: float = 20.0


@asynccontextmanager
async def serving(
    desk: Desk,
    where: str,
    manner: Manner = Manner(),
    opened: Callable[[int], None] = lambda _: None,
) -> AsyncIterator[None]:
    """Serve the desk's requests while the context lasts.

    Parameters
    ----------
    desk : Desk
    where : str
        Host and port; a port of 0 is chosen by the system.
    manner : Manner
    opened : callable
        Is told the port.

    Raises
    ------
    RuntimeError
        If the address cannot be bound.
    """
    # Without being asked to share, another gateway on the port would be given a part of the calls.
    options = [
        ("grpc.so_reuseport", int(manner.shared)),
        ("grpc.max_receive_message_length", LARGEST_BODY),
    ]
    server = grpc.aio.server(options=options)
    service = _Service(Inference(desk), desk)
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            _traced(name, _guarded(name, service.handler(name), manner.keys), manner),
            request_deserializer=takes.FromString,
            response_serializer=gives.SerializeToString,
        )
        for name, (takes, gives) in methods().items()
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    if manner.credentials is None:
        port = server.add_insecure_port(where)
    else:
        port = server.add_secure_port(where, manner.credentials.for_server())
    await server.start()
    opened(port)
    try:
        yield
    finally:
        await server.stop(manner.grace)


def _traced(name: str, call: Call, manner: Manner) -> Call:
    """Return the call as a span, if it is one that is traced."""
    tracing = manner.tracing
    if tracing is None or name not in TRACED:
        return call
    scheme = "http" if manner.credentials is None else "https"

    async def traced(request: Message, context: grpc.aio.ServicerContext) -> Message:
        sent = {key: str(value) for key, value in context.invocation_metadata() or ()}
        with tracing(Exchange("POST", f"/{SERVICE}/{name}", scheme, sent)) as running:
            try:
                answer = await call(request, context)
            finally:
                code = context.code()
                running.status = STATUS.get(code, 500) if code else 200
            return answer

    return traced


def _guarded(name: str, handler: Handler, keys: Keys | None) -> Call:
    async def call(request: Message, context: grpc.aio.ServicerContext) -> Message:
        refused = None
        if keys is not None and name not in OPEN:
            sent = dict(context.invocation_metadata() or ())
            header = str(sent.get("authorization", ""))
            refused = await keys.refused(header, NEEDED.get(name, Scope.READ))
        if refused is None:
            remaining = context.time_remaining()
            seconds = math.inf if remaining is None else remaining * (1 - RETURN)
            try:
                return await handler(request, seconds)
            except InputError as error:
                refused = RefusedError(400, str(error))
            except RefusedError as error:
                refused = error
        await context.abort(CODES[refused.status], str(refused))
        raise AssertionError  # abort raises

    return call


class _Service:
    def __init__(self, inference: Inference, desk: Desk) -> None:
        self._inference, self._desk = inference, desk
        self._made = {name: gives for name, (_, gives) in methods().items()}

    def handler(self, name: str) -> Handler:
        handlers: dict[str, Handler] = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.server_metadata,
            "ModelMetadata": self.model_metadata,
            "ModelInfer": self.infer,
            "RepositoryIndex": self.index,
            "RepositoryModelLoad": self.load,
            "RepositoryModelUnload": self.unload,
        }
        return handlers[name]

    async def server_live(self, _: Message, __: float) -> Message:
        return self._made["ServerLive"](live=True)

    async def server_ready(self, _: Message, __: float) -> Message:
        return self._made["ServerReady"](ready=self._inference.ready())

    async def model_ready(self, asked: Message, _: float) -> Message:
        ready = self._inference.model_ready(asked.name, asked.version)
        return self._made["ModelReady"](ready=ready)

    async def server_metadata(self, _: Message, __: float) -> Message:
        return self._made["ServerMetadata"](
            name=NAME, version=server_version(), extensions=EXTENSIONS
        )

    async def model_metadata(self, asked: Message, _: float) -> Message:
        found = self._inference.metadata(asked.name, asked.version)
        return self._made["ModelMetadata"](
            name=found.name,
            versions=found.versions,
            platform=found.platform,
            inputs=described(found.inputs),
            outputs=described(found.outputs),
        )

    async def infer(self, asked: Message, seconds: float) -> Message:
        model = asked.model_name
        self._desk.admit(model)
        wanted = [output.name for output in asked.outputs]
        found = await self._inference.infer(
            *(model, asked.model_version, tensors(asked), parameters(asked.parameters), wanted),
            seconds=seconds,
        )
        response = self._made["ModelInfer"]()
        return answer(response, found, asked.id, raw=bool(asked.raw_input_contents))

    async def index(self, asked: Message, _: float) -> Message:
        items = self._inference.index(ready=asked.ready)
        response = self._made["RepositoryIndex"]()
        for item in items:
            response.models.add(
                name=item.name, version=item.version, state=item.state, reason=item.reason
            )
        return response

    async def load(self, asked: Message, _: float) -> Message:
        await self._inference.load(asked.model_name)
        return self._made["RepositoryModelLoad"]()

    async def unload(self, asked: Message, _: float) -> Message:
        self._inference.unload(asked.model_name)
        return self._made["RepositoryModelUnload"]()
