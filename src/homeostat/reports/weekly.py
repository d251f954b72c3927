"""The weekly report of one model: how it did, what happened, what was done, what it cost."""

from __future__ import annotations

from homeostat.domain.verdict import Monitor
from homeostat.reports.actions import AUTOMATIC, INCIDENTS, TOLD, actions, cost
from homeostat.reports.facts import Facts
from homeostat.reports.health import health
from homeostat.reports.parts import (
    business,
    drift,
    incidents,
    interval,
    judged,
    moved,
    performance,
    standing,
)
from homeostat.reports.plot import cut
from homeostat.reports.sheet import Part, Section, Sheet
from homeostat.reports.wording import when


def weekly(facts: Facts, title: str = "") -> Sheet:
    """Return the report.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> from homeostat.domain.model import LabelSpec, ModelSpec, Schema, Task
    >>> from homeostat.domain.window import Window
    >>> week = Window(datetime(2024, 3, 4, tzinfo=UTC), datetime(2024, 3, 11, tzinfo=UTC))
    >>> spec = ModelSpec("churn", Task.BINARY, Schema(()), LabelSpec(timedelta(days=30)))
    >>> found = weekly(Facts(spec, week, week.end))
    >>> found.title, found.parts[0].lead[0]
    ('Weekly report of churn', 'No predictions were judged in this week.')
    """
    name = facts.spec.name
    sections = (
        performance(facts),
        drift(facts),
        business(facts),
        incidents(facts),
        actions(facts),
        cost(facts),
    )
    return report(facts, "weekly", title or f"Weekly report of {name}", lead(facts), sections)


def report(
    facts: Facts, kind: str, title: str, said: tuple[str, ...], sections: tuple[Section, ...]
) -> Sheet:
    """Put a report of one model together, its health first."""
    found = health(facts.judged, facts.incidents, facts.window.end)
    verdict = f"At its end: {found.words.lower()}. {cut(found.headline, 160)}"
    part = Part(facts.spec.name, sections, said, found.level.value, verdict)
    return Sheet(kind, title, facts.window, facts.generated, (part,), facts.problems)


def lead(facts: Facts, period: str = "week") -> tuple[str, ...]:
    """Return what a reader in a hurry needs, a sentence each."""
    said = []
    volumes = [v for v in facts.judged if v.monitor is Monitor.VOLUME and not v.subject]
    rows = sum(n for _, n in facts.answered) or sum(v.n_current for v in volumes)
    if rows:
        said.append(f"{rows:,} predictions, answered by {', '.join(facts.answering)}.")
    elif not facts.judged:
        said.append(f"No predictions were judged in this {period}.")
    for name in facts.metrics[:1]:
        found = standing(facts, name)
        if found is not None:
            until = when(found.now.span.end)
            said.append(f"{name} {interval(found.now)} up to {until}: {judged(facts, found)}.")
        else:
            said.append(f"{name} is not known: no window has complete labels yet.")
    columns = moved(facts)
    if columns:
        drifted = [each.column for each in columns if each.drifted]
        some = f": {', '.join(drifted[:3])}" if drifted else ""
        more = f" and {len(drifted) - 3} more" if len(drifted) > 3 else ""
        said.append(f"{len(drifted)} of {len(columns)} columns drifted{some}{more}.")
    fired = [line for line in facts.incidents if line.opened and line.opened in facts.window]
    still = sum(line.open for line in facts.incidents)
    said.append(f"Incidents: {len(fired)} fired, {still} open.")
    done = [d for d in facts.done if d.actor == AUTOMATIC and d.action in TOLD.keys() - INCIDENTS]
    said.append(f"Done by Homeostat itself: {len(done)}.")
    return tuple(said)
