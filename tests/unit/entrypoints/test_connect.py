"""What `hs.connect` gives, asked over a socket of a server with real records and a real log."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import narwhals as nw
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
import pytest
from starlette.applications import Starlette

import homeostat as hs
from asgi import Caller
from homeostat.adapters.clock import SystemClock
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.alerting.episode import IncidentState, Stage
from homeostat.domain.decision import Decision, Severity
from homeostat.domain.errors import (
    DataError,
    HomeostatError,
    NotFoundError,
    OverloadError,
    PermissionDeniedError,
    StorageError,
)
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.watch import incident_key
from homeostat.entrypoints.http.api import api
from homeostat.entrypoints.http.auth import Scope, Tokens
from homeostat.entrypoints.http.data import data_api
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import HOUR, NOW, SPEC, T0, labels, predictions

MODEL = replace(SPEC, name="fraud")
OTHER = replace(SPEC, name="odd<b>name")


GUIDE = Path(__file__).parents[3] / "docs/guide/notebook.md"


@dataclass
class World:
    url: str
    log: FilePredictionLog
    records: DatabaseRecords
    tokens: Tokens
    asked: list[str]

    def model(self) -> Any:
        return hs.connect(self.url).model("fraud")


@contextmanager
def served(answer: Any) -> Iterator[tuple[str, list[str]]]:
    """Serve what a function of path and headers returns: status, headers, body."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, headers, body = answer(self.path, dict(self.headers))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()
        thread.join()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = SystemClock()
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", clock)
    log = FilePredictionLog(tmp_path / "log", records, fsync=False)
    tokens, models = Tokens(records), [MODEL, OTHER]
    routes = [*data_api(log, models, clock, tokens), *api(records, log, models, clock, tokens)]
    caller = Caller(Starlette(routes=routes), "http://127.0.0.1:8420")

    def answer(path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        found = caller.get(path, headers=headers)
        kept = {k: v for k, v in found.headers.items() if k != "content-length"}
        return found.status_code, kept, found.content

    with served(answer) as (url, asked):
        yield World(url, log, records, tokens, asked)
    log.close()
    records.close()


def write(world: World, *made: Any) -> None:
    with world.records.begin() as uow:
        for each in made:
            if isinstance(each, Decision):
                uow.decide(each)
            elif isinstance(each, Verdict):
                uow.judge(each)
            elif isinstance(each, MetricPoint):
                uow.measure(each)
            else:
                uow.save(incident_key(each.model, each.rule), each)


def test_models_and_where_they_stand(world: World) -> None:
    here = hs.connect(world.url)
    assert here.names == ["fraud", "odd<b>name"]
    found = here.models.arrow.to_pylist()
    assert [(m["name"], m["task"], m["features"]) for m in found] == [
        (m.name, "binary", list(m.schema.names)) for m in (MODEL, OTHER)
    ]
    assert "odd&lt;b&gt;name" in here._repr_html_()
    assert len(here.model("odd<b>name").predictions()) == 0
    with pytest.raises(NotFoundError, match="no model named 'x'; there are: fraud"):
        here.model("x")


def test_rows_come_whole_and_go_where_dataframes_go(world: World) -> None:
    ids = [f"id {i}" for i in range(25)]
    world.log.append(MODEL, predictions(ids))
    world.log.append_labels(MODEL, labels(ids[:3], 1.0, T0 + HOUR))
    world.log.roll(NOW)
    model = world.model()
    found = model.predictions()
    assert found.arrow["prediction_id"].to_pylist() == ids
    assert len(model.predictions(until=T0 + timedelta(minutes=2))) == 2
    assert len(model.predictions(since=T0 - HOUR, until=T0)) == 0
    known = model.predictions(labels=True)
    assert known.arrow["label"].null_count == 22
    told = model.labels()
    assert told.columns[:5] == ["prediction_id", "timestamp", "version", "label", "arrival"]
    assert set(told.columns[5:]) == set(MODEL.outcomes)
    assert told.arrow["label"].to_pylist() == [1.0] * 3
    assert isinstance(found.to_pandas(), pd.DataFrame)
    assert found.to_pandas().shape == pa.table(found).shape
    assert nw.from_native(found.arrow).shape[0] == len(found) == 25
    assert hs.compare(found, found).n_current == 25
    assert repr(found) == "<Frame: 25 predictions of fraud>"
    shown = found._repr_html_()
    assert "5 further rows are not shown" in shown
    assert "id 0" in shown


def test_rows_of_several_pages_are_put_together(
    monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    monkeypatch.setattr("homeostat.entrypoints.http.data.ROWS", 10)
    ids = [f"id {i}" for i in range(25)]
    world.log.append(MODEL, predictions(ids))
    world.log.roll(NOW)
    assert [len(page) for page in world.model().pages()] == [10, 10, 5]
    assert world.model().predictions().arrow["prediction_id"].to_pylist() == ids


def verdict(start: datetime, subject: str) -> Verdict:
    return Verdict(
        Monitor.DATA_DRIFT, "fraud", subject, Window(start, start + HOUR), Status.DRIFT,
        1.5, 1.0, 30.0, 20.0, 0.01, 100, 90, "moved", details=(("psi", 0.3),),
    )  # fmt: skip


def test_what_was_judged_measured_and_decided(world: World) -> None:
    window = Window(T0, T0 + HOUR)
    point = MetricPoint("fraud", "1", "auc", window, 0.9, 0.8, 0.95, 10)
    write(
        world,
        verdict(T0, "<img src=x>"),
        point,
        replace(point, segment="country=DE"),
        replace(point, name="f1"),
        Decision("fraud", T0, "homeostat", "promote", "2", "better", (("gain", 0.1),)),
        IncidentState("fraud", "drift", Stage.FIRING, 2, Severity.WARNING, fired_at=T0),
        IncidentState("fraud", "down", Stage.RESOLVED, 1, Severity.CRITICAL, fired_at=T0),
    )
    model = world.model()
    verdicts = model.verdicts().arrow.to_pylist()
    assert [(v["subject"], v["start"], v["end"], v["status"]) for v in verdicts] == [
        ("<img src=x>", T0, T0 + HOUR, "drift")
    ]
    assert verdicts[0]["details"] == [("psi", 0.3)]
    assert "<img" not in model.verdicts()._repr_html_()
    assert model.metrics().arrow["name"].to_pylist() == ["auc", "f1"]
    assert model.metrics("auc", segment=None).arrow["segment"].to_pylist() == ["", "country=DE"]
    assert model.metrics(segment="country=DE").arrow["value"].to_pylist() == [0.9]
    assert len(model.metrics(until=T0)) == 0
    assert model.metrics(until=T0).columns == model.metrics().columns
    made = model.decisions().arrow.to_pylist()
    assert (made[0]["at"], made[0]["evidence"]) == (T0, [("gain", 0.1)])
    assert len(model.decisions(until=T0)) == 0
    assert len(model.decisions(since=T0, until=T0 + HOUR)) == 1
    keys = model.incidents().arrow["key"].to_pylist()
    assert sorted(keys) == ["fraud:down:1", "fraud:drift:2"]
    assert model.incidents(only_open=True).arrow["fired_at"].to_pylist() == [T0]
    assert set(model.diagnosis()) >= {"diagnosis", "problem"}


def test_more_than_one_answer_can_list_comes_whole(
    monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    monkeypatch.setattr("homeostat.entrypoints.connect.MOST", 4)
    # Written newest first, so that a cut answer lacks others than the oldest.
    write(world, *(verdict(T0 + n * HOUR, str(n)) for n in reversed(range(23))))
    write(world, *(Decision("fraud", T0, "me", "retrain", str(n), "") for n in range(3)))
    assert world.model().verdicts().arrow["subject"].to_pylist() == [str(n) for n in range(23)]
    assert len(world.model().decisions()) == 3
    write(world, Decision("fraud", T0, "me", "retrain", "3", ""))
    with pytest.raises(DataError, match="over 4 decisions of fraud at"):
        world.model().decisions()


def test_times_as_people_write_them(world: World) -> None:
    model = replace(world.model(), clock=SimulatedClock(T0 + 3 * HOUR))
    write(world, *(verdict(T0 + n * HOUR, str(n)) for n in range(3)))
    day = date(T0.year, T0.month, T0.day)
    for since, count in [("2h", 2), (timedelta(hours=1), 1), (T0, 3), (T0.isoformat(), 3),
                         (day, 3), (f"{day}", 3)]:  # fmt: skip
        assert len(model.verdicts(since=since)) == count, since
    for wrong in ["yesterday", "", "99999999w", 7, "2024-13-01"]:
        with pytest.raises(DataError, match="is no time; write 2026-11-01"):
            model.predictions(since=wrong)
    with pytest.raises(DataError, match="has no zone"):
        model.verdicts(since=T0.replace(tzinfo=None))
    with pytest.raises(DataError, match="swap the two"):
        model.metrics(since=T0, until=T0)


def test_tokens(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token = world.tokens.create("notebook", [Scope.READ], NOW)
    with pytest.raises(PermissionDeniedError, match="token"):
        hs.connect(world.url)
    with pytest.raises(PermissionDeniedError):
        hs.connect(world.url, "wrong")
    connection = hs.connect(world.url, token)
    assert connection.names
    assert token not in repr(connection) + repr(connection.model("fraud"))
    monkeypatch.setenv("HOMEOSTAT_TOKEN", token)
    assert hs.connect(world.url).names


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (
            503,
            {"error": "the disk is full", "remedy": "make room"},
            StorageError,
            "full; make room",
        ),
        (429, {"error": "\x1b[31mmuch", "remedy": ""}, OverloadError, r"\\x1b\[31mmuch"),
        (500, {}, HomeostatError, "answers with HTTP 500"),
        (404, {}, NotFoundError, "HTTP 404; is this the address of a control plane"),
        (200, [], NotFoundError, "does not answer as Homeostat does"),
        (200, {}, NotFoundError, "no models; is it a control plane"),
        (302, {}, HomeostatError, "give the address of the server itself"),
    ],
    ids=str,
)
def test_refusals_say_what_to_do(status: int, body: object, kind: type, said: str) -> None:
    answer = (status, {"Location": "http://127.0.0.1:1/"}, json.dumps(body).encode())
    with served(lambda *_: answer) as (url, asked):
        with pytest.raises(kind, match=said):
            hs.connect(url)
        assert len(asked) == 1


def test_a_server_that_speaks_something_else() -> None:
    answers: dict[str, tuple[int, dict[str, str], bytes]] = {
        "/api/v1/models": (200, {}, b'{"models": [{"name": "fraud"}]}')
    }
    with served(lambda path, _: answers.get(path, (200, {}, b"<html>"))) as (url, _):
        model = hs.connect(url).model("fraud")
        with pytest.raises(DataError, match="came damaged"):
            model.predictions()
        with pytest.raises(NotFoundError, match="does not answer as Homeostat does"):
            model.verdicts()
    with pytest.raises(HomeostatError, match=r"cannot be reached.*homeostat serve"):
        hs.connect(url)
    with pytest.raises(DataError, match="is no address"):
        hs.connect("ftp://x")


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = hs.Frame(pa.table({"a": [1.0, None]}))
    assert "—" in frame._repr_html_()
    for name in [name for name in sys.modules if name.partition(".")[0] == "pandas"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(DataError, match="pip install pandas"):
        frame.to_pandas()


def test_the_python_of_the_guide_runs(world: World) -> None:
    ids = [f"id {i}" for i in range(25)]
    world.log.append(MODEL, predictions(ids))
    world.log.append_labels(MODEL, labels(ids[:3], 1.0, T0 + HOUR))
    world.log.roll(NOW)
    blocks = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    code = "\n".join(blocks).replace("http://127.0.0.1:8420", world.url)
    exec(compile(code, str(GUIDE), "exec"), names)
    assert len(names["rows"]) == len(names["before"]) == 25
