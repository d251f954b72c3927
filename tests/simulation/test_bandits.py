"""The whole engine with a bandit on: routes, roles on record, rewards, and who wins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from homeostat.domain.columns import micros, texts
from homeostat.domain.model import ModelVersion
from homeostat.domain.record import OUTCOME_SCHEMA, TIMESTAMP
from homeostat.domain.route import Route
from homeostat.domain.window import Window
from homeostat.engine.backtest import to_records
from homeostat.engine.bandit_state import BanditState, bandit_key
from homeostat.engine.commands import Command, Request, submit
from homeostat.rollout.bandit.design import Bandit
from homeostat.serving.plan import assign
from homeostat.simulation.invariants import check_all, check_once
from simulation.world import DAY, HOUR, MODEL, PLAN, SPEC, START, Fate, World, memory_world

BOUGHT = "bought"
MOMENT = timedelta(microseconds=1)
RATES = {"1": 0.1, "2": 0.4}
DESIGN = Bandit("offers", MODEL, ("1", "2"), BOUGHT, every=DAY / 2, least=40)
SHOP = replace(SPEC, outcomes=(BOUGHT,))
WITH_BANDIT = replace(PLAN, spec=SHOP, bandits=(DESIGN,), retraining=None)


@dataclass
class Shop(World):
    """A world whose answers follow arms, and whose customers buy by who answered."""

    def answers(self, window: Window) -> Iterator[pa.Table]:
        rows = self.fate.traffic(window)
        route = self.route
        versions, roles = assign(route, texts(rows, "entity"))
        shares = {f"arm:{arm.version}": arm.share for arm in route.arms}
        for version, role in sorted({*zip(versions, map(str, roles), strict=True)}):
            mine = [pair == (version, role) for pair in zip(versions, map(str, roles), strict=True)]
            part = rows.filter(pa.array(mine))
            scores = self.ports.scorer.score(SHOP, version, part)
            table = to_records(SHOP, part, scores, version, role)
            place = table.column_names.index("arm_share")
            chances = pa.array([shares.get(role)] * len(table), pa.float64())
            yield table.set_column(place, "arm_share", chances)
            self.buy(table, RATES[version], window)

    def buy(self, table: pa.Table, rate: float, window: Window) -> None:
        rng = np.random.default_rng([7, len(table), (window.start - START) // HOUR])
        bought = table.filter(pa.array(rng.random(len(table)) < rate))
        columns = {
            "prediction_id": bought["prediction_id"],
            "label": np.ones(len(bought)),
            "arrival": pa.array(
                micros(bought, "timestamp") + HOUR // timedelta(microseconds=1), TIMESTAMP
            ),
            "outcome": [BOUGHT] * len(bought),
        }
        self.ports.log.append_labels(SHOP, pa.table(columns, schema=OUTCOME_SCHEMA))

    @property
    def route(self) -> Route:
        return self.ports.routes.current(MODEL) or Route(MODEL)

    def ask(self, request: Request, subject: str) -> None:
        submit(self.ports.records, Command(request, MODEL, "ana", subject), self.clock.now())


def shop(folder: Path) -> Shop:
    made = memory_world(folder, Fate(1), WITH_BANDIT)
    world = Shop(made.engine, made.clock, made.fate)
    registry = world.ports.registry
    card = ModelVersion(MODEL, "", "linear", "", world.clock.now())
    assert registry.register(card, registry.path(MODEL, "1")).version == "2"
    return world


def test_a_bandit_steers_the_route_and_a_push_ends_it(tmp_path: Path) -> None:
    world = shop(tmp_path)
    world.ask(Request.START_BANDIT, "offers")
    world.advance()
    assert world.route.shares == {"1": 0.5, "2": 0.5}
    assert world.route.experiment == "bandit:offers"
    for _ in range(12):
        world.advance()
        check_all(world.scene)
        check_once(world.scene)
    assert world.route.shares["2"] > 0.9
    moved = [d for d in world.ports.records.decisions(MODEL) if d.action == "publish_arms"]
    assert "best with" in moved[-1].reason
    world.ask(Request.PUSH, "2")
    world.advance()
    assert world.route.shares == {"2": 1.0}
    state = world.ports.records.read(bandit_key(MODEL), BanditState)
    assert state is not None
    assert not state.on
    assert "asked to push" in state.reason
    assert not world.problems
