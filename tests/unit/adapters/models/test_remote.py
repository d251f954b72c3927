"""Models on servers elsewhere, asked over real connections."""

import json
import sys
import threading
from concurrent.futures import CancelledError, wait
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters.models import AwaitedPredictor, Loader, load_predictor, save_remote
from homeostat.adapters.models.loading import flavour_of
from homeostat.adapters.models.remote import RemotePredictor
from homeostat.domain.errors import ArtifactError, DataError
from homeostat.serving.breaker import BreakerConfig, Event, Mode, Outcome
from homeostat.serving.classify import UpstreamError
from upstreams import ModelServer

ROWS = pa.table(
    {"land": ["FR", "DE", None], "new": [True, False, None], "amount": [1.5, None, -2.0]}
)
FEATURES, CATEGORIES = ["amount", "land"], {"land": ["DE", "FR"]}
PATHS = {
    "kserve": "/v2/models/m/infer",
    "mlserver": "/v2/models/m/infer",
    "triton": "/v2/models/m/infer",
    "mlflow": "/invocations",
    "json": "/score",
}

BAD = (
    *("hang", "slow_body", "half_body", "reset", "not_json", "odd_json", "too_few", "huge"),
    *("redirect", "500", "503", "429", "401", "404"),
)


def remote(
    folder: Path,
    kind: str,
    *servers: ModelServer,
    features: list[str] = FEATURES,
    **settings: object,
) -> RemotePredictor:
    urls = [server.url(PATHS[kind]) for server in servers]
    save_remote(folder, kind, urls, features, CATEGORIES, **{"retries": 0, **settings})
    load = Loader(
        hosts=frozenset(server.host for server in servers),
        environ={"HOMEOSTAT_UPSTREAM_TOKEN": "Bearer secret"},
        breaker=BreakerConfig(faults=2, window=60.0, share=0.0, cooldown=600.0),
    )
    predictor = load(folder, "remote")
    assert isinstance(predictor, RemotePredictor)
    return predictor


def scored(*values: float | None) -> list[float]:
    return [np.nan if value is None else value for value in values]


@pytest.mark.parametrize("kind", PATHS)
def test_a_matrix_goes_there_and_scores_come_back(
    tmp_path: Path, server: ModelServer, kind: str
) -> None:
    predictor = remote(
        tmp_path, kind, server, headers={"Authorization": "HOMEOSTAT_UPSTREAM_TOKEN"}
    )
    assert flavour_of(tmp_path) == "remote"
    assert isinstance(predictor, AwaitedPredictor)
    assert predictor.features == ("amount", "land")
    assert predictor.predict(ROWS).tolist() == [2.5, 0.0, -2.0]
    assert server.headers[0]["Authorization"] == "Bearer secret"
    (body,) = server.bodies
    matrix = [[1.5, 1.0], [None, 0.0], [-2.0, None]]
    if kind in {"mlflow", "json"}:
        assert body == {"inputs" if kind == "mlflow" else "instances": matrix}
    else:
        flat = [value for row in matrix for value in row]
        tensor = {"name": "input-0", "shape": [3, 2], "datatype": "FP64", "data": flat}
        assert body == {"inputs": [tensor]}


@pytest.mark.parametrize("kind", ["mlserver", "mlflow", "json"])
def test_columns_go_there_as_they_are(tmp_path: Path, server: ModelServer, kind: str) -> None:
    names = ["amount", "land", "new"]
    predictor = remote(tmp_path, kind, server, features=names, layout="columns", missing=-9)
    assert predictor.predict(ROWS).tolist() == [1.5, -9.0, -2.0]
    (body,) = server.bodies
    rows = [[1.5, "FR", True], [-9.0, "DE", False], [-2.0, None, None]]
    if kind == "json":
        assert body == {"rows": [dict(zip(names, row, strict=True)) for row in rows]}
    elif kind == "mlflow":
        assert body == {"dataframe_split": {"columns": names, "data": rows}}
    else:
        data = [[1.5, -9.0, -2.0], ["FR", "DE", ""], [True, False, None]]
        kinds = ["FP64", "BYTES", "BOOL"]
        assert body["inputs"] == [
            {"name": name, "shape": [3, 1], "datatype": kind, "data": values}
            for name, kind, values in zip(names, kinds, data, strict=True)
        ]


