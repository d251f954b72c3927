"""Trains with a Python function, or a command, in processes of this machine."""

from __future__ import annotations

import hashlib
import shlex
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from homeostat.adapters.trainers import child as child_module
from homeostat.adapters.trainers.keeper import Job
from homeostat.adapters.trainers.processes import Limits, ProcessTrainer, Running
from homeostat.domain.clock import Clock
from homeostat.domain.effect import StartTraining


@dataclass
class LocalTrainer(ProcessTrainer):
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
    limits : Limits
        On memory, disk and log.
    variables : tuple of str
        Names of environment variables that are passed on, besides `processes.PASSED`.
    """

    root: Path
    function: str
    clock: Clock
    limit: timedelta = timedelta(hours=1)
    wait: bool = False
    limits: Limits = field(default_factory=Limits)
    variables: tuple[str, ...] = ()
    running: Running = field(default_factory=Running, init=False)

    def source(self) -> str:
        """Return the function, and the SHA-256 of the file that it is in."""
        file, _, name = self.function.rpartition(":")
        return f"{Path(file).name}:{name}{_digest(Path(file))}"

    def asked(self) -> dict[str, object]:
        """Return which function is to be called."""
        return {"function": self.function}

    def job(self, request: StartTraining, folder: Path) -> Job:
        """Run our own module, which calls the function and reports by itself."""
        argv = [sys.executable, "-P", "-m", child_module.__name__, str(folder.resolve())]
        job = self.limited(argv, self.environ(request, folder.resolve()), self.variables)
        return {**job, "reports": True}


@dataclass
class CommandTrainer(ProcessTrainer):
    """Runs one command for each run id.

    It finds the paths of the rows (Parquet), of the request (JSON) and of the folder for the
    artifact in the environment: ``HOMEOSTAT_ROWS``, ``HOMEOSTAT_REQUEST``, ``HOMEOSTAT_ARTIFACT``,
    and the run's seed in ``HOMEOSTAT_SEED``. Exit code 0 means that the artifact is there. Lines of
    its output such as ``progress: 0.4`` and ``metric: auc=0.91`` are understood.

    Parameters
    ----------
    root : Path
        Folder in which each run keeps its request, rows, log, artifact and result.
    command : tuple of str
        The program and its arguments; no shell reads them.
    clock : Clock
    folder : Path
        In which the command runs.
    limit, wait, limits, variables
        As `LocalTrainer`.
    """

    root: Path
    command: tuple[str, ...]
    clock: Clock
    folder: Path
    limit: timedelta = timedelta(hours=1)
    wait: bool = False
    limits: Limits = field(default_factory=Limits)
    variables: tuple[str, ...] = ()
    running: Running = field(default_factory=Running, init=False)

    def source(self) -> str:
        """Return the command, and the SHA-256 of the first file that it names."""
        digests = (
            _digest(self.folder / part) for part in self.command if not Path(part).is_absolute()
        )
        return f"{shlex.join(self.command)}{next(filter(None, digests), '')}"

    def job(self, request: StartTraining, folder: Path) -> Job:
        """Run the command."""
        job = self.limited([*self.command], self.environ(request, folder.resolve()), self.variables)
        return {**job, "folder": str(self.folder)}


def _digest(file: Path) -> str:
    try:
        return f" sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    except OSError:
        return ""
