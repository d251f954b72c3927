"""Guardrails of a canary: false rollbacks over whole ramps, and how soon harm is found.

Each life is a ramp of two steps (10 %, 50 %), looked at every 500 requests, through what the engine
calls (`see_answers`, `see_matured`, `breach`), with a load that changes from hour to hour: rates of
failure, latencies, scores and profits of both arms swing with it.

    PYTHONPATH=src nice -n 15 .venv/bin/python benchmarks/guardrails.py    # some 6 minutes
    PYTHONPATH=src .venv/bin/python benchmarks/guardrails.py --lives 50    # a look

``limit`` is a challenger that is worse by exactly what is tolerated, in everything at once: the
hardest case that must not be taken back in more than 5 % of lives. Beside all, what the usual test
does at the same looks: pooled shares of both arms, two proportions, p < 0.05 / 4 at any look; it
tolerates nothing, so that it is only wrong about what is equal.
``clients`` goes through the log and the hash as the engine does, with entities of which a few send
most requests and always fail: the same on both sides, whoever gets them.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.engine.guardrails import CanaryStep, arms_of, as_answers, deal
from homeostat.rollout.guardrails import (
    Answers,
    GuardrailPolicy,
    MaturedAnswers,
    Rails,
    breach,
    see_answers,
    see_matured,
)
from homeostat.serving.split import takes_part
from homeostat.stats.special import normal_sf

RAMP, LOOK, PER_STEP = (0.1, 0.5), 500, 15_000
POLICY, METRICS = GuardrailPolicy(), ("profit",)
KS = 1.0488  # shift of a unit normal whose Kolmogorov distance is 0.4


@dataclass(frozen=True)
class Challenger:
    """How it differs from the champion."""

    failed: float = 0.0
    slower: float = 1.0
    shift: float = 0.0
    worth: float = 0.0
    swing: float = 0.6  # of the load, which both arms share


CASES = {
    "equal": Challenger(),
    "equal, under a steady load": Challenger(swing=0.0),
    "limit": Challenger(0.005, 1.25, KS, 0.0),
    "latency x 1.5": Challenger(slower=1.5),
    "latency x 2": Challenger(slower=2.0),
    "errors 1 -> 2 %": Challenger(failed=0.01),
    "errors 1 -> 3 %": Challenger(failed=0.02),
    "errors 1 -> 5 %": Challenger(failed=0.04),
    "scores, distance 0.6": Challenger(shift=1.683),
    "scores, distance 0.8": Challenger(shift=2.563),
    "profit -20 %": Challenger(worth=-2.0),
    "profit -10 %": Challenger(worth=-1.0),
}
NULLS = ("equal", "equal, under a steady load", "limit")


def requests(
    rng: np.random.Generator, weight: float, hour: float, other: Challenger
) -> tuple[Answers, MaturedAnswers]:
    """Return what a look sees; `hour` in [0, 1) of the day that a step lasts."""
    load = 1.0 + other.swing * math.sin(2 * math.pi * hour)
    treated = rng.random(LOOK) < weight
    failed = rng.random(LOOK) < 0.01 * load + np.where(treated, other.failed, 0.0)
    latency = rng.lognormal(3, 0.5, LOOK) * load * np.where(treated, other.slower, 1.0)
    score = rng.normal(load, 1.0, LOOK) + np.where(treated, other.shift, 0.0)
    labelled = rng.random(LOOK) < 0.7
    profit = rng.normal(10 * load, 10, LOOK) + np.where(treated, other.worth, 0.0)
    profit = np.where(labelled, profit, np.nan)
    answers = Answers(treated, failed, latency, score)
    return answers, MaturedAnswers(treated, labelled, {"profit": profit})


@dataclass
class Usual:
    """Two proportions, pooled over all looks, at each of them: failures, and slow answers."""

    counts: NDArray[np.float64]

    def breached(self, answers: Answers) -> bool:
        slow = answers.latency > 60.0
        for row, what in enumerate((answers.failed, slow)):
            for arm in (0, 1):
                mine = answers.treated == bool(arm)
                self.counts[row, arm] += (what[mine].sum(), mine.sum())
        return any(self._z(row) > 0 and normal_sf(self._z(row)) < 0.05 / 4 for row in (0, 1))

    def _z(self, row: int) -> float:
        (hits, n), (others, m) = self.counts[row]
        if not (n and m and hits + others):
            return 0.0
        pooled = (hits + others) / (n + m)
        return float((others / m - hits / n) / math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m)))


def life(seed: int, other: Challenger) -> tuple[str, int, bool]:
    """Return what took the challenger back, after how many requests, and what is usual."""
    rng, rails, asked = np.random.default_rng(seed), Rails(), 0
    usual, alarmed, found = Usual(np.zeros((2, 2, 2))), False, ""
    at = 0
    for weight in RAMP:
        for look in range(PER_STEP // LOOK):
            # The first step falls into the quiet half of a day, the second one into its busy half.
            hour = look * LOOK / PER_STEP / 2 + (0.5 if weight == RAMP[0] else 0.0)
            answers, matured = requests(rng, weight, hour, other)
            asked += LOOK
            alarmed = alarmed or usual.breached(answers)
            if found:
                continue
            rails = see_answers(POLICY, rails, answers, weight)
            rails = see_matured(POLICY, rails, matured, weight)
            broken = breach(POLICY, rails, METRICS)
            if broken is not None:
                found, at = broken.name, asked
    return found, at, alarmed


START = datetime(2024, 1, 1, tzinfo=UTC)
SPEC = ModelSpec(
    "m",
    Task.BINARY,
    Schema((Column("x", ColumnKind.NUMERIC),)),
    LabelSpec(timedelta(days=1)),
    entity="client",
)


def clients(seed: int) -> bool:
    """Say whether a challenger is taken back because clients that always fail were dealt to it."""
    rng, rails, before = np.random.default_rng(seed), Rails(), 0.0
    for weight in RAMP:
        seen, step = "", CanaryStep(START, weight, before)
        for _ in range(5):
            size = 2000
            who = np.minimum(rng.zipf(1.3, size), 3000)
            names = [f"{seed}-{number}" for number in who]
            fails = who % 40 == 7
            rows = pa.table(
                {
                    "prediction_id": [str(number) for number in range(size)],
                    "role": _roles(names, weight, seed),
                    "tier": np.where(fails, "rules", "model"),
                    "reason": np.where(fails, "error", ""),
                    "entity": names,
                    "score": rng.random(size),
                    "latency_ms": rng.lognormal(3, 0.5, size),
                }
            )
            arms = arms_of(SPEC, f"v{seed}", weight, rows)
            dealt = deal(SPEC, step, arms, seen, by_hash=True)
            seen = dealt.seen
            rails = see_answers(POLICY, rails, as_answers(dealt), dealt.weight)
            if breach(POLICY, rails) is not None:
                return True
        before = weight
    return False


def _roles(names: list[str], weight: float, seed: int) -> list[str]:
    moved = takes_part(f"m/v{seed}", names, weight)
    return ["challenger" if there else "champion" for there in moved.tolist()]


def main() -> None:
    """Print one row a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lives", type=int, default=1000)
    lives = parser.parse_args().lives
    began = time.process_time()
    print("| challenger | lives | taken back | median requests until then | by | usual test |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, other in CASES.items():
        count = lives if name in NULLS else max(lives // 5, 1)
        found = [life(seed, other) for seed in range(count)]
        hits = [at for by, at, _ in found if by]
        by = ", ".join(
            f"{what} {n}" for what, n in Counter(b for b, _, _ in found if b).most_common()
        )
        median = f"{np.median(hits):.0f}" if hits else "-"
        usual = sum(alarmed for _, _, alarmed in found) / count
        print(
            f"| {name} | {count} | {len(hits) / count:.1%} | {median} | {by} | {usual:.1%} |",
            flush=True,
        )
    count = max(lives // 5, 1)
    taken = sum(clients(seed) for seed in range(count))
    print(f"| clients that always fail | {count} | {taken / count:.1%} | - | - | - |")
    print(f"\n{time.process_time() - began:.0f} s of CPU")


if __name__ == "__main__":
    main()
