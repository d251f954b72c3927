"""Brings a canary's answers to its guardrails: each entity once a step, in the arm it was dealt."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.detectors.service.detector import FAULTS
from homeostat.detectors.value.metric import Kind, ValueMetric
from homeostat.domain.admission import as_admitted
from homeostat.domain.columns import by_split, float_array, texts
from homeostat.domain.model import ModelSpec
from homeostat.domain.record import RECORD_FIELDS
from homeostat.domain.route import Route
from homeostat.domain.window import EPOCH, Window
from homeostat.engine.cohort import without
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog
from homeostat.engine.series import with_outcomes
from homeostat.engine.watch import Watch
from homeostat.rollout.guardrails import (
    Answers,
    MaturedAnswers,
    Rails,
    labels_differ,
    see_answers,
    see_matured,
    split_is_off,
)
from homeostat.rollout.state import RolloutState, Stage
from homeostat.serving.plan import Role
from homeostat.serving.split import positions

PLACES = 1 << 18
"""Entities are remembered by one of so many places; one whose place is taken is left out."""
MOST_ROWS = 100_000
"""Of one look: at more traffic the first ones tell enough."""
LATE = timedelta(seconds=10)
"""So long it may take an answer to be in the log: slow ones of one arm must not seem to be lost."""
MOST_STRAYED = 0.01
"""Share of answers from the other arm than the hash says, beyond which it does not deal them out"""
COLUMNS = ("prediction_id", "timestamp", "role", "tier", "reason", "entity", "score", "latency_ms")
RECORDED = frozenset(name for name, _ in RECORD_FIELDS)
ELSEWHERE = "the published route is another one than this rollout's, so answers do not count"

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CanaryStep:
    """A stretch of time in which the challenger had one weight; ``end`` is None while it lasts.

    ``before`` is its weight in the step before: entities dealt to it then stay with it.
    """

    start: datetime
    weight: float
    before: float = 0.0
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class GuardrailMemory:
    """What a canary's guardrails have seen.

    Attributes
    ----------
    champion, challenger, submitted_at
        Whose rollout it is.
    steps : tuple of CanaryStep
    rails : Rails
    until, matured_until : datetime or None
        Up to where answers, and answers with complete labels, were looked at.
    settled : datetime or None
        From when on answers count: the published route was this rollout's, and taken up.
    weight : float
        Share of the counted entities that the challenger was to answer, as last looked at.
    strayed : tuple of int, int
        Answers from the other arm than the hash says, and all of them.
    seen, matured_seen : str
        Places of the entities that were counted in the step.
    problem : str
        Why answers do not count now; empty if they do.
    """

    champion: str = ""
    challenger: str = ""
    submitted_at: datetime | None = None
    steps: tuple[CanaryStep, ...] = ()
    rails: Rails = field(default_factory=Rails)
    until: datetime | None = None
    matured_until: datetime | None = None
    settled: datetime | None = None
    weight: float = 0.0
    strayed: tuple[int, int] = (0, 0)
    seen: str = ""
    matured_seen: str = ""
    problem: str = ""

    @property
    def by_hash(self) -> bool:
        """Whether the hash deals requests out, and not somebody else, such as a proxy."""
        return self.strayed[0] <= MOST_STRAYED * self.strayed[1]


def metrics_of(plan: ModelPlan) -> tuple[ValueMetric, ...]:
    """Return the business metrics that are guarded: those that every row has a value of."""
    return tuple(metric for metric in plan.business if metric.kind is not Kind.RATIO)


def look_at_canary(
    plan: ModelPlan,
    log: PredictionLog,
    watch: Watch,
    rollout: RolloutState,
    memory: GuardrailMemory,
    published: Route | None,
    now: datetime,
) -> GuardrailMemory:
    """Bet on what was answered, and what matured, since the last look.

    Answers only count while the published route, read back, is the one that the rollout asks for,
    and gateways had time to take it up.

    Parameters
    ----------
    plan : ModelPlan
    log : PredictionLog
    watch : Watch
    rollout : RolloutState
        As it was after the last tick.
    memory : GuardrailMemory
    published : Route or None
        What gateways have obeyed since the last tick.
    now : datetime
    """
    if rollout.stage not in {Stage.CANARY, Stage.PROMOTING} or not rollout.weight:
        return GuardrailMemory()
    memory = _stepped(plan, memory, rollout, now)
    step, before, until = memory.steps[-1], memory.until or now, now - LATE
    asked = (rollout.champion, rollout.challenger, rollout.weight)
    if published is None or asked != (published.champion, published.challenger, published.weight):
        return replace(memory, until=until, settled=None, problem=ELSEWHERE)
    settle, settled = plan.rollout.guardrails.settle, memory.settled
    if settled is None or settled > now + settle:  # a clock that was ahead says nothing
        settled = min(max(before, step.start), now) + settle
    memory = replace(memory, until=until, settled=settled, problem="")
    start = max(before, settled)
    if start < until:
        memory = _see(plan, log, memory, Window(start, until))
    return _see_matured(plan, log, watch, memory, now)


def held_by_guardrails(plan: ModelPlan, memory: GuardrailMemory) -> str:
    """Say why the rollout may not move on, whatever its evidence; empty if it may."""
    if not memory.steps:
        return ""
    policy, rails = plan.rollout.guardrails, memory.rails
    off = split_is_off(policy, rails, memory.weight) if memory.weight else None
    arms = ("champion", "challenger")
    missing = [arm for arm, count in zip(arms, rails.counts, strict=True) if not count]
    nothing = f"no answer of the {' or '.join(missing)} in this step yet" if missing else ""
    answers = (memory.problem, off.reason if off else "", labels_differ(policy, rails), nothing)
    return next((answer for answer in answers if answer), "")


def _stepped(
    plan: ModelPlan, memory: GuardrailMemory, rollout: RolloutState, now: datetime
) -> GuardrailMemory:
    """Begin with a new rollout, and with a new step of it."""
    whose = (rollout.champion, rollout.challenger, rollout.submitted_at)
    if whose != (memory.champion, memory.challenger, memory.submitted_at):
        memory = GuardrailMemory(*whose)
    last = memory.steps[-1] if memory.steps else None
    if last is not None and last.weight == rollout.weight:
        return memory
    start = rollout.since or now
    known = (last.weight,) if last else plan.rollout.ramp[: rollout.step]
    before = max((weight for weight in known if weight < rollout.weight), default=0.0)
    step = CanaryStep(start, rollout.weight, before)
    closed = (*memory.steps[:-1], replace(last, end=start)) if last else ()
    rails = memory.rails.next_step(memory.weight) if memory.weight else memory.rails
    matured = memory.matured_until or start
    return replace(
        memory, steps=(*closed, step), rails=rails, until=start, matured_until=matured,
        settled=None, weight=0.0, seen="",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Arms:
    """Rows, and who was to answer them.

    Attributes
    ----------
    rows : Table
        Of champion and challenger, not empty.
    places : ndarray of float64, shape (n,)
        Where the hash puts their entities.
    treated, dealt : ndarray of bool, shape (n,)
        The challenger was to answer: as their roles say, and as the hash does.
    """

    rows: pa.Table
    places: Floats
    treated: Flags
    dealt: Flags


@dataclass(frozen=True, slots=True, eq=False)
class Dealt:
    """Rows that count: of entities not seen before in the step, each in its arm.

    Attributes
    ----------
    rows : Table
    treated : ndarray of bool, shape (n,)
    weight : float
        Share that the challenger was to answer.
    seen : str
        Places that are taken now.
    """

    rows: pa.Table
    treated: Flags
    weight: float
    seen: str


def arms_of(spec: ModelSpec, challenger: str, weight: float, rows: pa.Table) -> Arms:
    """Return who was to answer which row."""
    roles = texts(rows, "role")
    treated = np.fromiter((role == Role.CHALLENGER for role in roles), np.bool_, len(roles))
    pairs = zip(texts(rows, "entity"), texts(rows, "prediction_id"), strict=True)
    keys = [entity or name for entity, name in pairs]
    places = positions(f"{spec.name}/{challenger}", keys)
    return Arms(rows, places, treated, places < weight)


def deal(spec: ModelSpec, step: CanaryStep, arms: Arms, seen: str, *, by_hash: bool) -> Dealt:
    """Choose the rows that count.

    An entity keeps its version, and may be one that always fails: its second answer would be no
    second toss of the coin. Those of the step before stay with the challenger, so that the coin of
    this step only decides about the others. Where somebody else than the hash deals requests out,
    the roles say how.

    Parameters
    ----------
    spec : ModelSpec
    step : CanaryStep
    arms : Arms
    seen : str
        Places that are taken.
    by_hash : bool
    """
    before = step.before if spec.entity else 0.0
    weight = (step.weight - before) / (1.0 - before) if by_hash else step.weight
    taken = _places(seen)
    spots = (arms.places * 2.0**53).astype(np.int64) % PLACES
    new = np.zeros(spots.size, np.bool_)
    new[np.unique(spots, return_index=True)[1]] = True
    new &= (arms.places >= before) & ~taken[spots]
    taken[spots[new]] = True
    treated = arms.dealt if by_hash else arms.treated
    return Dealt(arms.rows.filter(pa.array(new)), treated[new], weight, _text(taken))


def _places(seen: str) -> Flags:
    if not seen:
        return np.zeros(PLACES, np.bool_)
    packed = np.frombuffer(zlib.decompress(base64.b64decode(seen)), np.uint8)
    return np.unpackbits(packed).astype(np.bool_)


def _text(taken: Flags) -> str:
    return base64.b64encode(zlib.compress(np.packbits(taken).tobytes(), 1)).decode("ascii")


def _in_arms(rows: pa.Table) -> pa.Table:
    """Return what champion and challenger were to answer: no shadows, choices of callers, arms."""
    seen = by_split(rows)
    kept = [role in {Role.CHAMPION, Role.CHALLENGER} for role in texts(seen, "role")]
    return seen.filter(pa.array(kept, pa.bool_()))


def _see(
    plan: ModelPlan, log: PredictionLog, memory: GuardrailMemory, window: Window
) -> GuardrailMemory:
    policy, read = plan.rollout.guardrails, 0
    for part in log.stretches(plan.spec, window):
        rows = _in_arms(log.rows(plan.spec, part, COLUMNS))
        if rows.num_rows and read < MOST_ROWS:
            read += rows.num_rows
            step = memory.steps[-1]
            arms = arms_of(plan.spec, memory.challenger, step.weight, rows)
            strayed, told = memory.strayed
            strayed += int(np.count_nonzero(arms.treated != arms.dealt))
            memory = replace(memory, strayed=(strayed, told + rows.num_rows))
            dealt = deal(plan.spec, step, arms, memory.seen, by_hash=memory.by_hash)
            memory = _counted(memory, dealt)
            if split_is_off(policy, memory.rails, dealt.weight) is None:
                rails = see_answers(policy, memory.rails, as_answers(dealt), dealt.weight)
                memory = replace(memory, rails=rails)
    return memory


def _counted(memory: GuardrailMemory, dealt: Dealt) -> GuardrailMemory:
    rails = memory.rails
    if memory.weight not in {0.0, dealt.weight}:  # now somebody else deals them out
        rails = rails.next_step(memory.weight)
    ours = int(dealt.treated.sum())
    champion, challenger = rails.counts
    counts = (champion + dealt.treated.size - ours, challenger + ours)
    return replace(
        memory, rails=replace(rails, counts=counts), weight=dealt.weight, seen=dealt.seen
    )


def as_answers(dealt: Dealt) -> Answers:
    """Return what the guardrails are shown of rows that count."""
    rows = dealt.rows
    failed = np.isin(np.asarray(texts(rows, "reason"), dtype=np.str_), FAULTS)
    by_model = np.asarray(texts(rows, "tier"), dtype=np.str_) == "model"
    score = np.where(by_model, float_array(rows["score"]), np.nan)
    return Answers(dealt.treated, failed, float_array(rows["latency_ms"]), score)


def _see_matured(
    plan: ModelPlan, log: PredictionLog, watch: Watch, memory: GuardrailMemory, now: datetime
) -> GuardrailMemory:
    """Bet on the answers whose labels became complete, step by step."""
    policy, faults = plan.rollout.guardrails, tuple(fault.window(now) for fault in watch.faults)
    until = now - plan.spec.labels.maturity
    if memory.matured_until is not None and memory.matured_until > now:
        memory = replace(memory, matured_until=now)
    for step, window in _matured_windows(memory, policy.settle, until):
        if window.start <= step.start + policy.settle:
            memory = replace(memory, matured_seen="")
        for part in log.stretches(plan.spec, window):
            rows = _in_arms(_labelled(plan, log, part, now, faults))
            if rows.num_rows:
                arms = arms_of(plan.spec, memory.challenger, step.weight, rows)
                seen = memory.matured_seen
                dealt = deal(plan.spec, step, arms, seen, by_hash=memory.by_hash)
                told = _matured_answers(plan, dealt)
                rails = see_matured(policy, memory.rails, told, dealt.weight)
                memory = replace(memory, rails=rails, matured_seen=dealt.seen)
        memory = replace(memory, matured_until=window.end)
    return memory


def _matured_windows(
    memory: GuardrailMemory, settle: timedelta, until: datetime
) -> Iterator[tuple[CanaryStep, Window]]:
    for step in memory.steps:
        start = max(memory.matured_until or EPOCH, step.start + settle)
        end = min(step.end or until, until)
        if start < end:
            yield step, Window(start, end)


def _labelled(
    plan: ModelPlan, log: PredictionLog, window: Window, now: datetime, faults: tuple[Window, ...]
) -> pa.Table:
    spec = plan.spec
    used = frozenset[str]().union(*(metric.columns for metric in metrics_of(plan)))
    further = sorted((used & {*spec.schema.names, *spec.outcomes}) - RECORDED)
    table, _ = as_admitted(spec, log.labelled(spec, window, now, [*COLUMNS, *further]))
    return without(table, faults)


def _matured_answers(plan: ModelPlan, dealt: Dealt) -> MaturedAnswers:
    labelled = ~np.isnan(float_array(dealt.rows["label"]))
    values = {}
    if metrics_of(plan):
        rows = with_outcomes(plan.spec, dealt.rows)
        for metric in metrics_of(plan):
            amounts, _ = metric.amounts(rows)
            values[metric.name] = amounts if metric.better == "higher" else -amounts
    return MaturedAnswers(dealt.treated, labelled, values)
