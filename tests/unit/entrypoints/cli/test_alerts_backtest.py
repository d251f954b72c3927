"""Alert rules are replayed on records and histories, and settings proposed for a budget."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.records import DatabaseRecords
from homeostat.alerting.silences import Matcher, Silences
from homeostat.domain.decision import Decision
from homeostat.domain.verdict import MetricPoint, Monitor, Status
from homeostat.domain.window import Window
from homeostat.engine.plan import MetricThreshold
from homeostat.engine.silencing import SILENCES
from homeostat.entrypoints.settings import load
from simulation.world import DAY, HOUR, MODEL, START
from unit.engine.diary import figures, hour, judged, limit
from unit.entrypoints.cli.test_cli import call
from unit.entrypoints.test_backtest import CONFIG as TOY
from unit.entrypoints.test_backtest import TRAINER, toy

WEEKS = 6
CONFIG = """\
server: {tick: 1h}
receivers:
  ops:
    type: slack
    url_env: SLACK
    quiet: [{start: "22:00", end: "06:00", zone: UTC}]
alerts:
  rules:
    shared: {metric: accuracy, below: 0.8, min_rows: 50}
models:
  - name: toy
    task: binary
    features: {signal: numeric, amount: {kind: numeric, min: 0}}
    labels: {maturity: 1d}
    monitors:
      thresholds:
        - {metric: auc, below: 0.8, min_rows: 10}
        - {metric: brier, above: 0.3, sure: true}
    alerts:
      rules:
        own: {metric: accuracy, below: 0.85, windows: 2, hold: 1h, severity: critical}
        slow: {metric: latency_p99, above: 500}
  - name: other
    task: binary
    features: {amount: numeric}
    labels: {maturity: 1d}
"""
KNOWN = """\
model,start,end,kind
toy,2024-01-31T00:00,2024-02-02,metric_threshold
toy,2024-02-10T12:00+02:00,2024-02-10T13:00Z,data_fault
toy,2023-01-01,2023-01-02,
"""
DIPS = {24 * 10 + n for n in range(20)} | {50 + 120 * n for n in range(8)}


def written() -> DatabaseRecords:
    return DatabaseRecords("sqlite:///homeostat-data/records.db", SystemClock())


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write six weeks: AUC dips now and then, and for long once; a day of poor accuracy a week."""
    folder = tmp_path_factory.mktemp("deployment")
    (folder / "homeostat.yaml").write_text(CONFIG)
    (folder / "known.csv").write_text(KNOWN)
    (folder / "homeostat-data").mkdir()
    records = DatabaseRecords(f"sqlite:///{folder}/homeostat-data/records.db", SystemClock())
    brier = MetricThreshold("brier limit", "brier", limit("brier", 0.3).config)
    with records.begin() as uow:
        uow.decide(
            Decision(MODEL, START, "ana", "install", "1", "first"),
            Decision(MODEL, hour(75), "homeostat", "fire", f"{MODEL}:metric_threshold:1", "low"),
            Decision(MODEL, hour(76), "homeostat", "fire", f"{MODEL}:metric_threshold:2", "low"),
        )
        values = [0.7 if n in DIPS else 0.9 for n in range(WEEKS * 168 - 40)]
        uow.judge(*figures(limit("auc", 0.8), values))
        uow.judge(*figures(brier, [0.35] * 30))
        uow.measure(*(point("brier", n, 0.35, HOUR) for n in range(30)))
        uow.measure(*(point("accuracy", 24 * n, 0.75 if n % 7 < 2 else 0.9) for n in range(39)))
        for end in range(1, WEEKS * 168):
            about = "availability"
            uow.judge(judged(Monitor.SERVICE, Status.OK, hour(end), about, reason=""))
    records.close()
    return folder


