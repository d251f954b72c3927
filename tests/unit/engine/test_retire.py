"""What the plan no longer judges says nothing any more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from homeostat.detectors.calibration.detector import CalibrationConfig
from homeostat.domain.verdict import Monitor, Status
from homeostat.engine.retire import retire
from simulation.world import DAY, PLAN, START
from unit.engine.bench import verdict, watch

ON = replace(
    PLAN,
    performance=replace(PLAN.performance, share=0.1),
    calibration=CalibrationConfig(share=0.05),
)


@pytest.mark.parametrize(
    "status", [Status.DRIFT, Status.INCONCLUSIVE, Status.NO_DATA], ids=lambda status: status.value
)
def test_calibration_that_is_switched_off_ends_what_it_said(status: Status) -> None:
    seen = replace(
        watch(),
        latest=(
            verdict(Monitor.CALIBRATION, "calibration", status),
            verdict(Monitor.DATA_DRIFT, "amount"),
        ),
    )
    assert retire(ON, seen, START + 2 * DAY).verdicts == ()
    found = retire(PLAN, seen, START + 2 * DAY)
    (told,) = found.verdicts
    assert (told.monitor, told.subject, told.status) == (
        Monitor.CALIBRATION,
        "calibration",
        Status.OK,
    )
    assert (told.window.start, told.window.end) == (START + DAY, START + 2 * DAY)
    assert [decision.action for decision in found.decisions] == ["retire"]
    assert retire(PLAN, seen.noting(found.verdicts), START + 3 * DAY).verdicts == ()
