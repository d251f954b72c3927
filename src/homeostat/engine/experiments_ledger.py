"""What an experiment has measured: tallies by when entities were first met.

Each entity is in the cohort of the window in which it was met, and in that one alone, so cohorts
add up. A cohort is measured when its entities were observed to the end, again when their outcomes
are due, and then at growing distances, so that what came late or was corrected still counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from homeostat.domain.model import ModelSpec
from homeostat.domain.window import Window, closed_windows, floor
from homeostat.engine.experiments_units import first_met, units_met
from homeostat.engine.ports import PredictionLog
from homeostat.rollout.experiment.plan import ExperimentPlan
from homeostat.rollout.experiment.stored import Stored, store
from homeostat.rollout.experiment.tally import Tally

REACH = timedelta(days=14)
"""So long after its outcomes were due a cohort is measured again; then it stays as it is."""

EMPTY = Tally()


@dataclass(frozen=True, slots=True)
class Cohort:
    """Entities that were first met in a window, as measured then."""

    window: Window
    measured: datetime
    entities: int
    parts: tuple[Stored, ...] = ()


@dataclass(frozen=True, slots=True)
class Ledger:
    """All that was measured: cohorts by time, and the sum of those that nothing changes any more.

    Attributes
    ----------
    until : datetime or None
        Cohorts were measured up to here.
    cohorts : tuple of Cohort
    settled : tuple of Stored
    """

    until: datetime | None = None
    cohorts: tuple[Cohort, ...] = ()
    settled: tuple[Stored, ...] = ()

    def due(self, plan: ExperimentPlan) -> tuple[Stored, ...]:
        """Return what is known of entities whose outcomes had their time to come."""
        ready = (c for c in self.cohorts if c.measured >= due_at(plan, c.window))
        return merged((self.settled, *(cohort.parts for cohort in ready)))

    def met(self) -> tuple[Stored, ...]:
        """Return what is known of all entities that were observed to the end."""
        return merged((self.settled, *(cohort.parts for cohort in self.cohorts)))


def due_at(plan: ExperimentPlan, window: Window) -> datetime:
    """Return when the outcomes of a window's entities had their time to come."""
    return window.end + plan.observe + plan.wait


def merged(parts: Iterable[Iterable[Stored]]) -> tuple[Stored, ...]:
    """Add tallies up, by arm and segment."""
    found: dict[tuple[str, str], Tally] = {}
    for each in (stored for some in parts for stored in some):
        key = (each.arm, each.segment)
        found[key] = found[key].merge(each.tally) if key in found else each.tally
    return tuple(store(arm, tally, segment) for (arm, segment), tally in found.items())


def of_segments(
    parts: Iterable[Stored], arms: Iterable[str]
) -> tuple[dict[str, Tally], dict[str, dict[str, Tally]]]:
    """Return the tallies of the arms, and of each segment's."""
    wanted = frozenset(arms)
    whole: dict[str, Tally] = {}
    by_segment: dict[str, dict[str, Tally]] = {}
    for each in parts:
        if each.arm not in wanted:
            continue
        target = by_segment.setdefault(each.segment, {}) if each.segment else whole
        target[each.arm] = each.tally
    return whole, by_segment


def frequent(segments: Mapping[str, dict[str, Tally]], most: int) -> dict[str, dict[str, Tally]]:
    """Return the segments of the most entities."""
    sizes = {name: sum(t.assigned for t in each.values()) for name, each in segments.items()}
    chosen = sorted(segments, key=lambda name: (-sizes[name], name))[:most]
    return {name: segments[name] for name in chosen}


@dataclass(frozen=True)
class Keeper:
    """Brings the ledger of one experiment up to date."""

    plan: ExperimentPlan
    log: PredictionLog
    spec: ModelSpec
    now: datetime

    def update(self, ledger: Ledger, started: datetime) -> Ledger:
        """Measure what is new, what is due, and what may have changed."""
        plan, now = self.plan, self.now
        begin = floor(started, plan.every)
        new = list(closed_windows(ledger.until or begin, now - plan.observe, plan.every))
        until = new[-1].end if new else ledger.until
        if until is None:
            return ledger
        firsts = first_met(self.log, self.spec, Window(begin, until))
        cohorts = [self._again(cohort, firsts.within(cohort.window)) for cohort in ledger.cohorts]
        cohorts += [self._measure(window, firsts.within(window)) for window in new]
        settled = ledger.settled
        while cohorts and cohorts[0].measured >= due_at(plan, cohorts[0].window) + REACH:
            settled = merged((settled, cohorts.pop(0).parts))
        return Ledger(until, tuple(cohorts), settled)

    def _again(self, cohort: Cohort, met: pa.Table) -> Cohort:
        """Measure a cohort again if its time has come, or others belong to it than before."""
        due, now = due_at(self.plan, cohort.window), self.now
        if cohort.measured < due:
            again = now >= due
        else:
            again = now - due >= max(2 * (cohort.measured - due), self.plan.every)
        changed = met.num_rows != cohort.entities
        return self._measure(cohort.window, met) if again or changed else cohort

    def _measure(self, window: Window, met: pa.Table) -> Cohort:
        plan, now = self.plan, self.now
        due = now >= due_at(plan, window)
        units = units_met(plan, self.log, self.spec, met, window, now, due=due)
        return Cohort(window, now, len(units), units.tallies(plan.design.arms, plan.design.metrics))
