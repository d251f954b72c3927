"""What a gateway costs a request, beside a bare route that calls the same ONNX model.

    pip install onnx onnxruntime
    PYTHONPATH=src python benchmarks/gateway/cost.py [--rounds 6] [--seconds 5] [--rate 400]

The gateway is the real one, with breaker, split, deadline, checks and the prediction log (fsync
included). Rounds take turns; the figures are medians over them: CPU seconds of the server's process
per request, and latencies under open load at one rate for both. ``shadow`` is the gateway with a
second version that scores copies of all requests.
"""

# ruff: noqa: TID251 - real processes take real time
from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import bench_site
import open_load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=400.0)
    options = parser.parse_args()
    figures: dict[tuple[str, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = bench_site.prepare(
            folder, 8731, deadline="2s"
        )  # none is refused on a busy machine
        servers = [bench_site.start_bare(folder, 8730), bench_site.start_gateway(config, 8731)]
        try:
            for round_number in range(options.rounds):
                for name, server, shadows in (
                    ("bare", servers[0], ()),
                    ("gateway", servers[1], ()),
                    ("shadow", servers[1], ("v2",)),
                ):
                    if server is servers[1]:
                        bench_site.publish(config, shadows)
                        time.sleep(2.0)  # the gateway follows every second
                    before = server.cpu
                    result = asyncio.run(
                        open_load.run(
                            server.port, server.path, options.rate, options.seconds, round_number
                        )
                    )
                    time.sleep(0.5)  # what is logged in the background counts too
                    answered = result.statuses[200]
                    if answered != result.statuses.total() or result.failed:
                        raise SystemExit(f"{name}: {result.statuses}, {result.failed} failed")
                    figures[name, "cpu us"].append((server.cpu - before) / answered * 1e6)
                    for share in (0.5, 0.99):
                        figures[name, f"p{share * 100:.0f} ms"].append(result.quantile(share))
        finally:
            for server in servers:
                server.stop()
    for (name, what), values in figures.items():
        median = statistics.median(values)
        ratio = median / statistics.median(figures["bare", what])
        print(f"{name:8} {what:7} {median:9.3f}  {ratio:5.2f} x bare")


if __name__ == "__main__":
    main()
