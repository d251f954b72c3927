"""Young rows as training rows: what a label on its way counts as."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from homeostat.domain.choice import RowChoice
from homeostat.domain.effect import StartTraining
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.record import LABEL_SCHEMA, OUTCOME_SCHEMA, TIMESTAMP, prediction_schema
from homeostat.domain.window import Window
from homeostat.engine.training import TrainingRows
from homeostat.retraining.rows import WEIGHT
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryScorer

DAY = timedelta(days=1)
NOW = datetime(2024, 6, 1, tzinfo=UTC)
SPEC = ModelSpec(
    "m", Task.BINARY, Schema((Column("x", ColumnKind.NUMERIC),)), LabelSpec(40 * DAY),
    classes=("kept", "cancelled"), outcomes=("chance",),
)  # fmt: skip
DAYS, COUNT = 160, 8_000
LASTS = 10.0  # days that a cancellation takes, on average; a kept one is known after 30


def history(seed: int = 1) -> tuple[MemoryLog, NDArray[np.float64], NDArray[np.float64]]:
    """Log bookings whose cancellations, 2 in 10 or 6 in 10 by ``x``, come early."""
    rng = np.random.default_rng(seed)
    age = np.sort(rng.uniform(0.0, DAYS, COUNT))[::-1]
    x = (rng.random(COUNT) < 0.5).astype(np.float64)
    label = (rng.random(COUNT) < 0.2 + 0.4 * x).astype(np.float64)
    delay = np.where(label == 1.0, np.minimum(rng.exponential(LASTS, COUNT), 39.0), 30.0)
    log = MemoryLog(SimulatedClock(NOW))
    ids = [f"p{place}" for place in range(COUNT)]
    made = [NOW - days * DAY for days in age.tolist()]
    plain = {
        "prediction_id": ids, "timestamp": made, "entity": [""] * COUNT, "version": ["1"] * COUNT,
        "role": ["champion"] * COUNT, "tier": ["model"] * COUNT, "reason": [""] * COUNT,
        "score": [0.4] * COUNT, "prediction": [0.0] * COUNT, "x": x,
    }  # fmt: skip
    schema = prediction_schema(SPEC)
    nulls = {f.name: pa.nulls(COUNT, f.type) for f in schema if f.name not in plain}
    log.append(SPEC, pa.table(plain | nulls).select(schema.names).cast(schema))
    come = np.flatnonzero(delay <= age)
    arrival = pa.array([made[i] + float(delay[i]) * DAY for i in come], TIMESTAMP)
    known = {"prediction_id": [ids[i] for i in come], "label": label[come], "arrival": arrival}
    log.append_labels(SPEC, pa.table(known, schema=LABEL_SCHEMA))
    return log, age, label


def request(**changes: object) -> StartTraining:
    made = StartTraining(
        "m-0001-refit", "m", "1", Window(NOW - DAYS * DAY, NOW), NOW, guide="2", kinds=()
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # by the tests' tables


def scorer(**changes: float) -> MemoryScorer:
    """Return version 2, which knows the truth."""
    low, high = changes.get("low", 0.2), changes.get("high", 0.6)
    return MemoryScorer({("m", "2"): lambda rows: low + (high - low) * rows["x"].to_numpy()})


@pytest.fixture(scope="module")
def world() -> tuple[MemoryLog, NDArray[np.float64], NDArray[np.float64]]:
    return history()


World = tuple[MemoryLog, NDArray[np.float64], NDArray[np.float64]]


def test_a_label_on_its_way_counts_as_chapelles_formula_says(world: World) -> None:
    log, age, _ = world
    found = TrainingRows(log, scorer())(SPEC, request())
    young = found.filter(found["timestamp"].to_numpy() >= np.datetime64("2024-05-12"))
    split = young.filter(np.asarray(young[WEIGHT].to_numpy()) < 1.0)
    late = split.filter(np.asarray(split["label"].to_numpy()) == 1.0)
    places = [int(name[1:]) for name in late["prediction_id"].to_pylist()]
    chance = 0.2 + 0.4 * np.asarray(late["x"].to_numpy())
    waits = np.exp(-age[places] / LASTS)
    exact = chance * waits / (1.0 - chance + chance * waits)
    assert late.num_rows > 500
    told = np.asarray(late[WEIGHT].to_numpy())
    assert np.abs(told - exact).mean() < 0.02
    assert np.abs(told - exact).max() < 0.1


def test_every_row_counts_once_and_known_labels_are_what_they_are(world: World) -> None:
    log, age, label = world
    found = TrainingRows(log, scorer())(SPEC, request())
    assert found.column_names == ["prediction_id", "timestamp", "x", "label", WEIGHT]
    ids = found["prediction_id"].to_pylist()
    mass = dict.fromkeys(ids, 0.0)
    for name, weight in zip(ids, found[WEIGHT].to_pylist(), strict=True):
        mass[name] += weight
    assert len(mass) == COUNT
    assert np.asarray(list(mass.values())) == pytest.approx(1.0, abs=0.01)
    assert found["timestamp"].to_pylist() == sorted(found["timestamp"].to_pylist())
    sure = found.filter(np.asarray(found[WEIGHT].to_numpy()) == 1.0)
    places = [int(name[1:]) for name in sure["prediction_id"].to_pylist()]
    assert np.asarray(sure["label"].to_numpy()).tolist() == label[places].tolist()
    assert age[places].min() < 10.0


def test_young_rows_say_what_came_of_them_in_the_end(world: World) -> None:
    """Early labels alone say that far more is cancelled; so says a guide that is wrong, less."""
    log, age, label = world
    truth = float(label[age < 20.0].mean())
    rates = {}
    for name, guide in (("right", scorer()), ("wrong", scorer(low=0.3, high=0.7))):
        found = TrainingRows(log, guide)(SPEC, request())
        young = found.filter(found["timestamp"].to_numpy() >= np.datetime64("2024-05-12"))
        rates[name] = float(np.average(young["label"].to_numpy(), weights=young[WEIGHT].to_numpy()))
    naive = TrainingRows(log, scorer())(SPEC, request(guide=""))
    early = naive.filter(naive["timestamp"].to_numpy() >= np.datetime64("2024-05-12"))
    assert np.mean(early["label"].to_numpy()) == 1.0
    assert rates["right"] == pytest.approx(truth, abs=0.03)
    assert rates["right"] < rates["wrong"] < truth + 0.1


def test_kinds_of_rows_have_delays_of_their_own(world: World) -> None:
    log, _, _ = world
    found = TrainingRows(log, scorer())(SPEC, request(kinds=("x",)))
    assert found.num_rows > COUNT


def test_with_too_few_complete_labels_only_they_are_trained_on(world: World) -> None:
    log, age, _ = world
    few = request(window=Window(NOW - 45 * DAY, NOW))
    found = TrainingRows(log, scorer())(SPEC, few)
    assert found.num_rows == np.count_nonzero((age >= 40.0) & (age < 45.0))
    assert WEIGHT not in found.column_names


def test_of_rows_that_the_guide_cannot_score_none_is_guessed(world: World) -> None:
    log, _, _ = world
    blind = MemoryScorer({("m", "2"): lambda rows: np.full(rows.num_rows, np.nan)})
    found = TrainingRows(log, blind)(SPEC, request())
    assert set(found[WEIGHT].to_pylist()) == {1.0}


def test_without_a_scorer_the_labelled_rows_are_there(world: World) -> None:
    log, _, _ = world
    assert WEIGHT not in TrainingRows(log)(SPEC, request()).column_names


def test_nothing_is_known_that_was_not_known_then(world: World) -> None:
    log, age, _ = world
    then = request(as_of=NOW - 20 * DAY, window=Window(NOW - DAYS * DAY, NOW - 20 * DAY))
    found = TrainingRows(log, scorer())(SPEC, then)
    places = [int(name[1:]) for name in found["prediction_id"].to_pylist()]
    assert age[places].min() >= 20.0
    sure = np.asarray(found[WEIGHT].to_numpy()) == 1.0
    ages = age[np.asarray(places)[sure]] - 20.0
    labels = np.asarray(found["label"].to_numpy())[sure]
    assert labels[ages < 29.0].min() == 1.0  # a kept booking was known after 30 days only


def test_a_propensity_among_the_outcomes_weighs_and_is_not_handed_on(world: World) -> None:
    log, age, _ = world
    old = [place for place in range(COUNT) if age[place] > 100.0]
    told = {
        "prediction_id": [f"p{place}" for place in old],
        "label": [0.5] * len(old),
        "arrival": [NOW - 50 * DAY] * len(old),
        "outcome": ["chance"] * len(old),
    }
    log.append_labels(SPEC, pa.table(told, schema=OUTCOME_SCHEMA))
    asked = request(guide="", choice=RowChoice(propensity="chance"))
    found = TrainingRows(log)(SPEC, asked)
    assert "chance" not in found.column_names
    places = np.asarray([int(name[1:]) for name in found["prediction_id"].to_pylist()])
    expected = np.where(age[places] > 100.0, 2.0, 1.0)
    assert np.asarray(found[WEIGHT].to_numpy()).tolist() == expected.tolist()
    both = TrainingRows(log, scorer())(SPEC, replace(asked, guide="2"))
    assert both.column_names == ["prediction_id", "timestamp", "x", "label", WEIGHT]
