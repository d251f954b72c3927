from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.rollout.experiment.analyse import analyse
from homeostat.rollout.experiment.design import Experiment, Horizon, Kind, Metric, Role
from homeostat.rollout.experiment.life import (
    PATIENCE,
    Early,
    ExperimentState,
    Stage,
    look_early,
    step,
)
from homeostat.rollout.experiment.plan import ExperimentPlan, Source
from homeostat.rollout.experiment.report import Decision, Report
from homeostat.rollout.experiment.tally import Measured, Tally
from homeostat.stats.moments import PairSums

NOW = datetime(2024, 1, 1, tzinfo=UTC)
PAID = Metric("paid", Kind.CONVERSION)
ERRORS = Metric("errors", Kind.ERROR_RATE, Role.GUARDRAIL, margin=0.9)
DESIGN = Experiment("checkout", ("v7", "v8", "v9"), (PAID, ERRORS), 60_000, (0.4, 0.3, 0.3))
PLAN = ExperimentPlan("shop", DESIGN, (Source("paid", of="bought"), Source("errors")))
STATE = ExperimentState(PLAN, Stage.RUNNING, "ana", NOW)
FINE = Early(30_000, 1.0)


def arm(n: int, paid: float, errors: float = 0.05) -> Tally:
    def hits(share: float) -> Measured:
        successes = float(round(n * share))
        return Measured(PairSums(float(n), successes, successes))

    return Tally(n, {"paid": hits(paid), "errors": hits(errors)})


def report(*paid: float, n: int = 10_000, errors: float = 0.05) -> Report:
    sizes = [round(n * share / 0.4) for share in DESIGN.share_of.values()]
    arms = zip(DESIGN.arms, sizes, paid, strict=True)
    tallies = {name: arm(size, share) for name, size, share in arms}
    tallies["v9"] = arm(sizes[2], paid[2], errors)
    return analyse(DESIGN, tallies)


def test_a_version_that_ships_waits_and_is_told_of_once() -> None:
    first = step(STATE, report(0.1, 0.2, 0.1), FINE, NOW)
    assert (first.state.stage, first.state.winner, first.submit) == (Stage.WAITING, "v8", "")
    assert [entry.action for entry in first.entries] == ["ship_experiment"]
    assert dict(first.entries[0].evidence)["v8.paid.change"] == pytest.approx(1.0)
    assert step(first.state, report(0.1, 0.2, 0.1), FINE, NOW).entries == ()


def test_what_no_longer_ships_does_not_wait() -> None:
    waiting = step(STATE, report(0.1, 0.2, 0.1), FINE, NOW).state
    found = step(waiting, report(0.1, 0.1, 0.1), FINE, NOW)
    assert (found.state.stage, found.state.winner) == (Stage.RUNNING, "")
    assert [entry.action for entry in found.entries] == ["reopen_experiment"]


def test_a_fixed_horizon_is_not_read_again_while_a_person_is_waited_for() -> None:
    fixed = replace(STATE, plan=replace(PLAN, design=replace(DESIGN, horizon=Horizon.FIXED)))
    waiting = replace(fixed, stage=Stage.WAITING, winner="v8", decision=Decision.SHIP)
    found = step(waiting, report(0.1, 0.1, 0.1), FINE, NOW)
    assert (found.state, found.entries) == (waiting, ())


def test_nobody_is_waited_for_without_end() -> None:
    waiting = step(STATE, report(0.1, 0.2, 0.1), FINE, NOW).state
    later = step(waiting, report(0.1, 0.2, 0.1), FINE, NOW + PATIENCE - timedelta(hours=1)).state
    assert (later.stage, later.asked) == (Stage.WAITING, NOW)
    found = step(later, report(0.1, 0.2, 0.1), FINE, NOW + PATIENCE)
    assert (found.state.stage, found.state.winner, found.submit) == (Stage.ENDED, "", "")
    assert found.state.reason.startswith("nobody decided for 14 days, the control stays; v8")


def test_harm_is_looked_for_while_a_person_is_waited_for() -> None:
    waiting = step(STATE, report(0.1, 0.2, 0.1), FINE, NOW).state
    found = step(waiting, report(0.1, 0.2, 0.1, errors=0.2), FINE, NOW)
    assert found.state.dropped == ("v9",)
    assert found.state.plan.design.arms == ("v7", "v8")
    assert "v9: worse: errors" in found.state.reason


def test_the_split_comes_first() -> None:
    found = step(STATE, report(0.1, 0.2, 0.1), replace(FINE, sample_ratio=1e-6), NOW)
    assert (found.state.stage, found.submit) == (Stage.ENDED, "")
    assert "p = 1e-06" in found.state.reason


def test_auto_promotion_submits_and_ends() -> None:
    state = replace(STATE, plan=replace(PLAN, auto_promote=True))
    found = step(state, report(0.1, 0.2, 0.1), FINE, NOW)
    assert (found.submit, found.state.stage, found.state.winner) == ("v8", Stage.ENDED, "v8")


def test_the_last_look_ends_it_without_proof() -> None:
    found = step(STATE, report(0.1, 0.1, 0.1, n=24_000), FINE, NOW)
    assert (found.state.stage, found.submit) == (Stage.ENDED, "")
    assert "its size is reached without proof" in found.state.reason
    late = step(STATE, report(0.1, 0.1, 0.1), FINE, NOW + timedelta(days=90))
    assert "its longest time is reached" in late.state.reason


def test_harm_is_found_before_outcomes_are_due() -> None:
    met = {"v7": arm(8000, 0.0), "v8": arm(6000, 0.0, errors=0.2), "v9": arm(6000, 0.0)}
    early = look_early(PLAN, met)
    assert [(effect.arm, effect.metric.name) for effect in early.harmed] == [("v8", "errors")]
    assert (early.entities, early.sample_ratio) == (20_000, 1.0)
    found = step(STATE, analyse(DESIGN, {}), early, NOW)
    assert found.state.dropped == ("v8",)
    assert found.state.plan.shares == {"v7": 0.4, "v9": 0.3}


def test_only_what_the_log_measures_by_itself_is_known_early() -> None:
    told = replace(PLAN, sources=(Source("paid", of="bought"), Source("errors", of="failed")))
    assert (PLAN.immediate, told.immediate) == ((ERRORS,), ())
    met = {"v7": arm(8000, 0.0), "v8": arm(6000, 0.0, errors=0.2), "v9": arm(6000, 0.0)}
    assert look_early(told, met).harmed == ()


def test_a_plan_that_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="one source for each of paid, errors"):
        replace(PLAN, sources=())
    with pytest.raises(ValueError, match="share of traffic"):
        replace(PLAN, traffic=0.0)
