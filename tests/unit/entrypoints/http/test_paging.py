"""Receivers acknowledge and resolve: recognised by their secrets, and only what they were told."""

from __future__ import annotations

import hashlib
import hmac
import json
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from asgi import Caller
from homeostat.adapters.notifiers.webhook import signature
from homeostat.alerting.episode import IncidentState, Page, Stage
from homeostat.domain.decision import Severity
from homeostat.domain.errors import StorageError
from homeostat.engine.commands import Command, Inbox, Request, inbox_key
from homeostat.engine.watch import incident_key
from homeostat.entrypoints.http import paging
from homeostat.entrypoints.http.paging import Inbound, paging_api
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRecords
from homeostat.simulation.fakes.records import MemoryUnit

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
SECRETS = {
    "duty": Inbound("pagerduty", "pd-secret"),
    "genie": Inbound("opsgenie", "og-secret"),
    "jira": Inbound("jira", "jira-secret"),
    "hook": Inbound("webhook", "hook-secret"),
}
FIRING = IncidentState(
    "fraud", "data_drift", Stage.FIRING, 2, receivers=tuple(SECRETS), fired_at=NOW, title="t"
)
KEY = "fraud:data_drift:2"


class Bench:
    def __init__(self, state: IncidentState = FIRING) -> None:
        self.records = MemoryRecords(SimulatedClock(NOW))
        self.keep(state)
        app = Starlette(routes=paging_api(self.records, SimulatedClock(NOW), SECRETS))
        self.caller = Caller(app, "http://localhost", "203.0.113.5")

    def keep(self, state: IncidentState) -> None:
        with self.records.begin() as uow:
            key = incident_key(state.model, state.rule)
            uow.load(key, IncidentState)
            uow.save(key, state)

    def post(self, receiver: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        path = f"/api/v1/receivers/{receiver}/events"
        return self.caller.post(path, content=body, headers=headers)

    def asked(self) -> tuple[Command, ...]:
        inbox = self.records.read(inbox_key("fraud"), Inbox)
        return inbox.commands if inbox else ()


def pagerduty(
    kind: str = "incident.acknowledged",
    *,
    key: str = KEY,
    secret: str = "pd-secret",
    at: datetime = NOW,
    event_id: str = "01CDO2M1A0NKDNEE",
) -> tuple[str, bytes, dict[str, str]]:
    """Return a call as PagerDuty's documentation of webhooks v3 shows it."""
    event = {
        "id": event_id,
        "event_type": kind,
        "resource_type": "incident",
        "occurred_at": at.isoformat().replace("+00:00", "Z"),
        "agent": {"id": "PLH1HKV", "summary": "Ann <b>\n", "type": "user_reference"},
        "data": {"id": "PGR0VU2", "type": "incident", "number": 2, "incident_key": key},
    }
    body = json.dumps({"event": event}).encode()
    signed = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return "duty", body, {"X-PagerDuty-Signature": f"v1={'0' * 64},v1={signed}"}


def genie(
    action: str, receiver: str = "genie", secret: str = "og-secret", alias: str = KEY
) -> tuple[str, bytes, dict[str, str]]:
    alert = {"alertId": "052", "alias": alias, "username": "ann@x", "updatedAt": 1709294400}
    body = json.dumps({"action": action, "alert": alert, "source": {"type": "web"}}).encode()
    return receiver, body, {"Authorization": f"Bearer {secret}"}


def signed(
    action: Any = "acknowledge",
    *,
    key: str = KEY,
    secret: str = "hook-secret",
    at: datetime = NOW,
    reason: str = "",
    stamp: str = "",
) -> tuple[str, bytes, dict[str, str]]:
    body = json.dumps(
        {"incident": key, "action": action, "actor": "ann", "reason": reason}
    ).encode()
    stamp = stamp or str(int(at.timestamp()))
    headers = {
        "X-Homeostat-Timestamp": stamp,
        "X-Homeostat-Signature": signature(secret, stamp, body),
    }
    return "hook", body, headers


@pytest.mark.parametrize(
    ("call", "request_", "actor"),
    [
        (pagerduty(), Request.ACKNOWLEDGE, "Ann <b> (pagerduty)"),
        (pagerduty("incident.resolved"), Request.CLOSE, "Ann <b> (pagerduty)"),
        (genie("Acknowledge"), Request.ACKNOWLEDGE, "ann@x (opsgenie)"),
        (genie("Close"), Request.CLOSE, "ann@x (opsgenie)"),
        (genie("Close", "jira", "jira-secret"), Request.CLOSE, "ann@x (jira)"),
        (signed(), Request.ACKNOWLEDGE, "ann (webhook)"),
        (signed("resolve"), Request.CLOSE, "ann (webhook)"),
    ],
)
def test_what_comes_back_is_asked_of_the_engine_once(
    call: tuple[str, bytes, dict[str, str]], request_: Request, actor: str
) -> None:
    bench = Bench()
    assert bench.post(*call).json() == {"submitted": request_.value}
    assert bench.post(*call).json() == {"submitted": None}, "a call that is played again"
    (command,) = bench.asked()
    assert command == Command(request_, "fraud", actor, KEY, f"ended by {actor}", NOW)


def test_a_reason_is_passed_on() -> None:
    bench = Bench()
    bench.post(*signed("resolve", reason="gone\nfor good" + "x" * 1000))
    (command,) = bench.asked()
    assert command.reason.startswith("gone for good")
    assert len(command.reason) == 500


@pytest.mark.parametrize(
    "call",
    [
        pagerduty(secret="other"),
        genie("Close", secret="other"),
        genie("Close", "jira", "og-secret"),
        signed(secret="other"),
        signed(at=NOW - timedelta(minutes=6)),
        signed(at=NOW + timedelta(minutes=6)),
        signed(stamp="9" * 30),
        signed(stamp="²"),
        ("duty", b"{}", {}),
        ("genie", b"{}", {"Authorization": "Bearer \xe9"}),
        ("hook", b"{}", {}),
    ],
)
def test_strangers_and_old_calls_are_refused(call: tuple[str, bytes, dict[str, str]]) -> None:
    bench = Bench()
    receiver, body, headers = call
    raw = {name: value.encode("latin-1", "replace") for name, value in headers.items()}
    assert bench.post(receiver, body, raw).status_code == 401  # type: ignore[arg-type]
    assert bench.asked() == ()


@pytest.mark.parametrize(
    "call",
    [
        pagerduty("incident.triggered"),
        pagerduty("pagey.ping"),
        pagerduty(at=NOW - timedelta(days=2)),
        pagerduty(key="fraud:data_drift:1"),
        pagerduty(key="churn:data_drift:2"),
        pagerduty(key=""),
        genie("AddNote"),
        genie("Close", alias=""),
    ],
)
def test_what_is_not_about_an_open_incident_changes_nothing(
    call: tuple[str, bytes, dict[str, str]],
) -> None:
    bench = Bench()
    answer = bench.post(*call)
    assert (answer.status_code, answer.json()) == (200, {"submitted": None})
    assert bench.asked() == ()


def test_times_that_are_none_change_nothing() -> None:
    for at in ("yesterday", "2024-03-01T12:00:00", None):
        event = {"event_type": "incident.resolved", "occurred_at": at}
        body = json.dumps({"event": event}).encode()
        mac = hmac.new(b"pd-secret", body, hashlib.sha256).hexdigest()
        answer = Bench().post("duty", body, {"X-PagerDuty-Signature": f"v1={mac}"})
        assert answer.json() == {"submitted": None}


def test_a_call_that_could_not_be_kept_is_taken_when_it_is_repeated() -> None:
    bench = Bench()
    begin, bench.records.begin = bench.records.begin, torn  # type: ignore[method-assign]
    assert bench.post(*pagerduty()).status_code == 503
    bench.records.begin = begin  # type: ignore[method-assign]
    assert bench.post(*pagerduty()).json() == {"submitted": "acknowledge"}


def torn() -> AbstractContextManager[MemoryUnit]:
    raise StorageError("the disk is full")


def test_a_receiver_may_not_ask_about_what_it_was_not_told() -> None:
    bench = Bench(replace(FIRING, receivers=("duty",)))
    assert bench.post(*signed()).json() == {"submitted": None}
    assert bench.post(*pagerduty()).json() == {"submitted": "acknowledge"}


def test_what_is_acknowledged_or_over_already_is_left_alone() -> None:
    """A second person's click, and the answer to our own acknowledgement, are no new command."""
    taken = replace(FIRING, stage=Stage.ACKNOWLEDGED, acknowledged_by="ann")
    bench = Bench(taken)
    assert bench.post(*pagerduty()).json() == {"submitted": None}
    assert bench.post(*pagerduty("incident.resolved", event_id="2")).json() == {
        "submitted": "close"
    }
    bench.keep(replace(FIRING, stage=Stage.RESOLVED, resolved_at=NOW))
    assert bench.post(*genie("Close")).json() == {"submitted": None}


def test_a_key_that_was_cut_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "REMEMBERED", 1)
    rule = "r" * 300
    bench = Bench(replace(FIRING, rule=rule))
    cut = paging.stable_key(f"fraud:{rule}:2", 255)
    assert bench.post(*pagerduty(key=cut)).json() == {"submitted": "acknowledge"}
    assert bench.post(*pagerduty(event_id="2")).json() == {"submitted": None}
    assert bench.post(*pagerduty(key=cut)).json() == {"submitted": "acknowledge"}, "long forgotten"


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"[]", 400), (b"[" * 100_000, 400), (b"\xff", 400)]
)
def test_what_is_no_json_object_is_told(body: bytes, status: int) -> None:
    headers = {"Authorization": "Bearer og-secret"}
    assert Bench().post("genie", body, headers).status_code == status


