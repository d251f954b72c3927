"""10,000 incidents at once, then over at once: what one receiver with the default limit is told.

Run it from the repository:

    .venv/bin/python benchmarks/page_flood.py
"""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from homeostat.adapters.records import DatabaseRecords
from homeostat.alerting.delivery import Limit, Manners
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.engine.act import Dispatcher
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryNotifier

NOW = datetime(2024, 1, 1, tzinfo=UTC)
INCIDENTS = 10_000
HOUR = timedelta(hours=1)


def no_rows(*_: object) -> pa.Table:
    """Return nothing: no training is among the effects."""
    raise AssertionError("nothing is trained here")


def notices(action: NotifyAction) -> list[Notify]:
    """Return one notice for each incident."""
    words = ("ops", Severity.WARNING, "fraud", "fraud: data drift", "moved", "r.md", NOW)
    return [Notify(f"fraud:rule{number}:1", action, *words) for number in range(INCIDENTS)]


def main() -> None:
    """Print what was sent, and the processor time of the tick that sent it."""
    with tempfile.TemporaryDirectory() as folder:
        records = DatabaseRecords(f"sqlite:///{folder}/records.db", SimulatedClock(NOW), "OFF")
        receiver = MemoryNotifier()
        manners = {"ops": Manners(Limit(30, HOUR))}
        dispatcher = Dispatcher(records, {"ops": receiver}, {}, {}, no_rows, manners)
        for hours, action in ((0, NotifyAction.TRIGGER), (2, NotifyAction.RESOLVE)):
            with records.begin() as unit:
                unit.intend(*notices(action))
            before, began = len(receiver.attempts), time.process_time()
            dispatcher.run(NOW + hours * HOUR)
            spent, sent = time.process_time() - began, len(receiver.attempts) - before
            print(f"{INCIDENTS} {action}: {sent} sent, {spent:.1f} s of CPU")
        print(f"waiting still: {len(records.pending(NOW + timedelta(days=30)))}")
        records.close()


if __name__ == "__main__":
    main()
