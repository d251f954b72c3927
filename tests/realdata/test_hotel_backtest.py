"""The hotel's history day by day: what the loop gains, and that it never looks ahead."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.domain.decision import Decision
from homeostat.entrypoints.backtest import ALONE, HOMEOSTAT, NAIVE, SHORT, Backtest, Result
from homeostat.entrypoints.history import read_history
from homeostat.entrypoints.settings import load

ROOT = Path(__file__).parents[2]
SETTINGS = load(ROOT / "examples" / "hotel" / "homeostat.yaml")
MODEL = SETTINGS.models[0].name
START = datetime(2015, 12, 1, tzinfo=UTC)
pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def history() -> pa.Table:
    data = Path(os.environ.get("HOMEOSTAT_DATA", ROOT.parent / "shared" / "data"))
    return read_history(SETTINGS, MODEL, data / "hotel_resort_dev.parquet")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hotel")


@pytest.fixture(scope="module")
def result(history: pa.Table, runs: Path) -> Result:
    return Backtest(SETTINGS, MODEL, history, START, runs).run()


def of(result: Result, *actions: str) -> list[Decision]:
    return [decision for decision in result.decisions if decision.action in actions]


def test_does_good_over_all_and_no_harm_in_any_month(result: Result) -> None:
    whole = {policy: found["brier"] for policy, found in result.months[-1].figures.items()}
    assert whole[HOMEOSTAT] < whole[ALONE] - 0.003
    assert whole[HOMEOSTAT] < whole[SHORT] - 0.05
    assert whole[HOMEOSTAT] < whole[NAIVE] + 0.01
    for month in result.months:
        assert month.figures[HOMEOSTAT]["brier"] < month.figures[ALONE]["brier"] + 0.005
    gap = result.months[-1].figures[HOMEOSTAT]["mean_score"] - result.months[-1].mean_label
    assert abs(gap) < 0.02


def test_the_naive_short_memory_wrecks_the_model(result: Result) -> None:
    whole = result.months[-1]
    assert whole.figures[SHORT]["mean_score"] > whole.mean_label + 0.1


def test_the_drop_of_january_is_found_once_its_labels_are_there(result: Result) -> None:
    fired = [d for d in of(result, "fire") if "performance_drop" in d.subject]
    maturity = SETTINGS.models[0].labels.maturity
    assert START + maturity < fired[0].at < datetime(2016, 6, 15, tzinfo=UTC)


def test_alarms_are_few(result: Result) -> None:
    rules = [decision.subject.split(":")[1] for decision in of(result, "fire")]
    assert len(rules) <= 4
    assert "volume_anomaly" not in rules
    assert "prediction_drift" not in rules


def test_promotes_what_is_proven_and_takes_nothing_back(result: Result) -> None:
    assert of(result, "promote")
    assert not of(result, "roll_back", "push")
    accepted = {decision.subject for decision in of(result, "accept_candidate", "refit")}
    assert {decision.subject for decision in of(result, "promote")} <= accepted


def test_trains_on_matured_rows_whose_labels_had_arrived(
    result: Result, history: pa.Table, runs: Path
) -> None:
    arrivals = dict(
        zip(history["prediction_id"].to_pylist(), history["arrival"].to_pylist(), strict=True)
    )
    maturity = SETTINGS.models[0].labels.maturity
    started = of(result, "start_training")
    assert len(started) > 2
    for decision in started:
        rows = pq.read_table(runs / "runs" / decision.subject / "rows.parquet")
        assert max(rows["timestamp"].to_pylist()) < decision.at - maturity
        assert max(arrivals[key] for key in rows["prediction_id"].to_pylist()) <= decision.at


def test_a_refit_guesses_what_is_not_known_yet_and_tells_no_secret(
    result: Result, history: pa.Table, runs: Path
) -> None:
    told = zip(
        *(history[name].to_pylist() for name in ("prediction_id", "arrival", "label")), strict=True
    )
    truth = {key: (arrival, label) for key, arrival, label in told}
    folders = [
        (decision.at, runs / "runs" / f"{decision.subject}-refit")
        for decision in of(result, "start_training")
    ]
    refits = [(at, folder) for at, folder in folders if folder.exists()]
    assert len(refits) >= len(of(result, "refit")) > 2
    for at, folder in refits:
        rows = pq.read_table(folder / "rows.parquet")
        assert max(rows["timestamp"].to_pylist()) < at
        columns = (rows[name].to_pylist() for name in ("prediction_id", "label", "training_weight"))
        waits: dict[str, list[float]] = {}
        for key, label, weight in zip(*columns, strict=True):
            arrival, final = truth[key]
            if arrival <= at:
                assert (label, weight) == (final, 1.0)
            else:
                waits.setdefault(key, []).append(weight)
        assert sum(len(weights) == 2 for weights in waits.values()) > 0.9 * len(waits)
        assert max(sum(weights) for weights in waits.values()) < 1.0 + 1e-9


def test_one_champion_at_all_times(result: Result, history: pa.Table) -> None:
    answered = result.answered
    live = [at for at in history["timestamp"].to_pylist() if at >= START]
    assert answered.num_rows == len(live)
    assert len(set(answered["prediction_id"].to_pylist())) == answered.num_rows
    reigns = [(d.at, d.subject) for d in of(result, "install", "promote")]
    ramps = [(d.at, d.subject) for d in of(result, "ramp")]
    times, versions = (answered[name].to_pylist() for name in ("timestamp", "version"))
    for at, version in zip(times, versions, strict=True):
        champion = [name for since, name in reigns if since <= at][-1]
        challengers = {name for since, name in ramps if since <= at}
        assert version == champion or version in challengers
