"""Records of a month in the life of four models, one of them hostile, for pages to show."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from homeostat.alerting.episode import IncidentState
from homeostat.alerting.episode import Stage as IncidentStage
from homeostat.domain.decision import Decision, Severity
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.ports import Records
from homeostat.retraining.policy import Trigger, TriggerKind
from homeostat.retraining.run import RunState
from homeostat.retraining.run import Stage as RunStage
from homeostat.rollout.state import RolloutState, Stage

NOW = datetime(2024, 3, 31, 2, 17, tzinfo=UTC)
DAY = timedelta(days=1)
HOSTILE = '</script><script>document.title="owned"</script>\u202egnp.exe 😀/' + "n" * 260
FEATURES = ("amount", "hour", "country", "merchant_risk", "device_age_days", HOSTILE)


def spec(name: str, task: Task = Task.BINARY, features: tuple[str, ...] = FEATURES) -> ModelSpec:
    columns = tuple(Column(feature, ColumnKind.NUMERIC) for feature in features)
    classes = ("no", "yes") if task is Task.BINARY else ()
    return ModelSpec(name, task, Schema(columns), LabelSpec(timedelta(days=7)), classes=classes)


SPECS = {
    "fraud": spec("fraud"),
    "demand": spec("demand", Task.REGRESSION),
    "fresh": spec("fresh"),
    HOSTILE: spec(HOSTILE),
}


def verdict(
    model: str,
    monitor: Monitor,
    window: Window,
    *,
    subject: str = "",
    status: Status = Status.OK,
    score: float = 0.05,
    rows: int = 4800,
    reason: str = "as in the reference",
) -> Verdict:
    return Verdict(
        monitor=monitor,
        model=model,
        subject=subject,
        window=window,
        status=status,
        score=score,
        effect_threshold=0.1,
        evidence=3.0,
        evidence_threshold=180.0,
        p_value=0.4,
        n_reference=50_000,
        n_current=rows,
        reason=reason,
    )


def days(count: int, until: datetime = NOW) -> list[Window]:
    last = until.replace(hour=0, minute=0)
    return [Window(last - k * DAY, last - (k - 1) * DAY) for k in range(count, 0, -1)]


def drift(model: str, window: Window, index: int, rng: np.random.Generator) -> list[Verdict]:
    found = []
    for number, feature in enumerate(FEATURES):
        score = float(abs(rng.normal(0.03, 0.02)))
        status, reason = Status.OK, "as in the reference"
        if index == 11:
            status, score, reason = Status.NO_DATA, float("nan"), "40 rows, 200 are needed"
        elif number == 1 and index > 22:
            status, score, reason = Status.DRIFT, 0.1 + 0.02 * (index - 22), "hour moved by 3"
        elif number == 5 and index > 27:
            status, score, reason = Status.DRIFT, 0.3, f"{HOSTILE} has new values"
        elif number == 3 and index % 9 == 4:
            status, score = Status.INCONCLUSIVE, 0.12
        found.append(
            verdict(
                model,
                Monitor.DATA_DRIFT,
                window,
                subject=feature,
                status=status,
                score=score,
                reason=reason,
            )
        )
    return found


def measured(model: str, task: Task, windows: list[Window], seed: int) -> list[MetricPoint]:
    rng = np.random.default_rng(seed)
    names = ("auc", "brier") if task is Task.BINARY else ("mae",)
    points = []
    for name in names:
        for index, window in enumerate(windows[: len(windows) - 5]):
            if index in {8, 9}:
                continue
            n = int(rng.integers(300, 900))
            drop = 0.07 if index > 18 else 0.0
            value = float(0.93 - drop + rng.normal(0, 0.006))
            half = 0.35 / n**0.5
            version = "v1" if index < 14 else "v2"
            points.append(
                MetricPoint(
                    model,
                    version,
                    name,
                    window,
                    value,
                    value - half,
                    value + half,
                    n,
                    coverage=min(1.0, 0.97 - 0.02 * (index > 20) * (index - 20)),
                    cohort="matured",
                )
            )
    return points


def decisions(model: str) -> list[Decision]:
    def at(day: int, hour: int = 3) -> datetime:
        return datetime(2024, 3, day, hour, tzinfo=UTC)

    auto = "homeostat"
    return [
        Decision(model, at(1), auto, "install", "v1", f"first version of {model}"),
        Decision(
            model,
            at(15),
            auto,
            "promote",
            "v2",
            "better on 3,120 matured rows; v1 is kept warm",
            (("e_value", 41.7), ("rows", 3120.0), ("difference", 0.0123)),
        ),
        Decision(model, at(25), auto, "refuse_retraining", f"{model}-0002", "a data fault is open"),
        Decision(
            model,
            NOW - timedelta(minutes=9),
            auto,
            "fire",
            f"{model}:model_down:1",
            "42 % of answers failed",
        ),
    ]


def populate(records: Records) -> None:
    """Write a month of records: trouble, a rollout under way, a past incident, hostile names."""
    windows = days(30)
    for number, model in enumerate(("fraud", "demand", HOSTILE)):
        rng = np.random.default_rng(number)
        with records.begin() as uow:
            for index, window in enumerate(windows):
                rows = int(4800 + 900 * np.sin(index * 0.9) + rng.normal(0, 100))
                odd = index == 20
                status = Status.DRIFT if odd else Status.OK
                uow.judge(
                    verdict(
                        model,
                        Monitor.VOLUME,
                        window,
                        status=status,
                        rows=310 if odd else rows,
                        reason="310 rows where 4,800 are usual" if odd else "as usual",
                    )
                )
                if model == "demand":
                    continue
                uow.judge(*drift(model, window, index, rng))
            uow.measure(*measured(model, SPECS[model].task, windows, number))
            uow.judge(verdict(model, Monitor.PERFORMANCE, windows[-6], subject="loss"))
            at_rest = RolloutState(model, Stage.CHAMPION, "v2", ("v1",), since=windows[3].start)
            uow.save(f"rollout:{model}", canary() if model == "fraud" else at_rest)
    with records.begin() as uow:
        last = Window(NOW - timedelta(minutes=17), NOW - timedelta(minutes=2))
        uow.judge(
            verdict(
                "fraud",
                Monitor.SERVICE,
                last,
                subject="availability",
                status=Status.DRIFT,
                score=0.42,
                reason="42 % of answers came from a fallback: the breaker is open",
            )
        )
        uow.judge(verdict("demand", Monitor.SERVICE, last, subject="availability"))
        uow.judge(verdict(HOSTILE, Monitor.SERVICE, last, subject="availability"))
        for model in ("fraud", "demand", HOSTILE):
            uow.decide(*decisions(model)[: 4 if model == "fraud" else 3])
        uow.save("retraining:fraud", run())
        for state in incidents():
            uow.save(f"incident:{state.model}:{state.rule}", state)


def canary() -> RolloutState:
    return RolloutState(
        "fraud",
        Stage.CANARY,
        "v2",
        ("v1",),
        "v3",
        step=0,
        weight=0.1,
        since=NOW - timedelta(hours=5),
        reason="not worse on 812 matured rows in shadow",
        said="hold v3: 64 of 100 rows answered",
    )


def run() -> RunState:
    return RunState(
        "fraud",
        number=3,
        stage=RunStage.ACCEPTED,
        trigger=Trigger(TriggerKind.PERFORMANCE, "loss above baseline in 3 windows"),
        requested_at=NOW - 2 * DAY,
        ended_at=NOW - timedelta(hours=30),
        candidate="v3",
        reason="better than v2 on the hold-out",
    )


def incidents() -> list[IncidentState]:
    firing = IncidentState(
        "fraud",
        "model_down",
        IncidentStage.FIRING,
        episode=1,
        severity=Severity.CRITICAL,
        receivers=("console",),
        runbook="runbooks/model_down.md",
        title="fraud: model down (availability)",
        reason="42 % of answers came from a fallback: the breaker is open",
        cause="The model's backend hangs. Answers come from the rules tier until it is back; "
        "restart it, nothing else needs doing.",
        subjects=("availability",),
        fired_at=NOW - timedelta(minutes=9),
    )
    hostile = IncidentState(
        HOSTILE,
        "data_drift",
        IncidentStage.ACKNOWLEDGED,
        episode=2,
        severity=Severity.WARNING,
        runbook="https://runbooks.example/drift",
        title=f"{HOSTILE}: data drift ({HOSTILE})",
        reason=f"{HOSTILE} has new values",
        fired_at=NOW - DAY,
        acknowledged_at=NOW - DAY / 2,
        acknowledged_by="<b>ana</b>",
    )
    resolved = IncidentState(
        "demand",
        "volume_anomaly",
        IncidentStage.RESOLVED,
        episode=1,
        severity=Severity.WARNING,
        runbook="runbooks/volume_anomaly.md",
        title="demand: volume anomaly",
        reason="310 rows where 4,800 are usual",
        fired_at=NOW - 10 * DAY,
        resolved_at=NOW - 9 * DAY,
    )
    return [firing, hostile, resolved]
