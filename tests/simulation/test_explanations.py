"""Worlds in which something changes: rows say what, and what they say decides about retraining."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from homeostat.domain.decision import Cause, Decision
from homeostat.domain.explanation import Action, Explanation, FaultKind
from homeostat.domain.window import Window
from homeostat.engine.commands import Command, Request, submit
from homeostat.engine.explanations import ExplanationMemory, explanation_key
from homeostat.engine.loop import Engine
from homeostat.engine.plan import ExplanationPolicy
from simulation.world import DAY, MODEL, PLAN, START, Fate, World, memory_world

LOOKING = replace(PLAN, diagnosis=ExplanationPolicy())
CHANGE = START + 4 * DAY
FILLED = Window(CHANGE, CHANGE + 5 * DAY)


def live(world: World, days: float, each: Callable[[], object] = lambda: None) -> World:
    for _ in range(int(days * 4)):
        world.advance()
        each()
    assert world.problems == []
    return world


def memory(world: World) -> ExplanationMemory:
    return world.ports.records.read(explanation_key(MODEL), ExplanationMemory) or (
        ExplanationMemory()
    )


def told(world: World) -> Explanation:
    found = memory(world).explanation
    assert found is not None
    return found


def cause(world: World) -> Cause:
    found = world.watch.diagnosis
    assert found is not None
    return found.cause


def decided(world: World, *actions: str) -> list[Decision]:
    return [made for made in world.ports.records.decisions(MODEL) if made.action in actions]


def ask_for_retraining(world: World) -> None:
    submit(world.ports.records, Command(Request.RETRAIN, MODEL, "ana"), world.clock.now())


def test_a_changed_meaning_is_concept_drift_and_its_part_is_told(tmp_path: Path) -> None:
    world = live(memory_world(tmp_path, Fate(1, flips=CHANGE), LOOKING), 6.5)
    found = told(world)
    assert (cause(world), found.causes) == (Cause.CONCEPT_DRIFT, (Cause.CONCEPT_DRIFT,))
    assert (found.action, found.harmful) == (Action.RETRAIN, True)
    assert found.loss is not None
    assert found.loss["concept"].lower > 0.3
    assert found.carriers[0].name == "signal"
    assert found.since is not None
    assert abs(found.since - CHANGE) < DAY
    newest = decided(world, "diagnose")[-1]
    assert dict(newest.evidence)["concept"] == found.loss["concept"].amount
    live(world, 5.75)
    assert decided(world, "promote"), "the retraining goes its way"
    assert memory(world).version in {"", "2"}, "what is said of the old champion is over"


def test_inputs_that_shift_without_harm_ask_for_nothing(tmp_path: Path) -> None:
    world = live(memory_world(tmp_path, Fate(1, shifts=CHANGE), LOOKING), 7)
    assert cause(world) is Cause.COVARIATE_SHIFT
    assert told(world).causes == (Cause.COVARIATE_SHIFT,)
    assert (told(world).action, told(world).harmful) == (Action.NOTHING, False)
    advice = [made.reason.rpartition("Nothing")[1] for made in decided(world, "diagnose")]
    assert advice == ["", "Nothing"], "at first it is waited for labels"
    assert decided(world, "request_retraining") == []


def test_another_mix_of_labels_is_not_taken_for_shifted_inputs(tmp_path: Path) -> None:
    world = live(memory_world(tmp_path, Fate(1, mixes=CHANGE), LOOKING), 8)
    assert cause(world) is Cause.LABEL_SHIFT
    assert told(world).action is Action.RECALIBRATE
    assert "Recalibrate" in decided(world, "diagnose")[-1].reason


def test_a_fault_that_monitors_missed_is_not_learnt(tmp_path: Path) -> None:
    world = memory_world(tmp_path, Fate(1, blank=FILLED), LOOKING)
    live(world, 8)
    assert cause(world) is Cause.DATA_FAULT
    assert [fault.kind for fault in told(world).faults] == [FaultKind.STUCK]
    assert [fault.column for fault in memory(world).broken] == ["signal"]
    assert decided(world, "begin_fault") == []
    assert [d.subject for d in decided(world, "fire")] == [
        f"{MODEL}:data_drift:1",
        f"{MODEL}:performance_drop:1",
    ]
    ask_for_retraining(world)
    live(world, 0.25)
    (refusal,) = decided(world, "refuse_retraining")
    assert "the value is stuck; mend it upstream" in refusal.reason
    live(world, 3.75)
    assert memory(world).broken == ()
    (fault,) = memory(world).faults
    assert (fault.start, fault.end) == (CHANGE, FILLED.end + 1.25 * DAY)
    assert world.watch.diagnosis is None
    assert decided(world, "start_training") == []


def test_without_rows_such_a_fault_is_learnt(tmp_path: Path) -> None:
    world = live(memory_world(tmp_path, Fate(1, blank=FILLED)), 9)
    assert decided(world, "start_training")
    assert world.ports.records.keys(explanation_key(MODEL)) == ()


def test_rows_of_such_a_fault_are_left_out_of_later_training(tmp_path: Path) -> None:
    wide = replace(LOOKING, retraining=replace(PLAN.retraining, window=20 * DAY))
    world = live(memory_world(tmp_path, Fate(1, blank=FILLED), wide), 16)
    ask_for_retraining(world)
    live(world, 0.5)
    (run,) = decided(world, "start_training")
    (fault,) = memory(world).faults
    assert fault.end is not None
    rows = world.ports.registry.get(MODEL, "2").rows
    kept = (run.at - 2 * DAY - START) - (fault.end - fault.start)
    assert 0 < rows <= 1.1 * 480 * (kept / DAY)


def test_a_fault_that_monitors_found_is_told_apart_but_not_overruled(tmp_path: Path) -> None:
    broken = Window(START + 3 * DAY, START + 5 * DAY)
    worlds = [
        live(memory_world(tmp_path / name, Fate(3, cents=broken), plan), 4)
        for name, plan in (("rows", LOOKING), ("plain", PLAN))
    ]
    found, plain = (world.watch.diagnosis for world in worlds)
    assert found is not None
    assert plain is not None
    assert replace(found, text=plain.text) == plain
    assert found.text.startswith(plain.text)
    assert "another unit" in found.text
    assert memory(worlds[0]).faults == (), "it is the monitors' fault"
    live(worlds[0], 8)
    assert memory(worlds[0]).explanation is None


def test_quiet_times_are_not_explained(tmp_path: Path) -> None:
    world = live(memory_world(tmp_path, Fate(2), LOOKING), 7)
    assert world.ports.records.keys(explanation_key(MODEL)) == ()
    assert decided(world, "diagnose") == []


def test_without_labels_it_is_looked_once_and_waited_for_them(tmp_path: Path) -> None:
    never = Window(START - DAY, START + 40 * DAY)
    fate = Fate(1, flips=CHANGE, shifts=CHANGE, silent=never)
    looks: set[object] = set()
    world = memory_world(tmp_path, fate, LOOKING)
    live(world, 8, lambda: looks.add(memory(world).explanation and memory(world).looked))
    assert (cause(world), told(world).action) == (Cause.COVARIATE_SHIFT, Action.WAIT_FOR_LABELS)
    assert told(world).n_labelled == 0
    assert told(world).n_current == 480
    assert len(decided(world, "diagnose")) == 1


def test_it_is_looked_once_a_window_at_most(tmp_path: Path) -> None:
    later = Window(CHANGE + 3 * DAY, START + 40 * DAY)
    world = memory_world(tmp_path, Fate(1, flips=CHANGE, silent=later), LOOKING)
    looks: dict[object, Explanation] = {}

    def note() -> None:
        seen = memory(world)
        if seen.explanation is not None:
            looks.setdefault(seen.looked, seen.explanation)

    live(world, 9, note)
    moments = sorted(at for at in looks if at is not None)
    assert min(b - a for a, b in pairwise(moments)) >= DAY
    assert len({found.n_labelled for found in looks.values()}) <= 4, "nothing new came after"


def test_a_restart_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    fate = Fate(1, blank=FILLED)
    one = memory_world(tmp_path / "one", fate, LOOKING)
    other = memory_world(tmp_path / "other", fate, LOOKING)

    def restart() -> None:
        other.engine = Engine(other.ports, {MODEL: LOOKING})

    live(one, 7)
    live(other, 7, restart)
    assert decided(one, "diagnose")
    assert one.ports.records.decisions(MODEL) == other.ports.records.decisions(MODEL)
    assert memory(one) == memory(other)
