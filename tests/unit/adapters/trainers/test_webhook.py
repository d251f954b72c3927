from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from homeostat.adapters.notifiers.http import Poster
from homeostat.adapters.notifiers.webhook import signature
from homeostat.adapters.trainers import remote
from homeostat.adapters.trainers.webhook import WebhookTrainer
from homeostat.domain.errors import DeliveryError
from homeostat.domain.model import ModelSpec
from homeostat.engine.ports import Trainer
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance import TRAINER_CHECKS
from homeostat.simulation.conformance.log import NOW
from trainings import FRAUD, ROWS, Service, request, training_service


@pytest.fixture
def service() -> Iterator[Service]:
    with training_service() as serving:
        yield serving


def trainer(service: Service, folder: Path, secret: str = "") -> WebhookTrainer:
    clock = SimulatedClock(NOW)
    poster = Poster("trainer", service.url, clock, timedelta(seconds=5))
    return WebhookTrainer(poster, folder / "runs", clock, secret)


@pytest.mark.parametrize("check", TRAINER_CHECKS, ids=lambda check: check.__name__)
def test_conforms(
    check: Callable[[Trainer, ModelSpec, pa.Table], None], service: Service, tmp_path: Path
) -> None:
    check(trainer(service, tmp_path), FRAUD, ROWS)


def test_every_request_is_signed(service: Service, tmp_path: Path) -> None:
    made = trainer(service, tmp_path, "secret")
    made.start(request(), FRAUD, ROWS)
    service.answers = [{"state": "running", "progress": 0.3}]
    assert made.poll("fraud", "run").progress == 0.3
    assert made.poll("fraud", "run").metrics == (("auc", 0.75),)
    service.answers = [{"state": "running"}]
    made.cancel("fraud", "run")
    asked = ["start", "state", "state", "state", "cancel"]
    assert service.actions == [(action, "run") for action in asked]
    for headers, body in service.asked:
        found = {name.lower(): value for name, value in headers.items()}
        expected = signature("secret", found["x-homeostat-timestamp"], body)
        assert found["x-homeostat-signature"] == expected
        assert "secret" not in body.decode()
    assert made.source() == "webhook 127.0.0.1"


def test_a_service_that_is_away_fails_no_training(service: Service, tmp_path: Path) -> None:
    made = trainer(service, tmp_path)
    service.answers = [503]
    with pytest.raises(DeliveryError):
        made.start(request(), FRAUD, ROWS)
    assert not made.poll("fraud", "run").done
    made.start(request(), FRAUD, ROWS)
    made.start(request(), FRAUD, ROWS)
    service.answers = [500, {"no": "state"}, ["list"]]
    assert [made.poll("fraud", "run").done for _ in range(3)] == [False, False, False]
    assert made.poll("fraud", "run").problem == ""


def test_there_are_never_two_though_the_service_was_away_when_one_was_cancelled(
    service: Service, tmp_path: Path
) -> None:
    made = trainer(service, tmp_path)
    made.start(request("one"), FRAUD, ROWS)
    service.answers = [503]
    with pytest.raises(DeliveryError):
        made.cancel("fraud", "one")
    (tmp_path / "runs" / "junk").mkdir()
    for name, text in (("started", ""), ("request.json", "[]")):
        (tmp_path / "runs" / "junk" / name).write_text(text)
    service.answers = [503]
    with pytest.raises(DeliveryError):
        made.start(request("two"), FRAUD, ROWS)
    service.answers = [{"state": "running"}]
    made.start(request("two"), FRAUD, ROWS)
    made.start(request("three"), FRAUD, ROWS)
    assert service.actions[-4:-1] == [("cancel", "one"), ("start", "two"), ("state", "two")]
    service.answers = [{"state": "running"}, 404]
    made.cancel("fraud", "three")
    assert [run for action, run in service.actions if action == "start"] == ["one", "two", "three"]


def test_a_refusal_is_the_outcome(service: Service, tmp_path: Path) -> None:
    made = trainer(service, tmp_path)
    service.answers = [403]
    made.start(request(), FRAUD, ROWS)
    assert "cannot begin: trainer 127.0.0.1 answered 403" in made.poll("fraud", "run").problem


def test_a_failure_is_told_and_a_hanging_run_is_cancelled(service: Service, tmp_path: Path) -> None:
    made = trainer(service, tmp_path)
    made.start(request(), FRAUD, ROWS)
    service.answers = [{"state": "failed", "problem": "no \x1b[31mGPU"}]
    assert made.poll("fraud", "run").problem == "no \\x1b[31mGPU"
    late = replace(made, limit=timedelta(hours=1))
    service.answers = [{"state": "running"}] * 3
    assert not late.poll("fraud", "run").done
    assert isinstance(late.clock, SimulatedClock)
    late.clock.advance(timedelta(hours=2))
    assert late.poll("fraud", "run").problem == "training took longer than 1:00:00"
    assert service.actions[-1] == ("cancel", "run")


def test_who_waits_looks_again(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "NEXT_LOOK", 0.01)
    made = replace(trainer(service, tmp_path), wait=True)
    made.start(request(), FRAUD, ROWS)
    service.answers = [{"state": "running"}] * 2
    assert made.poll("fraud", "run").problem == ""
