"""A member of a shared breaker, the others played from a script."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from homeostat.serving.breaker import BreakerConfig, Cause, Event, Mode, Outcome, Permit, Transition
from homeostat.serving.sharing import HELD, PATIENCE, WISH, Report, SharedCircuit, Use, View

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
    circuit, others = member(CLOSED, View(1, Mode.OPEN, 0.0))
    circuit.synchronise(0.0)
    assert circuit.acquire(9.9) is None
    assert (circuit.due, others.woken) == (False, 0)
    assert circuit.acquire(10.0) is None
    assert circuit.acquire(10.01) is None, "asked a moment ago"
    assert (circuit.due, others.woken) == (True, 1)
    others.views = [View(2, Mode.HALF_OPEN, 0.0), View(2, Mode.HALF_OPEN, 0.0, lease=7)]
    circuit.synchronise(10.02)
    assert (circuit.acquire(10.03), circuit.due) == (None, False)
    assert circuit.acquire(10.1) is None
    circuit.synchronise(10.1)
    assert [report.wants for report in others.reports] == [False, False, True, True]
    assert circuit.counts["refused"] == 5
    permit = circuit.acquire(10.1)
    assert permit is not None
    circuit.settle(permit, Outcome.SUCCESS, 10.2)
    others.views = [View(3, Mode.CLOSED, 0.0)]
    circuit.synchronise(10.3)
    assert others.reports[-1].leases == ((7, Use.BEGUN), (7, Outcome.SUCCESS))
    assert not others.reports[-1].wants
    assert (circuit.mode, circuit.state.cause) == (Mode.CLOSED, Cause.SHARED)


def test_trap_slow_others_hold_no_caller_up() -> None:
    """Whoever calls never hands a report over; that is for the background."""
    circuit, others = half_open(held=False)
    before = len(others.reports)
    for tenth in range(100, 115):
        assert not circuit.admits(tenth / 10)
        assert circuit.acquire(tenth / 10) is None
    assert len(others.reports) == before
    assert others.woken > 0


def half_open(*, held: bool = True) -> tuple[SharedCircuit, Others]:
    circuit, others = member(CLOSED, View(1, Mode.OPEN, 0.0))
    circuit.synchronise(0.0)
    if held:
        assert circuit.acquire(10.0) is None
        others.views = [View(2, Mode.HALF_OPEN, 0.0, lease=7)]
        circuit.synchronise(10.0)
    return circuit, others


def test_it_admits_who_could_make_the_probe_and_asks_for_others() -> None:
    circuit, others = half_open(held=False)
    assert not circuit.admits(10.0)
    others.views = [View(2, Mode.HALF_OPEN, 0.0, lease=7)]
    circuit.synchronise(10.0)
    assert circuit.admits(10.0)
    assert circuit.acquire(10.0) is not None
    assert not circuit.admits(10.1)
    others.views = []
    circuit.synchronise(10.1)
    assert circuit.admits(10.1), "alone"


def test_a_lease_that_nobody_uses_is_given_back_and_asked_for_again() -> None:
    circuit, others = half_open()
    others.views = [View(2, Mode.HALF_OPEN, 0.0)] * 9
    circuit.synchronise(10.0 + HELD - 0.1)
    assert others.reports[-1] == Report(2)
    circuit.synchronise(10.0 + HELD)
    assert others.reports[-1] == Report(2, leases=((7, Use.UNUSED),)), "others may have callers"
    circuit.synchronise(10.0 + WISH - 0.1)
    assert others.reports[-1] == Report(2, wants=True)
    circuit.synchronise(10.0 + WISH)
    assert others.reports[-1] == Report(2)


@pytest.mark.parametrize("meanwhile", [False, True])
def test_a_question_without_an_answer_is_not_waited_for_long(meanwhile: bool) -> None:
    circuit, others = half_open(held=False)
    assert circuit.acquire(10.0) is None
    if meanwhile:  # the answer to what was told before says nothing of this question
        others.meanwhile = lambda: circuit._ask(10.1)
        others.views = [View(1, Mode.OPEN, 0.0)]
        circuit.synchronise(10.0)
    since = 10.1 if meanwhile else 10.0
    assert circuit.acquire(since + PATIENCE) is None
    assert circuit.acquire(since + PATIENCE + 0.1) is not None, "by its own leave"


def test_a_process_that_ends_gives_its_leases_back() -> None:
    circuit, others = half_open()
    assert circuit.acquire(10.0) is not None
    others.views = [View(2, Mode.HALF_OPEN, 0.0, lease=8), View(2, Mode.HALF_OPEN, 0.0)]
    circuit.synchronise(10.1)
    circuit.withdraw(10.1)
    assert others.reports[-1] == Report(2, leases=((7, Outcome.NEUTRAL), (8, Use.UNUSED)))
    others.views = [View(2, Mode.HALF_OPEN, 0.0)]
    circuit.withdraw(10.2)
    assert others.reports[-1] == Report(2)


def test_all_hear_that_an_operator_has_reset_it() -> None:
    circuit, others = half_open()
    circuit.command(Event.RESET, 10.0)
    assert circuit.due
    others.views = [None, View(3, Mode.CLOSED, 0.0), View(3, Mode.CLOSED, 0.0)]
    for _ in range(3):
        circuit.synchronise(10.0)
    assert [report.reset for report in others.reports[-3:]] == [True, True, False]
    assert circuit.mode is Mode.CLOSED
    circuit.command(Event.FORCE_OPEN, 11.0)
    assert not circuit.due


def test_a_report_on_a_probe_meets_another_process_that_opens_it() -> None:
    """The background takes the leases away between two steps of the caller's thread."""
    circuit, others = half_open()
    permit = circuit.acquire(10.0)
    assert permit is not None
    others.views = [View(3, Mode.OPEN, 0.0)]

    class Raced(dict[int, int]):
        def __contains__(self, key: object) -> bool:
            found = super().__contains__(key)
            circuit.synchronise(11.0)
            return found

    circuit._leases = Raced(circuit._leases)
    circuit.settle(permit, Outcome.SUCCESS, 11.0)
    circuit.synchronise(11.0)
    assert circuit.mode is Mode.OPEN
    assert others.reports[-1].leases == ()


