"""Every service as its strict fake takes it: three actions, hostile text, faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from homeostat.adapters.notifiers.alertmanager import AlertmanagerNotifier
from homeostat.adapters.notifiers.http import Poster
from homeostat.adapters.notifiers.opsgenie import OpsgenieNotifier
from homeostat.adapters.notifiers.pagerduty import PagerDutyNotifier
from homeostat.adapters.notifiers.slack import SlackNotifier
from homeostat.adapters.notifiers.teams import TeamsNotifier
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.errors import DeliveryError
from homeostat.engine.act import Dispatcher
from homeostat.engine.ports import Notifier
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRecords
from homeostat.simulation.fakes.records import MemoryUnit
from receivers import GENIE_KEY, ROUTING_KEY, Receivers, serving

NOW = datetime(2024, 1, 1, 12, tzinfo=UTC)
BASE = "https://ml.example.org"
NOTICE = Notify(
    "fraud:data_drift:3", NotifyAction.TRIGGER, "ops", Severity.WARNING, "fraud",
    "fraud: data drift (amount)", "amount moved by 0.3", "runbooks/data-drift.md",
    NOW, "data_drift", NOW,
)  # fmt: skip
ACKNOWLEDGED = replace(
    NOTICE,
    action=NotifyAction.ACKNOWLEDGE,
    at=NOW + timedelta(hours=1),
    body="ann is on it",
)
RESOLVED = replace(
    NOTICE, action=NotifyAction.RESOLVE, at=NOW + timedelta(hours=2), body="back to normal"
)
STORY = (NOTICE, ACKNOWLEDGED, RESOLVED)
CALLS = "<!channel> <@U1> @here [x](http://evil) *b* <script>alert(1)</script> &amp; a: 500m"
HOSTILE = replace(
    NOTICE,
    incident=f"m:{'r' * 600}\n:1",
    title=f"{CALLS}\r\nX: y\x00\x1b[31m\u202e" + "t" * 10_000,
    body=f"{CALLS}\nline two\x07\ud800" + "<&>" * 10_000,
    rule="r\n" * 700,
    runbook="r" * 5000,
)
Make = Callable[[Poster], Notifier]
SERVICES: dict[str, tuple[str, Make]] = {
    "pagerduty": ("", lambda poster: PagerDutyNotifier(poster, ROUTING_KEY, BASE)),
    "opsgenie": ("", lambda poster: OpsgenieNotifier(poster, GENIE_KEY, BASE, "ml")),
    "jira": ("/jsm/ops/integration", lambda poster: OpsgenieNotifier(poster, GENIE_KEY)),
    "slack": ("/services/T0/B0/XXXXXXXXXXXXXXXX", lambda poster: SlackNotifier(poster, BASE)),
    "teams": ("/workflows/0123456789abcdef?sig=s", lambda poster: TeamsNotifier(poster, BASE)),
    "alertmanager": ("", lambda poster: AlertmanagerNotifier(poster, BASE)),
}


@pytest.fixture(scope="module")
def running() -> Iterator[Receivers]:
    with serving() as state:
        yield state


@pytest.fixture
def state(running: Receivers) -> Receivers:
    """Return the receivers as if nothing had been sent."""
    for kept in (running.moods, running.got, running.pages, running.paged, running.firing):
        kept.clear()
    return running


def notifier(state: Receivers, name: str) -> Notifier:
    path, make = SERVICES[name]
    return make(Poster(name, f"{state.url}{path}", SimulatedClock(NOW), timedelta(seconds=5)))


def texts(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


@pytest.mark.parametrize("name", SERVICES)
def test_a_story_is_taken(state: Receivers, name: str) -> None:
    service = notifier(state, name)
    answers = [service.send(notice) or "" for notice in STORY]
    statuses = {entry.status for entry in state.got}
    assert statuses <= {200, 202}
    assert all(answers)
    assert answers[0].startswith(("200", "202"))


@pytest.mark.parametrize("name", ["pagerduty", "opsgenie", "jira"])
def test_one_alert_is_triggered_acknowledged_and_resolved_once(state: Receivers, name: str) -> None:
    """The connection is dropped after each was read, so that each is sent twice."""
    service = notifier(state, name)
    for notice in STORY:
        state.moods = ["drop"]
        with pytest.raises(DeliveryError) as caught:
            service.send(notice)
        assert caught.value.retry
        service.send(notice)
    key = NOTICE.incident
    assert state.paged == [(key, "trigger"), (key, "acknowledge"), (key, "resolve")]


class Killed(MemoryRecords):
    """Records of a process that dies after it sent, before it can write that down."""

    dies = True

    @contextmanager
    def begin(self) -> Iterator[MemoryUnit]:
        with super().begin() as unit:
            yield unit
            if self.dies and unit.settled:
                raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["pagerduty", "opsgenie"])
def test_a_process_that_dies_between_sending_and_settling_pages_once(
    state: Receivers, name: str
) -> None:
    records = Killed(SimulatedClock(NOW))
    with records.begin() as uow:
        uow.intend(NOTICE, RESOLVED)
    for dies in (True, False):
        records.dies = dies
        lives = Dispatcher(records, {"ops": notifier(state, name)}, {}, {}, no_rows)
        with pytest.raises(KeyboardInterrupt) if dies else nullcontext():
            lives.run(NOW)
    assert len(state.taken()) == 3
    assert state.paged == [(NOTICE.incident, "trigger"), (NOTICE.incident, "resolve")]


def no_rows(*_: object) -> pa.Table:
    raise AssertionError("nothing is trained here")


@pytest.mark.parametrize("name", SERVICES)
@pytest.mark.parametrize("action", NotifyAction)
def test_hostile_text_is_taken_and_harmless(
    state: Receivers, name: str, action: NotifyAction
) -> None:
    notifier(state, name).send(replace(HOSTILE, action=action))
    for text in texts(state.taken()):
        controls = [c for c in text if not c.isprintable() and c not in "\n\u2060"]
        assert not controls
        assert name not in {"slack", "opsgenie", "jira"} or "<" not in text
        assert name not in {"slack", "teams"} or "@here" not in text
        assert name != "alertmanager" or not {":", "\n"} & set(text.split("https:")[0].split()[-1:])


@pytest.mark.parametrize("name", SERVICES)
def test_refusals_and_outages(state: Receivers, name: str) -> None:
    service = notifier(state, name)
    for mood, retry in (
        ("400", False),
        ("500", True),
        ("html", True),
        ("portal", True),
        ("later", True),
    ):
        state.moods = [mood]
        with pytest.raises(DeliveryError, match=f"{name} 127.0.0.1 answered") as caught:
            service.send(NOTICE)
        assert caught.value.retry is retry
    assert caught.value.after == timedelta(seconds=120)
    assert service.send(NOTICE)


ELSE = {
    "pagerduty": [
        (200, '{"status": "success"}'), (202, '{"status": "throttled"}'), (202, ""), (202, "[]"),
    ],
    "opsgenie": [(200, '{"result": "Request will be processed"}'), (202, "ok"), (202, "{}")],
    "jira": [(200, '{"result": "Request will be processed"}'), (202, '{"code": 404}')],
    "slack": [(200, ""), (200, "okay"), (200, '{"ok": false}'), (200, "true")],
    "teams": [(200, " <html>")],
    "alertmanager": [(200, "<!-- a proxy -->")],
}  # fmt: skip


@pytest.mark.parametrize("name", SERVICES)
def test_a_success_that_the_service_does_not_give_is_none(
    state: Receivers, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    service = notifier(state, name)
    for status, said in ELSE[name]:
        monkeypatch.setattr(state, "take", lambda *_, answer=(status, said): answer)
        with pytest.raises(DeliveryError, match=f"answered {status}, which is not how") as caught:
            service.send(NOTICE)
        assert caught.value.retry


@pytest.mark.parametrize("said", ["ok", "ok\n", '{"ok": true}', '{"success": true}'])
def test_what_speaks_as_slack_does_may_say_so(
    state: Receivers, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    monkeypatch.setattr(state, "take", lambda *_: (200, said))
    assert notifier(state, "slack").send(NOTICE)


def test_a_pagerduty_event_says_it_all(state: Receivers) -> None:
    notifier(state, "pagerduty").send(NOTICE)
    (event,) = state.bodies
    page = f"{BASE}/incidents/fraud%3Adata_drift%3A3"
    assert event["payload"] == {
        "summary": "fraud: data drift (amount)",
        "source": "homeostat",
        "severity": "warning",
        "timestamp": "2024-01-01T12:00:00+00:00",
        "component": "fraud",
        "group": "models",
        "class": "data_drift",
        "custom_details": {"reason": "amount moved by 0.3", "runbook": "runbooks/data-drift.md"},
    }
    assert event["client_url"] == page
    assert event["links"] == [
        {"href": page, "text": "Runbook"},
        {"href": page, "text": "Incident"},
    ]


def test_without_addresses_there_are_no_links(state: Receivers) -> None:
    poster = Poster("pagerduty", state.url, SimulatedClock(NOW))
    PagerDutyNotifier(poster, ROUTING_KEY).send(NOTICE)
    assert state.bodies[0]["links"] == []
    assert "client_url" not in state.bodies[0]
    elsewhere = replace(NOTICE, runbook="https://wiki.example/run books#x")
    PagerDutyNotifier(poster, ROUTING_KEY).send(elsewhere)
    (link,) = state.bodies[1]["links"]
    assert link["href"] == "https://wiki.example/run%20books#x"


def test_what_pagerduty_refused_is_told_without_its_key(state: Receivers) -> None:
    poster = Poster("pagerduty", state.url, SimulatedClock(NOW), secrets=("short-key",))
    with pytest.raises(DeliveryError, match="routing_key' is invalid") as caught:
        PagerDutyNotifier(poster, "short-key").send(NOTICE)
    assert not caught.value.retry
    assert "short-key" not in str(caught.value)


def test_an_opsgenie_alert_has_priority_and_team(state: Receivers) -> None:
    notifier(state, "opsgenie").send(replace(NOTICE, severity=Severity.CRITICAL))
    (alert,) = state.bodies
    assert (alert["priority"], alert["alias"]) == ("P1", NOTICE.incident)
    assert alert["responders"] == [{"name": "ml", "type": "team"}]
    assert alert["tags"] == ["fraud", "data_drift", "critical"]


def test_a_wrong_opsgenie_key_is_final(state: Receivers) -> None:
    poster = Poster("opsgenie", state.url, SimulatedClock(NOW))
    with pytest.raises(DeliveryError, match=r"401: .*API Key does not exist") as caught:
        OpsgenieNotifier(poster, "wrong").send(NOTICE)
    assert not caught.value.retry


def test_slack_shows_what_happened(state: Receivers) -> None:
    service = notifier(state, "slack")
    for notice in STORY:
        service.send(notice)
    heads = [body["blocks"][0]["text"]["text"].split(" ", 1)[1] for body in state.bodies]
    title = NOTICE.title
    assert heads == [f"TRIGGER {title}", f"ACKNOWLEDGE {title}", f"RESOLVE {title}"]
    urls = [button["url"] for button in state.bodies[0]["blocks"][-1]["elements"]]
    assert urls == [f"{BASE}/incidents/fraud%3Adata_drift%3A3"] * 2
    assert SlackNotifier(Poster("slack", f"{state.url}/services/x", SimulatedClock(NOW))).send(
        replace(NOTICE, body="")
    )
    assert len(state.bodies[-1]["blocks"]) == 3


@pytest.mark.parametrize("name", SERVICES)
def test_an_update_is_taken_and_is_no_second_page(state: Receivers, name: str) -> None:
    service = notifier(state, name)
    update = replace(
        NOTICE, action=NotifyAction.UPDATE, body="part of another", about="fraud:model_down:1"
    )
    assert update.key.endswith(":update:fraud:model_down:1")
    service.send(NOTICE)
    said = service.send(update)
    service.send(RESOLVED)
    if name == "alertmanager":
        assert said == "Alertmanager has no updates"
        assert len(state.taken()) == 2
        return
    assert all(200 <= got.status < 300 for got in state.got)
    assert len(state.bodies) == 3
    assert "part of another" in json.dumps(state.bodies[1])
    if name in {"pagerduty", "opsgenie", "jira"}:
        assert [action for _, action in state.paged] == ["trigger", "resolve"]


def test_a_firing_alert_is_renewed_and_ends(state: Receivers) -> None:
    service = notifier(state, "alertmanager")
    assert isinstance(service, AlertmanagerNotifier)
    service.send(NOTICE)
    assert state.firing == {NOTICE.incident: NOW + timedelta(hours=1)}
    service.renew([NOTICE, replace(NOTICE, incident="b")], NOW + timedelta(minutes=30))
    assert state.firing == dict.fromkeys(
        (NOTICE.incident, "b"), NOW + timedelta(hours=1, minutes=30)
    )
    assert service.send(ACKNOWLEDGED) == "Alertmanager has no acknowledgement"
    service.send(RESOLVED)
    assert state.firing[NOTICE.incident] == RESOLVED.at
    sent = [body[0] for body in state.taken()]
    assert len({str(alert["labels"]) for alert in sent}) == 1, "its identity does not change"
    assert {alert["startsAt"] for alert in sent} == {NOW.isoformat()}
    assert sent[0]["labels"] == {
        "source": "homeostat",
        "alertname": "data_drift",
        "model": "fraud",
        "severity": "warning",
        "incident": "fraud:data_drift:3",
    }
    assert sent[0]["annotations"]["summary"] == "fraud - data drift (amount)"


def test_alertmanager_may_ask_for_a_token_and_get_labels(state: Receivers) -> None:
    poster = Poster("alertmanager", state.url, SimulatedClock(NOW))
    AlertmanagerNotifier(poster, labels={"team": "risk"}, token="t0ken").send(NOTICE)
    (got,) = state.got
    assert got.headers["Authorization"] == "Bearer t0ken"
    assert got.body[0]["labels"]["team"] == "risk"
    assert "generatorURL" not in got.body[0]
    assert got.body[0]["annotations"]["runbook_url"] == NOTICE.runbook
