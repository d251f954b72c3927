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
KEPT_KEYS = 100


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


@dataclass(frozen=True, slots=True)
class Asked:
    """Keys of what was asked of a model lately, the newest last, and when."""

    keys: tuple[tuple[str, datetime], ...] = ()


def asked_key(model: str) -> str:
    """Return the state key of what was asked of a model lately."""
    return f"asked:{model}"


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


def submit_once(records: Records, command: Command, key: str, now: datetime) -> bool:
    """Put a command into its model's inbox unless it is there, or was asked for by this key.

    Parameters
    ----------
    records : Records
    command : Command
    key : str
        Of whoever asks, the same whenever the same is asked for again; empty: none. The newest
        `KEPT_KEYS` of a model are remembered.
    now : datetime

    Returns
    -------
    bool
        Whether it is new.

    Raises
    ------
    ConflictError
        If other writers were first several times in a row.
    """
    for _ in range(ATTEMPTS - 1):
        with suppress(ConflictError):
            return _put_once(records, command, key, now)
    return _put_once(records, command, key, now)


def _put_once(records: Records, command: Command, key: str, now: datetime) -> bool:
    with records.begin() as uow:
        place = inbox_key(command.model)
        inbox = uow.load(place, Inbox) or Inbox()
        asked = uow.load(asked_key(command.model), Asked) or Asked()
        waits = any((c.request, c.subject) == _what(command) for c in inbox.commands)
        if waits or (key and key in dict(asked.keys)):
            return False
        uow.save(place, Inbox((*inbox.commands, replace(command, at=now))))
        if key:
            kept = (*asked.keys, (key, now))[-KEPT_KEYS:]
            uow.save(asked_key(command.model), Asked(kept))
    return True


def _what(command: Command) -> tuple[Request, str]:
    return command.request, command.subject


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