def test_silences_on_record_keep_people_asleep(here: Path) -> None:
    asked = ("alerts", "backtest", "-m", "toy", "--json")
    before = json.loads(call(*asked)[1])["receivers"][0]
    records = written()
    matcher = Matcher(rule="own")
    silences = Silences().add(
        matcher, "ana", "we know", (START, START + 29 * DAY), "ana", START - DAY
    )
    with records.begin() as uow:
        uow.save(SILENCES, silences)
    after = json.loads(call(*asked)[1])["receivers"][0]
    with records.begin() as uow:
        uow.delete(SILENCES)
    records.close()
    assert after["never"] - before["never"] == 4
    assert before["at_once"] - after["at_once"] == 4


def point(name: str, number: int, value: float, length: timedelta = DAY) -> MetricPoint:
    window = Window(hour(number), hour(number) + length)
    return MetricPoint(
        MODEL, "1", name, window, value, value - 0.02, value + 0.02, 100, 1.0, "matured"
    )


@pytest.fixture
def here(past: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(past)
    return past


def test_rules_are_replayed_on_what_is_on_record(here: Path) -> None:
    before = (here / "homeostat-data" / "records.db").read_bytes()
    code, out, err = call("alerts", "backtest", "-m", "toy")
    assert (code, err) == (0, "")
    assert (here / "homeostat-data" / "records.db").read_bytes() == before
    for text in (
        "2024-01-21 00:00 to 2024-03-02 23:00 UTC (6.0 weeks, 1,008 ticks)",
        "on record are 2; 1 of them fire at the same tick",
        "not replayed, for what they look at is not on record: slow",
        "metric_threshold  warning   9      1.5 (",
        "auc limit is 0.7, below the limit of 0.8",
        "false pages, missed incidents and delays are not known",
        "not known",
    ):
        assert text in out
    told = next(line for line in out.splitlines() if line.startswith("ops")).split()
    assert sum(map(int, told[1:4])) > int(told[1]) > 0
    again = call("alerts", "backtest", "-m", "toy")
    assert again == (code, out, err)


def test_the_truth_tells_false_ones_missed_ones_and_delays(here: Path) -> None:
    asked = ["alerts", "backtest", "-m", "toy", "--incidents", "known.csv"]
    _, out, _ = call(*asked)
    assert "known incidents: 1 found, 1 missed;" in out
    assert "outside of the past that was replayed" in out
    body = json.loads(call(*asked, "--json", "--grace", "30h")[1])
    score = body["score"]
    assert [(f["episode"]["rule"], f["delay"]) for f in score["found"]] == [
        ("metric_threshold", 25 * 3600.0)
    ]
    assert score["missed"][0]["start"] == "2024-02-10T10:00:00Z"
    figures_ = {f["rule"]: (f["pages"], f["false"]) for f in body["rules"]}
    assert figures_["metric_threshold"] == (9, 7)
    assert figures_["own"][0] == 6
    assert sum(body["weeks"]) == len(body["episodes"])
    assert (body["recorded"], body["same"]) == (2, 1)


def test_a_period_is_cut_out_and_what_was_open_before_is_known(here: Path) -> None:
    asked = ["alerts", "backtest", "-m", "toy", "--json"]
    body = json.loads(call(*asked, "--from", "2024-02-01T00:00", "--to", "2024-02-15")[1])
    assert (body["span"]["start"], body["span"]["end"][:16]) == (
        "2024-02-01T00:00:00Z", "2024-02-15T00:00"
    )  # fmt: skip
    whole = json.loads(call(*asked)[1])["episodes"]
    inside = [e for e in whole if "2024-02-01" <= e["began"] <= "2024-02-15"]
    assert [(e["rule"], e["began"]) for e in body["episodes"]] == [
        (e["rule"], e["began"]) for e in inside
    ]


def test_settings_are_proposed_and_can_be_pasted(here: Path, tmp_path: Path) -> None:
    asked = ["alerts", "tune", "-m", "toy", "--pages-per-week", "0.5"]
    code, out, err = call(*asked)
    assert (code, err) == (0, "")
    for text in (
        "pages a week now, over 6.0 weeks; the budget is 0.5",
        "warning: the history is too short for this budget: 6.0 weeks; 6 without",
        "metric_threshold: auc limit",
        "windows 2, now 1" if "windows 2, now 1" in out else "below 0.7, now 0.8",
        "with all that is proposed: ",
        "missed incidents and delays are not known",
    ):
        assert text in out
    lines = yaml.safe_load(out[out.index("# in homeostat.yaml") :])
    (proposed,) = lines["models"]
    changed = yaml.safe_load(CONFIG)
    assert set(proposed) <= {"name", "monitors", "alerts"}
    changed["models"][0]["monitors"] |= proposed["monitors"]
    changed["models"][0]["alerts"]["rules"] |= proposed["alerts"].get("rules", {})
    (tmp_path / "homeostat.yaml").write_text(yaml.safe_dump(changed))
    load(tmp_path / "homeostat.yaml")
    assert "alerts" not in lines  # other models share that rule
    assert "shared" in proposed["alerts"]["rules"]
    assert proposed["alerts"]["rules"]["own"]["severity"] == "critical"


def test_the_cost_is_told_where_the_truth_is(here: Path) -> None:
    asked = ["alerts", "tune", "-m", "toy", "--pages-per-week", "1"]
    asked += ["--incidents", "known.csv"]
    _, out, _ = call(*asked)
    assert "; incidents found: 1, missed: 1, false pages: " in out, out
    body = json.loads(call(*asked, "--json", "--false-only")[1])["models"][0]
    assert body["only_false"]
    assert "fired outside of them: " in call("alerts", "backtest", *asked[2:4], *asked[6:8])[1]
    best = [a["best"] for a in body["advised"]["advice"] if a["best"]]
    assert {b["missed"] for b in best} == {1}


def test_nothing_to_do_is_said(here: Path) -> None:
    asked = ("alerts", "tune", "-m", "toy", "--pages-per-week", "50")
    code, out, _ = call(*asked)
    assert (code, "homeostat.yaml" in out, "warning" in out) == (0, False, False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--from", "2024-02-02", "--to", "2024-02-01"], "is not after --from"),
        (["--from", "2031-02-02"], "nothing is recorded of toy since 2031"),
        (["--to", "2020-02-02"], "nothing is recorded of toy before 2020"),
        (["--from", "2024-05-02"], "nothing was judged of toy from 2024-05-02 on"),
        (["--incidents", "none.csv"], "there is no file none.csv"),
        (["--grace", "soon"], "is not a duration"),
        (["-m", "tou"], "did you mean 'toy'?"),
    ],
    ids=["reversed", "future", "past", "rest", "no-file", "grace", "model"],
)
def test_mistakes_are_named(here: Path, given: list[str], said: str) -> None:
    if "-m" not in given:
        given = [*given, "-m", "toy"]
    code, _, err = call("alerts", "backtest", *given)
    assert (code, said in err) == (2, True), err


