"""Trains in a subprocess on this machine; its state is a folder, so it survives a restart."""

from __future__ import annotations

import contextlib
import fcntl
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

from homeostat.adapters.models.loading import FILES, flavour_of
from homeostat.adapters.trainers import child as child_module
from homeostat.adapters.trainers.child import ARTIFACT, LOCK, LOG, PID, REQUEST, RESULT, ROWS
from homeostat.domain.clock import Clock
from homeostat.domain.effect import StartTraining
from homeostat.domain.errors import TrainingError
from homeostat.domain.model import ModelSpec
from homeostat.engine.ports import Training

TAIL_BYTES = 4096
LONGEST_LINE = 500
LINGER = 5.0  # seconds that a process may take to end once its result is written


@dataclass
class LocalTrainer:
    """Runs one training function for each run id, each in a process of its own.

    A run outlives this process: its folder says what was asked, its lock whether it still goes, its
    result how it ended. Whoever polls next finds it.

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
    _unable: dict[str, str] = field(default_factory=dict, init=False)

    def start(self, request: StartTraining, spec: ModelSpec, rows: pa.Table) -> None:
        """Begin a run; a repeated call for a known run id does nothing.

        What keeps it from beginning, such as a full disk, is the run's outcome.
        """
        folder = self._folder(request.run_id)
        # A request alone is not enough: whoever wrote it may have died before the process began.
        begun = (folder / RESULT).exists() or (folder / PID).exists()
        if (folder / REQUEST).exists() and (begun or self._alive(request.run_id)):
            return
        content = {
            "function": self.function,
            "spec": TypeAdapter(ModelSpec).dump_python(spec, mode="json"),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(rows, folder / ROWS)
            child_module.write_json(folder / REQUEST, content)
            self._children[request.run_id] = _spawn(folder)
        except OSError as error:
            (folder / REQUEST).unlink(missing_ok=True)
            self._unable[request.run_id] = f"the training cannot begin: {error}"
        else:
            self._unable.pop(request.run_id, None)
            self._since[request.run_id] = self.clock.monotonic()

    def poll(self, model: str, run_id: str) -> Training:
        """Return the run's state."""
        folder = self._folder(run_id)
        if not (folder / REQUEST).exists():
            unknown = f"{model} has no training run {run_id}"
            return Training(done=True, problem=self._unable.get(run_id, unknown))
        # Asked first: a process that has ended has written its result, if it ever will.
        alive = self._alive(run_id)
        if (folder / RESULT).exists():
            self._reap(run_id)
            return _result(folder)
        if not alive:
            return Training(done=True, problem=f"{self._ending(run_id)}{_last_words(folder)}")
        now = self.clock.monotonic()
        if self.wait or now - self._since.setdefault(run_id, now) > self.limit.total_seconds():
            self.cancel(model, run_id)
            return Training(done=True, problem=f"training took longer than {self.limit}")
        return Training(done=False)

    def cancel(self, model: str, run_id: str) -> None:  # noqa: ARG002 - part of the port
        """Stop the run's process group, if it still goes."""
        child = self._children.get(run_id)
        if child is not None and child.poll() is None:
            _kill(child.pid)
            child.wait()
        elif child is None and _locked(self._folder(run_id)):
            with contextlib.suppress(FileNotFoundError, ValueError):
                _kill(int((self._folder(run_id) / PID).read_text()))

    def _folder(self, run_id: str) -> Path:
        if not run_id or any(char in run_id for char in "/\\\0") or run_id.startswith("."):
            raise TrainingError(f"run id {run_id!r} cannot name a folder")
        return self.root / run_id

    def _alive(self, run_id: str) -> bool:
        child = self._children.get(run_id)
        if child is None:
            return _locked(self._folder(run_id))
        if self.wait:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=self.limit.total_seconds())
        return child.poll() is None

    def _reap(self, run_id: str) -> None:
        child = self._children.get(run_id)
        if child is None:
            return
        try:
            child.wait(LINGER)
        except subprocess.TimeoutExpired:
            _kill(child.pid)
            child.wait()

    def _ending(self, run_id: str) -> str:
        child = self._children.get(run_id)
        code = None if child is None else child.returncode
        if code is None:
            return "the training process ended without a result"
        if code < 0:
            return f"the training process was ended by {signal.Signals(-code).name}"
        return f"the training process ended with exit code {code} and without a result"


def _spawn(folder: Path) -> subprocess.Popen[bytes]:
    # The child inherits the locked file, so that the lock ends with it, whoever is left to look.
    with (folder / LOCK).open("w") as lock, (folder / LOG).open("wb") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return subprocess.Popen(  # noqa: S603 - our own module, with the run's folder
            [sys.executable, "-P", "-m", child_module.__name__, str(folder.resolve())],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )


def _locked(folder: Path) -> bool:
    try:
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _kill(group: int) -> None:
    # macOS refuses where only the remains of a group are left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _result(folder: Path) -> Training:
    try:
        result = json.loads((folder / RESULT).read_text())
    except (OSError, ValueError) as error:
        return Training(done=True, problem=f"the result of the training is unreadable: {error}")
    if "problem" in result:
        return Training(done=True, problem=str(result["problem"]))
    flavour = flavour_of(folder / ARTIFACT)
    if not flavour:
        known = ", ".join(f"{name} ({kind})" for name, kind in FILES.items())
        return Training(
            done=True, problem=f"the artifact is of no known kind: it needs one of {known}"
        )
    return Training(
        done=True,
        artifact=folder / ARTIFACT,
        flavour=flavour,
        metrics=tuple(sorted((k, float(v)) for k, v in result["metrics"].items())),
    )


def _last_words(folder: Path) -> str:
    try:
        with (folder / LOG).open("rb") as log:
            log.seek(-min(TAIL_BYTES, log.seek(0, os.SEEK_END)), os.SEEK_END)
            lines = log.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f": {lines[-1][-LONGEST_LINE:]}" if lines else ""
