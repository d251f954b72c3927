"""Silences, stories and post-mortems on the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.records import DatabaseRecords
from homeostat.alerting.episode import IncidentState, Stage
from homeostat.domain.decision import Decision, Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.engine.ports import Settled
from homeostat.engine.watch import incident_key
from unit.entrypoints.cli.test_cli import CONFIG, call

HOUR = timedelta(hours=1)
OWNED = ("--owner", "ana", "--reason", "known [red]issue")
KEY = "fraud:data_fault:2"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "homeostat.yaml").write_text(CONFIG)
    (tmp_path / "homeostat-data").mkdir()
    records = DatabaseRecords("sqlite:///homeostat-data/records.db", SystemClock())
    fired = SystemClock().now() - HOUR
    state = IncidentState(
        "fraud", "data_fault", Stage.FIRING, 2, Severity.CRITICAL, ("duty",), "runbooks/x.md",
        "fraud: data fault", "amount is in cents", "cents", ("amount",), fired_at=fired,
    )  # fmt: skip
    notice = Notify(
        KEY, NotifyAction.TRIGGER, "duty", Severity.CRITICAL, "fraud", "t", "b", "r.md", fired
    )
    with records.begin() as uow:
        uow.save(incident_key("fraud", "data_fault"), state)
        uow.decide(Decision("fraud", fired, "homeostat", "fire", KEY, "amount is in cents"))
        uow.decide(Decision("fraud", fired + HOUR / 2, "ana", "roll_back", "2", "worse"))
        uow.intend(notice)
    (pending,) = records.pending(fired)
    with records.begin() as uow:
        uow.settle(Settled(pending.number, "done", fired, "202 taken"))
    records.close()
    return tmp_path


def listed(*options: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(call("alerts", "silences", "--json", *options)[1])[
        "silences"
    ]
    return found


def test_a_silence_is_made_listed_and_ended(here: Path) -> None:
    code, out, _ = call("alerts", "silence", "--model", "fraud", "--for", "2h", *OWNED)
    assert (code, out.startswith("silence 1 holds until ")) == (0, True)
    (one,) = listed()
    assert (one["owner"], one["standing"], one["number"]) == ("ana", "holding", 1)
    assert "known [red]issue" in call("alerts", "silences")[1]
    assert call("alerts", "unsilence", "1")[0] == 0
    assert listed() == []
    assert "no silences" in call("alerts", "silences")[1]
    assert listed("--all")[0]["standing"] == "over"
    assert "ended by" in call("alerts", "silences", "--all")[1]
    code, _, err = call("alerts", "unsilence", "1")
    assert (code, "no silence 1 now" in err) == (2, True)


def test_an_incident_stands_for_its_model_and_rule(here: Path) -> None:
    code, out, _ = call("alerts", "silence", KEY, "--for", "2h", "--json", *OWNED)
    matcher = json.loads(out)["silence"]["matcher"]
    assert (code, matcher["model"], matcher["rule"]) == (0, "fraud", "data_fault")
    code, _, err = call("alerts", "silence", KEY, "--rule", "x", "--for", "2h", *OWNED)
    assert (code, "not both" in err) == (2, True)


def test_a_silence_may_be_for_later(here: Path) -> None:
    start = SystemClock().now() + HOUR
    span = ("--from", start.isoformat(), "--until", (start + HOUR).isoformat())
    many = ("--severity", "warning", "--severity", "info", "--subject", "a*")
    code, _, _ = call("alerts", "silence", *many, *span, *OWNED)
    (one,) = listed()
    assert (code, one["standing"]) == (0, "to come")
    assert one["matcher"]["severities"] == ["info", "warning"]
    assert "info, warning" in call("alerts", "silences")[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--for", "2h"), "say which incidents"),
        (("--model", "fraud"), "a silence ends"),
        (("--model", "fraud", "--for", "2h", "--until", "2030-01-01"), "a silence ends"),
        (("--model", "fraud", "--for", "2 hours"), "is not a duration"),
        (("--model", "fraud", "--for", "90d"), "at most 30 days"),
        (("--model", "fraud", "--until", "soon"), "end is 'soon'"),
        (("--model", "fraud", "--until", "2020-01-01"), "must end after"),
        (("--model", "froud", "--for", "2h"), "no model matches 'froud'"),
        (("--severity", "loud", "--for", "2h"), "critical, warning, info"),
        (("fraud:nothing:1", "--for", "2h"), "no incident"),
    ],
    ids=[
        "of-all",
        "no-end",
        "two-ends",
        "duration",
        "long",
        "time",
        "past",
        "model",
        "loud",
        "key",
    ],
)
def test_mistakes_are_told(here: Path, options: tuple[str, ...], words: str) -> None:
    code, _, err = call("alerts", "silence", *options, *OWNED)
    assert (code, words in err) == (2, True), err
    assert listed() == []


def test_what_happened_is_shown(here: Path) -> None:
    code, out, _ = call("alerts", "show", KEY)
    assert code == 0
    for words in ("amount is in cents", "202 taken", "roll back 2: worse", "runbooks/x.md", "duty"):
        assert words in out
    shown = json.loads(call("alerts", "show", KEY, "--json")[1])["incident"]
    assert [entry["kind"] for entry in shown["timeline"]] == ["fired", "told", "action"]
    assert shown["told"] == ["duty"]
    code, _, err = call("alerts", "show", "fraud:none:1")
    assert (code, "no incident has the key" in err) == (2, True)


def test_the_list_says_what_is_silenced(here: Path) -> None:
    assert "silenced" not in call("alerts", "list")[1]
    records = DatabaseRecords("sqlite:///homeostat-data/records.db", SystemClock())
    key = incident_key("fraud", "data_fault")
    with records.begin() as uow:
        state = uow.load(key, IncidentState)
        assert state is not None
        uow.save(key, replace(state, silenced=1))
    records.close()
    assert "firing, silenced" in call("alerts", "list")[1]
    assert "firing, silenced" in call("alerts", "list", "--all")[1]


def test_an_earlier_episode_is_shown_from_the_log(here: Path) -> None:
    records = DatabaseRecords("sqlite:///homeostat-data/records.db", SystemClock())
    at = SystemClock().now() - 9 * HOUR
    with records.begin() as uow:
        uow.decide(Decision("fraud", at, "homeostat", "fire", "fraud:data_fault:1", "cents"))
        uow.decide(Decision("fraud", at + HOUR, "x", "resolve", "fraud:data_fault:1", "fine"))
    records.close()
    out = call("alerts", "show", "fraud:data_fault:1")[1]
    assert "see the timeline" in out
    shown = json.loads(call("alerts", "show", "fraud:data_fault:1", "--json")[1])["incident"]
    assert [entry["kind"] for entry in shown["timeline"]] == ["fired", "resolved"]
    assert (shown["told"], shown["silenced"]) == ([], None)


def test_a_post_mortem_is_one_file(here: Path) -> None:
    for name, mark in (("p.md", "# Post-mortem: fraud"), ("p.html", "<h1>Post-mortem: ")):
        code, out, _ = call("alerts", "postmortem", KEY, "-o", name)
        assert (code, name in out) == (0, True)
        text = (here / name).read_text()
        assert mark in text
        assert "roll back 2: worse" in text
    for name, words in (("p.pdf", "neither .md nor .html"), ("none/p.md", "cannot be written")):
        code, _, err = call("alerts", "postmortem", KEY, "-o", name)
        assert (code, words in err) == (2, True)


def test_an_incident_of_a_model_that_left_the_configuration_can_be_closed(here: Path) -> None:
    (here / "homeostat.yaml").write_text(CONFIG.replace("fraud", "other"))
    code, out, _ = call("alerts", "close", KEY, "--reason", "sold")
    assert (code, out) == (0, f"{KEY}: asked for; the engine ends it at its next tick\n")
    assert call("alerts", "close", "nobody:data_fault:1", "--reason", "x")[0] == 2
