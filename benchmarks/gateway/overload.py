"""Three times the load that the gateway can bear: what is answered, how late, and what comes after.

    pip install onnx onnxruntime
    PYTHONPATH=src python benchmarks/gateway/overload.py [--seconds 10] [--trees 8000]

The model takes long enough (8,000 trees) that a generator in Python can send three times what the
gateway answers. Asked: answers within the deadline of 200 ms, the rest refused, no growth of
memory, normal within two seconds. Look at "sent late" first: where the generator itself is late,
because the machine is busy, its latencies are not the gateway's.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import bench_site
import numpy as np
import open_load


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--trees", type=int, default=8_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        config = bench_site.prepare(Path(temporary), 8741, options.trees)
        server = bench_site.start_gateway(config, 8741)
        where = server.port, server.path
        try:
            full = asyncio.run(open_load.capacity(*where, 4.0))
            calm = asyncio.run(open_load.run(*where, full / 2, 4.0))
            before = server.memory
            over = asyncio.run(open_load.run(*where, 3 * full, options.seconds))
            during, ended = server.memory, time.perf_counter()
            after = asyncio.run(open_load.run(*where, full / 2, 6.0))
            later = server.memory
        finally:
            server.stop()
    print(f"capacity {full:.0f} a second; at half of it p99 {calm.quantile(0.99):.1f} ms")
    print(f"sent late: p99 {np.quantile(over.late, 0.99) * 1000:.0f} ms")
    print(f"at three times: {dict(over.statuses)}, {over.failed} without an answer")
    print(f"  answered {over.statuses[200] / options.seconds:.0f} a second, ", end="")
    print(", ".join(f"p{s * 100:g} {over.quantile(s):.0f} ms" for s in (0.5, 0.99, 0.999)), end="")
    print(f", most {max(over.latencies) * 1000:.0f} ms")
    refused = np.quantile(over.refusals, 0.99) * 1000 if over.refusals else 0.0
    print(f"  refused: p99 {refused:.0f} ms")
    print(f"memory: {before:.0f} MB before, {during:.0f} after, {later:.0f} later")
    bad = [due for due, status, s in after.times if status != 200 or s > calm.quantile(1) / 1000]
    print(f"normal again after {max(bad, default=ended) - ended:.1f} s")


if __name__ == "__main__":
    main()
