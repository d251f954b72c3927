"""The process that keeps workers running, with workers that do as they are told."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Thread

import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.entrypoints.gateway import workers
from homeostat.entrypoints.gateway.workers import Place, Supervisor, sockets
from integration.live_site import until

CRASH = """
import socket, sys
number, descriptor, _, folder = sys.argv[1].split(":", 3)
with open(f"{folder}/starts", "a") as starts:
    starts.write(f"{number} {socket.socket(fileno=int(descriptor)).getsockname()[1]}\\n")
sys.exit(7)
"""
WAIT = "import time; time.sleep(60)"
DEAF = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
)
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)


def supervisor(
    folder: Path, programs: Sequence[str], patience: float = 10.0
) -> tuple[Supervisor, int]:
    bound = sockets("127.0.0.1", 0, len(programs), 16)

    def command(place: Place) -> list[str]:
        return [sys.executable, "-S", "-E", "-c", programs[place.number], str(place)]

    port: int = bound[0].getsockname()[1]
    return Supervisor(bound, command, SystemClock(), folder, patience, 16), port


def later(what: Callable[[], object], then: Callable[[], object]) -> Thread:
    def wait() -> None:
        until(what)
        then()

    thread = Thread(target=wait)
    thread.start()
    return thread


def test_a_worker_that_dies_again_and_again_is_started_less_and_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "FIRST_PAUSE", 0.01)
    made, port = supervisor(tmp_path, [CRASH, WAIT])
    starts = tmp_path / "starts"
    thread = later(
        lambda: starts.exists() and starts.read_text().count("\n") >= 4,
        lambda: signal.raise_signal(signal.SIGTERM),
    )
    made.run()
    thread.join()
    assert set(starts.read_text().splitlines()) == {f"0 {port}"}, "each on the port"
    for wait in ("0", "0.01", "0.02"):
        assert f"worker 0 ended with code 7, next start in {wait} s" in caplog.text


def test_a_mistake_in_the_configuration_ends_all(tmp_path: Path) -> None:
    made, port = supervisor(tmp_path, ["import sys; sys.exit(2)", WAIT])
    assert made.run() == 2
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_workers_that_do_not_end_are_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "LAST_WORDS", 0.2)
    hears = tmp_path / "hears"
    deaf = DEAF.replace("print(1, flush=True)", f"open({str(hears)!r}, 'w').close()")
    made, _ = supervisor(tmp_path, [deaf], patience=0.1)
    thread = later(hears.exists, lambda: signal.raise_signal(signal.SIGTERM))
    assert made.run() == signal.SIGKILL
    thread.join()


def test_an_address_that_cannot_be_used_leaves_nothing_open() -> None:
    with pytest.raises(OSError, match="assign"):
        sockets("192.0.2.1", 0, 2, 16)
    one, two = sockets("127.0.0.1", 0, 2, 16)
    assert one.getsockname()[1] == two.getsockname()[1]
    one.close()
    two.close()
