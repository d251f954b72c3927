"""Counts, and a word in the log once a minute about what goes wrong."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter

from homeostat_client.counters import Counters, Tally

logger = logging.getLogger("homeostat_client")

SILENCE = 60.0
AT_THE_CALL = ("queue_full", "closed", "bad_record")


class Ledger:
    """Adds up what both threads report. Callers only advance the tallies of `at_the_call`."""

    def __init__(self) -> None:
        self.forked()

    def forked(self) -> None:
        """Begin at nothing."""
        self._lock = threading.RLock()  # as a signal's handler may come amid anything
        self._figures: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._words: dict[str, tuple[int, str]] = {}
        self._said: dict[str, float] = {}
        self._told = 0
        self.at_the_call = {reason: Tally() for reason in AT_THE_CALL}

    def count(self, figure: str, rows: int) -> None:
        """Add rows to a figure of `Counters`."""
        with self._lock:
            self._figures[figure] += rows

    def drop(self, reason: str, rows: int, said: str) -> None:
        """Count rows that are lost, and why."""
        with self._lock:
            self._dropped[reason] += rows
        self.say(f"dropped ({reason})", said, rows)

    def say(self, topic: str, said: str, times: int = 1) -> None:
        """Have something written to the log; of each topic the last word, at most once a minute."""
        with self._lock:
            self._words[topic] = (self._words.get(topic, (0, ""))[0] + times, said)

    def tell(self, *, force: bool = False) -> None:
        """Write what is due, from a background thread: the program's log handlers may block."""
        self._tell_tallies()
        now = time.monotonic()
        with self._lock:
            due = {
                topic: words
                for topic, words in self._words.items()
                if force or now - self._said.get(topic, -SILENCE) >= SILENCE
            }
            for topic in due:
                del self._words[topic]
                self._said[topic] = now
        for topic, (times, said) in due.items():
            logger.warning("%s: %s (%d since the last such line)", topic, said, times)

    def _tell_tallies(self) -> None:
        total = sum(tally.value for tally in self.at_the_call.values())
        if total > self._told:
            counts = {reason: tally.value for reason, tally in self.at_the_call.items()}
            self.say("dropped at the call", f"so far {counts}", total - self._told)
            self._told = total

    def counters(self, raw: int, pending: int, waiting: int) -> Counters:
        """Return the figures; `raw` rows have not been looked at yet."""
        with self._lock:
            found, dropped = dict(self._figures), dict(self._dropped)
        for reason, tally in self.at_the_call.items():
            if tally.value:
                dropped[reason] = tally.value
        return Counters(
            queued=found.get("queued", 0) + raw,
            sent=found.get("sent", 0),
            duplicates=found.get("duplicates", 0),
            refused=found.get("refused", 0),
            dropped=dropped,
            spilled=found.get("spilled", 0),
            replayed=found.get("replayed", 0),
            pending=pending,
            waiting=waiting,
        )
