"""Bounds of what is kept of refused rows, on both databases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from homeostat.adapters.predlog.quarantine import MOST_ROW
from homeostat.domain.errors import DataError
from homeostat.entrypoints.quarantine import fix, quarantine_of, replay_all
from ingesting import (
    JSON,
    NOW,
    SPEC,
    World,
    opened,
    record,
)

pytestmark = pytest.mark.usefixtures("both")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with opened(tmp_path) as made:
        yield made


def test_of_a_long_row_the_beginning_is_kept_and_said(world: World) -> None:
    rows = [record("a", odd="x" * 100_000, entity="Ádá"), record("b", odd="y")]
    world.send(json.dumps({"predictions": rows}).encode(), JSON)
    short, long = world.log.quarantined("fraud")
    assert json.loads(short.row) == rows[1]
    assert json.loads(long.row) == json.dumps(rows[0])[:MOST_ROW]
    assert "; only the first 65,536 of 100," in long.reason
    done = replay_all(world.log, SPEC)
    assert (done.accepted, len(done.refused)) == (0, 2)
    assert world.log.quarantined("fraud")[1].reason == long.reason
    with pytest.raises(DataError, match="more than 65,536 characters"):
        fix(world.log, SPEC, long.number, rows[0])


def test_the_oldest_refused_rows_make_room_and_are_counted(world: World) -> None:
    for number in range(20):
        row = record(f"{number}", odd="x" * 1000)
        world.send(json.dumps({"predictions": [row]}).encode(), JSON)
    kept = quarantine_of(world.log, SPEC)
    assert kept.trim(NOW) == 0
    gone = kept.trim(NOW, 7_000)
    left = [json.loads(entry.row)["prediction_id"] for entry in kept.oldest(100)]
    assert left == [f"{number}" for number in range(gone, 20)]
    assert 3 <= len(left) <= 5
    (decision,) = world.records.decisions("fraud")
    assert (decision.action, dict(decision.evidence)) == ("drop_refused", {"rows": float(gone)})


def test_refused_rows_are_given_out_in_pages_of_bytes(world: World) -> None:
    rows = [record(f"{number}", odd="x" * 60_000) for number in range(30)]
    for _ in range(10):
        rows = [row | {"prediction_id": row["prediction_id"] + "x"} for row in rows]
        world.send(json.dumps({"predictions": rows}).encode(), JSON)
    path = "/api/v1/models/fraud/quarantine?limit=1000"
    answer = world.client.get(path)
    assert 200 < len(answer.json()["quarantine"]) < 300
    assert len(answer.content) < 2**24 + 2**20
