"""A deployment in a folder, run by the real command line in real processes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from threading import Event

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.models import Term, save_linear
from homeostat.engine.adopt import adopt, split_history
from homeostat.engine.ports import Training
from homeostat.entrypoints.bootstrap import Deployment

CONFIG = """\
server: {port: 0, tick: 1s}
gateway: {port: 0, deadline: 5s}
models:
  - name: fraud
    task: binary
    classes: [no, yes]
    features: {amount: numeric}
    labels: {maturity: 1s}
    monitors:
      performance: {window: 1m, margin: 0.05}
    fallback: [{default: {score: 0.5}}]
    retraining: {trainer: "train.py:train"}
"""

TRAINER = """\
import numpy as np
from homeostat.adapters.models import Term, save_linear

def train(rows, spec, out):
    values = np.asarray(rows["amount"])
    save_linear(out, 0.0, [Term("amount", 2.0, float(values.mean()), float(values.std()))])
    return {"rows": len(rows)}
"""

ADDRESS = r"on (http://\S+)/\n"
MAIN = "import sys; from homeostat.entrypoints.cli import main; main(sys.argv[1:])"


def history(count: int = 3000) -> pa.Table:
    """Return four weeks up to now in which large amounts are fraud."""
    rng = np.random.default_rng(7)
    amounts = rng.normal(100.0, 15.0, count)
    labels = (rng.random(count) < chance(amounts)).astype(float)
    now = SystemClock().now()
    times = [now - timedelta(days=28) * (1 - row / count) for row in range(count)]
    return pa.table({"timestamp": times, "amount": amounts, "label": labels})


def chance(amounts: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-2 * (amounts - 100) / 15))


def until(true: Callable[[], object], seconds: float = 30.0, what: str = "") -> None:
    for _ in range(int(seconds * 20)):
        if true():
            return
        Event().wait(0.05)
    raise AssertionError(f"did not happen within {seconds} s: {what}")


def homeostat(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-c", MAIN, *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


def adopt_in_place(deployment: Deployment) -> None:
    """Adopt a model as the command does, without a process for the training."""
    plan, now = deployment.plans["fraud"], deployment.clock.now()
    artifact = deployment.settings.folder / "made"
    save_linear(artifact, 0.0, [Term("amount", 2.0, 100.0, 15.0)])
    training = Training(done=True, artifact=artifact, flavour="linear")
    adopt(plan, deployment.ports(), split_history(plan, history()), training, now)


class Service:
    """``homeostat serve`` or ``homeostat gateway`` as a process of its own."""

    def __init__(self, folder: Path, name: str, *arguments: str) -> None:
        self._out, self._err = folder / f"{name}.out", folder / f"{name}.err"
        command = [sys.executable, "-c", MAIN, name, *arguments]
        with self._out.open("a") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err)

    @cached_property
    def http(self) -> httpx.Client:
        """A client of it, once it has started."""
        until(lambda: self._started or self.ended, 60, "start")
        found = re.search(ADDRESS, self.log)
        assert found is not None, self.log
        return httpx.Client(base_url=found[1], timeout=20)

    @property
    def _started(self) -> bool:
        return "startup complete" in self.log and re.search(ADDRESS, self.log) is not None

    @property
    def log(self) -> str:
        return self._err.read_text()

    @property
    def said(self) -> str:
        return self._out.read_text()

    @property
    def ended(self) -> bool:
        return self.process.poll() is not None

    def send(self, number: signal.Signals) -> int:
        """Send a signal and return the exit code."""
        self.http.close()
        if not self.ended:
            os.kill(self.process.pid, number)
        return self.process.wait(60)


def workers(gateway: Service) -> list[int]:
    """Return the processes that it has started."""
    listed = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read_text()
    return [int(pid) for pid in listed.split()]


class Site:
    """A folder with a configuration, a trainer and an adopted model, and what runs in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "homeostat.yaml").write_text(CONFIG)
        (folder / "train.py").write_text(TRAINER)
        pq.write_table(history(), folder / "history.parquet")
        self.sent: list[str] = []
        self.running: list[Service] = []
        self._rng = np.random.default_rng(1)

    def start(self, name: str, *arguments: str) -> Service:
        service = Service(self.folder, name, *arguments)
        self.running.append(service)
        return service

    def stop(self) -> None:
        for service in self.running:
            if not service.ended:
                service.process.kill()
                service.process.wait(60)

    def predict(self, gateway: Service, count: int = 50) -> list[dict[str, object]]:
        """Send rows to the gateway and remember their ids."""
        amounts = self._rng.normal(100.0, 15.0, count)
        rows = [{"amount": amount} for amount in amounts.tolist()]
        response = gateway.http.post("/v1/models/fraud/predict", json={"rows": rows})
        assert response.status_code == 200, response.text
        answers: list[dict[str, object]] = response.json()["predictions"]
        self.sent += [str(answer["prediction_id"]) for answer in answers]
        for answer, truth in zip(answers, self._rng.random(count) < chance(amounts), strict=True):
            answer["label"] = float(truth)
        return answers

    def label(self, server: Service, answers: list[dict[str, object]]) -> None:
        names = ("prediction_id", "label")
        sent = [{name: answer[name] for name in names} for answer in answers]
        response = server.http.post("/api/v1/models/fraud/labels", json={"labels": sent})
        assert response.json()["accepted"] == len(sent), response.text
