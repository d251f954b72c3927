"""Acknowledgements and resolutions that come back from receivers."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from homeostat.adapters.notifiers.opsgenie import LONGEST_ALIAS
from homeostat.adapters.notifiers.pagerduty import LONGEST_KEY
from homeostat.adapters.notifiers.text import one_line, stable_key
from homeostat.adapters.notifiers.webhook import SIGNATURE, TIMESTAMP, signature
from homeostat.alerting.episode import IncidentState
from homeostat.domain.clock import Clock
from homeostat.engine import commands
from homeostat.engine.ports import Records
from homeostat.entrypoints import current
from homeostat.entrypoints.http.body import read_bytes
from homeostat.entrypoints.http.problem import ProblemError, endpoint, reply

PATH = "/api/v1/receivers/{receiver}/events"
MAX_BYTES = 512 * 1024
SKEW = timedelta(minutes=5)
"""How far the time of a signed call may be from ours."""
OLDEST = timedelta(days=1)
"""PagerDuty repeats an event for hours if it is not taken; what is older is not looked at."""
REMEMBERED = 10_000
LONGEST_ACTOR, LONGEST_REASON = 100, 500

Kind = Literal["pagerduty", "opsgenie", "jira", "webhook"]


@dataclass(frozen=True)
class Inbound:
    """How a receiver's calls are told from others'."""

    kind: Kind
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a receiver asks for. ``identity`` is the same when it is repeated."""

    request: commands.Request
    incident: str
    actor: str
    reason: str
    identity: str


Reader = Callable[[Headers, bytes, str, datetime], Ask | None]


@dataclass(frozen=True)
class Desk:
    """Takes what comes back and puts it into the model's inbox, where the engine finds it.

    A receiver may only ask about incidents that it was told of. What it asked for before, what is
    over and what was acknowledged already changes nothing, so that a recorded call that is played
    again does no harm.
    """

    records: Records
    clock: Clock
    inbound: Mapping[str, Inbound]
    _seen: OrderedDict[str, None] = field(default_factory=OrderedDict)

    async def take(self, request: Request) -> Response:
        """Answer one call."""
        name = request.path_params["receiver"]
        known = self.inbound.get(name)
        if known is None:
            remedy = "name its secret in receivers.NAME.inbound_env"
            raise ProblemError(404, f"nothing may come back from a receiver {name!r}", remedy)
        body = await read_bytes(request, MAX_BYTES)
        ask = READERS[known.kind](request.headers, body, known.secret, self.clock.now())
        done = await run_in_threadpool(self._submit, name, known.kind, ask)
        return reply({"submitted": done})

    def _submit(self, receiver: str, kind: Kind, ask: Ask | None) -> str | None:
        if ask is None or f"{receiver}:{ask.identity}" in self._seen:
            return None
        done = self._ask(receiver, kind, ask)
        # Only now: what could not be put on record is sent again, and must then be taken.
        self._seen[f"{receiver}:{ask.identity}"] = None
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return done

    def _ask(self, receiver: str, kind: Kind, ask: Ask) -> str | None:
        takes_on = ask.request is commands.Request.ACKNOWLEDGE
        found = [
            state
            for state in self._incidents(receiver, ask.incident)
            if state.open and not (takes_on and state.acknowledged_by)
        ]
        if not found:
            return None
        actor = f"{one_line(ask.actor, LONGEST_ACTOR) or 'somebody'} ({kind})"
        reason = one_line(ask.reason, LONGEST_REASON) or f"ended by {actor}"
        asked = [commands.Command(ask.request, s.model, actor, s.key, reason) for s in found]
        commands.submit_all(self.records, asked, self.clock.now())
        return ask.request.value

    def _incidents(self, receiver: str, key: str) -> list[IncidentState]:
        """Return all that the receiver's page under this key stands for."""
        model = key.partition(":")[0]
        return [
            state
            for state in current.incidents(self.records, model)
            if receiver in state.receivers
            and (
                _same_key(key, state.key)
                or any(p.receiver == receiver and _same_key(key, p.key) for p in state.joined)
            )
        ]


