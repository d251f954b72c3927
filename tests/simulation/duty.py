"""One model's life in the shop, as its owner configured it, and who was paged for what.

The plan is that of a homeostat.yaml in which nearly everything has its default. The control plane
is killed and made anew, and is away for hours; new versions come by schedule and by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.adapters.models.linear import Term, save_linear
from homeostat.adapters.models.scorer import RegistryScorer
from homeostat.alerting.delivery import Manners
from homeostat.domain.columns import micros
from homeostat.domain.effect import Notify, NotifyAction, StartTraining
from homeostat.domain.model import ModelSpec, ModelVersion
from homeostat.domain.record import LABEL_SCHEMA
from homeostat.domain.route import Route
from homeostat.domain.window import EPOCH, Window
from homeostat.engine.adopt import adopt, split_history, train_first
from homeostat.engine.backtest import to_records
from homeostat.engine.commands import Command, Request, submit
from homeostat.engine.loop import Engine
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Notifier, Ports, Training
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.settings.plan import model_plan
from homeostat.serving.plan import Reason
from homeostat.serving.split import takes_part
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import (
    MemoryLog,
    MemoryNotifier,
    MemoryRecords,
    MemoryRegistry,
    MemoryRoutes,
    MemoryTrainer,
)
from simulation.shop import DAY, ON_LABELS, Answered, Incident, Kind, Shop

MODEL = "shop"
START = datetime(2024, 3, 4, tzinfo=UTC)  # a Monday
BEFORE = 35 * DAY
FEATURES = ("amount", "age", "items")
CONFIG = """\
server: {{tick: {tick}}}
receivers: {receivers}
models:
  - name: shop
    task: binary
    classes: [no, yes]
    entity: customer
    features:
      amount: {{kind: numeric, min: 0}}
      age: {{kind: numeric, min: 0, max: 120}}
      items: {{kind: numeric, min: 0}}
      channel: {{kind: categorical, categories: [web, app, shop]}}
    labels: {{maturity: 3d}}
    monitors: {{service: {{degraded_window: 30m}}}}
    business:
      basket: {{value: mean(amount), better: higher}}
    retraining:
      trainer: "train.py:train"
      performance_windows: null
      drift_share: null
      schedule: 30d
      window: 28d
      holdout: 7d
      margin: 0.1
"""


def configured(folder: Path, tick: timedelta, receivers: str = "{pager: {type: console}}") -> Path:
    """Write the owner's homeostat.yaml."""
    minutes = tick // timedelta(minutes=1)
    file = folder / "homeostat.yaml"
    file.write_text(CONFIG.format(tick=f"{minutes}m", receivers=receivers))
    (folder / "train.py").write_text("def train(rows, spec, out): ...\n")
    return file


def fit(rows: pa.Table, out: Path) -> dict[str, float]:
    """Write a logistic regression."""
    columns = [rows[name].to_numpy().astype(np.float64) for name in FEATURES]
    means = [float(np.nanmean(column)) for column in columns]
    scales = [float(np.nanstd(column)) or 1.0 for column in columns]
    scaled = zip(columns, means, scales, strict=True)
    parts = [np.nan_to_num((column - mean) / scale) for column, mean, scale in scaled]
    design = np.column_stack([np.ones(rows.num_rows), *parts])
    labels, weights = rows["label"].to_numpy(), np.zeros(len(FEATURES) + 1)
    for _ in range(8):
        chance = 1 / (1 + np.exp(-design @ weights))
        curve = design * (chance * (1 - chance))[:, None]
        gradient = design.T @ (labels - chance) - 1e-3 * weights
        weights += np.linalg.solve(design.T @ curve + 1e-3 * np.eye(weights.size), gradient)
    told = zip(FEATURES, weights[1:], means, scales, strict=True)
    save_linear(out, float(weights[0]), [Term(n, float(w), m, s) for n, w, m, s in told])
    return {"rows": float(rows.num_rows)}


@dataclass(frozen=True, slots=True)
class Page:
    """What one receiver was told of one incident; ``resolved`` is None while it is open."""

    key: str
    rule: str
    severity: str
    fired: datetime
    title: str
    body: str
    resolved: datetime | None = None


