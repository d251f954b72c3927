"""A bandit run day by day on a market that it does not know; only its arms, log and rewards do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.domain.decision import Cause, Diagnosis
from homeostat.domain.verdict import Monitor
from homeostat.engine.arms import publish_arms, withdraw_arms
from homeostat.engine.bandit_learning import HELD
from homeostat.engine.bandits import Dealer
from homeostat.engine.commands import Command, Request
from homeostat.engine.watch import Fault, rollout_key
from homeostat.rollout.bandit.design import Bandit, Delay, Kind
from homeostat.rollout.state import RolloutState, Stage
from simulation.dealing import NAME, OUTCOME, Market, Rate, steady
from simulation.world import DAY, MODEL, START
from unit.engine.bench import verdict

ARMS = ("v1", "v2")
DESIGN = Bandit(NAME, MODEL, ARMS, OUTCOME, least=60)
FAST = {"v1": 0.3, "v2": 0.3}
SLOW = {"v1": 0.2, "v2": 1.5}


def market(
    folder: Path,
    design: Bandit = DESIGN,
    rates: tuple[float | Rate, float | Rate] = (0.15, 0.3),
    *,
    delays: Mapping[str, float] = FAST,
    maturity: timedelta = 3 * DAY,
    daily: int = 120,
    people: int = 100_000,
    mute: frozenset[str] = frozenset(),
    habits: bool = False,
) -> Market:
    by_arm = [rate if callable(rate) else steady(rate) for rate in rates]
    given = dict(zip(ARMS, by_arm, strict=True))
    return Market(
        folder, design, given, delays, maturity, daily, people=people, mute=mute, habits=habits
    )


def begun(found: Market, days: int = 0) -> Market:
    found.live(days)
    found.tick(Request.START_BANDIT, reason="try it")
    return found


def test_traffic_goes_to_the_better_arm_and_the_floor_stays(tmp_path: Path) -> None:
    found = begun(market(tmp_path))
    assert found.shares == {"v1": 0.5, "v2": 0.5}
    found.live(14)
    assert found.shares["v2"] > 0.9
    assert found.shares["v1"] >= 0.05
    assert found.part("v2", 9) > 0.9
    state = found.state
    assert state is not None
    assert state.batches == 14
    assert state.arms[1].mean == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("delay", list(Delay), ids=str)
def test_an_arm_whose_rewards_are_slow_is_not_taken_for_a_bad_one(
    tmp_path: Path, delay: Delay
) -> None:
    design = replace(DESIGN, delay=delay)
    found = begun(market(tmp_path, design, delays=SLOW, maturity=6 * DAY), 13)
    found.live(5)
    # Nobody knows yet how long its rewards take.
    assert found.shares == {"v1": 0.5, "v2": 0.5}
    found.live(10)
    assert found.shares["v2"] > 0.85


def test_known_delays_are_learnt_from_long_before_rewards_mature(tmp_path: Path) -> None:
    slow = dict.fromkeys(ARMS, 2.0)
    design = replace(DESIGN, delay=Delay.WEIGHTED)
    weighted = begun(market(tmp_path, design, delays=slow, maturity=8 * DAY), 17)
    weighted.live(7)
    assert weighted.shares["v2"] > 0.9
    patient = begun(market(tmp_path, delays=slow, maturity=8 * DAY), 1)
    patient.live(7)
    assert patient.shares["v2"] == 0.5


def test_a_change_of_the_better_arm_is_followed_by_one_that_forgets(tmp_path: Path) -> None:
    def turned(first: float, second: float) -> Rate:
        return lambda day: first if day < 11 else second

    rates = (turned(0.1, 0.3), turned(0.3, 0.1))
    found = begun(market(tmp_path, replace(DESIGN, discount=0.8, floor=0.1), rates))
    found.live(11)
    assert found.shares["v2"] > 0.75
    found.live(14)
    assert found.shares["v1"] > 0.8


def test_labels_of_one_arm_only_hold_the_shares(tmp_path: Path) -> None:
    found = begun(market(tmp_path, mute=frozenset({"v2"})))
    found.live(8)
    assert found.shares == {"v1": 0.5, "v2": 0.5}
    held = [reason for action, reason in found.actions if action == "hold_bandit"]
    assert held == [HELD.format("v2")]
    found.mute = frozenset()
    found.live(11)
    assert found.state is not None
    assert not found.state.held
    assert found.shares["v2"] > 0.8
    # What was lost counts for nobody, then or later.
    assert [arm.mean for arm in found.state.arms] == pytest.approx([0.15, 0.3], abs=0.03)


def test_labels_that_stay_away_for_a_while_count_for_nobody(tmp_path: Path) -> None:
    found = begun(market(tmp_path, maturity=2 * DAY))
    found.live(8)
    assert found.shares["v2"] > 0.8
    found.mute = frozenset({"v2"})
    found.live(6)
    assert found.shares["v2"] > 0.8
    found.mute = frozenset()
    found.live(5)
    state = found.state
    assert state is not None
    assert [each.version for each in state.quiet] == ["v2"]
    assert state.arms[1].mean == pytest.approx(0.3, abs=0.05)
    assert found.shares["v2"] > 0.8


def test_an_arm_whose_labels_stay_away_for_good_ends_it(tmp_path: Path) -> None:
    found = begun(market(tmp_path, maturity=DAY, daily=40, mute=frozenset({"v2"})))
    found.live(34)
    assert found.state is not None
    assert (found.state.on, found.state.reason) == (False, HELD.format("v2"))


def test_repeated_customers_are_no_independent_evidence(tmp_path: Path) -> None:
    found = market(tmp_path, people=40)
    again = market(tmp_path, people=40, habits=True)
    counted = []
    for each in (found, again):
        begun(each).live(7)
        assert each.state is not None
        counted.append(sum(arm.rows for arm in each.state.arms))
    # Each customer answered some 12 times in the four days that are complete.
    assert counted[0] > 240
    assert counted[1] < 80


def test_customers_who_come_back_after_the_horizon_are_no_new_evidence(tmp_path: Path) -> None:
    found = begun(market(tmp_path, people=40, habits=True, maturity=DAY))
    found.live(25)
    assert found.state is not None
    assert found.state.settled_until > START + 15 * DAY
    # Each of the 40 customers answered some 75 times, and always alike.
    assert sum(arm.rows for arm in found.state.arms) < 80


@pytest.mark.parametrize("kind", [Kind.VALUE, Kind.SCORE], ids=str)
def test_amounts_and_losses(tmp_path: Path, kind: Kind) -> None:
    design = replace(DESIGN, kind=kind, better="lower", least=10)
    found = begun(market(tmp_path, design, (0.15, 0.4)))
    found.live(14)
    if kind is Kind.VALUE:
        assert found.shares["v1"] > 0.8
    else:  # all scores are the same: those who gave none say nothing
        assert 0.1 < found.shares["v1"] < 0.9


def test_rows_of_a_data_fault_say_nothing(tmp_path: Path) -> None:
    found = market(tmp_path)
    broken = Fault("amount", START, START + 30 * DAY, "cents")
    found.watch = replace(found.watch, faults=(broken,))
    begun(found)
    found.live(5)
    assert found.shares == {"v1": 0.5, "v2": 0.5}
    assert found.state is not None
    assert found.state.held == "v1 has 0 of 60 answers that count"


def test_rows_are_read_again_only_for_as_long_as_their_rewards_may_change(tmp_path: Path) -> None:
    found = begun(market(tmp_path, maturity=2 * DAY, daily=60))
    found.live(14)
    state = found.state
    assert state is not None
    assert state.settled_until == START + 5 * DAY
    assert state.arms[1].settled.n > 0
    total = sum(arm.rows for arm in state.arms)
    assert total == pytest.approx(60 * 12, rel=0.1)


def test_the_same_draws_are_made_again(tmp_path: Path) -> None:
    one, other = begun(market(tmp_path)), begun(market(tmp_path))
    one.live(6)
    other.live(6)
    assert one.state == other.state
    assert one.shares == other.shares


def unwell(found: Market) -> None:
    found.watch = found.watch.noting((verdict(Monitor.SERVICE, "availability"),))


def bad(found: Market) -> None:
    said = Diagnosis(Cause.BAD_VERSION, (), "roll back", "v1 is worse than v0", retrain=False)
    found.watch = replace(found.watch, diagnosis=said)


def changed(found: Market) -> None:
    found.champion = "v2"


def gone(found: Market) -> None:
    found.plan = replace(found.plan, bandits=())


def others(found: Market) -> None:
    design = replace(DESIGN, arms=("v1", "v3"))
    found.plan = replace(found.plan, bandits=(design,))


def taken(found: Market) -> None:
    with found.records.begin() as uow:
        now = found.clock.now()
        withdraw_arms(uow, MODEL, actor="ben", reason="release day", now=now)


def dropped(found: Market) -> None:
    with found.records.begin() as uow:
        publish_arms(
            uow, MODEL, {"v1": 0.5},
            owner=f"bandit:{NAME}", actor="homeostat", reason="v2 was aborted", now=START,
        )  # fmt: skip


def barred(found: Market) -> None:
    with found.records.begin() as uow:
        uow.load(rollout_key(MODEL), RolloutState)
        uow.save(rollout_key(MODEL), RolloutState(MODEL, Stage.CHAMPION, "v1", aborted=("v2",)))
    found.live(12)


ENDS = {
    "service": (unwell, "the service is not well"),
    "version": (bad, "the champion is not well: v1 is worse than v0"),
    "champion": (changed, "v2 is champion now, in place of v1"),
    "settings": (gone, "homeostat.yaml has it no more"),
    "arms": (others, "homeostat.yaml has it no more, or with other arms"),
    "operator": (taken, "its arms were taken away: release day"),
    "aborted": (dropped, "fewer than two arms are left"),
    "barred": (barred, "v2 of toy was aborted"),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_ends_a_bandit_gives_everybody_to_the_champion(tmp_path: Path, name: str) -> None:
    end, reason = ENDS[name]
    found = begun(market(tmp_path, daily=40))
    end(found)
    found.tick()
    state = found.state
    assert state is not None
    assert not state.on
    assert reason in state.reason
    assert found.shares == {}
    assert ("stop_bandit", state.reason) in found.actions
    found.live(2)
    assert found.state == state


def test_a_person_stops_it_and_may_start_it_again(tmp_path: Path) -> None:
    found = begun(market(tmp_path, daily=40))
    found.tick(Request.RETRAIN)  # is for others
    found.tick(Request.STOP_BANDIT, reason="enough")
    assert found.shares == {}
    assert found.state is not None
    assert (found.state.reason, found.state.actor) == ("enough", "ana")
    found.tick(Request.START_BANDIT)
    assert found.shares == {"v1": 0.5, "v2": 0.5}


def refusals(found: Market) -> list[str]:
    return [reason for action, reason in found.actions if action == "refuse"]


def test_what_cannot_be_started_is_refused_with_the_reason(tmp_path: Path) -> None:
    found = market(tmp_path, daily=40)
    found.tick(Request.STOP_BANDIT)
    unknown = Command(Request.START_BANDIT, MODEL, "ana", "nobody")
    with found.records.begin() as uow:
        dealer = Dealer(found.plan, uow, found.log, found.registry, START)
        dealer.run(found.watch, "v1", (unknown,))
    (tmp_path / "v2").write_text("another")
    found.tick(Request.START_BANDIT)
    (tmp_path / "v2").write_text("v2")
    with found.records.begin() as uow:
        publish_arms(
            uow, MODEL, {"v9": 0.5}, owner="operator", actor="ben", reason="mine", now=START
        )
    found.tick(Request.START_BANDIT)
    taken(found)
    unwell(found)
    found.tick(Request.START_BANDIT)
    found.watch = replace(found.watch, latest=())
    found.tick(Request.START_BANDIT)
    found.tick(Request.START_BANDIT)
    told = refusals(found)
    assert [reason.split(": ")[0] for reason in told] == ["stop_bandit"] + ["start_bandit"] * 5
    assert told[1].endswith("no bandit 'nobody' of toy; there are: prices")
    assert "the artifact of version v2 of toy was changed" in told[2]
    assert "arms of operator stand for toy" in told[3]
    assert "the service is not well" in told[4]
    assert "the bandit prices runs; stop it first" in told[5]


def test_part_of_the_traffic_takes_part(tmp_path: Path) -> None:
    found = begun(market(tmp_path, replace(DESIGN, traffic=0.6, least=30)))
    found.live(12)
    assert sum(found.shares.values()) == pytest.approx(0.6, abs=1e-9)
    assert found.part("") == pytest.approx(0.4, abs=0.05)
    assert found.shares["v2"] > 0.5
