"""Trains in a process group on this machine; its state is a folder, so it survives a restart."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from homeostat.adapters.trainers import keeper
from homeostat.adapters.trainers.child import (
    ARTIFACT,
    JOB,
    LOCK,
    LOG,
    PID,
    PROGRESS,
    REQUEST,
    RESULT,
    ROWS,
    write_json,
)  # fmt: skip
from homeostat.adapters.trainers.results import failed, result_of, share
from homeostat.domain.clock import Clock
from homeostat.domain.effect import StartTraining
from homeostat.domain.errors import TrainingError
from homeostat.domain.manifest import seed_of
from homeostat.domain.model import ModelSpec
from homeostat.engine.ports import Training

TAIL_BYTES = 4096
LONGEST_LINE = 500
PASSED = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_*", "TZ", "VIRTUAL_ENV", "CONDA_*",
    "PYTHON*", "LD_LIBRARY_PATH", "DYLD_*", "OMP_*", "OPENBLAS_*", "MKL_*", "NUMEXPR_*", "CUDA_*",
    "NVIDIA_*", "http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    "SSL_CERT_*",
)  # fmt: skip
"""Variables of the control plane that every training gets: none that should hold a secret."""
LINGER = 5.0
"""Seconds that a process may take to end once its result is written, or once it is killed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a training on this machine may take; None: as much as there is.

    Attributes
    ----------
    memory : int or None
        Bytes of address space of each of its processes.
    disk : int or None
        Bytes of its folder, temporary files included, and of any one file.
    log : int
        Bytes of what it prints that are kept: the newest.
    free : int
        Bytes that must stay free on the disk, whoever fills it.
    kept : int
        Folders of a model's runs that are kept: the newest.
    """

    memory: int | None = None
    disk: int | None = None
    log: int = 10_000_000
    free: int = 200_000_000
    kept: int = 20


@dataclass
class Running:
    """What this process knows of the runs that it started itself."""

    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    since: dict[str, float] = field(default_factory=dict)
    unable: dict[str, str] = field(default_factory=dict)


class ProcessTrainer(ABC):
    """What trainers on this machine share; they say what is to be run.

    A run outlives this process: its folder says what was asked, its lock whether it still goes, its
    result how it ended. Whoever polls next finds it, or finds that it is lost. A keeper beside the
    training holds it to its limits, whether anybody polls or not.
    """

    root: Path
    clock: Clock
    limit: timedelta
    wait: bool
    limits: Limits
    running: Running

    @abstractmethod
    def job(self, request: StartTraining, folder: Path) -> keeper.Job:
        """Return what is to be run for a request, in its folder."""

    def asked(self) -> dict[str, object]:
        """Return what ``request.json`` holds besides the model, the request and the seed."""
        return {}

    def start(self, request: StartTraining, spec: ModelSpec, rows: pa.Table) -> None:
        """Begin a run; a repeated call for a known run id does nothing.

        What keeps it from beginning, such as a full disk, is the run's outcome. Another run of the
        model that still goes is ended first: there are never two.
        """
        folder = self._folder(request.run_id)
        # A request alone is not enough: whoever wrote it may have died before the process began.
        begun = (folder / RESULT).exists() or (folder / PID).exists()
        if (folder / REQUEST).exists() and (begun or self._alive(request.run_id)):
            return
        try:
            self._end_others(request)
            self._tidy(request)
            folder.mkdir(parents=True, exist_ok=True)
            pq.write_table(rows, folder / ROWS)
            write_json(folder / JOB, self.job(request, folder))
            write_json(folder / REQUEST, {**_told(request, spec), **self.asked()})
            self.running.children[request.run_id] = _spawn(folder)
        except (OSError, TrainingError) as error:
            (folder / REQUEST).unlink(missing_ok=True)
            self.running.unable[request.run_id] = f"the training cannot begin: {error}"
        else:
            self.running.unable.pop(request.run_id, None)
            self.running.since[request.run_id] = self.clock.monotonic()

    def poll(self, model: str, run_id: str) -> Training:
        """Return the run's state."""
        folder = self._folder(run_id)
        if not (folder / REQUEST).exists():
            unknown = f"{model} has no training run {run_id}"
            return failed(self.running.unable.get(run_id, unknown))
        # Asked first: a process that has ended has written its result, if it ever will.
        alive = self._alive(run_id)
        if (folder / RESULT).exists():
            self._reap(run_id)
            return result_of(folder)
        if not alive:
            return failed(f"{self._ending(run_id)}{_last_words(folder)}")
        now = self.clock.monotonic()
        began = self.running.since.setdefault(run_id, now)
        if self.wait or now - began > self.limit.total_seconds():
            self._halt(run_id, f"training took longer than {self.limit}")
            return self.poll(model, run_id)
        return Training(done=False, progress=_progress(folder))

    def cancel(self, model: str, run_id: str) -> None:  # noqa: ARG002 - part of the port
        """Stop the run's process group, if it still goes."""
        self._halt(run_id, "cancelled")

    def _halt(self, run_id: str, why: str) -> None:
        folder = self._folder(run_id)
        child = self.running.children.get(run_id)
        if child is not None and child.poll() is None:
            _stop(folder)
            _kill(child.pid)
            child.wait()
        elif child is None and _locked(folder):
            _stop(folder)
            _kill_recorded(folder)
            if not _unlocked(folder, LINGER):
                return
        else:
            return
        with contextlib.suppress(OSError):  # a full disk: it is found to have ended
            if not (folder / RESULT).exists():
                write_json(folder / RESULT, {"problem": why})

    def _end_others(self, request: StartTraining) -> None:
        for folder in (found for found in _others(self.root, request) if _locked(found)):
            self._halt(folder.name, f"ended, because {request.run_id} begins")
            if not _unlocked(folder, LINGER):
                problem = f"another training of {request.model}, {folder.name}, cannot be ended"
                raise TrainingError(problem)

    def _tidy(self, request: StartTraining) -> None:
        """Remove the folders of the model's oldest runs: the registry has what came of them."""
        found = sorted(_others(self.root, request), key=lambda f: (f / REQUEST).stat().st_mtime)
        for folder in found[: max(len(found) + 1 - self.limits.kept, 0)]:
            shutil.rmtree(folder, ignore_errors=True)

    def _folder(self, run_id: str) -> Path:
        if not run_id or any(char in run_id for char in "/\\\0") or run_id.startswith("."):
            raise TrainingError(f"run id {run_id!r} cannot name a folder")
        return self.root / run_id

    def _alive(self, run_id: str) -> bool:
        child = self.running.children.get(run_id)
        if child is None:
            return _locked(self._folder(run_id))
        if self.wait:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout=self.limit.total_seconds())
        return child.poll() is None

    def _reap(self, run_id: str) -> None:
        child = self.running.children.get(run_id)
        if child is None:
            return
        try:
            child.wait(LINGER)
        except subprocess.TimeoutExpired:
            _kill(child.pid)
            child.wait()

    def _ending(self, run_id: str) -> str:
        child = self.running.children.get(run_id)
        code = None if child is None else child.returncode
        if code is None:
            return "lost while no control plane looked: the training process ended without a result"
        if code < 0:
            return f"the training process was ended by {signal.Signals(-code).name}"
        return f"the training process ended with exit code {code} and without a result"

    def environ(self, request: StartTraining, folder: Path) -> dict[str, str]:
        """Return the variables that tell a training what to do, with paths in `folder`."""
        return {
            "HOMEOSTAT_RUN": request.run_id,
            "HOMEOSTAT_MODEL": request.model,
            "HOMEOSTAT_SEED": str(seed_of(request.run_id)),
            "HOMEOSTAT_REQUEST": str(folder / REQUEST),
            "HOMEOSTAT_ROWS": str(folder / ROWS),
            "HOMEOSTAT_ARTIFACT": str(folder / ARTIFACT),
            "PYTHONHASHSEED": str(seed_of(request.run_id)),
        }

    def limited(
        self, argv: list[str], environ: dict[str, str], variables: tuple[str, ...] = ()
    ) -> keeper.Job:
        """Return a job of a command, under this trainer's limits.

        Of the control plane's variables, which hold its secrets, it gets `PASSED` and `variables`.
        """
        return {
            "argv": argv,
            "folder": "",
            "environ": environ,
            "inherit": [*PASSED, *variables],
            "reports": False,
            "stop": [],
            "seconds": self.limit.total_seconds(),
            "memory": self.limits.memory or 0,
            "disk": self.limits.disk or 0,
            "free": self.limits.free,
            "log": self.limits.log,
        }


