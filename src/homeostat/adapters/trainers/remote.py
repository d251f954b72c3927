"""What trainers elsewhere share: a folder that both sides see, and a service that is asked."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from homeostat.adapters.durable import folder_name
from homeostat.adapters.trainers.child import LONGEST_PROBLEM, REQUEST, RESULT, ROWS, write_json
from homeostat.adapters.trainers.results import failed, result_of
from homeostat.domain.clock import Clock
from homeostat.domain.effect import StartTraining
from homeostat.domain.errors import DeliveryError
from homeostat.domain.manifest import seed_of
from homeostat.domain.model import ModelSpec
from homeostat.domain.text import printable
from homeostat.engine.ports import Training

logger = logging.getLogger(__name__)

STARTED, OVER = "started", "over"
NEXT_LOOK = 1.0
"""Seconds between two looks of one who waits."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the service says of a run.

    ``state`` is ``success``, ``failed`` or anything else, which goes on.
    """

    state: str
    progress: float | None = None
    problem: str = ""


@dataclass
class Followed:
    """What this process knows of the runs: since when it looks at them, and what was given up."""

    since: dict[str, float] = field(default_factory=dict)
    unable: dict[str, str] = field(default_factory=dict)


class RemoteTrainer(ABC):
    """Runs elsewhere, of which each has a folder that this process and the other side share.

    It holds ``rows.parquet`` and ``request.json``; the other side writes the model to ``artifact/``
    and, last, ``result.json``, as ``python -m homeostat.adapters.trainers.child FOLDER`` does. The
    service being away fails no training and stops no tick: a start is tried again, and a run that
    cannot be looked at counts as going on, up to `limit`.
    """

    root: Path
    clock: Clock
    function: str
    limit: timedelta
    wait: bool
    followed: Followed

    @abstractmethod
    def begin(self, run_id: str, told: dict[str, object]) -> None:
        """Ask for a run; one that is there by this id stays as it is; raises DeliveryError."""

    @abstractmethod
    def look(self, run_id: str) -> Look:
        """Return what the service says; raises DeliveryError."""

    @abstractmethod
    def stop(self, run_id: str) -> None:
        """End a run that may still go; raises DeliveryError."""

    def start(self, request: StartTraining, spec: ModelSpec, rows: pa.Table) -> None:
        """Begin a run; a repeated call for a known run id does nothing.

        A refusal, or a disk that is full, is the run's outcome. Another run of the model that still
        goes is ended first: there are never two.

        Raises
        ------
        DeliveryError
            If the service is away: the effect is tried again.
        """
        folder = self._folder(request.run_id)
        if (folder / STARTED).exists() or (folder / RESULT).exists():
            return
        try:
            self._prepare(folder, request, spec, rows)
            self._end_others(request)
            self.begin(request.run_id, _told(folder, request))
            (folder / STARTED).touch()
        except OSError as error:
            self._give_up(request.run_id, f"the training cannot begin: {error}")
        except DeliveryError as error:
            if error.retry:
                raise
            self._give_up(request.run_id, f"the training cannot begin: {error}")

    def poll(self, model: str, run_id: str) -> Training:
        """Return the run's state."""
        found = self._poll(model, run_id)
        while self.wait and not found.done:
            time.sleep(NEXT_LOOK)
            found = self._poll(model, run_id)
        return found

    def cancel(self, model: str, run_id: str) -> None:
        """Stop the run at the service, if it still goes.

        Raises
        ------
        DeliveryError
            If the service is away: the effect is tried again.
        """
        folder = self._folder(run_id)
        if not (folder / STARTED).exists() or (folder / OVER).exists():
            return
        try:
            if self._look(folder, run_id).state not in {"success", "failed"}:
                self.stop(run_id)
        except DeliveryError as error:
            logger.warning("training run %s of %s is not stopped: %s", run_id, model, error)
            if error.retry:
                raise
        (folder / OVER).touch()

    def _end_others(self, request: StartTraining) -> None:
        """Stop what an earlier run left going; what it has said of its end is enough."""
        for folder in sorted(found.parent for found in self.root.glob(f"*/{STARTED}")):
            if (folder / RESULT).exists() or folder == self._folder(request.run_id):
                continue
            with contextlib.suppress(ValueError, KeyError, TypeError):
                told = json.loads((folder / REQUEST).read_text(encoding="utf-8"))["request"]
                if told["model"] == request.model:
                    self.cancel(request.model, str(told["run_id"]))

    def _poll(self, model: str, run_id: str) -> Training:
        folder = self._folder(run_id)
        unknown = "" if folder.is_dir() else f"{model} has no training run {run_id}"
        if problem := self.followed.unable.get(run_id, unknown):
            return failed(problem)
        try:
            look = self._look(folder, run_id)
        except DeliveryError as error:
            logger.warning("training run %s cannot be looked at: %s", run_id, error)
            look = Look("unknown")
        if look.state == "success":
            return result_of(folder)
        if look.state == "failed":
            told = result_of(folder).problem if (folder / RESULT).exists() else ""
            return failed(told or look.problem or "the run failed, and nothing says why")
        now = self.clock.monotonic()
        if now - self.followed.since.setdefault(run_id, now) > self.limit.total_seconds():
            with contextlib.suppress(DeliveryError):  # the run that comes next ends it
                self.cancel(model, run_id)
            return failed(f"training took longer than {self.limit}")
        return Training(done=False, progress=look.progress)

    def _look(self, folder: Path, run_id: str) -> Look:
        if not (folder / STARTED).exists():
            # Its start waits for the service, unless it was given up: then the result says why.
            return Look("failed" if (folder / RESULT).exists() else "waits")
        return self.look(run_id)

    def _folder(self, run_id: str) -> Path:
        return self.root / folder_name(run_id)

    def _prepare(
        self, folder: Path, request: StartTraining, spec: ModelSpec, rows: pa.Table
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / REQUEST).exists():
            return
        pq.write_table(rows, folder / ROWS)
        content = {
            "function": self.function,
            "spec": TypeAdapter(ModelSpec).dump_python(spec, mode="json"),
            "request": TypeAdapter(StartTraining).dump_python(request, mode="json"),
            "seed": seed_of(request.run_id),
        }
        write_json(folder / REQUEST, content)

    def _give_up(self, run_id: str, problem: str) -> None:
        told = printable(problem[:LONGEST_PROBLEM])
        self.followed.unable[run_id] = told
        with contextlib.suppress(OSError):  # a full disk: then only this process knows
            write_json(self._folder(run_id) / RESULT, {"problem": told})


def _told(folder: Path, request: StartTraining) -> dict[str, object]:
    return {
        "folder": str(folder.resolve()),
        "run_id": request.run_id,
        "model": request.model,
        "parent": request.parent,
    }
