"""Experiments on simulated customers: what is found, what is not, and what ends them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from homeostat.domain.errors import DataError, NotFoundError
from homeostat.domain.model import ModelVersion
from homeostat.domain.window import Window
from homeostat.engine.arms import arms_of, publish_arms, withdraw_arms
from homeostat.engine.commands import Inbox, Request, inbox_key
from homeostat.engine.experiments import (
    CHAMPION,
    Experiments,
    Laboratory,
    end,
    experiments_key,
    experiments_of,
    ledger_key,
    start,
)
from homeostat.engine.experiments_before import forecast, read_past, rehearse_past
from homeostat.engine.experiments_ledger import Ledger
from homeostat.engine.watch import rollout_key
from homeostat.rollout.experiment.design import Experiment, Kind, Metric
from homeostat.rollout.experiment.life import Stage
from homeostat.rollout.experiment.plan import ExperimentPlan, Source
from homeostat.rollout.experiment.report import Decision
from homeostat.rollout.state import RolloutState
from homeostat.serving.plan import assign
from simulation.fitting import contrary
from simulation.market import (
    BEGIN,
    DAY,
    DESIGN,
    ERRORS,
    MODEL,
    PAID,
    PLAN,
    SLOW,
    SPEC,
    SPENT,
    Manner,
    Market,
    market,
)
from simulation.world import MODEL as TOY
from simulation.world import Fate, memory_world

ERRORS_FIRST = Metric("errors", Kind.ERROR_RATE)
GUARDED = replace(
    PLAN,
    design=replace(DESIGN, metrics=(PAID, ERRORS, SLOW)),
    sources=(*PLAN.sources, Source("errors"), Source("slow")),
)
THREE = replace(
    GUARDED, design=replace(GUARDED.design, arms=("v1", "v2", "v3"), shares=(0.4, 0.3, 0.3))
)


def submitted(world: Market) -> list[tuple[str, str]]:
    inbox = world.ports.records.read(inbox_key(MODEL), Inbox) or Inbox()
    return [(command.request.value, command.subject) for command in inbox.commands]


def test_a_lift_is_found_and_waits_for_a_person(tmp_path: Path) -> None:
    world = market(1, folder=tmp_path, customers=350, v2=Manner(buys=0.5))
    world.begin(GUARDED)
    world.live(7)
    state = world.state
    assert (state.stage, state.winner, state.decision) == (Stage.WAITING, "v2", Decision.SHIP)
    assert arms_of(world.ports.records, MODEL).shares == {"v1": 0.5, "v2": 0.5}
    assert world.actions().count("ship_experiment") == 1
    assert not submitted(world)
    state = end(world.ports.records, MODEL, "checkout", "ana", world.clock.now(), promote=True)
    assert state.stage is Stage.ENDED
    assert submitted(world) == [(Request.SUBMIT.value, "v2")]
    assert not arms_of(world.ports.records, MODEL).owner


def test_a_lift_is_rolled_out_by_itself_where_the_owner_says_so(tmp_path: Path) -> None:
    world = market(1, folder=tmp_path, customers=350, v2=Manner(buys=0.5))
    world.begin(replace(PLAN, auto_promote=True))
    world.live(8)
    assert (world.state.stage, world.state.winner) == (Stage.ENDED, "v2")
    assert submitted(world) == [(Request.SUBMIT.value, "v2")]
    assert not arms_of(world.ports.records, MODEL).owner


def test_the_same_version_twice_does_not_ship(tmp_path: Path) -> None:
    world = market(3, folder=tmp_path, customers=400)
    world.begin(replace(GUARDED, design=replace(GUARDED.design, size=2_000)))
    world.live(8)
    assert (world.state.stage, world.state.winner) == (Stage.ENDED, "")
    assert "its size is reached without proof" in world.state.reason
    assert not submitted(world)


def test_what_answers_slowly_is_taken_back_before_any_outcome_is_due(tmp_path: Path) -> None:
    world = market(2, folder=tmp_path, customers=600, v2=Manner(buys=0.2, slow=200.0))
    world.begin(GUARDED)
    world.live(2)
    assert world.report.decision is Decision.NO_DATA
    assert world.state.stage is Stage.ENDED
    assert "worse: slow" in world.state.reason
    assert not arms_of(world.ports.records, MODEL).owner


def test_one_arm_does_harm_and_the_others_go_on(tmp_path: Path) -> None:
    world = market(2, folder=tmp_path, customers=500, v2=Manner(fails=0.6), v3=Manner(buys=0.5))
    world.begin(THREE)
    world.live(3)
    assert (world.state.stage, world.state.dropped) == (Stage.RUNNING, ("v2",))
    assert arms_of(world.ports.records, MODEL).shares == {"v1": 0.4, "v3": 0.3}
    assert world.state.plan.design.alpha == 0.025
    world.live(4)
    assert (world.state.stage, world.state.winner) == (Stage.WAITING, "v3")
    assert world.report.sample_ratio > 0.5


def test_rows_that_one_arm_loses_end_it(tmp_path: Path) -> None:
    world = market(2, folder=tmp_path, customers=800, v2=Manner(lost=0.6))
    world.begin()
    world.live(3)
    assert world.state.stage is Stage.ENDED
    assert "not split as planned" in world.state.reason
    assert not submitted(world)


def test_labels_of_one_arm_only_are_refused_with_the_reason(tmp_path: Path) -> None:
    world = market(2, folder=tmp_path, customers=300, v2=Manner(told=False))
    world.begin(replace(PLAN, design=replace(DESIGN, size=1_200)))
    world.live(6)
    assert world.report.decision is Decision.NO_DATA
    assert "labels came for one arm only, none for v2: not compared" in world.state.reason
    assert world.actions().count("hold_experiment") == 1
    world.live(2)
    assert (world.state.stage, world.state.winner) == (Stage.ENDED, "")


def test_what_only_happened_is_told_of(tmp_path: Path) -> None:
    world = market(5, folder=tmp_path, customers=200, v1=Manner(told=False), v2=Manner(told=False))
    world.begin(replace(PLAN, sources=(Source("paid", of="bought", absent=True),)))
    world.live(5)
    (arm,) = world.report.arms
    assert arm.effects[0].n_control > 0
    assert arm.effects[0].control == 0.0


def test_a_correction_changes_the_window_it_belongs_to(tmp_path: Path) -> None:
    world = market(4, folder=tmp_path, customers=400)
    world.begin()
    world.live(5)
    before = world.report.arms[0].effects[0]
    ids = [f"0-{row}" for row in range(400)]
    world.tell("bought", ids, np.ones(400), world.clock.now())
    world.live(1)
    window = Window(BEGIN, BEGIN + DAY)
    ledger = world.ports.records.read(ledger_key(MODEL, "checkout"), Ledger)
    assert ledger is not None
    assert ledger.cohorts[0].window == window
    sums = [part.metrics[0].sums for part in ledger.cohorts[0].parts if not part.segment]
    assert sum(each.y for each in sums) >= 400
    assert world.report.arms[0].effects[0].control > before.control


def test_everybody_is_counted_once_and_old_windows_are_settled(tmp_path: Path) -> None:
    world = market(4, folder=tmp_path, customers=30)
    plan = replace(PLAN, design=replace(DESIGN, size=10_000), segments=("country",))
    world.begin(plan)
    world.live(22)
    ledger = world.ports.records.read(ledger_key(MODEL, "checkout"), Ledger)
    assert ledger is not None
    assert ledger.settled
    # All that were met until the looks end, and those of the day before who came back on the first.
    assert sum(part.assigned for part in ledger.met() if not part.segment) == 21 * 30 + 10
    assert world.report.entities == 19 * 30 + 10
    whole = sum(part.assigned for part in ledger.met() if part.segment)
    assert whole == 21 * 30 + 10
    assert {part.segment for part in ledger.met()} == {"", "country=DE", "country=FR"}
    assert {each.segment for each in world.report.segments} == {"country=DE", "country=FR"}


def test_it_ends_after_its_longest_time(tmp_path: Path) -> None:
    world = market(4, folder=tmp_path, customers=60)
    world.begin(replace(PLAN, longest=3 * DAY))
    world.live(3)
    assert world.state.stage is Stage.ENDED
    assert "its longest time is reached" in world.state.reason


def test_a_look_waits_for_its_time(tmp_path: Path) -> None:
    world = market(4, folder=tmp_path, customers=60)
    world.begin()
    world.live(2)
    looked = world.state.looked
    world.clock.advance(timedelta(hours=1))
    Laboratory(world.ports).tend(SPEC, world.clock.now())
    assert world.state.looked == looked


@pytest.mark.parametrize("way", ["aborted", "withdrawn"])
def test_it_ends_when_what_it_compares_is_gone(tmp_path: Path, way: str) -> None:
    world = market(4, folder=tmp_path, customers=60)
    world.begin()
    now = world.clock.now()
    with world.ports.records.begin() as uow:
        state = uow.load(rollout_key(MODEL), RolloutState)
        assert state is not None
        if way == "aborted":
            uow.save(rollout_key(MODEL), replace(state, aborted=("v2",)))
        else:
            withdraw_arms(uow, MODEL, actor="ana", reason="enough", now=now)
    Laboratory(world.ports).tend(SPEC, now)
    assert world.state.stage is Stage.ENDED
    assert ("v2 was aborted" if way == "aborted" else "enough") in world.state.reason
    Laboratory(world.ports).tend(SPEC, now)  # nothing is open any more


def test_a_part_of_the_traffic_against_whoever_serves(tmp_path: Path) -> None:
    world = market(4, folder=tmp_path, customers=60)
    arms = (CHAMPION, "v2")
    world.begin(replace(PLAN, design=replace(DESIGN, arms=arms), traffic=0.2))
    assert arms_of(world.ports.records, MODEL).shares == {"v1": 0.1, "v2": 0.1}
    end(world.ports.records, MODEL, "checkout", "ana", world.clock.now(), "enough")
    assert world.state.reason == "enough"
    again = world.begin()
    assert experiments_of(world.ports.records, MODEL).states == (again,)


def test_what_cannot_begin_says_why(tmp_path: Path) -> None:
    world = market(4, folder=tmp_path, customers=60)
    records, registry, now = world.ports.records, world.ports.registry, world.clock.now()

    def begin(*arms: str) -> None:
        start(records, registry, replace(PLAN, design=replace(DESIGN, arms=arms)), "ana", now)

    with pytest.raises(DataError, match="has v1 twice, which is the champion"):
        begin(CHAMPION, "v1")
    with pytest.raises(NotFoundError, match="v9"):
        begin("v1", "v9")
    with records.begin() as uow:
        publish_arms(uow, MODEL, {"v2": 0.1}, owner="operator", actor="a", reason="r", now=now)
    with pytest.raises(DataError, match="arms of operator stand"):
        begin("v1", "v2")
    with records.begin() as uow:
        withdraw_arms(uow, MODEL, actor="ana", reason="enough", now=now)
    begin("v1", "v2")
    with pytest.raises(DataError, match="checkout of shop is running; one at a time"):
        begin("v1", "v3")
    with pytest.raises(NotFoundError, match="no running experiment 'prices'"):
        end(records, MODEL, "prices", "ana", now)
    with pytest.raises(DataError, match="no version to ship"):
        end(records, MODEL, "checkout", "ana", now, promote=True)
    with records.begin() as uow:
        uow.delete(rollout_key(MODEL))
    end(records, MODEL, "checkout", "ana", now)
    with pytest.raises(NotFoundError, match="has no champion yet"):
        begin("v1", "v2")


def test_the_past_says_how_large_and_how_long(tmp_path: Path) -> None:
    world = market(6, folder=tmp_path, customers=400)
    world.live(12)
    plan = replace(
        GUARDED,
        design=replace(GUARDED.design, metrics=(*GUARDED.design.metrics, SPENT)),
        sources=(*GUARDED.sources, Source("spent", of="money", before="before")),
    )
    past = read_past(plan, world.log, SPEC, 8, world.clock.now())
    found = forecast(plan, past, effect=0.5, power=0.8)
    assert found.entities == 8 * 400 + 133
    by = {need.metric: need for need in found.needs}
    assert by["paid"].figure == pytest.approx(0.12, abs=0.02)
    assert "too little is on record" in by["spent"].problem
    assert found.size == round(max(by[name].entities for name in ("paid", "errors", "slow")))
    alone = replace(PLAN, traffic=0.5)
    soon = forecast(alone, past, effect=2.0, power=0.8)
    assert soon.days == pytest.approx(2 * soon.size / 400, abs=1.0)
    assert soon.days < 8 < forecast(alone, past, effect=0.1, power=0.8).days
    rehearsal, tests = rehearse_past(plan, past, np.random.default_rng(1), runs=20)
    assert rehearsal.sound
    assert [test.metric for test in tests] == ["paid", "errors", "spent"]
    with pytest.raises(DataError, match="200 are needed"):
        read_past(plan, world.log, SPEC, 1, BEGIN + 4 * DAY - timedelta(hours=20))


def test_the_engine_publishes_the_arms_and_rolls_the_winner_out(tmp_path: Path) -> None:
    world = memory_world(tmp_path, Fate(1))
    records, registry, routes = world.ports.records, world.ports.registry, world.ports.routes
    card = ModelVersion(TOY, "", "linear", "", world.clock.now())
    registry.register(card, contrary(tmp_path / "new"))
    design = Experiment("tone", (CHAMPION, "2"), (ERRORS_FIRST,), 10_000, shares=(0.5, 0.5))
    plan = ExperimentPlan(TOY, design, (Source("errors"),))
    state = start(records, registry, plan, "ana", world.clock.now())
    world.advance()
    route = routes.current(TOY)
    assert route is not None
    assert route.shares == {"1": 0.5, "2": 0.5}
    assert {role.partition(":")[0] for role in assign(route, ["anna", "ben"])[1]} == {"arm"}
    with records.begin() as uow:  # as if it had been shown to be better
        known = uow.load(experiments_key(TOY), Experiments)
        assert known is not None
        waiting = replace(state, stage=Stage.WAITING, winner="2")
        uow.save(experiments_key(TOY), Experiments((waiting,)))
    end(records, TOY, "tone", "ana", world.clock.now(), promote=True)
    world.advance()
    route = routes.current(TOY)
    assert route is not None
    assert (route.arms, world.rollout.challenger) == ((), "2")
    assert not world.problems
