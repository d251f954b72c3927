"""Rollouts obey people, are guarded, and move on evidence alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from homeostat.domain.errors import (
    ArtifactError,
    DataError,
    HomeostatError,
    OverloadError,
    StorageError,
)
from homeostat.domain.model import ModelVersion
from homeostat.engine.commands import Command, Request
from homeostat.engine.plan import ModelPlan
from homeostat.engine.rollouts import Means, Rolled, advance, evidence, obey
from homeostat.engine.watch import Pairing
from homeostat.rollout.events import EvidenceKind
from homeostat.rollout.state import RolloutState, Stage
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRegistry, MemoryScorer
from homeostat.stats.paired import PairedBets, bet_on_differences
from simulation.fitting import contrary
from simulation.world import DAY, HOUR, MODEL, PLAN, START
from unit.engine.bench import watch

REST = RolloutState(MODEL, Stage.CHAMPION, "2", ("1",), promoted_at=START,
                    probation_until=START + DAY)  # fmt: skip
LIVE = replace(REST, challenger="3", since=START, submitted_at=START)
WAITING = replace(LIVE, stage=Stage.PROMOTING, weight=0.5)
APPROVAL = replace(PLAN, rollout=replace(PLAN.rollout, approval=True))
PROOF = Pairing("2", "3", bet_on_differences(PairedBets(), [0.5] * 60), 60, 60)
PROVEN = replace(watch(), challenger=PROOF)


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


class Broken(MemoryRegistry):
    """One whose artifacts cannot be had."""

    def __init__(self, error: HomeostatError) -> None:
        super().__init__()
        self.error = error

    def path(self, model: str, version: str) -> Path:
        raise self.error


def test_nobody_is_rolled_back_by_hand_to_a_version_that_cannot_serve() -> None:
    asked = (Command(Request.ROLL_BACK, MODEL, "ana"),)
    gone = Broken(ArtifactError("its hash differs"))
    refused = obey(PLAN, Rolled(REST), asked, gone, START)
    assert refused.state is REST
    assert [(made.action, made.actor) for made in refused.decisions] == [("refuse", "ana")]
    assert "1 cannot serve: its hash differs; push" in refused.decisions[0].reason
    away = obey(PLAN, Rolled(REST), asked, Broken(StorageError("no route to host")), START)
    assert away.state.champion == "1"
    rolling = Rolled(replace(LIVE, stage=Stage.SHADOW))
    withdrawn = obey(PLAN, rolling, asked, gone, START)
    assert (withdrawn.state.champion, withdrawn.state.aborted) == ("2", ("3",))


@pytest.mark.parametrize("request_", [Request.PUSH, Request.SUBMIT])
def test_a_version_that_cannot_be_had_is_neither_pushed_nor_submitted(request_: Request) -> None:
    asked = (Command(request_, MODEL, "ana", "3"),)
    after = obey(PLAN, Rolled(REST), asked, Broken(StorageError("away")), START)
    assert (after.state, after.decisions[0].reason) == (REST, "away")


def test_commands_for_others_are_passed_over(registry: MemoryRegistry) -> None:
    asked = (Command(Request.RETRAIN, MODEL, "ana"), Command(Request.ACKNOWLEDGE, MODEL, "ana"))
    assert obey(PLAN, Rolled(REST), asked, registry, START) == Rolled(REST)


def fine(rows: pa.Table) -> NDArray[np.float64]:
    return np.full(rows.num_rows, 0.5)


def fails(error: Exception) -> Callable[[pa.Table], NDArray[np.float64]]:
    def score(_: pa.Table) -> NDArray[np.float64]:
        raise error

    return score


def means(
    registry: MemoryRegistry, score: Callable[[pa.Table], NDArray[np.float64]] = fine
) -> Means:
    return Means(MemoryLog(SimulatedClock(START)), MemoryScorer({(MODEL, "3"): score}), registry)


@pytest.mark.parametrize(
    ("score", "stage", "reason"),
    [
        (fine, Stage.SHADOW, "verified"),
        (fails(ArtifactError("torn")), Stage.CHAMPION, "cannot be loaded: torn"),
        (fails(DataError("no amount")), Stage.CHAMPION, "cannot score recent rows: no amount"),
        (lambda _: np.array([np.nan]), Stage.CHAMPION, "no numbers"),
        (fails(StorageError("mlflow: away")), Stage.CANDIDATE, "cannot be tried now: mlflow"),
        (fails(OverloadError("busy")), Stage.CANDIDATE, "cannot be tried now: busy"),
    ],
)
def test_a_candidate_that_is_on_record_is_verified_at_the_next_tick(
    registry: MemoryRegistry,
    score: Callable[[pa.Table], NDArray[np.float64]],
    stage: Stage,
    reason: str,
) -> None:
    candidate = Rolled(replace(LIVE, stage=Stage.CANDIDATE))
    after = advance(PLAN, candidate, watch(), means(registry, score), START)
    assert after.state.stage is stage
    assert reason in after.decisions[-1].reason


def test_a_registry_that_is_away_is_waited_for_and_told_of_once(registry: MemoryRegistry) -> None:
    away = means(registry, fails(StorageError("no route to host")))
    candidate = Rolled(replace(LIVE, stage=Stage.CANDIDATE))
    held = advance(PLAN, candidate, watch(), away, START)
    assert advance(PLAN, held, watch(), away, START + HOUR) == held
    assert [made.action for made in held.decisions] == ["hold"]
    back = advance(PLAN, held, watch(), means(registry), START + 2 * HOUR)
    assert back.state.stage is Stage.SHADOW


def test_a_promotion_waits_for_its_approval(registry: MemoryRegistry) -> None:
    held = advance(APPROVAL, Rolled(WAITING), PROVEN, means(registry), START)
    assert held.state.champion == "2"
    approved = Rolled(replace(WAITING, approved_by="ana"))
    after = advance(APPROVAL, approved, PROVEN, means(registry), START)
    assert (after.state.champion, after.state.previous) == ("3", "2")


@pytest.mark.parametrize("differences", [[], [0.1, -0.1] * 5], ids=["no data", "inconclusive"])
@pytest.mark.parametrize("plan", [PLAN, APPROVAL], ids=["by itself", "approved"])
def test_what_is_no_longer_proven_is_not_promoted(
    registry: MemoryRegistry, plan: ModelPlan, differences: list[float]
) -> None:
    bets = bet_on_differences(PairedBets(), differences)
    dropped = replace(watch(), challenger=Pairing("2", "3", bets))
    approved = Rolled(replace(WAITING, approved_by="ana"))
    once = advance(plan, approved, dropped, means(registry), START)
    again = advance(plan, once, dropped, means(registry), START + HOUR)
    assert (again.state.champion, again.state.stage) == ("2", Stage.PROMOTING)
    assert [made.action for made in again.decisions] == ["hold"]
    assert "no longer stands" in again.decisions[0].reason
    after = advance(plan, again, PROVEN, means(registry), START + DAY)
    assert (after.state.champion, after.state.previous) == ("3", "2")
    late = START + plan.rollout.patience + DAY
    assert advance(plan, again, dropped, means(registry), late).state.aborted == ("3",)


@pytest.mark.parametrize(
    ("score", "champion", "stage", "reason"),
    [
        (fails(ArtifactError("its hash differs")), "2", Stage.CHAMPION, "its hash differs"),
        (fails(StorageError("away")), "2", Stage.PROMOTING, "cannot be tried now: away"),
        (fine, "3", Stage.CHAMPION, "passed shadow and canary"),
    ],
)
def test_a_promotion_ends_with_a_version_that_can_serve(
    registry: MemoryRegistry,
    score: Callable[[pa.Table], NDArray[np.float64]],
    champion: str,
    stage: Stage,
    reason: str,
) -> None:
    once = advance(PLAN, Rolled(WAITING), PROVEN, means(registry, score), START)
    after = advance(PLAN, once, PROVEN, means(registry, score), START + HOUR)
    assert (after.state.champion, after.state.stage) == (champion, stage)
    assert len(after.decisions) == 1
    assert reason in after.decisions[0].reason


def test_an_artifact_that_is_gone_ends_the_promotion() -> None:
    after = advance(PLAN, Rolled(WAITING), PROVEN, means(MemoryRegistry()), START)
    assert (after.state.champion, after.state.aborted) == ("2", ("3",))


def test_what_turned_worse_or_is_held_is_not_promoted(registry: MemoryRegistry) -> None:
    bets = bet_on_differences(PairedBets(), [-0.5] * 60)
    worse = replace(watch(), challenger=Pairing("2", "3", bets, 60))
    after = advance(PLAN, Rolled(WAITING), worse, means(registry), START)
    assert (after.state.champion, after.state.aborted) == ("2", ("3",))
    held = advance(PLAN, Rolled(WAITING), PROVEN, means(registry), START, "labels differ")
    assert held.state.stage is Stage.PROMOTING
    assert held.decisions[0].reason == "labels differ"


def test_proof_that_completes_a_canary_promotes_at_once(registry: MemoryRegistry) -> None:
    bets = bet_on_differences(PairedBets(), [0.5] * 600)
    proven = replace(watch(), challenger=Pairing("2", "3", bets, 600, 600))
    last = replace(LIVE, stage=Stage.CANARY, weight=0.5, step=len(PLAN.rollout.ramp) - 1)
    now = START + DAY
    after = advance(PLAN, Rolled(last), proven, means(registry), now)
    assert [made.action for made in after.decisions] == ["ready_to_promote", "promote"]
    held = advance(PLAN, Rolled(last), proven, means(registry), now, "the split is off")
    assert (held.state.stage, held.decisions[0].reason) == (Stage.CANARY, "the split is off")
    slow = advance(PLAN, Rolled(last, held="both are slow"), proven, means(registry), now)
    assert (slow.state.stage, slow.decisions[0].reason) == (Stage.CANARY, "both are slow")


def test_at_rest_nothing_advances(registry: MemoryRegistry) -> None:
    assert advance(PLAN, Rolled(REST), watch(), means(registry), START) == Rolled(REST)


def even(days: int, size: float = 0.02) -> PairedBets:
    bets = PairedBets()
    for day in range(days):
        bets = bet_on_differences(bets, [size * (-1) ** day] * 50, block=day)
    return bets


@pytest.mark.parametrize(
    ("days", "futility", "ends"),
    [(20, 0.05, False), (45, 0.05, True), (45, 0.0, False)],
)
def test_a_rollout_without_hope_of_proof_ends_inconclusive(
    registry: MemoryRegistry, days: int, futility: float, ends: bool
) -> None:
    plan = replace(PLAN, rollout=replace(PLAN.rollout, futility=futility))
    seen = replace(watch(), challenger=Pairing("2", "3", even(days), 50 * days))
    shadow = Rolled(replace(LIVE, stage=Stage.SHADOW))
    after = advance(plan, shadow, seen, means(registry), START + days * DAY)
    assert (after.state.stage is Stage.CHAMPION) == ends
    assert after.decisions[-1].reason.startswith("inconclusive: ") == ends
    assert (after.state.aborted == ("3",)) == ends


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
