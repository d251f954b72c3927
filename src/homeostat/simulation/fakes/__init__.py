"""Ports in memory, for backtests, simulations and tests."""

from homeostat.simulation.fakes.log import MemoryLog
from homeostat.simulation.fakes.models import MemoryRegistry, MemoryScorer, MemoryTrainer
from homeostat.simulation.fakes.records import MemoryRecords
from homeostat.simulation.fakes.wires import MemoryNotifier, MemoryRoutes

__all__ = [
    "MemoryLog",
    "MemoryNotifier",
    "MemoryRecords",
    "MemoryRegistry",
    "MemoryRoutes",
    "MemoryScorer",
    "MemoryTrainer",
]
