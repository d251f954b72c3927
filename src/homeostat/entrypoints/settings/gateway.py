"""The data plane: where it listens, when it stops calling a model, how it runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from homeostat.entrypoints.settings.part import Part
from homeostat.entrypoints.settings.serving import Host
from homeostat.entrypoints.settings.values import (
    Count,
    Duration,
    Flag,
    Number,
    Port,
    Share,
    Variable,
    Wait,
    url_problem,
    wrong,
)


class Kept(Part):
    """Where answers wait while the prediction log is away."""

    folder: str = ""
    """Folder, relative to this file; default: gateway-spill in the data folder. Another disk than
    that of the log survives the log's disk."""
    max_mb: Annotated[Number, Field(gt=0, le=1024 * 1024)] = 1024.0
    """Most of it; beyond that answers are dropped and counted, and shadows beyond half of it."""


class Tls(Part):
    """A certificate; read again on SIGHUP."""

    certificate: str = Field(min_length=1)
    """PEM file of the certificate and those above it, relative to this file."""
    key: str = Field(min_length=1)
    """PEM file of its key."""


class Telemetry(Part):
    """OpenTelemetry (extra otel), sent where the variables OTEL_EXPORTER_OTLP_... say."""

    traces: Flag = True
    """A span for each request that is sampled."""
    sample: Share = 1.0
    """Share of the requests without a trace of their own that begin one."""
    metrics: Flag = True
    """Durations of requests."""


class Breaker(Part):
    """When the gateway stops calling a failing model, and how it finds out that it is well."""

    faults: Count = 5
    """Opens after so many faults ..."""
    window: Duration = timedelta(seconds=60)
    """... in this time ..."""
    share: Annotated[Number, Field(ge=0, le=1)] = 0.5
    """... if they are at least this share of the calls ..."""
    minimum: Count = 1
    """... and there were at least so many calls."""
    last: Count | None = None
    """Counts the last so many calls, however long ago, instead of those in `window`."""
    run: Count | None = 10
    """Opens also after so many faults in a row within `window`, whatever their share: amid much
    traffic a server that hangs would otherwise take most of `window` to reach the share."""
    slow: Duration | None = None
    """Calls that take longer are slow, also while they hang; so many as `faults` open it ..."""
    slow_share: Annotated[Number, Field(ge=0, le=1)] = 0.5
    """... if they are at least this share of the calls."""
    cooldown: Wait = timedelta(seconds=30)
    """Time from opening to the first probe."""
    probes: Count = 1
    """Most probes under way at once."""
    successes: Count = 2
    """Probes that must succeed to close it."""
    lease: Duration = timedelta(seconds=30)
    """A probe that has not come back after this time has failed."""
    interval: Wait = timedelta(0)
    """Least time between two probes; 1m: one probe a minute."""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.last is not None and self.last < max(self.faults, self.minimum):
            problem = f"so few calls ({self.last}) never hold the faults or the minimum"
            raise wrong(problem, "raise last, or lower faults and minimum", "last")
        return self


class Gateway(Part):
    """The data plane in front of the models."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 8421
    """TCP port."""
    grpc_port: Port | None = None
    """TCP port for the Open Inference Protocol over gRPC; without it there is none."""
    deadline: Duration = timedelta(milliseconds=200)
    """Time that a request may take before a fallback tier answers."""
    breaker: Breaker = Breaker()
    """When to stop calling a failing model."""
    version_header: Literal["operators", "anyone"] = "operators"
    """Who may choose the version by x-homeostat-version: holders of a token of scope operate."""
    redis_env: Variable | None = None
    """Environment variable with the address of a Redis, through which gateways share breakers."""
    upstream_hosts: tuple[Host, ...] = ()
    """Hosts, or host:port, on which models elsewhere (flavour remote) may be asked."""
    workers: Count = 1
    """Processes that share the port."""
    notice: Wait = timedelta(seconds=3)
    """On SIGTERM: how long it answers on, but says that it is not ready, before it takes no more
    connections."""
    grace: Duration = timedelta(seconds=20)
    """How long requests under way then have to finish."""
    log: str = ""
    """Address of a control plane to which answers are sent, such as https://homeostat.example.org;
    default: straight into the log in the data folder."""
    log_token_env: Variable | None = None
    """Environment variable that holds a token of scope ingest for it."""
    spill: Kept = Kept()
    """Where answers wait while the log is away."""
    tls: Tls | None = None
    """Serve https."""
    telemetry: Telemetry | None = None
    """Traces and metrics for OpenTelemetry; nothing if left out."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        problem = url_problem(self.log) if self.log else ""
        if problem:
            raise wrong(problem, "use an address such as https://homeostat.example.org", "log")
        if self.log_token_env is not None and not self.log:
            raise wrong("is of no use without log", "give the address in log", "log_token_env")
        return self
