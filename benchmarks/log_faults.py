"""Power cuts and kills of processes that write to the prediction log and the records.

    PYTHONPATH=src python benchmarks/log_faults.py [--cuts 50] [--kills 200] [--seed 1] [--folder F]

Needs a C compiler for the cuts. A cut takes half a second, a kill about three. Cuts are spread over
the histories of a lone writer and of two; what was not synced survives by chance, in sectors of 512
bytes. After each, all that was acknowledged must be there once, the counts of profiles and of the
status must be those of the rows, the records must be intact; and again after a roll, merging and
another start. Ends with 1 if anything was wrong. Last, writers that do not sync must lose rows.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from log_world import machine

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from faults.disk import build
from faults.survival import cut_powers, kill_writers, record

BATCHES = 30


def cut(folder: Path, cuts: int, seed: int, names: str, *careless: str) -> int:
    """Cut the power so often; return how often something was wrong."""
    folder.mkdir()
    done = record(build(folder), folder, BATCHES, names, *careless)
    found = cut_powers(folder, done, cuts, seed)
    wrong = [(moment, problems) for moment, problems in found if problems]
    for moment, problems in wrong[: 1 if careless else None]:
        print(f"  after {moment} operations: {'; '.join(problems)[:300]}")
    print(
        f"{cuts} cuts in {len(done):,} operations of {len(names)} writers"
        f"{' that do not sync their ' + careless[0][9:] if careless else ''}: "
        f"something lost, doubled or unreadable after {len(wrong)}",
        flush=True,
    )
    shutil.rmtree(folder)
    return len(wrong)


def _told(kill: int, acknowledged: int, problems: list[str]) -> bool:
    if problems or kill % 20 == 0:
        print(f"  kill {kill}, {acknowledged:,} acknowledged: {'; '.join(problems) or 'all there'}")
        sys.stdout.flush()
    return bool(problems)


def main() -> None:
    """Cut and kill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder")
    asked = parser.parse_args()
    print(machine())
    began, wrong = time.perf_counter(), 0
    with tempfile.TemporaryDirectory(dir=asked.folder) as place:
        folder = Path(place)
        if asked.cuts:
            for names in ("a", "ab"):
                wrong += cut(folder / names, asked.cuts // 2, asked.seed, names)
            for part in ("careless-log", "careless-records"):
                wrong += not cut(folder / part, 10, asked.seed, "a", part)
        (folder / "kills").mkdir()
        found = kill_writers(folder / "kills", asked.kills, asked.seed)
        bad = sum([_told(kill, *result) for kill, result in enumerate(found, 1)])
        print(f"{asked.kills} kills: something was wrong after {bad}")
    print(f"{time.perf_counter() - began:.0f} s")
    sys.exit(1 if wrong + bad else 0)


if __name__ == "__main__":
    main()
