"""Retention, erasure and compaction beside a process that writes, and kill -9 amid them."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.erase import Target, erase
from homeostat.adapters.predlog.verify import verify
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.columns import texts
from homeostat.domain.retention import Retention
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, NOW, SPEC, T0, labels, predictions

DAY = timedelta(days=1)
RULES = {SPEC.name: Retention(10 * DAY, 20 * DAY, 4000 * DAY, DAY)}

WRITER = """
import sys
from datetime import timedelta
from pathlib import Path
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.records import DatabaseRecords
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import NOW, SPEC, T0, labels, predictions

folder = Path(sys.argv[1])
records = DatabaseRecords(f"sqlite:///{folder}/records.db", SimulatedClock(NOW))
log = FilePredictionLog(folder / "log", records)
for number in range(10_000):
    ids = [f"{number}-{i}" for i in range(3)]
    at = T0 + timedelta(hours=6 * (number % 200))
    log.append(SPEC, predictions(ids, at))
    log.append_labels(SPEC, labels(ids, 1.0, at))
    print(*ids, sep="\\n", flush=True)
    if number % 5 == 4:
        log.roll(NOW)
"""

KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from homeostat.adapters.predlog.catalogue import Catalogue
from test_log_keeping import NOW, T0, DAY, opened

log, place = opened(Path(sys.argv[1])), sys.argv[3]
register = Catalogue.register

def killed(self, change, now):
    if place == "after":
        register(self, change, now)
    os.kill(os.getpid(), signal.SIGKILL)

Catalogue.register = killed
log.tidy(T0 + 15 * DAY)
"""


def opened(folder: Path) -> FilePredictionLog:
    records = DatabaseRecords(f"sqlite:///{folder}/records.db", SimulatedClock(NOW))
    return FilePredictionLog(folder / "log", records, retention=RULES)


def test_a_writer_beside_it_loses_nothing(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        acknowledged.add(child.stdout.readline().strip())
        log = opened(tmp_path)
        for life in range(3):
            for _ in range(30):
                acknowledged.add(child.stdout.readline().strip())
            log.tidy(T0 + 15 * DAY, eager=life % 2 == 1)
            erase(log, SPEC, Target(True, ("card 1",)), "test", NOW, tmp_path)
        child.kill()
        acknowledged.update(child.stdout.read().split("\n")[:-1])
    log = opened(tmp_path)
    log.roll(NOW)
    stored = texts(log.rows(SPEC, ALL), "prediction_id")
    assert len(stored) == len(set(stored))
    assert {name for name in acknowledged if not name.endswith("-1")} <= set(stored)
    for _ in range(2):
        done = erase(log, SPEC, Target(True, ("card 1",)), "test", NOW, tmp_path)
    assert done.complete
    table = log.labelled(SPEC, ALL, NOW)
    assert not any(name.endswith("-1") for name in texts(table, "prediction_id"))
    known = dict(zip(texts(table, "prediction_id"), table.column("label").to_pylist(), strict=True))
    # The last call may have been cut short between its predictions and their labels.
    assert {known[name] for name in acknowledged if not name.endswith("-1")} == {1.0}
    assert verify(log.upkeep).problems == ()


@pytest.mark.parametrize("place", ["before", "after"])
def test_kill_amid_retention_loses_nothing(tmp_path: Path, place: str) -> None:
    log = opened(tmp_path)
    for day in range(4):
        ids = [f"{day}-{i}" for i in range(3)]
        log.append(SPEC, predictions(ids, T0 + day * DAY))
        log.append_labels(SPEC, labels(ids, 1.0, T0 + day * DAY))
    log.roll(NOW)
    log.close()
    arguments = [str(tmp_path), str(Path(__file__).parent), place]
    child = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], env=dict(os.environ), check=False
    )
    assert child.returncode == -signal.SIGKILL
    log = opened(tmp_path)
    assert log.rows(SPEC, ALL).num_rows == 12
    assert verify(log.upkeep).problems == ()
    log.tidy(T0 + 15 * DAY)
    log.tidy(T0 + 16 * DAY)
    table = log.labelled(SPEC, ALL, NOW)
    assert table.column("amount").null_count == table.num_rows == 12
    assert table.column("label").to_pylist() == [1.0] * 12
    assert verify(log.upkeep).strangers == ()
