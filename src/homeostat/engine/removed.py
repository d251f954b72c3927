"""Models that are not configured any more: what is open of them ends, as nobody looks at it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from homeostat.alerting.episode import IncidentState
from homeostat.alerting.incident import Close
from homeostat.domain.decision import Decision
from homeostat.engine.commands import Inbox, Request, inbox_key
from homeostat.engine.incidents import end_all
from homeostat.engine.ports import Records, UnitOfWork
from homeostat.engine.silencing import Telling
from homeostat.engine.watch import incident_key

LEFT = "its model is not configured any more"


def removed(records: Records, configured: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the rules that have incidents on record, by model that is not configured any more."""
    prefix = incident_key("", "").partition(":")[0] + ":"
    found: dict[str, tuple[str, ...]] = {}
    for key in records.keys(prefix):
        model, _, rule = key.removeprefix(prefix).partition(":")
        if model not in configured:
            found[model] = (*found.get(model, ()), rule)
    return found


def end_removed(model: str, uow: UnitOfWork, rules: Sequence[str], now: datetime) -> None:
    """End what is open of a removed model; who was told is told. What else was asked is refused.

    Parameters
    ----------
    model : str
    uow : UnitOfWork
    rules : sequence of str
        That have incidents on record.
    now : datetime
    """
    keys = {rule: incident_key(model, rule) for rule in rules}
    uow.prepare((inbox_key(model), *keys.values()))
    inbox = uow.load(inbox_key(model), Inbox) or Inbox()
    known = {rule: uow.load(key, IncidentState) for rule, key in keys.items()}
    closes = {
        each.subject: Close(each.actor, each.reason)
        for each in inbox.commands
        if each.request is Request.CLOSE
    }
    ended = end_all(model, uow, rules, Telling.removed(uow, known, now), now, closes, LEFT)
    done = {(Request.CLOSE, state.key) for state in ended.states}
    refused = (
        Decision(model, now, each.actor, "refuse", each.subject, f"{each.request}: {LEFT}")
        for each in inbox.commands
        if (each.request, each.subject) not in done
    )
    uow.intend(*ended.effects)
    uow.decide(*ended.decisions, *refused)
    if inbox.commands:
        uow.save(inbox_key(model), Inbox())
