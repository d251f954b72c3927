"""Requests whose callers chose the version count as traffic and in no comparison."""

from datetime import timedelta

from homeostat.engine.cohort import cohorts, outcomes
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, NOW, SPEC, T0, labels, predictions
from homeostat.simulation.fakes import MemoryLog


def test_overrides_and_their_shadows_are_left_out_of_pairs_and_metrics() -> None:
    log = MemoryLog(SimulatedClock(NOW))
    log.append(SPEC, predictions(["a", "b"], T0))
    log.append(SPEC, predictions(["a", "b", "x"], T0, version="2", role="shadow"))
    log.append(SPEC, predictions(["x"], T0, version="1", role="override"))
    log.append(SPEC, predictions(["y"], T0, version="2", role="override"))
    log.append_labels(SPEC, labels(["a", "b", "x", "y"], 1.0, T0 + timedelta(days=1)))
    (cohort,) = cohorts(SPEC)
    found = outcomes(log, SPEC, cohort, ALL, NOW)
    assert (found.asked, found.known) == (4, 4)
    one, other, _ = found.paired("1", "2")
    assert one.size == other.size == 2
    assert found.of("1")[0].size == found.of("2")[0].size == 2
