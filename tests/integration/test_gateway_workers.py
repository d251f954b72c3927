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
SERVE = """
import os, signal, sys, time
number, descriptor, line, folder = sys.argv[1].split(":", 3)
open(f"{folder}/begun", "w").close()
while os.path.exists(f"{folder}/hold"):
    time.sleep(0.02)
signal.signal(signal.SIGHUP, lambda *_: open(f"{folder}/renewed", "w").close())
os.write(int(line), b"s\\0\\0")
time.sleep(60)
"""
MISTAKEN = """
import os, sys, time
folder = sys.argv[1].split(":", 3)[3]
while not os.path.exists(f"{folder}/serving"):
    time.sleep(0.02)
with open(f"{folder}/starts", "a") as starts:
    starts.write("0\\n")
sys.exit(2)
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
    serving = folder / "serving"
    made = Supervisor(bound, command, SystemClock(), folder, patience, 16, serving.touch)
    return made, port


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


def test_a_mistake_that_a_worker_makes_later_leaves_those_that_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "FIRST_PAUSE", 0.01)
    dies = SERVE.replace("time.sleep(60)", MISTAKEN)
    made, _ = supervisor(tmp_path, [dies, SERVE])
    starts = tmp_path / "starts"
    thread = later(
        lambda: starts.exists() and starts.read_text().count("\n") >= 3,
        lambda: signal.raise_signal(signal.SIGTERM),
    )
    assert made.run() in {0, 2}, "what the last of them ended with"
    thread.join()
    assert "worker 0 ended with code 2, next start in 0.01 s" in caplog.text
    assert "worker 1 ended" not in caplog.text


def test_a_worker_that_is_starting_renews_its_certificate_once_it_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made, _ = supervisor(tmp_path, [SERVE])
    hold = tmp_path / "hold"
    hold.touch()

    def renew() -> None:
        signal.raise_signal(signal.SIGHUP)
        hold.unlink()
        until((tmp_path / "renewed").exists)
        signal.raise_signal(signal.SIGTERM)

    thread = later((tmp_path / "begun").exists, renew)
    assert made.run() == 0
    thread.join()
    assert caplog.text == ""


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
