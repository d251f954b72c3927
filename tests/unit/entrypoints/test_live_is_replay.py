"""What a live deployment decided is decided again by a backtest of what it logged."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from homeostat.domain.decision import Decision
from homeostat.domain.record import LABEL_SCHEMA
from homeostat.domain.window import Window
from homeostat.engine.backtest import to_records
from homeostat.entrypoints.backtest import Backtest
from homeostat.entrypoints.bootstrap import open_deployment
from homeostat.entrypoints.elsewhere import adopt_elsewhere
from homeostat.entrypoints.history import read_history
from homeostat.entrypoints.settings import Settings, load
from homeostat.simulation.clock import SimulatedClock
from unit.entrypoints.test_elsewhere import A_DAY, START, world, written

DAY = timedelta(days=1)
BEGIN, END = START + 15 * DAY, START + 26 * DAY


def between(rows: pa.Table, name: str, since: datetime, until: datetime) -> pa.Table:
    return rows.filter((pc.field(name) >= since) & (pc.field(name) < until))


def live(settings: Settings, rows: pa.Table, folder: Path) -> tuple[Sequence[Decision], pa.Table]:
    """Run a deployment on disk; return what it decided, and its log at the end."""
    clock = SimulatedClock(BEGIN)
    opened = open_deployment(settings, clock, durable=False)
    ports = opened.ports()
    plan = opened.plans["late"]
    spec = plan.spec
    labels = rows.select(list(LABEL_SCHEMA.names)).sort_by("arrival")
    past = between(rows, "timestamp", START, BEGIN)
    adopt_elsewhere(plan, ports, past, "1", folder, BEGIN, logged=True)
    moment = BEGIN
    opened.log.append(spec, to_records(spec, past, past["score"].to_numpy(), "1", "champion"))
    opened.log.append_labels(spec, between(labels, "arrival", START, BEGIN))
    engine = opened.engine(ports)
    assert not engine.tick(moment)
    while moment < END:
        since, moment = moment, moment + DAY
        clock.set(moment)
        part = between(rows, "timestamp", since, moment)
        # A gateway appends a few rows at a time, not a day.
        for first in range(0, part.num_rows, 30):
            few = part.slice(first, 30)
            opened.log.append(spec, to_records(spec, few, few["score"].to_numpy(), "1", "champion"))
        opened.log.append_labels(spec, between(labels, "arrival", since, moment))
        assert not engine.tick(moment)
    logged = opened.log.labelled(spec, Window(START, END), END)
    decisions = ports.records.decisions("late")
    opened.close()
    return decisions, logged


@pytest.mark.slow
@pytest.mark.unwatched
def test_a_recorded_live_run_is_replayed_byte_by_byte(tmp_path: Path) -> None:
    file = written(tmp_path, world(changed=19).slice(0, 26 * A_DAY))
    settings = load(tmp_path / "homeostat.yaml")
    done, logged = live(settings, read_history(settings, "late", file), tmp_path / "artifact")
    assert [d.action for d in done].count("fire") >= 1
    kept = logged.select(["prediction_id", "timestamp", "amount", "country", "label", "arrival"])
    names = ["prediction_id", "timestamp", "amount", "country", "label", "label_timestamp"]
    table = kept.rename_columns(names).append_column("p", logged["score"])
    pq.write_table(table, tmp_path / "logged.parquet")
    rows = read_history(settings, "late", tmp_path / "logged.parquet")
    again = Backtest(settings, "late", rows, BEGIN, tmp_path / "runs").run().decisions
    assert written_down(done) == written_down(again)


def written_down(decisions: Sequence[Decision]) -> bytes:
    return b"\n".join(orjson.dumps(asdict(decision)) for decision in decisions)
