"""What an experiment compares, chosen before it begins and never after."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a metric is, of one entity."""

    CONVERSION = "conversion"
    """0 or 1: did the entity do what it was meant to do; more is better."""
    ERROR_RATE = "error_rate"
    """0 or 1: did it meet an error; less is better."""
    REVENUE = "revenue"
    """An amount, the mean of which counts; more is better."""
    RATIO = "ratio"
    """Two amounts (clicks of views): the ratio of their sums counts; more is better."""
    LATENCY = "latency"
    """A positive time, a quantile of which counts; less is better."""


class Role(StrEnum):
    """What a metric is there for."""

    SUCCESS = "success"
    """At least one of these must be shown to be better."""
    GUARDRAIL = "guardrail"
    """Each of these must be shown not to be worse than its margin."""


class Horizon(StrEnum):
    """When results may be read."""

    SEQUENTIAL = "sequential"
    """At any time and as often as one likes."""
    FIXED = "fixed"
    """Once, when all entities are in; intervals are a third narrower then."""


RARE = 50
"""Successes, or failures, of an arm below which a share is judged exactly."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One thing that is measured on every entity.

    Attributes
    ----------
    name : str
    kind : Kind
    role : Role
    margin : float
        Share of the control's figure by which a guardrail may be worse, in [0, 1).
    less_is_better : bool, optional
        As the kind says by default.
    quantile : float
        Of a latency, in (0, 1).
    covariate : bool
        Of revenue: take out what a figure from before the experiment explains (CUPED).
    """

    name: str
    kind: Kind
    role: Role = Role.SUCCESS
    margin: float = 0.0
    less_is_better: bool | None = None
    quantile: float = 0.95
    covariate: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if not self.name:
            raise ValueError("a metric needs a name")
        if not 0.0 <= self.margin < 1.0:
            raise ValueError(f"the margin of {self.name} lies in [0, 1), not {self.margin}")
        if not 0.0 < self.quantile < 1.0:
            raise ValueError(f"the quantile of {self.name} lies in (0, 1), not {self.quantile}")
        if self.covariate and self.kind is not Kind.REVENUE:
            raise ValueError(f"{self.name} is no amount: only revenue takes a covariate")

    @property
    def binary(self) -> bool:
        """Whether each entity has 0 or 1."""
        return self.kind in {Kind.CONVERSION, Kind.ERROR_RATE}

    @property
    def falling(self) -> bool:
        """Whether less is better."""
        if self.less_is_better is None:
            return self.kind in {Kind.ERROR_RATE, Kind.LATENCY}
        return self.less_is_better


@dataclass(frozen=True, slots=True)
class Experiment:
    """Which versions are compared on what, for how long, and at which risk.

    Attributes
    ----------
    name : str
    arms : tuple of str
        Versions; the first is the control.
    metrics : tuple of Metric
        With at least one for success.
    size : int
        Entities of all arms together at which it ends; from `homeostat.stats.power`.
    shares : tuple of float
        Of the arms, of sum 1; by default a tenth for each but the control, that has the rest.
    alpha : float
        Chance of shipping a version that is no better on any success metric, over all arms, success
        metrics and looks; and of taking one for worse that is not.
    horizon : Horizon
    least : int
        Entities an arm needs before anything is said of it.
    mismatch : float
        Error rate of the checks that come first: sample ratio and label coverage.

    Examples
    --------
    >>> paid = Metric("paid", Kind.CONVERSION)
    >>> slow = Metric("p95", Kind.LATENCY, Role.GUARDRAIL, margin=0.05)
    >>> Experiment("checkout", ("v7", "v8"), (paid, slow), size=80_000).share_of
    {'v7': 0.9, 'v8': 0.1}
    """

    name: str
    arms: tuple[str, ...]
    metrics: tuple[Metric, ...]
    size: int
    shares: tuple[float, ...] = ()
    alpha: float = 0.05
    horizon: Horizon = Horizon.SEQUENTIAL
    least: int = 100
    mismatch: float = 0.001

    def __post_init__(self) -> None:
        """Refuse a design that could not be decided."""
        if len(self.arms) < 2 or len(set(self.arms)) != len(self.arms):
            raise ValueError(f"{self.name} needs a control and other versions, each once")
        names = [metric.name for metric in self.metrics]
        if len(set(names)) != len(names):
            raise ValueError(f"two metrics of {self.name} have the same name")
        if not any(metric.role is Role.SUCCESS for metric in self.metrics):
            raise ValueError(f"{self.name} has no success metric: nothing could make it ship")
        for rate in (self.alpha, self.mismatch):
            if not 0.0 < rate < 0.5:
                raise ValueError(f"error rates of {self.name} lie in (0, 0.5), not {rate}")
        if self.least < 2 or self.size < self.least * len(self.arms):
            raise ValueError(f"{self.name} ends with fewer than {self.least} entities an arm")
        self._check_shares()

    def _check_shares(self) -> None:
        shares = tuple(self.share_of.values())
        fits = len(self.shares) in {0, len(self.arms)} and min(shares) > 0.0
        if not fits or abs(math.fsum(shares) - 1.0) > 1e-9:
            raise ValueError(f"shares of {self.name} are positive, one an arm, and sum to 1")

    @property
    def control(self) -> str:
        """The version that the others are compared with."""
        return self.arms[0]

    @property
    def treated(self) -> tuple[str, ...]:
        """The versions that are compared with the control."""
        return self.arms[1:]

    @property
    def share_of(self) -> dict[str, float]:
        """The share of each arm, as `homeostat.domain.arms.allot` takes them."""
        others = len(self.arms) - 1
        shares = self.shares or (round(1.0 - 0.1 * others, 9), *(0.1,) * others)
        return dict(zip(self.arms, shares, strict=False))

    def tuned_for(self, arm: str) -> float:
        """Entities of control and arm together when evidence is to be sharpest.

        Half of those at the end: as sure to find an effect by then, and sooner.
        """
        shares = self.share_of
        return self.size * (shares[self.control] + shares[arm]) / 2.0
