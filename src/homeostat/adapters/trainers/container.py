"""Trains in a container, through the command line of docker or podman."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from homeostat.adapters.trainers.child import ARTIFACT, REQUEST, ROWS
from homeostat.adapters.trainers.keeper import Job
from homeostat.adapters.trainers.processes import Limits, ProcessTrainer, Running
from homeostat.domain.clock import Clock
from homeostat.domain.effect import StartTraining
from homeostat.domain.errors import TrainingError

PROGRAMS = ("docker", "podman")
INSIDE = Path("/training")
REMEDY = "install docker or podman, or choose another kind of retraining.trainer"


@dataclass
class ContainerTrainer(ProcessTrainer):
    """Runs one container for each run id.

    Inside, ``/training`` has the rows and the request, which cannot be written, and the folder for
    the artifact; `CommandTrainer` says what the environment tells. Nothing else of this machine is
    there, and by default no network.

    Parameters
    ----------
    root : Path
        Folder in which each run keeps its request, rows, log, artifact and result.
    image : str
    clock : Clock
    arguments : tuple of str
        Given to the image's entry point.
    network : str
        Name of a network of the container program.
    variables : tuple of str
        Names of environment variables that are passed on.
    program : str
        ``docker`` or ``podman``; empty: the one that is there.
    limit, wait, limits
        As `homeostat.adapters.trainers.local.LocalTrainer`; memory is the container's.
    """

    root: Path
    image: str
    clock: Clock
    arguments: tuple[str, ...] = ()
    network: str = "none"
    variables: tuple[str, ...] = ()
    program: str = ""
    limit: timedelta = timedelta(hours=1)
    wait: bool = False
    limits: Limits = field(default_factory=Limits)
    running: Running = field(default_factory=Running, init=False)

    def source(self) -> str:
        """Return the image and its arguments; only a digest in the image's name makes it exact."""
        return " ".join(("container", self.image, *self.arguments))

    def job(self, request: StartTraining, folder: Path) -> Job:
        """Run the container in the foreground, under a name by which it can be ended."""
        program = find_program(self.program)
        name = container_name(request.run_id)
        folder = folder.resolve()
        (folder / ARTIFACT).mkdir(exist_ok=True)
        argv = [program, "run", "--rm", "--init", "--name", name, "--network", self.network]
        argv += ["--user", f"{os.getuid()}:{os.getgid()}", "--workdir", str(INSIDE / ARTIFACT)]
        if self.limits.memory:
            argv += ["--memory", str(self.limits.memory)]
        for part, mode in ((ROWS, "ro"), (REQUEST, "ro"), (ARTIFACT, "rw")):
            argv += ["--volume", f"{folder / part}:{INSIDE / part}:{mode}"]
        for key, value in self.environ(request, INSIDE).items():
            argv += ["--env", f"{key}={value}"]
        for variable in self.variables:
            argv += ["--env", variable]
        job = self.limited([*argv, self.image, *self.arguments], {})
        # The limit on memory is the container's, not that of the program that starts it.
        # That program is no training: it may need any variable to find its daemon.
        return {**job, "inherit": ["*"], "memory": 0, "stop": [program, "kill", name]}


def container_name(run_id: str) -> str:
    """Return the name of a run's container.

    Examples
    --------
    >>> container_name("fraud-0004")
    'homeostat-fraud-0004'
    """
    return f"homeostat-{re.sub('[^A-Za-z0-9_.-]', '_', run_id)}"


def find_program(wanted: str = "") -> str:
    """Return the path of the container program; raises TrainingError if it is not there."""
    names = (wanted,) if wanted else PROGRAMS
    found = next((path for name in names if (path := shutil.which(name))), "")
    if not found:
        raise TrainingError(f"there is no {' and no '.join(names)} on this machine; {REMEDY}")
    return found
