"""``homeostat simulate``: months of operation with faults, from seeds."""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import click
import pyarrow as pa

from homeostat.domain.errors import UserError
from homeostat.entrypoints.cli.output import print_json, print_table
from homeostat.entrypoints.cli.progress import shares_done
from homeostat.simulation.worlds.case import Case, deal, kinds_of
from homeostat.simulation.worlds.run import Result, minimise, run
from homeostat.simulation.worlds.score import rows_of

BUDGET = timedelta(days=90)
"""The period in which the owner of a world's model accepts one false alarm."""


@click.command()
@click.option("--seeds", default="0..9", show_default=True, help="Worlds: 7, 0..999, 1,5,9.")
@click.option(
    "--faults",
    default="all",
    show_default=True,
    help="What may go wrong: all, none, or a list of kinds and groups, such as data,stores,slow.",
)
@click.option(
    "--days", type=click.IntRange(1), default=30, show_default=True, help="Of each world."
)
@click.option(
    "--per-day",
    type=click.IntRange(500, 1_000_000),
    default=3333,
    show_default=True,
    help="Requests on an average day.",
)
@click.option(
    "--case",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Live through the world of this file instead.",
)
@click.option(
    "--save",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder for the smallest worlds that break; default: here.",
)
@click.option("--no-minimise", is_flag=True, help="Keep worlds that break as they are.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
def simulate(
    *,
    seeds: str,
    faults: str,
    days: int,
    per_day: int,
    file: Path | None,
    save: Path,
    no_minimise: bool,
    jobs: int,
    as_json: bool,
) -> int:
    """Live through simulated worlds with faults, and check what must always hold.

    The engine is the real one, on a simulated clock and with everything in memory. After every
    tick all invariants are checked; a world that breaks one is made smaller and written to a file
    that --case takes. The same seed gives the same decisions, byte by byte.

    Exit code 1 if an invariant broke.

    Example: homeostat simulate --seeds 0..9 --days 30
    """
    if file is None:
        kinds = kinds_of(faults)
        cases = [deal(seed, days, kinds, per_day) for seed in seeds_of(seeds)]
    else:
        cases = [_read(file)]
    began = time.perf_counter()
    results = _all(cases, jobs)
    took = time.perf_counter() - began
    broken = [result for result in results if result.broken]
    smallest = {r.case.seed: r if no_minimise else minimise(r) for r in broken}
    files = {} if file is not None else {s: _write(r, save) for s, r in smallest.items()}
    if as_json:
        print_json(_values(results, smallest, files, took))
    else:
        _tell(results, smallest, files, took)
    return 1 if broken else 0


def seeds_of(told: str) -> list[int]:
    """Return the seeds that a text such as ``0..3,7`` names.

    Raises
    ------
    UserError
        If it names none.

    Examples
    --------
    >>> seeds_of("0..3,7")
    [0, 1, 2, 3, 7]
    """
    found: list[int] = []
    for part in told.split(","):
        first, dots, last = part.strip().partition("..")
        if not first.isdecimal() or (dots and not last.isdecimal()):
            raise UserError(
                f"--seeds {told}: {part!r} is neither a number nor a range such as 0..9"
            )
        found += range(int(first), int(last or first) + 1)
    if not found:
        raise UserError(f"--seeds {told}: there is no seed between them")
    return found


def _read(file: Path) -> Case:
    try:
        return Case.from_dict(json.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise UserError(f"{file} is no case of a world: {error}") from error
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def _write(result: Result, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"world-{result.case.seed}.json"
    file.write_text(json.dumps(result.case.to_dict(), indent=2) + "\n", encoding="utf-8")
    return file


def _all(cases: Sequence[Case], jobs: int) -> list[Result]:
    found: list[Result] = []
    with shares_done() as done:
        for result in _lived(cases, jobs):
            found.append(result)
            done("worlds", len(found) / len(cases))
    return found


def _lived(cases: Sequence[Case], jobs: int) -> Iterator[Result]:
    if jobs == 1 or len(cases) == 1:
        yield from map(run, cases)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_alone) as pool:
        yield from pool.map(run, cases)


def _alone() -> None:
    """Keep to one core: there is one process for each."""
    pa.set_cpu_count(1)


def _alarms(results: Iterable[Result]) -> float:
    """Return the false alarms in the time in which one is accepted."""
    lived = [(len(result.score.false_alarms), result.case.days) for result in results]
    days = sum(days for _, days in lived)
    return sum(alarms for alarms, _ in lived) * (BUDGET / timedelta(days=1)) / max(days, 1)


def _values(
    results: Sequence[Result], smallest: dict[int, Result], files: dict[int, Path], took: float
) -> dict[str, object]:
    outcomes = [outcome for result in results for outcome in result.score.outcomes]
    return {
        "worlds": [
            {
                "seed": result.case.seed,
                "broken": result.broken,
                "found": result.found,
                "digest": result.digest,
                "decisions": result.decisions,
                "deaths": result.deaths,
                "pages": result.score.pages,
                "false_alarms": result.score.false_alarms,
                "case": result.case.to_dict(),
                "smallest": smallest[result.case.seed].case.to_dict() if result.broken else None,
                "file": str(files[result.case.seed]) if result.case.seed in files else None,
                "events": [
                    {
                        "kind": outcome.event.kind.value,
                        "start": outcome.event.start,
                        "detected": outcome.detected,
                        "recovered": outcome.recovered,
                    }
                    for outcome in result.score.outcomes
                ],
            }
            for result in results
        ],
        "kinds": [
            {
                "kind": row.kind.value,
                "events": row.events,
                "found": row.found,
                "detected": row.detected,
                "recovered": row.recovered,
            }
            for row in rows_of(outcomes)
        ],
        "false_alarms_per_90_days": _alarms(results),
        "seconds": took,
    }


def _tell(
    results: Sequence[Result], smallest: dict[int, Result], files: dict[int, Path], took: float
) -> None:
    outcomes = [outcome for result in results for outcome in result.score.outcomes]
    print_table(
        ("fault", "events", "found", "found after (median)", "over after (median)"),
        (
            (row.kind, str(row.events), str(row.found), _spell(row.detected), _spell(row.recovered))
            for row in rows_of(outcomes)
        ),
        "nothing happened that a person would notice",
    )
    pages = statistics.mean(result.score.pages for result in results)
    days = sum(result.case.days for result in results)
    click.echo(
        f"{len(results)} worlds, {days} days in {took:.0f} s: {len(smallest)} broke an invariant, "
        f"{_alarms(results):.2f} false alarms in 90 days, {pages:.1f} pages a world, "
        f"{sum(result.deaths for result in results)} control planes died"
    )
    for result in results:
        for alarm in result.score.false_alarms:
            click.echo(f"  false alarm, seed {result.case.seed}: {alarm}")
    for name, count in Counter(result.broken for result in results if result.broken).items():
        click.echo(f"broken in {count} worlds: {name}")
    for seed, result in smallest.items():
        kinds = ", ".join(event.kind for event in result.case.events) or "no fault"
        click.echo(f"  seed {seed}, {result.case.days} days, {kinds}: {result.found[:300]}")
        if seed in files:
            click.echo(f"    again: homeostat simulate --case {files[seed]}")
    if len(results) == 1:
        click.echo(f"decision log: {results[0].decisions} decisions, sha256 {results[0].digest}")


def _spell(span: timedelta | None) -> str:
    return "-" if span is None else f"{span / timedelta(hours=1):.0f} h"
