"""Alert rules of the owner in homeostat.yaml."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from homeostat.domain.decision import Severity
from homeostat.domain.verdict import Monitor
from homeostat.engine.signals_figures import GAUGES
from homeostat.engine.signals_served import QUANTILES, REQUESTS, SERVED
from homeostat.entrypoints.settings.part import Part
from homeostat.entrypoints.settings.routes import Escalation
from homeostat.entrypoints.settings.values import (
    Count,
    Duration,
    Flag,
    Name,
    Number,
    Wait,
    Weight,
    format_duration,
    parse_duration,
    wrong,
)

OVER = timedelta(minutes=5)
MIN_ROWS = 30
CONDITIONS = ("verdicts", "above", "below", "drop", "rise", "burn", "band")
KINDS = {"above": "limit", "below": "limit", "drop": "change", "rise": "change"}
FOREIGN = {
    "verdicts": ("metric", "segment", "over", "against", "ratio", "windows", "sure", "missing"),
    "limit": ("subject", "more_than", "against", "ratio"),
    "change": ("subject", "more_than"),
    "burn": ("subject", "more_than", "against", "ratio", "windows", "sure"),
    "band": ("subject", "more_than", "against", "ratio", "windows", "sure"),
}
"""Settings that mean nothing beside a condition of each kind."""


def _against(value: object) -> object:
    if value == REFERENCE or isinstance(value, timedelta):
        return value
    try:
        found = parse_duration(str(value).strip())
    except ValueError:
        problem = f"is neither reference nor a duration: {value!r}"
        raise wrong(problem, "write reference, or a time such as 28d") from None
    if found <= timedelta(0):
        raise wrong("must be longer than zero", "write a time such as 28d")
    return found


def _as_text(value: str | timedelta) -> str:
    return value if isinstance(value, str) else format_duration(value)


REFERENCE = "reference"
Against = Annotated[
    Literal["reference"] | timedelta,
    BeforeValidator(_against),
    WithJsonSchema({"type": "string", "examples": ["reference", "28d"]}),
    PlainSerializer(_as_text, return_type=str, when_used="json"),
]
"""``reference``, or a positive duration."""

Least = Annotated[int, Field(strict=True, ge=0)]


class Lost(Part):
    """An incident of its own when no figures come any more."""

    after: Duration
    """How long there was none."""
    severity: Severity = Severity.WARNING
    """critical, warning or info."""
    runbook: str = Field(default="", max_length=500)
    """Address, or name of a file in `runbooks`; default: that of the rule."""


class Pair(Part):
    """A long and a short window over which the error budget may not burn too fast."""

    long: Duration
    """Shows that much of the budget is gone."""
    short: Duration
    """Shows that it still burns."""
    factor: Annotated[Number, Field(gt=0)]
    """So many times too fast is too fast."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.short >= self.long:
            raise wrong("is not shorter than long", "write a twelfth of it", "short")
        return self


class Burn(Part):
    """How fast the rows that an objective allows to be bad are used up."""

    objective: Weight
    """Share of rows that must be good."""
    pairs: tuple[Pair, ...] | None = Field(default=None, min_length=1)
    """Windows; default: 1h/5m at 14.4 times, 6h/30m at 6, 1d/2h at 3, 3d/6h at 1, or fewer times
    where all rows would have to be bad."""


class Band(Part):
    """What its own past makes usual of a figure, at such an hour and weekday."""

    rare: Duration | None = None
    """Time to one false alarm, if the future is like the past; default: 7d, or 168 figures where
    that is longer."""
    ways: Literal["both", "above", "below"] = "both"
    """Which deviations matter."""
    min_change: Annotated[Number, Field(ge=0)] = 0.0
    """Deviations up to this, in the metric's unit, do not matter."""


