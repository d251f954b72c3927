"""A model's server hangs (SIGSTOP): what callers get meanwhile, and how soon it is over.

    PYTHONPATH=src python benchmarks/gateway/hanging.py [--seconds 8] [--callers 16]

Callers ask one after the other for a model on a server elsewhere: while it is well, while it hangs,
and when it goes on (SIGCONT). Asked: with the upstream hanging, answers a second at least 80 % of
those before, the 99th percentile within the deadline of 200 ms and 10 ms; the breaker opens within
a second of the fifth failure, and closes within one probe (cooldown 2 s) of recovery.
"""

import argparse
import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import bench_site
import numpy as np
import open_load
import orjson

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.models import save_remote
from homeostat.adapters.routes import RecordsRoutes
from homeostat.domain.model import ModelVersion
from homeostat.domain.route import Route
from homeostat.entrypoints.bootstrap import open_deployment
from homeostat.entrypoints.settings.load import load

PORT, UPSTREAM = 8751, 8752
CONFIG = """\
data: ./data
gateway:
  port: {port}
  deadline: 200ms
  upstream_hosts: ["127.0.0.1:{upstream}"]
  breaker: {{faults: 5, cooldown: 2s, successes: 1}}
models:
  - name: bench
    task: binary
    entity: customer
    features: {{{features}}}
    labels: {{maturity: 1d}}
    fallback: [{{default: {{score: 0.5}}}}]
"""
Told = tuple[float, float, str, str]  # when it came, seconds it took, tier, reason


def prepare(folder: Path) -> Path:
    """Make a deployment whose champion is on the server elsewhere; return its configuration."""
    url = f"http://127.0.0.1:{UPSTREAM}/0.1"
    save_remote(folder / "artifact", "json", [url], bench_site.FEATURES)
    config = folder / "homeostat.yaml"
    features = ", ".join(f"{name}: numeric" for name in bench_site.FEATURES)
    config.write_text(CONFIG.format(port=PORT, upstream=UPSTREAM, features=features))
    deployment = open_deployment(load(config), SystemClock())
    try:
        card = ModelVersion("bench", "v1", "remote", "", datetime(2024, 1, 1, tzinfo=UTC))
        deployment.registry.register(card, folder / "artifact")
        RecordsRoutes(deployment.records).publish(Route("bench", "v1"))
    finally:
        deployment.close()
    return config


async def ask(path: str, seconds: float, callers: int) -> list[Told]:
    """Have so many callers ask, one request after the other each; return what they were told."""
    made, told = open_load.requests(path), list[Told]()
    end = time.perf_counter() + seconds

    async def call(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        while (began := time.perf_counter()) < end:
            writer.write(made[number % len(made)])
            head = await reader.readuntil(b"\r\n\r\n")
            at = head.lower().index(b"content-length:") + 15
            body = await reader.readexactly(int(head[at:].split(b"\r\n", 1)[0]))
            now = time.perf_counter()
            answer = orjson.loads(body)["predictions"][0] if b" 200 " in head else {}
            tier, reason = answer.get("tier", "refused"), answer.get("reason", "")
            told.append((now, now - began, tier, reason))
            number += 1
        writer.close()

    await asyncio.gather(*map(call, range(callers)))
    return sorted(told)


def show(name: str, told: list[Told], seconds: float) -> float:
    """Print answers a second, their latency, and who gave them; return the answers a second."""
    took = np.array([each[1] for each in told]) * 1000
    kinds = {kind: sum(f"{t} {r}".strip() == kind for *_, t, r in told) for kind in
             sorted({f"{t} {r}".strip() for *_, t, r in told})}  # fmt: skip
    median, last = np.quantile(took, [0.5, 0.99])
    print(
        f"{name}: {len(told) / seconds:,.0f} answers/s, median {median:.1f} ms, p99 {last:.1f} ms, "
        f"most {took.max():.1f} ms; {kinds}"
    )
    return len(told) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--callers", type=int, default=16)
    options = parser.parse_args()
    seconds, callers = options.seconds, options.callers
    script = str(Path(__file__).with_name("soak_upstream.py"))
    with tempfile.TemporaryDirectory() as temporary:
        upstream = subprocess.Popen([sys.executable, script, str(UPSTREAM)])
        server = bench_site.start_gateway(prepare(Path(temporary)), PORT)
        try:
            asyncio.run(ask(server.path, 2.0, callers))
            well = show("well", asyncio.run(ask(server.path, seconds, callers)), seconds)
            upstream.send_signal(signal.SIGSTOP)
            hung = asyncio.run(ask(server.path, seconds, callers))
            rate = show("hanging", hung, seconds)
            faults = [at for at, *_, reason in hung if reason == "timeout"]
            opened = next(at for at, *_, reason in hung if reason == "breaker_open")
            print(
                f"hanging beside well: {rate / well:.2f} (asked 0.80); open "
                f"{(opened - faults[4]) * 1000:.0f} ms after the fifth failure (asked 1000)"
            )
            upstream.send_signal(signal.SIGCONT)
            went_on = time.perf_counter()
            back = asyncio.run(ask(server.path, seconds, callers))
            show("going on", back, seconds)
            first = next(at for at, _, tier, _ in back if tier == "model")
            others = sum(at > first and tier != "model" for at, _, tier, _ in back)
            print(
                f"the model answers {first - went_on:.2f} s after it goes on (cooldown 2 s, "
                f"doubled while probes fail), {others} fallbacks after its first answer"
            )
        finally:
            server.stop()
            upstream.send_signal(signal.SIGCONT)
            upstream.kill()


if __name__ == "__main__":
    main()
