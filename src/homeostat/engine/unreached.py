"""Pages that no receiver has: their triggers were given up, so nothing else can rest on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from homeostat.alerting.episode import IncidentState
from homeostat.engine.ports import UnitOfWork


@dataclass(frozen=True, slots=True)
class Unreached:
    """Receivers and incident keys of the triggers of one model's open incidents that are dead."""

    pages: tuple[tuple[str, str], ...] = ()


def unreached_key(model: str) -> str:
    """Return the state key of a model's pages that did not arrive."""
    return f"unreached:{model}"


def give_up(uow: UnitOfWork, receiver: str, incidents: Iterable[str]) -> None:
    """Put on record that a receiver is never told of these incidents."""
    by_model: dict[str, list[tuple[str, str]]] = {}
    for incident in incidents:
        by_model.setdefault(incident.partition(":")[0], []).append((receiver, incident))
    for model, pages in by_model.items():
        key = unreached_key(model)
        before = uow.load(key, Unreached) or Unreached()
        uow.save(key, Unreached(tuple(dict.fromkeys((*before.pages, *pages)))))


def forget(
    uow: UnitOfWork, model: str, known: Unreached, incidents: Iterable[IncidentState]
) -> None:
    """Drop the pages of incidents that are over; `known` was loaded in this unit of work."""
    if not known.pages:
        return
    open_ = {(p.receiver, p.key) for each in incidents if each.open for p in each.pages}
    kept = Unreached(tuple(page for page in known.pages if page in open_))
    if kept != known:
        uow.save(unreached_key(model), kept)
