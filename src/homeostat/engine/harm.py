"""Takes back what does harm, in whatever state the rollout is: the side that is healthy serves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow.compute as pc

from homeostat.detectors.service.detector import FAULTS
from homeostat.domain.columns import by_split, texts
from homeostat.domain.decision import Cause, Diagnosis
from homeostat.domain.errors import ArtifactError, HomeostatError, NotFoundError
from homeostat.domain.verdict import DEGRADED, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.guardrails import GuardrailMemory, metrics_of
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Registry
from homeostat.engine.rollouts import Rolled, roll
from homeostat.engine.spoilt import spoilt
from homeostat.engine.watch import Watch
from homeostat.rollout.events import GuardrailBreached
from homeostat.rollout.guardrails import breach, split_is_off
from homeostat.rollout.state import Stage
from homeostat.serving.plan import Reason, Role
from homeostat.stats.sequences import proportion

LOOKED_BACK = timedelta(hours=1)
AVAILABILITY = "availability"
LATE = Reason.TIMEOUT.value
COLUMNS = ("role", "version", "tier", "reason")


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known about harm: the ports to look, and what guardrails saw."""

    log: PredictionLog
    registry: Registry
    memory: GuardrailMemory


@dataclass(frozen=True, slots=True)
class Health:
    """Requests that a version was to answer, and those that missed an objective by its fault."""

    asked: int = 0
    failed: int = 0

    @property
    def failing(self) -> float:
        """Share that failed; 1 of none."""
        return self.failed / self.asked if self.asked else 1.0


def guard(
    plan: ModelPlan,
    rolled: Rolled,
    watch: Watch,
    diagnosis: Diagnosis | None,
    sight: Sight,
    now: datetime,
) -> Rolled:
    """Take back a bad version on probation, and a challenger that does harm.

    Who goes is who is unhealthy: while the service misses an objective in a canary, both arms are
    held to it, and the challenger goes if it surely misses it, and by more than the champion. Else
    it is no culprit (a busy hour hits both alike): the rollout waits. A champion on probation is
    looked at in every stage: that another version is on its way up is no reason to keep it. And
    a challenger goes that was trained on rows which turn out to be broken.
    """
    state = rolled.state
    if state.on_probation(now) and state.previous:
        if diagnosis is not None and diagnosis.cause is Cause.BAD_VERSION:
            return _back(plan, rolled, diagnosis.text.rstrip("."), sight, now)
        rolled = _guard_probation(plan, rolled, watch, sight, now)
    challenger, model = rolled.state.challenger, plan.spec.name
    found = spoilt(model, challenger, watch.faults, sight.registry, now) if challenger else ""
    if found:
        return roll(plan, rolled, GuardrailBreached(found, challenger), now)
    if rolled.state.stage in {Stage.CANARY, Stage.PROMOTING}:
        return _guard_challenger(plan, rolled, watch, sight, now)
    return rolled


def _guard_challenger(
    plan: ModelPlan, rolled: Rolled, watch: Watch, sight: Sight, now: datetime
) -> Rolled:
    state, memory = rolled.state, sight.memory
    policy = plan.rollout.guardrails
    if memory.weight and memory.by_hash:
        off = split_is_off(policy, memory.rails, memory.weight)
        if off is not None and dict(off.figures)["challenger_share"] < memory.weight:
            lost = f"answers of the challenger are missing; {off.reason}"
            event = GuardrailBreached(lost, state.challenger, off.figures)
            return roll(plan, rolled, event, now)
    found = breach(policy, memory.rails, [metric.name for metric in metrics_of(plan)])
    if found is not None:
        event = GuardrailBreached(found.reason, state.challenger, found.figures)
        return roll(plan, rolled, event, now)
    failing = _failing(watch)
    if not failing:
        return rolled
    spared = False
    for verdict in failing:
        available = verdict.subject == AVAILABILITY
        allowed = plan.service.max_fallback if available else plan.service.slow_share
        champion, challenger = _arms(plan, sight.log, verdict, state.since or now, now)
        level = 1 - policy.alpha
        surely = proportion(challenger.failed, challenger.asked, level).lower
        if surely > max(allowed, proportion(champion.failed, champion.asked, level).upper):
            reason = (
                f"{verdict.reason}; {challenger.failed} of {challenger.asked} requests to "
                f"{state.challenger}, {champion.failed} of {champion.asked} to {state.champion}"
            )
            return roll(plan, rolled, GuardrailBreached(reason, state.challenger), now)
        spared = spared or challenger.failing <= allowed < champion.failing
    if spared and state.stage is Stage.PROMOTING:
        return rolled  # To wait would leave the failing side alone with most of the callers.
    subjects = " and ".join(verdict.subject for verdict in failing)
    held = f"the service misses its objective ({subjects}), not by {state.challenger} alone"
    return replace(rolled, held=held)


