"""What a server's answer means for the batch that was sent: pure, no I/O."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass

OK = range(200, 300)
CONFIGURATION = {
    301: "the server has moved",
    302: "the server has moved",
    307: "the server has moved",
    308: "the server has moved",
    401: "the token is missing or not valid; everything is kept until it is",
    403: "the token lacks the scope ingest; everything is kept until it has it",
    404: "the server does not know this model, or is no Homeostat; everything is kept",
}
CONFIGURATION_WAIT = 30.0


class Verdict(enum.Enum):
    """What to do with the batch."""

    DONE = "done"  # every row is durable there, or refused for good
    SPLIT = "split"  # send its halves
    PARK = "park"  # this batch later, others first
    AWAY = "away"  # nothing can be sent at present


@dataclass(frozen=True)
class Judgement:
    """A verdict and the figures to count.

    `wait` is the least number of seconds until the next try.
    """

    verdict: Verdict
    said: str = ""
    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    wait: float | None = None


def judge(status: int, body: bytes, rows: int, wait: float | None = None) -> Judgement:
    """Return what an answer means for a batch of so many rows.

    Only a receipt that accounts for each row ends a batch: a proxy's friendly page is none.

    Examples
    --------
    >>> judge(200, b'{"accepted": 2, "duplicates": 1, "rejected": []}', 3).verdict.value
    'done'
    >>> judge(200, b"<html>Welcome</html>", 3).verdict.value
    'park'
    >>> judge(413, b"", 3).verdict.value, judge(503, b"", 3, wait=2.0).wait
    ('split', 2.0)
    """
    found = _object(body)
    if status in OK or status == 422:
        receipt = _receipt(found, rows)
        if receipt is not None:
            return receipt
        if status in OK:
            return Judgement(Verdict.PARK, f"answered {status} without a receipt", wait=wait)
    said = f"answered {status}: {_first_words(found, body)}"
    if status == 413 or (status in {400, 422} and isinstance(found.get("error"), str)):
        if rows > 1:
            return Judgement(Verdict.SPLIT, said)
        return Judgement(Verdict.DONE, said, refused=1)
    if status in CONFIGURATION:
        least = max(wait or 0.0, CONFIGURATION_WAIT)
        return Judgement(Verdict.AWAY, f"{CONFIGURATION[status]} ({said})", wait=least)
    return Judgement(Verdict.PARK if status == 500 else Verdict.AWAY, said, wait=wait)


def _receipt(found: dict[str, object], rows: int) -> Judgement | None:
    accepted, rejected = found.get("accepted"), found.get("rejected", [])
    duplicates = found.get("duplicates", 0)
    if not (type(accepted) is int and type(duplicates) is int and isinstance(rejected, list)):
        return None
    if accepted < 0 or duplicates < 0 or accepted + duplicates + len(rejected) != rows:
        return None
    said = ""
    if rejected:
        first = rejected[0] if isinstance(rejected[0], dict) else {}
        said = f"{len(rejected)} rows refused, the first: {_short(first.get('column', ''))} "
        said += _short(first.get("reason", ""))
    return Judgement(Verdict.DONE, said, accepted, duplicates, len(rejected))


def _object(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _first_words(found: dict[str, object], body: bytes) -> str:
    return _short(found.get("error") or body[:200].decode(errors="replace"))


def _short(value: object) -> str:
    """Return text from the network fit for one line of a log."""
    text = "".join(c if c.isprintable() else " " for c in str(value)[:200])
    return text.strip()
