"""Kill -9 amid appends and rolls: nothing acknowledged is lost, nothing counts twice."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.columns import texts
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, NOW, SPEC

WRITER = """
import sys
from datetime import timedelta
from pathlib import Path
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.records import DatabaseRecords
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import NOW, SPEC, T0, labels, predictions

folder, life = Path(sys.argv[1]), sys.argv[2]
records = DatabaseRecords(f"sqlite:///{folder}/records.db", SimulatedClock(NOW))
log = FilePredictionLog(folder / "log", records)
for number in range(10_000):
    ids = [f"{life}-{number}-{i}" for i in range(3)]
    at = T0 + timedelta(hours=number)
    log.append(SPEC, predictions(ids, at))
    log.append_labels(SPEC, labels(ids, 1.0, at))
    print(*ids, sep="\\n", flush=True)
    if number % 3 == 2:
        log.roll(NOW)
"""


def survivors(folder: Path) -> FilePredictionLog:
    records = DatabaseRecords(f"sqlite:///{folder}/records.db", SimulatedClock(NOW))
    return FilePredictionLog(folder / "log", records)


def test_kill_loses_and_doubles_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(20240101)
    acknowledged: set[str] = set()
    for life in range(3):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(life)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            acknowledged.add(child.stdout.readline().strip())
            for _ in range(int(rng.integers(3, 24))):
                acknowledged.add(child.stdout.readline().strip())
            child.kill()
            acknowledged.update(child.stdout.read().split("\n")[:-1])
        log = survivors(tmp_path)
        table = log.labelled(SPEC, ALL, NOW)
        stored = texts(table, "prediction_id")
        assert len(stored) == len(set(stored))
        assert acknowledged <= set(stored)
        answered = dict(zip(stored, table.column("label").to_pylist(), strict=True))
        assert all(answered[key] == 1.0 for key in acknowledged)
        assert log.profile(SPEC, ALL).rows == len(stored)
    log.roll(NOW)
    assert log.profile(SPEC, ALL).rows == len(log.rows(SPEC, ALL)) == len(stored)
    assert log.status().segments == 0
