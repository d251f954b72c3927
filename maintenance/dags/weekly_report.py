"""Weekly: accuracy, incidents and decisions of the last seven days, as Markdown."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import homeostat_tasks as homeostat
from airflow.sdk import DAG, dag, task


def weekly_report(model: str) -> DAG:
    """Return the DAG of one model."""

    @task(task_id="write_report", retries=3, retry_delay=timedelta(minutes=5))
    def write_report() -> str:
        now = datetime.now(timezone.utc)
        start, end = homeostat.last(7, now)
        text = homeostat.report(homeostat.Homeostat.of_environment(), model, start, end)
        folder = homeostat.reports_folder()
        return homeostat.write_report(text, "weekly_report", model, end, folder)

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
