"""Several gateway processes on one port, and the process that keeps them running."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from homeostat.domain.clock import Clock
from homeostat.entrypoints.gateway.line import Ear, Line, Word

logger = logging.getLogger(__name__)

LOOK = 0.05  # seconds between two looks at the workers
FORGOTTEN = 60.0  # seconds after which a death no longer makes the next start wait
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
MISTAKE = 2  # exit code of a process whose configuration is wrong: starting again does not help
SETTINGS = "homeostat.yaml"
LAST_WORDS = 15.0  # seconds for what was answered to reach the log


def pause(deaths: Sequence[float], now: float) -> float:
    """Return how long to wait before a worker is started again.

    Parameters
    ----------
    deaths : sequence of float
        When it died, in seconds; the last one is the newest.
    now : float

    Examples
    --------
    >>> [pause([100.0 - n for n in range(count)], 100.0) for count in (1, 2, 3, 20)]
    [0.0, 0.5, 1.0, 30.0]
    >>> pause([10.0, 100.0], 100.0)
    0.0
    """
    recent = sum(death > now - FORGOTTEN for death in deaths)
    return min(FIRST_PAUSE * 2.0 ** min(recent - 2, 30), LONGEST_PAUSE) if recent > 1 else 0.0


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker is given: its number, a socket, a line and a folder.

    Attributes
    ----------
    number : int
    descriptor : int
        Of the listening socket.
    lifeline : int
        Of the line to the process that started the worker.
    folder : str
        Where workers leave their metrics for each other, and the configuration is kept.
    """

    number: int
    descriptor: int
    lifeline: int
    folder: str

    def __str__(self) -> str:
        return f"{self.number}:{self.descriptor}:{self.lifeline}:{self.folder}"

    @classmethod
    def read(cls, text: str) -> Place:
        """Read what `str` wrote.

        Examples
        --------
        >>> Place.read(str(Place(1, 5, 7, "a:b")))
        Place(number=1, descriptor=5, lifeline=7, folder='a:b')
        """
        number, descriptor, lifeline, folder = text.split(":", 3)
        return cls(int(number), int(descriptor), int(lifeline), folder)

    def listening(self) -> socket.socket:
        """Return the socket."""
        return socket.socket(fileno=self.descriptor)

    @property
    def settings(self) -> Path:
        """A copy of the configuration, as it was when the gateway started."""
        return Path(self.folder) / SETTINGS

    def tie(self) -> Ear:
        """Have this process obey the one that started it, and stop when that one is gone."""
        return Ear(Line(socket.socket(fileno=self.lifeline)))


def sockets(host: str, port: int, count: int, backlog: int) -> list[socket.socket]:
    """Return listening sockets that share a port, over which the system spreads connections.

    Raises
    ------
    OSError
        If the address cannot be used.
    """
    made: list[socket.socket] = []
    try:
        for _ in range(count):
            made.append(_shared(host, made[0].getsockname()[1] if made else port, backlog))
    except OSError:
        for bound in made:
            bound.close()
        raise
    return made


def reserved(host: str, port: int) -> socket.socket:
    """Return a socket that keeps a port for processes of this user, and takes no connections.

    Raises
    ------
    OSError
        If the address cannot be used.
    """
    return _shared(host, port, None)


def _shared(host: str, port: int, backlog: int | None) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
        if backlog is not None:
            bound.listen(backlog)
    except OSError:
        bound.close()
        raise
    return bound


@dataclass
class _Worker:
    number: int
    bound: socket.socket | None
    process: subprocess.Popen[bytes] | None = None
    line: Line | None = None
    serving: bool = False
    renew: bool = False  # once it serves
    due: float = 0.0
    deaths: list[float] = field(default_factory=list)
    others: set[int] = field(default_factory=set)  # for whom it stands in


