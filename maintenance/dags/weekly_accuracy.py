"""Weekly: how good was the model on labels that are complete? Fails if it became worse."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import homeostat_tasks as homeostat
from airflow.sdk import DAG, dag, task


def weekly_accuracy(model: str) -> DAG:
    """Return the DAG of one model."""

    @task(task_id="measure", retries=3, retry_delay=timedelta(minutes=5))
    def measure() -> dict[str, Any]:
        start, end = homeostat.last(7, datetime.now(timezone.utc))
        return homeostat.accuracy(homeostat.Homeostat.of_environment(), model, start, end)

    @task(task_id="must_be_well")
    def must_be_well(found: dict[str, Any]) -> None:
        homeostat.must_be_well(model, found)

    @dag(
        dag_id=homeostat.dag_id("weekly_accuracy", model),
        schedule="0 6 * * 1",
        start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
        catchup=False,
        tags=["homeostat", "accuracy"],
        doc_md=__doc__,
    )
    def steps() -> None:
        must_be_well(measure())

    return steps()


for _model in homeostat.models():
    globals()[homeostat.dag_id("weekly_accuracy", _model)] = weekly_accuracy(_model)
