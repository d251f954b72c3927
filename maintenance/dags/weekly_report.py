"""Weekly: what happened to a model in seven days, as `homeostat report weekly` tells it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import homeostat_tasks as homeostat
from airflow.sdk import DAG, dag, task


def weekly_report(model: str) -> DAG:
    """Return the DAG of one model."""

    @task(task_id="write_report", retries=3, retry_delay=timedelta(minutes=5))
    def write_report() -> str:
        now = datetime.now(timezone.utc)
        text = homeostat.Homeostat.of_environment().report("weekly", model, now)
        folder = homeostat.reports_folder()
        return homeostat.write_report(text, "weekly_report", model, now, folder)

    @dag(
        dag_id=homeostat.dag_id("weekly_report", model),
        schedule="0 7 * * 1",
        start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
        catchup=False,
        tags=["homeostat", "report"],
        doc_md=__doc__,
    )
    def steps() -> None:
        write_report()

    return steps()


for _model in homeostat.models():
    globals()[homeostat.dag_id("weekly_report", _model)] = weekly_report(_model)