def test_a_model_of_which_nothing_is_known_is_named(here: Path) -> None:
    code, _, err = call("alerts", "backtest")
    assert (code, "nothing is recorded of other" in err) == (2, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--pages-per-week", "0"], "0"),
        (["--pages-per-week", "nan"], "'nan' is not a finite number"),
        ([], "--pages-per-week"),
        (["--pages-per-week", "1", "--false-only"], "needs --incidents"),
        (["--pages-per-week", "1", "--from", "2024-02-20"], "weeks are too short to propose"),
    ],
    ids=["zero", "nan", "none", "false-only", "short"],
)
def test_mistakes_in_tuning_are_named(here: Path, given: list[str], said: str) -> None:
    code, _, err = call("alerts", "tune", "-m", "toy", *given)
    assert (code, said in err) == (2, True), err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model,start\n", "has no column 'end'"),
        ("", "has no column 'model'"),
        ("model,start,end\ntou,2024-02-01,2024-02-02\n", "known.csv:2: no model is named 'tou'"),
        ("model,start,end\ntoy,2024-02-03,2024-02-02\n", "ends at 2024-02-02, not after"),
        ("model,start,end\ntoy,yesterday,2024-02-02\n", "start is 'yesterday'; write it like"),
        ("model,start,end\ntoy,2024-02-01\n", "has not as many fields"),
        ("model,start,end\ntoy,2024-02-01,2024-02-02,x\n", "has not as many fields"),
        ("model,start,end,kind\ntoy,2024-02-01,2024-02-02,data_drif\n", "did you mean"),
        ('model,start,end\n"toy,2024-02-01,2024-02-02\n', "is no CSV"),
        ("\udcff", "cannot be read"),
    ],
    ids=[
        "no-end", "empty", "model", "reversed", "time", "few", "many", "kind", "quote", "bytes",
    ],
)  # fmt: skip
def test_bad_truth_is_named_by_its_line_before_anything_is_read(
    tmp_path: Path, text: str, said: str
) -> None:
    config, file = tmp_path / "homeostat.yaml", tmp_path / "known.csv"
    config.write_text(CONFIG)
    file.write_text(text, errors="surrogateescape")
    asked = ["alerts", "backtest", "-c", str(config), "-m", "toy", "--incidents", str(file)]
    code, _, err = call(*asked)
    assert (code, said in err) == (2, True), err


