"""The decision log: searched by text, model, actor, action and time, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from homeostat.domain.decision import Decision
from homeostat.domain.errors import DataError
from homeostat.entrypoints.http.pages import Pages
from homeostat.entrypoints.http.view import LONGEST_RANGE, period

PER_PAGE = 100
MOST_PAGES = 1000
LONGEST_TEXT = 200
FIELDS = ("model", "text", "actor", "action", "days", "until")
SEARCHED = frozenset(FIELDS) - {"model"}


@dataclass(frozen=True)
class DecisionPages:
    """The decision log of one model or all, newest first."""

    pages: Pages

    def page(self, request: Request) -> Response:
        """A page of the decisions that are asked for."""
        reader = self.pages.reader
        given = {name: request.query_params.get(name, "")[:LONGEST_TEXT] for name in FIELDS}
        given["model"] = request.query_params.get("model", "")
        if given["model"]:
            reader.spec(given["model"])
        number = _number(request.query_params.get("page", "1"))
        found = self._found(request, given, number)
        first = (number - 1) * PER_PAGE
        shown = found[first : first + PER_PAGE]
        values: dict[str, object] = {
            "decisions": shown,
            "given": given,
            "models": sorted(reader.specs),
            "actions": sorted({decision.action for decision in found}),
            "page": number,
            "newer": _link(given, number - 1) if number > 1 else "",
            "older": _link(given, number + 1) if len(found) > first + PER_PAGE else "",
            "searched": any(given[name] for name in SEARCHED),
        }
        return self.pages.render(request, "decisions", values)

    def _found(self, request: Request, given: Mapping[str, str], number: int) -> list[Decision]:
        """Return the decisions that fit, the newest first, at least up to the page's end."""
        reader = self.pages.reader
        model, now = given["model"], reader.clock.now()
        until: datetime | None = None
        if given["days"] or given["until"]:
            window = period(request, now).window
            since, until = window.start, window.end if given["until"] else None
        elif not any(given[name] for name in SEARCHED):
            newest = reader.records.decisions(model, limit=number * PER_PAGE + 1)
            return list(newest[::-1])
        else:
            since = now - timedelta(days=LONGEST_RANGE)
        wanted = {name: given[name].casefold() for name in ("text", "actor", "action")}
        found = [
            decision
            for decision in reversed(reader.records.decisions(model, since=since))
            if _fits(decision, wanted) and (until is None or decision.at < until)
        ]
        return sorted(found, key=lambda decision: decision.at, reverse=True)


def _fits(decision: Decision, wanted: Mapping[str, str]) -> bool:
    words = f"{decision.model} {decision.subject} {decision.reason}".casefold()
    action = decision.action.casefold()
    return (
        wanted["text"] in words
        and wanted["actor"] in decision.actor.casefold()
        and wanted["action"] in (action, action.replace("_", " "), "")
    )


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= MOST_PAGES:
        raise DataError(f"page is {text[:50]!r}; it must be a whole number from 1 to {MOST_PAGES}")
    return int(text)


def _link(given: Mapping[str, str], number: int) -> str:
    fields = {name: text for name, text in given.items() if text} | {"page": str(number)}
    return f"/decisions?{urlencode(fields)}"
