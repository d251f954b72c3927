"""What `soak` plays with: versions with moods, a server elsewhere, and a look at what they hold."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
from moody import Backend, Moody
from numpy.typing import NDArray

from homeostat.adapters.models import Loader, MatrixPredictor, Predictor
from homeostat.adapters.models.encoding import Encoding
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.entrypoints.gateway import RouteTable
from homeostat.entrypoints.gateway.routes import LoadedVersion
from homeostat.serving.circuit import Circuit
from homeostat.serving.limit import Limit

PREDICT = "/v1/models/%s/predict"
WEIGHTS = {"v1": 0.01, "v2": -0.02, "v3": 0.03}
COLUMNS = (
    Column("amount", ColumnKind.NUMERIC, minimum=0.0, maximum=1000.0),
    Column("land", ColumnKind.CATEGORICAL),
)
QUICK, THREADS, JOINED, ELSEWHERE = "quick", "threads", "joined", "elsewhere"
MODELS = (QUICK, THREADS, JOINED, ELSEWHERE)
SPEC = ModelSpec(
    THREADS, Task.BINARY, Schema(COLUMNS), LabelSpec(timedelta(days=30)), entity="card"
)
DEFAULT, RULE = 0.125, 0.875
CALLERS = 16
PATIENCE = 15.0  # seconds for calls that hang to end


@dataclass
class Moods(Backend):
    """What versions do when asked; the models elsewhere have moods of their own."""

    loader: Loader = field(default_factory=Loader)

    def load(self, path: Path, flavour: str) -> Predictor:
        """Load a version under these moods."""
        real = self.loader(path, flavour)
        if flavour == "remote":
            return real
        if path.parent.name == QUICK and isinstance(real, MatrixPredictor):
            return Quick(self, path.name, real, real)
        return Moody(self, path.name, real)


@dataclass
class Quick(Moody):
    """One that answers a few rows in the event loop, or fails there."""

    matrix: MatrixPredictor

    @property
    def encoding(self) -> Encoding:
        """As of the version."""
        return self.matrix.encoding

    def predict_matrix(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predict or fail."""
        error = self.backend.errors.get(self.version)
        if error is not None:
            raise error.with_traceback(None)
        return self.matrix.predict_matrix(matrix)


def expected(version: str, amount: float) -> float:
    """The score that a version gives."""
    return float(1 / (1 + np.exp(-WEIGHTS[version] * amount)))


class Upstream:
    """The server of the models elsewhere; `kill` starts another one."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as bound:
            self.port: int = bound.getsockname()[1]
        self._process = self._started()

    def kill(self) -> None:
        """Kill it, and start it again."""
        self.close()
        self._process = self._started()

    def close(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        program = Path(__file__).with_name("soak_upstream.py")
        return subprocess.Popen([sys.executable, str(program), str(self.port)])


class Held:
    """Breakers and places of all versions that ever served."""

    def __init__(self, table: RouteTable) -> None:
        self._parts: dict[int, tuple[str, Circuit | Limit]] = {}
        table.arriving.append(self._meet)

    def _meet(self, model: str, versions: Mapping[str, LoadedVersion]) -> None:
        for version, loaded in versions.items():
            shadow = loaded.shadow_breaker, loaded.shadow_lane.limit
            for part in (loaded.breaker, loaded.limit, *shadow):
                self._parts[id(part)] = f"{model} {version}", part

    def leaks(self) -> Iterator[str]:
        """Give what is still held although nothing is under way."""
        for name, part in self._parts.values():
            if isinstance(part, Circuit):
                if running := part.state.running:
                    yield f"permits of {name}: {running}"
            elif part.under_way:
                yield f"places of {name}: {part.under_way}"
