"""A client and the real control plane: what is logged is there, once."""

from __future__ import annotations

import gzip
import math
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from homeostat_client import AsyncClient, Client, Counters
from odd_peers import Peer, answer, receipt
from real_server import Make, Server, free_port, run_python, until

FEATURES = {"amount": 12.5, "country": "NL"}


def lost(counters: Counters) -> int:
    return sum(counters.dropped.values())


def test_predictions_and_labels_arrive_as_they_were_at_the_call(server: Server, make: Make) -> None:
    client = make(server.url, version="3")
    features = dict(FEATURES)
    before = datetime.now(timezone.utc)
    first = client.log_prediction(features, 0.75, entity="c1", latency_ms=2.5)
    features["amount"] = -1.0
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    second = client.log_prediction(features, 0.25, "mine", moment, "4", tier="rules", reason="slow")
    client.log_label(first, "yes")
    assert client.flush(60)
    rows = {row["prediction_id"]: row for row in server.rows([first, second])}
    assert set(rows) == {first, second} == {first, "mine"}
    told = {name: rows[first][name] for name in ("amount", "country", "version", "entity", "label")}
    assert told == {"amount": 12.5, "country": "NL", "version": "3", "entity": "c1", "label": 1.0}
    assert before <= datetime.fromisoformat(rows[first]["timestamp"])
    assert rows["mine"]["timestamp"] == "2026-01-02 03:04:05+00:00"
    assert (rows["mine"]["version"], rows["mine"]["tier"]) == ("4", "rules")
    assert client.counters == Counters(queued=3, sent=3)


