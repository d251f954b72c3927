"""What every `Records` must do. Each check takes an empty one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from homeostat.domain.decision import Decision, Severity
from homeostat.domain.effect import CancelTraining, Effect, Notify, NotifyAction, StartTraining
from homeostat.domain.errors import ConflictError, NotFoundError, StorageError
from homeostat.domain.model import ColumnKind
from homeostat.domain.route import Route
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.ports import Records, Settled
from homeostat.profiles.build import profile_table
from homeostat.simulation.conformance.raising import must_raise

T0 = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _window(hours: int) -> Window:
    return Window(T0 + hours * HOUR, T0 + (hours + 1) * HOUR)


def _decision(number: int, model: str = "fraud") -> Decision:
    evidence = (("e", math.inf), ("p", math.nan))
    return Decision(
        model, T0 + number * HOUR, "homeostat", "promote", f"v{number}", "because", evidence
    )


def _verdict(hours: int, model: str = "fraud") -> Verdict:
    return Verdict(
        Monitor.DATA_DRIFT, model, "amount", _window(hours), Status.OK,
        0.1, 0.2, math.inf, 90.0, math.nan, 1000, 60, "fine", "1", (("psi", 0.1),),
    )  # fmt: skip


def _point(hours: int, name: str = "auc", value: float = 0.9) -> MetricPoint:
    return MetricPoint("fraud", "1", name, _window(hours), value, 0.8, 1.0, 500, 1.0, "matured")


def _notify(incident: str) -> Notify:
    return Notify(
        incident, NotifyAction.TRIGGER, "console", Severity.CRITICAL, "fraud", "t", "b", "r", T0
    )


def check_states_round_trip(records: Records) -> None:
    """What is saved is loaded, also by `read`, and listed by prefix."""
    route = Route("fraud", "1", "2", 0.1, ("3",), ("amount",))
    with records.begin() as unit:
        assert unit.load("route:fraud", Route) is None
        unit.save("route:fraud", route)
        assert unit.load("route:fraud", Route) == route, "a unit sees its own change"
        assert records.read("route:fraud", Route) is None, "others do not before the commit"
        unit.save("other", route)
    assert records.read("route:fraud", Route) == route
    assert records.keys("route:") == ("route:fraud",)
    assert records.keys("ROUTE:") == (), "prefixes are case-sensitive"
    assert records.keys("route_") == (), "prefixes are no patterns"
    assert records.keys("") == ("other", "route:fraud")


def check_special_floats_round_trip(records: Records) -> None:
    """NaN and infinities in states and verdicts are kept."""
    with records.begin() as unit:
        unit.save("a", replace(Route("fraud"), weight=math.inf))
        unit.save("b", replace(Route("fraud"), weight=math.nan))
        unit.judge(_verdict(0))
    infinite, undefined = records.read("a", Route), records.read("b", Route)
    assert infinite is not None
    assert infinite.weight == math.inf
    assert undefined is not None
    assert math.isnan(undefined.weight)
    (verdict,) = records.verdicts("fraud")
    assert verdict.evidence == math.inf
    assert math.isnan(verdict.p_value)


def check_wrong_kind_is_refused(records: Records) -> None:
    """A state is not read as something that it is not."""
    with records.begin() as unit:
        unit.save("a", Route("fraud"))
    with must_raise(StorageError):
        records.read("a", Decision)


def check_exception_leaves_nothing(records: Records) -> None:
    """A unit of work whose block raises changes nothing."""
    with must_raise(ZeroDivisionError), records.begin() as unit:
        unit.save("a", Route("fraud"))
        unit.decide(_decision(1))
        unit.judge(_verdict(1))
        unit.measure(_point(1))
        unit.intend(_notify("i"))
        _ = 1 // 0
    assert records.keys("") == ()
    assert records.decisions() == ()
    assert records.verdicts("fraud") == ()
    assert records.metrics("fraud") == ()
    assert records.pending(T0) == ()


def check_second_writer_loses(records: Records) -> None:
    """Of two units that read the same state the later one fails, with all that it wrote."""
    with records.begin() as unit:
        unit.save("a", Route("fraud", "1"))
    with must_raise(ConflictError), records.begin() as slow:
        slow.load("a", Route)
        with records.begin() as quick:
            quick.load("a", Route)
            quick.save("a", Route("fraud", "2"))
        slow.save("a", Route("fraud", "3"))
        slow.save("b", Route("fraud", "3"))
        slow.decide(_decision(1))
    assert records.read("a", Route) == Route("fraud", "2")
    assert records.read("b", Route) is None
    assert records.decisions() == ()


def check_held_states_fence_a_commit(records: Records) -> None:
    """A unit that holds a state fails, with all it wrote, if that has changed since."""
    for expected in ("1", "2"):
        with must_raise(ConflictError), records.begin() as slow:
            slow.load("lease", Route)
            slow.hold("lease")
            with records.begin() as quick:
                quick.load("lease", Route)
                quick.save("lease", Route("fraud", expected))
            slow.save("b", Route("fraud"))
            slow.decide(_decision(1))
        assert records.read("b", Route) is None
    with records.begin() as unit:
        unit.load("lease", Route)
        unit.hold("lease")
        unit.decide(_decision(2))
    assert [d.subject for d in records.decisions()] == ["v2"]


def check_first_of_two_creators_wins(records: Records) -> None:
    """A state saved without having been loaded is new: if it exists, the writer was late."""
    with records.begin() as unit:
        unit.save("a", Route("fraud", "1"))
    with must_raise(ConflictError), records.begin() as unit:
        unit.save("a", Route("fraud", "2"))
    assert records.read("a", Route) == Route("fraud", "1")


def check_delete(records: Records) -> None:
    """A deleted state is gone, can be made again, and its stale writer still loses."""
    with records.begin() as unit:
        unit.save("a", Route("fraud", "1"))
    with must_raise(ConflictError), records.begin() as stale:
        stale.load("a", Route)
        with records.begin() as unit:
            unit.delete("a")
            unit.delete("unknown")
        assert records.read("a", Route) is None
        assert records.keys("") == ()
        with records.begin() as unit:
            assert unit.load("a", Route) is None
            unit.save("a", Route("fraud", "2"))
        stale.save("a", Route("fraud", "3"))
    assert records.read("a", Route) == Route("fraud", "2")


def check_decisions(records: Records) -> None:
    """The decision log keeps its order; a limit keeps the newest."""
    with records.begin() as unit:
        unit.decide(_decision(1), _decision(2, "other"), _decision(3))
        unit.decide(_decision(2))
    found = records.decisions()
    assert [(d.model, d.subject) for d in found] == [
        ("fraud", "v1"), ("other", "v2"), ("fraud", "v3"), ("fraud", "v2"),
    ]  # fmt: skip
    assert found[0].at == T0 + HOUR
    assert found[0].at.utcoffset() == timedelta(0)
    assert dict(found[0].evidence)["e"] == math.inf
    assert [d.subject for d in records.decisions("fraud", limit=2)] == ["v3", "v2"]
    assert [d.subject for d in records.decisions("fraud", since=T0 + 2 * HOUR)] == ["v3", "v2"]
    assert records.decisions(limit=0) == ()


def check_verdicts(records: Records) -> None:
    """Verdicts are found by model and by the start of their window, end exclusive."""
    with records.begin() as unit:
        unit.judge(*(_verdict(hours) for hours in (2, 0, 1)), _verdict(1, "other"))
    starts = [v.window for v in records.verdicts("fraud")]
    assert starts == [_window(2), _window(0), _window(1)], "in the order written"
    part = records.verdicts("fraud", since=T0 + HOUR, until=T0 + 2 * HOUR)
    assert [v.window for v in part] == [_window(1)]
    assert part[0].detail("psi") == 0.1


def check_metrics_are_restated(records: Records) -> None:
    """A later point for the same identity replaces the earlier one."""
    with records.begin() as unit:
        unit.measure(_point(1), _point(0, "brier"), _point(0))
    with records.begin() as unit:
        unit.measure(_point(1, value=0.7))
    found = [(p.window, p.name, p.value) for p in records.metrics("fraud")]
    assert found == [(_window(0), "auc", 0.9), (_window(0), "brier", 0.9), (_window(1), "auc", 0.7)]
    assert len(records.metrics("fraud", "brier")) == 1
    assert len(records.metrics("fraud", "auc", since=T0 + HOUR)) == 1
    assert len(records.metrics("fraud", "auc", until=T0 + HOUR)) == 1
    assert records.metrics("other") == ()
    for limit in (1, 2, 3, 9):
        assert records.metrics("fraud", limit=limit) == records.metrics("fraud")[-limit:]
    assert [p.name for p in records.metrics("fraud", until=T0 + HOUR, limit=1)] == ["brier"]


def check_metrics_are_withdrawn(records: Records) -> None:
    """A point is removed by all that identifies it; one that was never written is no matter."""
    kept = replace(_point(0), segment="land=FR")
    with records.begin() as unit:
        unit.measure(_point(0), kept, _point(1))
    with records.begin() as unit:
        unit.measure(_point(1, value=0.7))
        unit.withdraw(_point(0, value=0.1), _point(1), _point(2))
    found = [(p.window, p.segment, p.value) for p in records.metrics("fraud", segment=None)]
    assert found == [(_window(0), "land=FR", 0.9), (_window(1), "", 0.7)]
    with records.begin() as unit:
        unit.withdraw(kept)
    assert [p.window for p in records.metrics("fraud", segment=None)] == [_window(1)]


def check_segments_are_apart(records: Records) -> None:
    """The same metric of a segment is a point of its own, and shown where it is asked for."""
    parts = [replace(_point(0), segment=name) for name in ("", "land=FR", "land='; DROP", "a=\0")]
    with records.begin() as unit:
        unit.measure(*parts)
    with records.begin() as unit:
        unit.measure(replace(parts[1], value=0.5))
    (whole,) = records.metrics("fraud")
    assert (whole.segment, whole.value) == ("", 0.9)
    assert [p.value for p in records.metrics("fraud", segment="land=FR")] == [0.5]
    names = [p.segment for p in records.metrics("fraud", "auc", segment=None)]
    assert names == sorted(p.segment for p in parts)
    assert records.metrics("fraud", segment="land=ES") == ()
    assert records.metrics("fraud", segment="a=\0") == (parts[3],)


def settle(records: Records, *settled: Settled) -> None:
    """Write down what became of effects."""
    with records.begin() as unit:
        unit.settle(*settled)


def check_effects(records: Records) -> None:
    """Effects are pending, oldest first, until they are done, postponed or buried."""
    window = Window(T0, T0 + HOUR)
    effects: tuple[Effect, ...] = (
        _notify("one"),
        StartTraining("run", "fraud", "1", window, T0 + HOUR, (window,)),
        CancelTraining("run", "fraud"),
    )
    with records.begin() as unit:
        unit.intend(*effects)
    first, second, third = records.pending(T0)
    assert tuple(p.effect for p in (first, second, third)) == effects
    assert first.attempts == 0
    assert first.number < second.number < third.number
    settle(records, Settled(first.number, "done", T0))
    settle(records, Settled(second.number, "pending", T0 + HOUR, "busy"))
    settle(records, Settled(third.number, "dead", T0, "gone"))
    assert records.pending(T0) == ()
    (later,) = records.pending(T0 + HOUR)
    assert (later.effect, later.attempts, later.not_before) == (effects[1], 1, T0 + HOUR)
    with must_raise(NotFoundError):
        settle(records, Settled(10**6, "done", T0))


def check_effects_are_settled_once(records: Records) -> None:
    """What is done or dead stays so, and whoever tells otherwise later writes nothing."""
    with records.begin() as unit:
        unit.intend(_notify("one"), _notify("two"))
    first, second = records.pending(T0)
    settle(records, Settled(first.number, "done", T0), Settled(second.number, "dead", T0, "gone"))
    for number in (first.number, second.number):
        for stale in (
            Settled(number, "done", T0),
            Settled(number, "pending", T0, "busy"),
            Settled(number, "dead", T0, "gone"),
        ):
            with must_raise(ConflictError), records.begin() as unit:
                unit.settle(stale)
                unit.decide(_decision(1))
    assert records.pending(T0 + HOUR) == ()
    assert records.decisions() == ()


def check_deliveries_are_logged(records: Records) -> None:
    """Of each notice it is known what became of it: when, at which attempt, and what was said."""
    with records.begin() as unit:
        unit.intend(
            _notify("one"), CancelTraining("run", "fraud"), _notify("two"), _notify("three")
        )
    one, cancel, two, three = records.pending(T0)
    settle(records, Settled(one.number, "pending", T0 + HOUR, "busy"))
    settle(records, Settled(one.number, "done", T0 + 2 * HOUR, "202 taken\0"))
    settle(records, Settled(cancel.number, "done", T0))
    settle(records, Settled(two.number, "dead", T0 + HOUR, "400 no"))
    settle(records, Settled(three.number, "pending", T0 + 3 * HOUR, "busy"))
    newest = records.deliveries(10)
    assert [(d.notice, d.status, d.attempts, d.at, d.said) for d in newest] == [
        (three.effect, "pending", 1, T0 + 3 * HOUR, "busy"),
        (two.effect, "dead", 1, T0 + HOUR, "400 no"),
        (one.effect, "done", 2, T0 + 2 * HOUR, "202 taken\0"),
    ]
    assert [d.number for d in newest] == [three.number, two.number, one.number]
    receiver = newest[0].notice.receiver
    assert records.deliveries(2, receiver) == newest[:2]
    assert records.deliveries(10, "nobody") == ()
    assert records.deliveries(10, receiver[:-1]) == ()
    first, second = _notify("one"), _notify("two")
    about = replace(first, action=NotifyAction.UPDATE, about=second.incident)
    with records.begin() as unit:
        unit.intend(about)
    mine = [d.notice for d in records.deliveries(10, incident=about.incident)]
    assert mine == [about, first]
    assert [d.notice for d in records.deliveries(10, incident=second.incident)] == [second]
    assert records.deliveries(1, incident=about.incident)[0].notice == about
    assert records.deliveries(10, incident="on") == ()


def check_held_states_fence_effects(records: Records) -> None:
    """An effect stays as it is if a state that the unit holds has changed since."""
    with records.begin() as unit:
        unit.intend(_notify("one"))
    (pending,) = records.pending(T0)
    with must_raise(ConflictError), records.begin() as slow:
        slow.load("lease", Route)
        slow.hold("lease")
        with records.begin() as quick:
            quick.load("lease", Route)
            quick.save("lease", Route("fraud", "1"))
        slow.settle(Settled(pending.number, "done", T0))
    assert records.pending(T0) == (pending,)


def check_intent_is_idempotent(records: Records) -> None:
    """An effect recorded twice is done once, also when it was done in between."""
    with records.begin() as unit:
        unit.intend(_notify("one"), replace(_notify("one"), title="again"))
    (pending,) = records.pending(T0)
    assert pending.effect == _notify("one"), "the first stays as it is"
    settle(records, Settled(pending.number, "done", T0))
    with records.begin() as unit:
        unit.intend(_notify("one"))
    assert records.pending(T0) == ()


def check_reference(records: Records) -> None:
    """Reference windows come back by time and bit for bit; saving again replaces them."""
    kinds = {"x": ColumnKind.NUMERIC, "c": ColumnKind.CATEGORICAL}
    profiles = [
        (_window(hours), profile_table(pa.table({"x": [hours + 0.5], "c": ["é"]}), kinds))
        for hours in (1, 0)
    ]
    assert records.reference("fraud", "1") == ()
    records.save_reference("fraud", "1", profiles)
    assert records.reference("fraud", "1") == tuple(reversed(profiles))
    records.save_reference("fraud", "1", profiles[:1])
    assert records.reference("fraud", "1") == tuple(profiles[:1])
    records.save_reference("fraud", "1", [])
    assert records.reference("fraud", "1") == ()
    assert records.reference("fraud", "2") == ()


RECORDS_CHECKS: tuple[Callable[[Records], None], ...] = (
    check_states_round_trip,
    check_special_floats_round_trip,
    check_wrong_kind_is_refused,
    check_exception_leaves_nothing,
    check_second_writer_loses,
    check_held_states_fence_a_commit,
    check_first_of_two_creators_wins,
    check_delete,
    check_decisions,
    check_verdicts,
    check_metrics_are_restated,
    check_metrics_are_withdrawn,
    check_segments_are_apart,
    check_effects,
    check_effects_are_settled_once,
    check_deliveries_are_logged,
    check_held_states_fence_effects,
    check_intent_is_idempotent,
    check_reference,
)
