"""What must hold after every tick, whatever happens (section 9 of the design)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeostat.domain.decision import Decision
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.errors import HomeostatError
from homeostat.domain.window import Window
from homeostat.engine.arms import arms_of, laid_over
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import Ports
from homeostat.engine.replay import replay
from homeostat.engine.replay_series import Listener
from homeostat.engine.tape import Recorded
from homeostat.engine.watch import Watch, retraining_key, rollout_key, watch_key
from homeostat.retraining.planning import overlap
from homeostat.retraining.run import RunState, Stage
from homeostat.rollout.state import RolloutState, route
from homeostat.simulation.fakes import MemoryNotifier

LEARNT = {Stage.EVALUATING, Stage.ACCEPTED, Stage.REJECTED}


class BrokenInvariantError(AssertionError):
    """Something that must always hold does not.

    Attributes
    ----------
    name : str
        Of the invariant; the same for each way to break it.
    """

    def __init__(self, name: str, found: str = "") -> None:
        super().__init__(f"{name}: {found}" if found else name)
        self.name = name


def hold(condition: object, name: str, found: object = "") -> None:
    """Raise BrokenInvariantError unless the condition is true.

    Examples
    --------
    >>> hold(1 + 1 == 2, "sums are right")
    >>> hold(1 + 1 == 3, "sums are right", 2)
    Traceback (most recent call last):
    homeostat.simulation.invariants.BrokenInvariantError: sums are right: 2
    """
    if not condition:
        raise BrokenInvariantError(name, str(found))


@dataclass(frozen=True, slots=True)
class Scene:
    """A model in the care of an engine, as it stands after a tick.

    Attributes
    ----------
    ports : Ports
        The real ones, with nothing between.
    plan : ModelPlan
    now : datetime
        Of the newest tick.
    problems : tuple of str
        What ticks complained of though nothing was amiss.
    settled : bool
        Ports failed neither in this tick nor in the one before, so all has been told to everybody.
    """

    ports: Ports
    plan: ModelPlan
    now: datetime
    problems: tuple[str, ...] = ()
    settled: bool = True

    @property
    def model(self) -> str:
        """The model's name."""
        return self.plan.spec.name

    @property
    def rollout(self) -> RolloutState:
        """Where the rollout stands."""
        return self.ports.records.read(rollout_key(self.model), RolloutState) or RolloutState(
            self.model
        )

    @property
    def watch(self) -> Watch:
        """What the engine remembers; raises BrokenInvariantError if that is nothing."""
        found = self.ports.records.read(watch_key(self.model), Watch)
        if found is None:
            raise BrokenInvariantError("what was adopted is watched", self.model)
        return found

    @property
    def told(self) -> list[Notify]:
        """What receivers in memory were told, one after the other."""
        memories = (n for n in self.ports.notifiers.values() if isinstance(n, MemoryNotifier))
        return [notice for notifier in memories for notice in notifier.attempts]


def check_all(scene: Scene) -> None:
    """Check every invariant; raises BrokenInvariantError."""
    decisions = scene.ports.records.decisions(scene.model)
    check_champion(scene, decisions)
    check_incidents(scene, decisions)
    check_training(scene, decisions)
    check_rollout(scene, decisions)
    check_maturity(scene)
    hold(not scene.problems, "ticks have nothing to complain of", scene.problems)


def check_replay(scene: Scene, start: datetime, tick: timedelta) -> None:
    """What is on record, replayed, gives the incidents that there were, at the same ticks."""
    records, plan = scene.ports.records, scene.plan
    tape, past = Recorded(records, plan, tick).read(Window(start, scene.now))
    said = Listener(plan, records, scene.ports.registry).heard(tape, past)
    tape = tape.with_signals((at, rule, signal) for at, told in said for rule, signal in told)
    found = {(e.rule, e.began, e.ended) for e in replay(plan.rules, tape)}
    was = lived(records.decisions(scene.model))
    hold(found == was, "what is replayed is what was", found ^ was)


def lived(decisions: tuple[Decision, ...]) -> set[tuple[str, datetime, datetime | None]]:
    """Return the rule, begin and end of each incident."""
    began = {d.subject: d.at for d in decisions if d.action == "fire"}
    ended = {d.subject: d.at for d in decisions if d.action == "resolve"}
    return {(key.split(":")[1], at, ended.get(key)) for key, at in began.items()}


