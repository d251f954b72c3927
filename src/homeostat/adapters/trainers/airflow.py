"""Trains in Airflow: a run of ours is a run of a DAG, by the same id."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from homeostat.adapters.durable import folder_name
from homeostat.adapters.models.loading import FILES, flavour_of
from homeostat.adapters.trainers.airflow_api import AirflowApi
from homeostat.adapters.trainers.child import ARTIFACT, REQUEST, RESULT, ROWS, write_json
from homeostat.domain.clock import Clock
from homeostat.domain.effect import StartTraining
from homeostat.domain.errors import DeliveryError
from homeostat.domain.model import ModelSpec
from homeostat.domain.text import printable
from homeostat.engine.ports import Training

logger = logging.getLogger(__name__)

STARTED = "started"
LONGEST_PROBLEM = 2000


def dag_run_id(run_id: str) -> str:
    """Return a run's id in Airflow: ours, where Airflow takes every character of it.

    Different ids stay different.

    Examples
    --------
    >>> dag_run_id("fraud-0004"), dag_run_id("fraud eu-0004")
    ('fraud-0004', 'fraud~20eu-0004')
    """
    return re.sub(
        "[^A-Za-z0-9_.:+-]", lambda m: "".join(f"~{b:02x}" for b in m[0].encode()), run_id
    )


@dataclass
class AirflowTrainer:
    """Implements `homeostat.engine.ports.Trainer` by runs of one DAG.

    Each run has a folder that this process and Airflow's workers share. It holds ``rows.parquet``
    and ``request.json``; the DAG writes the model to ``artifact/`` and, last, ``result.json``, as
    ``python -m homeostat.adapters.trainers.child FOLDER`` does. The run's ``conf`` says ``folder``,
    ``run_id``, ``model`` and ``parent``.

    Airflow being away fails no training and stops no tick: a start is tried again, and a run that
    cannot be looked at counts as going on, up to `limit`.

    Parameters
    ----------
    api : AirflowApi
    dag : str
    root : Path
        The shared folder.
    clock : Clock
        For the time limit.
    function : str
        ``path/to/file.py:name`` as the workers see it; empty if the DAG trains by itself.
    limit : timedelta
        From the first look at a run, after which it is stopped and reported as failed.
    """

    api: AirflowApi
    dag: str
    root: Path
    clock: Clock
    function: str = ""
    limit: timedelta = timedelta(hours=6)
    _since: dict[str, float] = field(default_factory=dict, init=False)
    _unable: dict[str, str] = field(default_factory=dict, init=False)

    def start(self, request: StartTraining, spec: ModelSpec, rows: pa.Table) -> None:
        """Begin a run; a repeated call for a known run id does nothing.

        A refusal, or a disk that is full, is the run's outcome.

        Raises
        ------
        DeliveryError
            If Airflow is away: the effect is tried again.
        """
        folder = self._folder(request.run_id)
        if (folder / STARTED).exists() or (folder / RESULT).exists():
            return
        try:
            self._prepare(folder, request, spec, rows)
            self.api.start(self.dag, dag_run_id(request.run_id), self._conf(folder, request))
            (folder / STARTED).touch()
        except OSError as error:
            self._give_up(request.run_id, f"the training cannot begin: {error}")
        except DeliveryError as error:
            if error.retry:
                raise
            self._give_up(request.run_id, f"the training cannot begin: {error}")

    def poll(self, model: str, run_id: str) -> Training:
        """Return the run's state."""
        folder = self._folder(run_id)
        unknown = "" if folder.is_dir() else f"{model} has no training run {run_id}"
        if problem := self._unable.get(run_id, unknown):
            return Training(done=True, problem=problem)
        try:
            state = self._state(folder, run_id)
        except DeliveryError as error:
            logger.warning("training run %s cannot be looked at: %s", run_id, error)
            state = "unknown"
        if state == "success":
            return _result(folder)
        if state == "failed":
            found = _result(folder)
            return Training(done=True, problem=found.problem or "the DAG run failed")
        now = self.clock.monotonic()
        if now - self._since.setdefault(run_id, now) > self.limit.total_seconds():
            self.cancel(model, run_id)
            return Training(done=True, problem=f"training took longer than {self.limit}")
        return Training(done=False)

    def cancel(self, model: str, run_id: str) -> None:
        """Mark the run as failed in Airflow, if it still goes."""
        folder = self._folder(run_id)
        if not (folder / STARTED).exists():
            return
        try:
            if self._state(folder, run_id) not in {"success", "failed"}:
                self.api.fail(self.dag, dag_run_id(run_id))
        except DeliveryError as error:
            logger.warning("training run %s of %s is not stopped: %s", run_id, model, error)

    def _state(self, folder: Path, run_id: str) -> str:
        if not (folder / STARTED).exists():
            # Its start waits for Airflow, unless it was given up: then the result says why.
            return "failed" if (folder / RESULT).exists() else "waits"
        return self.api.state(self.dag, dag_run_id(run_id)) or "failed"

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
        }
        write_json(folder / REQUEST, content)

    def _conf(self, folder: Path, request: StartTraining) -> dict[str, object]:
        return {
            "folder": str(folder.resolve()),
            "run_id": request.run_id,
            "model": request.model,
            "parent": request.parent,
        }

    def _give_up(self, run_id: str, problem: str) -> None:
        told = printable(problem[:LONGEST_PROBLEM])
        self._unable[run_id] = told
        with contextlib.suppress(OSError):  # a full disk: then only this process knows
            write_json(self._folder(run_id) / RESULT, {"problem": told})


def _result(folder: Path) -> Training:
    """Read what the DAG wrote; nothing in it is trusted."""
    try:
        found: object = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Training(done=True, problem="the DAG run ended without a result.json")
    except (OSError, ValueError) as error:
        return Training(done=True, problem=f"the result of the training is unreadable: {error}")
    result = found if isinstance(found, dict) else {"problem": "result.json is no object"}
    if "problem" in result:
        return Training(done=True, problem=printable(str(result["problem"])[:LONGEST_PROBLEM]))
    flavour = flavour_of(folder / ARTIFACT)
    if not flavour:
        known = ", ".join(f"{name} ({kind})" for name, kind in FILES.items())
        problem = f"the artifact is of no known kind: it needs one of {known}"
        return Training(done=True, problem=problem)
    metrics = result.get("metrics")
    numbers = metrics.items() if isinstance(metrics, dict) else ()
    return Training(
        done=True,
        artifact=folder / ARTIFACT,
        flavour=flavour,
        metrics=tuple(
            sorted(
                (str(name), float(value))
                for name, value in numbers
                if isinstance(value, int | float) and math.isfinite(value)
            )
        ),
    )
