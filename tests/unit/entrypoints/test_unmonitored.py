"""What is said about a reference that is too thin for drift."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from homeostat.domain.window import Window
from homeostat.engine.training import reference_of
from homeostat.entrypoints.settings.values import format_duration
from homeostat.entrypoints.unmonitored import unmonitored
from simulation.world import DAY, HOUR, PLAN, START, Fate


@pytest.mark.parametrize("every", [HOUR / 4, HOUR], ids=["15m", "1h"])
def test_the_window_that_it_names_is_judged(every: timedelta) -> None:
    rows = Fate(5).traffic(Window(START, START + 4 * DAY))
    thin = replace(PLAN, drift=replace(PLAN.drift, every=every, min_rows=50))
    windows = reference_of(thin, rows, None, None)
    told = unmonitored(thin, windows)
    assert f"{format_duration(every)} holds about" in told
    lengths = {format_duration(every * 2**power): every * 2**power for power in range(12)}
    wider = lengths[told.rpartition(" ")[2]]
    mended = replace(PLAN, drift=replace(PLAN.drift, every=wider, min_rows=50))
    assert unmonitored(mended, windows) == ""
    assert unmonitored(mended, reference_of(mended, rows, None, None)) == ""


def test_no_reference_at_all_is_said() -> None:
    assert unmonitored(PLAN, ()).startswith("no reference: drift is not monitored")
