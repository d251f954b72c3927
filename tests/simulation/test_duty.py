"""Quiet days page nobody; what goes wrong pages once, and is over after it ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.domain.window import Window
from simulation.duty import MODEL, START, Duty, begin
from simulation.shop import DAY, Incident, Kind, Shop
from simulation.tally import tally

HOUR = timedelta(hours=1)
SPELL = timedelta(hours=9)
KINDS = (Kind.CENTS, Kind.SLOW, Kind.SILENCE, Kind.RENAMED, Kind.TIMEOUTS)


def live(duty: Duty, days: float, each: Callable[[], object] = lambda: None) -> None:
    while duty.clock.now() < START + days * DAY:
        each()
        duty.advance(away=4 * DAY <= duty.clock.now() - START < 4 * DAY + 5 * HOUR)
    assert duty.problems == []


@pytest.mark.slow
def test_a_payday_a_holiday_a_deploy_restarts_and_late_labels_page_nobody(tmp_path: Path) -> None:
    """From the 4th to the 16th of March: with weekends, and with the 15th."""
    late = Window(START + 2 * DAY, START + 3 * DAY)
    shop = Shop(21, 2000, holidays=((START + 8 * DAY).date(),), hiccups=(late,))
    duty = begin(tmp_path, shop, HOUR)

    def happens() -> None:
        if duty.clock.now().hour == 13:
            duty.restart()
        if duty.clock.now() == START + 6 * DAY:
            duty.deploy()

    live(duty, 12, happens)
    assert duty.pages() == []
    made = [d.action for d in duty.ports.records.decisions(MODEL)]
    assert made.count("push") == 1
    assert "roll_back" not in made


@pytest.mark.slow
def test_each_incident_is_found_paged_once_and_over_after_its_end(tmp_path: Path) -> None:
    starts = [START + (1 + number) * DAY + 10 * HOUR for number in range(len(KINDS))]
    incidents = tuple(
        Incident(kind, Window(start, start + SPELL))
        for kind, start in zip(KINDS, starts, strict=True)
    )
    duty = begin(tmp_path, Shop(22, 4000, incidents=incidents), HOUR, retrains=False)
    live(duty, 2 + len(KINDS))
    outcomes, false = tally(incidents, duty.pages())
    assert false == []
    for each in outcomes:
        assert each.first is not None, f"{each.incident.kind} was missed"
        assert len(each.pages) == 1, each
        assert each.early == ()
        assert each.first.resolved is not None
