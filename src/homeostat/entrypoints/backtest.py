"""What Homeostat would have done on a user's history, beside what simpler policies would have."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import TypeAdapter

from homeostat.adapters.models import RegistryScorer
from homeostat.adapters.trainers import child
from homeostat.adapters.trainers.local import LocalTrainer
from homeostat.domain.columns import micros, texts
from homeostat.domain.decision import Decision
from homeostat.domain.effect import StartTraining
from homeostat.domain.errors import DataError, TrainingError
from homeostat.domain.model import ModelSpec, ModelVersion
from homeostat.domain.predictions import to_micros
from homeostat.domain.window import EPOCH, Window
from homeostat.engine.adopt import History, adopt, split_history, train_first
from homeostat.engine.backtest import Replay
from homeostat.engine.estimates import PREFIX
from homeostat.engine.loop import Engine
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Ports, Scorer
from homeostat.engine.watch import rollout_key
from homeostat.entrypoints.artifacts import loader
from homeostat.entrypoints.backtest_figures import Floats, Month, by_month, labels_of, months
from homeostat.entrypoints.elsewhere import Answered, adopt_elsewhere, served_elsewhere
from homeostat.entrypoints.expected import with_expectations
from homeostat.entrypoints.settings.deployment import Settings
from homeostat.entrypoints.settings.plan import model_plan
from homeostat.rollout.state import RolloutState, route
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import (
    MemoryLog,
    MemoryNotifier,
    MemoryRecords,
    MemoryRegistry,
    MemoryRoutes,
)

ALONE, NAIVE, SHORT, HOMEOSTAT = "left alone", "naive", "naive, 90 days", "homeostat"
POLICIES = (ALONE, NAIVE, SHORT, HOMEOSTAT)
REPLAYED = POLICIES[1:]
MEMORIES: Mapping[str, timedelta | None] = {NAIVE: None, SHORT: timedelta(days=90)}
FEWEST_ROWS = 100

Progress = Callable[[str, datetime], None]


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What came out of a backtest.

    ``answered`` holds Homeostat's answers: ``prediction_id``, ``timestamp``, ``version`` and
    ``score``, by time. ``scores`` are those of every policy, of the same rows by their time in the
    history, ``labels`` what came of these, NaN where that is not known, and ``stamps`` their
    times in microseconds. ``retrainings`` is how often each policy trained after the first time.
    """

    model: str
    start: datetime
    end: datetime
    months: tuple[Month, ...]
    decisions: tuple[Decision, ...]
    answered: pa.Table
    scores: Mapping[str, Floats]
    labels: Floats
    stamps: NDArray[np.int64]
    retrainings: Mapping[str, int]

    @property
    def span(self) -> Window:
        """The time that was lived through."""
        return Window(self.start, self.end)


@dataclass
class TrainerHere(LocalTrainer):
    """Trains in this process: dozens of runs of their own would mostly wait for their imports."""

    def start(self, request: StartTraining, spec: ModelSpec, rows: pa.Table) -> None:
        """Train to the end; what the function prints goes to the run's log."""
        folder = self.root / request.run_id
        if (folder / child.REQUEST).exists():
            return
        folder.mkdir(parents=True)
        pq.write_table(rows, folder / child.ROWS)
        asked = TypeAdapter(ModelSpec).dump_python(spec, mode="json")
        child.write_json(folder / child.REQUEST, {"function": self.function, "spec": asked})
        with (
            (folder / child.LOG).open("w") as log,
            contextlib.redirect_stdout(log),
            contextlib.redirect_stderr(log),
        ):
            child.main(folder)