class OwnRule(Part):
    """When to tell whom of what: exactly one condition, on verdicts or on a metric."""

    verdicts: Monitor | None = None
    """On findings of a monitor: data_drift, prediction_drift, data_quality, volume, performance,
    calibration, service, value, metric."""
    subject: str = Field(default="*", min_length=1)
    """Verdicts only: about these subjects; * stands for any letters."""
    more_than: Least = 0
    """Verdicts only: about more subjects than so many."""
    metric: str = ""
    """On the figures of a metric, or of one of: requests, error_rate, fallback_share,
    breaker_open, latency_p50, latency_p95, latency_p99 (ms), label_coverage, version_age (days),
    label_age (days), drifted_features."""
    segment: str = ""
    """Figures of these rows only, such as country=FR: one of the segments."""
    over: Duration = OVER
    """Time over which requests, shares and latencies are counted for one figure."""
    above: Number | None = None
    """Fires when it lies above ..."""
    below: Number | None = None
    """... or below."""
    drop: Annotated[Number, Field(gt=0)] | None = None
    """Fires when it has fallen by more than this, in its own unit, ..."""
    rise: Annotated[Number, Field(gt=0)] | None = None
    """... or risen."""
    ratio: Flag = False
    """drop and rise are parts of what it was: 0.1 is a tenth."""
    against: Against = "reference"
    """What it was: reference, the champion's on rows held out of its training; or a time such as
    28d: its mean over so long before."""
    burn: Burn | None = None
    """Fires when an error budget is spent too fast."""
    band: Band | None = None
    """Fires when it lies where it rarely does at such an hour and weekday; {} will do."""
    windows: Count = 1
    """Figures in a row that make it fire, and end it."""
    sure: Flag = False
    """Count a figure only if its 95 % interval lies beyond the limit."""
    min_rows: Least | None = None
    """Figures of fewer rows say nothing; default: 30, for verdicts 0."""
    missing: Lost | None = None
    """What to do when there are no figures; the rule itself then neither fires nor resolves."""
    severity: Severity = Severity.WARNING
    """critical, warning or info."""
    hold: Wait = timedelta(0)
    """How long it must last before it fires."""
    keep_firing: Wait = timedelta(minutes=15)
    """How long it must be gone before it resolves."""
    runbook: str = Field(default="owner-rule.md", max_length=500)
    """Address, or name of a file in `runbooks`."""
    receivers: tuple[Name, ...] | None = None
    """Who is told; default: as of the model's other alerts."""
    inhibited_by: tuple[str, ...] = ()
    """Rules whose open incident explains this one and keeps it from firing."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        kind = self._kind()
        for name in FOREIGN[kind]:
            if name in self.model_fields_set:
                condition = "verdicts" if kind == "verdicts" else f"a {kind}"
                raise wrong(f"means nothing beside {condition}", "remove it", name)
        if not self.runbook.strip():
            raise wrong(
                "is empty: no page without a runbook", "name one, or leave it out", "runbook"
            )
        if self.above is not None and self.below is not None and self.above < self.below:
            raise wrong(f"is under below ({self.below:g})", "swap the two", "above")
        self._check_figures()
        return self

    def _kind(self) -> str:
        given = [name for name in CONDITIONS if getattr(self, name) is not None]
        if given == ["above", "below"]:
            given = ["above"]
        if not given:
            remedy = "write for example below: 0.8, or verdicts: data_drift"
            raise wrong("has no condition", remedy)
        if len(given) > 1:
            raise wrong(f"stands beside {given[0]}: two conditions", "make it two rules", given[1])
        if given != ["verdicts"] and not self.metric:
            raise wrong(
                "is a condition on no metric", "add a line such as metric: accuracy", *given
            )
        return KINDS.get(given[0], given[0])

    def _check_figures(self) -> None:
        """Refuse what means nothing for figures of this kind."""
        name, given = self.metric, self.model_fields_set
        if "over" in given and name not in SERVED:
            raise wrong(
                f"means nothing: {name or 'verdicts'} has windows of its own", "remove it", "over"
            )
        if name in GAUGES and self.above is None and self.below is None:
            raise wrong(
                f"is of this moment: {name} has no past here", "use above or below", "metric"
            )
        foreign = {"windows", "sure", "min_rows"} if name in GAUGES else set[str]()
        if name == REQUESTS:
            foreign = {"sure", "min_rows", "missing"}
        if name in QUANTILES:
            foreign = {"sure"}
        for setting in sorted(foreign & given):
            raise wrong(f"means nothing for {name}", "remove it", setting)

    @property
    def least(self) -> int:
        """Rows below which nothing is said."""
        if self.min_rows is not None:
            return self.min_rows
        return 0 if self.verdicts or self.metric in {*GAUGES, REQUESTS} else MIN_ROWS


class AlertDefaults(Part):
    """Alert rules of all models, and escalation."""

    escalation: tuple[Escalation, ...] = ()
    """Whom critical incidents are told to that nobody takes on, by time."""
    rules: dict[Name, OwnRule] = Field(default_factory=dict)
    """By name; those on a metric hold for the models that write it. A model changes one by a rule
    of its own under the same name, and switches it off by null."""