@dataclass
class Duty:
    """The control plane, and the traffic that it watches."""

    engine: Engine
    clock: SimulatedClock
    shop: Shop
    tick: timedelta
    folder: Path
    answered: Answered = field(default_factory=Answered)
    problems: list[str] = field(default_factory=list)
    coming: pa.Table = field(default_factory=LABEL_SCHEMA.empty_table)

    @property
    def ports(self) -> Ports:
        """The ports of the engine."""
        return self.engine.ports

    @property
    def plan(self) -> ModelPlan:
        """The owner's plan."""
        return self.engine.plans[MODEL]

    def restart(self) -> None:
        """Kill the control plane and begin another on the same records."""
        self.engine = Engine(self.ports, self.engine.plans)

    def advance(self, *, away: bool = False) -> None:
        """Live through one tick's time; nobody ticks while the control plane is away."""
        window = Window(self.clock.now(), self.clock.advance(self.tick))
        rows = self.shop.requests(window)
        self.serve(rows)
        self.learn(rows, window.end)
        if not away:
            self.problems += self.engine.tick(window.end)

    def learn(self, rows: pa.Table, now: datetime) -> None:
        """Log the labels that have come by now; those of new rows come when they come."""
        coming = pa.concat_tables([self.coming, rows.select(LABEL_SCHEMA.names)])
        here = micros(coming, "arrival") < (now - EPOCH) // timedelta(microseconds=1)
        self.coming = coming.filter(pa.array(~here))
        if here.any():
            self.ports.log.append_labels(self.plan.spec, coming.filter(pa.array(here)))

    def serve(self, rows: pa.Table) -> None:
        """Answer requests as the published route says, and log the answers."""
        spec = self.plan.spec
        route = self.ports.routes.current(MODEL) or Route(MODEL)
        keys = rows["entity"].to_pylist()
        moved = takes_part(
            f"{MODEL}/{route.challenger}", keys, route.weight if route.challenger else 0.0
        )
        parts = [(route.champion, "champion", ~moved), (route.challenger, "challenger", moved)]
        answering = {version: chosen for version, _, chosen in parts}
        nobody = np.zeros(len(keys), dtype=bool)
        parts += [(v, "shadow", ~answering.get(v, nobody)) for v in route.shadows]
        for version, role, chosen in parts:
            asked = rows.filter(pa.array(chosen, pa.bool_()))
            if not asked.num_rows:
                continue
            scores = self.ports.scorer.score(spec, version, asked)
            records = to_records(spec, asked, scores, version, role)
            if role != "shadow":
                found = self.shop.service(asked)
                if route.degraded:
                    found["reason"] = np.full(asked.num_rows, Reason.DEGRADED.value)
                records = self.answered.log(records, found)
            self.ports.log.append(spec, records)

    def register(self, artifact: Path) -> str:
        """Register a version by hand."""
        card = ModelVersion(MODEL, "", "linear", "", self.clock.now())
        return self.ports.registry.register(card, artifact).version

    def deploy(self) -> None:
        """Train on what is labelled, elsewhere, and push it."""
        now, out = self.clock.now(), self.folder / f"pushed-{self.clock.now():%Y%m%d}"
        known = self.ports.log.labelled(self.plan.spec, Window(now - 28 * DAY, now - 3 * DAY), now)
        fit(known.filter(pc.is_valid(known["label"])), out)
        command = Command(Request.PUSH, MODEL, "ana", self.register(out))
        submit(self.ports.records, command, now)

    def pages(self, receiver: str = "pager") -> list[Page]:
        """Return all that a receiver in memory was told."""
        notifier = self.ports.notifiers[receiver]
        assert isinstance(notifier, MemoryNotifier)
        return pages_of(notifier.attempts)


def pages_of(notices: list[Notify]) -> list[Page]:
    """Return pages in the order in which they were told; a second trigger of a key is one more."""
    found: list[Page] = []
    for each in notices:
        if each.action is NotifyAction.TRIGGER:
            words = (each.rule, each.severity.value, each.at, each.title, each.body)
            found.append(Page(each.incident, *words))
        elif each.action is NotifyAction.RESOLVE:
            place = max(i for i, page in enumerate(found) if page.key == each.incident)
            assert found[place].resolved is None, f"{each.incident} resolved twice"
            found[place] = replace(found[place], resolved=each.at)
    return found


