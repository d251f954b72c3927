"""Rollouts obey people, are guarded, and move on evidence alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from homeostat.domain.decision import Cause, Diagnosis
from homeostat.domain.errors import ArtifactError, DataError
from homeostat.domain.model import ModelVersion
from homeostat.domain.verdict import DEGRADED, Monitor, Status
from homeostat.engine.commands import Command, Request
from homeostat.engine.rollouts import Rolled, advance, evidence, guard, obey
from homeostat.engine.watch import Pairing
from homeostat.rollout.events import EvidenceKind
from homeostat.rollout.state import RolloutState, Stage
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRegistry, MemoryScorer
from homeostat.stats.paired import PairedBets, bet_on_differences
from simulation.fitting import contrary
from simulation.world import DAY, MODEL, PLAN, START
from unit.engine.bench import verdict, watch

REST = RolloutState(MODEL, Stage.CHAMPION, "2", ("1",), promoted_at=START,
                    probation_until=START + DAY)  # fmt: skip
LIVE = replace(REST, challenger="3", since=START, submitted_at=START)
WAITING = replace(LIVE, stage=Stage.PROMOTING, weight=0.5)
BAD = Diagnosis(Cause.BAD_VERSION, (), "Roll back.", "Version 2 does worse.", retrain=False)
APPROVAL = replace(PLAN, rollout=replace(PLAN.rollout, approval=True))


@pytest.fixture
def registry(tmp_path: Path) -> MemoryRegistry:
    made = MemoryRegistry()
    for number in "123":
        artifact = contrary(tmp_path / number)
        made.register(ModelVersion(MODEL, number, "linear", "", START), artifact)
    return made


@pytest.mark.parametrize(
    ("request_", "subject", "before", "action", "stage"),
    [
        (Request.PUSH, "3", REST, "push", Stage.CHAMPION),
        (Request.SUBMIT, "3", REST, "submit", Stage.CANDIDATE),
        (Request.ROLL_BACK, "", REST, "roll_back", Stage.CHAMPION),
        (Request.ABORT, "", replace(LIVE, stage=Stage.SHADOW), "abort", Stage.CHAMPION),
        (Request.APPROVE, "", WAITING, "approve", Stage.PROMOTING),
    ],
)
def test_people_are_obeyed(
    registry: MemoryRegistry,
    request_: Request,
    subject: str,
    before: RolloutState,
    action: str,
    stage: Stage,
) -> None:
    asked = Command(request_, MODEL, "ana", subject)
    after = obey(APPROVAL, Rolled(before), (asked,), registry, START)
    assert after.state.stage is stage
    assert (after.decisions[-1].action, after.decisions[-1].actor) == (action, "ana")


@pytest.mark.parametrize(
    ("asked", "before"),
    [
        (Command(Request.PUSH, MODEL, "ana", "77"), REST),
        (Command(Request.SUBMIT, MODEL, "ana", "77"), REST),
        (Command(Request.SUBMIT, MODEL, "ana", "2"), replace(LIVE, stage=Stage.SHADOW)),
        (Command(Request.APPROVE, MODEL, "ana"), REST),
        (Command(Request.ABORT, MODEL, "ana"), REST),
    ],
)
def test_what_cannot_be_done_is_refused_on_record(
    registry: MemoryRegistry, asked: Command, before: RolloutState
) -> None:
    after = obey(PLAN, Rolled(before), (asked,), registry, START)
    assert after.state is before
    assert [(d.action, d.actor) for d in after.decisions] == [("refuse", "ana")]
    assert after.decisions[0].reason


def test_commands_for_others_are_passed_over(registry: MemoryRegistry) -> None:
    asked = (Command(Request.RETRAIN, MODEL, "ana"), Command(Request.ACKNOWLEDGE, MODEL, "ana"))
    assert obey(PLAN, Rolled(REST), asked, registry, START) == Rolled(REST)


def test_a_bad_version_is_taken_back_on_probation_only() -> None:
    after = guard(PLAN, Rolled(REST), watch(), BAD, START)
    assert (after.state.champion, after.state.aborted) == ("1", ("2",))
    late = guard(PLAN, Rolled(REST), watch(), BAD, START + 2 * DAY)
    assert late == Rolled(REST)


def test_a_canary_ends_when_the_service_fails() -> None:
    canary = replace(LIVE, stage=Stage.CANARY, weight=0.2)
    failing = watch().noting((verdict(Monitor.SERVICE, "availability"),))
    after = guard(PLAN, Rolled(canary), failing, None, START)
    assert (after.state.stage, after.state.aborted) == (Stage.CHAMPION, ("3",))
    shadow = Rolled(replace(LIVE, stage=Stage.SHADOW))
    assert guard(PLAN, shadow, failing, None, START) == shadow
    calm = watch().noting(
        (verdict(Monitor.SERVICE, "availability", Status.OK), verdict(Monitor.SERVICE, DEGRADED))
    )
    assert guard(PLAN, Rolled(canary), calm, None, START) == Rolled(canary)


def fails(error: Exception) -> Callable[[pa.Table], NDArray[np.float64]]:
    def score(_: pa.Table) -> NDArray[np.float64]:
        raise error

    return score


@pytest.mark.parametrize(
    ("score", "stage", "reason"),
    [
        (lambda rows: np.full(rows.num_rows, 0.5), Stage.SHADOW, "verified"),
        (fails(ArtifactError("torn")), Stage.CHAMPION, "cannot be loaded: torn"),
        (fails(DataError("no amount")), Stage.CHAMPION, "cannot score recent rows: no amount"),
        (lambda _: np.array([np.nan]), Stage.CHAMPION, "no numbers"),
    ],
)
def test_a_candidate_that_is_on_record_is_verified_at_the_next_tick(
    score: Callable[[pa.Table], NDArray[np.float64]], stage: Stage, reason: str
) -> None:
    scorer = MemoryScorer({(MODEL, "3"): score})
    log = MemoryLog(SimulatedClock(START))
    candidate = Rolled(replace(LIVE, stage=Stage.CANDIDATE))
    after = advance(PLAN, candidate, watch(), log, scorer, START)
    assert after.state.stage is stage
    assert reason in after.decisions[-1].reason


def test_a_promotion_waits_for_its_approval() -> None:
    log, scorer = MemoryLog(SimulatedClock(START)), MemoryScorer()
    held = advance(APPROVAL, Rolled(WAITING), watch(), log, scorer, START)
    assert held.state.champion == "2"
    approved = Rolled(replace(WAITING, approved_by="ana"))
    after = advance(APPROVAL, approved, watch(), log, scorer, START)
    assert (after.state.champion, after.state.previous) == ("3", "2")


def test_at_rest_nothing_advances() -> None:
    log, scorer = MemoryLog(SimulatedClock(START)), MemoryScorer()
    assert advance(PLAN, Rolled(REST), watch(), log, scorer, START) == Rolled(REST)


@pytest.mark.parametrize(
    ("differences", "margin", "kind"),
    [
        ([], 0.0, EvidenceKind.NO_DATA),
        ([0.5] * 60, 0.0, EvidenceKind.BETTER),
        ([-0.5] * 60, 0.0, EvidenceKind.WORSE),
        ([0.1, -0.1] * 5, 0.0, EvidenceKind.INCONCLUSIVE),
        ([0.0] * 400, 0.2, EvidenceKind.NOT_WORSE),
    ],
)
def test_evidence_is_what_the_bets_prove(
    differences: list[float], margin: float, kind: EvidenceKind
) -> None:
    bets = bet_on_differences(PairedBets(), np.array(differences), margin)
    pairing = Pairing("1", "2", bets, len(differences))
    found = evidence(PLAN, replace(watch(), challenger=pairing))
    assert found.kind is kind
    assert found.n == (len(differences) if differences else 0)
