"""The DAGs of ``maintenance/dags`` in the real Airflow, by ``dag.test()``.

A control plane's API is served here, and beside it an engine that is quick: a training that is
asked for is accepted, and its candidate promoted, within a second. Takes about two minutes.

    python3.11 -m venv ../airflow && ../airflow/bin/pip install apache-airflow
    .venv/bin/python benchmarks/airflow_dags.py ../airflow/bin
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.commands import Inbox, inbox_key
from homeostat.engine.watch import retraining_key, rollout_key
from homeostat.entrypoints.http.api import api
from homeostat.entrypoints.http.auth import Tokens
from homeostat.retraining.run import RunState
from homeostat.retraining.run import Stage as RunStage
from homeostat.rollout.state import RolloutState, Stage

DAGS = Path(__file__).parents[1] / "maintenance" / "dags"
DAY = timedelta(days=1)
SPEC = ModelSpec(
    "fraud", Task.BINARY, Schema((Column("amount", ColumnKind.NUMERIC),)), LabelSpec(DAY),
    classes=("no", "yes"),
)  # fmt: skip
TEST = """
import sys, time
from airflow.dag_processing.dagbag import DagBag
sys.path.insert(0, {dags!r})
bag = DagBag({dags!r})
assert not bag.import_errors, bag.import_errors
began = time.monotonic()
run = bag.dags[{dag!r}].test()
states = {{ti.task_id: str(ti.state) for ti in run.get_task_instances()}}
print("RESULT", {dag!r}, run.state, round(time.monotonic() - began, 1), states)
"""


def quick_engine(records: DatabaseRecords, clock: SystemClock) -> None:
    """Accept and promote whatever is asked for."""
    while True:
        inbox = records.read(inbox_key("fraud"), Inbox)
        if inbox is not None and inbox.commands:
            with records.begin() as uow:
                uow.load(inbox_key("fraud"), Inbox)
                uow.save(inbox_key("fraud"), Inbox())
                run = uow.load(retraining_key("fraud"), RunState) or RunState("fraud")
                done = replace(
                    run, number=run.number + 1, stage=RunStage.ACCEPTED, candidate="2",
                    requested_at=clock.now(), reason="better on the hold-out",
                )  # fmt: skip
                uow.save(retraining_key("fraud"), done)
                uow.load(rollout_key("fraud"), RolloutState)
                uow.save(rollout_key("fraud"), RolloutState("fraud", Stage.CHAMPION, "2", ("1",)))
        threading.Event().wait(0.1)


def serve(folder: Path) -> tuple[str, DatabaseRecords, SystemClock]:
    clock = SystemClock()
    records = DatabaseRecords(f"sqlite:///{folder}/records.db", clock)
    log = FilePredictionLog(folder / "log", records)
    with records.begin() as uow:
        uow.save(rollout_key("fraud"), RolloutState("fraud", Stage.CHAMPION, "1"))
    app = Starlette(routes=api(records, log, [SPEC], clock, Tokens(records)))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, ws="none"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        threading.Event().wait(0.05)
    threading.Thread(target=quick_engine, args=(records, clock), daemon=True).start()
    port = server.servers[0].sockets[0].getsockname()[1]
    return f"http://127.0.0.1:{port}", records, clock


def drift(records: DatabaseRecords, clock: SystemClock) -> None:
    window = Window(clock.now() - DAY / 2, clock.now())
    nan = float("nan")
    with records.begin() as uow:
        uow.judge(
            Verdict(
                monitor=Monitor.DATA_DRIFT,
                model="fraud",
                subject="amount",
                window=window,
                status=Status.DRIFT,
                score=0.5,
                effect_threshold=0.1,
                evidence=99.0,
                evidence_threshold=90.0,
                p_value=nan,
                n_reference=1000,
                n_current=1000,
                reason="amount has shifted",
            )
        )


def main(airflow: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url, records, clock = serve(folder)
        environ = os.environ | {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "HOMEOSTAT_URL": url,
            "HOMEOSTAT_MODELS": "fraud",
            "HOMEOSTAT_REPORTS": str(folder / "reports"),
        }
        for step in (("db", "migrate"), ("dags", "reserialize")):
            subprocess.run(
                [airflow / "airflow", *step], env=environ, check=True, capture_output=True
            )

        def test(kind: str) -> None:
            code = TEST.format(dags=str(DAGS), dag=f"homeostat_{kind}.fraud")
            done = subprocess.run(
                [airflow / "python", "-c", code], env=environ, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            told = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
            print("\n".join(told) or done.stdout[-3000:] + done.stderr[-3000:], flush=True)

        test("continuous_training")
        drift(records, clock)
        test("continuous_training")
        for kind in ("weekly_accuracy", "weekly_report", "monthly_report"):
            test(kind)
        for report in sorted((folder / "reports").iterdir()):
            print(report.name, len(report.read_text()), "characters")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
