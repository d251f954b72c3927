from pathlib import Path

import numpy as np
import pytest

from homeostat.domain.effect import NotifyAction, StartTraining
from homeostat.domain.errors import ConflictError, DeliveryError, NotFoundError
from homeostat.domain.route import Route
from homeostat.engine.ports import Training
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, NOW, SPEC, predictions
from homeostat.simulation.conformance.raising import must_raise
from homeostat.simulation.conformance.wires import notice
from homeostat.simulation.fakes import (
    MemoryLog,
    MemoryNotifier,
    MemoryRecords,
    MemoryRoutes,
    MemoryScorer,
    MemoryTrainer,
)


def test_router_lists_every_change_once() -> None:
    router = MemoryRoutes()
    for version in ("1", "1", "2"):
        router.publish(Route("fraud", version))
    assert [route.champion for route in router.published] == ["1", "2"]


def test_notifier_fails_as_told_and_delivers_once() -> None:
    notifier = MemoryNotifier(failures=[DeliveryError("down", retry=True)])
    sent = notice(NotifyAction.TRIGGER)
    with pytest.raises(DeliveryError):
        notifier.send(sent)
    for _ in range(2):
        notifier.send(sent)
    assert len(notifier.attempts) == 3
    assert notifier.delivered == {sent.key: sent}


def test_running_training_can_be_cancelled(tmp_path: Path) -> None:
    trainer = MemoryTrainer(lambda *_: Training(done=True, artifact=tmp_path), polls=5)
    trainer.start(StartTraining("run", "fraud", "1", ALL, NOW), SPEC, predictions(["a"]))
    assert not trainer.poll("fraud", "run").done
    trainer.cancel("fraud", "run")
    assert trainer.poll("fraud", "run").problem == "cancelled"


def test_scorer_scores_with_the_version_asked_for() -> None:
    scorer = MemoryScorer({(SPEC.name, "1"): lambda rows: np.full(len(rows), 0.5)})
    assert scorer.score(SPEC, "1", predictions(["a", "b"])).tolist() == [0.5, 0.5]
    with pytest.raises(NotFoundError):
        scorer.score(SPEC, "2", predictions(["a"]))


def test_log_lists_what_it_refused() -> None:
    log = MemoryLog(SimulatedClock(NOW))
    log.append(SPEC, predictions(["a", ""]))
    ((model, entry),) = log.quarantine
    assert (model, entry.row, entry.column) == (SPEC.name, 1, "prediction_id")


def test_records_notice_a_change_between_two_loads() -> None:
    records = MemoryRecords(SimulatedClock(NOW))
    with records.begin() as slow:
        slow.load("a", Route)
        with records.begin() as quick:
            quick.save("a", Route("fraud"))
        with pytest.raises(ConflictError):
            slow.load("a", Route)


def test_conformance_checks_notice_what_is_not_raised() -> None:
    with pytest.raises(AssertionError, match="ValueError was not raised"), must_raise(ValueError):
        pass
