"""Kills, forks and ends of the process: nothing is lost that was on disk, nothing is sent twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from odd_peers import Peer, receipt
from real_server import Make, Server, environment, free_port, run_python, until

BEGIN = """
import json, os, pathlib, sys, time
from homeostat_client import Client
def client(url, **settings):
    usual = dict(model="fraud", spill=SPILL, flush_interval=0.05, retry_first=0.02, retry_most=0.2)
    return Client(url, **{**usual, **settings})
def wait_for_empty_disk():
    while list(pathlib.Path(SPILL).rglob("*.spill")): time.sleep(0.01)
def tell(*values):
    os.write(1, (" ".join(map(json.dumps, values)) + "\\n").encode())  # lines of workers stay whole
"""
ROW = '{"amount": 1.0, "country": "NL"}'


def program(spill: Path, code: str) -> str:
    return f"SPILL = {str(spill)!r}\n{BEGIN}\n{code}"


def taken(peer: Peer) -> list[str]:
    return sorted(str(row["prediction_id"]) for row in peer.rows())


def test_what_a_killed_process_kept_is_replayed_by_the_next_once(
    own_server: Server, tmp_path: Path
) -> None:
    """The server is away, the client spills and is killed; the next one delivers, killed again."""
    spill = tmp_path / "spill"
    code = f"""
c = client({own_server.url!r}, batch_rows=50)
ids = [c.log_prediction({ROW}, 0.5) for _ in range(2000)]
while c.counters.spilled < 2000: time.sleep(0.01)
tell(ids)
os.kill(os.getpid(), 9)
"""
    done = run_python(program(spill, code), check=False)
    assert done.returncode == -signal.SIGKILL
    ids = json.loads(done.stdout)
    assert len(list(spill.rglob("*.spill"))) >= 1
    own_server.start()
    code = f"""
c = client({own_server.url!r})
tell(c.log_prediction({ROW}, 0.5))
while not c.counters.replayed: time.sleep(0.001)
os.kill(os.getpid(), 9)
"""
    done = run_python(program(spill, code), check=False)
    assert done.returncode == -signal.SIGKILL
    code = f"""
c = client({own_server.url!r})
tell(c.log_prediction({ROW}, 0.5))
wait_for_empty_disk()
c.close()
tell(c.counters.sent, c.counters.dropped)
"""
    last = run_python(program(spill, code)).stdout.splitlines()
    ids.append(json.loads(last[0]))
    until(lambda: not list(spill.rglob("*.spill")), "all replayed")
    stored = [row["prediction_id"] for row in own_server.rows()]
    assert len(stored) == len(set(stored))
    assert set(ids) <= set(stored)


def test_a_fork_sends_nothing_twice_and_loses_nothing(tmp_path: Path) -> None:
    """Parent and child log before and after; requests are under way at the fork."""
    code = """
c = client(sys.argv[1], batch_rows=10)
mine = [c.log_prediction({"amount": 1.0}, 0.5) for _ in range(500)]
children = []
for _ in range(4):
    mine += [c.log_prediction({"amount": 1.0}, 0.5) for _ in range(50)]
    pid = os.fork()
    if pid == 0:
        mine = [c.log_prediction({"amount": 2.0}, 0.5) for _ in range(100)]
        assert c.counters.queued == 100, c.counters
        tell(mine)
        sys.exit(0)
    children.append(pid)
mine += [c.log_prediction({"amount": 1.0}, 0.5) for _ in range(50)]
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
tell(mine)
"""
    with Peer(lambda _, body: receipt(body)) as peer:
        done = run_python(program(tmp_path, code), peer.url)
        logged = [key for line in done.stdout.splitlines() for key in json.loads(line)]
        assert len(set(logged)) == len(logged) == 500 + 4 * 150 + 50
        assert taken(peer) == sorted(logged)


def test_workers_forked_from_a_client_made_before(tmp_path: Path) -> None:
    """As gunicorn with preload: the master logs nothing, each worker has its own threads."""
    code = """
c = client(sys.argv[1])
pids = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        tell([c.log_prediction({"amount": 2.0}, 0.5) for _ in range(10)])
        sys.exit(0)
    pids.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0, 0]
"""
    with Peer(lambda _, body: receipt(body)) as peer:
        done = run_python(program(tmp_path, code), peer.url)
        logged = [key for line in done.stdout.splitlines() for key in json.loads(line)]
        assert taken(peer) == sorted(logged)
        assert len(logged) == 30


def test_a_fork_amid_a_request_that_hangs(tmp_path: Path) -> None:
    """The child neither waits for the parent's connection nor closes it."""
    code = """
import threading
c = client(sys.argv[1], exit_timeout=0.2)
c.log_prediction({"amount": 1.0}, 0.5)
while not c._shipper.outbox._sending: time.sleep(0.001)
pid = os.fork()
if pid == 0:
    c.log_prediction({"amount": 2.0}, 0.5)
    c.close(0.1)
    tell(c.counters.waiting)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""
    hanging = Peer(lambda *_: b"")
    with hanging:
        done = run_python(program(tmp_path, code), hanging.url)
    assert done.stdout == "1\n"
    rows = b"".join(path.read_bytes() for path in tmp_path.rglob("*.spill"))
    assert rows.count(b"prediction_id") == 2


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_delivers_at_its_end(tmp_path: Path, method: str) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        program(
            tmp_path,
            f"""
