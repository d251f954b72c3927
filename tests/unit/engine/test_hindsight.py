from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.domain.model import (
    Column,
    ColumnKind,
    LabelSpec,
    ModelSpec,
    ModelVersion,
    Schema,
    Task,
)
from homeostat.domain.record import LABEL_SCHEMA, TIMESTAMP, prediction_schema
from homeostat.domain.window import Window
from homeostat.engine.cohort import Outcomes, cohorts, outcomes
from homeostat.engine.hindsight import Hindsight, unseen
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryRegistry, MemoryScorer

DAY = timedelta(days=1)
START = datetime(2024, 1, 10, tzinfo=UTC)
WINDOW = Window(START, START + DAY)
SPEC = ModelSpec(
    "m", Task.BINARY, Schema((Column("x", ColumnKind.NUMERIC),)), LabelSpec(timedelta(days=2))
)
COUNT = 6


def log() -> MemoryLog:
    """Six answers of version 1, of which version 2 shadowed the last two."""
    found = MemoryLog(SimulatedClock(START + 5 * DAY))
    for version, role, rows in (("1", "champion", range(COUNT)), ("2", "shadow", (4, 5))):
        known = {
            "prediction_id": [f"p{i}" for i in rows],
            "timestamp": [START + i * timedelta(hours=1) for i in rows],
            "entity": ["" for _ in rows],
            "version": [version for _ in rows],
            "role": [role for _ in rows],
            "tier": ["model" for _ in rows],
            "reason": ["" for _ in rows],
            "score": [0.5 for _ in rows],
            "prediction": [1.0 for _ in rows],
            "latency_ms": [None for _ in rows],
            "arm_share": [None for _ in rows],
            "x": [i / 10 for i in rows],
        }
        found.append(SPEC, pa.table(known, prediction_schema(SPEC)))
    labels = {
        "prediction_id": [f"p{i}" for i in range(COUNT)],
        "label": [float(i % 2) for i in range(COUNT)],
        "arrival": pa.array([START + DAY] * COUNT, TIMESTAMP),
    }
    found.append_labels(SPEC, pa.table(labels).select(LABEL_SCHEMA.names).cast(LABEL_SCHEMA))
    return found


def registry(folder: Path, **trained: datetime | None) -> MemoryRegistry:
    found = MemoryRegistry()
    for version, until in trained.items():
        artifact = folder / version
        artifact.write_text(version)
        card = ModelVersion("m", version.removeprefix("v"), "linear", "", START)
        found.register(replace(card, trained_until=until), artifact)
    return found


def matured(log: MemoryLog) -> Outcomes:
    return outcomes(log, SPEC, cohorts(SPEC)[0], WINDOW, START + 4 * DAY)


def scorer() -> MemoryScorer:
    return MemoryScorer({("m", "2"): lambda rows: np.asarray(rows["x"].to_numpy()) + 0.1})


def test_fills_what_a_version_has_not_scored_and_keeps_what_it_has(tmp_path: Path) -> None:
    kept = log()
    hindsight = Hindsight(kept, scorer(), registry(tmp_path, v2=START - DAY))
    before = matured(kept)
    after = hindsight.fill(SPEC, before, WINDOW, ("2",))
    own, other, labels = after.paired("1", "2")
    assert own.tolist() == [0.5] * COUNT
    assert other == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.5])
    assert labels.tolist() == [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
    assert before.paired("1", "2")[0].size == 2
    assert after.coverage == before.coverage
    again = hindsight.fill(SPEC, after, WINDOW, ("2",))
    assert again.rows.equals(after.rows)


@pytest.mark.parametrize("until", [None, START + timedelta(hours=1)])
def test_rows_that_it_may_have_been_trained_on_prove_nothing(
    tmp_path: Path, until: datetime | None
) -> None:
    kept = log()
    hindsight = Hindsight(kept, scorer(), registry(tmp_path, v2=until))
    assert hindsight.fill(SPEC, matured(kept), WINDOW, ("2",)).rows.equals(matured(kept).rows)


def test_a_version_that_is_unknown_or_cannot_score_has_no_evidence(tmp_path: Path) -> None:
    kept = log()
    hindsight = Hindsight(kept, scorer(), registry(tmp_path, v3=START - DAY))
    for version in ("3", "4"):
        filled = hindsight.fill(SPEC, matured(kept), WINDOW, (version,))
        assert filled.rows.equals(matured(kept).rows)


def test_the_version_that_was_judged_scores_what_its_refit_has_trained_on(tmp_path: Path) -> None:
    known = registry(tmp_path, v1=START - DAY, v2=START - DAY)
    (tmp_path / "refit").write_text("refit")
    card = ModelVersion("m", "", "linear", "", START, trained_until=START + DAY, judged="2")
    version = known.register(card, tmp_path / "refit").version
    assert unseen(known, "m", version, START) == "2"
    assert unseen(known, "m", version, START + DAY) == version
    assert unseen(known, "m", version, START - 2 * DAY) == ""
    filled = Hindsight(log(), scorer(), known).fill(SPEC, matured(log()), WINDOW, (version,))
    _, other, _ = filled.paired("1", version)
    assert other == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
