"""A market that a bandit serves: entities are dealt by the arms on record, rewards come late."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from homeostat.domain.model import LabelSpec, ModelVersion
from homeostat.domain.record import OUTCOME_SCHEMA, prediction_schema
from homeostat.engine.arms import arms_of
from homeostat.engine.bandit_state import BanditState, bandit_key
from homeostat.engine.bandits import Dealer
from homeostat.engine.commands import Command, Request
from homeostat.engine.plan import ModelPlan
from homeostat.engine.watch import Watch, fresh, rollout_key
from homeostat.rollout.bandit.design import Bandit
from homeostat.rollout.state import RolloutState, Stage
from homeostat.serving.split import arms_of as dealt_to
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRecords, MemoryRegistry
from simulation.world import DAY, MODEL, PLAN, SPEC, START

NAME = "prices"
OUTCOME = "bought"
Rate = Callable[[int], float]


def steady(rate: float) -> Rate:
    """Return a rate that is the same on all days."""
    return lambda _: rate


@dataclass
class Market:
    """Days of requests, rewards by arm, and one bandit, without the rest of the engine.

    ``rates`` and ``delays`` (mean days of an exponential) are by arm; the reward of an arm in
    `mute` never arrives. Of customers with habits each always pays or never.
    """

    folder: Path
    design: Bandit
    rates: Mapping[str, Rate]
    delays: Mapping[str, float]
    maturity: timedelta = 4 * DAY
    daily: int = 200
    seed: int = 0
    people: int = 100_000
    mute: frozenset[str] = frozenset()
    habits: bool = False
    watch: Watch = field(default_factory=lambda: fresh(MODEL, "v1", START, ("matured",)))
    champion: str = "v1"
    day: int = 0
    taken: list[dict[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        labels = LabelSpec(self.maturity)
        self.spec = replace(SPEC, labels=labels, outcomes=(OUTCOME,))
        self.plan: ModelPlan = replace(PLAN, spec=self.spec, bandits=(self.design,))
        self.clock = SimulatedClock(START)
        self.log, self.records = MemoryLog(self.clock), MemoryRecords(self.clock)
        self.registry = MemoryRegistry()
        self.waiting: list[tuple[datetime, str, float]] = []
        for version in self.design.arms:
            artifact = self.folder / version
            artifact.write_text(version)
            card = ModelVersion(MODEL, version, "linear", "", START)
            self.registry.register(card, artifact)
        with self.records.begin() as uow:
            uow.save(rollout_key(MODEL), RolloutState(MODEL, Stage.CHAMPION, self.champion))

    @property
    def state(self) -> BanditState | None:
        return self.records.read(bandit_key(MODEL), BanditState)

    @property
    def shares(self) -> dict[str, float]:
        return arms_of(self.records, MODEL).shares

    @property
    def actions(self) -> list[tuple[str, str]]:
        return [(made.action, made.reason) for made in self.records.decisions(MODEL)]

    def part(self, arm: str, first: int = 0) -> float:
        """Return the share of all answers from a day on that an arm gave."""
        days = self.taken[first:]
        return sum(day.get(arm, 0) for day in days) / sum(sum(day.values()) for day in days)

    def tick(self, *requests: Request, reason: str = "") -> None:
        """Let the bandit look."""
        now = self.clock.now()
        asked = tuple(Command(request, MODEL, "ana", NAME, reason, now) for request in requests)
        with self.records.begin() as uow:
            dealer = Dealer(self.plan, uow, self.log, self.registry, now)
            dealer.run(self.watch, self.champion, asked)

    def live(self, days: int, *, still: bool = False) -> None:
        """Answer requests, let rewards arrive, and tick, once a day; `still`: shares stay."""
        for _ in range(days):
            self._serve(self.clock.now(), self.clock.advance(DAY))
            self._arrive()
            self.day += 1
            if not still:
                self.tick()

    def _serve(self, start: datetime, end: datetime) -> None:
        rng = np.random.default_rng([self.seed, self.day])
        arms = arms_of(self.records, MODEL)
        names = [f"c{number}" for number in rng.integers(0, self.people, self.daily)]
        dealt = dealt_to(f"{MODEL}/{arms.experiment}", names, arms.arms)
        shares = arms.shares
        moments = np.sort(rng.random(self.daily))
        keys = [f"{self.day}-{number}" for number in range(self.daily)]
        columns: dict[str, object] = {
            "prediction_id": keys,
            "timestamp": [start + float(at) * (end - start) for at in moments],
            "version": [arm or self.champion for arm in dealt],
            "role": [f"arm:{arm}" if arm else "champion" for arm in dealt],
            "tier": ["model"] * self.daily,
            "reason": [""] * self.daily,
            "entity": names,
            "score": np.full(self.daily, 0.5),
            "signal": rng.normal(size=self.daily),
            "amount": np.ones(self.daily),
            "arm_share": pa.array([shares.get(arm) for arm in dealt], pa.float64()),
        }
        schema = prediction_schema(self.spec)
        absent = {f.name: pa.nulls(self.daily, f.type) for f in schema if f.name not in columns}
        table = pa.table({f.name: (columns | absent)[f.name] for f in schema}, schema=schema)
        assert self.log.append(self.spec, table).accepted == self.daily
        self.taken.append({arm: dealt.count(arm) for arm in set(dealt)})
        for key, name, arm, at in zip(keys, names, dealt, moments, strict=True):
            who = arm or self.champion
            pays, wait = rng.random(), rng.exponential()
            if self.habits:
                pays = np.random.default_rng([self.seed, int(name[1:])]).random()
            if pays < self.rates[who](self.day) and who not in self.mute:
                arrival = start + (float(at) + wait * self.delays[who]) * DAY
                self.waiting.append((arrival, key, 1.0))

    def _arrive(self) -> None:
        now = self.clock.now()
        due = sorted(entry for entry in self.waiting if entry[0] <= now)
        self.waiting = [entry for entry in self.waiting if entry[0] > now]
        if not due:
            return
        arrivals, keys, values = zip(*due, strict=True)
        columns = {
            "prediction_id": keys,
            "label": values,
            "arrival": arrivals,
            "outcome": [OUTCOME] * len(due),
        }
        self.log.append_labels(self.spec, pa.table(columns, schema=OUTCOME_SCHEMA))
