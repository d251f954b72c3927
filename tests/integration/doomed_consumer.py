"""Reads the topics of a folder's deployment and is killed after rows are stored, not committed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.kafka import Feed, Message
from homeostat.entrypoints.bootstrap import open_log, open_records
from homeostat.entrypoints.consume import Consumer, client_settings, readers
from homeostat.entrypoints.settings import load


class Doomed(Feed):
    """Dies when all that was sent is durable and nothing of it is committed."""

    left = frozenset({"predictions", "labels"})

    def done(self, messages: Sequence[Message]) -> None:
        self.left = self.left - {message.topic.rpartition("-")[2] for message in messages}
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)


def main(folder: Path) -> None:
    settings = load(folder / "homeostat.yaml")
    assert settings.kafka is not None
    clock = SystemClock()
    client = client_settings(settings, settings.kafka, os.environ)
    feed = Doomed(client, [topic.topic for topic in settings.kafka.topics])
    log = open_log(settings, open_records(settings, clock))
    Consumer(feed, log, readers(settings, settings.kafka), clock).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
