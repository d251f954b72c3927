"""Appending through the API of a control plane elsewhere."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from homeostat.adapters import remote_log
from homeostat.adapters.remote_log import RemoteLog
from homeostat.adapters.telemetry import Telemetry
from homeostat.domain.errors import ConfigError, DataError, StorageError
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.engine.ports import Receipt, Rejected

SPEC = ModelSpec(
    "a model/1",
    Task.BINARY,
    Schema((Column("amount", ColumnKind.NUMERIC),)),
    LabelSpec(timedelta(days=1)),
)
ROWS = pa.table({"prediction_id": ["a", "b", "c"], "score": [0.1, 0.2, 0.3]})


class Plane(ThreadingHTTPServer):
    """Answers as it is told, and remembers what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.answers: list[tuple[int, object]] = []
        self.seen: list[tuple[str, dict[str, str], pa.Table]] = []
        self.connections: set[object] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Plane

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        with pa.ipc.open_stream(body) as reader:
            self.server.seen.append((self.path, dict(self.headers), reader.read_all()))
        self.server.connections.add(self.client_address)
        status, content = self.server.answers.pop(0)
        if not status:
            self.close_connection = True
            return
        answer = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def plane() -> Iterator[Plane]:
    with Plane() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.01,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def connect(plane: Plane) -> Iterator[Callable[..., RemoteLog]]:
    made: list[RemoteLog] = []

    def build(path: str = "", token: str = "") -> RemoteLog:
        made.append(RemoteLog(plane.url + path, token))
        return made[-1]

    yield build
    for log in made:
        log.close()


def took(accepted: int, *rejected: int) -> dict[str, object]:
    bad = [{"row": row, "column": "score", "reason": "is missing"} for row in rejected]
    return {"accepted": accepted, "duplicates": 0, "rejected": bad}


def test_rows_go_as_arrow_over_one_connection(
    plane: Plane, connect: Callable[..., RemoteLog]
) -> None:
    plane.answers = [(200, took(2, 1)), (200, took(3))]
    log = connect("/behind/", "s3cret")
    assert log.append(SPEC, ROWS) == Receipt(2, 0, (Rejected(1, "score", "is missing"),))
    assert log.append(SPEC, ROWS) == Receipt(3)
    path, headers, rows = plane.seen[0]
    assert path == "/behind/api/v1/models/a%20model%2F1/predictions"
    assert rows.equals(ROWS)
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["Idempotency-Key"] == plane.seen[1][1]["Idempotency-Key"]
    assert len(plane.connections) == 1
    assert "s3cret" not in repr(log)


def test_large_batches_go_in_pieces(
    plane: Plane, connect: Callable[..., RemoteLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_log, "MOST_BYTES", 15)
    plane.answers = [(200, took(1)), (200, took(0, 0)), (200, took(1))]
    receipt = connect().append(SPEC, ROWS)
    assert receipt == Receipt(2, 0, (Rejected(1, "score", "is missing"),))
    assert connect().append(SPEC, ROWS.slice(0, 0)) == Receipt(0)


@pytest.mark.parametrize(
    "answer", [(503, "busy"), (401, "no"), (404, "no model"), (302, ""), (200, "{}"), (0, "")],
    ids=str,
)  # fmt: skip
def test_what_may_pass_is_a_storage_error(
    plane: Plane, connect: Callable[..., RemoteLog], answer: tuple[int, object]
) -> None:
    plane.answers = [answer, (200, took(3))]
    log = connect()
    with pytest.raises(StorageError, match=r"the log at 127\.0\.0\.1"):
        log.append(SPEC, ROWS)
    assert log.append(SPEC, ROWS) == Receipt(3)


def test_a_batch_that_can_never_be_taken_is_a_data_error(
    plane: Plane, connect: Callable[..., RemoteLog]
) -> None:
    plane.answers = [(422, '{"error": "no column land"}'), (422, took(0, 0, 1, 2))]
    with pytest.raises(DataError, match=r"answered 422: .*no column land"):
        connect().append(SPEC, ROWS)
    assert len(connect().append(SPEC, ROWS).rejected) == 3, "the rows were refused, not the batch"


def test_nobody_there_is_a_storage_error() -> None:
    with pytest.raises(StorageError, match="is away: ConnectionRefusedError"):
        RemoteLog("http://127.0.0.1:9").append(SPEC, ROWS)
    with pytest.raises(StorageError):
        RemoteLog("https://127.0.0.1:9").append(SPEC, ROWS)


def test_each_request_is_a_trace_of_its_own_that_the_control_plane_can_join(plane: Plane) -> None:
    spans, tracer = InMemorySpanExporter(), TracerProvider()
    tracer.add_span_processor(SimpleSpanProcessor(spans))
    log = RemoteLog(plane.url, "s3cret", calls=Telemetry(metrics=False, tracer=tracer).calling)
    plane.answers = [(200, took(3)), (503, "busy"), (0, "")]
    assert log.append(SPEC, ROWS) == Receipt(3)
    for _ in range(2):
        with pytest.raises(StorageError):
            log.append(SPEC, ROWS)
    log.close()
    made = spans.get_finished_spans()
    joined = [headers["traceparent"][:-3] for _, headers, _ in plane.seen]
    contexts = [span.context for span in made if span.context is not None]
    assert joined == [f"00-{one.trace_id:032x}-{one.span_id:016x}" for one in contexts]
    assert len({one.trace_id for one in contexts}) == 3
    seen = [dict(span.attributes or {}) for span in made]
    assert {one["url.full"] for one in seen} == {plane.url + plane.seen[0][0]}
    assert [one.get("http.response.status_code") for one in seen] == [200, 503, None]
    assert [one.get("error.type") for one in seen] == [None, "503", "RemoteDisconnected"]


@pytest.mark.parametrize("token", ["s3cret\n", "s3\tcret", "gehe\u00efm"], ids=ascii)
def test_a_token_that_cannot_be_sent_is_told_at_the_start(token: str) -> None:
    with pytest.raises(ConfigError, match="line break") as raised:
        RemoteLog("https://homeostat.example.org", token)
    assert "s3" not in str(raised.value)


@pytest.mark.parametrize("url", ["ftp://h", "http://", "http://h:0", "http://h:x", "nothing"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    with pytest.raises(ConfigError, match="the log's address"):
        RemoteLog(url)
