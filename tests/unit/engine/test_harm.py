"""What does harm is taken back in every state, and the side that is healthy serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.domain.decision import Cause, Diagnosis
from homeostat.domain.errors import ArtifactError, HomeostatError, StorageError
from homeostat.domain.model import ModelVersion
from homeostat.domain.record import prediction_schema
from homeostat.domain.verdict import DEGRADED, Monitor, Status
from homeostat.engine.guardrails import GuardrailMemory
from homeostat.engine.harm import Sight, guard
from homeostat.engine.rollouts import Rolled
from homeostat.engine.watch import Watch
from homeostat.rollout.guardrails import Rail, Rails
from homeostat.rollout.state import RolloutState, Stage
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRegistry
from homeostat.stats.split_bets import SplitBets
from simulation.fitting import contrary
from simulation.world import DAY, HOUR, MODEL, PLAN, SPEC, START
from unit.engine.bench import verdict, watch

NOW = START + 2 * HOUR
REST = RolloutState(MODEL, Stage.CHAMPION, "2", ("1",), promoted_at=START, since=START,
                    probation_until=START + DAY)  # fmt: skip
CANARY = RolloutState(MODEL, Stage.CANARY, "2", challenger="3", weight=0.2, since=START,
                      submitted_at=START)  # fmt: skip
WAITING = replace(CANARY, stage=Stage.PROMOTING)
BAD = Diagnosis(Cause.BAD_VERSION, (), "Roll back.", "Version 2 does worse.", retrain=False)
FAILING = watch().noting((verdict(Monitor.SERVICE, "availability"),))
SLOW = watch().noting((verdict(Monitor.SERVICE, "latency_p99"),))
BETS = SplitBets((8.0,) * 7, (900, 100), (9.0, 20.0))


class Registry(MemoryRegistry):
    """One whose artifacts cannot be had."""

    def __init__(self, error: HomeostatError) -> None:
        super().__init__()
        self.error = error

    def path(self, model: str, version: str) -> Path:
        raise self.error


@pytest.fixture
def registry(tmp_path: Path) -> MemoryRegistry:
    made = MemoryRegistry()
    for number in "123":
        made.register(ModelVersion(MODEL, number, "linear", "", START), contrary(tmp_path / number))
    return made


def answers(
    *groups: tuple[str, str, int, int],
    at: timedelta = HOUR * 1.5,
    why: tuple[str, ...] = ("error",),
    slow: tuple[str, ...] = (),
) -> MemoryLog:
    """Return a log with rows of a version in a role, some of which failed."""
    log = MemoryLog(SimulatedClock(START + 10 * DAY))
    for place, (version, role, size, failed) in enumerate(groups):
        number = "x" if role == "shadow" else place
        columns: dict[str, object] = {
            "prediction_id": [f"{number}-{row}" for row in range(size)],
            "timestamp": [START + at] * size,
            "version": [version] * size,
            "role": [role] * size,
            "tier": ["rules"] * failed + ["model"] * (size - failed),
            "reason": [why[row % len(why)] for row in range(failed)] + [""] * (size - failed),
            "entity": [""] * size,
            "latency_ms": np.full(size, 900.0 if role in slow else 5.0),
            "score": np.full(size, 0.5),
            "signal": np.zeros(size),
            "amount": np.ones(size),
        }
        schema = prediction_schema(SPEC)
        data = {f.name: columns.get(f.name, pa.nulls(size, f.type)) for f in schema}
        receipt = log.append(SPEC, pa.table(data, schema=schema))
        assert receipt.accepted == size, receipt
    return log


def guarded(
    state: RolloutState,
    registry: MemoryRegistry,
    seen: Watch | None = None,
    log: MemoryLog | None = None,
    memory: GuardrailMemory | None = None,
    diagnosis: Diagnosis | None = None,
) -> Rolled:
    sight = Sight(log or answers(), registry, memory or GuardrailMemory())
    return guard(PLAN, Rolled(state), seen or watch(), diagnosis, sight, NOW)


def actions(rolled: Rolled) -> Sequence[str]:
    return [made.action for made in rolled.decisions]


def test_a_bad_version_is_taken_back_on_probation_only(registry: MemoryRegistry) -> None:
    after = guarded(REST, registry, diagnosis=BAD)
    assert (after.state.champion, after.state.aborted) == ("1", ("2",))
    old = replace(REST, probation_until=START)
    assert guarded(old, registry, diagnosis=BAD) == Rolled(old)


def test_nobody_goes_back_to_a_version_that_cannot_serve(registry: MemoryRegistry) -> None:
    gone = guarded(REST, Registry(ArtifactError("its hash differs")), diagnosis=BAD)
    assert gone.state.champion == "2"
    assert actions(gone) == ["refuse"]
    away = guarded(REST, Registry(StorageError("away")), diagnosis=BAD)
    assert away.state.champion == "1"


@pytest.mark.parametrize("state", [CANARY, WAITING], ids=["canary", "promoting"])
def test_a_breach_takes_a_challenger_back_with_its_evidence(
    registry: MemoryRegistry, state: RolloutState
) -> None:
    memory = GuardrailMemory(rails=Rails((Rail("errors", (BETS,)),)), weight=0.2)
    after = guarded(state, registry, memory=memory)
    assert (after.state.stage, after.state.champion) == (Stage.CHAMPION, "2")
    assert after.state.aborted == ("3",)
    made = after.decisions[0]
    assert made.action == "abort"
    assert "the challenger failed 20.00%, the champion 1.00%" in made.reason
    assert dict(made.evidence)["challenger"] == 0.2
    assert guarded(replace(state, stage=Stage.SHADOW), registry, memory=memory).decisions == ()


def test_a_challenger_whose_answers_vanish_is_taken_back(registry: MemoryRegistry) -> None:
    lost = GuardrailMemory(rails=Rails(counts=(1000, 100)), weight=0.2)
    after = guarded(CANARY, registry, memory=lost)
    assert actions(after) == ["abort"]
    assert after.decisions[0].reason.startswith("answers of the challenger are missing")
    proxy = replace(lost, strayed=(200, 1100))
    assert guarded(CANARY, registry, memory=proxy).decisions == ()
    many = GuardrailMemory(rails=Rails(counts=(1000, 500)), weight=0.2)
    assert guarded(CANARY, registry, memory=many).decisions == ()


@pytest.mark.parametrize("state", [CANARY, WAITING], ids=["canary", "promoting"])
def test_while_the_service_fails_by_the_challenger_it_goes(
    registry: MemoryRegistry, state: RolloutState
) -> None:
    log = answers(("2", "champion", 100, 1), ("3", "challenger", 100, 40))
    after = guarded(state, registry, FAILING, log)
    assert (after.state.stage, after.state.aborted) == (Stage.CHAMPION, ("3",))
    assert "40 of 100 requests to 3, 1 of 100 to 2" in after.decisions[0].reason


@pytest.mark.parametrize("state", [CANARY, WAITING], ids=["canary", "promoting"])
@pytest.mark.parametrize(
    ("champion", "challenger", "seen"),
    [(40, 40, FAILING), (90, 20, FAILING), (0, 0, FAILING), (0, 1, SLOW), (0, 3, FAILING)],
    ids=["both fail", "it fails less", "neither lately", "slow before it", "by chance"],
)
def test_what_both_arms_miss_or_neither_does_holds_the_rollout(
    registry: MemoryRegistry, state: RolloutState, champion: int, challenger: int, seen: Watch
) -> None:
    log = answers(("2", "champion", 100, champion), ("3", "challenger", 100, challenger))
    after = guarded(state, registry, seen, log)
    assert (after.state, actions(after)) == (state, [])
    assert "the service misses its objective" in after.held


@pytest.mark.parametrize("state", [CANARY, WAITING], ids=["canary", "promoting"])
def test_a_service_that_is_slow_by_the_challenger_takes_it_back(
    registry: MemoryRegistry, state: RolloutState
) -> None:
    arms = (("2", "champion", 100, 0), ("3", "challenger", 100, 0))
    after = guarded(state, registry, SLOW, answers(*arms, slow=("challenger",)))
    assert after.state.aborted == ("3",)
    both = guarded(state, registry, SLOW, answers(*arms, slow=("champion", "challenger")))
    assert (both.state, bool(both.held)) == (state, True)


def test_a_challenger_that_answers_where_the_champion_does_not_stays(
    registry: MemoryRegistry,
) -> None:
    log = answers(("2", "champion", 100, 40), ("3", "challenger", 100, 1))
    after = guarded(CANARY, registry, FAILING, log)
    assert (after.state, bool(after.held)) == (CANARY, True)
    assert guarded(WAITING, registry, FAILING, log) == Rolled(WAITING)


def test_without_answers_of_late_a_failing_service_holds_the_canary(
    registry: MemoryRegistry,
) -> None:
    old = answers(("2", "champion", 100, 0), ("3", "challenger", 100, 40), at=HOUR / 2)
    for state in (CANARY, replace(CANARY, since=NOW)):
        after = guarded(state, registry, FAILING, old)
        assert (after.state, bool(after.held)) == (state, True)


def test_what_does_not_fail_is_left_alone(registry: MemoryRegistry) -> None:
    calm = watch().noting(
        (verdict(Monitor.SERVICE, "availability", Status.OK), verdict(Monitor.SERVICE, DEGRADED))
    )
    for state in (CANARY, WAITING, REST, replace(CANARY, stage=Stage.SHADOW)):
        assert guarded(state, registry, calm) == Rolled(state)
    shadow = replace(CANARY, stage=Stage.SHADOW)
    assert guarded(shadow, registry, FAILING) == Rolled(shadow)


def test_a_new_champion_that_fails_goes_while_the_one_before_scores(
    registry: MemoryRegistry,
) -> None:
    log = answers(("2", "champion", 100, 60), ("1", "shadow", 95, 0))
    after = guarded(REST, registry, FAILING, log)
    assert (after.state.champion, after.state.aborted) == ("1", ("2",))
    assert "2 failed 60 of 100 requests, 1 scored 95 of 100" in after.decisions[0].reason


@pytest.mark.parametrize(
    "log",
    [
        answers(("2", "champion", 100, 60), ("1", "shadow", 30, 0)),
        answers(("2", "champion", 100, 60)),
        answers(),
    ],
    ids=["both fail", "no shadows", "no answers"],
)
def test_a_new_champion_stays_where_the_one_before_does_no_better(
    registry: MemoryRegistry, log: MemoryLog
) -> None:
    assert guarded(REST, registry, FAILING, log) == Rolled(REST)


def test_an_open_breaker_after_errors_is_a_failure_too(registry: MemoryRegistry) -> None:
    why = ("error", "breaker_open", "breaker_open")
    log = answers(("2", "champion", 100, 90), ("1", "shadow", 95, 0), why=why)
    assert guarded(REST, registry, FAILING, log).state.champion == "1"


@pytest.mark.parametrize("why", [("timeout",), ("breaker_open",), ("timeout", "error")], ids=str)
def test_timeouts_of_a_busy_machine_take_no_champion_back(
    registry: MemoryRegistry, why: tuple[str, ...]
) -> None:
    log = answers(("2", "champion", 100, 100), ("1", "shadow", 100, 0), why=why)
    assert guarded(REST, registry, FAILING, log) == Rolled(REST)


def test_slow_answers_alone_take_no_champion_back(registry: MemoryRegistry) -> None:
    log = answers(("2", "champion", 100, 0), ("1", "shadow", 100, 0))
    assert guarded(REST, registry, SLOW, log) == Rolled(REST)


ON_ITS_WAY = replace(REST, challenger="3", submitted_at=START)


@pytest.mark.parametrize(
    "stage", [Stage.CANDIDATE, Stage.SHADOW, Stage.CANARY, Stage.PROMOTING], ids=str
)
def test_a_new_champion_that_fails_goes_whatever_is_on_its_way_up(
    registry: MemoryRegistry, stage: Stage
) -> None:
    log = answers(
        ("2", "champion", 100, 60), ("3", "challenger", 100, 60), ("1", "shadow", 200, 10)
    )
    before = replace(ON_ITS_WAY, stage=stage)
    after = guarded(before, registry, FAILING, log)
    assert (after.state.champion, after.state.challenger) == ("1", "")
    assert actions(after) == ["supersede", "roll_back"]
    assert "2 failed 60 of 100 requests, 1 scored 190 of 200" in after.decisions[-1].reason


def test_a_new_champion_is_not_blamed_for_its_challenger(registry: MemoryRegistry) -> None:
    log = answers(("2", "champion", 100, 4), ("3", "challenger", 100, 60), ("1", "shadow", 200, 20))
    canary = replace(ON_ITS_WAY, stage=Stage.CANARY)
    after = guarded(canary, registry, FAILING, log)
    assert (after.state.champion, after.state.aborted) == ("2", ("3",))
