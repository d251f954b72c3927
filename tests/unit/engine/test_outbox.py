"""Limits and quiet hours through the dispatcher: the receiver sees each beginning and end once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, time, timedelta

from homeostat.alerting.delivery import Limit, Manners, is_ours
from homeostat.alerting.hours import Hours
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.errors import DeliveryError
from homeostat.domain.model import ModelSpec
from homeostat.engine.act import Dispatcher
from homeostat.engine.outbox import ENDED
from homeostat.engine.training import TrainingRows
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.fakes import MemoryLog, MemoryNotifier, MemoryRecords
from simulation.world import MODEL, START

HOUR = timedelta(hours=1)
NIGHT = timedelta(hours=23)
LIMITED = Manners(Limit(3, HOUR))
QUIET = Manners(quiet=(Hours(time(22), time(7), UTC),))


@dataclass
class Bench:
    manners: Manners
    records: MemoryRecords = field(default_factory=lambda: MemoryRecords(SimulatedClock(START)))
    notifier: MemoryNotifier = field(default_factory=MemoryNotifier)
    dispatcher: Dispatcher = field(init=False)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        receivers, specs = {"ops": self.notifier, "other": self.notifier}, dict[str, ModelSpec]()
        rows = TrainingRows(MemoryLog(SimulatedClock(START)))
        self.dispatcher = Dispatcher(
            self.records, receivers, {}, specs, rows, {"ops": self.manners}
        )

    def intend(self, *incidents: str, after: timedelta = timedelta(0), over: bool = False) -> None:
        action = NotifyAction.RESOLVE if over else NotifyAction.TRIGGER
        with self.records.begin() as uow:
            uow.intend(*(notice(name, action, after) for name in incidents))

    def run(self, after: timedelta = timedelta(0)) -> list[tuple[str, str]]:
        """Return what the receiver was told in this call."""
        before = len(self.notifier.attempts)
        self.dispatcher.run(START + after)
        return [(n.incident, n.action.value) for n in self.notifier.attempts[before:]]

    def said(self) -> dict[str, str]:
        return {d.notice.key: f"{d.status}: {d.said}" for d in self.records.deliveries(100)}


def notice(incident: str, action: NotifyAction, after: timedelta) -> Notify:
    return Notify(
        incident, action, "ops", Severity.WARNING, MODEL, f"t {incident}", "b", "r", START + after
    )


def test_what_goes_beyond_a_limit_is_told_in_one_summary_and_ends_once() -> None:
    bench = Bench(LIMITED)
    bench.intend(*"abcde")
    first, second, (key, action) = bench.run()
    assert (first, second) == (("a", "trigger"), ("b", "trigger"))
    assert is_ours(key)
    assert action == "trigger"
    assert bench.notifier.delivered[f"notify:ops:{key}:trigger"].body == (
        "warning: t c\nwarning: t d\nwarning: t e"
    )
    assert bench.said()["notify:ops:d:trigger"] == f"done: told in {key}"
    with bench.records.begin() as uow:
        uow.intend(notice("c", NotifyAction.ACKNOWLEDGE, HOUR / 2))
    bench.intend("c", "e", over=True)
    assert bench.run(HOUR / 2) == [], "nobody there has heard of them by name"
    bench.intend("a", "d", over=True)
    assert bench.run(HOUR / 2) == [("a", "resolve"), (key, "resolve")]
    assert bench.said()["notify:ops:c:resolve"] == f"done: told in {key}"
    assert bench.records.pending(START + 9 * HOUR) == ()


def test_a_limit_ends_with_its_period_and_waits_meanwhile() -> None:
    bench = Bench(LIMITED)
    bench.intend(*"abc")
    assert len(bench.run()) == 3
    bench.intend("d")
    assert bench.run(HOUR / 2) == []
    assert bench.run(HOUR) == [("d", "trigger")]


def test_what_was_sent_before_the_clock_was_put_back_takes_no_room() -> None:
    bench = Bench(LIMITED)
    bench.intend(*"abc")
    assert len(bench.run()) == 3
    bench.intend("d", after=-7 * HOUR)
    assert bench.run(-7 * HOUR) == [("d", "trigger")]


def test_a_summary_that_is_not_taken_is_tried_again_under_the_same_key() -> None:
    bench = Bench(LIMITED)
    bench.intend(*"abcd")
    bench.notifier.failures = [DeliveryError("away", retry=True)]
    assert len(bench.run()) == 1
    bench.restart()
    found = bench.run(HOUR)
    assert [(name, action) for name, action in found if not is_ours(name)] == [
        ("a", "trigger"), ("b", "trigger"),
    ]  # fmt: skip
    assert len({name for name, _ in found}) == 3
    assert bench.records.pending(START + 9 * HOUR) == ()


def test_what_begins_and_ends_within_one_summary_is_told_as_both() -> None:
    bench = Bench(Manners(Limit(1, HOUR)))
    bench.intend("a", "b")
    bench.intend("a", "b", over=True)
    (key, first), (same, second) = bench.run()
    assert (key, first, second) == (same, "trigger", "resolve")


def test_other_receivers_and_effects_are_not_touched() -> None:
    bench = Bench(Manners(Limit(1, HOUR)))
    elsewhere = [
        replace(notice(name, NotifyAction.TRIGGER, HOUR), receiver="other") for name in "xyz"
    ]
    with bench.records.begin() as uow:
        uow.intend(*elsewhere)
    assert bench.run() == [(name, "trigger") for name in "xyz"]


def test_at_night_they_wait_and_are_told_after_if_they_are_still_open() -> None:
    bench = Bench(QUIET)
    bench.intend("a", "b", after=NIGHT)
    assert bench.run(NIGHT) == []
    bench.intend("b", after=NIGHT + HOUR, over=True)
    assert bench.run(NIGHT + HOUR) == []
    assert bench.said()["notify:ops:b:trigger"] == f"done: {ENDED}"
    assert bench.run(NIGHT + 8 * HOUR) == [("a", "trigger")]
    bench.intend("a", after=NIGHT + 23 * HOUR, over=True)
    assert bench.run(NIGHT + 24 * HOUR) == [("a", "resolve")], "they know of it, and that it ends"
    assert bench.records.pending(START + 99 * HOUR) == ()
