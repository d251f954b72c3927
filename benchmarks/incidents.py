"""Looks for a sequence of events after which somebody is told wrongly of an incident.

The state machine of `tests/unit/engine/test_telling_any.py` (signals, people, silences, kills of
the process, clock steps, receivers that are down) with many more and longer sequences than the
tests have time for. It ends with the shortest sequence that it found, or says that there was none.
To run it:

    PYTHONPATH=src:tests .venv/bin/python benchmarks/incidents.py [SEQUENCES] [STEPS]
"""

from __future__ import annotations

import sys
import time

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from unit.engine.test_telling_any import Telling


def main(sequences: int, steps: int) -> None:
    """Try so many sequences of so many steps."""
    patient = settings(
        max_examples=sequences,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    begun = time.process_time()
    run_state_machine_as_test(Telling, settings=patient)
    seconds = time.process_time() - begun
    sys.stdout.write(f"{sequences} sequences of up to {steps} steps: none wrong; {seconds:.0f} s\n")


if __name__ == "__main__":
    given = [int(text) for text in sys.argv[1:]]
    main(*(given + [2000, 60][len(given) :]))
