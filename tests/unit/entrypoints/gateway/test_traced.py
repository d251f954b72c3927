"""Spans and durations as OpenTelemetry's own SDK records them."""

import asyncio
from collections import Counter
from collections.abc import Iterator

import pyarrow as pa
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.routing import Route as HttpRoute
from starlette.types import Message, Scope

from homeostat.adapters.models import Loader, save_remote
from homeostat.adapters.telemetry import Telemetry, calling
from homeostat.domain.route import Route
from homeostat.entrypoints.exposition import dressed
from homeostat.entrypoints.gateway import Gateway, LogWriter, RouteTable, ServedModel, app
from homeostat.entrypoints.gateway.metrics import Metrics
from homeostat.entrypoints.gateway.traced import Traced, route, telling
from homeostat.simulation.clock import SimulatedClock
from unit.entrypoints.gateway.gateway_world import NOW, World, answers
from upstreams import ModelServer

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
UPSTREAMS = {"json": "/score", "kserve": "/v2/models/m/infer", "mlflow": "/invocations"}
PATH = "/v1/models/fraud/predict"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def telemetry(spans: InMemorySpanExporter, reader: InMemoryMetricReader) -> Telemetry:
    tracer = TracerProvider()
    tracer.add_span_processor(SimpleSpanProcessor(spans))
    return Telemetry(tracer=tracer, meter=MeterProvider([reader]))


def scope(method: str = "POST", path: str = PATH, *headers: tuple[bytes, bytes]) -> Scope:
    return {"type": "http", "method": method, "path": path, "scheme": "http", "headers": headers}


async def receive() -> Message:
    return {"type": "http.request"}


async def send(_: Message) -> None:
    return None


def ask(
    telemetry: Telemetry,
    status: int,
    given: Scope,
    world: World | None = None,
    metrics: Metrics | None = None,
) -> str:
    """Answer a request under a trace and return the trace that a further call would join."""
    seen = []

    async def plane(_: Scope, __: object, say: object) -> None:
        with calling("http://models/score") as call:
            seen.append(call.headers.get("traceparent", ""))
        if world is not None:
            answered = answers(world.spec, "a", milliseconds=60.0)
            watched = metrics or Metrics()
            watched.answered(answered)
            telling(watched, SimulatedClock(NOW))(answered)
        await say({"type": "http.response.start", "status": status})  # type: ignore[operator]

    asyncio.run(Traced(plane, telemetry, SimulatedClock(NOW))(given, receive, send))
    return seen[0]


def test_a_span_joins_the_callers_trace_and_goes_on_to_upstreams(
    telemetry: Telemetry, spans: InMemorySpanExporter, world: World
) -> None:
    header = (b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())
    carried = ask(telemetry, 200, scope("POST", PATH, header), world)
    child, span = spans.get_finished_spans()
    assert (span.name, span.kind) == ("POST /v1/models/{model}/predict", SpanKind.SERVER)
    assert span.context is not None
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert child.context is not None
    assert carried == f"00-{TRACE}-{child.context.span_id:016x}-01"
    assert child.parent == span.context
    assert span.attributes is not None
    assert dict(span.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/models/{model}/predict",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "homeostat.model": "fraud",
        "homeostat.rows": 2,
        "homeostat.version": "v1",
        "homeostat.tier": "model",
        "homeostat.reason": "",
    }
    with calling("http://models/score") as call:
        assert call.headers == {}


def test_every_way_of_asking_has_a_name_of_its_own(world: World) -> None:
    plane = app(world.gateway())
    posts = [one for one in plane.routes if isinstance(one, HttpRoute) and one.methods == {"POST"}]
    assert len(posts) == 8
    for one in posts:
        assert route(one.path.replace("{model}", "fraud").replace("{version}", "v1")) == one.path


@pytest.mark.parametrize(
    "path",
    ["/v2/models//infer", "/v3/models/fraud/infer", "/", "", "/invocations/", "/x/invocations"],
)
def test_paths_that_callers_make_up_have_one_name(path: str) -> None:
    assert route(path) == "/{other}"


def test_failures_are_errors_and_hostile_paths_make_no_new_names(
    telemetry: Telemetry, spans: InMemorySpanExporter
) -> None:
    ask(telemetry, 503, scope(path="/wp-admin/1"))
    span = spans.get_finished_spans()[-1]
    assert (span.name, span.status.status_code) == ("POST /{other}", StatusCode.ERROR)


