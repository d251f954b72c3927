import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event

import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.trainers.local import LocalTrainer
from homeostat.domain.effect import StartTraining
from homeostat.domain.errors import TrainingError
from homeostat.domain.model import ModelSpec
from homeostat.domain.window import Window
from homeostat.engine.ports import Training
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import NOW, SPEC, predictions

ROWS = predictions(["a", "b"]).append_column("label", pa.array(np.zeros(2)))
LOST = "lost while no control plane looked: the training process ended without a result"
GOOD = """
    (out / "model.json").write_text("{}")
    return {"rows": len(rows), "auc": 0.75, "odd": float("nan")}
"""


def request(run_id: str = "run") -> StartTraining:
    return StartTraining(run_id, "fraud", "1", Window(NOW - timedelta(days=1), NOW), NOW)


class Bench:
    """A trainer over a function with the given body, on the system's clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[LocalTrainer] = []

    def trainer(
        self, body: str, limit: float = 60.0, *, wait: bool = False, head: str = ""
    ) -> LocalTrainer:
        file = self.folder / "train.py"
        file.write_text(f"{head}\ndef train(rows, spec, out):\n    import os, sys, time{body}")
        return self.again(limit, wait=wait)

    def again(self, limit: float = 60.0, *, wait: bool = False) -> LocalTrainer:
        """Return a new owner of the same runs, as after a restart."""
        clock = SimulatedClock(NOW) if wait else SystemClock()
        function = f"{self.folder / 'train.py'}:train"
        made = LocalTrainer(
            self.folder / "runs", function, clock, timedelta(seconds=limit), wait=wait
        )
        self.made.append(made)
        return made


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for trainer in bench.made:
        for folder in (tmp_path / "runs").glob("*"):
            trainer.cancel("fraud", folder.name)


def started(trainer: LocalTrainer, spec: ModelSpec = SPEC) -> LocalTrainer:
    trainer.start(request(), spec, ROWS)
    return trainer


def ended(trainer: LocalTrainer) -> Training:
    for _ in range(1200):
        found = trainer.poll("fraud", "run")
        if found.done:
            return found
        Event().wait(0.05)
    raise AssertionError("the run did not end")


def test_metrics_and_artifact_come_back_in_the_background(bench: Bench) -> None:
    trainer = bench.trainer("\n    time.sleep(0.5)" + GOOD)
    trainer.start(request(), SPEC, ROWS)
    assert not trainer.poll("fraud", "run").done
    found = ended(trainer)
    assert (found.problem, found.flavour) == ("", "linear")
    assert found.metrics == (("auc", 0.75), ("rows", 2.0))
    assert found.artifact is not None
    assert (found.artifact / "model.json").is_file()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("\n    os.kill(os.getpid(), 9)", "the training process was ended by SIGKILL"),
        (
            "\n    for _ in range(200_000): print('epoch' * 8)\n    sys.exit('x' * 9000)",
            "the training process ended with exit code 1 and without a result: " + "x" * 500,
        ),
    ],
)
def test_a_crash_is_told_with_the_last_line_that_it_printed(
    bench: Bench, body: str, said: str
) -> None:
    assert ended(started(bench.trainer(body, wait=True))) == Training(done=True, problem=said)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ('{"metrics": {}}', "the artifact is of no known kind"),
        ('{"problem": "ValueError: too few"}', "ValueError: too few"),
        ("{", "the result of the training is unreadable"),
    ],
)
def test_an_unusable_result_is_a_failed_run(bench: Bench, result: str, said: str) -> None:
    folder = bench.folder / "runs" / "run"
    folder.mkdir(parents=True)
    (folder / "request.json").write_text("{}")
    (folder / "result.json").write_text(result)
    found = bench.again().poll("fraud", "run")
    assert found.done
    assert found.artifact is None
    assert found.problem.startswith(said)


def test_a_process_that_lingers_after_its_result_is_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeostat.adapters.trainers.processes.LINGER", 0.1)
    body = "\n    import threading\n    threading.Thread(target=time.sleep, args=(60,)).start()"
    trainer = started(bench.trainer(body + GOOD))
    assert ended(trainer).problem == ""
    assert ended(trainer).problem == ""


def test_the_limit_holds_for_the_whole_process_group(bench: Bench) -> None:
    mark = bench.folder / "alive"
    body = f"""
    if os.fork() == 0:
        for _ in range(600):
            open({str(mark)!r}, 'a').write('.')
            time.sleep(0.05)
    time.sleep(60)"""
    found = ended(started(bench.trainer(body, limit=12)))
    assert found.problem == "training took longer than 0:00:12"
    size = mark.stat().st_size
    Event().wait(0.3)
    assert mark.stat().st_size == size > 0


def test_who_waits_waits_no_longer_than_the_limit(bench: Bench) -> None:
    found = ended(started(bench.trainer("\n    time.sleep(60)", limit=0.5, wait=True)))
    assert found.problem == "training took longer than 0:00:00.500000"


def test_a_cancelled_run_has_failed(bench: Bench) -> None:
    trainer = started(bench.trainer("\n    time.sleep(60)"))
    trainer.cancel("fraud", "run")
    assert trainer.poll("fraud", "run").problem == "cancelled"
    trainer.cancel("fraud", "run")


def orphan(bench: Bench, body: str) -> LocalTrainer:
    """Start a run in a process that dies at once; return a later owner of the run."""
    bench.trainer(body)
    code = (
        "import sys, pickle; trainer, *given = pickle.load(sys.stdin.buffer)\n"
        "from homeostat.adapters.trainers.local import LocalTrainer\n"
        "from homeostat.adapters.clock import SystemClock\n"
        "import os; LocalTrainer(*trainer, SystemClock()).start(*given); os._exit(0)"
    )
    trainer = (bench.folder / "runs", f"{bench.folder / 'train.py'}:train")
    given = pickle.dumps((trainer, request(), SPEC, ROWS))
    subprocess.run([sys.executable, "-c", code], input=given, check=True)
    return bench.again()


def test_a_run_outlives_its_owner_and_the_next_one_finds_its_result(bench: Bench) -> None:
    later = orphan(bench, "\n    time.sleep(1)" + GOOD)
    assert not later.poll("fraud", "run").done
    started(later)
    assert ended(later).metrics == (("auc", 0.75), ("rows", 2.0))
    runs = bench.folder / "runs" / "run"
    assert json.loads((runs / "request.json").read_text())["function"].endswith(":train")


def test_an_orphan_that_dies_or_is_cancelled_is_noticed(bench: Bench) -> None:
    later = orphan(bench, "\n    time.sleep(60)")
    pid = bench.folder / "runs" / "run" / "pid"
    for _ in range(1200):
        if pid.exists():
            break
        Event().wait(0.05)
    later.cancel("fraud", "run")
    assert ended(later).problem == "cancelled"


def test_a_run_whose_machine_went_down_is_lost(bench: Bench) -> None:
    later = orphan(bench, "\n    time.sleep(60)")
    pid = bench.folder / "runs" / "run" / "pid"
    for _ in range(1200):
        if pid.exists() and pid.read_text():
            break
        Event().wait(0.05)
    os.killpg(int(pid.read_text().split()[0]), signal.SIGKILL)
    assert ended(later).problem == LOST


def test_a_run_whose_owner_died_before_its_process_began_can_be_started_again(bench: Bench) -> None:
    trainer = bench.trainer(GOOD)
    folder = bench.folder / "runs" / "run"
    folder.mkdir(parents=True)
    (folder / "request.json").write_text("{}")
    trainer.cancel("fraud", "run")
    assert trainer.poll("fraud", "run").problem == LOST
    assert ended(started(trainer)).problem == ""


def test_a_full_disk_is_the_outcome_of_the_run_and_the_run_can_be_asked_for_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = bench.trainer(GOOD, wait=True)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for where in ("pq.write_table", "subprocess.Popen"):
        with monkeypatch.context() as patch:
            patch.setattr(f"homeostat.adapters.trainers.processes.{where}", full)
            started(trainer)
        assert "cannot begin: [Errno 28] No space" in trainer.poll("fraud", "run").problem
    assert ended(started(trainer)).problem == ""


@pytest.mark.parametrize("name", ["", "../x", "a\\b", ".hidden", "a\0b"])
def test_hostile_run_ids_stay_inside_the_root(bench: Bench, name: str) -> None:
    trainer = bench.trainer(GOOD)
    with pytest.raises(TrainingError):
        trainer.start(request(name), SPEC, ROWS)
