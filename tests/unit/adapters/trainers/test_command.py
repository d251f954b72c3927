"""Commands and containers: limits, what they print, and what becomes of those that go wrong."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Event

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.trainers.container import ContainerTrainer, find_program
from homeostat.adapters.trainers.local import CommandTrainer
from homeostat.adapters.trainers.processes import Limits, ProcessTrainer
from homeostat.domain.errors import TrainingError
from homeostat.domain.manifest import seed_of
from homeostat.domain.model import ModelSpec
from homeostat.engine.ports import Trainer
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance import TRAINER_CHECKS
from homeostat.simulation.conformance.log import NOW
from trainings import FRAUD, ROWS, ended, request

MB = 1_000_000
GOOD = 'echo "{}" > "$HOMEOSTAT_ARTIFACT/model.json"'
DOCKER = r"""#!/bin/sh
# Does what docker does with these arguments, without the container.
echo "$@" >> "$(dirname "$0")/calls"
if [ "$1" = kill ]; then kill -9 "$(cat "$(dirname "$0")/inside")"; exit 0; fi
for word in "$@"; do
  case "$word" in
    *:/training/artifact:rw) export HOMEOSTAT_ARTIFACT="${word%%:*}" ;;
    *:/training/rows.parquet:ro) export HOMEOSTAT_ROWS="${word%%:*}" ;;
    gone:*) echo "Unable to find image '$word' locally" >&2; exit 125 ;;
  esac
  last="$word"
