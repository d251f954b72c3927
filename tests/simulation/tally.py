"""Which incidents were found, by how many pages, and whether these ended too early."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from simulation.duty import EXPECTED, Page
from simulation.shop import MATURITY, Incident

ON_LABELS = frozenset({"performance_drop", "calibration_drift", "value_drop"})
"""Rules that see rows once their labels are complete."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an incident came to."""

    incident: Incident
    pages: tuple[Page, ...]

    @property
    def first(self) -> Page | None:
        """The first page that is about it."""
        rules = EXPECTED[self.incident.kind]
        return next((page for page in self.pages if page.rule in rules), None)

    @property
    def delay(self) -> timedelta | None:
        """Time from its beginning to the first page about it."""
        return None if self.first is None else self.first.fired - self.incident.window.start

    @property
    def again(self) -> int:
        """How often a rule that had paged for it paged once more."""
        return len(self.pages) - len({page.rule for page in self.pages})

    @property
    def early(self) -> tuple[Page, ...]:
        """Pages that were called over while what they are about went on."""
        return tuple(
            page
            for page in self.pages
            if page.resolved is not None and page.resolved < self.over(page.rule)
        )

    def over(self, rule: str) -> datetime:
        """When a rule has nothing to see of it any more."""
        return self.incident.window.end + (MATURITY if rule in ON_LABELS else timedelta(0))


def tally(incidents: Sequence[Incident], pages: Sequence[Page]) -> tuple[list[Outcome], list[Page]]:
    """Give each page to the incident before it; return the outcomes, and the pages of none."""
    starts = [each.window.start for each in incidents]
    after = [*starts[1:], None]
    outcomes = [
        Outcome(
            each,
            tuple(p for p in pages if p.fired >= start and (end is None or p.fired < end)),
        )
        for each, start, end in zip(incidents, starts, after, strict=True)
    ]
    return outcomes, [page for page in pages if not starts or page.fired < starts[0]]
