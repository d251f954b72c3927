"""Looks at rows when monitors have found a change: what kind it is, by how much, who carries it.

Monitors tell that something changed, within the alarm budget; rows tell what. See
`homeostat.engine.refine` for what the one makes of the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count, takewhile

import numpy as np
import pyarrow as pa

from homeostat.detectors.faults.config import FaultConfig
from homeostat.diagnosis.explain import DiagnoseConfig, explain
from homeostat.domain.decision import Cause, Diagnosis
from homeostat.domain.errors import DataError
from homeostat.domain.explanation import Explanation, FaultKind
from homeostat.domain.logged import logged_predictions
from homeostat.domain.model import ModelSpec
from homeostat.domain.predictions import Predictions
from homeostat.domain.verdict import Monitor, Status
from homeostat.domain.window import Window
from homeostat.engine.cohort import MATURED, cohorts
from homeostat.engine.inputs import reach
from homeostat.engine.plan import ExplanationPolicy, ModelPlan
from homeostat.engine.ports import PredictionLog, Registry
from homeostat.engine.samples import (
    Source,
    count_labels,
    newest_label,
    thinned,
    trained_until,
)
from homeostat.engine.watch import Fault, Watch
from homeostat.retraining.planning import overlap

EXAMINED = frozenset({Cause.DATA_FAULT, Cause.COVARIATE_SHIFT, Cause.CONCEPT_DRIFT, Cause.UNKNOWN})
ON_ROWS = frozenset(
    {
        Monitor.DATA_QUALITY,
        Monitor.DATA_DRIFT,
        Monitor.PREDICTION_DRIFT,
        Monitor.PERFORMANCE,
        Monitor.CALIBRATION,
        Monitor.VOLUME,
    }
)
"""Monitors of what rows hold; the service's is about who answers, and how fast."""
GROWING = frozenset({Monitor.DATA_DRIFT, Monitor.PREDICTION_DRIFT, Monitor.CALIBRATION})
ON_LABELS = frozenset({Monitor.PERFORMANCE, Monitor.CALIBRATION})

DAY = timedelta(days=1)
MOST_DAYS = 120
RECENT = timedelta(days=28)
ENOUGH_ROWS, ENOUGH_LABELS = 300, 500
"""Current rows, or labelled ones where the trouble is about labels, that a look waits for."""
FEW = 500
"""Reference rows below which those from just before the change was seen are taken, too."""
HASTE = 8
"""Part of a metric window after which a changed diagnosis is looked into."""
PATIENCE = 4
"""Part of the trouble's age after which rows are counted again while there are too few."""
SURE = 1e-7
"""Largest p-value of one check for faults; a trouble is looked at some dozens of times."""
SOON = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class ExplanationMemory:
    """What rows said of the present trouble, and which stretches they showed to be broken.

    Attributes
    ----------
    version : str
        Champion in trouble; empty while there is none.
    noticed, since : datetime or None
        When the trouble was noticed, and when it began as far as monitors tell.
    asked : tuple of str
        The diagnosis by verdicts that the newest look was about.
    looked, again : datetime or None
        When rows were last looked at, and before when they are not read again.
    explanation : Explanation or None
        What the newest look found.
    faults : tuple of Fault
        Stretches in which rows are broken; monitors have missed them.
    problem : str
        Why nothing was explained, if it was not.
    """

    version: str = ""
    noticed: datetime | None = None
    since: datetime | None = None
    asked: tuple[str, ...] = ()
    looked: datetime | None = None
    again: datetime | None = None
    explanation: Explanation | None = None
    faults: tuple[Fault, ...] = ()
    problem: str = ""

    @property
    def broken(self) -> tuple[Fault, ...]:
        """Faults that last."""
        return tuple(fault for fault in self.faults if fault.end is None)


def explanation_key(model: str) -> str:
    """Return the state key of what is remembered of explanations."""
    return f"explanation:{model}"


