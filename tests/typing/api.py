"""Code as users write it. mypy (strict) checks it; a wrong use must stay an error."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import assert_type

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from starlette.applications import Starlette

import homeostat as hs
from homeostat.adapters.models import Encoding, Predictor, fit_encoding, load_predictor
from homeostat.domain.effect import Notify, StartTraining
from homeostat.domain.model import Column, ColumnKind, ModelSpec, Schema
from homeostat.domain.route import Route
from homeostat.domain.verdict import Verdict
from homeostat.domain.window import Window
from homeostat.engine.ports import Notifier, Trainer, Training
from homeostat.entrypoints.settings import Model, Settings, load
from homeostat.profiles.build import profile_table
from homeostat.profiles.compare import psi
from homeostat.profiles.profile import Profile
from homeostat.serving import Choice, Fallback, Router
from homeostat.stats.intervals import Interval, wilson


class Pager:
    """A user's notifier: a class that fits the protocol, with nothing to inherit from."""

    def send(self, notice: Notify) -> None:
        assert_type(notice.incident, str)


class Deaf:
    """Not a notifier: it has no ``send``."""


class Cluster:
    """A user's trainer."""

    def start(self, request: StartTraining, spec: ModelSpec, rows: pa.Table) -> None:
        assert_type(rows.select(spec.schema.names), pa.Table)

    def poll(self, model: str, run_id: str) -> Training:
        return Training(done=True, artifact=Path(model) / run_id)

    def cancel(self, model: str, run_id: str) -> None:
        assert_type((model, run_id), tuple[str, str])


notifier: Notifier = Pager()
trainer: Trainer = Cluster()
deaf: Notifier = Deaf()  # type: ignore[assignment]


def profiles(monday: pa.Table, tuesday: pa.Table) -> float:
    kinds = {"amount": ColumnKind.NUMERIC}
    both = profile_table(monday, kinds).merge(profile_table(tuesday, kinds))
    assert_type(both, Profile)
    return assert_type(psi(both.columns["amount"], both.columns["amount"]), float)


def comparison(before: pa.Table, path: Path) -> str:
    monday = assert_type(hs.profile(before, kinds={"amount": "numeric"}), hs.Profile)
    monday.merge(hs.load_profile(path)).save(path)
    report = assert_type(hs.compare(monday, path, segments=["shop"]), hs.Report)
    assert_type(report.drifted, list[str])
    assert_type(report["amount"].verdict, hs.Status)
    hs.compare({"amount": np.ones(3)}, "april.parquet", preset="psi-0.2")
    hs.compare(before, 7)  # type: ignore[arg-type]
    hs.compare(before, before, preset="psi")  # type: ignore[arg-type]
    return report.to_html()


def importance(rows: pa.Table) -> dict[str, object]:
    spec = hs.PredictionSpec("binary", label="fraud", score="p", features=("amount",))
    report = assert_type(
        hs.importance(rows, spec, lambda table: table["amount"].to_numpy(), groups="correlated"),
        hs.ImportanceReport,
    )
    assert_type(report["amount"].lower, float)
    assert_type(report.shift(report)[0].p_value, float)
    hs.importance(rows, spec, "model.txt")  # type: ignore[arg-type]
    return report.to_dict()


def performance(scored: pa.Table) -> pa.Table:
    spec = hs.PredictionSpec("binary", timestamp="at", maturity=timedelta(days=30))
    found = assert_type(hs.evaluate(scored, spec, window=timedelta(days=7)), hs.Evaluation)
    assert_type(found["auc"].value, float | None)
    hs.evaluate(scored, spec, value=[[0, -1], [-10, 50]], metrics=["value"], window=1000)
    hs.evaluate(scored, "binary")  # type: ignore[arg-type]
    return found.table


def estimation(before: pa.Table, after: pa.Table) -> float:
    spec = hs.PredictionSpec("binary", label="fraud", score="p")
    found = assert_type(hs.estimate(before, after, spec, window=1000), hs.Estimation)
    hs.estimate(before, after, spec, window=timedelta(days=1), metrics=["auc"])
    hs.estimate(before, after, "binary")  # type: ignore[arg-type]
    return assert_type(found.windows[0]["auc"].value, float)


def reasons(before: pa.Table, now: pa.Table) -> bool:
    spec = hs.PredictionSpec("binary", label="fraud", score="p")
    found = assert_type(hs.diagnose(before, now, spec, value={"tp": "amount"}), hs.Explanation)
    assert_type(found.causes[0].value, str)
    hs.diagnose(before, now)  # type: ignore[call-arg]
    return assert_type(found.retrain, bool)


