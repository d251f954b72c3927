"""A deployment of two models, and what was recorded of one of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from homeostat.domain.decision import Decision, Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.record import prediction_schema
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Settled
from homeostat.entrypoints.reports import Reports
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.settings.plan import model_plan
from homeostat.rollout.state import RolloutState, Stage
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes.log import MemoryLog
from homeostat.simulation.fakes.models import MemoryRegistry
from homeostat.simulation.fakes.records import MemoryRecords

NOW = datetime(2024, 3, 13, 12, 30, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
CONFIG = """\
models:
  - name: fraud
    task: binary
    classes: [no, yes]
    features: {amount: numeric, age: {kind: numeric, personal: true}}
    labels: {maturity: 1d}
    business: {saved: {value: "sum(amount if label == 1 else 0)"}}
  - name: churn
    task: regression
    features: {amount: numeric}
    labels: {maturity: 30d}
receivers:
  post: {type: mail, host: localhost, port: 1, sender: a@example.org, to: [b@example.org]}
  term: {type: console}
"""


def planned(here: Path) -> dict[str, ModelPlan]:
    """Return the plans of the configuration in a folder."""
    settings = load(here / "homeostat.yaml")
    return {model.name: model_plan(settings, model.name) for model in settings.models}


def faked(plans: dict[str, ModelPlan]) -> Reports:
    """Return what makes reports from fakes: a database takes long to make."""
    clock = SimulatedClock(NOW)
    return Reports(MemoryRecords(clock), MemoryLog(clock), MemoryRegistry(), plans, clock)


def verdict(start: datetime, score: float, subject: str = "amount") -> Verdict:
    status = Status.DRIFT if score > 0.1 else Status.OK
    return Verdict(
        Monitor.DATA_DRIFT, "fraud", subject, Window(start, start + HOUR), status, score, 0.1, 2.0,
        90.0, 0.5, 5000, 400, f"{subject} moved",
    )  # fmt: skip


def populate(reports: Reports) -> None:
    """Write a week with predictions, drift, a promotion and a notice that was taken."""
    spec = reports.plans["fraud"].spec
    start = NOW - timedelta(days=3, minutes=30)
    count = 48
    said = {
        "prediction_id": [f"p{k}" for k in range(count)],
        "timestamp": [start + k * HOUR for k in range(count)],
        "version": ["v2"] * count,
        "role": ["champion"] * count,
        "tier": ["model"] * count,
        "score": [k / count for k in range(count)],
        "amount": [float(k) for k in range(count)],
        "age": [30.0] * count,
    }
    schema = prediction_schema(spec)
    columns = [
        pa.array(said.get(name, [None] * count), schema.field(name).type) for name in schema.names
    ]
    assert reports.log.append(spec, pa.table(columns, schema=schema)).accepted == count
    assert reports.log.roll(NOW) == count
    day = Window(start, start + DAY)
    notice = Notify("fraud:data_drift:1", NotifyAction.TRIGGER, "post", Severity.WARNING, "fraud",
                    "drift", "amount moved", "", NOW - DAY)  # fmt: skip
    with reports.records.begin() as uow:
        for k in range(48):
            uow.judge(verdict(start + k * HOUR, 0.3), verdict(start + k * HOUR, 0.2, "age"))
        uow.measure(MetricPoint("fraud", "v2", "auc", day, 0.9, 0.88, 0.92, 300, 0.9, "matured"))
        uow.save("rollout:fraud", RolloutState("fraud", Stage.CHAMPION, "v2", ("v1",), since=start))
        uow.decide(
            Decision("fraud", NOW - 2 * DAY, "homeostat", "promote", "v2", "better"),
            Decision("fraud", NOW - DAY, "homeostat", "fire", "fraud:data_drift:1", "moved"),
        )
        uow.intend(notice, replace(notice, incident="churn:x:1", model="churn"))
    for each in reports.records.pending(NOW):
        with reports.records.begin() as uow:
            uow.settle(Settled(each.number, "done", NOW - DAY, "taken"))