def test_an_unknown_receiver_action_or_too_large_a_body_is_told() -> None:
    bench = Bench()
    assert "inbound_env" in bench.post("console", b"{}", {}).json()["remedy"]
    answer = bench.post(*signed("delete"))
    assert (answer.status_code, answer.json()["remedy"]) == (422, "one of acknowledge, resolve")
    assert bench.post("hook", b"x" * (paging.MAX_BYTES + 1), {}).status_code == 413


PAGE = Page("duty", KEY, Severity.CRITICAL, "fraud", "t", "r.md", "data_drift", NOW)
PARENT = IncidentState(
    "fraud", "data_fault", Stage.FIRING, 1, Severity.CRITICAL, ("duty", "hook"), fired_at=NOW,
    joined=(PAGE,), title="t",
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "request_"),
    [
        ("incident.acknowledged", Request.ACKNOWLEDGE),
        ("incident.resolved", Request.CLOSE),
    ],
)
def test_what_is_done_with_a_page_is_done_with_all_that_it_stands_for(
    kind: str, request_: Request
) -> None:
    bench = Bench()
    bench.keep(PARENT)
    assert bench.post(*pagerduty(kind)).json() == {"submitted": request_.value}
    asked = {(command.request, command.subject) for command in bench.asked()}
    assert asked == {(request_, KEY), (request_, PARENT.key)}


def test_a_page_whose_own_incident_is_over_stands_for_its_parent() -> None:
    bench = Bench(replace(FIRING, stage=Stage.RESOLVED))
    bench.keep(PARENT)
    assert bench.post(*pagerduty()).json() == {"submitted": "acknowledge"}
    (command,) = bench.asked()
    assert command.subject == PARENT.key


def test_the_page_of_a_receiver_that_does_not_stand_for_the_parent_is_its_own_only() -> None:
    bench = Bench()
    bench.keep(PARENT)
    bench.post(*signed("resolve"))
    (command,) = bench.asked()
    assert command.subject == KEY
