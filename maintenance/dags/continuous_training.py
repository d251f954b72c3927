"""Daily: has the model's world changed? If so: train, shadow, promote; else skip.

Every gate is the engine's: a run is refused while a data fault lasts, a candidate that is not
better is rejected, and a challenger is promoted on evidence, or by a person where that is asked.
The sensors free their slot between two looks, for a rollout takes days.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import homeostat_tasks as homeostat
from airflow.sdk import DAG, PokeReturnValue, dag, task
from airflow.sdk.exceptions import AirflowSkipException

LOOK_BACK = timedelta(days=1)
EVERY = 300.0  # seconds between two looks
LONGEST_RUN = 12 * 3600.0
LONGEST_ROLLOUT = 61 * 86_400.0  # the engine aborts one without proof after rollout.patience
PATIENT = {"retries": 3, "retry_delay": timedelta(minutes=5)}
WAITING = {"mode": "reschedule", "poke_interval": EVERY, **PATIENT}


@task(**PATIENT)
def check_drift(model: str) -> dict[str, Any]:
    """Look at the verdicts of the last day."""
    since = datetime.now(timezone.utc) - LOOK_BACK
    return homeostat.check_drift(homeostat.Homeostat.of_environment(), model, since)


@task.branch
def is_training_needed(checked: dict[str, Any]) -> str:
    """Choose between training and leaving it alone."""
    return "train" if checked["train"] else "nothing_to_do"


@task
def nothing_to_do(checked: dict[str, Any]) -> str:
    """Say why not."""
    return str(checked["why"])


@task(**PATIENT)
def train(model: str, checked: dict[str, Any]) -> dict[str, Any]:
    """Ask for a training."""
    return homeostat.train(homeostat.Homeostat.of_environment(), model, checked)


@task.sensor(timeout=LONGEST_RUN, **WAITING)
def trained(model: str, asked: dict[str, Any]) -> PokeReturnValue:
    """Wait for the run's end."""
    found = homeostat.trained(homeostat.Homeostat.of_environment(), model, asked)
    return PokeReturnValue(is_done=found is not None, xcom_value=found)


@task.branch
def is_candidate_accepted(ended: dict[str, Any]) -> str:
    """Choose between the rollout and the champion that stays."""
    return "shadow" if ended["accepted"] else "champion_stays"


@task
def champion_stays(ended: dict[str, Any]) -> str:
    """Say why."""
    return str(ended["why"])


@task.sensor(timeout=LONGEST_ROLLOUT, **WAITING)
def shadow(model: str, ended: dict[str, Any]) -> PokeReturnValue:
    """Wait until the candidate has passed its shadow."""
    found = homeostat.shadowed(homeostat.Homeostat.of_environment(), model, ended["candidate"])
    if found == "aborted":
        raise AirflowSkipException(f"version {ended['candidate']} did not pass its shadow")
    return PokeReturnValue(is_done=found is not None, xcom_value=found)


@task.sensor(timeout=LONGEST_ROLLOUT, **WAITING)
def promote(model: str, ended: dict[str, Any]) -> PokeReturnValue:
    """Wait until the candidate is champion."""
    found = homeostat.promoted(homeostat.Homeostat.of_environment(), model, ended["candidate"])
    if found is False:
        raise AirflowSkipException(f"version {ended['candidate']} did not become champion")
    return PokeReturnValue(is_done=found is not None, xcom_value=ended["candidate"])


def continuous_training(model: str) -> DAG:
    """Return the DAG of one model."""

    @dag(
        dag_id=homeostat.dag_id("continuous_training", model),
        schedule="@daily",
        start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
        catchup=False,
        max_active_runs=1,
        tags=["homeostat", "training"],
        doc_md=__doc__,
    )
    def steps() -> None:
        checked = check_drift(model)
        asked = train(model, checked)
        _ = is_training_needed(checked) >> [asked, nothing_to_do(checked)]
        ended = trained(model, asked)
        shadowing = shadow(model, ended)
        _ = is_candidate_accepted(ended) >> [shadowing, champion_stays(ended)]
        _ = shadowing >> promote(model, ended)

    return steps()


for _model in homeostat.models():
    globals()[homeostat.dag_id("continuous_training", _model)] = continuous_training(_model)
