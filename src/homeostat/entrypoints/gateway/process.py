"""What the gateway's process takes of its machine, in the Prometheus text format."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from homeostat.adapters.cards import Card
from homeostat.entrypoints.exposition import line as _line

CARD_LABELS = ("index", "name")
PAGE = os.sysconf("SC_PAGE_SIZE")


def process_lines(worker: str, lag: float) -> list[str]:
    """Return processor time, memory, open files, threads and lag of the event loop.

    Parameters
    ----------
    worker : str
        Tells the processes of one gateway apart.
    lag : float
        Seconds by which the event loop is late.
    """
    spent = os.times()
    figures: list[tuple[str, str, float | None]] = [
        ("process_cpu_seconds_total", "counter", spent.user + spent.system),
        ("process_resident_memory_bytes", "gauge", _resident()),
        ("process_open_fds", "gauge", _open_files()),
        ("process_threads", "gauge", threading.active_count()),
        ("homeostat_event_loop_lag_seconds", "gauge", lag),
    ]
    lines: list[str] = []
    for name, kind, number in figures:
        if number is not None:  # the system tells
            lines += [f"# TYPE {name} {kind}", _line(name, ("worker",), (worker,), number)]
    return lines


def _resident() -> float | None:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE
    except OSError:
        return None


def _open_files() -> float | None:
    try:
        return len(list(Path("/proc/self/fd").iterdir())) - 1.0  # the one that is being read
    except OSError:
        return None


def card_lines(cards: Sequence[Card]) -> list[str]:
    """Return load and memory of graphics cards."""
    families: dict[str, Callable[[Card], float]] = {
        "homeostat_gpu_utilisation_ratio": lambda card: card.utilisation,
        "homeostat_gpu_memory_used_bytes": lambda card: card.used_bytes,
        "homeostat_gpu_memory_bytes": lambda card: card.total_bytes,
    }
    lines: list[str] = []
    for name, figure in families.items() if cards else ():
        lines.append(f"# TYPE {name} gauge")
        lines += [
            _line(name, CARD_LABELS, (str(card.index), card.name), figure(card)) for card in cards
        ]
    return lines