def test_what_a_server_refuses_is_counted_and_harms_no_neighbour(
    server: Server, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    client = make(server.url)
    good = client.log_prediction({**FEATURES, "amount": math.nan}, 0.5)
    bad = [
        client.log_prediction({"shoe_size": 44}, 0.5),
        client.log_prediction(FEATURES, math.nan),
        client.log_prediction({"amount": "\ud800" * 3, "country": "\udcff"}, 0.5),
        client.log_prediction({"amount": object()}, 0.5),
        client.log_prediction({"amount": 1.0, "country": "x" * (2 << 20)}, 0.5),
        client.log_prediction(7, 0.5),  # type: ignore[arg-type]
    ]
    client.log_label(good, "maybe")
    client.log_label(good, "no")
    assert client.flush(60)
    found = client.counters
    assert (found.queued, found.sent, found.refused) == (8, 2, 4)
    assert found.dropped == {"unserialisable": 1, "too_large": 1, "bad_record": 1}
    rows = server.rows([good, *bad])
    assert [(row["prediction_id"], row["amount"], row["label"]) for row in rows] == [
        (good, None, 0.0)
    ]
    client.close()
    assert "unknown class 'maybe'" in caplog.text
    assert "'amount' cannot be sent: TypeError" in caplog.text


@pytest.mark.parametrize(("threads", "each"), [(16, 10_000), (4, 1000)], ids=["many", "real"])
def test_nothing_is_lost_or_twice_from_threads(
    server: Server, make: Make, threads: int, each: int
) -> None:
    """The many go to a peer that counts what is sent, the others to the real server's log."""
    with Peer(lambda _, body: receipt(body)) as peer:
        client = make(peer.url if threads > 4 else server.url, max_rows=200_000)
        ids: list[list[str]] = [[] for _ in range(threads)]

        def log(mine: list[str]) -> None:
            mine.extend(client.log_prediction({"amount": 1.0}, 0.5) for _ in range(each))

        running = [threading.Thread(target=log, args=(mine,)) for mine in ids]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        assert client.flush(200)
        assert client.counters == Counters(queued=threads * each, sent=threads * each)
        expected = sorted(key for mine in ids for key in mine)
        stored = peer.rows() if threads > 4 else server.rows(expected)
    assert sorted(row["prediction_id"] for row in stored) == expected


def test_batches_as_rows_and_as_columns(server: Server, make: Make) -> None:
    client = make(server.url)
    rows: list[dict[str, Any]] = [
        {"amount": 1.0, "score": 0.1},
        {"amount": 2.0, "score": 0.2, "version": "9"},
    ]
    ids = client.log_batch(rows, version="8")
    ids += client.log_batch({"amount": [3.0], "country": ["DE"], "score": [0.3]}, version="8")
    assert client.log_batch({"amount": [3.0], "score": []}) == []
    assert client.log_batch(7) == []
    assert client.flush(60)
    stored = {row["prediction_id"]: row for row in server.rows(ids)}
    assert [stored[key]["amount"] for key in ids] == [1.0, 2.0, 3.0]
    assert [stored[key]["version"] for key in ids] == ["8", "9", "8"]
    assert client.counters.dropped == {"bad_record": 2}
    assert "score" in rows[0], "the caller's rows are untouched"


def test_a_server_killed_amid_it_gets_everything_once(own_server: Server, make: Make) -> None:
    server = own_server.start()
    client = make(server.url, batch_rows=20)
    ids = [client.log_prediction(FEATURES, 0.5) for _ in range(600)]
    server.kill()
    ids += [client.log_prediction(FEATURES, 0.5) for _ in range(300)]
    until(lambda: client.counters.spilled, "records go to disk")
    server.start()
    for key in ids[::10]:
        client.log_label(key, 1)
    assert client.flush(100)
    rows = server.rows()
    assert sorted(row["prediction_id"] for row in rows) == sorted(ids)
    assert sum(row["label"] is not None for row in rows) == len(ids[::10])
    found = client.counters
    assert (found.queued, found.refused, lost(found)) == (found.sent, 0, 0)
    assert 0 < found.replayed <= found.spilled


def test_a_batch_too_large_for_the_server_is_split(server: Server, make: Make) -> None:
    client = make(server.url, flush_interval=30.0, spill="")
    ids = [client.log_prediction({"amount": 1.0, "country": "x" * 4000}, 0.5) for _ in range(200)]
    client.log_prediction({"amount": 1.0, "country": "x" * 300_000}, 0.5)
    assert client.flush(60)
    assert sorted(row["prediction_id"] for row in server.rows(ids)) == sorted(ids)
    assert (client.counters.sent, client.counters.refused) == (200, 1)


def test_without_the_right_token_all_is_kept_until_it_is_there(
    own_server: Server, make: Make
) -> None:
    server = own_server.start()
    token = server.command("token", "create", "app", "--scope", "ingest").split()[-1]
    wrong = make(server.url, token="hs_wrong")
    key = wrong.log_prediction(FEATURES, 0.5)
    until(lambda: wrong.counters.waiting, "kept on disk")
    assert not wrong.close()
    assert wrong.counters.sent == 0
    right = make(server.url, token=token)
    right.log_label(key, 0)
    assert right.flush(60)
    until(lambda: right.counters.replayed, "replay")
    assert [(row["prediction_id"], row["label"]) for row in server.rows()] == [(key, 0.0)]


def test_a_model_that_the_server_does_not_know_is_kept(server: Server, make: Make) -> None:
    client = make(server.url, model="new/model?")
    client.log_prediction(FEATURES, 0.5)
    until(lambda: client.counters.waiting, "kept on disk")
    assert not client.flush(0.1)
    assert client.counters.waiting == 1


def test_a_full_queue_drops_and_says_so(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    client = make(f"http://127.0.0.1:{free_port()}", max_rows=10, spill="", flush_interval=30.0)
    client.log_prediction(FEATURES, 0.5)
    until(lambda: client.counters.pending == 1, "first")
    for _ in range(2000):
        client.log_prediction(FEATURES, 0.5)
    found = client.counters
    assert found.queued + found.dropped["queue_full"] == 2001
    client.close(0.0)
    client.log_prediction(FEATURES, 0.5)
    client.log_label("x", 1)
    assert client.counters.dropped["closed"] == 2
    assert "queue_full" in caplog.text


def test_the_token_stands_in_no_text(make: Make) -> None:
    client = make("http://127.0.0.1:9", token="hs_secret")
    assert "hs_secret" not in repr(client.settings) + str(vars(client))


def test_ids_are_of_their_own(make: Make) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    clients = [make(url), make(url)]
    ids = [client.log_prediction(FEATURES, 0.5) for client in clients for _ in range(1000)]
    assert len(set(ids)) == 2000


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": ""}, "HOMEOSTAT_MODEL"),
        ({"server": ""}, "HOMEOSTAT_SERVER"),
        ({"server": "ftp://h"}, "no address"),
        ({"server": "http://user:secret@h"}, "token="),
        ({"token": "a\nb"}, "token"),
        ({"timeout": 0}, "timeout=0"),
    ],
    ids=["model", "server", "scheme", "userinfo", "token", "timeout"],
)
def test_settings_that_cannot_be_are_told_at_once(settings: dict[str, Any], said: str) -> None:
    usual: dict[str, Any] = {"server": "http://h", "model": "fraud"}
    for make_client in (Client, AsyncClient):
        with pytest.raises(ValueError, match=said):
            make_client(**{**usual, **settings})


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_data_frames_of_any_library(make: Make, library: str) -> None:
    columns = {"amount": [1.0, 2.0], "is_new": [True, False], "score": [0.25, 0.75]}
    frames = pytest.importorskip(library)
    table = frames.table(columns) if library == "pyarrow" else frames.DataFrame(columns)
    with Peer(lambda _, body: receipt(body)) as peer:
        client = make(peer.url)
        ids = client.log_batch(table, version="1")
        assert client.flush(60)
        rows = [tuple(row[name] for name in ("prediction_id", *columns)) for row in peer.rows()]
    assert rows == list(zip(ids, *columns.values()))