import multiprocessing
def work(url):
    c = client(url)
    tell([c.log_prediction({{"amount": 1.0}}, 0.5) for _ in range(20)])
if __name__ == "__main__":
    process = multiprocessing.get_context({method!r}).Process(target=work, args=(sys.argv[1],))
    process.start()
    process.join()
""",
        )
    )
    with Peer(lambda _, body: receipt(body)) as peer:
        command = [sys.executable, str(script), peer.url]
        done = subprocess.run(command, capture_output=True, check=True, env=environment())
        assert taken(peer) == sorted(json.loads(done.stdout))


def test_the_end_of_the_process_delivers_and_keeps_the_rest(tmp_path: Path) -> None:
    code = f"""
c = client(sys.argv[1], flush_interval=60.0)
tell([c.log_prediction({ROW}, 0.5) for _ in range(100)])
"""
    with Peer(lambda _, body: receipt(body)) as peer:
        done = run_python(program(tmp_path / "a", code), peer.url)
        assert taken(peer) == sorted(json.loads(done.stdout))
    done = run_python(program(tmp_path / "b", code), f"http://127.0.0.1:{free_port()}")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "b").rglob("*.spill"))
    assert all(key.encode() in kept for key in json.loads(done.stdout))


def test_a_signal_delivers_and_keeps_the_rest(tmp_path: Path) -> None:
    """The handler may come amid anything, such as reading the counters."""
    code = f"""
import homeostat_client, signal, threading
c = client(sys.argv[1], flush_interval=60.0, exit_timeout=1.0)
assert homeostat_client.close_at_sigterm()
assert not homeostat_client.close_at_sigterm(), "somebody handles it already"
tell([c.log_prediction({ROW}, 0.5) for _ in range(100)])
threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
while True: c.counters
"""
    with Peer(lambda _, body: receipt(body)) as peer:
        done = run_python(program(tmp_path / "a", code), peer.url, check=False)
        assert done.returncode == -signal.SIGTERM
        assert taken(peer) == sorted(json.loads(done.stdout))
    done = run_python(program(tmp_path / "b", code), f"http://127.0.0.1:{free_port()}", check=False)
    assert done.returncode == -signal.SIGTERM
    kept = b"".join(path.read_bytes() for path in (tmp_path / "b").rglob("*.spill"))
    assert all(key.encode() in kept for key in json.loads(done.stdout))


def test_a_client_that_nobody_holds_any_more_delivers(tmp_path: Path, make: Make) -> None:
    code = """
c = client(sys.argv[1], flush_interval=60.0)
key = c.log_prediction({"amount": 1.0}, 0.5)
del c
import threading
while threading.active_count() > 1: time.sleep(0.01)
tell(key)
"""
    with Peer(lambda _, body: receipt(body)) as peer:
        done = run_python(program(tmp_path, code), peer.url)
        assert taken(peer) == [json.loads(done.stdout)]


def test_two_processes_that_share_a_folder_leave_nothing(tmp_path: Path) -> None:
    """Both find the server away; when it is back each delivers, and what is on disk is sent."""
    port = free_port()
    code = f"""
c = client("http://127.0.0.1:{port}")
tell([c.log_prediction({ROW}, 0.5) for _ in range(50)])
while c.counters.spilled < 50: time.sleep(0.01)
"""
    first, second = (run_python(program(tmp_path, code)).stdout for _ in range(2))
    logged = json.loads(first) + json.loads(second)
    with Peer(lambda _, body: receipt(body)) as peer:
        for old in tmp_path.iterdir():  # the peer has another address: its folder is another
            new = run_python(
                program(
                    tmp_path,
                    "from homeostat_client.spill import folder_for\n"
                    "print(folder_for(sys.argv[1], 'fraud', SPILL))",
                ),
                peer.url,
            ).stdout.strip()
            for path in old.glob("*.spill"):
                path.rename(Path(new) / path.name)
        code = """
c = client(sys.argv[1])
c.log_label("none", 1)
wait_for_empty_disk()
"""
        both = [
            subprocess.Popen(
                [sys.executable, "-c", program(tmp_path, code), peer.url], env=environment()
            )
            for _ in range(2)
        ]
        assert [process.wait(60) for process in both] == [0, 0]
        assert set(taken(peer)) == set(logged)
