from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflows import USER, FakeAirflow, airflow
from homeostat.adapters.trainers.airflow import AirflowTrainer, dag_run_id
from homeostat.adapters.trainers.airflow_api import AirflowApi, Login
from homeostat.adapters.trainers.child import main as train
from homeostat.domain.effect import StartTraining
from homeostat.domain.errors import ConfigError, DeliveryError
from homeostat.domain.model import ModelSpec
from homeostat.domain.window import Window
from homeostat.engine.ports import Trainer, Training
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance import TRAINER_CHECKS
from homeostat.simulation.conformance.log import NOW, SPEC, predictions

ROWS = predictions(["a", "b"]).append_column("label", pa.array(np.zeros(2)))
BODY = (
    "def train(rows, spec, out):\n    (out / 'model.json').write_text('{}')\n    return {'n': 2}\n"
)


@pytest.fixture
def fake() -> Iterator[FakeAirflow]:
    with airflow() as serving:
        yield serving


def request(run_id: str = "fraud-0001") -> StartTraining:
    return StartTraining(run_id, "fraud", "1", Window(NOW - timedelta(days=1), NOW), NOW)


def trainer(fake: FakeAirflow, folder: Path, dag: str = "train") -> AirflowTrainer:
    (folder / "train.py").write_text(BODY)
    api = AirflowApi(fake.url, "given", timedelta(seconds=5))
    function = f"{folder / 'train.py'}:train"
    return AirflowTrainer(api, dag, folder / "runs", SimulatedClock(NOW), function)


def work(fake: FakeAirflow) -> None:
    """Do what the DAG's worker does, for all runs that wait."""
    for run in fake.runs.values():
        if run["state"] == "queued":
            train(Path(run["conf"]["folder"]))
            run["state"] = "success"


class Working(AirflowTrainer):
    """One whose Airflow works between two polls."""

    fake: FakeAirflow

    def poll(self, model: str, run_id: str) -> Training:
        work(self.fake)
        return super().poll(model, run_id)


@pytest.mark.parametrize("check", TRAINER_CHECKS, ids=lambda check: check.__name__)
def test_conforms(
    check: Callable[[Trainer, ModelSpec, pa.Table], None], fake: FakeAirflow, tmp_path: Path
) -> None:
    plain = trainer(fake, tmp_path)
    made = Working(plain.api, plain.dag, plain.root, plain.clock, plain.function)
    made.fake = fake
    check(made, ModelSpec("fraud", SPEC.task, SPEC.schema, SPEC.labels), ROWS)


def test_one_run_whoever_starts_it_again(fake: FakeAirflow, tmp_path: Path) -> None:
    made = trainer(fake, tmp_path)
    made.start(request(), SPEC, ROWS)
    (made.root / "fraud-0001" / "started").unlink()  # it died before it noted the answer
    again = trainer(fake, tmp_path)
    again.start(request(), SPEC, ROWS)
    again.start(request(), SPEC, ROWS)
    assert list(fake.runs) == [("train", "fraud-0001")]
    assert fake.asked == ["POST /api/v2/dags/train/dagRuns"] * 2, "the second was a conflict"
    conf = fake.runs["train", "fraud-0001"]["conf"]
    assert (conf["model"], conf["run_id"], conf["parent"]) == ("fraud", "fraud-0001", "1")
    assert pq.read_table(Path(conf["folder"]) / "rows.parquet").equals(ROWS)
    work(fake)
    found = again.poll("fraud", "fraud-0001")
    assert (found.done, found.problem, found.metrics) == (True, "", (("n", 2.0),))
    assert found.artifact == made.root / "fraud-0001" / "artifact"


def test_airflow_away_fails_nothing(fake: FakeAirflow, tmp_path: Path) -> None:
    made = trainer(fake, tmp_path)
    for mood in ("drop", 503, 429):
        fake.moods = [mood]
        with pytest.raises(DeliveryError) as raised:
            made.start(request(), SPEC, ROWS)
        assert raised.value.retry
        assert made.poll("fraud", "fraud-0001") == Training(done=False), "its start waits"
    made.cancel("fraud", "fraud-0001")
    made.start(request(), SPEC, ROWS)
    for mood in ("drop", 500, 200):
        fake.moods = [mood]
        assert made.poll("fraud", "fraud-0001") == Training(done=False)
    fake.moods = ["drop"]
    with pytest.raises(DeliveryError) as raised:
        made.cancel("fraud", "fraud-0001")
    assert raised.value.retry
    work(fake)
    assert made.poll("fraud", "fraud-0001").problem == ""