def test_missing_numbers_of_a_matrix_can_be_replaced(tmp_path: Path, server: ModelServer) -> None:
    assert remote(tmp_path, "json", server, missing=100.0).predict(ROWS)[1] == 100.0


@pytest.mark.parametrize("mood", BAD)
@pytest.mark.parametrize("kind", ["kserve", "mlflow"])
def test_whatever_a_server_does_is_a_fault(
    tmp_path: Path, server: ModelServer, kind: str, mood: str
) -> None:
    server.mood = mood
    predictor = remote(tmp_path, kind, server, timeout=0.2 if mood in {"hang", "slow_body"} else 10)
    with pytest.raises(UpstreamError, match=server.host) as caught:
        predictor.predict(ROWS)
    assert caught.value.outcome is Outcome.FAULT
    assert isinstance(caught.value, TimeoutError) == (mood in {"hang", "slow_body"})
    assert caught.value.overloaded == (mood in {"503", "429"})
    server.mood = "fine"
    assert predictor.predict(ROWS).tolist() == [2.5, 0.0, -2.0]


@pytest.mark.parametrize(
    ("kind", "mood", "outcome"),
    [
        ("mlflow", "400", Outcome.FAULT),
        ("mlserver", "400", Outcome.FAULT),
        ("kserve", "400", Outcome.CLIENT_ERROR),
        ("json", "404", Outcome.CLIENT_ERROR),
        ("json", "408", Outcome.NEUTRAL),
    ],
)
def test_server_failure_as_400(
    tmp_path: Path, server: ModelServer, kind: str, mood: str, outcome: Outcome
) -> None:
    server.mood = mood
    with pytest.raises(UpstreamError, match="model said no") as caught:
        remote(tmp_path, kind, server).predict(ROWS)
    assert caught.value.outcome is outcome


def test_a_server_that_is_away_is_a_fault(tmp_path: Path) -> None:
    gone = ModelServer()
    gone.close()
    predictor = remote(tmp_path, "json", gone)  # loading asks nobody
    with pytest.raises(UpstreamError, match=gone.host) as caught:
        predictor.predict(ROWS)
    assert caught.value.outcome is Outcome.FAULT


@pytest.mark.parametrize("mood", ["reset", "half_body", "not_json", "500"])
def test_a_failed_call_is_made_again(tmp_path: Path, server: ModelServer, mood: str) -> None:
    server.moods = [mood]
    predictor = remote(tmp_path, "json", server, retries=1, timeout=10)
    assert predictor.predict(ROWS).tolist() == [2.5, 0.0, -2.0]
    assert len(server.bodies) == 2


@pytest.mark.parametrize("mood", ["429", "503", "400", "401", "huge"])
def test_what_would_fail_again_is_not_tried_again(
    tmp_path: Path, server: ModelServer, mood: str
) -> None:
    server.mood = mood
    predictor = remote(tmp_path, "mlflow", server, retries=3, timeout=10)
    with pytest.raises(UpstreamError):
        predictor.predict(ROWS)
    assert len(server.bodies) == 1


def test_retry_storm(tmp_path: Path, server: ModelServer) -> None:
    """Beyond the first ten, one request in ten may be sent again."""
    server.mood = "500"
    predictor = remote(tmp_path, "json", server, retries=5, timeout=10)
    for _ in range(100):
        with pytest.raises(UpstreamError):
            predictor.predict(ROWS)
    assert 115 <= len(server.bodies) <= 120


def test_an_overloaded_server_sends_requests_to_the_next(
    tmp_path: Path, server: ModelServer, second: ModelServer
) -> None:
    server.mood = "503"
    predictor = remote(tmp_path, "json", server, second, retries=1, timeout=10)
    for _ in range(6):
        assert predictor.predict(ROWS).tolist() == [2.5, 0.0, -2.0]
    assert len(server.bodies) == 2  # then its breaker is open
    assert len(second.bodies) == 6
    modes = [circuit.mode for circuit in predictor.circuits.values()]
    assert modes == [Mode.OPEN, Mode.CLOSED]


