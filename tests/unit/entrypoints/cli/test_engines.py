"""Commands on windows of a deployment's log, and on other engines."""

import json
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import homeostat as hs
from deployed import MONDAY, deploy, opened, rows
from homeostat.domain.window import Window
from homeostat.entrypoints.cli import run
from homeostat.entrypoints.logged import LogWindow
from homeostat.entrypoints.settings import load
from homeostat.profiles.format import to_bytes

FIRST, SECOND = "log:fraud@2026-10-05", "log:fraud@2026-10-06/2026-10-08"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deploy(tmp_path_factory.mktemp("deployed"), 80)


@pytest.fixture
def config(deployed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(deployed.parent)
    return deployed


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = run(list(arguments))
    out, err = capsys.readouterr()
    return code, out + err if code else out


@pytest.mark.parametrize("engine", ["local", "dask"])
def test_windows_of_a_log_can_be_named_where_data_is(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: str
) -> None:
    file = tmp_path / "monday.profile"
    code, out = call(capsys, "profile", FIRST, "-o", str(file), "--engine", engine)
    assert code == 0, out
    kept = hs.profile(LogWindow.parse(FIRST, config))
    assert to_bytes(hs.load_profile(file)) == to_bytes(kept)
    code, out = call(capsys, "compare", FIRST, SECOND, "--json", "--engine", engine)
    assert json.loads(out)["n_reference"] == kept.rows
    code, out = call(
        capsys, "evaluate", SECOND, "--window", "1d", "--json", "--engine", engine, "--as-of",
        "2026-10-09",
    )  # fmt: skip
    found = json.loads(out)
    assert found["as_of"] == "2026-10-09T00:00:00+00:00"
    assert {figure["by"] for figure in found["figures"]} == {
        "overall", "window", "version", "country",
    }  # fmt: skip


def test_another_deployment_is_named_by_its_configuration(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert call(capsys, "evaluate", FIRST)[0] == 2
    assert call(capsys, "evaluate", FIRST, "-c", str(config))[0] == 0


def test_hours_are_made_anew(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("data", "backfill", "fraud", "--from", "2026-10-05")
    code, out = call(capsys, *asked, "--to", "2026-10-06", "--json", "--engine", "dask")
    assert code == 0, out
    first = json.loads(out)
    assert first["changed"] == first["left"] == 0
    assert 0 < first["hours"] <= 48
    code, out = call(capsys, *asked)
    assert out.endswith("0 hours left as they were\n")
    assert call(capsys, *asked, "--to", "2026-10-05")[0] == 2
    assert call(capsys, *asked, "--to", "2026-10-06T00:30")[0] == 2


def test_files_of_others_become_profiles_of_the_log(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = rows(5, 50, 9)
    names = ["timestamp", "version", "score", "amount.net", "country", "new"]
    pq.write_table(raw.select(names), tmp_path / "raw.parquet")
    asked = ("data", "backfill", "fraud", "--files", str(tmp_path / "raw.parquet"))
    code, out = call(capsys, *asked, "--by-version", "version")
    assert code == 0, out
    settings = load(config)
    log, records = opened(settings)
    day = Window(MONDAY + timedelta(days=5), MONDAY + timedelta(days=6))
    assert log.profile(settings.model().spec(), day).rows == 50
    log.close()
    records.close()
    assert call(capsys, *asked)[0] == 2
    assert call(capsys, *asked, "--version", "1", "--by-version", "version")[0] == 2
    assert call(capsys, *asked, "--version", "1", "--from", "2026-10-02")[0] == 2
    assert call(capsys, "data", "backfill", "fraud")[0] == 2
    none = pa.table({"at": pa.array([], pa.timestamp("us"))})
    pq.write_table(none, tmp_path / "none.parquet")
    wrong = ("data", "backfill", "fraud", "--files", str(tmp_path / "none.parquet"))
    assert call(capsys, *wrong, "--version", "1", "--timestamp", "at")[0] == 2
