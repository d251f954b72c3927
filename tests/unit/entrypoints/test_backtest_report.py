"""What a backtest says beside its figures: truth, costs, a page, and settings for a budget."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.entrypoints.cli import run
from unit.entrypoints.test_elsewhere import START, world, written

CHANGED = 28


def day(number: int) -> str:
    return f"{START + timedelta(days=number):%Y-%m-%d}"


def call(folder: Path, *more: str) -> int:
    files = (str(folder / "homeostat.yaml"), str(folder / "history.parquet"))
    return run(["backtest", *files, *more])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("told")
    written(made, world(CHANGED))
    lines = (
        "model,start,end,kind",
        f"late,{day(1)},{day(2)},",
        f"late,{day(21)},{day(22)},data_drift",
        f"late,{day(CHANGED)},,",
    )
    (made / "known.csv").write_text("\n".join(lines))
    (made / "other.csv").write_text(f"model,start,end\nlate,{day(20)},{day(21)}\n")
    return made


def test_alarms_are_held_to_known_incidents(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = folder / "page.html"
    given = ("--incidents", str(folder / "known.csv"), "--html", str(page))
    assert call(folder, *given, "--label-price", "2", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    (alarm,) = told["alarms"]["episodes"]
    assert alarm["rule"] == "performance_drop"
    assert alarm["false"] is False
    assert 86_400 <= alarm["delay"] <= 6 * 86_400
    assert told["alarms"]["delay"] == alarm["delay"]
    # That of the first days lies before what was lived through.
    assert (told["alarms"]["precision"], told["alarms"]["recall"]) == (1.0, 0.5)
    assert [missed["kind"] for missed in told["alarms"]["missed"]] == ["data_drift"]
    assert told["costs"] == {"left alone": {"retrainings": 0, "labels": 0, "cost": 0.0}}
    shown = page.read_text()
    for words in ("1 alarm; precision 100 %, recall 50 %", "performance_drop", "outside of what",
                  "brier by month", "served elsewhere", "<svg"):  # fmt: skip
        assert words in shown
    assert "<script" not in shown


def test_an_alarm_near_no_incident_is_false(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(folder, "--truth", str(folder / "other.csv")) == 0
    told = capsys.readouterr().out
    assert "1 alarm; precision 0 %, recall 0 %, median delay not known" in told
    assert "  false  " in told
    assert "missed" in told