def test_with_all_breakers_open_nobody_is_asked(
    tmp_path: Path, server: ModelServer, second: ModelServer
) -> None:
    server.mood = second.mood = "500"
    predictor = remote(tmp_path, "json", server, second, timeout=10)
    for _ in range(4):
        with pytest.raises(UpstreamError, match="HTTP 500"):
            predictor.predict(ROWS)
    with pytest.raises(UpstreamError, match="breakers of all endpoints are open") as caught:
        predictor.predict(ROWS)
    assert caught.value.outcome is Outcome.NEUTRAL
    assert len(server.bodies) + len(second.bodies) == 4


def settled(
    predictor: RemotePredictor, seconds: float
) -> tuple[object, threading.Event, list[object]]:
    over, told = threading.Event(), []

    def ended(error: BaseException | None) -> None:
        told.append(error)
        over.set()

    return predictor.begin(ROWS, seconds, lambda found: found, ended), over, told


def test_a_cancelled_call_hangs_up_and_tells_its_end(tmp_path: Path, server: ModelServer) -> None:
    server.mood = "hang"
    predictor = remote(tmp_path, "json", server, timeout=60)
    future, over, told = settled(predictor, 60.0)
    while not server.bodies:
        assert not over.wait(0.01)
    assert future.cancel()
    assert over.wait(30)
    assert len(told) == 1
    with pytest.raises(CancelledError):
        future.result()
    while not server.ended:  # the server has noticed that nobody waits for it
        threading.Event().wait(0.01)


def test_the_deadline_is_the_callers(tmp_path: Path, server: ModelServer) -> None:
    server.mood = "hang"
    future, over, _ = settled(remote(tmp_path, "json", server, timeout=60), 0.1)
    with pytest.raises(TimeoutError):
        future.result(30)
    assert over.is_set()


def test_rows_that_cannot_be_encoded_are_told(tmp_path: Path, server: ModelServer) -> None:
    predictor = remote(tmp_path, "json", server)
    with pytest.raises(DataError, match="'land'"):
        predictor.predict(ROWS.select(["amount"]))
    assert server.bodies == []


def test_hedging_asks_a_second_server_and_drops_the_loser(
    tmp_path: Path, server: ModelServer, second: ModelServer
) -> None:
    predictor = remote(tmp_path, "json", server, second, hedge=True, timeout=60)
    for _ in range(40):
        predictor.predict(ROWS)
    ended = server.ended
    server.mood = "hang"
    for _ in range(4):
        assert predictor.predict(ROWS).tolist() == [2.5, 0.0, -2.0]
    while server.ended < ended + 2:
        threading.Event().wait(0.01)
    modes = [circuit.mode for circuit in predictor.circuits.values()]
    assert modes == [Mode.CLOSED, Mode.CLOSED]


def test_without_a_second_server_to_ask_the_first_is_waited_for(
    tmp_path: Path, server: ModelServer, second: ModelServer
) -> None:
    predictor = remote(tmp_path, "json", server, second, hedge=True, timeout=60)
    for _ in range(40):
        predictor.predict(ROWS)
    circuit = predictor.circuits[second.host]
    circuit.command(Event.FORCE_OPEN, 0.0)
    server.delay = 0.1
    before = len(second.bodies)
    assert predictor.predict(ROWS).tolist() == [2.5, 0.0, -2.0]
    assert len(second.bodies) == before


def test_a_call_that_is_given_up_when_its_time_is_over_is_a_fault(
    tmp_path: Path, server: ModelServer, second: ModelServer
) -> None:
    server.mood = second.mood = "hang"
    predictor = remote(tmp_path, "json", server, second, timeout=60)
    future, over, _ = settled(predictor, 1.0)
    assert not over.wait(0.95)
    future.cancel()
    assert over.wait(60)
    counts = [circuit.counts for circuit in predictor.circuits.values()]
    assert sum(count["fault"] for count in counts) == 1


