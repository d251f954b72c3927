"""Notifications on a terminal."""

import errno
import io
from datetime import UTC, datetime

import pytest

from homeostat.adapters.notifiers.console import ConsoleNotifier
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.errors import DeliveryError


def notice(title: str = "fraud: data fault", body: str = "first\nsecond") -> Notify:
    return Notify(
        "fraud:data_fault:1", NotifyAction.TRIGGER, "console", Severity.CRITICAL, "fraud", title,
        body, "runbooks/data-fault.md", datetime(2024, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def test_each_line_of_the_text_has_its_line() -> None:
    stream = io.StringIO()
    ConsoleNotifier(stream).send(notice())
    assert stream.getvalue().splitlines() == [
        "2024-01-01 00:00 CRITICAL trigger fraud:data_fault:1 fraud: data fault",
        "  first",
        "  second",
        "  runbook: runbooks/data-fault.md",
    ]


def test_terminal_commands_in_names_are_shown_not_run() -> None:
    stream = io.StringIO()
    ConsoleNotifier(stream).send(notice(title="\x1b[2Jgone", body="caf\u00e9\a"))
    assert "\\x1b[2Jgone" in stream.getvalue()
    assert "caf\u00e9\\x07" in stream.getvalue()


def test_a_closed_stream_is_final() -> None:
    stream = io.StringIO()
    stream.close()
    with pytest.raises(DeliveryError, match="cannot write") as caught:
        ConsoleNotifier(stream).send(notice())
    assert not caught.value.retry


class Full(io.StringIO):
    """A stream on a full disk."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_may_be_tried_again() -> None:
    with pytest.raises(DeliveryError, match="No space left") as caught:
        ConsoleNotifier(Full()).send(notice())
    assert caught.value.retry
