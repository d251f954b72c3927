"""`homeostat backup` and `homeostat restore`."""

import json
from pathlib import Path

import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.entrypoints.bootstrap import open_records
from homeostat.entrypoints.cli import run
from homeostat.entrypoints.settings import load
from unit.entrypoints.cli.test_cli import CONFIG


def test_a_deployment_moves_to_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.yaml").write_text(CONFIG + "data: old\n")
    Path("new.yaml").write_text(CONFIG + "data: new\n")
    assert run(["backup", "b.tar", "-c", "old.yaml"]) == 2
    assert "nothing is recorded" in capsys.readouterr().err
    open_records(load(Path("old.yaml")), SystemClock()).close()
    assert run(["token", "create", "me", "--scope", "read", "-c", "old.yaml"]) == 0
    capsys.readouterr()
    assert run(["backup", "b.tar", "-c", "old.yaml", "--copy"]) == 0
    assert capsys.readouterr().out.startswith("b.tar: backed up ")
    assert run(["restore", "b.tar", "-c", "new.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]["states"] == 1
    assert run(["token", "list", "-c", "new.yaml"]) == 0
    assert "me" in capsys.readouterr().out
    assert run(["restore", "b.tar", "-c", "new.yaml"]) == 2
    assert "never overwrites" in capsys.readouterr().err