def test_a_refusal_is_the_outcome_and_is_remembered(fake: FakeAirflow, tmp_path: Path) -> None:
    trainer(fake, tmp_path, "absent").start(request(), SPEC, ROWS)
    again = trainer(fake, tmp_path, "absent")
    again.start(request(), SPEC, ROWS)
    found = again.poll("fraud", "fraud-0001")
    assert found.done
    assert "answered 404" in found.problem
    assert len(fake.asked) == 1


def test_a_disk_that_takes_nothing(fake: FakeAirflow, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where the folder should be")
    made = trainer(fake, tmp_path)
    made.start(request(), SPEC, ROWS)
    assert made.poll("fraud", "fraud-0001").problem.startswith("the training cannot begin")
    assert not fake.runs


def test_a_run_that_takes_too_long_is_stopped(fake: FakeAirflow, tmp_path: Path) -> None:
    made = trainer(fake, tmp_path)
    made.start(request(), SPEC, ROWS)
    assert made.poll("fraud", "fraud-0001") == Training(done=False)
    assert isinstance(made.clock, SimulatedClock)
    made.clock.advance(timedelta(hours=7))
    assert made.poll("fraud", "fraud-0001").problem == "training took longer than 6:00:00"
    assert fake.runs["train", "fraud-0001"]["state"] == "failed"
    assert made.poll("fraud", "fraud-0001").done


def test_a_run_that_is_gone_has_failed(fake: FakeAirflow, tmp_path: Path) -> None:
    made = trainer(fake, tmp_path)
    made.start(request(), SPEC, ROWS)
    fake.runs.clear()
    assert made.poll("fraud", "fraud-0001").problem == "airflow knows the DAG run no more"
    made.api.fail("train", "fraud-0001")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "unreadable"),
        ("[]", "no object"),
        ('{"problem": "\\u001b[31mred"}', "\\x1b[31mred"),
        ("{}", "no known kind"),
    ],
    ids=["cut", "list", "hostile", "no artifact"],
)
def test_results_that_are_none(fake: FakeAirflow, tmp_path: Path, text: str, said: str) -> None:
    made = trainer(fake, tmp_path)
    made.start(request(), SPEC, ROWS)
    (made.root / "fraud-0001" / "result.json").write_text(text)
    fake.runs["train", "fraud-0001"]["state"] = "success"
    assert said in made.poll("fraud", "fraud-0001").problem
    fake.runs["train", "fraud-0001"]["state"] = "failed"
    assert made.poll("fraud", "fraud-0001").problem


def test_a_failed_run_with_a_model_has_failed(fake: FakeAirflow, tmp_path: Path) -> None:
    made = trainer(fake, tmp_path)
    made.start(request(), SPEC, ROWS)
    folder = made.root / "fraud-0001"
    train(folder)
    (folder / "result.json").write_text(json.dumps({"metrics": {"a": 1, "b": "x", "c": None}}))
    fake.runs["train", "fraud-0001"]["state"] = "success"
    assert made.poll("fraud", "fraud-0001").metrics == (("a", 1.0),)
    fake.runs["train", "fraud-0001"]["state"] = "failed"
    assert made.poll("fraud", "fraud-0001") == Training(done=True, problem="the DAG run failed")


def test_tokens_that_end_are_asked_for_again(fake: FakeAirflow) -> None:
    api = AirflowApi(fake.url, Login(USER["username"], USER["password"]), timedelta(seconds=5))
    api.start("train", "one", {})
    fake.tokens.clear()
    assert api.state("train", "one") == "queued"
    assert fake.asked.count("POST /auth/token") == 2
    assert USER["password"] not in repr(api)


def test_logins_that_do_not_work(fake: FakeAirflow) -> None:
    with pytest.raises(DeliveryError, match="401"):
        AirflowApi(fake.url, Login("homeostat", "wrong")).state("train", "one")
    with pytest.raises(DeliveryError, match="401"):
        AirflowApi(fake.url, "wrong").state("train", "one")
    fake.moods = [200]
    with pytest.raises(DeliveryError, match="something else than JSON"):
        AirflowApi(fake.url, Login("homeostat", "x")).state("train", "one")


@pytest.mark.parametrize("url", ["ftp://a", "nonsense", "http://u:p@a"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(ConfigError, match="address of Airflow"):
        AirflowApi(url, "t")


@given(st.text(max_size=8), st.text(max_size=8))
def test_run_ids_stay_apart(one: str, other: str) -> None:
    assert (dag_run_id(one) == dag_run_id(other)) == (one == other)
