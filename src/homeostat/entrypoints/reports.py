"""Weekly and monthly reports, drift reports and model cards, gathered from the records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np

from homeostat.detectors.series.dynamic import SeriesConfig
from homeostat.detectors.value.metric import Kind
from homeostat.domain.clock import Clock
from homeostat.domain.errors import DataError, HomeostatError, NotFoundError
from homeostat.domain.model import ColumnKind, ModelSpec
from homeostat.domain.verdict import AlarmBudget
from homeostat.domain.window import Window, floor
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Records, Registry
from homeostat.engine.watch import Baseline, baseline_key
from homeostat.entrypoints import current
from homeostat.entrypoints.http.reading import Reader
from homeostat.profiles.compare import quantiles
from homeostat.profiles.profile import Profile
from homeostat.reports import card, monthly, sheet, weekly
from homeostat.reports.facts import Business, Facts
from homeostat.reports.health import IncidentLine
from homeostat.reports.parts import HISTORY, moved
from homeostat.reports.plots import Spread
from homeostat.reports.sheet import Sheet

T = TypeVar("T")

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
LONGEST = timedelta(days=400)
"""Figures from longer ago are not looked at, however late labels are."""
MOST_NOTICES = 5_000
AHEAD = timedelta(minutes=5)
"""By how much a caller's clock may be ahead of ours."""
SCORE = "score"
MOVERS = 2
"""Columns whose quantiles are drawn beside those of the score."""
LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])

MAKERS: Mapping[str, Callable[[Facts], Sheet]] = {
    "weekly": weekly.weekly,
    "monthly": monthly.monthly,
    "drift": card.drift_report,
    "card": card.card,
}
KINDS = tuple(MAKERS)
FORMS: Mapping[str, Callable[[Sheet], bytes]] = {
    "html": lambda made: sheet.to_html(made).encode(),
    "md": lambda made: sheet.to_markdown(made).encode(),
    "json": sheet.to_json,
}


def span_of(kind: str, as_of: datetime) -> Window:
    """Return the time of a report: seven days up to an hour, or the last whole month before it.

    Examples
    --------
    >>> from datetime import UTC
    >>> at = datetime(2024, 3, 15, 6, 20, tzinfo=UTC)
    >>> str(span_of("weekly", at)), str(span_of("monthly", at))
    ('2024-03-08T06:00/2024-03-15T06:00', '2024-02-01T00:00/2024-03-01T00:00')
    """
    end = floor(as_of, HOUR)
    if kind != "monthly":
        return Window(end - WEEK, end)
    this = end.replace(day=1, hour=0)
    return Window((this - DAY).replace(day=1), this)


