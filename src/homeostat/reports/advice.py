"""Whether to retrain, and what that may gain at most."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import isfinite

from homeostat.domain.decision import Cause
from homeostat.reports.document import Table
from homeostat.reports.facts import Facts, better
from homeostat.reports.parts import interval, standing
from homeostat.reports.pooling import Difference
from homeostat.reports.sheet import Section, listing
from homeostat.reports.wording import span, when


class Advice(StrEnum):
    """What to do."""

    RETRAIN = "retrain"
    FIX = "fix the data first"
    NOTHING = "no need to retrain"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to do about a champion, why, and by how much a new version may be better.

    Attributes
    ----------
    advice : Advice
    words : str
    metric : str
        In which the gain is told; empty: there is none to tell.
    gain : Difference or None
        Of getting back to what the champion did before it served: above 0 is better.
    """

    advice: Advice
    words: str
    metric: str = ""
    gain: Difference | None = None


def recommend(facts: Facts) -> Recommendation:
    """Compare the champion with what it did on rows that were new to it before it served.

    The gain is that of a version that is as good today as this one was then: an expectation, and
    no promise. A world that became harder gives less, new columns or more rows may give more.
    """
    diagnosis = facts.diagnosis
    if diagnosis is not None and diagnosis.cause in {Cause.DATA_FAULT, Cause.MODEL_DOWN}:
        return Recommendation(Advice.FIX, f"{diagnosis.text} {diagnosis.advice}".strip())
    gap = _gap(facts)
    if gap is None:
        if diagnosis is not None and diagnosis.retrain:
            return Recommendation(Advice.RETRAIN, diagnosis.text or diagnosis.advice)
        words = "no metric is known both now and from before the champion served"
        return Recommendation(Advice.UNKNOWN, words)
    name, gain = gap
    if gain.lower > 0:
        words = f"{name} is worse than before this version served, beyond its interval"
        return Recommendation(Advice.RETRAIN, words, name, gain)
    if diagnosis is not None and diagnosis.retrain:
        return Recommendation(Advice.RETRAIN, diagnosis.text or diagnosis.advice, name, gain)
    words = f"{name} is not shown to be worse than before this version served"
    return Recommendation(Advice.NOTHING, words, name, gain)


def _gap(facts: Facts) -> tuple[str, Difference] | None:
    then = dict(facts.baseline)
    for name in facts.metrics:
        found, way = standing(facts, name, facts.champion), better(facts, name)
        if found is None or name not in then or not way:
            continue
        sign = 1.0 if way == "higher" else -1.0
        value, half = sign * (then[name] - found.now.value), found.now.half
        if isfinite(half):
            return name, Difference(value, value - half, value + half)
    return None


def retraining(facts: Facts) -> Section:
    """Tell whether to retrain, and how old versions are."""
    found = recommend(facts)
    words = [f"{found.advice.value.capitalize()}: {found.words}."]
    if found.gain is not None:
        gained = f"Expected gain in {found.metric}: {interval(found.gain)}"
        words.append(f"{gained}, if a new version is as good as this one was before it served.")
    return Section("Retraining", tuple(w.replace("..", ".") for w in words), (), (_runs(facts),))


def _runs(facts: Facts) -> Table:
    kinds = {"request_retraining", "start_training", "accept_candidate", "reject_candidate"}
    kinds |= {"refuse_retraining", "fail_retraining", "cancel_retraining"}
    rows = [
        (when(d.at), d.action.replace("_", " "), d.subject, d.reason)
        for d in facts.done
        if d.action in kinds
    ]
    return listing("Runs", ("when", "what", "of", "why"), rows, "No run was asked for")


def ages(facts: Facts) -> Section:
    """Tell how old the champion, those before it and newer versions are."""
    roles = {facts.champion: "champion"} | dict.fromkeys(facts.lineage, "before it")
    rows = []
    for card in reversed(facts.versions):
        until = card.trained_until
        rows.append(
            (
                card.version,
                roles.get(card.version, "—"),
                _age(facts, card.created),
                _age(facts, until),
                f"{card.rows:,}" if card.rows else "not known",
                card.parent or "—",
            )
        )
    served = f"{facts.champion} has been champion for {_age(facts, facts.promoted)}."
    words = served if facts.champion else "There is no version yet."
    header = ("version", "role", "age", "age of its newest training rows", "trained on", "parent")
    return Section("Model ages", (words,), (), (listing("Versions", header, rows, "None"),))


def _age(facts: Facts, since: datetime | None) -> str:
    """Write an age at the time when the report was made."""
    return "a time not known" if since is None else span(facts.generated - since)
