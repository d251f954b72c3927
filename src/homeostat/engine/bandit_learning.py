"""What one batch of a bandit learns from the log, or why that cannot be believed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.window import Window
from homeostat.engine.bandit_rows import BanditRows
from homeostat.engine.bandit_state import BanditState, Quiet
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog
from homeostat.engine.watch import Watch
from homeostat.rollout.bandit.delays import Earned
from homeostat.rollout.bandit.design import Bandit, Delay
from homeostat.rollout.bandit.learn import (
    Exposures,
    Silence,
    delay_curve,
    earned,
    known_by_now,
    repeated,
    silence,
)
from homeostat.stats.survival import Curve

DAY = timedelta(days=1)
KEPT = 7
"""Batches for which rows are read again after their labels are complete."""
PATIENCE = 4
"""So many times as long a bandit waits for labels that stay away."""
HELD = "no reward of {} comes: shares stay as they are until labels come for all arms"


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a batch brought.

    ``held`` says why totals are not to be believed, ``stale`` that this lasts for too long.
    """

    state: BanditState
    earned: Mapping[str, Earned]
    held: str = ""
    stale: bool = False


@dataclass(frozen=True)
class Learning:
    """One batch of a bandit.

    Parameters
    ----------
    plan : ModelPlan
    design : Bandit
    log : PredictionLog
    watch : Watch
        Says which rows a data fault covers.
    before : BanditState
    batches : int
        Whole batches since the beginning.
    """

    plan: ModelPlan
    design: Bandit
    log: PredictionLog
    watch: Watch
    before: BanditState
    batches: int

    def learn(self) -> Learnt:
        """Return what each arm has earned, or why that cannot be believed."""
        before, end = self.before, self._end
        faults = tuple(fault.window(end) for fault in self.watch.faults)
        rows = BanditRows(self.log, self.plan.spec, self.design, end, faults)
        everything = rows.exposures(Window(before.settled_until, end))
        everything = {arm.version: everything[arm.version] for arm in before.arms}
        curves = self._curves(rows, everything)
        quiet, held = self._listen(everything, curves)
        heard = {name: self._heard(each, quiet) for name, each in everything.items()}
        faded = self.design.discount ** (self.batches - before.batches)
        settled = {arm.version: arm.settled.faded(faded) for arm in before.arms}
        repeats = {arm.version: arm.repeats.faded(faded) for arm in before.arms}
        totals = {}
        for name, each in heard.items():
            curve = curves[name]
            sums = settled[name] + earned(self.design, each, self._maturity, curve)
            # Who comes back in a later batch is no more evidence than one who does in the same.
            again = repeats[name] + repeated(self.design, each, self._maturity, curve)
            totals[name] = sums.faded(1.0 / again.effect)
        # What is doubtful is not settled: it is read again, and labels that come still count.
        horizon = before.settled_until if held else self._horizon
        if horizon > before.settled_until:
            limit = (end - horizon) / DAY
            for name, each in heard.items():
                old = each.take(each.ages > limit)
                settled[name] += earned(self.design, old, self._maturity, None)
                repeats[name] += repeated(self.design, old, self._maturity, None)
        arms = tuple(
            replace(
                arm,
                settled=settled[arm.version],
                repeats=repeats[arm.version],
                rows=totals[arm.version].n,
                mean=_mean(totals[arm.version]),
            )
            for arm in before.arms
        )
        kept = tuple(each for each in quiet if each.window.end > horizon)
        state = replace(
            before, batches=self.batches, until=end, settled_until=horizon, arms=arms, quiet=kept
        )
        stale = bool(held) and end - before.settled_until > PATIENCE * self._lasting
        return Learnt(state, totals, held, stale)

    @property
    def _end(self) -> datetime:
        return self.before.since + self.batches * self.design.every

    @property
    def _maturity(self) -> float:
        return self.plan.spec.labels.maturity / DAY

    @property
    def _lasting(self) -> timedelta:
        """For how long rows are read again: some whole batches after maturity."""
        every = self.design.every
        return (math.ceil(self.plan.spec.labels.maturity / every) + KEPT) * every

    @property
    def _horizon(self) -> datetime:
        return max(self._end - self._lasting, self.before.settled_until)

    def _listen(
        self, rows: Mapping[str, Exposures], curves: Mapping[str, Curve | None]
    ) -> tuple[tuple[Quiet, ...], str]:
        """Return the stretches without labels that are over, and which last, in words."""
        known = {
            name: known_by_now(each, self._maturity, curves[name]) for name, each in rows.items()
        }
        came = {name: np.isfinite(each.rewards) for name, each in rows.items()}
        quiet = [
            each
            for each in self.before.quiet
            if each.version in rows
            and not (came[each.version] & self._inside(rows[each.version], each)).any()
        ]
        lasting = []
        for name, each in rows.items():
            others = [other for other in rows if other != name]
            answers = sum(float(known[other].sum()) for other in others)
            rewards = sum(np.count_nonzero(came[o] & (known[o] > 0.0)) for o in others)
            apart = np.zeros(each.ages.size, dtype=np.bool_)
            for stretch in quiet:
                apart |= self._inside(each, stretch)
            rate = rewards / answers if answers else 0.0
            found = silence(each.ages[~apart], known[name][~apart], came[name][~apart], rate)
            if found is not None and found.lasts:
                lasting.append(name)
            elif found is not None:
                quiet.append(self._quiet(name, found))
        return tuple(quiet), f"{HELD.format(', '.join(lasting))}" if lasting else ""

    def _quiet(self, name: str, found: Silence) -> Quiet:
        start = self.before.settled_until
        if math.isfinite(found.older):
            start = self._end - found.older * DAY + timedelta(microseconds=1)
        return Quiet(name, Window(start, self._end - found.newer * DAY))

    def _inside(self, rows: Exposures, stretch: Quiet) -> NDArray[np.bool_]:
        start, end = ((self._end - at) / DAY for at in (stretch.window.start, stretch.window.end))
        found: NDArray[np.bool_] = (rows.ages <= start) & (rows.ages > end)
        return found

    def _heard(self, rows: Exposures, quiet: tuple[Quiet, ...]) -> Exposures:
        """Leave out, of every arm, the times in which labels of one stayed away."""
        for stretch in quiet:
            rows = rows.take(~self._inside(rows, stretch))
        return rows

    def _curves(
        self, rows: BanditRows, exposures: Mapping[str, Exposures]
    ) -> dict[str, Curve | None]:
        if self.design.delay is Delay.MATURED:
            return dict.fromkeys(exposures)
        maturity = self.plan.spec.labels.maturity
        delays = rows.delays(Window(self._end - 2 * maturity, self._end - maturity))
        nothing = np.empty(0)
        others = np.concatenate([nothing, *delays.values()])
        return {
            name: delay_curve(delays.get(name, nothing), others, arm)
            for name, arm in exposures.items()
        }


def _mean(total: Earned) -> float:
    return total.total / total.n if total.n > 0.0 else 0.0