done
setsid sh -c 'echo $$ > "$0"; exec sh -c "$1"' "$(dirname "$0")/inside" "$last"
"""


def running(pid: int) -> bool:
    """Whether a process goes: one that has ended and that nobody waits for has no command line."""
    command = Path(f"/proc/{pid}/cmdline")
    return command.exists() and command.read_bytes() != b""


@pytest.fixture
def made(tmp_path: Path) -> Iterator[list[ProcessTrainer]]:
    trainers: list[ProcessTrainer] = []
    yield trainers
    for trainer in trainers:
        for folder in (tmp_path / "runs").glob("*"):
            trainer.cancel("fraud", folder.name)


@pytest.fixture
def shell(tmp_path: Path, made: list[ProcessTrainer]) -> Callable[..., CommandTrainer]:
    def make(script: str, limit: float = 30.0, limits: Limits | None = None) -> CommandTrainer:
        trainer = CommandTrainer(
            tmp_path / "runs", ("sh", "-c", script), SystemClock(), tmp_path,
            timedelta(seconds=limit), limits=limits or Limits(free=0),
        )  # fmt: skip
        made.append(trainer)
        return trainer

    return make


Shell = Callable[..., CommandTrainer]


@pytest.mark.parametrize("check", TRAINER_CHECKS, ids=lambda check: check.__name__)
def test_a_command_conforms(
    check: Callable[[Trainer, ModelSpec, pa.Table], None], shell: Shell
) -> None:
    trainer = replace(shell(GOOD), wait=True, clock=SimulatedClock(NOW))
    check(trainer, FRAUD, ROWS)


def test_a_command_finds_what_it_needs_and_its_lines_are_understood(
    shell: Shell, tmp_path: Path
) -> None:
    script = f"""
    cp "$HOMEOSTAT_ROWS" "$HOMEOSTAT_REQUEST" .
    echo "$HOMEOSTAT_RUN $HOMEOSTAT_MODEL $HOMEOSTAT_SEED" > said
    echo "progress: 40%"; echo "metric: auc=0.91"; echo "metric: bad=nan"; echo "metric: odd=x"
    echo "progress: 1.2.3"
    while [ ! -e go ]; do sleep 0.05; done
    {GOOD}"""
    trainer = shell(script)
    trainer.start(request(), FRAUD, ROWS)
    for _ in range(1200):
        if trainer.poll("fraud", "run").progress == 0.4:
            break
        Event().wait(0.05)
    assert not trainer.poll("fraud", "run").done
    (tmp_path / "go").touch()
    found = ended(trainer)
    assert (found.problem, found.metrics) == ("", (("auc", 0.91),))
    assert (tmp_path / "said").read_text() == f"run fraud {seed_of('run')}\n"
    assert pq.read_table(tmp_path / "rows.parquet").equals(ROWS)
    told = json.loads((tmp_path / "request.json").read_text())
    assert (told["request"]["parent"], told["spec"]["name"]) == ("1", "fraud")
    assert "sh -c" in trainer.source()


@pytest.mark.parametrize(
    ("script", "limits", "said"),
    [
        ("echo no luck; exit 7", None, "the training command ended with exit code 7: no luck"),
        ("true", None, "the training command wrote nothing into the folder HOMEOSTAT_ARTIFACT"),
        ('echo > "$HOMEOSTAT_ARTIFACT/x"', None, "the artifact is of no known kind"),
        ("kill -9 $$", None, "the training process was ended by SIGKILL"),
        (
            'cd "$TMPDIR"; sleep 60 & head -c 3000000 /dev/zero > big1; cp big1 big2; sleep 60',
            Limits(disk=4 * MB, free=0),
            "the training filled 6 MB of disk; the limit is 4 MB",
        ),
        (
            'exec truncate -s 9000000 "$TMPDIR/big"',
            Limits(disk=4 * MB, free=0),
            "ended by SIGXFSZ: it wrote a file that is larger than its disk limit",
        ),
        ("sleep 60", Limits(free=10**18), "1000000000000 MB must stay"),
        (
            'exec /usr/bin/env python3 -S -c "x = bytearray(900_000_000)"',
            Limits(memory=400 * MB, free=0),
            "MemoryError",
        ),
    ],
    ids=["exit", "nothing", "strange", "killed", "disk", "one-file", "free", "memory"],
)
def test_what_goes_wrong_is_told_and_nothing_stays(
    shell: Shell, tmp_path: Path, script: str, limits: Limits | None, said: str
) -> None:
    trainer = shell(script, limits=limits)
    trainer.start(request(), FRAUD, ROWS)
    found = ended(trainer)
    assert found.artifact is None
    assert said in found.problem
    if limits is not None:
        assert not (tmp_path / "runs" / "run" / "artifact").exists()
        assert not (tmp_path / "runs" / "run" / "tmp").exists()


def test_a_program_that_is_not_there_is_told(made: list[ProcessTrainer], tmp_path: Path) -> None:
    trainer = CommandTrainer(tmp_path / "runs", ("no-such-program",), SystemClock(), tmp_path)
    made.append(trainer)
    trainer.start(request(), FRAUD, ROWS)
    assert "cannot begin: [Errno 2]" in ended(trainer).problem
    assert trainer.source() == "no-such-program"


def test_a_hanging_command_is_ended_though_nobody_polls(shell: Shell, tmp_path: Path) -> None:
    trainer = shell("sleep 60", limit=0.5)
    trainer.start(request(), FRAUD, ROWS)
    result = tmp_path / "runs" / "run" / "result.json"
    for _ in range(600):
        if result.exists():
            break
        Event().wait(0.05)
    assert ended(trainer).problem == "training took longer than 0:00:00.500000"


def test_the_log_is_kept_and_bounded(shell: Shell, tmp_path: Path) -> None:
    trainer = shell(f"head -c 200000 /dev/zero; echo last; {GOOD}", limits=Limits(log=20_000))
    trainer.start(request(), FRAUD, ROWS)
    assert ended(trainer).problem == ""
    logs = sorted((tmp_path / "runs" / "run").glob("log*.txt"))
    assert 10_000 <= sum(log.stat().st_size for log in logs) <= 20_000
    assert b"last" in logs[-1].read_bytes()


def test_there_are_never_two_trainings_of_a_model(shell: Shell, tmp_path: Path) -> None:
    first = shell("echo $$ > one; sleep 60")
    first.start(request("one"), FRAUD, ROWS)
    for _ in range(600):
        if (tmp_path / "one").exists() and (tmp_path / "one").read_text():
            break
        Event().wait(0.05)
    later = shell(GOOD)
    later.start(request("two"), FRAUD, ROWS)
    assert later.poll("fraud", "one").problem == "ended, because two begins"
    assert ended(later, "two").problem == ""
    assert not running(int((tmp_path / "one").read_text()))


def test_the_newest_runs_are_kept(shell: Shell, tmp_path: Path) -> None:
    trainer = replace(shell(GOOD, limits=Limits(kept=2, free=0)), wait=True)
    for run_id in ("one", "two", "three"):
        trainer.start(request(run_id), FRAUD, ROWS)
        assert trainer.poll("fraud", run_id).problem == ""
    assert sorted(folder.name for folder in (tmp_path / "runs").iterdir()) == ["three", "two"]


def test_a_number_that_is_somebody_elses_by_now_is_not_killed(shell: Shell, tmp_path: Path) -> None:
    trainer = shell("sleep 60")
    trainer.start(request(), FRAUD, ROWS)
    pid = tmp_path / "runs" / "run" / "pid"
    for _ in range(600):
        if pid.exists() and pid.read_text():
            break
        Event().wait(0.05)
    right = pid.read_text()
    pid.write_text(f"{right.split()[0]} 1")
    other = shell("sleep 60")
    other.cancel("fraud", "run")
    assert not other.poll("fraud", "run").done
    pid.write_text(right)
    other.cancel("fraud", "run")
    assert ended(other).problem


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").write_text(DOCKER)
    (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def contained(folder: Path, made: list[ProcessTrainer], **given: object) -> ContainerTrainer:
    trainer = ContainerTrainer(
        folder / "runs", "trainers/fraud:7", SystemClock(), (GOOD,), limits=Limits(free=0)
    )
    trainer = replace(trainer, **given)  # type: ignore[arg-type]
    made.append(trainer)
    return trainer


def test_a_container_sees_the_rows_and_the_folder_of_the_artifact_only(
    docker: Path, made: list[ProcessTrainer], tmp_path: Path
) -> None:
    limits = Limits(memory=500 * MB, free=0)
    trainer = contained(tmp_path, made, variables=("AWS_REGION",), limits=limits)
    trainer.start(request(), FRAUD, ROWS)
    assert ended(trainer).problem == ""
    call = (docker / "calls").read_text()
    runs = (tmp_path / "runs" / "run").resolve()
    assert call.startswith("run --rm --init --name homeostat-run --network none --user ")
    assert call.count("--volume") == 3
    assert f"{runs}/rows.parquet:/training/rows.parquet:ro" in call
    assert f"{runs}/request.json:/training/request.json:ro" in call
    assert f"{runs}/artifact:/training/artifact:rw" in call
    assert "--memory 500000000" in call
    assert "--env HOMEOSTAT_ARTIFACT=/training/artifact" in call
    assert "--env AWS_REGION" in call
    assert trainer.source().startswith("container trainers/fraud:7 ")


def test_a_container_is_killed_by_its_name(
    docker: Path, made: list[ProcessTrainer], tmp_path: Path
) -> None:
    trainer = contained(tmp_path, made, arguments=("sleep 60",))
    trainer.start(request(), FRAUD, ROWS)
    for _ in range(600):
        if (docker / "inside").exists() and (docker / "inside").read_text():
            break
        Event().wait(0.05)
    inside = int((docker / "inside").read_text())
    trainer.cancel("fraud", "run")
    assert ended(trainer).artifact is None
    assert "kill homeostat-run" in (docker / "calls").read_text()
    for _ in range(600):
        if not running(inside):
            break
        Event().wait(0.05)
    assert not running(inside)


@pytest.mark.usefixtures("docker")
def test_an_image_that_is_not_there_is_told(made: list[ProcessTrainer], tmp_path: Path) -> None:
    trainer = contained(tmp_path, made, image="gone:1")
    trainer.start(request(), FRAUD, ROWS)
    assert "exit code 125: Unable to find image 'gone:1'" in ended(trainer).problem


def test_no_container_program_is_told_with_what_to_do(
    made: list[ProcessTrainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    trainer = contained(tmp_path, made)
    trainer.start(request(), FRAUD, ROWS)
    found = trainer.poll("fraud", "run").problem
    assert "there is no docker and no podman on this machine; install docker or podman" in found
    with pytest.raises(TrainingError, match="there is no podman on"):
        find_program("podman")


def test_a_training_gets_the_secrets_of_the_control_plane_only_where_they_are_named(
    shell: Callable[..., CommandTrainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PAGER_KEY", "OMP_NUM_THREADS", "FEATURES_URL"):
        monkeypatch.setenv(name, "of-the-control-plane")
    said = 'echo "${PAGER_KEY-none} ${OMP_NUM_THREADS-none} ${FEATURES_URL-none}"; exit 3'
    plain = shell(said)
    plain.start(request("fraud-0001"), FRAUD, ROWS)
    assert ended(plain, "fraud-0001").problem.endswith(": none of-the-control-plane none")
    named = replace(shell(said), variables=("FEATURES_URL",))
    named.start(request("fraud-0002"), FRAUD, ROWS)
    found = ended(named, "fraud-0002").problem
    assert found.endswith(": none of-the-control-plane of-the-control-plane")
