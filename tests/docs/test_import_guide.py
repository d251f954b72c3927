"""The commands and settings in the guide to imports do what it says."""

import json
import re
import shlex
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.entrypoints.bootstrap import open_deployment
from homeostat.entrypoints.cli import run
from homeostat.entrypoints.settings import load

GUIDE = (Path(__file__).parents[2] / "docs/guide/import.md").read_text()
COMMANDS = re.findall(r"^    homeostat (import .+)$", GUIDE, re.MULTILINE)
SETTINGS = re.findall(r"^```yaml\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
CONFIG = """\
models:
  - name: fraud
    task: binary
    features: {amount: numeric}
    outcomes: [lost]
    labels: {maturity: 30d}
"""


def test_its_commands_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "homeostat.yaml").write_text(CONFIG)
    (tmp_path / "backfill").mkdir()
    (tmp_path / "payloads").mkdir()
    now = SystemClock().now() - timedelta(hours=1)
    rows = {
        "prediction_id": ["a", "b"],
        "timestamp": [now] * 2,
        "score": [0.5] * 2,
        "amount": [1, 2],
    }
    pq.write_table(pa.table(rows), tmp_path / "backfill" / "a.parquet")
    (tmp_path / "chargebacks.csv").write_text("prediction_id,is_chargeback\na,1\n")
    (tmp_path / "losses.csv").write_text("prediction_id,lost\na,12.5\n")
    call = {
        "databricks_request_id": "c",
        "request": '{"dataframe_records": [{"amount": 1}]}',
        "response": '{"predictions": [0.25]}',
        "timestamp_ms": int(now.timestamp() * 1000),
    }
    (tmp_path / "payloads" / "a.jsonl").write_text(json.dumps(call))
    assert len(COMMANDS) == 4
    assert [run(shlex.split(command)) for command in COMMANDS] == [0] * 4
    deployment = open_deployment(load(tmp_path / "homeostat.yaml"), SystemClock())
    status = deployment.log.status()
    deployment.close()
    assert (status.predictions, status.labels) == (3, 1)


def test_its_settings_are_settings(tmp_path: Path) -> None:
    (path := tmp_path / "homeostat.yaml").write_text(CONFIG + SETTINGS[1])
    assert load(path).server.rows_per_second == 5000
    line = next(line for line in SETTINGS[0].splitlines() if "folder" in line)
    path.write_text(CONFIG.replace("    labels: {maturity: 30d}", line))
    assert load(path).label_folder("fraud") == tmp_path / "incoming" / "fraud"
