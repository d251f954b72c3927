"""The server of models that `soak` kills: ``python benchmarks/gateway/soak_upstream.py PORT``.

POST /W with ``{"instances": [[x], ...]}`` answers ``{"predictions": [1 / (1 + exp(-W x)), ...]}``.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import sys

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer what comes on a connection until it ends."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = LENGTH.search(head)
            assert length is not None
            asked = json.loads(await reader.readexactly(int(length[1])))
            weight = float(head.split(b" ", 2)[1].lstrip(b"/"))
            scores = [1 / (1 + math.exp(-weight * row[0])) for row in asked["instances"]]
            body = json.dumps({"predictions": scores}).encode()
            start = (
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            )
            writer.write(start % len(body) + body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main(port: int) -> None:
    """Serve until killed."""
    server = await asyncio.start_server(talk, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
