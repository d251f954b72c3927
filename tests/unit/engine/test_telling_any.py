"""Who is told of incidents, whatever happens: kills, clock steps, silences and people."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from homeostat.alerting.episode import Stage
from homeostat.alerting.silences import Matcher
from homeostat.domain.decision import Severity
from homeostat.domain.effect import NotifyAction
from homeostat.domain.errors import NotFoundError
from homeostat.domain.verdict import Status
from homeostat.engine.commands import Request
from homeostat.engine.silencing import all_silences
from homeostat.engine.unreached import Unreached, unreached_key
from simulation.world import MODEL
from unit.engine.told import BAD, CHILD, FINE, HOSTILE, MINUTE, PARENT, World


def lived(killed_at: int, kill: str) -> tuple[dict[str, list[tuple[str, str]]], Counter[str]]:
    """Live through one story; return what each receiver was told, in order, and what was decided.

    A child fires, then its parent; a silence comes and goes; nobody takes it on, then somebody
    does; both are over. At one tick the process is killed, and another one ticks a minute later.
    """
    world = World(Severity.CRITICAL)
    silences: list[int] = []
    story: tuple[tuple[int, Callable[[], object]], ...] = (
        (1, lambda: world.signals.update({CHILD: BAD})),
        (1, lambda: silences.append(world.silence(300, Matcher(rule=PARENT)))),
        (1, lambda: world.signals.update({PARENT: BAD})),
        (5, lambda: world.silencing.end(silences[0], "ben", world.now)),
        (20, lambda: None),
        (50, lambda: None),
        (1, lambda: world.ask(Request.ACKNOWLEDGE, PARENT)),
        (1, lambda: world.signals.update({CHILD: FINE})),
        (1, lambda: world.signals.update({PARENT: FINE})),
    )
    for number, (minutes, happens) in enumerate(story):
        world.now += minutes * MINUTE
        happens()
        world.tick(kill if number == killed_at else "")
        world.now += MINUTE
        world.tick()
    told = {
        name: list(dict.fromkeys((n.rule, n.action.value) for n in receiver.got))
        for name, receiver in world.receivers.items()
    }
    return told, Counter(world.actions())


@pytest.mark.parametrize("kill", ["commit", "act", "before", "after"])
def test_a_kill_at_any_tick_changes_nothing_of_what_people_are_told(kill: str) -> None:
    told, decided = lived(-1, "")
    assert told["duty"] == [
        (CHILD, "trigger"), (CHILD, "update"), (CHILD, "resolve"),
    ]  # fmt: skip
    assert told["lead"] == [
        (PARENT, "trigger"), (PARENT, "acknowledge"), (PARENT, "resolve"),
    ]  # fmt: skip
    assert (PARENT, "trigger") in told["second"]
    assert (PARENT, "trigger") in told["boss"]
    for number in range(9):
        assert lived(number, kill) == (told, decided), number


class Telling(RuleBasedStateMachine):
    """Any sequence of signals, people, silences, kills and clock steps."""

    @initialize(child=st.sampled_from([Severity.CRITICAL, Severity.WARNING]))
    def begin(self, child: Severity) -> None:
        self.world = World(child, HOSTILE)
        self.seen = 0

    @rule(
        name=st.sampled_from([PARENT, CHILD]),
        status=st.sampled_from([BAD, BAD, FINE, Status.NO_DATA]),
    )
    def signal(self, name: str, status: Status) -> None:
        self.world.signals[name] = status

    @rule(minutes=st.sampled_from([1, 5, 14, 16, 61, 300, -1, -30, -400]))
    def wait(self, minutes: int) -> None:
        self.world.now += minutes * MINUTE

    @rule(kill=st.sampled_from(["", "", "commit", "act", "before", "after"]))
    def tick(self, kill: str) -> None:
        self.world.tick(kill)
        self.check_silences()

    @rule(
        minutes=st.sampled_from([1, 20, 200]), name=st.sampled_from(["*", PARENT, CHILD, "data*"])
    )
    def silence(self, minutes: int, name: str) -> None:
        self.world.silence(minutes, Matcher(rule=name))

    @rule()
    def unsilence(self) -> None:
        for made in all_silences(self.world.records)[:1]:
            with contextlib.suppress(NotFoundError):
                self.world.silencing.end(made.number, "ben", self.world.now)

    @rule(
        request=st.sampled_from([Request.ACKNOWLEDGE, Request.CLOSE]),
        name=st.sampled_from([PARENT, CHILD]),
    )
    def ask(self, request: Request, name: str) -> None:
        self.world.ask(request, name)

    @rule(name=st.sampled_from(["duty", "team", "boss"]), down=st.booleans())
    def fail(self, name: str, down: bool) -> None:
        self.world.receivers[name].down = down

    @rule(name=st.sampled_from(["duty", "second"]), rules=st.sets(st.sampled_from([PARENT, CHILD])))
    def refuse(self, name: str, rules: set[str]) -> None:
        self.world.receivers[name].refuses = rules

    def check_silences(self) -> None:
        """Nobody is paged about what a silence covers at that moment."""
        world = self.world
        for receiver in world.receivers.values():
            for notice in receiver.fresh:
                if notice.action is NotifyAction.TRIGGER:
                    state = world.state(notice.rule)
                    covering = [
                        s for s in all_silences(world.records)
                        if s.holds(world.now) and s.matcher.matches(state)
                    ]  # fmt: skip
                    assert state.key != notice.incident or not covering
                assert HOSTILE.splitlines()[0] in notice.title or "part of" in notice.body
            receiver.fresh.clear()

    @invariant()
    def each_page_begins_once_and_ends_once(self) -> None:
        if not hasattr(self, "world"):
            return
        for receiver in self.world.receivers.values():
            pages: dict[str, list[str]] = {}
            for key in dict.fromkeys(notice.key for notice in receiver.got):
                notice = next(each for each in receiver.got if each.key == key)
                pages.setdefault(notice.incident, []).append(notice.action.value)
            for told in pages.values():
                plain = [action for action in told if action not in {"update", "acknowledge"}]
                assert plain in ([], ["trigger"], ["trigger", "resolve"], ["resolve"])
                # A resolve alone: the trigger was tried, or recorded, before a silence.
                assert "resolve" not in told or told[-1] == "resolve"

    @invariant()
    def each_step_of_escalation_is_taken_once(self) -> None:
        if hasattr(self, "world"):
            made = self.world.records.decisions(MODEL)
            steps = Counter((d.subject, d.reason[:7]) for d in made if d.action == "escalate")
            assert set(steps.values()) <= {1}

    def teardown(self) -> None:
        """Once all is in order and nobody is silent, everybody was told of each end."""
        if not hasattr(self, "world"):
            return
        world = self.world
        for receiver in world.receivers.values():
            receiver.down = False
            receiver.refuses = set()
        for made in all_silences(world.records):
            with contextlib.suppress(NotFoundError):
                world.silencing.end(made.number, "ben", world.now)
        world.now += timedelta(days=2)
        for _ in range(3):
            world.now += 20 * MINUTE
            world.tick()
        found = world.records.read(unreached_key(MODEL), Unreached)
        lost = found.pages if found else ()
        for name in (PARENT, CHILD):
            state = world.state(name)
            assert not (state.open and state.untold and not self.explained(name))
            for page in state.pages if state.open else ():
                if (page.receiver, page.key) in lost:
                    assert page.key == state.key
                    continue
                got = [
                    n.action for n in world.receivers[page.receiver].got if n.incident == page.key
                ]
                assert NotifyAction.TRIGGER in got
                assert NotifyAction.RESOLVE not in got
        world.signals = {PARENT: FINE, CHILD: FINE}
        for _ in range(4):
            world.now += timedelta(days=1)
            world.tick()
        assert world.records.pending(world.now + timedelta(days=400)) == ()
        for receiver in world.receivers.values():
            begun = {n.incident for n in receiver.got if n.action is NotifyAction.TRIGGER}
            ended = {n.incident for n in receiver.got if n.action is NotifyAction.RESOLVE}
            assert begun <= ended

    def explained(self, name: str) -> bool:
        parent = self.world.state(PARENT)
        return name == CHILD and (parent.open or parent.stage is Stage.PENDING)


TestTelling = Telling.TestCase
TestTelling.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