class Supervisor:
    """Starts workers, starts those again that die, and passes signals on.

    It holds a copy of each worker's socket. The workers that serve take the connections of those
    that do not: nothing waits for a start. Where none serves, connections wait; but a worker that
    dies again and again gives its socket up until it runs, and they are refused.

    A mistake (exit code 2) ends all, unless a worker has served already: then it is a death like
    another.

    Parameters
    ----------
    bound : sequence of socket
        One for each worker.
    command : callable
        Returns the command of a worker, from its place.
    clock : Clock
    folder : Path
    patience : float
        Seconds from SIGTERM until workers that have not ended are killed.
    backlog : int
    on_serving : callable
        Is called once all workers serve for the first time.
    """

    def __init__(
        self,
        bound: Sequence[socket.socket],
        command: Callable[[Place], Sequence[str]],
        clock: Clock,
        folder: Path,
        patience: float,
        backlog: int,
        on_serving: Callable[[], None] = lambda: None,
    ) -> None:
        self._address: tuple[str, int] = bound[0].getsockname()[:2]
        self._workers = [_Worker(number, one) for number, one in enumerate(bound)]
        self._command, self._clock, self._folder = command, clock, folder
        self._patience, self._backlog = patience, backlog
        self._look = threading.Event()
        self._told: list[signal.Signals] = []
        self._on_serving, self._served, self._complete = on_serving, False, False

    def run(self) -> int:
        """Run until told to stop; return the worst exit code of the workers."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: self._told.append(signal.Signals(number)))
        try:
            return self._watch()
        finally:
            for worker in self._workers:
                if worker.line is not None:
                    worker.line.close()
                if worker.bound is not None:
                    worker.bound.close()

    def _watch(self) -> int:
        while True:
            stop = False
            while self._told:
                number = self._told.pop(0)
                stop = stop or number != signal.SIGHUP
                self._pass_on(number)
            if stop:
                return self._stop()
            for worker in self._workers:
                self._listen(worker)
                self._tend(worker)
                if worker.process is not None and worker.process.returncode == MISTAKE:
                    self._pass_on(signal.SIGTERM)
                    return self._stop()
            self._arrange()
            self._look.wait(LOOK)

    def _listen(self, worker: _Worker) -> None:
        while worker.line is not None and (message := worker.line.hear()) is not None:
            worker.serving = message.word is Word.SERVES
            self._served = self._served or worker.serving
            if worker.serving and worker.renew and worker.process is not None:
                worker.process.send_signal(signal.SIGHUP)
                worker.renew = False

    def _tend(self, worker: _Worker) -> None:
        now = self._clock.monotonic()
        if worker.process is not None:
            code = worker.process.poll()
            if code is None or (code == MISTAKE and not self._served):
                return
            self._bury(worker, code, now)
        if now >= worker.due:
            self._start(worker)

    def _bury(self, worker: _Worker, code: int, now: float) -> None:
        worker.process, worker.serving, worker.renew = None, False, False
        worker.others.clear()
        if worker.line is not None:
            worker.line.close()
            worker.line = None
        worker.deaths = [*(d for d in worker.deaths if d > now - FORGOTTEN), now]
        wait = pause(worker.deaths, now)
        worker.due = now + wait
        logger.error("worker %d ended with code %d, next start in %g s", worker.number, code, wait)
        if wait and worker.bound is not None and not any(each.serving for each in self._workers):
            worker.bound.close()
            worker.bound = None

    def _start(self, worker: _Worker) -> None:
        if worker.bound is None:
            worker.bound = _shared(*self._address, self._backlog)
        worker.line, end = Line.pair()
        place = Place(worker.number, worker.bound.fileno(), end.fileno(), str(self._folder))
        worker.process = subprocess.Popen(  # noqa: S603 - our own command
            self._command(place),
            pass_fds=(place.descriptor, place.lifeline),
            # Ctrl-C reaches all of a terminal's processes; workers are told once, by this one.
            start_new_session=True,
        )
        end.close()

    def _arrange(self) -> None:
        """Have those that serve stand in for those that do not."""
        absent = {
            worker.number: worker.bound
            for worker in self._workers
            if not worker.serving and worker.bound is not None
        }
        serving = [worker for worker in self._workers if worker.serving]
        for worker in serving:
            line = worker.line
            if line is None:
                continue
            for number in absent.keys() - worker.others:
                line.tell(Word.TAKE, number, absent[number])
            for number in worker.others - absent.keys():
                line.tell(Word.LEAVE, number)
            worker.others = set(absent)
        if not self._complete and len(serving) == len(self._workers):
            self._complete = True
            self._on_serving()

    def _pass_on(self, number: signal.Signals) -> None:
        for worker in self._workers:
            if worker.process is None or worker.process.poll() is not None:
                continue
            if number == signal.SIGHUP and not worker.serving:
                worker.renew = True  # it may have read its certificate, and not listen yet
            else:
                worker.process.send_signal(number)

    def _stop(self) -> int:
        """Wait for the workers, pass further signals on, and kill who takes too long."""
        for worker in self._workers:
            if worker.bound is not None:  # from now on each worker's socket is its alone
                worker.bound.close()
                worker.bound = None
        running = [worker.process for worker in self._workers if worker.process is not None]
        until = self._clock.monotonic() + self._patience + LAST_WORDS
        while any(process.poll() is None for process in running):
            while self._told:
                self._pass_on(self._told.pop(0))
            if self._clock.monotonic() > until:
                logger.error("workers do not end, and are killed")
                self._pass_on(signal.SIGKILL)
                until = float("inf")
            self._look.wait(LOOK)
        codes = [abs(process.returncode) for process in running]
        # One that was still starting ends by the signal itself.
        return max((code for code in codes if code != signal.SIGTERM), default=0)


def worker_command(
    config: Path, host: str, place: Place, grpc_port: int | None = None
) -> list[str]:
    """Return the command that runs a worker."""
    module = "homeostat.entrypoints.cli"
    arguments = ["gateway", "-c", str(config), "--host", host, "--place", str(place)]
    if grpc_port is not None:
        arguments += ["--grpc-port", str(grpc_port)]
    return [sys.executable, "-m", module, *arguments]