@dataclass(frozen=True)
class Reports:
    """Makes reports.

    Parameters
    ----------
    records, log, registry
        Of the log only profiles and counts are asked for, never rows.
    plans : mapping of model name to ModelPlan
    clock : Clock
    """

    records: Records
    log: PredictionLog
    registry: Registry
    plans: Mapping[str, ModelPlan]
    clock: Clock

    def make(self, kind: str, models: Sequence[str], as_of: datetime | None = None) -> Sheet:
        """Return the report of some models; of several, one after the other in one.

        Parameters
        ----------
        kind : str
            One of `KINDS`.
        models : sequence of str
        as_of : datetime or None
            When it ends; None: now. What became known later is told, too.

        Raises
        ------
        NotFoundError
            If there is no such kind or model.
        DataError
            If the time lies ahead.
        """
        if kind not in MAKERS:
            raise NotFoundError(f"there is no {kind!r} report; there are {', '.join(KINDS)}")
        now = self.clock.now()
        if as_of is not None and as_of > now + AHEAD:
            raise DataError(f"{as_of:%Y-%m-%d %H:%M} lies ahead; a report ends now at the latest")
        try:
            window = span_of(kind, min(as_of or now, now))
        except (OverflowError, ValueError):
            raise DataError(f"{as_of} is no time that anything is known of") from None
        back = LONGEST if kind == "card" else window.length
        made = [MAKERS[kind](self.facts(model, window, now, back)) for model in models]
        if len(made) == 1:
            return made[0]
        title = f"{kind.capitalize()} report of {len(made)} models"
        return sheet.together(made, title)

    def facts(self, model: str, window: Window, now: datetime, back: timedelta = WEEK) -> Facts:
        """Gather what a report of one model rests on, decisions from `back` before the window."""
        plan = self.plans.get(model)
        if plan is None:
            known = ", ".join(self.plans)
            raise NotFoundError(f"no model is named {model!r}; there are {known}")
        spec, records = plan.spec, self.records
        rollout = current.rollout(records, model)
        champion = rollout.champion
        reach = min(spec.labels.maturity + HISTORY * window.length, LONGEST)
        baseline = records.read(baseline_key(model, champion), Baseline) if champion else None
        problems: list[str] = []
        cards = _try(problems, "cards of versions", lambda: self.registry.versions(model))
        gathered = Facts(
            spec=spec,
            window=window,
            generated=now,
            champion=champion,
            promoted=rollout.promoted_at or rollout.since,
            verdicts=records.verdicts(model, window.start - window.length, window.end),
            points=records.metrics(model, "", window.start - reach, window.end, None),
            decisions=records.decisions(model, since=window.start - back),
            incidents=self._incidents(spec, window),
            versions=cards or (),
            lineage=rollout.lineage,
            business=tuple(Business(m.name, m.better, m.kind is Kind.TOTAL) for m in plan.business),
            baseline=baseline.metrics if baseline else (),
            diagnosis=current.why(records, model).diagnosis,
            budget=_budget(plan),
            pages=self._pages(model, window),
        )
        return self._profiled(gathered, problems)

    def _incidents(self, spec: ModelSpec, window: Window) -> tuple[IncidentLine, ...]:
        found = Reader(self.records, {spec.name: spec}, self.clock).incidents(spec.name, window)
        return tuple(each for each in found if each.opened is None or each.opened < window.end)

    def _pages(self, model: str, window: Window) -> tuple[tuple[str, int], ...]:
        told: Counter[str] = Counter()
        for each in self.records.deliveries(MOST_NOTICES):
            if each.status == "done" and each.at in window and each.notice.model == model:
                told[each.notice.receiver] += 1
        return tuple(sorted(told.items()))

    def _profiled(self, facts: Facts, problems: list[str]) -> Facts:
        """Add counts and quantiles by day from the profiles of the prediction log."""
        days = _days(facts.window)
        spec = facts.spec
        rows = _try(problems, "counts of predictions", lambda: self._counts(spec, days)) or ()
        names = [SCORE, *_numeric_movers(facts)[:MOVERS]]
        asked = [day for day, count in rows if count]
        found = _try(
            problems,
            "profiles of the prediction log",
            lambda: [(day, self.log.profile(spec, day)) for day in asked],
        )
        spreads = tuple((name, row) for name in names if (row := _spreads(name, found or ())))
        return replace(facts, answered=rows, spreads=spreads, problems=tuple(problems))

    def _counts(self, spec: ModelSpec, days: Sequence[Window]) -> tuple[tuple[Window, int], ...]:
        return tuple((day, sum(self.log.counts(spec, day))) for day in days)


def _try(problems: list[str], what: str, work: Callable[[], T]) -> T | None:
    """Return what there is to read; if it cannot be read, a report goes without and says so."""
    try:
        return work()
    except HomeostatError as error:
        problems.append(f"{what} ({error})")
        return None


def _budget(plan: ModelPlan) -> AlarmBudget:
    """Return the largest budget that a monitor has a share of: the model's own."""
    dynamic = [t.config.budget for t in plan.thresholds if isinstance(t.config, SeriesConfig)]
    return max((plan.performance.budget, *dynamic), key=lambda budget: budget.rate)


def _days(window: Window) -> tuple[Window, ...]:
    count = -(-window.length // DAY)
    starts = (window.start + k * DAY for k in range(count))
    return tuple(Window(start, min(start + DAY, window.end)) for start in starts)


def _numeric_movers(facts: Facts) -> list[str]:
    """Return the columns that moved most, of those whose values may be shown."""
    shown = {
        column.name
        for column in facts.spec.schema.columns
        if column.kind is ColumnKind.NUMERIC and not column.personal
    }
    return [each.column for each in moved(facts) if each.column in shown]


def _spreads(name: str, days: Sequence[tuple[Window, Profile]]) -> tuple[Spread, ...]:
    found = []
    for day, profile in days:
        column = profile.columns.get(name)
        if column is None or column.kind is not ColumnKind.NUMERIC or not column.present:
            continue
        low, lower, middle, upper, high = (float(q) for q in quantiles(column, LEVELS))
        found.append(Spread(day, column.present, (low, lower, middle, upper, high)))
    return tuple(found)
