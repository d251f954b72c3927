"""A challenger whose rows turn out to be broken goes, in whatever stage that comes out."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from homeostat.domain.errors import StorageError
from homeostat.domain.manifest import Exclusion, TrainingManifest
from homeostat.domain.model import ModelVersion
from homeostat.domain.window import Window
from homeostat.engine.guardrails import GuardrailMemory
from homeostat.engine.harm import Sight, guard
from homeostat.engine.rollouts import Rolled
from homeostat.engine.watch import Fault
from homeostat.rollout.state import RolloutState, Stage
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRegistry
from simulation.fitting import contrary
from simulation.world import DAY, HOUR, MODEL, PLAN, START
from unit.engine.bench import watch

NOW = START + 10 * DAY
TRAINED = Window(START, START + 8 * DAY)
MANIFEST = TrainingManifest(MODEL, f"{MODEL}-0001", TRAINED, TRAINED.end, 900, "", "", 0)
FAULT = Fault("amount", START + 7 * DAY, START + 9 * DAY, "always 0")
STATE = RolloutState(MODEL, Stage.SHADOW, "1", challenger="2", since=NOW, submitted_at=NOW)


class Away(MemoryRegistry):
    """One that does not answer."""

    def get(self, model: str, version: str) -> ModelVersion:
        raise StorageError(f"{model} {version}: no route to host")


def after(
    folder: Path,
    *faults: Fault,
    manifest: TrainingManifest | None = MANIFEST,
    state: RolloutState = STATE,
    registry: MemoryRegistry | None = None,
    now: datetime = NOW,
) -> Rolled:
    """Return the rollout after a look at the faults."""
    registry = registry or MemoryRegistry()
    for number, made in (("1", None), ("2", manifest)):
        card = ModelVersion(MODEL, number, "linear", "", START, manifest=made)
        registry.register(card, contrary(folder / number))
    sight = Sight(MemoryLog(SimulatedClock(NOW)), registry, GuardrailMemory())
    seen = replace(watch(), faults=faults)
    return guard(PLAN, Rolled(state), seen, None, sight, now)


@pytest.mark.parametrize(
    "stage", [Stage.CANDIDATE, Stage.SHADOW, Stage.CANARY, Stage.PROMOTING], ids=str
)
@pytest.mark.parametrize("fault", [FAULT, replace(FAULT, end=None)], ids=["over", "lasts"])
def test_a_fault_found_after_the_training_ends_the_rollout(
    tmp_path: Path, stage: Stage, fault: Fault
) -> None:
    found = after(tmp_path, fault, state=replace(STATE, stage=stage))
    assert (found.state.champion, found.state.aborted) == ("1", ("2",))
    assert found.decisions[-1].action == "abort"
    assert "amount" in found.decisions[-1].reason
    assert "always 0" in found.decisions[-1].reason


def test_of_a_fault_that_was_left_out_only_what_was_not_counts(tmp_path: Path) -> None:
    known = Exclusion(Window(FAULT.start, FAULT.start + 6 * HOUR), "amount: always 0")
    partly = after(tmp_path / "a", FAULT, manifest=replace(MANIFEST, excluded=(known,)))
    assert partly.state.aborted == ("2",)
    rest = Exclusion(Window(FAULT.start + 5 * HOUR, FAULT.start + DAY), "late: no rows")
    left_out = replace(MANIFEST, excluded=(rest, known))
    assert after(tmp_path / "b", FAULT, manifest=left_out) == Rolled(STATE)
    later = Exclusion(Window(FAULT.start + HOUR, FAULT.start + DAY), "late: no rows")
    early = after(tmp_path / "c", FAULT, manifest=replace(MANIFEST, excluded=(later,)))
    assert early.state.aborted == ("2",)


@pytest.mark.parametrize(
    ("fault", "manifest"),
    [
        (Fault("amount", TRAINED.end, NOW), MANIFEST),
        (FAULT, None),
        (FAULT, replace(MANIFEST, origin="history")),
    ],
    ids=["after it", "no manifest", "a file"],
)
def test_a_fault_elsewhere_or_a_version_of_other_rows_goes_on(
    tmp_path: Path, fault: Fault, manifest: TrainingManifest | None
) -> None:
    assert after(tmp_path, fault, manifest=manifest) == Rolled(STATE)


def test_a_registry_that_is_away_is_asked_again(tmp_path: Path) -> None:
    assert after(tmp_path, FAULT, registry=Away()) == Rolled(STATE)


def test_at_rest_nobody_is_asked(tmp_path: Path) -> None:
    rest = replace(STATE, stage=Stage.CHAMPION, challenger="")
    assert after(tmp_path, FAULT, state=rest) == Rolled(rest)
