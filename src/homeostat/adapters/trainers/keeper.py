"""Keeps one training: starts its command, holds it to its limits, and says how it ended.

It is run by its path, with the run's folder, and imports nothing but the standard library: it costs
a few megabytes beside the training, and it goes on while the control plane is away. What it is to
do is in ``job.json``. It writes ``result.json`` last, unless the training wrote one itself.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import re
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypedDict

JOB, RESULT, PID, PROGRESS, SPARE = "job.json", "result.json", "pid", "progress", ".spare"
LOG, OLDER_LOG, ARTIFACT, TEMPORARY = "log.txt", "log.1.txt", "artifact", "tmp"
LOOK = 0.2
"""Seconds between two looks at the limits, or nine times as long as a look takes."""
SPARE_BYTES = 65536
KILLED = 5.0
"""Seconds that a killed process may take to end: one that waits for a dead disk never does."""
LONGEST_LINE = 500
PIECE = 65536
SAID = re.compile(rb"^progress:\s*([0-9.]{1,20})\s*(%?)\s*$")
MEASURED = re.compile(rb"^metric:\s*([A-Za-z_][\w.-]{0,63})\s*[= ]\s*(\S{1,40})\s*$")


class Job(TypedDict):
    """What is to be run, and its limits; 0: none."""

    argv: list[str]
    folder: str
    """In which the command runs; empty: that of the control plane."""
    environ: dict[str, str]
    """Added to the environment."""
    inherit: list[str]
    """Names, or patterns of names, of the variables of the control plane that are passed on."""
    reports: bool
    """Whether the training writes ``result.json`` itself."""
    stop: list[str]
    """What ends a training that is no process of this machine; empty: none is needed."""
    seconds: float
    memory: int
    disk: int
    free: int
    """Bytes that must stay free on the disk."""
    log: int


@dataclass
class Keeper:
    """One training's keeper.

    Parameters
    ----------
    folder : Path
        The run's.
    job : Job
    lock : tuple of int
        Files that the training keeps open, so that whoever finds the folder knows that it goes on.
    """

    folder: Path
    job: Job
    lock: tuple[int, ...] = ()
    metrics: dict[str, float] = field(default_factory=dict)
    _line: bytes = b""
    _last: bytes = b""
    _progress: float = -1.0
    _told: float = -1.0
    _logged: int = 0

    def run(self) -> str:
        """Run the command to its end, or to a limit; return what went wrong."""
        (self.folder / SPARE).write_bytes(b"\0" * SPARE_BYTES)
        (self.folder / ARTIFACT).mkdir(exist_ok=True)
        (self.folder / TEMPORARY).mkdir(exist_ok=True)
        try:
            child = self._start()
        except (OSError, subprocess.SubprocessError) as error:
            return f"the training cannot begin: {error}"
        try:
            broken = self._follow(child)
        finally:
            if child.poll() is None:
                child.kill()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(KILLED)
            if child.stdout is not None:
                child.stdout.close()
        return broken or self._ending(child.wait())

    def tell(self, problem: str) -> None:
        """Write the result, also where the training has filled the disk."""
        (self.folder / SPARE).unlink(missing_ok=True)
        shutil.rmtree(self.folder / TEMPORARY, ignore_errors=True)
        if problem:
            shutil.rmtree(self.folder / ARTIFACT, ignore_errors=True)
        elif (self.folder / RESULT).exists():
            return
        result = {"problem": problem} if problem else {"metrics": self.metrics}
        part = self.folder / f"{RESULT}.part"
        part.write_text(json.dumps(result))
        part.replace(self.folder / RESULT)

    def _start(self) -> subprocess.Popen[bytes]:
        job, folder = self.job, self.folder
        environ = {**passed_on(job["inherit"]), "TMPDIR": str(folder / TEMPORARY), **job["environ"]}
        return subprocess.Popen(  # noqa: S603 - what the owner configured
            job["argv"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=job["folder"] or None,
            env=environ,
            pass_fds=self.lock,
            preexec_fn=self._limit,  # noqa: PLW1509 - the keeper has one thread
        )

    def _limit(self) -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if self.job["memory"]:
            resource.setrlimit(resource.RLIMIT_AS, (self.job["memory"],) * 2)
        if self.job["disk"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.job["disk"],) * 2)

    def _follow(self, child: subprocess.Popen[bytes]) -> str:
        """Take what the training prints until it ends; return the limit that it broke, if any."""
        assert child.stdout is not None
        ends = time.monotonic() + self.job["seconds"]
        look = 0.0
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while True:
                heard = b""
                if selector.get_map():
                    if selector.select(LOOK):
                        heard = os.read(child.stdout.fileno(), PIECE)
                        self._hear(heard)
                        if not heard:
                            selector.unregister(child.stdout)
                else:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.wait(LOOK)
                now = time.monotonic()
                if now >= look:
                    if broken := self._broken(now > ends):
                        return broken
                    look = time.monotonic() + max(LOOK, 9 * (time.monotonic() - now))
                if not heard and child.poll() is not None:
                    return ""

    def _broken(self, late: bool) -> str:  # noqa: FBT001
        self._show()
        job = self.job
        if late:
            return f"training took longer than {timedelta(seconds=job['seconds'])}"
        if job["disk"] and (used := size(self.folder)) > job["disk"]:
            return f"the training filled {_mb(used)} of disk; the limit is {_mb(job['disk'])}"
        if job["free"] and (left := shutil.disk_usage(self.folder).free) < job["free"]:
            return f"the training left {_mb(left)} free on the disk; {_mb(job['free'])} must stay"
        return ""

    def _hear(self, heard: bytes) -> None:
        """Write to the log, which never grows past its limit, and listen for progress."""
        with contextlib.suppress(OSError):  # a full disk: the training will be told
            half = max(self.job["log"] // 2, 1)
            for at in range(0, len(heard), half):
                self._write(heard[at : at + half], half)
        *lines, self._line = (self._line + heard).split(b"\n")
        self._line = self._line[-PIECE:]
        for line in lines:
            self._listen(line.strip())

    def _write(self, piece: bytes, half: int) -> None:
        if self._logged + len(piece) > half:
            (self.folder / LOG).replace(self.folder / OLDER_LOG)
            self._logged = 0
        with (self.folder / LOG).open("ab") as log:
            log.write(piece)
        self._logged += len(piece)

    def _listen(self, line: bytes) -> None:
        self._last = line or self._last
        if found := SAID.match(line):
            with contextlib.suppress(ValueError):
                value = float(found[1]) / (100.0 if found[2] else 1.0)
                self._progress = min(max(value, 0.0), 1.0)
        elif found := MEASURED.match(line):
            with contextlib.suppress(ValueError):
                self.metrics[found[1].decode()] = float(found[2])

    def _show(self) -> None:
        if self._progress == self._told:
            return
        part = self.folder / f"{PROGRESS}.part"
        with contextlib.suppress(OSError):
            part.write_text(f"{self._progress:.4f}")
            part.replace(self.folder / PROGRESS)
            self._told = self._progress

    def _ending(self, code: int) -> str:
        self._show()
        self._listen(self._line.strip())
        if (self.folder / RESULT).exists():
            return ""
        if code < 0:
            return self._with_last_words(_killed(signal.Signals(-code)))
        if self.job["reports"]:
            told = f"the training process ended with exit code {code} and without a result"
            return self._with_last_words(told)
        if code:
            return self._with_last_words(f"the training command ended with exit code {code}")
        if not any((self.folder / ARTIFACT).iterdir()):
            told = "the training command wrote nothing into the folder HOMEOSTAT_ARTIFACT"
            return self._with_last_words(told)
        return ""

    def _with_last_words(self, told: str) -> str:
        last = self._last[-LONGEST_LINE:].decode(errors="replace")
        return f"{told}: {last}" if last else told


def size(folder: Path) -> int:
    """Return the bytes that the files of a folder take on the disk."""
    return sum(found.st_blocks * 512 for found in _stats(folder))


def _stats(folder: Path) -> Iterator[os.stat_result]:
    for root, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # it has gone meanwhile
                yield os.lstat(os.path.join(root, name))  # noqa: PTH118 - there may be very many


def passed_on(patterns: list[str]) -> dict[str, str]:
    """Return the variables of this process whose names are among `patterns`."""
    found = os.environ.items()
    return {name: v for name, v in found if any(fnmatch.fnmatchcase(name, p) for p in patterns)}


def start_time(pid: int) -> str:
    """Return when a process began, in the kernel's ticks; empty if it is gone or not known here.

    Together with its number that names a process: numbers are given again.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def _killed(by: signal.Signals) -> str:
    told = f"the training process was ended by {by.name}"
    if by is signal.SIGXFSZ:
        told += ": it wrote a file that is larger than its disk limit"
    return told


def _mb(count: int) -> str:
    return f"{count / 1e6:.0f} MB"


def keep(folder: Path, lock: tuple[int, ...], end: Callable[[list[str]], None]) -> None:
    """Do the job in a run's folder, and end what is left of it."""
    (folder / PID).write_text(f"{os.getpid()} {start_time(os.getpid())}")
    job: Job = json.loads((folder / JOB).read_text())
    keeper = Keeper(folder, job, lock)
    try:
        problem = keeper.run()
    except OSError as error:
        problem = f"the training cannot go on: {error}"
    keeper.tell(problem)
    end(job["stop"])


def end_all(stop: list[str]) -> None:
    """End the process group, which is the keeper's own, whatever the training left in it."""
    if stop:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(stop, capture_output=True, timeout=30, check=False)  # noqa: S603
    os.killpg(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    keep(Path(sys.argv[1]), tuple(int(fd) for fd in sys.argv[2:]), end_all)
