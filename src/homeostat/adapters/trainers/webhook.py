"""Trains behind one address: signed requests start, look at and cancel a run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote, urlsplit

from homeostat.adapters.notifiers.http import Poster
from homeostat.adapters.notifiers.webhook import IDEMPOTENCY, SIGNATURE, TIMESTAMP, signature
from homeostat.adapters.trainers.remote import Followed, Look, RemoteTrainer
from homeostat.adapters.trainers.results import share
from homeostat.domain.clock import Clock
from homeostat.domain.errors import DeliveryError


@dataclass
class WebhookTrainer(RemoteTrainer):
    """Implements `homeostat.engine.ports.Trainer` by posts to one address.

    Each post is JSON with ``action`` and ``run_id``, signed as the notifications are:

    - ``start``: also ``folder``, ``model`` and ``parent``. Any 2xx takes it; the same run may be
      asked for again, and is the same one.
    - ``state``: answered with ``{"state": "running"}``, ``"success"`` or ``"failed"``, and
      ``progress`` in [0, 1] and ``problem`` where there are any.
    - ``cancel``: any 2xx.

    Parameters
    ----------
    poster : Poster
    root : Path
        The shared folder.
    clock : Clock
    secret : str
        Key of the signature; empty: not signed.
    function : str
        ``path/to/file.py:name`` as the other side sees it; empty if it trains by itself.
    limit, wait
        As `homeostat.adapters.trainers.airflow.AirflowTrainer`.
    """

    poster: Poster
    root: Path
    clock: Clock
    secret: str = field(default="", repr=False)
    function: str = ""
    limit: timedelta = timedelta(hours=6)
    wait: bool = False
    followed: Followed = field(default_factory=Followed, init=False)

    def source(self) -> str:
        """Return the host that is asked."""
        return f"webhook {urlsplit(self.poster.url).hostname}"

    def begin(self, run_id: str, told: dict[str, object]) -> None:
        """Ask for a run."""
        self._ask("start", run_id, told)

    def look(self, run_id: str) -> Look:
        """Ask for the state of a run."""
        found = self._ask("state", run_id, {})
        state = found.get("state") if isinstance(found, dict) else None
        if not isinstance(found, dict) or not isinstance(state, str):
            raise DeliveryError(f"the trainer says no state of the run {run_id}", retry=True)
        return Look(state, share(found.get("progress")), str(found.get("problem") or ""))

    def stop(self, run_id: str) -> None:
        """Ask to end a run."""
        self._ask("cancel", run_id, {})

    def _ask(self, action: str, run_id: str, told: dict[str, object]) -> object:
        body = json.dumps({**told, "action": action, "run_id": run_id}).encode()
        timestamp = str(int(self.poster.clock.now().timestamp()))
        headers = {TIMESTAMP: timestamp, IDEMPOTENCY: quote(f"{action}:{run_id}", safe=":")}
        if self.secret:
            headers[SIGNATURE] = signature(self.secret, timestamp, body)
        answers: list[object] = []

        def take(_status: int, answer: object) -> bool:
            answers.append(answer)
            return True

        self.poster.post(body, headers, taken=take)
        return answers[-1]
