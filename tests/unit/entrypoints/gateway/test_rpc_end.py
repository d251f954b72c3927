"""The gateway's gRPC server comes to its end."""

import asyncio

import grpc
import pytest

from homeostat.domain.route import Route
from homeostat.entrypoints.gateway.desk import Desk
from homeostat.entrypoints.gateway.lag import Lag
from homeostat.entrypoints.gateway.rpc import Manner, serving
from homeostat.entrypoints.gateway.rpc.wire import SERVICE, methods
from unit.entrypoints.gateway.gateway_world import World

AMOUNT = {"name": "amount", "datatype": "FP64", "shape": [1], "contents": {"fp64_contents": [1]}}


async def ask(port: int) -> None:
    takes, gives = methods()["ModelInfer"]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        infer = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=takes.SerializeToString,
            response_deserializer=gives.FromString,
        )
        await infer(takes(model_name="fraud", inputs=[AMOUNT]), timeout=20)


def test_calls_under_way_at_the_end_have_the_time_that_is_configured(world: World) -> None:
    gateway = world.gateway(deadline=3.0)
    gateway.routes.publish(Route("fraud", "v1"))
    world.backend.hanging.add("v1")
    before = len(world.backend.calls)

    async def run() -> None:
        ports: list[int] = []
        async with serving(Desk(gateway, Lag()), "127.0.0.1:0", Manner(grace=0.05), ports.append):
            asked = asyncio.create_task(ask(ports[0]))
            while len(world.backend.calls) == before:  # noqa: ASYNC110 - nobody sets an event
                await asyncio.sleep(0.005)
        with pytest.raises((grpc.aio.AioRpcError, asyncio.CancelledError)):
            await asked

    asyncio.run(run())
    world.backend.released.set()
