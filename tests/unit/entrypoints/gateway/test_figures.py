"""Metrics of several processes as one."""

import os
import subprocess
import sys
from pathlib import Path

from homeostat.adapters.cards import Card
from homeostat.entrypoints.exposition import exemplar, line
from homeostat.entrypoints.gateway.figures import Figures, merge
from homeostat.entrypoints.gateway.process import card_lines, process_lines
from unit.entrypoints.gateway.gateway_world import World

ASKED, BUSY = '# TYPE asked_total counter\nasked_total{m="a b"} ', "# TYPE busy gauge\nbusy{} "


def text(asked: float, busy: float) -> str:
    return f"{ASKED}{asked}\n{BUSY}{busy}\n"


def test_workers_are_added_up_and_the_dead_still_count(tmp_path: Path) -> None:
    first = Figures(tmp_path, 0, lambda: text(1, 2))
    first.start()
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    (tmp_path / f"figures-1-{int(gone.stdout)}").write_text(text(10, 20))
    (tmp_path / f"figures-2-{os.getppid()}").write_text(text(100.5, 200))
    assert first.text() == text(111.5, 202)
    successor = Figures(tmp_path, 1, lambda: text(1000, 2000))
    successor.start()
    assert successor.text() in {text(1110.5, 2200), text(1111.5, 2202)}
    again = Figures(tmp_path, 1, lambda: text(0, 0))
    again.start()
    assert not list(tmp_path.glob(f"figures-1-{int(gone.stdout)}"))
    first.stop()
    successor.stop()
    again.stop()
    assert merge([]) == "\n"


def test_of_exemplars_the_newest_stays_and_a_name_cannot_feign_one(tmp_path: Path) -> None:
    def shown(count: int, at: float | None = None) -> str:
        told = line("b_bucket", ("m", "le"), (' # {trace_id="', "1.0"), count)
        noted = exemplar("ab" * 16, "cd" * 8, at / 1000, at) if at is not None else ""
        return f"# TYPE b histogram\n{told}{noted}\n"

    alone = Figures(tmp_path, 0, lambda: shown(1, 9.5))
    (tmp_path / f"figures-1-{os.getppid()}").write_text(shown(10, 10.5))
    (tmp_path / f"figures-2-{os.getppid()}").write_text(shown(100))
    assert alone.text() == shown(111, 10.5)
    (tmp_path / "figures-3-0").write_text(shown(1000, 99.5))
    assert alone.text() == shown(1111, 99.5)


def test_a_folder_that_is_gone_costs_only_the_sum(tmp_path: Path) -> None:
    alone = Figures(tmp_path / "nothing", 0, lambda: text(1, 2))
    alone.start()
    alone.stop()
    assert alone.text() == text(1, 2)


def test_the_process_tells_what_it_takes(world: World) -> None:
    gateway = world.gateway()
    told = gateway.metrics_text()
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"):
        (line,) = [line for line in told.splitlines() if line.startswith(f'{name}{{worker="0"}}')]
        assert float(line.rpartition(" ")[2]) > 0
    assert 'homeostat_event_loop_lag_seconds{worker="7"} 0.25' in process_lines("7", 0.25)


def test_cards_are_told_of() -> None:
    card = Card(0, 'A "fine" one', 0.5, 2**30, 2**34)
    assert card_lines([card])[1] == (
        'homeostat_gpu_utilisation_ratio{index="0",name="A \\"fine\\" one"} 0.5'
    )
    assert len(card_lines([card])) == 6
    assert card_lines([]) == []