@dataclass
class Backtest:
    """One model's history under every policy.

    Parameters
    ----------
    settings : Settings
    model : str
    rows : pyarrow.Table
        From `homeostat.entrypoints.history.read_history`.
    start : datetime
        Rows before it, with the labels known by then, train the first model. Of a model that is
        served elsewhere they say what is normal, and nothing is trained.
    folder : Path
        For training runs.
    progress : callable
        Is told the policy and the time it has reached.
    memories : mapping of str to timedelta or None
        By the names of the naive policies: how far back they look at each retraining, None for all.
    """

    settings: Settings
    model: str
    rows: pa.Table
    start: datetime
    folder: Path
    progress: Progress = lambda _policy, _now: None
    memories: Mapping[str, timedelta | None] = field(default_factory=lambda: dict(MEMORIES))
    plan: ModelPlan = field(init=False)
    _clock: SimulatedClock = field(init=False)
    _trainer: TrainerHere | None = field(init=False)
    _trained: dict[str, int] = field(init=False, default_factory=lambda: {ALONE: 0})

    def __post_init__(self) -> None:
        self.plan = with_expectations(self.settings, model_plan(self.settings, self.model))
        self._clock = SimulatedClock(self.start)
        self._trainer = None
        if served_elsewhere(self.settings.model(self.model)):
            # What it would say of rows with a column shuffled is not known.
            self.plan = replace(self.plan, importance=None)
        else:
            file, function = self.settings.trainer(self.model)
            self._trainer = TrainerHere(self.folder / "runs", f"{file}:{function}", self._clock)
        if not self._stamps[0] < to_micros(self.start) < self._stamps[-1]:
            first, last = (EPOCH + timedelta(microseconds=int(t)) for t in self._stamps[[0, -1]])
            raise DataError(
                f"--from {self.start:%Y-%m-%d} is not inside the history, "
                f"which goes from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
            )

    @property
    def _spec(self) -> ModelSpec:
        return self.plan.spec

    @property
    def _stamps(self) -> NDArray[np.int64]:
        return micros(self.rows, "timestamp")

    @property
    def end(self) -> datetime:
        """Just after the last row."""
        return EPOCH + timedelta(microseconds=int(self._stamps[-1]) + 1)

    @property
    def replayed(self) -> tuple[str, ...]:
        """The policies that `progress` is told of."""
        return REPLAYED if self._trainer is not None else (HOMEOSTAT,)

    def run(self) -> Result:
        """Run every policy and compare what they answered, month by month."""
        ports, engine = self._house(decisive(self.plan))
        first = self._adopt(ports)
        live = self.rows.slice(int(np.searchsorted(self._stamps, to_micros(self.start))))
        answers = {ALONE: ports.scorer.score(self._spec, first.version, live)}
        if self._trainer is not None:
            for name, memory in self.memories.items():
                answers[name] = self._naive(self._trainer, live, answers[ALONE], name, memory)
        answered = self._homeostat(engine)
        if self._trainer is not None:
            answers[HOMEOSTAT] = _aligned(answered, live)
        decisions = ports.records.decisions(self.model)
        return Result(
            self.model,
            self.start,
            self.end,
            tuple(by_month(self._spec, live, answers)),
            decisions,
            answered,
            answers,
            labels_of(live),
            micros(live, "timestamp"),
            self._trained | {HOMEOSTAT: sum(d.action == "start_training" for d in decisions)},
        )

    def live(self, step: timedelta) -> Ports:
        """Live through the history once, with a tick every `step`; return what there is of it."""
        ports, engine = self._house(self.plan)
        self._adopt(ports)
        self._homeostat(engine, step)
        return ports

    def _adopt(self, ports: Ports) -> ModelVersion:
        """Train the first version, install it, and send the traffic to it."""
        first = self._first(ports)
        rollout = ports.records.read(rollout_key(self.model), RolloutState)
        assert rollout is not None  # adopt has just saved it
        ports.routes.publish(route(rollout, self.start))
        return first

    def _first(self, ports: Ports) -> ModelVersion:
        if self._trainer is None:
            past, folder = self._before(), self.folder / "elsewhere"
            return adopt_elsewhere(self.plan, ports, past, "1", folder, self.start, logged=True)
        known = split_history(self.plan, self._known(self.start))
        training = train_first(self.plan, self._trainer, known, self.start)
        history = self._settled(known.split)
        return adopt(self.plan, ports, history, training, self.start, logged=True)

    def _house(self, plan: ModelPlan) -> tuple[Ports, Engine]:
        registry = MemoryRegistry()
        receivers = {name: MemoryNotifier() for name in self.settings.receivers}
        ports = Ports(
            records=MemoryRecords(self._clock),
            log=MemoryLog(self._clock),
            registry=registry,
            scorer=self._scorer(registry),
            routes=MemoryRoutes(),
            notifiers=receivers,
            trainers={} if self._trainer is None else {self.model: self._trainer},
        )
        return ports, Engine(ports, {self.model: plan})

    def _scorer(self, registry: MemoryRegistry) -> Scorer:
        if self._trainer is None:
            return Answered()
        return RegistryScorer(registry, loader(self.settings, os.environ))

    def _known(self, now: datetime, memory: timedelta | None = None) -> pa.Table:
        """Return the rows before a moment whose labels had arrived by then."""
        count = int(np.searchsorted(self._stamps, to_micros(now)))
        begin = 0 if memory is None else int(np.searchsorted(self._stamps, to_micros(now - memory)))
        past = self.rows.slice(begin, max(count - begin, 0))
        past = past.filter(~pc.field("label").is_null())
        return past.filter(pa.array(micros(past, "arrival") <= to_micros(now)))

    def _settled(self, split: datetime) -> History:
        """Return the rows before the start with the labels that they got in the end.

        Early labels would make the hold-out's losses a biased baseline, and leave out requests
        from the volume's. The baseline is first used when the first row on watch is mature, and
        by then so are these.
        """
        past = self._before().filter(~pc.field("label").is_null())
        cut = int(np.searchsorted(micros(past, "timestamp"), to_micros(split)))
        return History(past.slice(0, cut), past.slice(cut))

    def _before(self) -> pa.Table:
        return self.rows.slice(0, int(np.searchsorted(self._stamps, to_micros(self.start))))

    def _homeostat(self, engine: Engine, step: timedelta = timedelta(days=1)) -> pa.Table:
        replay = Replay(engine, self._clock, self.model, self.rows, step)
        return replay.run(self.start, self.end, lambda now: self.progress(HOMEOSTAT, now))

    def _naive(
        self,
        trainer: TrainerHere,
        live: pa.Table,
        first: Floats,
        policy: str,
        memory: timedelta | None,
    ) -> Floats:
        """Retrain on the first of each later month on every label known by then; serve at once."""
        scores = first.copy()
        stamps = micros(live, "timestamp")
        registry = MemoryRegistry()
        scorer = RegistryScorer(registry, loader(self.settings, os.environ))
        self._trained[policy] = 0
        for month in list(months(self.start, self.end))[1:]:
            self.progress(policy, month.start)
            version = self._train_naive(trainer, registry, policy, month.start, memory)
            low, high = np.searchsorted(stamps, [to_micros(month.start), to_micros(month.end)])
            self._trained[policy] += bool(version)
            if version and high > low:
                part = live.slice(int(low), int(high - low))
                scores[low:high] = scorer.score(self._spec, version, part)
        return scores

    def _train_naive(
        self,
        trainer: TrainerHere,
        registry: MemoryRegistry,
        policy: str,
        now: datetime,
        memory: timedelta | None,
    ) -> str:
        """Return the new version, or nothing where too little is known to train at all."""
        rows = self._known(now, memory)
        if rows.num_rows < FEWEST_ROWS:
            return ""
        run_id = f"{policy.replace(', ', '-').replace(' ', '-')}-{now:%Y-%m}"
        first = EPOCH + timedelta(microseconds=int(micros(rows, "timestamp")[0]))
        request = StartTraining(run_id, self.model, "", Window(first, now), now)
        trainer.start(request, self._spec, rows)
        done = trainer.poll(self.model, run_id)
        if done.artifact is None:
            raise TrainingError(f"{run_id}: {done.problem}")
        card = ModelVersion(self.model, "", done.flavour, "", now, run_id=run_id)
        return registry.register(card, done.artifact).version


def decisive(plan: ModelPlan) -> ModelPlan:
    """Leave out figures that nothing is decided by; they are half of the work of a day.

    Nobody judges early figures, nor estimates unless a rule, a threshold or a floor of retraining
    names one. Each draws from a generator of its own, so that the rest does not change.
    """
    named = {threshold.metric for threshold in plan.thresholds}
    named |= {rule.series.name for rule in plan.rules if rule.series is not None}
    floors = plan.retraining.estimated_floor if plan.retraining is not None else ()
    used = bool(floors) or any(name.startswith(PREFIX) for name in named)
    return replace(plan, early=None, estimation=plan.estimation if used else None)


def midway(rows: pa.Table) -> datetime:
    """Return the day half-way through a history that is sorted by time."""
    first, last = micros(rows, "timestamp")[[0, -1]].tolist()
    moment = EPOCH + timedelta(microseconds=(first + last) // 2)
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _aligned(answered: pa.Table, live: pa.Table) -> Floats:
    """Return the answers' scores in the order of the rows."""
    scores = dict(zip(texts(answered, "prediction_id"), answered["score"].to_numpy(), strict=True))
    return np.asarray([scores[name] for name in texts(live, "prediction_id")])
