"""Figures of entities against sums that are made one row at a time."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from homeostat.domain.record import OUTCOME_SCHEMA, TIMESTAMP, prediction_schema
from homeostat.domain.window import Window
from homeostat.engine.experiments_units import Units, first_met, units_met
from homeostat.rollout.experiment.design import Experiment, Kind, Metric
from homeostat.rollout.experiment.plan import ExperimentPlan, Source
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog
from simulation.market import BEGIN, DAY, MODEL, SPEC

METRICS = (
    (Metric("paid", Kind.CONVERSION), Source("paid", of="bought")),
    (Metric("told", Kind.CONVERSION), Source("told", of="bought", absent=True)),
    (Metric("spent", Kind.REVENUE, covariate=True), Source("spent", "money", before="before")),
    (Metric("seen", Kind.RATIO), Source("seen", "bought", per="views")),
    (Metric("each", Kind.RATIO), Source("each", "bought")),
    (Metric("slow", Kind.LATENCY), Source("slow")),
    (Metric("wait", Kind.LATENCY), Source("wait", of="money")),
    (Metric("errors", Kind.ERROR_RATE), Source("errors")),
)
PLAN = ExperimentPlan(
    MODEL,
    Experiment("x", ("v1", "v2"), tuple(m for m, _ in METRICS), 10_000),
    tuple(s for _, s in METRICS),
    observe=timedelta(hours=6),
    segments=("country",),
)
WINDOW = Window(BEGIN, BEGIN + DAY)
Row = dict[str, object]


def rows_of(seed: int) -> list[Row]:
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for number in range(300):
        who = int(rng.integers(0, 60))
        known = rng.random() < 0.7
        rows.append(
            {
                "prediction_id": f"p{number:03}",
                "at": float(rng.integers(0, 30 * 3600)),
                "entity": f"c{who}" if who < 55 else ["", None][who % 2],
                "role": ["arm:v1", "arm:v2"][who % 2] if rng.random() < 0.9 else "champion",
                "tier": "model" if rng.random() < 0.9 else "rules",
                "latency_ms": [None, 0.0, 5.0, 80.0][int(rng.integers(0, 4))],
                "country": ["FR", "DE", None][who % 3],
                "before": [1.0, None, 3.0][who % 3],
                "bought": float(rng.integers(0, 2)) if known else None,
                "money": [float(rng.integers(-3, 9)), 1e300][rng.random() < 0.05]
                if known
                else None,
                "views": float(rng.integers(-1, 5)) if rng.random() < 0.8 else None,
            }
        )
    return sorted(rows, key=lambda row: (row["at"], row["prediction_id"]))


def as_column(values: list[object], kind: pa.DataType) -> pa.Array[pa.Scalar[pa.DataType]]:
    return pa.array(values, kind)


def logged(rows: list[Row]) -> MemoryLog:
    log = MemoryLog(SimulatedClock(BEGIN + 9 * DAY))
    schema = prediction_schema(SPEC)
    at = [BEGIN + timedelta(seconds=float(str(row["at"]))) for row in rows]
    given: dict[str, list[object]] = {
        name: [row.get(name) for row in rows] for name in schema.names
    }
    given |= {"reason": [""] * len(rows), "version": ["v1"] * len(rows)}
    given |= {"timestamp": list(at), "score": [0.5] * len(rows)}
    columns = [as_column(given[field.name], field.type) for field in schema]
    assert log.append(SPEC, pa.table(columns, schema=schema)).accepted == len(rows)
    for outcome in SPEC.outcomes:
        known = [row for row in rows if row[outcome] is not None]
        size = len(known)
        told = [
            as_column([row["prediction_id"] for row in known], pa.string()),
            as_column([row[outcome] for row in known], pa.float64()),
            pa.array([BEGIN + 2 * DAY] * size, TIMESTAMP),
            pa.array([outcome] * size),
        ]
        assert log.append_labels(SPEC, pa.table(told, schema=OUTCOME_SCHEMA)).accepted == size
    return log


def measured(rows: list[Row], *, due: bool = True) -> tuple[list[str], Units]:
    log = logged(rows)
    firsts = first_met(log, SPEC, Window(BEGIN, BEGIN + 2 * DAY))
    cohort = firsts.within(WINDOW)
    units = units_met(PLAN, log, SPEC, cohort, WINDOW, BEGIN + 9 * DAY, due=due)
    return [str(unit) for unit in cohort["unit"].to_pylist()], units


def by_hand(rows: list[Row]) -> dict[str, list[Row]]:
    """Return the rows of each entity first met on the first day, while it is observed."""
    mine: dict[str, list[Row]] = {}
    for row in rows:
        if not str(row["role"]).startswith("arm:"):
            continue
        unit = str(row["entity"] or row["prediction_id"])
        at = float(str(row["at"]))
        if unit not in mine and at >= 24 * 3600:
            continue
        known = mine.setdefault(unit, [])
        if not known or at < float(str(known[0]["at"])) + 6 * 3600:
            known.append(row)
    return mine


def numbers(rows: list[Row], name: str) -> list[float]:
    found = (float(str(row[name])) for row in rows if row[name] is not None)
    return [value for value in found if abs(value) < 1e60]  # what is absurd is not known


def same(found: float, wanted: float | None) -> bool:
    return math.isnan(found) if wanted is None else found == pytest.approx(wanted)


@pytest.mark.parametrize("seed", [1, 2])
def test_figures_are_those_of_each_entity(seed: int) -> None:
    rows = rows_of(seed)
    names, units = measured(rows)
    entities = by_hand(rows)
    assert sorted(names) == sorted(entities)
    for place, name in enumerate(names):
        mine = entities[name]
        bought, money, views = (numbers(mine, each) for each in ("bought", "money", "views"))
        first = mine[0]
        assert units.arms[place] == str(first["role"]).removeprefix("arm:")
        latency = float(str(first["latency_ms"] or 0.0))
        amount = float(str(first["money"] or 0.0))
        below = sum(views) if views and sum(views) >= 0 else None
        expected: dict[str, tuple[float | None, float | None]] = {
            "paid": (float(any(bought)) if bought else None, None),
            "told": (float(any(bought)), None),
            "spent": (sum(money) if money else None, float(str(first["before"] or 0.0))),
            "seen": (sum(bought) if bought and below is not None else None, below or 0.0),
            "each": (sum(bought) if bought else None, float(len(mine))),
            "slow": (latency if latency > 0 else None, None),
            "wait": (amount if 0 < amount < 1e60 else None, None),
            "errors": (float(any(row["tier"] != "model" for row in mine)), None),
        }
        for metric, (value, companion) in expected.items():
            values, companions = units.figures[metric]
            assert same(float(values[place]), value), metric
            assert (companions is None) == (companion is None), metric
            assert companions is None or float(companions[place]) == companion, metric


def test_segments_are_those_of_the_first_row() -> None:
    rows = rows_of(3)
    names, units = measured(rows)
    entities = by_hand(rows)
    found = {
        names[place]: segment for segment, places in units.segments.items() for place in places
    }
    assert found == {
        name: f"country={mine[0]['country'] or '(missing)'}" for name, mine in entities.items()
    }


def test_outcomes_wait_until_they_are_due() -> None:
    _, units = measured(rows_of(4), due=False)
    for metric, source in METRICS:
        values, companions = units.figures[metric.name]
        served = not source.of
        assert np.isnan(values).all() != served
        assert companions is None or not companions.any()


def test_a_window_without_anybody_is_empty() -> None:
    _, units = measured([row | {"role": "champion"} for row in rows_of(5)])
    assert len(units) == 0
    assert units.tallies(("v1", "v2"), PLAN.design.metrics) == ()
    plain = replace(PLAN, segments=())
    assert plain.immediate == (METRICS[5][0], METRICS[7][0])
