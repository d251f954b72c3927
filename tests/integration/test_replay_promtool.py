"""Promtool agrees on when a rule with a hold and a keep-firing duration fires."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from homeostat.alerting.replay import Episode
from homeostat.alerting.rules import METRIC_THRESHOLD, AlertRule, default_rules
from homeostat.detectors.series import limits
from homeostat.detectors.series.limits import LimitConfig
from homeostat.domain.limit import LimitState
from homeostat.domain.point import Point
from homeostat.domain.window import Window
from homeostat.engine.plan import MetricThreshold
from homeostat.engine.replay import replay
from homeostat.engine.tape import Recorded
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryRecords
from simulation.world import DAY, MODEL, PLAN, START

MINUTE = timedelta(minutes=1)
LENGTH = 240
LIMIT = MetricThreshold("auc limit", "auc", LimitConfig(below=0.8))


def series(seed: int, keep: int) -> list[float]:
    """Return figures by the minute that dip for a while now and then.

    With a keep-firing duration, dips are so near that none resolves or so far apart that it is no
    flapping: Prometheus does not damp that.
    """
    rng = np.random.default_rng(seed)
    values: list[float] = []
    while len(values) < LENGTH:
        values += [0.9] * int(6 * keep + rng.integers(1, 12))
        for _ in range(int(rng.integers(1, 4))):
            values += [0.7] * int(rng.integers(1, 20)) + [0.9] * int(rng.integers(0, keep or 5))
    return values[:LENGTH]


def replayed(rule: AlertRule, values: list[float]) -> tuple[Episode, ...]:
    plan = replace(PLAN, rules=(rule,), thresholds=(LIMIT,))
    records, state = MemoryRecords(SimulatedClock(START)), LimitState()
    for minute, value in enumerate(values):
        end = START + minute * MINUTE
        assert isinstance(LIMIT.config, LimitConfig)
        point = Point(Window(end - MINUTE, end), value)
        state, verdict = limits.evaluate(LIMIT.config, state, MODEL, LIMIT.name, point)
        with records.begin() as uow:
            uow.judge(verdict)
    ticks = tuple(START + DAY + minute * MINUTE for minute in range(LENGTH))
    tape, _ = Recorded(records, plan, MINUTE, ticks).read(Window(START, ticks[-1] + MINUTE))
    return replay(plan.rules, tape)


def fires(episodes: Iterable[Episode], minute: int) -> bool:
    now = START + DAY + minute * MINUTE
    return any(e.began <= now and (e.ended is None or now < e.ended) for e in episodes)


def checked(folder: Path, rule: AlertRule, values: list[float], firing: list[bool]) -> str:
    """Have promtool compare, minute by minute; return what it found wrong."""
    alert = {
        "alert": "Low",
        "expr": "auc < 0.8",
        "for": f"{int(rule.hold / MINUTE)}m",
        "keep_firing_for": f"{int(rule.keep_firing / MINUTE)}m",
    }
    rules = {"groups": [{"name": "g", "rules": [alert]}]}
    expected: list[dict[str, dict[str, str]]] = [{"exp_labels": {}}]
    tests = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": "auc", "values": " ".join(map(str, values))}],
                "alert_rule_test": [
                    {"eval_time": f"{n}m", "alertname": "Low", "exp_alerts": expected if on else []}
                    for n, on in enumerate(firing)
                ],
            }
        ],
    }
    (folder / "rules.yml").write_text(json.dumps(rules))
    (folder / "test.yml").write_text(json.dumps(tests))
    command = ["promtool", "test", "rules", str(folder / "test.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize(
    ("hold", "keep"),
    [(0, 0), (1, 0), (5, 0), (0, 3), (4, 6), (12, 2)],
    ids=lambda minutes: f"{minutes}m",
)
def test_the_same_minutes_fire(tmp_path: Path, hold: int, keep: int) -> None:
    (plain,) = (rule for rule in default_rules(("ops",)) if rule.name == METRIC_THRESHOLD)
    rule = replace(plain, hold=hold * MINUTE, keep_firing=keep * MINUTE, inhibited_by=())
    told = 0
    for seed in (1, 2):
        values = series(seed, keep)
        episodes = replayed(rule, values)
        assert not any(e.flap for e in episodes)
        firing = [fires(episodes, minute) for minute in range(LENGTH)]
        told += len(episodes)
        assert checked(tmp_path, rule, values, firing) == ""
        wrong = [*firing]
        wrong[firing.index(True)] = False
        assert checked(tmp_path, rule, values, wrong), "the oracle can fail"
    assert told > 3
