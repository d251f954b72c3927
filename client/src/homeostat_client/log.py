"""One client for the whole process, made when it is first used, from the environment.

``HOMEOSTAT_SERVER`` and ``HOMEOSTAT_MODEL`` say where to; without them nothing is logged, a warning
says so once, and `counters` tell how much. Like a client's, no function here raises.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from typing import Any

from homeostat_client.client import Client
from homeostat_client.counters import Counters, Tally

logger = logging.getLogger("homeostat_client")

_making = threading.RLock()
_client: Client | None = None
_tried = False
_unheard = Tally()


def _forked() -> None:
    global _making
    _making = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def configure(client: Client | None) -> None:
    """Use this client from now on; None makes the next call look into the environment again."""
    global _client, _tried
    with _making:
        _client, _tried = client, client is not None


def default() -> Client | None:
    """Return the process's client; None if the environment names no server and model."""
    global _client, _tried
    if _tried:
        return _client
    with _making:
        if not _tried:
            try:
                _client = Client()
            except Exception as error:
                logger.warning("nothing is logged: %s", error)
            _tried = True
    return _client


def prediction(features: Mapping[str, Any], score: object, **fields: Any) -> str:
    """Log what a model answered and return its id; see `Client.log_prediction`."""
    client = default()
    if client is None:
        _unheard.add()
        return str(fields.get("prediction_id") or "")
    try:
        return client.log_prediction(features, score, **fields)
    except TypeError:  # a field that there is not
        client.miss()
        return ""


def label(prediction_id: str, value: object, arrival: object = None) -> None:
    """Log what turned out to be true; see `Client.log_label`."""
    client = default()
    if client is None:
        _unheard.add()
    else:
        client.log_label(prediction_id, value, arrival)


def outcome(prediction_id: str, name: str, value: object, arrival: object = None) -> None:
    """Log another number that became known, such as money lost; see `Client.log_outcome`."""
    client = default()
    if client is None:
        _unheard.add()
    else:
        client.log_outcome(prediction_id, name, value, arrival)


def flush(timeout: float = 10.0) -> bool:
    """Wait until everything logged is delivered; return whether it is."""
    client = default()
    return client is not None and client.flush(timeout)


def counters() -> Counters:
    """Return what happened to the records so far."""
    client = default()
    if client is None:
        return Counters(dropped={"not_configured": _unheard.value})
    return client.counters
