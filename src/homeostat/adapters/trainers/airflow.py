"""Trains in Airflow: a run of ours is a run of a DAG, by the same id."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from homeostat.adapters.trainers.airflow_api import AirflowApi
from homeostat.adapters.trainers.remote import Followed, Look, RemoteTrainer
from homeostat.domain.clock import Clock


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
class AirflowTrainer(RemoteTrainer):
    """Implements `homeostat.engine.ports.Trainer` by runs of one DAG.

    The run's ``conf`` says ``folder``, ``run_id``, ``model`` and ``parent``.

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
    wait : bool
        Whether `poll` waits for the run's end.
    """

    api: AirflowApi
    dag: str
    root: Path
    clock: Clock
    function: str = ""
    limit: timedelta = timedelta(hours=6)
    wait: bool = False
    followed: Followed = field(default_factory=Followed, init=False)

    def source(self) -> str:
        """Return the DAG, and the function if it is told one."""
        place = f"airflow {urlsplit(self.api.url).hostname} dag {self.dag}"
        return f"{place} {self.function}" if self.function else place

    def begin(self, run_id: str, told: dict[str, object]) -> None:
        """Start a run of the DAG."""
        self.api.start(self.dag, dag_run_id(run_id), told)

    def look(self, run_id: str) -> Look:
        """Return the DAG run's state; one that Airflow does not know has failed."""
        state = self.api.state(self.dag, dag_run_id(run_id))
        if not state:
            return Look("failed", problem="airflow knows the DAG run no more")
        return Look(state, problem="the DAG run failed")

    def stop(self, run_id: str) -> None:
        """Mark the DAG run as failed, which ends its tasks."""
        self.api.fail(self.dag, dag_run_id(run_id))