LOG = """
import homeostat_client.log as log, sys
key = log.prediction({"amount": 1.0}, 0.5, version="2")
log.label(key, 1)
log.outcome(key, "lost", 2.5)
log.prediction({"amount": 1.0}, 0.5, colour="red")
print(log.flush(60), log.counters().sent, dict(log.counters().dropped))
"""


def test_the_process_has_a_client_from_the_environment(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        f"import os; os.environ.update(HOMEOSTAT_SERVER={server.url!r}, HOMEOSTAT_MODEL='fraud', "
    )
    code += f"HOMEOSTAT_SPILL={str(tmp_path)!r})\n"
    assert run_python(code + LOG).stdout == "True 3 {'bad_record': 1}\n"
    done = run_python(LOG)
    assert done.stdout == "False 0 {'not_configured': 4}\n"
    assert done.stderr.count("nothing is logged: a client needs to know the server") == 1


def test_outcomes_arrive_and_are_corrected(
    server: Server, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    client = make(server.url)
    one, other = (client.log_prediction(FEATURES, 0.5) for _ in range(2))
    client.log_outcome(one, "lost", 12.5, datetime(2026, 1, 2, tzinfo=timezone.utc))
    client.log_outcome(one, "lost", 7.25)
    client.log_outcome(other, "lost", True)
    client.log_outcome(other, "won", 1.0)
    client.log_label(one, "yes")
    assert client.flush(60)
    found = {row["prediction_id"]: (row["label"], row["lost"]) for row in server.rows([one, other])}
    assert found == {one: (1.0, 7.25), other: (None, 1.0)}
    assert (client.counters.queued, client.counters.sent, client.counters.refused) == (7, 6, 1)
    client.close()
    client.log_outcome(one, "lost", 1.0)
    assert client.counters.dropped == {"closed": 1}
    assert "must be one of lost" in caplog.text


def test_outcomes_survive_a_server_that_is_away(make: Make) -> None:
    gone = make(f"http://127.0.0.1:{free_port()}")
    gone.log_outcome("a", "lost", 5)
    assert not gone.close(0.1)
    assert gone.counters.waiting == 1
    kept = next(Path(gone.settings.spill or "").glob("*/*.spill"))
    assert b'"outcome":"lost","value":5' in kept.read_bytes()


def test_large_requests_are_compressed_if_asked_for(server: Server, make: Make) -> None:
    def unpacked(headers: dict[str, str], body: bytes) -> bytes:
        return receipt(gzip.decompress(body) if "content-encoding" in headers else body)

    with Peer(unpacked) as peer:
        client = make(peer.url, gzip_level=1, gzip_bytes=2000)
        client.log_prediction(FEATURES, 0.5)
        assert client.flush(60)
        client.log_batch([{**FEATURES, "score": 0.5} for _ in range(200)])
        assert client.flush(60)
        sizes = [(h.get("content-encoding", ""), len(body)) for h, body in peer.requests]
        assert sizes[0][0] == ""
        assert any(how == "gzip" for how, _ in sizes)
        assert all(size < 10_000 for how, size in sizes if how == "gzip")
    real = make(server.url, gzip_level=9, gzip_bytes=1)
    ids = real.log_batch([{**FEATURES, "score": 0.5} for _ in range(300)])
    real.log_label(ids[0], 1)
    assert real.flush(60)
    assert len(server.rows(ids)) == 300
    assert real.counters.sent == 301


def test_a_server_that_cannot_read_gzip_gets_it_plain(make: Make) -> None:
    def reply(headers: dict[str, str], body: bytes) -> bytes:
        return answer(400, {"error": "no JSON"}) if "content-encoding" in headers else receipt(body)

    with Peer(reply) as peer:
        client = make(peer.url, gzip_level=1, gzip_bytes=1)
        for _ in range(3):
            client.log_prediction(FEATURES, 0.5)
            assert client.flush(60)
        assert [h.get("content-encoding") for h, _ in peer.requests] == ["gzip", None, None, None]
        assert client.counters == Counters(queued=3, sent=3)


def test_a_body_that_nobody_can_read_does_not_turn_gzip_off(make: Make) -> None:
    def reply(headers: dict[str, str], body: bytes) -> bytes:
        packed = "content-encoding" in headers
        text = gzip.decompress(body) if packed else body
        return answer(400, {"error": "no"}) if b"country" in text else receipt(text)

    with Peer(reply) as peer:
        client = make(peer.url, gzip_level=1, gzip_bytes=1)
        for features in (FEATURES, {"amount": 1.0}):
            client.log_prediction(features, 0.5)
            assert client.flush(60)
        assert [h.get("content-encoding") for h, _ in peer.requests] == ["gzip", None, "gzip"]
        assert client.counters == Counters(queued=2, sent=1, refused=1)


@pytest.mark.parametrize("level", [-1, 10, 1.5])
def test_a_level_that_there_is_not_is_refused(level: Any) -> None:
    with pytest.raises(ValueError, match="gzip_level"):
        Client("http://127.0.0.1:1", model="fraud", spill="", gzip_level=level)