def test_an_incident_without_an_end_goes_on_and_other_models_are_left_out(here: Path) -> None:
    file = here / "open.csv"
    file.write_text("kind,model, start ,end\n,toy,2024-02-29T12:00,\n,other,2024-02-01,2024-02-02\n"
                    ",toy,2030-01-01,\n")  # fmt: skip
    asked = [
        "alerts",
        "backtest",
        "-m",
        "toy",
        "--incidents",
        str(file),
        "--json",
    ]
    score = json.loads(call(*asked)[1])["score"]
    assert len(score["found"]) + len(score["missed"]) == 1
    assert score["outside"] == []


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("owner")
    low = "      thresholds: [{metric: accuracy, below: 0.83, min_rows: 30}]\n"
    (made / "homeostat.yaml").write_text(TOY.replace("    monitors:\n", f"    monitors:\n{low}"))
    (made / "train.py").write_text(TRAINER)
    pq.write_table(pa.table(toy()), made / "history.parquet")
    return made


def test_a_history_is_lived_through_first(owner: Path) -> None:
    files = ["-c", str(owner / "homeostat.yaml"), str(owner / "history.parquet")]
    period = ["--from", "2024-02-05", "--to", "2024-02-13", "--every", "1d"]
    code, out, err = call("alerts", "backtest", *files, *period, "--json")
    assert (code, err) == (0, "")
    body = json.loads(out)
    assert [e["rule"] for e in body["episodes"]] == ["metric_threshold", "performance_drop"]
    assert "recorded" not in body
    assert body["span"]["end"] < "2024-02-13T00:00:01Z"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--from", "2024-02-06", "--to", "2024-02-01"], "is not after --from"),
        (["--from", "2023-01-01", "--to", "2023-02-01"], "has no rows before --to 2023-02-01"),
        (["--from", "2031-01-01"], "is not inside the history"),
        (["--every", "0s"], "--every"),
    ],
    ids=["reversed", "before", "after", "every"],
)
def test_periods_outside_of_the_history_are_named(owner: Path, given: list[str], said: str) -> None:
    files = ["-c", str(owner / "homeostat.yaml"), str(owner / "history.parquet")]
    code, _, err = call("alerts", "backtest", *files, *given)
    assert (code, said in err) == (2, True), err


def test_an_empty_history_is_named(owner: Path, tmp_path: Path) -> None:
    pq.write_table(pa.table(toy()).slice(0, 0), tmp_path / "empty.parquet")
    files = ["-c", str(owner / "homeostat.yaml"), str(tmp_path / "empty.parquet")]
    code, _, err = call("alerts", "backtest", *files)
    assert code == 2, err


@pytest.mark.parametrize("command", [["backtest"], ["tune", "--pages-per-week", "1"]])
def test_a_step_without_a_history_is_refused(here: Path, command: list[str]) -> None:
    code, _, err = call("alerts", *command, "--every", "6h")
    assert (code, "--every is for HISTORY" in err) == (2, True), err


def test_help_lists_both(here: Path) -> None:
    out = call("alerts", "--help")[1]
    assert "backtest" in out
    assert "Propose settings for a budget of pages." in out
    assert "ack" in out
    assert call("alerts", "nothing")[0] == 2
