"""A deployment with one ONNX model, and the bare route that its gateway is measured beside.

The model is an ensemble of 100 trees of depth 5 on 30 numbers, as gradient boosting makes them.
Both servers are processes of their own that serve one worker on one socket.
"""

# ruff: noqa: TID251 - real processes take real time
from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.models import save_onnx
from homeostat.adapters.routes import RecordsRoutes
from homeostat.domain.model import ModelVersion
from homeostat.domain.route import Route
from homeostat.entrypoints.bootstrap import open_deployment
from homeostat.entrypoints.settings.load import load

FEATURES = [f"number_{place:02d}" for place in range(30)]
CONFIG = """\
data: ./data
gateway: {{port: {port}, deadline: {deadline}}}
models:
  - name: bench
    task: binary
    entity: customer
    features: {{{features}}}
    labels: {{maturity: 1d}}
"""
TICKS = os.sysconf("SC_CLK_TCK")


def ensemble(trees: int = 100, depth: int = 5, seed: int = 7) -> onnx.ModelProto:
    """Return a model of random complete trees whose sum goes through a sigmoid."""
    rng = np.random.default_rng(seed)
    inner, leaves = 2**depth - 1, 2**depth
    size = inner + leaves
    nodes = np.tile(np.arange(size), trees)
    is_leaf = nodes >= inner
    here = {
        "nodes_treeids": np.repeat(np.arange(trees), size).tolist(),
        "nodes_nodeids": nodes.tolist(),
        "nodes_featureids": rng.integers(0, len(FEATURES), len(nodes)).tolist(),
        "nodes_values": rng.normal(size=len(nodes)).tolist(),
        "nodes_modes": ["LEAF" if leaf else "BRANCH_LEQ" for leaf in is_leaf],
        "nodes_truenodeids": np.where(is_leaf, 0, 2 * nodes + 1).tolist(),
        "nodes_falsenodeids": np.where(is_leaf, 0, 2 * nodes + 2).tolist(),
        "target_treeids": np.repeat(np.arange(trees), leaves).tolist(),
        "target_nodeids": np.tile(np.arange(inner, size), trees).tolist(),
        "target_ids": [0] * (trees * leaves),
        "target_weights": rng.normal(scale=0.3, size=trees * leaves).tolist(),
    }
    tree = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["sum"], domain="ai.onnx.ml", n_targets=1, **here
    )
    link = helper.make_node("Sigmoid", ["sum"], ["score"])
    shape = (None, len(FEATURES))
    graph = helper.make_graph(
        [tree, link],
        "ensemble",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, (None, 1))],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def prepare(folder: Path, port: int, trees: int = 100, deadline: str = "200ms") -> Path:
    """Make a deployment whose champion is an ensemble; return its configuration."""
    file = folder / "model.onnx"
    file.write_bytes(ensemble(trees).SerializeToString())
    save_onnx(file, folder / "artifact", FEATURES)
    config = folder / "homeostat.yaml"
    features = ", ".join(f"{name}: numeric" for name in FEATURES)
    config.write_text(CONFIG.format(port=port, features=features, deadline=deadline))
    deployment = open_deployment(load(config), SystemClock())
    try:
        for name in ("v1", "v2"):
            card = ModelVersion("bench", name, "onnx", "", datetime(2024, 1, 1, tzinfo=UTC))
            deployment.registry.register(card, folder / "artifact")
        RecordsRoutes(deployment.records).publish(Route("bench", "v1"))
    finally:
        deployment.close()
    return config


def publish(config: Path, shadows: tuple[str, ...] = ()) -> None:
    """Publish another route of the model."""
    deployment = open_deployment(load(config), SystemClock())
    try:
        RecordsRoutes(deployment.records).publish(Route("bench", "v1", shadows=shadows))
    finally:
        deployment.close()


@dataclass(frozen=True)
class Server:
    """A server process."""

    name: str
    port: int
    path: str
    process: subprocess.Popen[bytes]

    @property
    def cpu(self) -> float:
        """CPU seconds that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def memory(self) -> float:
        """Resident MB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if "VmRSS" in line) / 1024

    def stop(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(30)


def start(name: str, port: int, path: str, health: str, command: list[str]) -> Server:
    """Start a server and wait until it answers."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{health}") as answer:
                if answer.status == 200:
                    return Server(name, port, path, process)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise SystemExit(f"{name} does not come up")


def start_gateway(config: Path, port: int) -> Server:
    """Start `homeostat gateway`."""
    command = [sys.executable, "-m", "homeostat.entrypoints.cli", "gateway", "-c", str(config)]
    return start("homeostat", port, "/v1/models/bench/predict", "/health/ready", command)


def start_bare(folder: Path, port: int) -> Server:
    """Start the bare route."""
    bare = Path(__file__).with_name("bare.py")
    command = [sys.executable, str(bare), str(folder / "model.onnx"), str(port)]
    return start("bare", port, "/predict", "/health", command)
