"""False alarms and power of drift rules, side by side on the same simulated traffic.

    python benchmarks/false_alarms --world iid --n 1000 --repetitions 200 \
        --rules homeostat,evidently,nannyml,psi-0.2,ks-0.05,bonferroni
    python benchmarks/false_alarms --world iid --n 1000 --shift mean-0.25 \
        --rules homeostat,evidently,evidently-tuned,nannyml-tuned

A rule named ``...-tuned`` is the peer's with its threshold multiplied so that it alarms at most
once in 90 days of this world without a change, found on separate traffic (``--tuning`` runs).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from harness import (
    FalseAlarms,
    Power,
    Rule,
    Run,
    count_false_alarms,
    measure_power,
    play,
    tuned_factor,
)
from numpy.typing import NDArray
from ours import HomeostatRule
from peer_rules import PEERS, PeerRule
from worlds import KINDS, MONITORED_DAYS, REFERENCE_DAYS, Shift, World

Played = TypeVar("Played")

BURN_IN = 14
AFTER = 30
TUNED = "-tuned"
START = REFERENCE_DAYS + BURN_IN
SHIFTS: Mapping[str, tuple[Shift, int]] = {
    "mean-0.25": (Shift("mean", 0.25, START), 3),
    "mean-0.1": (Shift("mean", 0.1, START), 15),
    "slow-0.5": (Shift("slow", 0.5, START), 14),
    "share-0.06": (Shift("share", 0.06, START), 3),
    "missing-0.05": (Shift("missing", 0.05, START), 1),
    "correlation-0.5": (Shift("correlation", 0.5, START), 5),
}
"""Each change, and the windows within which it should be found."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One table: a world, perhaps with a shift, and the rules that see it."""

    world: World
    rules: Mapping[str, Rule]
    seed: int
    repetitions: int
    peer_repetitions: int

    def play(self, repetition: int) -> dict[str, Run]:
        """Play one repetition; peers sit out those beyond their number."""
        everyone = repetition < self.peer_repetitions
        rules = {
            name: rule
            for name, rule in self.rules.items()
            if everyone or not isinstance(rule, PeerRule)
        }
        days = MONITORED_DAYS if self.world.shift is None else BURN_IN + AFTER
        return play(self.world, rules, _seed(self.seed, self.world, 0, repetition), days)


def _seed(seed: int, world: World, purpose: int, repetition: int) -> np.random.SeedSequence:
    key = (KINDS.index(world.kind), world.rows, purpose, repetition)
    return np.random.SeedSequence(seed, spawn_key=key)


def _largest_scores(
    world: World, names: Sequence[str], seed: int, repetition: int
) -> dict[str, NDArray[np.float64]]:
    """Return each peer's largest score in each window of a run in which nothing changes."""
    stream = world.days(np.random.default_rng(_seed(seed, world, 1, repetition)))
    reference = tuple(next(stream) for _ in range(REFERENCE_DAYS))
    judges = {name: PeerRule(PEERS[name]).fit(reference) for name in names}
    found: dict[str, list[float]] = {name: [] for name in names}
    for day in stream:
        for name, judge in judges.items():
            found[name].append(float(judge.scores(day).max()))
    return {name: np.array(values) for name, values in found.items()}


def _factors(
    pool: ProcessPoolExecutor, world: World, names: Sequence[str], seed: int, runs: int
) -> dict[str, float]:
    """Return the factor that re-tunes each peer to one alarm in 90 days of this world."""
    if not names:
        return {}
    quiet = World(world.kind, world.rows)
    score = partial(_largest_scores, quiet, names, seed)
    played = list(_progress(pool.map(score, range(runs)), runs, "tuning"))
    return {name: tuned_factor([scores[name] for scores in played]) for name in names}


def _rules(names: Sequence[str], factors: Mapping[str, float]) -> dict[str, Rule]:
    rules: dict[str, Rule] = {}
    for name in names:
        if name == "homeostat":
            rules[name] = HomeostatRule()
            continue
        peer = name.removesuffix(TUNED)
        rules[name] = PeerRule(PEERS[peer], factors[peer] if name.endswith(TUNED) else 1.0)
    return rules


def _progress(played: Iterator[Played], total: int, what: str) -> Iterator[Played]:
    for done, item in enumerate(played, 1):
        if sys.stderr.isatty():
            print(f"\r{what} {done}/{total}", end="\n" if done == total else "", file=sys.stderr)
        yield item


def _arguments() -> argparse.Namespace:
    known = ["homeostat", *PEERS, *(f"{name}{TUNED}" for name in PEERS)]
    parser = argparse.ArgumentParser(
        prog="benchmarks/false_alarms",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--world", choices=KINDS, default="iid")
    parser.add_argument("--n", type=int, default=1000, help="rows per daily window")
    parser.add_argument("--shift", choices=SHIFTS, help="measure power instead of false alarms")
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--peer-repetitions", type=int, help="fewer for the peers' rules")
    parser.add_argument("--rules", default="homeostat,evidently,nannyml,psi-0.2,ks-0.05,bonferroni")
    parser.add_argument("--tuning", type=int, default=50, help="runs to re-tune the peers with")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=20240101)
    parser.add_argument("--out", type=Path, help="append the results to this file as JSON lines")
    arguments = parser.parse_args()
    arguments.rules = arguments.rules.split(",")
    unknown = [name for name in arguments.rules if name not in known]
    if unknown:
        parser.error(f"no rule {', '.join(unknown)}; there are {', '.join(known)}")
    return arguments


def main() -> None:
    """Play, count, print."""
    asked = _arguments()
    shift, within = SHIFTS[asked.shift] if asked.shift else (None, 0)
    world = World(asked.world, asked.n, shift)
    peer_repetitions = asked.peer_repetitions or asked.repetitions
    with ProcessPoolExecutor(asked.workers) as pool:
        peers = [name.removesuffix(TUNED) for name in asked.rules if name.endswith(TUNED)]
        factors = _factors(pool, world, peers, asked.seed, asked.tuning)
        rules = _rules(asked.rules, factors)
        bench = Bench(world, rules, asked.seed, asked.repetitions, peer_repetitions)
        repetitions = range(asked.repetitions)
        played = list(_progress(pool.map(bench.play, repetitions), asked.repetitions, "playing"))
    results: dict[str, FalseAlarms | Power] = {}
    for name in rules:
        runs = [found[name] for found in played if name in found]
        results[name] = measure_power(runs, shift, within) if shift else count_false_alarms(runs)
    setting = {"world": world.kind, "n": world.rows, "shift": asked.shift, "seed": asked.seed}
    lines = []
    for name, result in results.items():
        rule = rules[name]
        factor = rule.factor if isinstance(rule, PeerRule) else None
        lines.append(setting | {"rule": name, "factor": factor} | asdict(result))
    _print(setting, lines)
    if asked.out:
        with asked.out.open("a", encoding="utf-8") as out:
            out.writelines(json.dumps(line) + "\n" for line in lines)


def _print(setting: Mapping[str, object], lines: Sequence[Mapping[str, object]]) -> None:
    print(", ".join(f"{key} {value}" for key, value in setting.items() if value is not None))
    columns = [key for key in lines[0] if key not in setting]
    rows = [columns, *([_text(line[key]) for key in columns] for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    for row in rows:
        print("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)))


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