def _same_key(told: str, key: str) -> bool:
    """Whether a receiver means this key; long ones were cut."""
    return told in {key, *(stable_key(key, n) for n in (LONGEST_KEY, LONGEST_ALIAS))}


def paging_api(records: Records, clock: Clock, inbound: Mapping[str, Inbound]) -> list[BaseRoute]:
    """Return the route by which receivers answer.

    It goes before those of `homeostat.entrypoints.http.api.api`, which end with a catch-all.
    """
    desk = Desk(records, clock, inbound)
    return [Route(PATH, endpoint(desk.take), methods=["POST"])]


def read_pagerduty(headers: Headers, body: bytes, secret: str, now: datetime) -> Ask | None:
    """Read an event of PagerDuty's webhooks v3, signed in ``X-PagerDuty-Signature``."""
    expected = f"v1={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"
    given = headers.get("x-pagerduty-signature", "").split(",")
    if not any(_same(one.strip(), expected) for one in given):
        raise _refused("X-PagerDuty-Signature")
    event = _object(_parsed(body).get("event"))
    data, agent = _object(event.get("data")), _object(event.get("agent"))
    request = PAGERDUTY.get(str(event.get("event_type")))
    at = _moment(event.get("occurred_at"))
    if request is None or at is None or now - at > OLDEST:
        return None
    actor, key = str(agent.get("summary") or ""), str(data.get("incident_key") or "")
    return Ask(request, key, actor, "", str(event.get("id")))


def read_opsgenie(headers: Headers, body: bytes, secret: str, _now: datetime) -> Ask | None:
    """Read a call of Opsgenie's or Jira's webhook, which signs nothing but sends set headers."""
    if not _same(headers.get("authorization", ""), f"Bearer {secret}"):
        raise _refused("Authorization")
    call = _parsed(body)
    alert = _object(call.get("alert"))
    request = OPSGENIE.get(str(call.get("action")))
    if request is None:
        return None
    key, actor = str(alert.get("alias") or ""), str(alert.get("username") or "")
    return Ask(request, key, actor, "", f"{request}:{key}:{alert.get('updatedAt')}")


def read_signed(headers: Headers, body: bytes, secret: str, now: datetime) -> Ask | None:
    """Read a call that is signed as our own webhooks are."""
    stamp, given = headers.get(TIMESTAMP, ""), headers.get(SIGNATURE, "")
    if not _same(given, signature(secret, stamp, body)):
        raise _refused(SIGNATURE)
    at = datetime.fromtimestamp(int(stamp), UTC) if stamp.isdecimal() and len(stamp) < 12 else None
    if at is None or abs(now - at) > SKEW:
        remedy = "set the clocks; the time is in seconds since 1970"
        raise ProblemError(401, "the call is too old, or from the future", remedy, TIMESTAMP)
    call = _parsed(body)
    request = SIGNED.get(str(call.get("action")))
    if request is None:
        raise ProblemError(422, "unknown action", f"one of {', '.join(SIGNED)}", "action")
    key, actor, reason = (str(call.get(name) or "") for name in ("incident", "actor", "reason"))
    return Ask(request, key, actor, reason, given)


PAGERDUTY = {
    "incident.acknowledged": commands.Request.ACKNOWLEDGE,
    "incident.resolved": commands.Request.CLOSE,
}
OPSGENIE = {
    "Acknowledge": commands.Request.ACKNOWLEDGE,
    "Close": commands.Request.CLOSE,
}
SIGNED = {
    "acknowledge": commands.Request.ACKNOWLEDGE,
    "resolve": commands.Request.CLOSE,
}
READERS: Mapping[Kind, Reader] = {
    "pagerduty": read_pagerduty,
    "opsgenie": read_opsgenie,
    "jira": read_opsgenie,
    "webhook": read_signed,
}


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _refused(field: str) -> ProblemError:
    return ProblemError(401, "the call is not from this receiver", "compare the secrets", field)


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise ProblemError(400, "the body is not JSON", "send a JSON object") from None
    if not isinstance(value, dict):
        raise ProblemError(400, "the body is no JSON object", "send a JSON object")
    return value


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _moment(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
