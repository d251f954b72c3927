"""The metrics of several gateway processes as if they were one."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from homeostat.entrypoints.exposition import EXEMPLAR

logger = logging.getLogger(__name__)

EVERY = 1.0
DEAD = 0


def merge(living: Iterable[str], dead: Iterable[str] = ()) -> str:
    r"""Add samples of the same name and labels up; of exemplars the newest stays.

    Parameters
    ----------
    living, dead : iterable of str
        Texts in the Prometheus format. Of processes that have ended counters and histograms still
        count, gauges do not.

    Examples
    --------
    >>> one = '# TYPE asked_total counter\nasked_total{model="m"} 3\n'
    >>> busy = '# TYPE busy gauge\nbusy{model="m"} 1\n'
    >>> print(merge([one + busy, one], [one + busy]), end="")
    # TYPE asked_total counter
    asked_total{model="m"} 9
    # TYPE busy gauge
    busy{model="m"} 1
    """
    families: dict[str, dict[str, float]] = {}
    exemplars: dict[str, str] = {}
    for texts, ended in ((living, False), (dead, True)):
        for text in texts:
            samples: dict[str, float] = {}
            passed = False
            for line in text.splitlines():
                if line.startswith("# TYPE "):
                    passed = ended and line.endswith(" gauge")
                    samples = families.setdefault(line, {})
                elif not passed:
                    sample, mark, exemplar = line.partition(EXEMPLAR)
                    name, _, number = sample.rpartition(" ")
                    if mark:
                        exemplars[name] = max(exemplars.get(name, ""), mark + exemplar, key=_when)
                    samples[name] = samples.get(name, 0) + _number(number)
    lines = [
        line
        for kind, samples in families.items()
        for line in (
            kind,
            *(f"{name} {number}{exemplars.get(name, '')}" for name, number in samples.items()),
        )
    ]
    return "\n".join(lines) + "\n"


def _when(exemplar: str) -> float:
    return float(exemplar.rpartition(" ")[2] or "-inf")


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)


@dataclass
class Figures:
    """Each process's metrics in a folder that they share, written once a second.

    Whichever is asked adds up what the others wrote last. What processes counted that have ended
    stays counted.

    Parameters
    ----------
    folder : Path
    number : int
        Of this process among them; the one that follows a dead one has its number.
    own : callable
        Returns this process's metrics.
    """

    folder: Path
    number: int
    own: Callable[[], str]
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)

    def start(self) -> None:
        """Begin to write."""
        self._bury()
        threading.Thread(target=self._write, daemon=True).start()

    def stop(self) -> None:
        """Write for the last time."""
        self._stopped.set()
        self._publish()

    def text(self) -> str:
        """Return the metrics of all processes."""
        living, dead = [self.own()], list[str]()
        for path in self._others():
            _, _, pid = path.name.split("-")
            text = _read(path)
            (living if _lives(int(pid)) else dead).append(text)
        return merge(living, dead)

    def _others(self) -> list[Path]:
        mine = f"figures-{self.number}-{os.getpid()}"
        found = sorted(self.folder.glob("figures-*-*"))
        return [path for path in found if path.name != mine and not path.suffix]

    def _bury(self) -> None:
        """Join what this process's predecessors left, so that there is one file of them."""
        old = sorted(self.folder.glob(f"figures-{self.number}-*"))
        if old:
            self._store(DEAD, merge([], [_read(path) for path in old if not path.suffix]))
        for path in old:
            if not path.name.endswith(f"-{DEAD}"):
                path.unlink(missing_ok=True)

    def _write(self) -> None:
        while True:
            self._publish()
            if self._stopped.wait(EVERY):
                return

    def _publish(self) -> None:
        try:
            self._store(os.getpid(), self.own())
        except OSError as error:
            logger.warning("metrics are not shared between the workers: %s", error)

    def _store(self, pid: int, text: str) -> None:
        path = self.folder / f"figures-{self.number}-{pid}"
        making = path.with_suffix(f".{threading.get_ident()}")
        making.write_text(text, encoding="utf-8")
        making.replace(path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:  # its process has just been followed by another
        return ""


def _lives(pid: int) -> bool:
    if pid == DEAD:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
