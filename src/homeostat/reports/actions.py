"""What was done to a model, by Homeostat and by people, what it gained, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from homeostat.domain.decision import Decision
from homeostat.reports.facts import Facts, better
from homeostat.reports.parts import interval
from homeostat.reports.pooling import Pooled, answers, difference, pooled
from homeostat.reports.sheet import Section, listing
from homeostat.reports.wording import number, span, when

AUTOMATIC = "homeostat"
STEERED = frozenset({"install", "push", "promote", "roll_back"})
TOLD = {
    "install": "first version installed",
    "promote": "version promoted",
    "push": "version pushed",
    "roll_back": "rolled back",
    "abort": "challenger stopped",
    "supersede": "challenger replaced",
    "shadow": "shadow begun",
    "ramp": "canary raised",
    "ready_to_promote": "ready to promote",
    "start_training": "training started",
    "train": "candidate trained",
    "accept_candidate": "candidate accepted",
    "reject_candidate": "candidate rejected",
    "refuse_retraining": "retraining refused",
    "fail_retraining": "training failed",
    "cancel_retraining": "retraining cancelled",
    "postpone_retraining": "retraining put off",
    "retrain": "retraining asked for",
    "submit": "version submitted",
    "approve": "promotion approved",
    "acknowledge": "incident taken on",
    "resolve": "incident closed",
    "silence": "silenced",
    "unsilence": "silence ended",
}
INCIDENTS = frozenset({"fire", "resolve", "inhibit", "acknowledge", "tell", "escalate"})
LOOK = timedelta(days=7)
"""How long before and after a change of versions figures are compared."""
ENDS = frozenset({"train", "fail_retraining", "cancel_retraining"})


def actions(facts: Facts) -> Section:
    """Tell what Homeostat did by itself and what it gained, and what people did."""
    done = facts.done
    ours = [d for d in done if d.actor == AUTOMATIC and d.action not in INCIDENTS]
    told = [d for d in ours if d.action in TOLD]
    theirs = [d for d in done if d.actor != AUTOMATIC]
    quiet = len(ours) - len(told)
    words = (f"{quiet} further entries, such as waits, are in the decision log.",) if quiet else ()
    header = ("when", "what", "of", "why", "what it gained")
    return Section(
        "What was done automatically, and what it gained",
        words,
        (),
        (
            listing(
                "By Homeostat",
                header,
                [(*_told(each), gain(facts, each)) for each in told],
                "Homeostat did nothing to this model by itself",
                "gains after a change of versions compare seven days before and after it: they "
                "may have other causes",
            ),
            listing(
                "By people",
                ("when", "what", "of", "why", "who"),
                [(*_told(each), each.actor) for each in theirs],
                "Nobody did anything by hand",
            ),
        ),
    )


def _told(each: Decision) -> tuple[str, str, str, str]:
    what = TOLD.get(each.action, each.action.replace("_", " "))
    return when(each.at), what, each.subject, each.reason


def gain(facts: Facts, each: Decision) -> str:
    """Say what a decision gained, as far as records tell.

    Of a promotion and a candidate: the difference of losses on the same rows. Of any change of
    versions: the first metric before and since.
    """
    evidence = dict(each.evidence)
    parts = []
    if each.action == "promote" and "difference" in evidence:
        rows = f"{evidence.get('rows', 0.0):,.0f}"
        parts.append(_paired(evidence["difference"], f"on {rows} rows that both scored"))
    if each.action == "accept_candidate" and {"difference", "lower", "upper"} <= evidence.keys():
        bounds = f"{number(-evidence['upper'])} to {number(-evidence['lower'])}"
        rows = f"{evidence.get('rows', 0.0):,.0f}"
        parts.append(_paired(-evidence["difference"], f"({bounds}) on {rows} hold-out rows"))
    if each.action in STEERED:
        parts.append(_since(facts, each.at))
    if each.action in {"refuse_retraining", "reject_candidate", "abort"}:
        parts.append("kept the champion that was there")
    return "; ".join(part for part in parts if part) or "—"


def _paired(gained: float, on: str) -> str:
    way = "lower" if gained >= 0 else "higher"
    return f"loss {number(abs(gained))} {way} {on}"


def _since(facts: Facts, at: datetime) -> str:
    """Compare the first metric that is known before and after a moment."""
    for name in facts.metrics:
        series = answers(facts.realized(name))
        before = pooled([p for p in series if at - LOOK <= p.window.start and p.window.end <= at])
        after = pooled([p for p in series if at <= p.window.start and p.window.end <= at + LOOK])
        if before is None:
            continue
        return _compared(facts, name, before, after)
    return "not known: no labels from before"


def _compared(facts: Facts, name: str, before: Pooled, after: Pooled | None) -> str:
    if after is None:
        return f"{name} was {interval(before)}; not known since, labels are not complete"
    moved = difference(after, before)
    if moved is None or not moved.clear:
        said = "no difference beyond its interval"
    else:
        way = better(facts, name)
        good = (moved.value > 0) == (way == "higher")
        said = "moved" if not way else "better" if good else "worse"
    return f"{name} {number(before.value)} → {number(after.value)}, {interval(moved)}: {said}"


def trainings(done: Sequence[Decision]) -> tuple[int, timedelta]:
    """Return how many trainings started, and the time that those that ended took."""
    count, spent = 0, timedelta(0)
    begun: datetime | None = None
    for each in done:
        if each.action == "start_training":
            count, begun = count + 1, each.at
        elif each.action in ENDS and begun is not None:
            spent, begun = spent + (each.at - begun), None
    return count, spent


def cost(facts: Facts) -> Section:
    """Tell what the model's care cost in the window: trainings, pages, labels, doubled requests."""
    count, spent = trainings(facts.done)
    rows = [("predictions answered", f"{sum(n for _, n in facts.answered):,}")]
    rows += [("trainings", f"{count} ({span(spent)})" if count else "0")]
    shadowed = _shadowed(facts)
    rows += [("time in which requests were scored twice", span(shadowed) if shadowed else "none")]
    pages = sum(n for _, n in facts.pages)
    rows += [("notices sent", str(pages))]
    rows += [(f"notices to {name}", str(n)) for name, n in facts.pages]
    taken = [
        line.resolved - line.opened
        for line in facts.incidents
        if line.opened is not None and line.resolved is not None
    ]
    rows += [("time in incidents that are over", span(sum(taken, timedelta(0))))] if taken else []
    table = listing("Cost", ("what", "in this time"), rows, "")
    words = "Money is not on record: this is what there is to multiply with your prices."
    return Section("Cost", (words,), (), (table,))


def _shadowed(facts: Facts) -> timedelta:
    begun: datetime | None = None
    whole = timedelta(0)
    for each in facts.decisions:
        if each.action == "shadow":
            begun = begun or each.at
        elif each.action in {"promote", "abort", "supersede", "roll_back", "push"} and begun:
            whole, begun = whole + _overlap(facts, begun, each.at), None
    return whole + (_overlap(facts, begun, facts.window.end) if begun else timedelta(0))


def _overlap(facts: Facts, start: datetime, end: datetime) -> timedelta:
    inside = min(end, facts.window.end) - max(start, facts.window.start)
    return max(inside, timedelta(0))