def _told(request: StartTraining, spec: ModelSpec) -> dict[str, object]:
    return {
        "spec": TypeAdapter(ModelSpec).dump_python(spec, mode="json"),
        "request": TypeAdapter(StartTraining).dump_python(request, mode="json"),
        "seed": seed_of(request.run_id),
    }


def _spawn(folder: Path) -> subprocess.Popen[bytes]:
    # The keeper and the training inherit the locked file, so that the lock ends with the last of
    # them, whoever is left to look.
    with (folder / LOCK).open("w") as lock, (folder / LOG).open("wb") as log:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return subprocess.Popen(  # noqa: S603 - our own module, with the run's folder
            [
                sys.executable,
                "-P",
                "-S",
                keeper.__file__,
                str(folder.resolve()),
                f"{lock.fileno()}",
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )


def _others(root: Path, request: StartTraining) -> Iterator[Path]:
    """Yield the folders of other runs of the model."""
    for folder in (lock.parent for lock in root.glob(f"*/{LOCK}")):
        if folder.name == request.run_id:
            continue
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads((folder / REQUEST).read_text())
            if content["request"]["model"] == request.model:
                yield folder


def _locked(folder: Path) -> bool:
    try:
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _unlocked(folder: Path, seconds: float) -> bool:
    """Wait until nothing of a run goes any more; return whether that came."""
    for _ in range(int(seconds / 0.05)):
        if not _locked(folder):
            return True
        time.sleep(0.05)
    return not _locked(folder)


def _stop(folder: Path) -> None:
    """Run what ends a training that is no process of this machine, such as a container."""
    with contextlib.suppress(OSError, ValueError, KeyError, subprocess.TimeoutExpired):
        stop: list[str] = json.loads((folder / JOB).read_text())["stop"]
        if stop:
            subprocess.run(stop, capture_output=True, timeout=30, check=False)  # noqa: S603


def _kill_recorded(folder: Path) -> None:
    """End the group that the keeper wrote down, unless its number is somebody else's by now."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        number, _, began = (folder / PID).read_text().partition(" ")
        if not began or keeper.start_time(int(number)) in {"", began}:
            _kill(int(number))


def _kill(group: int) -> None:
    # macOS refuses where only the remains of a group are left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _progress(folder: Path) -> float | None:
    try:
        return share((folder / PROGRESS).read_text())
    except (OSError, ValueError):
        return None


def _last_words(folder: Path) -> str:
    try:
        with (folder / LOG).open("rb") as log:
            log.seek(-min(TAIL_BYTES, log.seek(0, os.SEEK_END)), os.SEEK_END)
            lines = log.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f": {lines[-1][-LONGEST_LINE:]}" if lines else ""