def check_champion(scene: Scene, decisions: tuple[Decision, ...]) -> None:
    """One champion, whose pointer follows from the log, and the route that the state asks for."""
    state = scene.rollout
    hold(state.champion, "there is a champion")
    hold(state.challenger != state.champion, "the champion is not its own challenger", state)
    hold(state.champion not in state.lineage, "the champion is no former one", state)
    crowned = [d.subject for d in decisions if d.action in {"install", "promote", "push"}]
    hold(state.champion in crowned, "the champion follows from the log", state.champion)
    try:
        scene.ports.registry.path(scene.model, state.champion)
    except HomeostatError as error:
        raise BrokenInvariantError("the champion is in the registry", str(error)) from error
    published = scene.ports.routes.current(scene.model)
    if scene.settled:
        wanted = route(state, scene.now, scene.watch.broken)
        wanted = laid_over(wanted, arms_of(scene.ports.records, scene.model))
        hold(published == wanted, "gateways know what the state asks for", (published, wanted))
    elif published is not None:
        hold(published.champion in crowned, "who answers was a champion", published)


def check_incidents(scene: Scene, decisions: tuple[Decision, ...]) -> None:
    """Triggered once, resolved at most once and only afterwards, told under the same key."""
    fired = [d.subject for d in decisions if d.action == "fire"]
    resolved = [d.subject for d in decisions if d.action == "resolve"]
    hold(len(set(fired)) == len(fired), "an incident fires once", fired)
    hold(len(set(resolved)) == len(resolved), "an incident is resolved once", resolved)
    hold(set(resolved) <= set(fired), "what is resolved has fired", set(resolved) - set(fired))
    notices = scene.told
    hold(all(notice.runbook for notice in notices), "no page without a runbook")
    keys = {action: {n.incident for n in notices if n.action is action} for action in NotifyAction}
    pages, ended = keys[NotifyAction.TRIGGER], keys[NotifyAction.RESOLVE]
    hold(pages <= set(fired), "no page of nothing", pages - set(fired))
    hold(ended <= set(resolved) & pages, "what is told to be over is", ended - set(resolved))
    if scene.settled:
        _check_told(notices, set(fired), set(resolved), pages, ended)


def _check_told(
    notices: list[Notify], fired: set[str], resolved: set[str], pages: set[str], ended: set[str]
) -> None:
    """Every incident was told of, and the end of each."""
    part_of: dict[str, set[str]] = {}
    for notice in notices:
        if notice.action is NotifyAction.UPDATE:
            part_of.setdefault(notice.incident, set()).add(notice.about)
    heard = pages.union(*part_of.values())
    hold(fired <= heard, "what fires is told", fired - heard)
    for key in resolved & pages - ended:
        # It ends with the open incident that it stands for.
        hold(part_of.get(key, set()) - resolved, "what is resolved is told", key)


def check_once(scene: Scene) -> None:
    """No notice was sent twice: holds where receivers never fail."""
    twice = [key for key, count in Counter(n.key for n in scene.told).items() if count > 1]
    hold(not twice, "nothing is told twice", twice)


def check_training(scene: Scene, decisions: tuple[Decision, ...]) -> None:
    """Nothing is learnt from what a data fault covers."""
    watch = scene.watch
    for start in (d.at for d in decisions if d.action == "start_training"):
        covered = [f for f in watch.faults if f.start <= start and (not f.end or start < f.end)]
        hold(not covered, "no training begins in a data fault", (start, covered))
    run = scene.ports.records.read(retraining_key(scene.model), RunState)
    if run is None or run.plan is None or run.stage not in LEARNT:
        return
    complete = run.plan.holdout.end + scene.plan.spec.labels.maturity <= run.plan.as_of
    hold(complete, "the hold-out's labels are complete", run.plan)
    hold(run.plan.training.end <= run.plan.holdout.start, "the hold-out is later", run.plan)
    for fault in (f.window(scene.now) for f in watch.faults):
        used = overlap(fault, run.plan.training) or overlap(fault, run.plan.holdout)
        hold(not used or fault in run.plan.excluded, "faulty rows are left out", (fault, run.plan))


def check_rollout(scene: Scene, decisions: tuple[Decision, ...]) -> None:
    """Each step and each promotion rests on proof of its own, and an abort is for good."""
    policy = scene.plan.rollout
    ready, aborted = set[str](), set[str]()
    for made in decisions:
        if made.action in {"ramp", "ready_to_promote"}:
            proof = dict(made.evidence)
            hold(proof["e_value"] >= 1 / policy.alpha, "steps need proof", made)
            hold(proof["rows"] >= policy.step_min_rows, "steps need rows", made)
        if made.action == "ready_to_promote":
            ready.add(made.subject)
        if made.action == "promote":
            hold(made.subject in ready, "promotions need proof", made)
        if made.action == "submit":
            hold(made.subject not in aborted, "an abort is for good", made)
        if made.action == "abort":
            aborted.add(made.subject)


def check_maturity(scene: Scene) -> None:
    """Metrics are of windows whose labels are all there."""
    until = scene.now - scene.plan.spec.labels.maturity
    young = [p for p in scene.ports.records.metrics(scene.model) if p.window.end > until]
    hold(not young, "metrics are of complete labels", young[:1])