def test_durations_are_counted(telemetry: Telemetry, reader: InMemoryMetricReader) -> None:
    for _ in range(3):
        ask(telemetry, 200, scope())
    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    (point,) = metric.data.data_points
    assert (metric.name, metric.unit, point.count) == ("http.server.request.duration", "s", 3)  # type: ignore[union-attr]
    telemetry.close()


def test_health_checks_are_not_traced(
    telemetry: Telemetry, spans: InMemorySpanExporter, world: World
) -> None:
    assert ask(telemetry, 200, scope("GET", "/health/live"), world) == ""
    assert spans.get_finished_spans() == ()


def test_metrics_alone_carry_only_the_trace_that_came(reader: InMemoryMetricReader) -> None:
    alone = Telemetry(traces=False, meter=MeterProvider([reader]))
    assert ask(alone, 200, scope()) == ""
    given = f"00-{TRACE}-{PARENT}-01"
    assert ask(alone, 200, scope("POST", PATH, (b"traceparent", given.encode()))) == given
    odd = given.replace("4bf9", "4bf9\r\nx: y")
    assert ask(alone, 200, scope("POST", PATH, (b"traceparent", odd.encode()))) == ""
    alone.close()


@pytest.mark.parametrize("traces", [True, False], ids=["traced", "metrics only"])
def test_a_kept_trace_is_the_exemplar_of_its_latency(
    telemetry: Telemetry,
    spans: InMemorySpanExporter,
    world: World,
    *,
    traces: bool,
) -> None:
    used = telemetry if traces else Telemetry(traces=False, metrics=False)
    metrics = Metrics()
    came = (b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())
    ask(used, 200, scope("POST", PATH, came), world, metrics)
    told = metrics.text({}, {}, {})
    span = PARENT
    if traces:
        mine = spans.get_finished_spans()[-1].context
        assert mine is not None
        span = f"{mine.span_id:016x}"
    noted = [line for line in told.splitlines() if "trace_id" in line]
    name = 'homeostat_request_duration_seconds_bucket{model="fraud",tier="model",le="0.075"} 1'
    ids = f'{{trace_id="{TRACE}",span_id="{span}"}}'
    assert noted == [f"{name} # {ids} 0.06 {NOW.timestamp():.3f}"]
    for openmetrics in (True, False):
        assert (ids in dressed(told, {}, openmetrics=openmetrics)) is openmetrics


def test_a_trace_that_nobody_keeps_is_no_exemplar(telemetry: Telemetry, world: World) -> None:
    metrics = Metrics()
    came = (b"traceparent", f"00-{TRACE}-{PARENT}-00".encode())
    ask(telemetry, 200, scope("POST", PATH, came), world, metrics)
    text = metrics.text({}, {}, {})
    assert 'seconds_count{model="fraud",tier="model"} 1' in text
    assert "trace_id" not in text


@pytest.fixture
def servers() -> Iterator[list[ModelServer]]:
    made = [ModelServer(), ModelServer()]
    yield made
    for one in made:
        one.close()


def far(world: World, servers: list[ModelServer], kind: str, **more: object) -> Gateway:
    """Return a gateway whose champion, and shadow, are on these servers."""
    load = Loader(hosts=frozenset(server.host for server in servers))
    routes = RouteTable(world.registry, [ServedModel(world.spec)], world.clock, load)
    urls = [server.url(UPSTREAMS[kind]) for server in servers]
    for version in ("far", "copy"):
        chosen = urls if version == "far" else urls[:1]
        features = ["amount", "age"]
        save_remote(world.root / version, kind, chosen, features, **{"retries": 1, **more})
        world.register(version, "remote")
    routes.publish(Route("fraud", "far", shadows=("copy",)))
    return Gateway(routes, LogWriter(world.log), world.clock)


def through(telemetry: Telemetry, made: Gateway) -> None:
    """Answer a request that comes with a trace."""

    async def plane(_: Scope, __: object, say: object) -> None:
        answers = await made.predict_async("fraud", pa.table({"amount": [0.25], "age": [0.5]}))
        assert answers["tier"].to_pylist() == ["model"]
        assert made.drain()
        await say({"type": "http.response.start", "status": 200})  # type: ignore[operator]

    came = ((b"traceparent", f"00-{TRACE}-{PARENT}-01".encode()), (b"tracestate", b"ours=1"))
    given = scope("POST", PATH, *came)
    asyncio.run(Traced(plane, telemetry, SimulatedClock(NOW))(given, receive, send))


