"""What must hold after every tick, whatever happens."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from homeostat.domain.decision import Decision
from homeostat.domain.effect import NotifyAction
from homeostat.domain.window import Window
from homeostat.engine.arms import arms_of, laid_over
from homeostat.engine.replay import replay
from homeostat.engine.replay_series import Listener
from homeostat.engine.tape import Recorded
from homeostat.engine.watch import retraining_key
from homeostat.retraining.planning import overlap
from homeostat.retraining.run import RunState, Stage
from homeostat.rollout.state import route
from homeostat.simulation.fakes import MemoryNotifier
from simulation.world import MODEL, START, TICK, World

LEARNT = {Stage.EVALUATING, Stage.ACCEPTED, Stage.REJECTED}


def check_all(world: World) -> None:
    """Check every invariant."""
    decisions = world.ports.records.decisions(MODEL)
    check_champion(world, decisions)
    check_incidents(world, decisions)
    check_training(world, decisions)
    check_rollout(world, decisions)
    check_maturity(world)
    assert world.problems == []


def check_replay(world: World) -> None:
    """What is on record, replayed, gives the incidents that there were, at the same ticks."""
    records, plan = world.ports.records, world.engine.plans[MODEL]
    span = Window(START, world.clock.now())
    tape, past = Recorded(records, plan, TICK).read(span)
    said = Listener(plan, records, world.ports.registry).heard(tape, past)
    tape = tape.with_signals((at, rule, signal) for at, told in said for rule, signal in told)
    found = {(e.rule, e.began, e.ended) for e in replay(plan.rules, tape)}
    assert found == lived(records.decisions(MODEL))


def lived(decisions: tuple[Decision, ...]) -> set[tuple[str, datetime, datetime | None]]:
    """Return the rule, begin and end of each incident."""
    began = {d.subject: d.at for d in decisions if d.action == "fire"}
    ended = {d.subject: d.at for d in decisions if d.action == "resolve"}
    return {(key.split(":")[1], at, ended.get(key)) for key, at in began.items()}


def check_champion(world: World, decisions: tuple[Decision, ...]) -> None:
    """One champion, whose pointer follows from the log, and the route that the state asks for."""
    state, now = world.rollout, world.clock.now()
    assert state.champion
    assert state.challenger != state.champion
    assert state.champion not in state.lineage
    crowned = [d.subject for d in decisions if d.action in {"install", "promote", "push"}]
    assert state.champion in crowned
    world.ports.registry.path(MODEL, state.champion)
    wanted = laid_over(route(state, now, world.watch.broken), arms_of(world.ports.records, MODEL))
    assert world.ports.routes.current(MODEL) == wanted


def check_incidents(world: World, decisions: tuple[Decision, ...]) -> None:
    """Triggered once, resolved at most once and only afterwards, told under the same key."""
    fired = [d.subject for d in decisions if d.action == "fire"]
    resolved = [d.subject for d in decisions if d.action == "resolve"]
    assert len(set(fired)) == len(fired)
    assert len(set(resolved)) == len(resolved)
    assert set(resolved) <= set(fired)
    notifier = world.ports.notifiers["duty"]
    assert isinstance(notifier, MemoryNotifier)
    assert set(Counter(notice.key for notice in notifier.attempts).values()) <= {1}
    keys = {
        action: {n.incident for n in notifier.attempts if n.action is action}
        for action in NotifyAction
    }
    pages, ended = keys[NotifyAction.TRIGGER], keys[NotifyAction.RESOLVE]
    part_of: dict[str, set[str]] = {}
    for notice in notifier.attempts:
        if notice.action is NotifyAction.UPDATE:
            part_of.setdefault(notice.incident, set()).add(notice.about)
    assert pages <= set(fired) <= pages.union(*part_of.values())
    assert ended <= set(resolved) & pages
    for key in set(resolved) & pages - ended:
        assert part_of[key] - set(resolved), "it ends with the open incident that it stands for"
    assert all(notice.runbook for notice in notifier.attempts)


def check_training(world: World, decisions: tuple[Decision, ...]) -> None:
    """Nothing is learnt from what a data fault covers."""
    watch, now = world.watch, world.clock.now()
    for start in (d.at for d in decisions if d.action == "start_training"):
        assert not [f for f in watch.faults if f.start <= start and (not f.end or start < f.end)]
    run = world.ports.records.read(retraining_key(MODEL), RunState)
    if run is None or run.plan is None or run.stage not in LEARNT:
        return
    assert run.plan.holdout.end + world.engine.plans[MODEL].spec.labels.maturity <= run.plan.as_of
    assert run.plan.training.end <= run.plan.holdout.start
    for fault in (f.window(now) for f in watch.faults):
        used = overlap(fault, run.plan.training) or overlap(fault, run.plan.holdout)
        assert not used or fault in run.plan.excluded


def check_rollout(world: World, decisions: tuple[Decision, ...]) -> None:
    """Each step and each promotion rests on proof of its own, and an abort is for good."""
    policy = world.engine.plans[MODEL].rollout
    for made in decisions:
        if made.action in {"ramp", "ready_to_promote"}:
            proof = dict(made.evidence)
            assert proof["e_value"] >= 1 / policy.alpha
            assert proof["rows"] >= policy.step_min_rows
    for number, made in enumerate(decisions):
        if made.action == "promote":
            assert any(
                d.action == "ready_to_promote" and d.subject == made.subject
                for d in decisions[:number]
            )
        if made.action == "abort":
            later = decisions[number + 1 :]
            assert not [d for d in later if d.action == "submit" and d.subject == made.subject]


def check_maturity(world: World) -> None:
    """Metrics are of windows whose labels are all there."""
    until: datetime = world.clock.now() - world.engine.plans[MODEL].spec.labels.maturity
    points = world.ports.records.metrics(MODEL)
    assert all(point.window.end <= until for point in points)
