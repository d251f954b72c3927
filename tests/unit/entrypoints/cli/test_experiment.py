"""The command homeostat experiment on a deployment of its own."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.domain.model import ModelVersion
from homeostat.domain.record import OUTCOME_SCHEMA, TIMESTAMP, prediction_schema
from homeostat.engine.arms import arms_of
from homeostat.engine.experiments import Laboratory
from homeostat.engine.watch import rollout_key
from homeostat.entrypoints.bootstrap import open_deployment
from homeostat.entrypoints.settings import load
from homeostat.rollout.state import RolloutState, Stage
from homeostat.simulation.clock import SimulatedClock
from unit.entrypoints.cli.test_cli import call

DAY = timedelta(days=1)
CONFIG = """\
models:
  - name: shop
    task: binary
    entity: customer
    features: {amount: numeric}
    outcomes: [bought]
    labels: {maturity: 1d}
experiments:
  - name: checkout
    arms: {champion: 0.5, 2: 0.5}
    size: 4000
    metrics:
      paid: {kind: conversion, of: bought}
      slow: {kind: latency, role: guardrail, margin: 0.5}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A champion that answered 2,100 customers."""
    folder = tmp_path_factory.mktemp("experiment")
    (folder / "homeostat.yaml").write_text(CONFIG)
    clock = SimulatedClock(SystemClock().now())
    opened = open_deployment(load(folder / "homeostat.yaml"), clock, durable=False)
    spec, now = opened.plans["shop"].spec, clock.now()
    artifact = folder / "model"
    artifact.write_text("a model")
    for _ in range(2):
        opened.registry.register(ModelVersion("shop", "", "linear", "", now), artifact)
    with opened.records.begin() as uow:
        uow.save(rollout_key("shop"), RolloutState("shop", Stage.CHAMPION, "1"))
    rng, size = np.random.default_rng(1), 2100
    ids = [f"p{row}" for row in range(size)]
    # Whatever the hour, the same rows are in the six days whose outcomes are due.
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    times = [today - 5 * DAY + row * 2 * DAY / size for row in range(size)]
    given: dict[str, object] = {
        "prediction_id": ids,
        "timestamp": pa.array(times, TIMESTAMP),
        "version": ["1"] * size,
        "role": ["champion"] * size,
        "tier": ["model"] * size,
        "reason": [""] * size,
        "entity": [f"c{row}" for row in range(size)],
        "score": np.full(size, 0.5),
        "latency_ms": rng.gamma(4.0, 10.0, size),
    }
    schema = prediction_schema(spec)
    columns = {f.name: given.get(f.name, pa.nulls(size, f.type)) for f in schema}
    opened.log.append(spec, pa.table(columns, schema=schema))
    bought = (rng.random(size) < 0.2).astype(np.float64)
    told = [pa.array(ids), pa.array(bought), pa.array([now] * size, TIMESTAMP)]
    opened.log.append_labels(
        spec, pa.table([*told, pa.array(["bought"] * size)], schema=OUTCOME_SCHEMA)
    )
    opened.close()
    return folder


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def test_it_is_planned_and_rehearsed_on_the_past(folder: Path) -> None:
    del folder
    code, out, _ = call("experiment", "power", "checkout", "--days", "6", "--effect", "0.5")
    assert code == 0
    assert "paid" in out
    assert "at 100% of the traffic" in out
    code, out, _ = call("experiment", "power", "checkout", "--days", "6", "--json")
    assert code == 0
    assert json.loads(out)["needs"][0]["figure"] == pytest.approx(0.2, abs=0.05)
    code, out, _ = call("experiment", "aa", "checkout", "--days", "6", "--runs", "20")
    assert (code, out.splitlines()[-1]) == (0, "sound")
    assert "20 random splits of 2100 entities" in out
    code, out, _ = call("experiment", "aa", "checkout", "--days", "6", "--runs", "20", "--json")
    assert json.loads(out)["sound"] is True
    code, _, err = call("experiment", "power", "chekout")
    assert code == 2
    assert "did you mean 'checkout'" in err


def test_from_start_to_end(folder: Path, tmp_path: Path) -> None:
    assert "not started" in call("experiment", "list")[1]
    code, _, err = call("experiment", "show", "checkout")
    assert (code, "was never started" in err) == (2, True)
    code, out, _ = call("experiment", "start", "checkout", "--reason", "spring")
    assert (code, "checkout is running: 1=0.5 2=0.5" in out) == (0, True)
    assert call("experiment", "start", "checkout")[0] == 2
    clock = SimulatedClock(SystemClock().now())
    opened = open_deployment(load(folder / "homeostat.yaml"), clock, durable=False)
    assert arms_of(opened.records, "shop").shares == {"1": 0.5, "2": 0.5}
    Laboratory(opened.ports()).tend(opened.plans["shop"].spec, clock.now())
    opened.close()
    code, out, _ = call("experiment", "show", "checkout")
    assert (code, "Nothing can be judged yet" in out) == (0, True)
    page = tmp_path / "page.html"
    assert call("experiment", "show", "checkout", "--html", str(page))[0] == 0
    assert "Experiment checkout on shop" in page.read_text()
    assert "# Experiment checkout" in call("experiment", "show", "checkout", "--markdown")[1]
    told = json.loads(call("experiment", "show", "checkout", "--json")[1])
    assert (told["stage"], told["decision"]) == ("running", "no_data")
    assert json.loads(call("experiment", "list", "--json")[1])["experiments"][0]["arms"]["2"] == 0.5
    code, _, err = call("experiment", "stop", "checkout", "--promote")
    assert (code, "no version to ship" in err) == (2, True)
    code, out, _ = call("experiment", "stop", "checkout", "--reason", "enough")
    assert (code, "checkout is over" in out) == (0, True)
    assert "enough" in call("experiment", "list")[1]
