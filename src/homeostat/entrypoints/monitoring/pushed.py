"""Sends the control plane's figures by remote write, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from homeostat.adapters.remote_write import Labels, RemoteWrite
from homeostat.domain.clock import Clock
from homeostat.domain.errors import HomeostatError
from homeostat.entrypoints.exposition import Family, Kind
from homeostat.entrypoints.http.scrape import EFFORT, Figures

logger = logging.getLogger(__name__)

ENDINGS = {Kind.COUNTER: "_total", Kind.INFO: "_info"}
LAST_WORDS = 15.0  # seconds for what is under way


def series(families: Iterable[Family], place: Mapping[str, str]) -> dict[Labels, float]:
    """Return the samples of families as remote write has them.

    Parameters
    ----------
    families : iterable of Family
    place : mapping of str to str
        Labels of all of them, such as ``job`` and ``instance``.

    Examples
    --------
    >>> from homeostat.entrypoints.exposition import Definition, Sheet
    >>> sheet = Sheet({"asked": Definition(Kind.COUNTER, ("model",), "Requests.")})
    >>> sheet.put("asked", "fraud", number=3)
    >>> series(sheet.families(), {"job": "homeostat"})
    {(('__name__', 'asked_total'), ('job', 'homeostat'), ('model', 'fraud')): 3.0}
    """
    found: dict[Labels, float] = {}
    for family in families:
        definition = family.definition
        for sample in family.samples:
            name = family.name + (sample.ending or ENDINGS.get(definition.kind, ""))
            own = dict(zip(definition.labels, sample.values, strict=True))
            labels = {"__name__": name, **place, **own}
            kept = tuple(sorted((key, value) for key, value in labels.items() if value))
            found[kept] = float(sample.number)
    return found


@dataclass
class Pusher:
    """Takes figures on schedule and sends them; what fails is logged and tried again.

    Parameters
    ----------
    figures : Figures
    writer : RemoteWrite
    clock : Clock
    every : float
        Seconds between two samples of a series; more if reading the figures takes long, of which a
        tenth of a core is spent at most.
    place : mapping of str to str
        Labels of all series.
    """

    figures: Figures
    writer: RemoteWrite
    clock: Clock
    every: float
    place: Mapping[str, str]
    _due: float = field(default=float("-inf"), init=False)
    _problem: str = field(default="", init=False)
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin to send."""
        self._thread = threading.Thread(target=self._run, name="homeostat-push", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Say that all series end, if the server listens, and stop."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(LAST_WORDS)

    def turn(self) -> float:
        """Do what is due; return the seconds until something is."""
        began = self.clock.monotonic()
        if began >= self._due:
            self._take()
            spent = self.clock.monotonic() - began
            self._due = began + max(self.every, EFFORT * spent)
        again, problem = self.writer.send()
        if again is None or problem:
            self._tell(problem)
        left = max(self._due - self.clock.monotonic(), 0.0)
        return left if again is None else min(left, again)

    def end(self) -> None:
        """Say that all series end; once, without waiting."""
        self.writer.offer({}, self.clock.now())
        _, problem = self.writer.send()
        self._tell(problem)

    def _take(self) -> None:
        try:
            found = series(self.figures.families(), self.place)
        except HomeostatError as error:
            logger.warning("figures cannot be read and are not sent: %s", error)
            return
        up = tuple(sorted({"__name__": "up", **self.place}.items()))
        self.writer.offer({up: 1.0, **found}, self.clock.now())

    def _tell(self, problem: str) -> None:
        if problem and problem != self._problem:
            logger.warning("remote write: %s", problem)
        elif self._problem and not problem:
            logger.info("remote write: samples are taken again")
        self._problem = problem

    def _run(self) -> None:
        while not self._stopped.wait(self.turn()):
            pass
        self.end()