@pytest.mark.parametrize("kind", UPSTREAMS)
def test_every_call_to_a_server_is_a_child_span_that_it_can_join(
    telemetry: Telemetry,
    spans: InMemorySpanExporter,
    world: World,
    servers: list[ModelServer],
    kind: str,
) -> None:
    server = servers[0]
    server.moods = ["500"]
    made = far(world, [server], kind)
    through(telemetry, made)
    assert made.close()
    whole = next(span for span in spans.get_finished_spans() if span.kind is SpanKind.SERVER)
    calls = {
        f"00-{TRACE}-{span.context.span_id:016x}-01": span
        for span in spans.get_finished_spans()
        if span.kind is SpanKind.CLIENT and span.context is not None
    }
    joined = [headers["traceparent"] for headers in server.headers]
    assert len(joined) == 3  # two for the answer, one for the shadow
    assert set(joined) == calls.keys()
    assert {headers["tracestate"] for headers in server.headers} == {"ours=1"}
    assert all(span.parent == whole.context for span in calls.values())
    for span in calls.values():
        assert span.attributes is not None
        assert span.attributes["url.full"] == server.url(UPSTREAMS[kind])
        assert span.attributes["server.port"] == server.port
    outcomes = Counter(
        (span.attributes["http.response.status_code"], span.status.status_code)
        for span in calls.values()
        if span.attributes is not None
    )
    assert outcomes == {(500, StatusCode.ERROR): 1, (200, StatusCode.UNSET): 2}
    again = [span for span in calls.values() if "http.request.resend_count" in span.attributes]  # type: ignore[operator]
    assert len(again) == 1


def test_a_hedge_is_a_span_beside_the_call_that_hangs(
    telemetry: Telemetry, spans: InMemorySpanExporter, world: World, servers: list[ModelServer]
) -> None:
    first, second = servers
    made = far(world, servers, "json", hedge=True, timeout=60)
    for _ in range(20):
        made.predict("fraud", pa.table({"amount": [0.25], "age": [0.5]}))
        assert made.drain()
    before, others = len(first.headers), len(second.headers)
    live = made.routes.live("fraud")
    assert live is not None
    made.routes.publish(Route("fraud", "far"))
    first.mood = "hang"
    while len(first.headers) == before:
        through(telemetry, made)
    assert made.close()
    joined = {headers.get("traceparent", "") for headers in second.headers[others:]}
    hedge = next(s for s in spans.get_finished_spans() if "homeostat.hedge" in (s.attributes or {}))
    lost = next(s for s in spans.get_finished_spans() if "error.type" in (s.attributes or {}))
    assert hedge.context is not None
    assert f"00-{TRACE}-{hedge.context.span_id:016x}-01" in joined
    assert hedge.parent == lost.parent
    assert (lost.attributes or {})["error.type"] == "CancelledError"
    assert lost.status.status_code is StatusCode.UNSET


def test_a_server_that_is_away_is_an_error_and_secrets_of_its_address_stay_out(
    telemetry: Telemetry, spans: InMemorySpanExporter
) -> None:
    async def plane(_: Scope, __: object, ___: object) -> None:
        with calling("https://me:secret@[::1]/score?key=secret"):
            raise ConnectionRefusedError

    with pytest.raises(ConnectionRefusedError):
        asyncio.run(Traced(plane, telemetry, SimulatedClock(NOW))(scope(), receive, send))
    span = spans.get_finished_spans()[0]
    assert dict(span.attributes or {}) == {
        "http.request.method": "POST",
        "server.address": "::1",
        "server.port": 443,
        "url.full": "https://[::1]/score",
        "error.type": "ConnectionRefusedError",
    }
    assert span.status.status_code is StatusCode.ERROR


def test_what_is_exported_says_who_sent_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "600000")
    for name, expected in (("", "homeostat-gateway"), ("mine", "mine")):
        monkeypatch.setenv("OTEL_SERVICE_NAME", name)
        tracer = Telemetry(metrics=False, sample=0.5)
        assert tracer._tracers is not None
        assert tracer._tracers.resource.attributes["service.name"] == expected
        tracer.close()
