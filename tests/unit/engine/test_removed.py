"""A model leaves the configuration while incidents of it are open."""

from __future__ import annotations

from pathlib import Path

import pytest

from homeostat.alerting.episode import Stage
from homeostat.alerting.silences import Matcher
from homeostat.domain.errors import StorageError
from homeostat.engine.commands import Command, Inbox, Request, inbox_key, submit
from homeostat.engine.loop import Engine
from homeostat.engine.silencing import Silencing
from homeostat.engine.watch import incident_key
from homeostat.entrypoints import current
from homeostat.simulation.fakes.records import MemoryUnit
from unit.engine.ruled import HOUR, MODEL, Site, plan_of

ALERTS = """
alerts:
  rules:
    errors: {metric: error_rate, above: 0.01, min_rows: 100}
    slow: {metric: latency_p99, above: 100, min_rows: 100, hold: 1h}
"""
FIRED, OVER = ("errors", "trigger"), ("errors", "resolve")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(plan_of(tmp_path, ALERTS), tmp_path)
    made.answer(200, failed=4, latency=200.0)
    assert made.told == [FIRED]
    assert (made.stage("errors"), made.stage("slow")) == (Stage.FIRING, Stage.PENDING)
    return made


def leave(site: Site) -> None:
    site.engine = Engine(site.ports, {})


def test_what_is_open_of_it_is_over_at_the_next_tick_and_who_was_told_is_told_once(
    site: Site,
) -> None:
    leave(site)
    for _ in range(3):
        site.answer(200, failed=4)
    assert site.told == [FIRED, OVER]
    assert (site.stage("errors"), site.stage("slow")) == (Stage.RESOLVED, Stage.INACTIVE)
    leave(site)
    site.answer(200)
    assert site.told == [FIRED, OVER]
    assert site.notifier.attempts[-1].body == "its model is not configured any more"


def test_a_model_that_comes_back_fires_anew(site: Site) -> None:
    plan = site.plan
    leave(site)
    site.answer(200)
    site.follow(plan)
    site.answer(400, failed=12)
    assert site.told == [FIRED, OVER, FIRED]


def test_what_a_silence_kept_from_people_stays_untold(tmp_path: Path) -> None:
    site = Site(plan_of(tmp_path, ALERTS), tmp_path)
    silencing = Silencing(site.ports.records, (MODEL,))
    silencing.add(Matcher(), "ana", "known", (None, site.now + HOUR), "ana", site.now)
    site.answer(200, failed=4)
    leave(site)
    site.answer(200)
    assert (site.told, site.stage("errors")) == ([], Stage.RESOLVED)


def test_a_person_who_closes_it_has_the_word_and_what_else_was_asked_is_refused(
    site: Site,
) -> None:
    key = current.find_incident(site.ports.records, "toy:errors:1").key
    for command in (
        Command(Request.CLOSE, MODEL, "ana", key, "sold"),
        Command(Request.RETRAIN, MODEL, "ben"),
    ):
        submit(site.ports.records, command, site.now)
    leave(site)
    site.answer(200)
    assert site.notifier.attempts[-1].body == "sold"
    made = [(each.actor, each.action) for each in site.ports.records.decisions(MODEL)]
    assert made[-2:] == [("ana", "resolve"), ("ben", "refuse")]
    assert site.ports.records.read(inbox_key(MODEL), Inbox) == Inbox()


def test_what_could_not_be_written_is_tried_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = MemoryUnit.save

    def full(self: MemoryUnit, key: str, state: object) -> None:
        raise StorageError("the disk is full")

    leave(site)
    monkeypatch.setattr(MemoryUnit, "save", full)
    site.answer(0)
    assert site.problems == ["toy, which is not configured any more: the disk is full"]
    monkeypatch.setattr(MemoryUnit, "save", save)
    site.answer(0)
    assert site.told == [FIRED, OVER]


def test_who_was_first_meanwhile_makes_it_try_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = MemoryUnit.load
    key = incident_key(MODEL, "slow")

    def late(self: MemoryUnit, wanted: str, kind: type[object]) -> object | None:
        found = load(self, wanted, kind)
        if wanted == key:
            monkeypatch.setattr(MemoryUnit, "load", load)
            site.put(key, found)
        return found

    leave(site)
    monkeypatch.setattr(MemoryUnit, "load", late)
    site.answer(0)
    assert (site.problems, site.told) == ([], [FIRED])
    site.answer(0)
    assert site.told == [FIRED, OVER]