def test_where_both_fail_the_first_failure_is_told(
    tmp_path: Path, server: ModelServer, second: ModelServer
) -> None:
    predictor = remote(tmp_path, "json", server, second, hedge=True, timeout=60)
    for _ in range(40):
        predictor.predict(ROWS)
    while server.under_way + second.under_way:  # losers of earlier races
        threading.Event().wait(0.01)
    before = len(server.bodies) + len(second.bodies)
    server.delay = second.delay = 0.3
    server.mood = second.mood = "500"
    with pytest.raises(UpstreamError, match="HTTP 500"):
        predictor.predict(ROWS)
    assert len(server.bodies) + len(second.bodies) == before + 2


def test_many_calls_at_once_need_no_thread_each(tmp_path: Path, server: ModelServer) -> None:
    server.delay = 0.2
    predictor = remote(tmp_path, "json", server, timeout=60)
    predictor.predict(ROWS)
    threads = threading.active_count()
    futures = [settled(predictor, 60.0)[0] for _ in range(100)]
    assert threading.active_count() == threads
    assert not wait(futures, 60).not_done
    assert all(future.result().tolist() == [2.5, 0.0, -2.0] for future in futures)
    assert server.highest > 20


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"server": "torch"}, "'server' must be one of kserve, mlserver"),
        ({"urls": []}, "'urls' must be a list"),
        ({"urls": ["ftp://models/x"]}, "not an http or https address"),
        ({"urls": ["http://[::1"]}, "not an http or https address"),
        ({"urls": ["http://me:pw@models/x"]}, "holds a user or password"),
        ({"urls": ["http://elsewhere/x"]}, "'elsewhere' is not allowed; .*upstream_hosts"),
        ({"urls": ["http://models:81/x"]}, "'models:81' is not allowed"),
        ({"layout": "rows"}, "'layout' must be one of"),
        ({"output": 5}, "'output' must be a text"),
        ({"timeout": 0}, "'timeout' must be at least 0.001"),
        ({"timeout": "1s"}, "'timeout' must be a finite number"),
        ({"retries": 9}, "'retries' must be a whole number from 0 to 5"),
        ({"hedge": 1}, "'hedge' must be true or false"),
        ({"hedge": True}, "needs a second address"),
        ({"headers": []}, "'headers' must map"),
        ({"headers": {"Host": "HOMEOSTAT_UPSTREAM_TOKEN"}}, "'Host' cannot be set"),
        ({"headers": {"a b": "HOMEOSTAT_UPSTREAM_TOKEN"}}, "'a b' cannot be set"),
        ({"headers": {"X-Key": "AWS_SECRET_ACCESS_KEY"}}, "begins with HOMEOSTAT_UPSTREAM_"),
        ({"headers": {"X-Key": "HOMEOSTAT_UPSTREAM_UNSET"}}, "UNSET is not set"),
        ({"headers": {"X-Key": "HOMEOSTAT_UPSTREAM_BAD"}}, "BAD cannot stand in a header"),
        ({"colour": "red"}, "no such settings: colour"),
        ({"features": 5}, "'features' must be a list"),
    ],
    ids=str,
)
def test_a_wrong_file_is_told(tmp_path: Path, changed: dict[str, object], told: str) -> None:
    save_remote(tmp_path, "json", ["http://models/x"], ["amount"])
    content = json.loads((tmp_path / "upstream.json").read_text()) | changed
    (tmp_path / "upstream.json").write_text(json.dumps(content))
    environ = {"HOMEOSTAT_UPSTREAM_BAD": "x\r\nhost: y"}
    host = "models:80" if changed.get("urls") == ["http://models:81/x"] else "models"
    load = Loader(hosts=frozenset({host}), environ=environ)
    with pytest.raises(ArtifactError, match=told) as caught:
        load(tmp_path, "remote")
    assert "\n" not in str(caught.value)


def test_by_default_no_host_is_allowed(tmp_path: Path) -> None:
    save_remote(tmp_path, "json", ["http://127.0.0.1/x"], ["amount"])
    with pytest.raises(ArtifactError, match="not allowed"):
        load_predictor(tmp_path, "remote")


def test_without_aiohttp_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_remote(tmp_path, "json", ["http://models/x"], ["amount"])
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ArtifactError, match=r"homeostat\[upstream\]"):
        Loader(hosts=frozenset({"models"}))(tmp_path, "remote")
