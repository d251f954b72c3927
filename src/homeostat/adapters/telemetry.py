"""Traces and metrics through OpenTelemetry (extra ``otel``); nothing of it is loaded unasked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Histogram
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

NAME = "homeostat"
# Bounds of the convention for http.server.request.duration, in seconds.
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
PROPAGATED = ("traceparent", "tracestate")

_NOTHING: Mapping[str, str] = MappingProxyType({})
_CARRIED: ContextVar[Carried | None] = ContextVar("homeostat_trace", default=None)


@dataclass(frozen=True, slots=True)
class Carried:
    """What calls made on behalf of a request take along."""

    context: Context
    propagator: TraceContextTextMapPropagator
    tracer: Tracer | None

    def headers(self, span: Span | None) -> Mapping[str, str]:
        """Return the W3C headers of a span; without one, of what the request came with."""
        from opentelemetry.trace import set_span_in_context  # noqa: PLC0415 - an extra

        found = dict[str, str]()
        context = self.context if span is None else set_span_in_context(span, self.context)
        self.propagator.inject(found, context=context)
        return found


class Calling:
    """A call to another server under way.

    Attributes
    ----------
    headers : mapping of str to str
        With which that server joins the trace.
    status : int
        Of its answer, for whoever calls to set; 0: none came.
    """

    def __init__(self, headers: Mapping[str, str] = _NOTHING) -> None:
        self.headers, self.status = headers, 0


@contextmanager
def calling(url: str, resent: int = 0, *, hedge: bool = False) -> Iterator[Calling]:
    """Make a POST to another server a child span of the request that it is made for.

    Nothing where no request is under way or nothing is traced.

    Parameters
    ----------
    url : str
        User, password and query stay out of the span.
    resent : int
        How often the same was sent before.
    hedge : bool
        Whether another server was asked at the same time.

    Examples
    --------
    >>> with calling("http://models:8000/score") as call:
    ...     dict(call.headers)
    {}
    """
    carried = _CARRIED.get()
    if carried is None:
        yield Calling()
        return
    if carried.tracer is None:
        yield Calling(carried.headers(None))
        return
    from opentelemetry.trace import SpanKind, StatusCode  # noqa: PLC0415 - an extra

    span = carried.tracer.start_span(
        "POST", carried.context, SpanKind.CLIENT, _called(url, resent, hedge=hedge)
    )
    call, error = Calling(carried.headers(span)), ""
    try:
        yield call
    except BaseException as raised:
        error = type(raised).__name__
        # One that is given up, as when another was faster, is no failure.
        if isinstance(raised, Exception):
            span.set_status(StatusCode.ERROR)
        raise
    finally:
        if call.status:
            span.set_attribute("http.response.status_code", call.status)
        if call.status >= 400:
            error = str(call.status)
            span.set_status(StatusCode.ERROR)
        if error:
            span.set_attribute("error.type", error)
        span.end()


def _called(url: str, resent: int, *, hedge: bool) -> dict[str, str | int | bool]:
    """Return attributes of a call, as the HTTP conventions of OpenTelemetry name them."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    place = f"[{host}]" if ":" in host else host
    if parts.port is not None:
        place += f":{parts.port}"
    found: dict[str, str | int | bool] = {
        "http.request.method": "POST",
        "server.address": host,
        "server.port": parts.port or (443 if parts.scheme == "https" else 80),
        "url.full": f"{parts.scheme}://{place}{parts.path}",
    }
    if resent:
        found["http.request.resend_count"] = resent
    if hedge:
        found["homeostat.hedge"] = True
    return found


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as the HTTP conventions of OpenTelemetry name it."""

    method: str
    route: str
    scheme: str
    headers: Mapping[str, str]


class Running:
    """A span under way; `end` must be called once, in the task that began it."""

    def __init__(
        self,
        span: Span | None,
        duration: Histogram | None,
        exchange: Exchange,
        carried: Carried,
    ) -> None:
        self._span, self._duration, self._exchange = span, duration, exchange
        self._carried, self._token = carried, _CARRIED.set(carried)
        self.status = 0

    def sampled(self) -> tuple[str, str] | None:
        """Return the ids of trace and span, in hexadecimal, if that trace is kept.

        Without a span of its own, those that the request came with.
        """
        from opentelemetry.trace import get_current_span  # noqa: PLC0415 - an extra

        context = get_current_span(self._carried.context).get_span_context()
        if not (context.is_valid and context.trace_flags.sampled):
            return None
        return f"{context.trace_id:032x}", f"{context.span_id:016x}"

    def note(self, key: str, value: str | int) -> None:
        """Add an attribute to the span."""
        if self._span is not None:
            self._span.set_attribute(key, value)

    def end(self, seconds: float) -> None:
        """End the span and count its duration."""
        attributes: dict[str, str | int] = {
            "http.request.method": self._exchange.method,
            "http.route": self._exchange.route,
            "url.scheme": self._exchange.scheme,
            "http.response.status_code": self.status,
        }
        if self._duration is not None:
            self._duration.record(seconds, attributes)
        if self._span is not None:
            from opentelemetry.trace import StatusCode  # noqa: PLC0415 - an extra

            self._span.set_attribute("http.response.status_code", self.status)
            if self.status >= 500 or not self.status:
                self._span.set_status(StatusCode.ERROR)
            self._span.end()
        _CARRIED.reset(self._token)


class Telemetry:
    """What the SDK is asked for; where it sends to stands in its own variables of the environment.

    Parameters
    ----------
    traces, metrics : bool
    sample : float
        Share of the requests without a sampled trace of their own that begin one.
    tracer, meter : optional
        Providers to use in place of such that export by OTLP over HTTP.
    """

    def __init__(
        self,
        *,
        traces: bool = True,
        metrics: bool = True,
        sample: float = 1.0,
        tracer: TracerProvider | None = None,
        meter: MeterProvider | None = None,
    ) -> None:
        from opentelemetry.trace import SpanKind  # noqa: PLC0415 - an extra
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        self._propagator, self._kind = TraceContextTextMapPropagator(), SpanKind.SERVER
        self._tracers = (tracer or _tracer_provider(sample)) if traces else None
        self._meters = (meter or _meter_provider()) if metrics else None
        self._tracer = self._tracers.get_tracer(NAME) if self._tracers is not None else None
        self._duration = None
        if self._meters is not None:
            self._duration = self._meters.get_meter(NAME).create_histogram(
                "http.server.request.duration",
                unit="s",
                description="Duration of HTTP server requests.",
                explicit_bucket_boundaries_advisory=BOUNDS,
            )

    def begin(self, exchange: Exchange) -> Running:
        """Begin a span, below the one that the request's headers name."""
        span = None
        given = {key: exchange.headers[key] for key in PROPAGATED if key in exchange.headers}
        context = self._propagator.extract(given)
        if self._tracer is not None:
            from opentelemetry.trace import set_span_in_context  # noqa: PLC0415 - an extra

            span = self._tracer.start_span(
                f"{exchange.method} {exchange.route}",
                context=context,
                kind=self._kind,
                attributes={
                    "http.request.method": exchange.method,
                    "http.route": exchange.route,
                    "url.scheme": exchange.scheme,
                },
            )
            context = set_span_in_context(span, context)
        carried = Carried(context, self._propagator, self._tracer)
        return Running(span, self._duration, exchange, carried)

    @contextmanager
    def calling(self, url: str) -> Iterator[Calling]:
        """Make a POST to another server, made for no request alone, a trace of its own."""
        from opentelemetry.context import Context  # noqa: PLC0415 - an extra

        token = _CARRIED.set(Carried(Context(), self._propagator, self._tracer))
        try:
            with calling(url) as call:
                yield call
        finally:
            _CARRIED.reset(token)

    def close(self) -> None:
        """Send what has not been sent."""
        if self._tracers is not None:
            self._tracers.shutdown()
        if self._meters is not None:
            self._meters.shutdown()


def _tracer_provider(sample: float) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

    sampler = ParentBased(TraceIdRatioBased(sample))
    provider = TracerProvider(sampler=sampler, resource=_resource())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _meter_provider() -> MeterProvider:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
        OTLPMetricExporter,
    )
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415

    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    return MeterProvider([reader], _resource())


def _resource() -> Resource:
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

    given = Resource.create()  # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before ours
    if str(given.attributes.get("service.name", "")).startswith("unknown_service"):
        return given.merge(Resource({"service.name": f"{NAME}-gateway"}))
    return given