def late_labels(scored: pa.Table) -> pa.Table:
    spec = hs.PredictionSpec("binary", timestamp="at", arrival="came", maturity=timedelta(days=30))
    queue = assert_type(hs.review_queue(scored, spec, 100, seed=1, by=["drift"]), hs.ReviewQueue)
    assert_type(queue.weights, NDArray[np.float64])
    hs.evaluate(scored, spec, cohort="weighted", delay_by=["lead"])
    hs.evaluate(scored, spec, cohort="young")  # type: ignore[arg-type]
    tied = assert_type(hs.proxy(scored, spec, "missed", every=timedelta(days=1)), hs.ProxyReport)
    assert_type(tied.windows[0].rate.value, float)
    other = hs.counterfactual(scored, spec, lambda table: table["amount"].to_numpy())
    assert_type(other, hs.Counterfactual)
    hs.review_queue(scored, spec, 100, seed=1, by=["luck"])  # type: ignore[list-item]
    return queue.table


def train(rows: pa.Table, spec: ModelSpec, out: Path) -> dict[str, float]:
    """As in ``trainer: train.py:train``."""
    encoding = assert_type(fit_encoding(rows, spec.schema.names), Encoding)
    assert_type(encoding.matrix(rows), NDArray[np.float64])
    (out / "model.json").write_text("{}")
    return {"rows": float(rows.num_rows)}


def logging(client: hs.Client, row: dict[str, float]) -> bool:
    assert_type(client.log_prediction(row, 0.5, version="3", entity="c1"), str)
    client.log_label("p1", "fraud")
    client.log_outcome("p1", "lost", 12.5)
    client.log_label(label=1)  # type: ignore[call-arg]
    hs.Client("http://127.0.0.1:8420", "fraud", colour="red")  # type: ignore[call-arg]
    hs.Client(model="fraud", timeout=2.5, max_rows=1000)
    assert_type(hs.log.prediction(row, 0.5), str)
    assert_type(client.counters.sent, int)
    return client.flush(timeout=1.0)


async def logging_later(client: hs.AsyncClient) -> bool:
    return assert_type(await client.flush(), bool)


def guarding(breaker: hs.Breaker) -> float:
    @breaker
    def rate(amount: float, *, factor: int = 1) -> float:
        return amount * factor

    @breaker
    async def rate_later(amount: float) -> str:
        return f"{amount}"

    rate("much")  # type: ignore[arg-type]
    rate_later(1.0, 2.0)  # type: ignore[call-arg, unused-coroutine]
    with breaker.call() as call:
        assert_type(call.result(rate(2.0)), float)
    hs.Breaker(exclude=ValueError, faults=5)  # type: ignore[call-arg]
    return rate(1.0, factor=3)


def serving(rows: pa.Table, route: Route) -> float:
    router = Router([route])
    router.publish(route.with_arms({"v2": 0.5}, "prices"))
    chosen = router.choose("fraud", "anna", override="v2")
    assert_type(chosen, Choice)
    assert_type(chosen.role, str)
    found = Fallback(default=0.1).stand_in(rows, versions={"v0": lambda table: [0.0]})
    assert_type(found.scores, NDArray[np.float64])
    hs.BreakerMiddleware(Starlette(), hs.Breaker(), fallback=lambda asked: {"score": 0.1})
    hs.BreakerMiddleware(Starlette())  # type: ignore[call-arg]
    route.with_arms({"v2": "half"})  # type: ignore[dict-item]
    return float(found.scores[0])


def configuration(path: Path) -> ModelSpec:
    settings = assert_type(load(path), Settings)
    model = assert_type(settings.models[0], Model)
    return assert_type(model.spec(), ModelSpec)


def score(folder: Path, rows: pa.Table) -> NDArray[np.float64]:
    predictor = assert_type(load_predictor(folder, "linear"), Predictor)
    return assert_type(predictor.predict(rows), NDArray[np.float64])


def values(verdict: Verdict) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    window = Window(noon, noon + timedelta(hours=1))
    assert_type(window.end - window.start, timedelta)
    assert_type(wilson(8, 10), Interval)
    verdict.reason = "frozen"  # type: ignore[misc]
    Schema((Column("amount", "number"),))  # type: ignore[arg-type]
