"""What goes through Apprise, and what becomes of the rest when that hangs."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.adapters.notifiers.apprise import AppriseNotifier, connect
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.errors import ConfigError, DeliveryError

NOW = datetime(2024, 1, 1, 12, tzinfo=UTC)
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


@dataclass
class Desk:
    """Stands for Apprise, whose interface it has."""

    fails: bool = False
    calls: list[tuple[str, str, str]] | None = None

    def add(self, servers: str) -> bool:
        return servers.startswith("json://")

    def notify(self, body: str, title: str, notify_type: str, body_format: str) -> bool:
        assert body_format == "text"
        self.calls = [*(self.calls or []), (title, body, notify_type)]
        return not self.fails


def test_apprise_is_given_text_and_a_kind() -> None:
    desk = Desk()
    service = AppriseNotifier(desk)
    assert [service.send(notice) for notice in STORY] == ["delivered"] * 3
    assert desk.calls is not None
    assert [kind for _, _, kind in desk.calls] == ["warning", "warning", "success"]
    assert desk.calls[0][1] == (
        "amount moved by 0.3\nfraud:data_drift:3; runbook: runbooks/data-drift.md"
    )
    with pytest.raises(DeliveryError, match="not delivered") as caught:
        AppriseNotifier(Desk(fails=True)).send(NOTICE)
    assert caught.value.retry


class Stuck(Desk):
    """Hangs until it is let go, or fails as no library should."""

    def __init__(self, *, breaks: bool = False) -> None:
        super().__init__()
        self.breaks, self.free = breaks, threading.Event()

    def notify(self, body: str, title: str, notify_type: str, body_format: str) -> bool:
        if self.breaks:
            raise ValueError("token=SECRET")
        self.free.wait(20)
        return super().notify(body, title, notify_type, body_format)


def test_a_server_behind_apprise_that_hangs_is_left_alone() -> None:
    desk = Stuck()
    service = AppriseNotifier(desk, timeout=timedelta(milliseconds=20))
    for problem in ("not done after 0.02 s", "an earlier notification still hangs"):
        with pytest.raises(DeliveryError, match=problem) as caught:
            service.send(NOTICE)
        assert caught.value.retry
    desk.free.set()
    for _ in range(2000):
        try:
            assert service.send(RESOLVED) == "delivered"
            break
        except DeliveryError:
            threading.Event().wait(0.005)
    assert desk.calls is not None
    assert [kind for _, _, kind in desk.calls] == ["warning", "success"]


def test_what_apprise_fails_with_is_named_and_nothing_else_of_it() -> None:
    with pytest.raises(DeliveryError, match=r"^apprise: ValueError$") as caught:
        AppriseNotifier(Stuck(breaks=True)).send(NOTICE)
    assert caught.value.retry


def test_without_apprise_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    with pytest.raises(ConfigError, match=r"pip install 'homeostat\[apprise\]'"):
        connect("json://localhost")


def test_apprise_must_know_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(__import__("sys"))("apprise")
    monkeypatch.setattr(module, "Apprise", Desk, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "apprise", module)
    with pytest.raises(ConfigError, match="does not know this address"):
        connect("nothing://")
    assert isinstance(connect("json://localhost"), Desk)
