"""Effects are done at least once, in order, and never silently dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from homeostat.domain.decision import Severity
from homeostat.domain.effect import CancelTraining, Effect, Notify, NotifyAction, StartTraining
from homeostat.domain.errors import DeliveryError, StorageError
from homeostat.domain.model import ModelSpec
from homeostat.domain.window import Window
from homeostat.engine.act import (
    FIRST_WAIT,
    LONGEST_REST,
    LONGEST_WAIT,
    MOST_AT_ONCE,
    MOST_ATTEMPTS,
    Dispatcher,
)
from homeostat.engine.ports import Settled, Training
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryNotifier, MemoryRecords, MemoryTrainer
from simulation.world import DAY, MODEL, SPEC, START

FINISHED = Training(True, Path())
REQUEST = StartTraining("toy-0001", MODEL, "1", Window(START - DAY, START), START)
CANCEL = CancelTraining("toy-0001", MODEL)


def notice(incident: str, receiver: str = "duty") -> Notify:
    return Notify(
        incident, NotifyAction.TRIGGER, receiver, Severity.CRITICAL, MODEL, "t", "b", "r", START
    )


@dataclass
class Bench:
    records: MemoryRecords = field(default_factory=lambda: MemoryRecords(SimulatedClock(START)))
    notifier: MemoryNotifier = field(default_factory=MemoryNotifier)
    trainer: MemoryTrainer = field(
        default_factory=lambda: MemoryTrainer(lambda *_: FINISHED, polls=1)
    )
    rows: int = 0
    fails: bool = False

    def intend(self, *effects: Effect) -> None:
        with self.records.begin() as uow:
            uow.intend(*effects)

    def read(self, spec: ModelSpec, request: StartTraining) -> pa.Table:
        assert (spec, request) == (SPEC, REQUEST)
        if self.fails:
            raise StorageError("the disk is full")
        self.rows += 1
        return pa.table({})

    def dispatcher(self) -> Dispatcher:
        specs, trainers = {MODEL: SPEC}, {MODEL: self.trainer}
        receivers = {"duty": self.notifier}
        return Dispatcher(self.records, receivers, trainers, specs, self.read)

    def run(self, after: timedelta = timedelta(0)) -> int:
        return self.dispatcher().run(START + after)

    def problem(self) -> tuple[str, str]:
        (entry,) = self.records._effects.values()
        return entry.status, entry.problem


def test_effects_are_done_in_order_and_once() -> None:
    bench = Bench()
    bench.intend(notice("a"), notice("b"))
    assert bench.run() == 2
    assert bench.run() == 0
    assert [n.incident for n in bench.notifier.attempts] == ["a", "b"]


def test_a_failure_is_tried_again_later_and_does_not_hold_up_others() -> None:
    bench = Bench()
    bench.notifier.failures = [DeliveryError("busy", retry=True)] * 2
    bench.intend(notice("a"))
    assert bench.run() == 0
    bench.intend(CANCEL)
    assert bench.run(FIRST_WAIT / 2) == 1
    assert bench.run(FIRST_WAIT) == 0
    assert bench.run(2 * FIRST_WAIT) == 0
    assert bench.run(3 * FIRST_WAIT) == 1
    assert list(bench.notifier.delivered) == [notice("a").key]


def test_attempts_end_in_a_dead_letter() -> None:
    bench = Bench()
    bench.notifier.failures = [DeliveryError("down", retry=True)] * (MOST_ATTEMPTS + 5)
    bench.intend(notice("a"))
    for attempt in range(MOST_ATTEMPTS + 5):
        bench.run(attempt * LONGEST_WAIT)
    assert len(bench.notifier.attempts) == MOST_ATTEMPTS
    assert bench.problem() == ("dead", "down")


def test_a_final_refusal_is_buried_at_once() -> None:
    bench = Bench()
    bench.notifier.failures = [DeliveryError("gone", retry=False)]
    bench.intend(notice("a"))
    assert bench.run() == 0
    assert bench.run(DAY) == 0
    assert bench.problem() == ("dead", "gone")


@pytest.mark.parametrize(
    ("effect", "problem"),
    [
        (notice("a", "nobody"), "no receiver named 'nobody' is configured"),
        (CancelTraining("x-0001", "x"), "model 'x' has no trainer configured"),
    ],
)
def test_what_is_not_configured_is_a_dead_letter(effect: Effect, problem: str) -> None:
    bench = Bench()
    bench.intend(effect)
    assert bench.run() == 0
    assert bench.problem() == ("dead", problem)


def test_training_starts_on_the_rows_of_its_request_and_can_be_cancelled() -> None:
    bench = Bench()
    bench.intend(REQUEST)
    assert bench.run() == 1
    assert bench.rows == 1
    bench.intend(CANCEL)
    assert bench.run() == 1
    assert bench.trainer.poll(MODEL, "toy-0001").problem == "cancelled"


def test_a_start_that_failed_is_tried_again() -> None:
    bench = Bench(fails=True)
    bench.intend(REQUEST)
    assert bench.run() == 0
    assert bench.problem() == ("pending", "the disk is full")
    bench.fails = False
    assert bench.run(FIRST_WAIT) == 1
    assert (MODEL, "toy-0001") in bench.trainer.runs


def test_a_resolve_never_overtakes_its_trigger() -> None:
    bench = Bench()
    bench.notifier.failures = [DeliveryError("down", retry=True)]
    bench.intend(notice("a"))
    assert bench.run() == 0
    bench.intend(replace(notice("a"), action=NotifyAction.RESOLVE), notice("b"))
    assert bench.run() == 1, "only the other incident's: the trigger waits for its time"
    assert bench.run(FIRST_WAIT) == 2
    tried = [(n.incident, n.action.value) for n in bench.notifier.attempts]
    assert tried == [("a", "trigger"), ("b", "trigger"), ("a", "trigger"), ("a", "resolve")]


def test_an_effect_of_a_model_that_is_gone_is_given_up() -> None:
    bench = Bench()
    bench.intend(replace(REQUEST, model="gone"))
    specs: dict[str, ModelSpec] = {}
    trainers = {"gone": bench.trainer}
    dispatcher = Dispatcher(bench.records, {}, trainers, specs, bench.read)
    assert dispatcher.run(START) == 0
    assert bench.problem() == ("dead", "model 'gone' is not configured any more")


def test_a_fault_of_ours_postpones_the_effect_and_lets_the_others_pass() -> None:
    class Broken(MemoryNotifier):
        def send(self, notice: Notify) -> None:
            if notice.incident == "a":
                raise ZeroDivisionError("a bug")
            super().send(notice)

    bench = Bench(notifier=Broken())
    bench.intend(notice("a"), notice("b"))
    assert bench.run() == 1
    (first, _) = bench.records._effects.values()
    assert "a fault in Homeostat: ZeroDivisionError: a bug" in first.problem


def test_a_receiver_that_failed_is_left_alone_until_the_next_call() -> None:
    """One that hangs costs its time once a tick, however many incidents wait for it."""
    bench = Bench()
    bench.notifier.failures = [DeliveryError("timed out", retry=True)]
    bench.intend(*map(notice, "abc"))
    dispatcher = bench.dispatcher()
    assert dispatcher.run(START) == 0
    assert len(bench.notifier.attempts) == 1
    assert dispatcher.run(START + FIRST_WAIT / 2) == 2, "only the one that failed waits longer"
    assert dispatcher.run(START + FIRST_WAIT) == 1


def test_a_flood_does_not_keep_the_engine_from_looking() -> None:
    bench = Bench()
    bench.intend(CANCEL, *(notice(f"i{number}") for number in range(MOST_AT_ONCE + 50)))
    bench.trainer.runs.clear()
    assert bench.run() == MOST_AT_ONCE + 1
    assert bench.run() == 50
    assert bench.run() == 0


def test_those_that_wait_for_their_time_take_nobodys_room() -> None:
    bench = Bench()
    bench.intend(*(notice(f"i{number}") for number in range(MOST_AT_ONCE)))
    for pending in bench.records.pending(START):
        with bench.records.begin() as uow:
            uow.settle(Settled(pending.number, "pending", START + LONGEST_REST, "busy"))
    bench.intend(notice("new"))
    assert bench.run() == 1


def test_a_final_refusal_of_one_notice_does_not_hold_up_the_others() -> None:
    bench = Bench()
    bench.notifier.failures = [DeliveryError("bad request", retry=False)]
    bench.intend(*map(notice, "abc"))
    assert bench.run() == 2


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        (timedelta(0), FIRST_WAIT),
        (timedelta(minutes=2), timedelta(minutes=2)),
        (timedelta(days=9), LONGEST_REST),
    ],
)
def test_a_receiver_says_when_to_come_back(asked: timedelta, waits: timedelta) -> None:
    bench = Bench()
    bench.notifier.failures = [DeliveryError("429", retry=True, after=asked)]
    bench.intend(notice("a"), notice("b"))
    dispatcher = bench.dispatcher()
    assert dispatcher.run(START) == 0
    assert dispatcher.run(START + waits - timedelta(seconds=1)) == 0
    assert len(bench.notifier.attempts) == 1
    assert dispatcher.run(START + waits) == 2


@pytest.mark.parametrize("asked", [None, timedelta(minutes=30)], ids=["failed", "asked"])
@pytest.mark.parametrize("back", [timedelta(minutes=2), DAY], ids=["minutes", "a day"])
def test_a_wait_that_began_before_the_clock_was_put_back_is_over(
    asked: timedelta | None, back: timedelta
) -> None:
    bench = Bench()
    bench.notifier.failures = [DeliveryError("away", retry=True, after=asked)] * 2
    bench.intend(notice("a"))
    dispatcher = bench.dispatcher()
    assert dispatcher.run(START) == 0
    bench.intend(notice("b"))
    assert dispatcher.run(START - back) == 0
    assert len(bench.notifier.attempts) == 2, "it failed again, and rests from now on"
    waits = FIRST_WAIT * 2 if asked is None else asked
    assert dispatcher.run(START - back + waits) == 2


def test_after_a_restart_with_the_clock_put_back_nothing_waits_for_longer_than_it_may() -> None:
    bench = Bench()
    bench.notifier.failures = [DeliveryError("429", retry=True, after=LONGEST_REST)]
    bench.intend(notice("a"))
    assert bench.run() == 0
    assert bench.run(-timedelta(minutes=400)) == 1


def test_what_the_receiver_said_is_kept() -> None:
    class Talking(MemoryNotifier):
        def send(self, notice: Notify) -> str:
            super().send(notice)
            return "202 taken"

    bench = Bench(notifier=Talking())
    bench.intend(notice("a"))
    bench.run()
    (delivery,) = bench.records.deliveries(5)
    assert (delivery.status, delivery.said, delivery.attempts) == ("done", "202 taken", 1)


class Forgetful(MemoryNotifier):
    """Like Alertmanager: it must be told again."""

    renewed: list[str]

    def renew(self, notices: Sequence[Notify], now: datetime) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.renewed = [notice.incident for notice in notices]


def test_what_fires_is_renewed_once_it_was_told() -> None:
    forgetful = Forgetful()
    forgetful.renewed = []
    bench = Bench(notifier=forgetful)
    bench.intend(notice("a"), notice("b"))
    bench.run()
    bench.intend(notice("c"), replace(notice("b"), action=NotifyAction.RESOLVE))
    dispatcher = bench.dispatcher()
    others = notice("a", "nobody")
    assert dispatcher.renew([*map(notice, "abc"), others], START) == ()
    assert forgetful.renewed == ["a"], "c was not told yet, and b is over"
    forgetful.failures = [DeliveryError("away", retry=True)]
    assert dispatcher.renew([notice("a")], START) == ("duty: alerts not renewed: away",)
    forgetful.renewed = []
    assert dispatcher.renew([notice("b")], START) == ()
    assert forgetful.renewed == []
