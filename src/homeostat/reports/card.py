"""The drift report of a model, and the card of a version with its lineage."""

from __future__ import annotations

from homeostat.domain.model import ModelVersion
from homeostat.reports.actions import actions
from homeostat.reports.facts import Facts
from homeostat.reports.monthly import importance
from homeostat.reports.parts import drift, performance
from homeostat.reports.sheet import Part, Section, Sheet, listing
from homeostat.reports.weekly import report
from homeostat.reports.wording import number, when

STEPS = frozenset(
    {"train", "accept_candidate", "reject_candidate", "submit", "shadow", "ramp", "promote"}
    | {"install", "push", "approve", "abort", "roll_back"}
)


def drift_report(facts: Facts, title: str = "") -> Sheet:
    """Return what drifted in a time, and what it came from.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> from homeostat.domain.model import LabelSpec, ModelSpec, Schema, Task
    >>> from homeostat.domain.window import Window
    >>> week = Window(datetime(2024, 3, 4, tzinfo=UTC), datetime(2024, 3, 11, tzinfo=UTC))
    >>> spec = ModelSpec("churn", Task.BINARY, Schema(()), LabelSpec(timedelta(days=30)))
    >>> drift_report(Facts(spec, week, week.end)).parts[0].sections[0].tables[0].note
    'No drift was judged in this time'
    """
    name = facts.spec.name
    said = title or f"Drift report of {name}"
    return report(facts, "drift", said, drift(facts).words, (drift(facts), importance(facts)))


def card(facts: Facts, version: str = "") -> Sheet:
    """Return the card of a version (after Mitchell et al. 2019), by default of the champion.

    What its owner has to say for himself, such as what it is meant for, is asked and not made up.
    """
    name = version or facts.champion
    cards = {each.version: each for each in facts.versions}
    lead = [f"{facts.spec.task.value} model, {len(facts.spec.schema.columns)} features."]
    role = "champion" if name == facts.champion else "not the champion"
    lead.append(f"Version {name or '(none)'}: {role}.")
    sections = (
        _identity(cards.get(name), name),
        _lineage(cards, name),
        _features(facts),
        _measured(facts, cards.get(name)),
        performance(facts),
        importance(facts),
        _story(facts, name),
        actions(facts),
        _asked(),
    )
    part = Part(f"{facts.spec.name} {name}".strip(), sections, tuple(lead))
    title = f"Model card of {facts.spec.name} {name}".strip()
    return Sheet("card", title, facts.window, facts.generated, (part,), facts.problems)


def _identity(found: ModelVersion | None, name: str) -> Section:
    if found is None:
        said = f"There is no card of version {name}" if name else "There is no version yet"
        return Section("Version", (f"{said}.",))
    rows = [
        ("version", found.version),
        ("made", when(found.created)),
        ("trained on rows up to", when(found.trained_until)),
        ("rows", f"{found.rows:,}" if found.rows else "not known"),
        ("run", found.run_id or "trained elsewhere"),
        ("runtime", found.flavour),
        ("SHA-256 of the artifact", found.sha256),
    ]
    return Section("Version", (), (), (listing("Identity", ("what", "value"), rows, ""),))


def _lineage(cards: dict[str, ModelVersion], name: str) -> Section:
    rows = []
    seen: set[str] = set()
    while name in cards and name not in seen:
        seen.add(name)
        found = cards[name]
        rows.append((name, when(found.created), when(found.trained_until), found.run_id or "—"))
        name = found.parent
    header = ("version", "made", "trained on rows up to", "run")
    note = "each was trained while the next one was champion"
    table = listing("Lineage", header, rows, "Nothing is known of where it comes from", note)
    return Section("Lineage", (), (), (table,))


def _features(facts: Facts) -> Section:
    rows = []
    for column in facts.spec.schema.columns:
        low = "" if column.minimum is None else f"from {number(column.minimum)}"
        high = "" if column.maximum is None else f"up to {number(column.maximum)}"
        allowed = " ".join(filter(None, (low, high))) or "any"
        allowed = f"{len(column.categories)} values" if column.categories else allowed
        personal = f"personal, {column.handling.value}" if column.personal else "—"
        nullable = "yes" if column.nullable else "no"
        rows.append((column.name, column.kind.value, allowed, nullable, personal))
    header = ("feature", "kind", "allowed", "may be missing", "protection")
    return Section("Features", (), (), (listing("Features", header, rows, "None"),))


def _measured(facts: Facts, found: ModelVersion | None) -> Section:
    rows = [("rows new to the champion, before it served", n, number(v)) for n, v in facts.baseline]
    rows += [("its own training", n, number(v)) for n, v in (found.metrics if found else ())]
    table = listing("Before it served", ("on", "metric", "value"), rows, "Nothing is on record")
    return Section("Measured before it served", (), (), (table,))


def _story(facts: Facts, name: str) -> Section:
    rows = [
        (when(d.at), d.action.replace("_", " "), d.actor, d.reason,
         ", ".join(f"{key} {number(value)}" for key, value in d.evidence) or "—")
        for d in facts.decisions
        if d.subject == name and d.action in STEPS
    ]  # fmt: skip
    header = ("when", "what", "by", "why", "evidence")
    table = listing("How it came to serve", header, rows, "Nothing is on record in this time")
    return Section("How it came to serve", (), (), (table,))


def _asked() -> Section:
    questions = (
        "What is it meant for, and what not?",
        "Whom do wrong predictions harm, and which segments are watched for it?",
        "Who owns it, and who may switch it off?",
    )
    rows = [(question, "☐") for question in questions]
    return Section(
        "For its owner to say", (), (), (listing("Open", ("question", "answer"), rows, ""),)
    )