@dataclass(frozen=True, slots=True)
class Explanations:
    """Reads a champion's rows from before and since a change and explains the difference."""

    log: PredictionLog
    registry: Registry

    def look(
        self,
        plan: ModelPlan,
        memory: ExplanationMemory,
        champion: str,
        watch: Watch,
        found: Diagnosis | None,
        now: datetime,
        rng: np.random.Generator,
    ) -> ExplanationMemory:
        """Look at rows if there is trouble, it is time to, and there is something new.

        That is when trouble begins and rows suffice, and from then on 1, 2, 4, 8 ... metric windows
        later if labels have come, or each window if rows were broken. A changed diagnosis is looked
        into after an eighth of a window.

        Parameters
        ----------
        plan : ModelPlan
            Without a policy nothing is looked at.
        memory : ExplanationMemory
        champion : str
        watch : Watch
            Newest verdicts, and which rows a data fault covers.
        found : Diagnosis or None
            What verdicts say. A model that is down or a bad version hides everything else: what
            was found before is kept until it is over.
        now : datetime
        rng : numpy.random.Generator

        Returns
        -------
        ExplanationMemory
            The same object if nothing happened.
        """
        if plan.diagnosis is None or (found is not None and found.cause not in EXAMINED):
            return memory
        began = _began(watch)
        if found is None or began is None:
            return _over(plan, memory, now)
        if memory.version and memory.version != champion:
            memory = _over(plan, memory, now)
        if not memory.version:
            memory = replace(memory, version=champion, noticed=now, since=began)
        memory = replace(memory, since=min(memory.since or began, began))
        asked = (found.cause.value, str(found.retrain), *found.columns)
        if not _due(plan, memory, asked, now):
            return memory
        return self._look(plan, plan.diagnosis, memory, asked, watch, now, rng)

    def _look(
        self,
        plan: ModelPlan,
        policy: ExplanationPolicy,
        memory: ExplanationMemory,
        asked: tuple[str, ...],
        watch: Watch,
        now: datetime,
        rng: np.random.Generator,
    ) -> ExplanationMemory:
        since = max(memory.since or now, now - RECENT)
        ended = (fault for fault in (*watch.faults, *memory.faults) if fault.end is not None)
        covered = tuple(fault.window(now) for fault in ended)
        source = Source(self.log, plan.spec, memory.version, now, covered)
        current = source.spread(_days(since, now), policy.rows, rng)
        if not _enough(plan, memory, watch, current, now):
            pause = max((now - since) / PATIENCE, SOON)
            return replace(memory, again=now + min(pause, plan.metric_window))
        fresh = newest_label(current, plan.spec)
        known = memory.looked is not None and (fresh is None or fresh <= memory.looked)
        if known and asked == memory.asked and not memory.broken:
            return replace(memory, looked=now, again=None)
        lately = 2 * plan.drift.every if _told_by_drift(watch) else timedelta(0)
        reference = self._reference(source, policy, Window(since, now), lately, rng)
        memory = replace(memory, asked=asked, looked=now, again=None)
        current = thinned(current, policy.rows)
        return _told(plan, policy, memory, watch, reference, current, now, rng)

    def _reference(
        self,
        source: Source,
        policy: ExplanationPolicy,
        current: Window,
        lately: timedelta,
        rng: np.random.Generator,
    ) -> pa.Table:
        """Return rows from before the change: labelled ones, if there are enough of them.

        Rows of the same time of day as the current ones, if these are of less than a day; none from
        before the end of the version's training, which it knows by heart; and those from `lately`
        before the change was seen, when it may have begun, only if there are few others.
        """
        trained = trained_until(self.registry, source.spec.name, source.version)
        edge = current.start - MOST_DAYS * DAY
        edge = max(edge, trained) if trained else edge
        length = min(current.length, DAY)
        starts = takewhile(lambda at: at >= edge, (current.start - n * DAY for n in count(1)))
        windows = [Window(start, start + length) for start in starts]
        near = sum(window.end > current.start - lately for window in windows)
        rows = source.spread(windows[near:], policy.rows, rng)
        if (count_labels(rows) or rows.num_rows) < FEW:
            rows = pa.concat_tables([rows, source.spread(windows[:near], policy.rows, rng)])
        labelled = rows.filter(~np.asarray(rows["label"].is_null()))
        enough = labelled.num_rows >= DiagnoseConfig().min_rows
        return thinned((labelled if enough else rows).sort_by("timestamp"), policy.rows)


def unsound(plan: ModelPlan, watch: Watch, faults: tuple[Fault, ...], now: datetime) -> Watch:
    """Return the watch as retraining may see it, given stretches in which rows were broken.

    They are left out of training, keep it from beginning while they last, and if the newest window
    of a drop is one of them the drop asks for nothing.
    """
    end = dict(watch.metrics_until)[MATURED]
    newest = Window(end - plan.metric_window, end)
    spoilt = any(overlap(fault.window(now), newest) for fault in faults)
    return replace(watch, faults=(*watch.faults, *faults), drops=0 if spoilt else watch.drops)


def _began(watch: Watch) -> datetime | None:
    """Return when what monitors of rows complain of began; None if they do not."""
    fired = [v for v in watch.latest if v.status is Status.DRIFT and v.monitor in ON_ROWS]
    moments = [verdict.window.start for verdict in fired]
    if not moments:
        return None
    moments += [fault.start for fault in watch.open_faults]
    return min([*moments, *([watch.drop_since] if watch.drop_since else [])])


