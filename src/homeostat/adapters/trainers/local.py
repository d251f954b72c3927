"""Trains in a subprocess on this machine; its state is a folder, so it survives a restart."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from homeostat.adapters.models.loading import flavour_of
from homeostat.domain.clock import Clock
from homeostat.domain.effect import StartTraining
from homeostat.domain.errors import TrainingError
from homeostat.domain.model import ModelSpec
from homeostat.engine.ports import Training


@dataclass
class LocalTrainer:
    """Runs one training function for each run id, each in a process of its own.

    Parameters
    ----------
    root : Path
        Folder in which each run keeps its request, rows, log, artifact and result.
    function : str
        ``path/to/file.py:name``, called as ``name(rows, spec, out) -> metrics``.
    clock : Clock
        For the time limit.
    limit : timedelta
        Longest time a run may take before it is stopped and reported as failed.
    wait : bool
        Whether `poll` waits for the run's end: for a simulated clock, on which training is instant.
    """

    root: Path
    function: str
    clock: Clock
    limit: timedelta = timedelta(hours=1)
    wait: bool = False
    _children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, init=False)
    _since: dict[str, float] = field(default_factory=dict, init=False)

    def start(self, request: StartTraining, spec: ModelSpec, rows: pa.Table) -> None:
        """Begin a run; a repeated call for a known run id does nothing."""
        folder = self._folder(request.run_id)
        if (folder / "request.json").exists():
            return
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, folder / "rows.parquet")
        content = {
            "function": self.function,
            "spec": TypeAdapter(ModelSpec).dump_python(spec, mode="json"),
        }
        part = folder / "request.json.part"
        part.write_text(json.dumps(content))
        part.rename(folder / "request.json")
        with (folder / "log.txt").open("wb") as log:
            child = subprocess.Popen(  # noqa: S603 - our own module, with the run's folder
                [sys.executable, "-m", "homeostat.adapters.trainers.child", str(folder)],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        (folder / "pid").write_text(str(child.pid))
        self._children[request.run_id] = child
        self._since[request.run_id] = self.clock.monotonic()

    def poll(self, model: str, run_id: str) -> Training:
        """Return the run's state."""
        folder = self._folder(run_id)
        child = self._children.get(run_id)
        if child is not None and self.wait:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=self.limit.total_seconds())
        if (folder / "result.json").exists():
            return self._result(folder)
        if not (folder / "request.json").exists():
            return Training(done=True, problem=f"{model} has no training run {run_id}")
        if not self._alive(run_id):
            tail = self._log_tail(folder)
            return Training(done=True, problem=f"the training process ended without a result{tail}")
        if self.clock.monotonic() - self._since.setdefault(run_id, self.clock.monotonic()) > (
            self.limit.total_seconds()
        ):
            self.cancel(model, run_id)
            return Training(done=True, problem=f"training took longer than {self.limit}")
        return Training(done=False)

    def cancel(self, model: str, run_id: str) -> None:  # noqa: ARG002 - part of the port
        """Stop the run's process group, if it still goes."""
        pid = self._pid(run_id)
        if pid is not None and self._alive(run_id):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def _folder(self, run_id: str) -> Path:
        if not run_id or any(char in run_id for char in "/\\\0") or run_id.startswith("."):
            raise TrainingError(f"run id {run_id!r} cannot name a folder")
        return self.root / run_id

    def _pid(self, run_id: str) -> int | None:
        try:
            return int((self._folder(run_id) / "pid").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _alive(self, run_id: str) -> bool:
        child = self._children.get(run_id)
        if child is not None:
            return child.poll() is None
        pid = self._pid(run_id)
        if pid is None:
            return False
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        return str(self._folder(run_id)).encode() in command

    def _result(self, folder: Path) -> Training:
        result = json.loads((folder / "result.json").read_text())
        if "problem" in result:
            return Training(done=True, problem=str(result["problem"]))
        return Training(
            done=True,
            artifact=folder / "artifact",
            flavour=flavour_of(folder / "artifact"),
            metrics=tuple(sorted((k, float(v)) for k, v in result["metrics"].items())),
        )

    def _log_tail(self, folder: Path) -> str:
        log = folder / "log.txt"
        last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
        return f": {last[0]}" if last else ""
