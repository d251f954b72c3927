"""Spans and durations as OpenTelemetry's own SDK records them."""

import asyncio

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.types import Message, Scope

from homeostat.adapters.telemetry import Telemetry, outgoing
from homeostat.entrypoints.gateway.traced import Traced, told
from homeostat.simulation.clock import SimulatedClock
from unit.entrypoints.gateway.gateway_world import NOW, World, answers

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
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


def ask(telemetry: Telemetry, status: int, given: Scope, world: World | None = None) -> str:
    """Answer a request under a trace and return the trace that a further call would join."""
    seen = []

    async def plane(_: Scope, __: object, say: object) -> None:
        seen.append(outgoing().get("traceparent", ""))
        if world is not None:
            told(answers(world.spec, "a"))
        await say({"type": "http.response.start", "status": status})  # type: ignore[operator]

    asyncio.run(Traced(plane, telemetry, SimulatedClock(NOW))(given, receive, send))
    return seen[0]


def test_a_span_joins_the_callers_trace_and_goes_on_to_upstreams(
    telemetry: Telemetry, spans: InMemorySpanExporter, world: World
) -> None:
    header = (b"traceparent", f"00-{TRACE}-{PARENT}-01".encode())
    carried = ask(telemetry, 200, scope("POST", PATH, header), world)
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind) == ("POST /v1/models/{model}/predict", SpanKind.SERVER)
    assert span.context is not None
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert carried == f"00-{TRACE}-{span.context.span_id:016x}-01"
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
    assert outgoing() == {}


def test_failures_are_errors_and_hostile_paths_make_no_new_names(
    telemetry: Telemetry, spans: InMemorySpanExporter
) -> None:
    ask(telemetry, 503, scope(path="/wp-admin/1"))
    (span,) = spans.get_finished_spans()
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


def test_metrics_alone_carry_no_trace(reader: InMemoryMetricReader) -> None:
    alone = Telemetry(traces=False, meter=MeterProvider([reader]))
    assert ask(alone, 200, scope()) == ""
    alone.close()


def test_what_is_exported_says_who_sent_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "600000")
    for name, expected in (("", "homeostat-gateway"), ("mine", "mine")):
        monkeypatch.setenv("OTEL_SERVICE_NAME", name)
        tracer = Telemetry(metrics=False, sample=0.5)
        assert tracer._tracers is not None
        assert tracer._tracers.resource.attributes["service.name"] == expected
        tracer.close()
