"""The Open Inference Protocol V2 over HTTP, with its binary and repository extensions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from homeostat.entrypoints.gateway.batch import InputError
from homeostat.entrypoints.gateway.desk import (
    JSON,
    Desk,
    Handler,
    answering,
    read_body,
    read_object,
    reply,
)
from homeostat.entrypoints.gateway.forms import OIP, RefusedError
from homeostat.entrypoints.gateway.inference import (
    EXTENSIONS,
    NAME,
    Declared,
    Inference,
    Inferred,
    Output,
    server_version,
)
from homeostat.entrypoints.gateway.tensors import Tensor, checked, from_bytes, from_json, to_bytes

BINARY = "application/octet-stream"
HEADER = "inference-header-content-length"
MOST_TENSORS = 10_000
Item = Mapping[str, object]


def routes(desk: Desk) -> list[BaseRoute]:
    """Return the routes of the protocol."""
    shared = _Rest(desk)
    model, repository = f"{OIP}/models/{{model}}", f"{OIP}/repository"
    gets: dict[str, Handler] = {
        OIP: shared.server,
        f"{OIP}/health/live": shared.live,
        f"{OIP}/health/ready": shared.ready,
    }
    posts: dict[str, Handler] = {
        f"{repository}/index": shared.index,
        f"{repository}/models/{{model}}/load": shared.load,
        f"{repository}/models/{{model}}/unload": shared.unload,
    }
    for path in (model, f"{model}/versions/{{version}}"):
        gets[path] = shared.metadata
        gets[f"{path}/ready"] = shared.model_ready
        posts[f"{path}/infer"] = shared.infer
    return [
        *(Route(path, answering(handler), methods=["GET"]) for path, handler in gets.items()),
        *(Route(path, answering(handler), methods=["POST"]) for path, handler in posts.items()),
    ]


class _Rest:
    def __init__(self, desk: Desk) -> None:
        self._desk, self._inference = desk, Inference(desk)

    async def server(self, _: Request) -> Response:
        return reply({"name": NAME, "version": server_version(), "extensions": EXTENSIONS})

    async def live(self, _: Request) -> Response:
        return reply({"live": True})

    async def ready(self, _: Request) -> Response:
        ready = self._inference.ready()
        return reply({"ready": ready}, 200 if ready else 503)

    async def model_ready(self, request: Request) -> Response:
        model, version = _named(request)
        ready = self._inference.model_ready(model, version)
        return reply({"name": model, "ready": ready}, 200 if ready else 503)

    async def metadata(self, request: Request) -> Response:
        found = self._inference.metadata(*_named(request))
        return reply(
            {
                "name": found.name,
                "versions": found.versions,
                "platform": found.platform,
                "inputs": [_described(item) for item in found.inputs],
                "outputs": [_described(item) for item in found.outputs],
            }
        )

    async def index(self, request: Request) -> Response:
        _, body = await read_body(request.scope, request.receive, (JSON, BINARY))
        ready = read_object(body).get("ready", False) if body else False
        if not isinstance(ready, bool):
            raise RefusedError(400, "ready must be true or false")
        return reply(
            [
                {"name": item.name, "version": item.version, "state": item.state}
                | {"reason": item.reason}
                for item in self._inference.index(ready=ready)
            ]
        )

    async def load(self, request: Request) -> Response:
        await self._inference.load(request.path_params["model"])
        return reply({})

    async def unload(self, request: Request) -> Response:
        self._inference.unload(request.path_params["model"])
        return reply({})

    async def infer(self, request: Request) -> Response:
        model, version = _named(request)
        self._desk.admit(model)
        length = request.headers.get(HEADER, "")
        kinds = (JSON, BINARY) if length else (JSON,)
        _, body = await read_body(request.scope, request.receive, kinds)
        asked = await self._desk.read(model, body, partial(_asked, length=length))
        found = await self._inference.infer(
            model, version, asked.tensors, asked.parameters, list(asked.wanted)
        )
        usual = asked.parameters.get("binary_data_output") is True
        binary = {output.name: asked.wanted.get(output.name, usual) for output in found.outputs}
        rows = found.outputs[0].shape[0]
        return await self._desk.write(rows, partial(_answer, found, asked.name, binary))


@dataclass(frozen=True, slots=True)
class _Asked:
    name: str
    parameters: Item
    wanted: dict[str, bool]
    tensors: list[Tensor]


def _asked(body: bytes, length: str) -> _Asked:
    head, tail = _split(body, length)
    asked = read_object(head)
    name = asked.get("id", "")
    if not isinstance(name, str):
        raise RefusedError(400, "id must be a text")
    parameters = _object(asked, "parameters", "the request")
    wanted = _outputs(asked, all_binary=parameters.get("binary_data_output") is True)
    return _Asked(name, parameters, wanted, _tensors(asked, tail))


def _named(request: Request) -> tuple[str, str]:
    return request.path_params["model"], request.path_params.get("version", "")


def _described(item: Declared) -> dict[str, object]:
    return {"name": item.name, "datatype": item.datatype, "shape": item.shape}


def _split(body: bytes, length: str) -> tuple[bytes, bytes]:
    if not length:
        return body, b""
    if not (length.isascii() and length.isdigit() and int(length[:18]) <= len(body)):
        raise RefusedError(
            400, f"Inference-Header-Content-Length {length!r:.40} is not in the body"
        )
    return body[: int(length)], body[int(length) :]


def _object(owner: Item, name: str, where: str) -> Item:
    found = owner.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise RefusedError(400, f"{name} of {where} must be an object")
    return cast("Item", found)


def _items(asked: Item, name: str) -> list[Item]:
    found = asked.get(name, [])
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise RefusedError(400, f"{name} must be a list of objects")
    if len(found) > MOST_TENSORS:
        raise RefusedError(400, f"{name} has {len(found)} tensors, at most {MOST_TENSORS}")
    return cast("list[Item]", found)


def _outputs(asked: Item, *, all_binary: bool) -> dict[str, bool]:
    """Return the outputs that are wanted, each with whether it is to be binary."""
    wanted: dict[str, bool] = {}
    for item in _items(asked, "outputs"):
        name = item.get("name")
        if not isinstance(name, str):
            raise RefusedError(400, "an output needs a name, a text")
        binary = _object(item, "parameters", f"output {name!r:.80}").get("binary_data", all_binary)
        wanted[name] = binary is True
    return wanted


def _tensors(asked: Item, tail: bytes) -> list[Tensor]:
    tensors: list[Tensor] = []
    at = 0
    for item in _items(asked, "inputs"):
        size = _object(item, "parameters", "an input").get("binary_data_size")
        if size is None:
            tensors.append(from_json(item))
            continue
        name, datatype, shape = checked(*(item.get(key) for key in ("name", "datatype", "shape")))
        if type(size) is not int or not 0 <= size <= len(tail) - at:
            problem = f"binary_data_size {size!r:.40} is more than the {len(tail) - at} bytes left"
            raise InputError(problem, column=name)
        tensors.append(from_bytes(name, datatype, shape, tail[at : at + size]))
        at += size
    if at != len(tail):
        raise RefusedError(400, f"{len(tail) - at} bytes after the inputs belong to none of them")
    return tensors


def _answer(found: Inferred, name: str, binary: Mapping[str, bool]) -> Response:
    head: dict[str, object] = {"model_name": found.model}
    if found.version:
        head["model_version"] = found.version
    if name:
        head["id"] = name
    pieces: list[bytes] = []
    told_of: list[dict[str, object]] = []
    for output in found.outputs:
        content = {"name": output.name, "shape": output.shape, "datatype": output.datatype}
        told_of.append(content | _values(output, pieces, binary=binary[output.name]))
    head["outputs"] = told_of
    if not any(binary.values()):
        return reply(head)
    start = orjson.dumps(head)
    headers = {HEADER: str(len(start))}
    return Response(b"".join((start, *pieces)), 200, headers, media_type=BINARY)


def _values(output: Output, pieces: list[bytes], *, binary: bool) -> dict[str, object]:
    if not binary:
        return {"data": output.values}
    pieces.append(to_bytes(output.datatype, output.values))
    return {"parameters": {"binary_data_size": len(pieces[-1])}}