def trainer(folder: Path) -> MemoryTrainer:
    """Return a trainer that fits in this process."""

    def run(request: StartTraining, spec: ModelSpec, rows: pa.Table) -> Training:
        del spec
        out = folder / request.run_id
        return Training(True, out, "linear", metrics=tuple(fit(rows, out).items()))

    return MemoryTrainer(run)


def begin(
    folder: Path,
    shop: Shop,
    tick: timedelta,
    notifiers: Mapping[str, Notifier] | None = None,
    manners: Mapping[str, Manners] | None = None,
    *,
    retrains: bool = True,
) -> Duty:
    """Adopt a first version at `START`, trained and compared with the five weeks before."""
    told = notifiers or {"pager": MemoryNotifier()}
    listed = ", ".join(f"{name}: {{type: console}}" for name in told)
    plan = model_plan(load(configured(folder, tick, f"{{{listed}}}")))
    if not retrains:
        plan = replace(plan, retraining=None)
    clock, registry = SimulatedClock(START), MemoryRegistry()
    ports = Ports(
        records=MemoryRecords(clock),
        log=MemoryLog(clock),
        registry=registry,
        scorer=RegistryScorer(registry),
        routes=MemoryRoutes(),
        notifiers=told,
        trainers={MODEL: trainer(folder)},
        manners=manners or {},
    )
    duty = Duty(Engine(ports, {MODEL: plan}), clock, shop, tick, folder)
    past = shop.requests(Window(START - BEFORE, START))
    history = split_history(plan, past)
    training = train_first(plan, ports.trainers[MODEL], history, START)
    adopt(plan, ports, history, training, START, logged=True)
    scores = ports.scorer.score(plan.spec, "1", past)
    ports.log.append(plan.spec, to_records(plan.spec, past, scores, "1", "champion"))
    duty.learn(past, START)
    duty.problems += duty.engine.tick(START)
    return duty


EXPECTED: Mapping[Kind, frozenset[str]] = {
    Kind.CONCEPT: frozenset({"performance_drop"}),
    Kind.RATE: frozenset({"performance_drop", "calibration_drift"}),
    Kind.AGES: frozenset({"data_drift"}),
    Kind.CHANNEL: frozenset({"data_drift"}),
    Kind.MOVED: frozenset({"data_drift"}),
    **dict.fromkeys(
        (Kind.CENTS, Kind.GONE, Kind.HOLES, Kind.RENAMED, Kind.STUCK, Kind.NEGATIVE, Kind.SWAPPED),
        frozenset({"data_fault"}),
    ),
    Kind.SLOW: frozenset({"high_latency"}),
    **dict.fromkeys((Kind.ERRORS, Kind.TIMEOUTS, Kind.OPEN), frozenset({"model_down"})),
    Kind.OVERLOAD: frozenset({"degraded_answers"}),
    **dict.fromkeys((Kind.SILENCE, Kind.BURST, Kind.LOST), frozenset({"volume_anomaly"})),
    Kind.CHEAP: frozenset({"value_drop", "data_drift"}),
}
"""The alert rules of which one should page."""


def lasts(kind: Kind) -> timedelta:
    """Return how long an incident goes on: what only labels tell, for three days."""
    if kind in ON_LABELS:
        return 3 * DAY
    return 2 * DAY if kind in {Kind.AGES, Kind.CHANNEL, Kind.MOVED, Kind.CHEAP} else DAY / 2


def slot(kind: Kind) -> timedelta:
    """Return the time after which the next incident may begin."""
    return 10 * DAY if kind in ON_LABELS else 6 * DAY


def planned(kinds: list[Kind], start: datetime) -> tuple[Incident, ...]:
    """Return one incident after the other, each from ten in the morning."""
    found: list[Incident] = []
    for kind in kinds:
        begin_at = start + timedelta(hours=10)
        found.append(Incident(kind, Window(begin_at, begin_at + lasts(kind))))
        start += slot(kind)
    return tuple(found)