def test_what_was_proven_before_an_opening_that_it_missed_counts_no_more() -> None:
    circuit, others = half_open()
    circuit.settle(circuit.acquire(10.0), Outcome.SUCCESS, 10.1)
    assert circuit.state.proven == 1
    others.views = [View(4, Mode.HALF_OPEN, 0.0, lease=9)]
    circuit.synchronise(12.0)
    circuit.settle(circuit.acquire(12.0), Outcome.SUCCESS, 12.1)
    assert (circuit.mode, circuit.state.proven) == (Mode.HALF_OPEN, 1)


def test_a_slow_probe_is_told_as_a_fault() -> None:
    circuit, others = half_open()
    circuit.settle(circuit.acquire(10.0), Outcome.SUCCESS, 15.1)
    circuit.synchronise(15.1)
    assert others.reports[-1].leases == ((7, Use.BEGUN), (7, Outcome.FAULT))


def test_the_failed_probe_of_another_takes_this_one_back() -> None:
    circuit, others = half_open()
    permit = circuit.acquire(10.0)
    others.views = [View(3, Mode.OPEN, 1.0)]
    circuit.synchronise(12.0)
    assert (circuit.mode, circuit.state.since) == (Mode.OPEN, 11.0)
    circuit.settle(permit, Outcome.SUCCESS, 12.0)
    circuit.synchronise(12.0)
    assert others.reports[-1].leases == ()


def test_a_second_probe_of_one_member() -> None:
    circuit, others = half_open()
    assert circuit.acquire(10.0) is not None
    assert circuit.acquire(10.1) is None
    others.views = [View(2, Mode.HALF_OPEN, 0.0, lease=8)]
    circuit.synchronise(10.1)
    assert circuit.acquire(10.1) is not None
    assert len(circuit.state.running) == 2


def test_a_lease_that_an_operator_overtakes_is_given_back() -> None:
    circuit, others = half_open()
    circuit.command(Event.FORCE_OPEN, 10.0)
    assert circuit.acquire(10.0) is None
    circuit.synchronise(10.0)
    assert others.reports[-1].leases == ((7, Use.UNUSED),)
    assert circuit.mode is Mode.FORCED_OPEN


def test_an_operator_comes_between_a_caller_and_its_lease() -> None:
    circuit, others = half_open()
    probe = circuit._probe

    def late(lease: int, now: float) -> Permit | None:
        circuit.command(Event.FORCE_OPEN, now)
        return probe(lease, now)

    circuit._probe = late  # type: ignore[method-assign]
    assert circuit.acquire(10.0) is None
    circuit.synchronise(10.0)
    assert others.reports[-1].leases == ((7, Use.UNUSED),)


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
    circuit, others = half_open(held=False)
    assert circuit.acquire(10.0) is None
    others.views = [View(2, Mode.CLOSED, 0.0)]
    circuit.synchronise(10.0)
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
    circuit, _ = half_open()
    circuit.synchronise(10.0)
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
    others, answers = Others(View(1, Mode.OPEN, 20.0)), list[object]()
    circuit = SharedCircuit(
        CONFIG, others.exchange, others.wake, lambda _: answers.append(circuit.acquire(50.0))
    )
    circuit.synchronise(50.0)
    assert answers == [None]
    assert circuit.due