def _told_by_drift(watch: Watch) -> bool:
    """Whether evidence told of the change that grows over windows: it began before them."""
    return any(v.status is Status.DRIFT and v.monitor in GROWING for v in watch.latest)


def _over(plan: ModelPlan, memory: ExplanationMemory, now: datetime) -> ExplanationMemory:
    """Forget the trouble; broken stretches end, and are kept while training may reach them."""
    if not memory.version and not memory.faults:
        return memory
    ended = (fault if fault.end else replace(fault, end=now) for fault in memory.faults)
    kept = tuple(fault for fault in ended if fault.end is None or fault.end > now - reach(plan))
    if not memory.version and kept == memory.faults:
        return memory
    return ExplanationMemory(looked=memory.looked, faults=kept)


def _due(plan: ModelPlan, memory: ExplanationMemory, asked: tuple[str, ...], now: datetime) -> bool:
    if memory.again is not None:
        return now >= memory.again
    if memory.looked is None:
        return True
    changed = asked != memory.asked
    pace = plan.metric_window / HASTE if changed else plan.metric_window
    if not changed and not memory.broken and memory.noticed is not None:
        # What has been looked at for weeks is known: ages at which it is looked at double.
        pace = max(pace, memory.looked - memory.noticed)
    if now - memory.looked < pace:
        return False
    grown = memory.since is not None and now - cohorts(plan.spec)[0].maturity > memory.since
    return changed or grown or bool(memory.broken)


def _days(since: datetime, now: datetime) -> list[Window]:
    """Return the days up to now, the newest first; the oldest one may be shorter."""
    ends = takewhile(lambda end: end > since, (now - n * DAY for n in count()))
    return [Window(max(since, end - DAY), end) for end in ends]


def _enough(
    plan: ModelPlan, memory: ExplanationMemory, watch: Watch, rows: pa.Table, now: datetime
) -> bool:
    """Whether there are rows enough for an answer, or it has been waited for them long enough."""
    if memory.noticed is not None and now - memory.noticed >= plan.metric_window:
        return True
    fired = [v for v in watch.latest if v.status is Status.DRIFT and v.monitor in ON_ROWS]
    by_label = all(verdict.monitor in ON_LABELS for verdict in fired)
    if by_label:
        return count_labels(rows) >= ENOUGH_LABELS
    return rows.num_rows >= ENOUGH_ROWS


def _told(
    plan: ModelPlan,
    policy: ExplanationPolicy,
    memory: ExplanationMemory,
    watch: Watch,
    reference: pa.Table,
    current: pa.Table,
    now: datetime,
    rng: np.random.Generator,
) -> ExplanationMemory:
    """Return what rows say; where they cannot say anything, why."""
    config = DiagnoseConfig(faults=FaultConfig(level=SURE), max_rows=policy.rows)
    for name, rows in (("reference", reference), ("current", current)):
        if rows.num_rows < config.min_rows:
            few = f"{rows.num_rows} {name} rows of version {memory.version}"
            return replace(memory, explanation=None, problem=f"{few}, {config.min_rows} needed")
    before, after = (_predictions(plan.spec, rows) for rows in (reference, current))
    try:
        found = explain(before, after, rng, config)
    except (DataError, ValueError, ArithmeticError) as error:
        # Whatever rows hold, alerts must go out.
        return replace(memory, explanation=None, problem=f"{type(error).__name__}: {error}")
    faults = _faults(plan, memory, watch, found, now)
    return replace(memory, explanation=found, faults=faults, problem="")


def _predictions(spec: ModelSpec, rows: pa.Table) -> Predictions:
    found = logged_predictions(spec, rows)
    names = dict.fromkeys(name for names in spec.segment_columns for name in names)
    if not names:
        return found
    segments = {name: found.features[name].cast(pa.string()) for name in names}
    return replace(found, segments=pa.table(segments))


def _faults(
    plan: ModelPlan, memory: ExplanationMemory, watch: Watch, found: Explanation, now: datetime
) -> tuple[Fault, ...]:
    """Return the broken stretches after a look.

    A fault that monitors have found too is theirs. One that this look at all rows since the change
    does not find is taken back: it was found by chance, or too few rows have it to matter.
    """
    seen: dict[str, str] = {}
    if Cause.DATA_FAULT in found.causes:
        for fault in found.faults:
            if fault.kind is not FaultKind.EXTRA_COLUMN:
                seen |= dict.fromkeys(fault.columns or ("",), fault.text)
    known = {fault.column for fault in memory.broken}
    kept = [fault for fault in memory.faults if fault.end or fault.column in seen]
    kept = [fault for fault in kept if fault.end is None or fault.end > now - reach(plan)]
    new = [name for name in seen if name not in known and name not in watch.broken]
    start = memory.since or now
    return (*kept, *(Fault(name, start, reason=seen[name]) for name in new))
