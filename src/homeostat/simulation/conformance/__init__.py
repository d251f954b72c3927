"""One suite of checks for each port, which its fake and every real adapter pass.

A check takes what it is to check (see each suite) and raises AssertionError where it falls short.
"""

from homeostat.simulation.conformance.log import LOG_CHECKS
from homeostat.simulation.conformance.models import REGISTRY_CHECKS, TRAINER_CHECKS
from homeostat.simulation.conformance.records import RECORDS_CHECKS
from homeostat.simulation.conformance.wires import NOTIFIER_CHECKS, ROUTES_CHECKS

__all__ = [
    "LOG_CHECKS",
    "NOTIFIER_CHECKS",
    "RECORDS_CHECKS",
    "REGISTRY_CHECKS",
    "ROUTES_CHECKS",
    "TRAINER_CHECKS",
]