def _guard_probation(
    plan: ModelPlan, rolled: Rolled, watch: Watch, sight: Sight, now: datetime
) -> Rolled:
    """Go back from a champion that fails requests which its predecessor scores at the same time."""
    failing = [verdict for verdict in _failing(watch) if verdict.subject == AVAILABILITY]
    if not failing:
        return rolled
    state = rolled.state
    since = state.since or now
    champion, asked, scored = _beside(plan, sight.log, state.previous, since, now)
    if not champion.asked or scored / asked <= 1.0 - champion.failing:
        return rolled
    reason = (
        f"{failing[0].reason}; {state.champion} failed {champion.failed} of {champion.asked} "
        f"requests, {state.previous} scored {scored} of {asked} as a shadow"
    )
    return _back(plan, rolled, reason, sight, now)


def _back(plan: ModelPlan, rolled: Rolled, reason: str, sight: Sight, now: datetime) -> Rolled:
    """Roll back, unless the version to go back to cannot serve."""
    state = rolled.state
    problem = unservable(plan, state.previous, sight.registry)
    if problem:
        text = f"{reason}; {state.previous} cannot serve either: {problem}"
        # Nothing is under rollout by that name: it is put on record, once, and changes nothing.
        return roll(plan, rolled, GuardrailBreached(text, state.previous), now)
    return roll(plan, rolled, GuardrailBreached(reason, state.champion), now)


def unservable(plan: ModelPlan, version: str, registry: Registry) -> str:
    """Say why a version's artifact cannot be served; empty if it can, or if nobody can tell now."""
    try:
        registry.path(plan.spec.name, version)
    except (ArtifactError, NotFoundError) as error:
        return str(error)
    except HomeostatError:
        return ""
    return ""


def _failing(watch: Watch) -> list[Verdict]:
    """Return the verdicts that the service fails; answers degrade for bad rows too, of no fault."""
    told: Iterable[Verdict] = watch.verdicts(Monitor.SERVICE)
    return [v for v in told if v.subject != DEGRADED and v.status is Status.DRIFT]


def _arms(
    plan: ModelPlan, log: PredictionLog, verdict: Verdict, since: datetime, now: datetime
) -> tuple[Health, Health]:
    """Return how champion and challenger did at the same time, of late, by what is missed."""
    available = verdict.subject == AVAILABILITY
    counts = {Role.CHAMPION: Health(), Role.CHALLENGER: Health()}
    for part in _lately(plan, log, since, now):
        rows = by_split(log.rows(plan.spec, part, (*COLUMNS, "latency_ms")))
        roles = np.asarray(texts(rows, "role"), np.str_)
        times = rows["latency_ms"].to_numpy()
        faults = times > plan.service.max_latency_ms
        if available:
            faults = np.isin(np.asarray(texts(rows, "reason"), np.str_), FAULTS)
        for role, known in counts.items():
            mine = roles == role.value
            failed = known.failed + int((mine & faults).sum())
            counts[role] = Health(known.asked + int(mine.sum()), failed)
    return counts[Role.CHAMPION], counts[Role.CHALLENGER]


def _beside(
    plan: ModelPlan, log: PredictionLog, previous: str, since: datetime, now: datetime
) -> tuple[Health, int, int]:
    """Return how the champion did of late, and of how many rows the previous one scored how many.

    It shadows what everyone answers, so that in a canary those of the challenger count among them.

    A shadow has no deadline to miss, so that timeouts, and a breaker that they opened, are not held
    against the champion: a busy machine would look like a bad version.
    """
    mine = asked = scored = 0
    reasons = Counter[str]()
    for part in _lately(plan, log, since, now):
        rows = log.rows(plan.spec, part, COLUMNS)
        shadows = (pc.field("role") == Role.SHADOW.value) & (pc.field("version") == previous)
        scored += rows.filter(shadows & (pc.field("tier") == "model")).num_rows
        answers = by_split(rows)
        asked += answers.num_rows
        told = texts(answers.filter(pc.field("role") == Role.CHAMPION.value), "reason")
        mine += len(told)
        reasons.update(told)
    errors = reasons[Reason.ERROR.value]
    failed = errors + reasons[Reason.BREAKER_OPEN.value] if errors > reasons[LATE] else 0
    return Health(mine, failed), asked, scored


def _lately(
    plan: ModelPlan, log: PredictionLog, since: datetime, now: datetime
) -> Iterable[Window]:
    start = max(since, now - LOOKED_BACK)
    return log.stretches(plan.spec, Window(start, now)) if start < now else ()
