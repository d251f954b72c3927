"""What people ask for by hand: an inbox that the engine empties at its next tick."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from homeostat.domain.errors import ConflictError
from homeostat.engine.ports import Records

ATTEMPTS = 5


class Request(StrEnum):
    """What can be asked."""

    PUSH = "push"  # serve this version now, whatever the evidence
    ROLL_BACK = "roll_back"
    SUBMIT = "submit"  # roll this version out, step by step
    ABORT = "abort"
    APPROVE = "approve"
    RETRAIN = "retrain"
    ACKNOWLEDGE = "acknowledge"
    START_BANDIT = "start_bandit"
    STOP_BANDIT = "stop_bandit"
    CLOSE = "close"  # end an incident by hand; it fires again if what it is about goes on


@dataclass(frozen=True, slots=True)
class Command:
    """A request by a person.

    ``subject`` is a version (push, submit), an incident's key (acknowledge, close) or a bandit's
    name; else empty.
    """

    request: Request
    model: str
    actor: str
    subject: str = ""
    reason: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Inbox:
    """Commands not yet carried out, oldest first."""

    commands: tuple[Command, ...] = ()


def inbox_key(model: str) -> str:
    """Return the state key of a model's inbox."""
    return f"inbox:{model}"


def submit(records: Records, command: Command, now: datetime) -> None:
    """Put a command into its model's inbox; durable on return.

    Raises
    ------
    ConflictError
        If other writers were first several times in a row.
    """
    submit_all(records, (command,), now)


def submit_all(records: Records, commands: Sequence[Command], now: datetime) -> None:
    """Put commands into their models' inboxes, all of them or none; durable on return.

    Raises
    ------
    ConflictError
        If other writers were first several times in a row.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(ConflictError):
            return _put(records, commands, now)
    return _put(records, commands, now)


def _put(records: Records, commands: Sequence[Command], now: datetime) -> None:
    with records.begin() as uow:
        for command in commands:
            key = inbox_key(command.model)
            inbox = uow.load(key, Inbox) or Inbox()
            uow.save(key, Inbox((*inbox.commands, replace(command, at=now))))
