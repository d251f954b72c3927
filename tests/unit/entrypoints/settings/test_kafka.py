"""What the kafka section of homeostat.yaml may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from homeostat.domain.errors import ConfigError
from homeostat.entrypoints.settings import load

CONFIG = """\
models:
  - name: fraud
    task: binary
    features: {amount: numeric}
    labels: {maturity: 1d}
kafka:
  brokers: [b1:9092, "[::1]:9093"]
  topics: [{topic: p, model: fraud, rows: predictions}]
"""


def write(folder: Path, old: str = "", new: str = "") -> Path:
    file = folder / "homeostat.yaml"
    assert old in CONFIG
    file.write_text(CONFIG.replace(old, new) if old else CONFIG + new)
    return file


def test_what_is_not_said_has_a_default(tmp_path: Path) -> None:
    kafka = load(write(tmp_path)).kafka
    assert kafka is not None
    assert (kafka.group, kafka.start, kafka.port, kafka.tls) == (
        "homeostat",
        "earliest",
        8422,
        False,
    )
    assert kafka.topics[0].format == "json"


TWICE = "rows: predictions}, {topic: p, model: fraud, rows: labels}]"
WRONG = {
    "port": ("b1:9092", "b1", r"kafka\.brokers\.0: is not host:port; write it like kafka-1:9092"),
    "password in address": ("b1:9092", "me:secret@b1:9092", r"is not host:port"),
    "model": ("model: fraud, r", "model: frau, r", r"no model is named 'frau'; did you mean"),
    "kind": ("rows: predictions", "rows: prediction", r"'prediction' is not known"),
    "twice": ("rows: predictions}]", TWICE, r"topics\.1\.topic: 'p' stands at topics\.0, too"),
    "ours": ("", "  options: {group.id: x}\n", r"options\.group\.id: is not free"),
    "secret": ("", "  options: {sasl.password: x}\n", r"may hold a secret; name environment"),
    "key": ("", "  options: {ssl.key.password: x}\n", r"may hold a secret"),
    "pem": ("", "  options: {ssl.key.pem: x}\n", r"may hold a secret"),
    "ca": ("", "  ca: ca.pem\n", r"kafka\.ca: needs tls: true"),
    "variable": ("", "  sasl: {username_env: U, password_env: 'pa ss'}\n", r"is not the name"),
}


@pytest.mark.parametrize(("old", "new", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_is_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as told:
        load(write(tmp_path, old, new))
    assert "pa ss" not in str(told.value)
    assert "secret@" not in str(told.value)


def test_options_reach_the_client_as_they_are(tmp_path: Path) -> None:
    options = "  options: {client.rack: a, fetch.wait.max.ms: 50, check.crcs: true}\n"
    kafka = load(write(tmp_path, "", options)).kafka
    assert kafka is not None
    assert kafka.options == {"client.rack": "a", "fetch.wait.max.ms": 50, "check.crcs": True}
    assert kafka.options["check.crcs"] is True
