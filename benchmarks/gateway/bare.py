"""A bare Starlette route that calls an ONNX model: what people write without a gateway."""

import sys

import numpy as np
import onnxruntime
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FEATURES = [f"number_{place:02d}" for place in range(30)]


def main(model: str, port: int) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])

    async def predict(request: Request) -> Response:
        rows = orjson.loads(await request.body())["rows"]
        matrix = np.array([[row[name] for name in FEATURES] for row in rows], dtype=np.float32)
        (scores,) = session.run(["score"], {"x": matrix})
        return Response(orjson.dumps({"predictions": scores[:, 0].tolist()}))

    async def health(_: Request) -> Response:
        return Response(b"{}")

    routes = [Route("/predict", predict, methods=["POST"]), Route("/health", health)]
    uvicorn.run(
        Starlette(routes=routes),
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        proxy_headers=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
