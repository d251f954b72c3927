"""Receivers are tested through the records, and what became of every notice can be seen."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.engine.act import Dispatcher
from homeostat.engine.lease import BEAT, LEASE, Beat, Lease
from homeostat.entrypoints import drill
from homeostat.entrypoints.receivers import receivers as notifiers
from homeostat.entrypoints.settings import load
from receivers import Receivers, serving
from unit.entrypoints.cli.test_cli import call

CONFIG = """\
server: {{tick: 1s}}
receivers:
  duty: {{type: pagerduty, key_env: PD_KEY, url: '{url}'}}
  hook: {{type: webhook, url: '{url}/hook'}}
  screen: {{type: console}}
  unset: {{type: pagerduty, key_env: NOT_SET}}
models:
  - name: fraud
    task: binary
    features: {{amount: numeric}}
    labels: {{maturity: 60d}}
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receivers]:
    with serving() as running:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PD_KEY", "0" * 32)
        (tmp_path / "homeostat.yaml").write_text(CONFIG.format(url=running.url))
        yield running


def open_records() -> DatabaseRecords:
    return DatabaseRecords("sqlite:///homeostat-data/records.db", SystemClock())


def test_a_receiver_is_tested_with_a_trigger_and_its_resolve(state: Receivers) -> None:
    code, out, err = call("alerts", "test", "duty")
    assert (code, "sent from here" in err) == (0, True)
    assert [action for _, action in state.paged] == ["trigger", "resolve"]
    trigger = state.bodies[0]["payload"]
    assert trigger["summary"].startswith("[TEST]")
    assert trigger["severity"] == "info"
    assert trigger["custom_details"]["runbook"] == "runbooks/test-notification.md"
    assert out.count("Event processed") == 2
    listed = json.loads(call("alerts", "deliveries", "--json")[1])["deliveries"]
    assert [(d["status"], d["attempts"]) for d in listed] == [("done", 1), ("done", 1)]
    assert "Event processed" in call("alerts", "deliveries", "--receiver", "duty")[1]
    assert "nothing was sent" in call("alerts", "deliveries", "--receiver", "hook")[1]


def test_one_that_fails_is_told_and_never_sent_later(state: Receivers) -> None:
    state.moods = ["500"]
    code, out, _ = call("alerts", "test", "hook", "--json", "--severity", "critical")
    found = json.loads(out)
    assert (code, found["delivered"]) == (1, False)
    assert [d["status"] for d in found["deliveries"]] == ["dead", "dead"]
    assert found["deliveries"][0]["said"] == "webhook 127.0.0.1 answered 500: said 500"
    assert found["deliveries"][1]["said"] == "not sent in time"
    assert call("alerts", "test", "hook")[0] == 0
    assert len(state.taken()) == 2


def test_the_terminal_is_a_receiver_that_keeps_out_of_the_json(state: Receivers) -> None:
    code, out, err = call("alerts", "test", "screen", "--json")
    assert (code, json.loads(out)["delivered"]) == (0, True)
    assert "INFO trigger ~test:screen:" in err
    assert state.got == []


def test_secrets_are_needed_of_whom_is_tested_only(state: Receivers) -> None:
    code, _, err = call("alerts", "test")
    assert (code, "NOT_SET is not set" in err) == (2, True)
    assert call("alerts", "test", "dutty")[2].strip().endswith("did you mean 'duty'?")
    assert state.got == []


def test_a_control_plane_that_runs_sends_them(state: Receivers, tmp_path: Path) -> None:
    """With its own secrets and settings: that is what a real page depends on."""
    (tmp_path / "homeostat-data").mkdir()
    records, stop = open_records(), threading.Event()
    now = SystemClock().now()
    with records.begin() as uow:
        uow.save(LEASE, Lease("box-1", 1, "", now))
        uow.save(BEAT, Beat(1, 7, now))
    found = notifiers(load("homeostat.yaml"), SystemClock(), {"PD_KEY": "1" * 32}, ["duty"])
    plane = Dispatcher(records, found, {}, {}, drill._no_rows)

    def tick() -> None:
        while not stop.wait(0.05):
            plane.run(SystemClock().now())

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    code, _, err = call("alerts", "test", "duty")
    assert (code, "box-1 sends them" in err) == (0, True)
    assert {body["routing_key"] for body in state.bodies} == {"1" * 32}
    code, out, _ = call("alerts", "test", "hook")
    assert (code, "no receiver named 'hook' is configured" in out) == (1, True)
    stop.set()
    thread.join()
    assert call("alerts", "test", "hook", "--timeout", "1")[0] == 1, "it does not tick"
    assert records.pending(datetime(2100, 1, 1, tzinfo=UTC) + timedelta(0)) == ()
    records.close()


def test_a_test_is_found_among_a_flood(state: Receivers, tmp_path: Path) -> None:
    (tmp_path / "homeostat-data").mkdir()
    now = SystemClock().now()
    records = open_records()
    begun = drill.begin(records, ["duty"], Severity.INFO, "r.md", "ana", now)
    words = ("duty", Severity.INFO, "fraud", "t", "b", "r.md", now)
    with records.begin() as uow:
        uow.intend(*(Notify(f"fraud:r:{n}", NotifyAction.TRIGGER, *words) for n in range(30)))
    made = drill.end(begun, records, now)
    assert [(d.notice.key, d.status, d.said) for d in made] == [
        (notice.key, "dead", "not sent in time") for notice in begun.notices
    ]
    assert len(records.pending(now)) == 30
    records.close()
