"""A member of a shared breaker, the others played from a script."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from homeostat.serving.breaker import BreakerConfig, Cause, Event, Mode, Outcome, Transition
from homeostat.serving.sharing import Report, SharedCircuit, View

CONFIG = BreakerConfig(faults=2, cooldown=10.0, successes=2, probes=2, slow=5.0)
CLOSED = View(0, Mode.CLOSED, 0.0)


class Others:
    """Answers reports with what it is told to; nothing means that they cannot be reached."""

    def __init__(self, *views: View | None) -> None:
        self.views = list(views)
        self.reports: list[Report] = []
        self.woken = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def exchange(self, report: Report) -> View | None:
        self.reports.append(report)
        self.meanwhile()
        return self.views.pop(0) if self.views else None

    def wake(self) -> None:
        self.woken += 1


def member(*views: View | None, config: BreakerConfig = CONFIG) -> tuple[SharedCircuit, Others]:
    others = Others(*views)
    circuit = SharedCircuit(config, others.exchange, others.wake)
    circuit.synchronise(0.0)
    return circuit, others


def test_it_tells_what_it_saw_once_and_of_its_own_generation_only() -> None:
    circuit, others = member(CLOSED, CLOSED, CLOSED)
    assert others.reports == [Report(None)]
    for outcome in (Outcome.SUCCESS, Outcome.SUCCESS, Outcome.FAULT, Outcome.CLIENT_ERROR):
        circuit.settle(circuit.acquire(1.0), outcome, 1.0)
    assert others.woken == 1
    circuit.settle(None, Outcome.FAULT, 1.0)
    circuit.synchronise(1.0)
    circuit.synchronise(1.0)
    assert others.reports[1:] == [Report(0, 3, 1), Report(0)]


def test_others_open_it_with_the_age_of_the_opening() -> None:
    circuit, _ = member(CLOSED, View(1, Mode.OPEN, 4.0))
    late = circuit.acquire(1.0)
    circuit.synchronise(5.0)
    assert (circuit.mode, circuit.state.since, circuit.state.cause) == (
        Mode.OPEN, 1.0, Cause.SHARED,
    )  # fmt: skip
    before = circuit.state
    circuit.settle(late, Outcome.FAULT, 5.0)
    assert circuit.state == before


def test_it_asks_for_a_probe_only_after_the_cooldown_and_not_all_the_time() -> None:
    no, yes = View(1, Mode.HALF_OPEN, 0.0), View(1, Mode.HALF_OPEN, 0.0, lease=7)
    circuit, others = member(CLOSED, View(1, Mode.OPEN, 0.0), no, yes)
    circuit.synchronise(0.0)
    assert circuit.acquire(9.9) is None
    assert len(others.reports) == 2
    assert circuit.acquire(10.0) is None
    assert circuit.acquire(10.01) is None, "asked a moment ago"
    permit = circuit.acquire(10.1)
    assert permit is not None
    assert [report.wants for report in others.reports] == [False, False, True, True]
    assert circuit.counts["refused"] == 3
    circuit.settle(permit, Outcome.SUCCESS, 10.2)
    others.views = [View(2, Mode.CLOSED, 0.0)]
    circuit.synchronise(10.3)
    assert others.reports[-1].ended == ((7, Outcome.SUCCESS),)
    assert (circuit.mode, circuit.state.cause) == (Mode.CLOSED, Cause.SHARED)


def half_open() -> tuple[SharedCircuit, Others]:
    probe = View(1, Mode.HALF_OPEN, 0.0, lease=7)
    circuit, others = member(CLOSED, View(1, Mode.OPEN, 0.0), probe)
    circuit.synchronise(0.0)
    return circuit, others


def test_a_slow_probe_is_told_as_a_fault() -> None:
    circuit, others = half_open()
    circuit.settle(circuit.acquire(10.0), Outcome.SUCCESS, 15.1)
    circuit.synchronise(15.1)
    assert others.reports[-1].ended == ((7, Outcome.FAULT),)


def test_the_failed_probe_of_another_takes_this_one_back() -> None:
    circuit, others = half_open()
    permit = circuit.acquire(10.0)
    others.views = [View(2, Mode.OPEN, 1.0)]
    circuit.synchronise(12.0)
    assert (circuit.mode, circuit.state.since) == (Mode.OPEN, 11.0)
    circuit.settle(permit, Outcome.SUCCESS, 12.0)
    circuit.synchronise(12.0)
    assert others.reports[-1].ended == ()


def test_a_second_probe_of_one_member() -> None:
    circuit, others = half_open()
    assert circuit.acquire(10.0) is not None
    others.views = [View(1, Mode.HALF_OPEN, 0.0, lease=8)]
    assert circuit.acquire(10.1) is not None
    assert len(circuit.state.running) == 2


def test_a_lease_that_an_operator_overtakes_is_given_back() -> None:
    circuit, others = half_open()
    others.meanwhile = lambda: circuit.command(Event.FORCE_OPEN, 10.0)
    assert circuit.acquire(10.0) is None
    others.meanwhile = lambda: None
    circuit.synchronise(10.0)
    assert others.reports[-1].ended == ((7, Outcome.NEUTRAL),)
    assert circuit.mode is Mode.FORCED_OPEN


def test_trap_one_bad_process_does_not_poison_the_others_and_probes_by_itself() -> None:
    circuit, others = member(CLOSED)
    for _ in range(2):
        circuit.settle(circuit.acquire(1.0), Outcome.FAULT, 1.0)
    others.views = [CLOSED]
    circuit.synchronise(1.0)
    assert (circuit.mode, circuit.state.cause) == (Mode.OPEN, Cause.FAULTS)
    assert circuit.acquire(10.9) is None
    assert circuit.acquire(11.0) is not None
    assert len(others.reports) == 2, "nobody was asked"


def test_it_is_not_closed_by_others_that_never_opened_it() -> None:
    circuit, others = member(CLOSED)
    for _ in range(2):
        circuit.settle(circuit.acquire(1.0), Outcome.FAULT, 1.0)
    others.views = [View(8, Mode.CLOSED, 0.0)]
    circuit.synchronise(1.0)
    assert circuit.mode is Mode.OPEN


def test_when_the_others_have_closed_it_meanwhile_it_is_closed() -> None:
    circuit, others = half_open()
    others.views = [View(2, Mode.CLOSED, 0.0)]
    assert circuit.acquire(10.0) is not None
    assert circuit.mode is Mode.CLOSED


@pytest.mark.parametrize("seconds", [5.0, 12.0])
def test_alone_it_is_a_breaker_of_its_own_and_joins_again(seconds: float) -> None:
    circuit, others = member(CLOSED)
    for _ in range(2):
        circuit.settle(circuit.acquire(1.0), Outcome.FAULT, 1.0)
    assert circuit.synchronise(1.0) is None
    assert circuit.alone
    assert (circuit.acquire(seconds) is None) == (seconds < 11.0)
    others.views = [View(4, Mode.OPEN, 0.0)]
    circuit.synchronise(seconds)
    assert others.reports[-1].generation is None
    assert (circuit.mode, circuit.alone) == (Mode.OPEN, False)


def test_others_that_go_away_when_asked_for_a_probe_are_not_waited_for() -> None:
    circuit, others = half_open()
    others.views = []
    assert circuit.acquire(10.0) is not None
    assert circuit.alone


def test_a_member_that_joins_late_joins_as_it_is() -> None:
    circuit, _ = member(View(6, Mode.HALF_OPEN, 3.0))
    assert (circuit.mode, circuit.state.since) == (Mode.OPEN, -3.0)


def test_listeners_hear_what_the_others_did() -> None:
    heard: list[Transition] = []
    others = Others(View(1, Mode.OPEN, 0.0))
    SharedCircuit(CONFIG, others.exchange, others.wake, heard.append).synchronise(2.0)
    assert heard == [Transition(Mode.CLOSED, Mode.OPEN, 2.0, Cause.SHARED)]


def test_a_listener_may_use_the_breaker_that_tells_it() -> None:
    others, answers = Others(View(1, Mode.OPEN, 20.0), View(1, Mode.OPEN, 20.0)), list[object]()
    circuit = SharedCircuit(
        CONFIG, others.exchange, others.wake, lambda _: answers.append(circuit.acquire(50.0))
    )
    circuit.synchronise(50.0)
    assert answers == [None]
    assert [report.wants for report in others.reports] == [False, True]
