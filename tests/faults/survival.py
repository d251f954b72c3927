"""What must be found in a folder after whatever happened to its writers."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import numpy as np

from faults.disk import Disk, Operation, preload, read_journal
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.columns import texts
from homeostat.domain.errors import HomeostatError
from homeostat.domain.route import Route
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, NOW, SPEC

WRITER = Path(__file__).with_name("writer.py")


@dataclass(frozen=True)
class Acknowledged:
    predictions: frozenset[str]
    labels: frozenset[str]
    states: dict[str, int]


def acknowledged(text: str) -> Acknowledged:
    """Read whole lines of an acknowledgement file."""
    lines = [line.split() for line in text.split("\n")[:-1]]
    states = {words[1]: int(words[2]) for words in lines if words[0] == "s"}
    named = {
        kind: frozenset(words[1] for words in lines if words[0] == kind) for kind in ("p", "l")
    }
    return Acknowledged(named["p"], named["l"], states)


def problems_in(folder: Path, promised: Acknowledged) -> list[str]:
    """Open what a crash left, use it, open it again; return what is wrong."""
    try:
        return [
            *_problems(folder, promised, work=True),
            *_problems(folder, promised, work=False),
        ]
    except HomeostatError as error:
        return [f"{type(error).__name__}: {error}"]


def _problems(folder: Path, promised: Acknowledged, *, work: bool) -> list[str]:
    clock = SimulatedClock(NOW)
    records = DatabaseRecords(f"sqlite:///{folder}/records.db", clock, "OFF")
    log = FilePredictionLog(folder / "log", records, fsync=False, settle_rows=1)
    try:
        found = [*_in_log(log, promised), *_in_records(records, promised.states)]
        if work:
            log.roll(NOW)
            log.tidy(NOW, eager=True)
            found += [f"after a roll {problem}" for problem in _in_log(log, promised)]
            status = log.status()
            if status.segments or status.landed:
                found.append(f"after a roll {status} is left")
        return found
    finally:
        log.close()
        records.close()


def _in_log(log: FilePredictionLog, promised: Acknowledged) -> list[str]:
    found = list[str]()
    table = log.labelled(SPEC, ALL, NOW)
    stored = texts(table, "prediction_id")
    held = set(stored)
    if len(stored) > len(held):
        found.append(f"{len(stored) - len(held)} rows count twice")
    if not promised.predictions <= held:
        found.append(f"{len(promised.predictions - held)} acknowledged predictions are lost")
    if len(log.rows(SPEC, ALL)) != len(stored):
        found.append("rows and labelled rows differ in number")
    if log.profile(SPEC, ALL).rows != len(stored):
        found.append(f"profiles say {log.profile(SPEC, ALL).rows} of {len(stored)} rows")
    answers = dict(zip(stored, table.column("label").to_pylist(), strict=True))
    wrong = sum(answers.get(key, 1.0) != 1.0 for key in promised.labels)
    if wrong:
        found.append(f"{wrong} acknowledged labels are lost")
    if log.status().predictions != len(stored):
        found.append(f"status says {log.status().predictions} of {len(stored)} rows")
    return found


def _in_records(records: DatabaseRecords, states: dict[str, int]) -> list[str]:
    with sqlite3.connect(str(records.database.url.database)) as raw:
        said = [row[0] for row in raw.execute("PRAGMA integrity_check")]
    raw.close()
    found = [] if said == ["ok"] else [f"SQLite says {said}"]
    for name, number in states.items():
        state = records.read(f"probe:{name}", Route)
        if state is None or int(state.champion) < number:
            found.append(f"state {number} of {name} is lost: {state}")
    return found


def record(
    library: Path, folder: Path, batches: int, names: Iterable[str] = ("a",), *careless: str
) -> list[Operation]:
    """Let writers work on ``folder/root`` to their end; return what they did to the disk."""
    root, journal = folder / "root", folder / "journal"
    root.mkdir()
    environment = preload(library, root, journal)
    command = [sys.executable, str(WRITER), str(root.resolve())]
    children = [
        subprocess.Popen([*command, name, str(batches), *careless], env=environment)
        for name in names
    ]
    for child in children:
        if child.wait(280):
            raise AssertionError(f"a writer ended with {child.returncode}")
    return read_journal(journal)


def cut_powers(
    folder: Path, done: list[Operation], cuts: int, seed: int
) -> list[tuple[int, list[str]]]:
    """Cut the power at random moments of ``folder/root``'s history; return what was found.

    Returns
    -------
    list of (int, list of str)
        After how many operations, and what was wrong then.
    """
    rng = np.random.default_rng(seed)
    moments = np.sort(rng.choice(np.arange(1, len(done) + 1), cuts, replace=False)).tolist()
    disk, found, at = Disk(folder / "root"), list[tuple[int, list[str]]](), 0
    root = (folder / "root").resolve()
    acks = root / "acks"
    for moment in moments:
        for operation in done[at:moment]:
            disk.take(operation)
        at = moment
        left = folder / "left"
        disk.cut(left, rng)
        promised = acknowledged(disk.content(acks).decode())
        back = _come_back(left, disk.names(root / "log" / "landing"))
        found.append((moment, back + problems_in(left, promised)))
        shutil.rmtree(left)
    return found


def _come_back(left: Path, living: set[str]) -> list[str]:
    """Say which segments are there again of which nobody knows that they were rolled."""
    if not (left / "log" / "landing").is_dir():
        return []
    names = {path.name for path in (left / "log" / "landing").glob("*.seg")} - living
    if not names:
        return []
    with sqlite3.connect(left / "records.db") as raw:
        tables = {row[0] for row in raw.execute("SELECT name FROM sqlite_master")}
        listed = "SELECT name FROM log_segments"  # careless records may have lost the table too
        known = {row[0] for row in raw.execute(listed)} if "log_segments" in tables else set[str]()
    raw.close()
    return [f"{name} was deleted and is back, unrolled" for name in sorted(names - known)]


def kill_writers(folder: Path, lives: int, seed: int) -> Iterator[tuple[int, list[str]]]:
    """Kill one or two writers at random moments, again and again; yield what was found.

    Yields
    ------
    (int, list of str)
        Acknowledgements so far, and what was wrong.
    """
    rng = np.random.default_rng(seed)
    acks = folder / "acks"
    for life in range(lives):
        before = acks.stat().st_size if acks.exists() else 0
        command = [sys.executable, str(WRITER), str(folder.resolve())]
        children = [
            subprocess.Popen([*command, f"{life}{name}", "1000"], stderr=subprocess.DEVNULL)
            for name in ("a", "ab")[life % 2]
        ]
        wanted = before + int(rng.integers(1, 2000))
        while not (acks.exists() and acks.stat().st_size >= wanted):
            ended = [child.returncode for child in children if child.poll() is not None]
            assert not ended, f"writers ended with {ended}"
            Event().wait(0.005)
        Event().wait(float(rng.uniform(0, 0.1)))
        for child in children:
            child.kill()
        for child in children:
            child.wait(60)
        text = acks.read_text()
        yield text.count("\n"), problems_in(folder, acknowledged(text))
