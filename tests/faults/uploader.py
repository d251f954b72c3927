"""A process that is killed between the upload of a file and its registration.

python uploader.py FOLDER PORT BUCKET
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.stores import object_store
from homeostat.adapters.records import DatabaseRecords
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import NOW, SPEC, predictions
from objects import Server


def main(folder: Path, server: Server, bucket: str) -> None:
    records = DatabaseRecords(f"sqlite:///{folder}/records.db", SimulatedClock(NOW))
    log = FilePredictionLog(
        folder / "log", records, place=object_store(server.storage(bucket), os.environ)
    )
    log.append(SPEC, predictions(["killed 1", "killed 2"]))
    put, place = log.upkeep.store.place.put, log.upkeep.store.place

    def dying(written: Path, path: str) -> None:
        put(written, path)
        if path.endswith(".parquet"):
            os.kill(os.getpid(), signal.SIGKILL)

    place.put = dying  # type: ignore[method-assign]
    log.roll(NOW)


if __name__ == "__main__":
    import subprocess

    main(
        Path(sys.argv[1]),
        Server(subprocess.Popen(["true"]), int(sys.argv[2])),
        sys.argv[3],
    )
