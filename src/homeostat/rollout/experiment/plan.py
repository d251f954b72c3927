"""What its owner decided about an experiment: the design, what is measured on whom, who ships."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from homeostat.rollout.experiment.design import Experiment, Kind, Metric

SERVING = frozenset({Kind.LATENCY, Kind.ERROR_RATE})
"""Kinds that the prediction log measures by itself, without any outcome."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the prediction log has what a metric is made of.

    Attributes
    ----------
    name : str
        Of the metric.
    of : str
        The label, an outcome or a numeric feature; empty: what the log measures by itself (the
        latency of an answer, and whether a fallback tier gave it).
    per : str
        Denominator of a ratio, in the same way; empty: answers.
    before : str
        Numeric feature that tells of the time before the experiment (CUPED).
    absent : bool
        Whether an outcome that never came counts as 0: where only what happened is reported.
    """

    name: str
    of: str = ""
    per: str = ""
    before: str = ""
    absent: bool = False


@dataclass(frozen=True, slots=True)
class ExperimentPlan:
    """An experiment on a model's traffic.

    Attributes
    ----------
    model : str
    design : Experiment
        What decides; its arms are versions, its entities those of the prediction log.
    sources : tuple of Source
        One a metric.
    traffic : float
        Share of all entities that take part, in (0, 1]; the champion answers the others.
    every : timedelta
        Time between two looks.
    observe : timedelta
        For so long after an entity was first met its answers count.
    wait : timedelta
        Then its outcomes have so long to come.
    longest : timedelta
        After this time it ends, however few came.
    segments : tuple of str
        Features, or combinations of them, by which harm is looked for.
    auto_promote : bool
        Whether a version that ships is rolled out without a person.

    Examples
    --------
    >>> from homeostat.rollout.experiment.design import Metric
    >>> paid = Metric("paid", Kind.CONVERSION)
    >>> design = Experiment("checkout", ("v7", "v8"), (paid,), size=10_000)
    >>> plan = ExperimentPlan("fraud", design, (Source("paid", of="bought"),), traffic=0.5)
    >>> plan.shares
    {'v7': 0.45, 'v8': 0.05}
    """

    model: str
    design: Experiment
    sources: tuple[Source, ...]
    traffic: float = 1.0
    every: timedelta = timedelta(days=1)
    observe: timedelta = timedelta(days=1)
    wait: timedelta = timedelta(0)
    longest: timedelta = timedelta(days=90)
    segments: tuple[str, ...] = ()
    auto_promote: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        names = tuple(metric.name for metric in self.design.metrics)
        if tuple(source.name for source in self.sources) != names:
            raise ValueError(f"{self.design.name} needs one source for each of {', '.join(names)}")
        if not 0.0 < self.traffic <= 1.0:
            raise ValueError(f"{self.design.name} has a share of traffic in (0, 1]")

    @property
    def name(self) -> str:
        """The experiment's."""
        return self.design.name

    @property
    def shares(self) -> dict[str, float]:
        """The share of all entities that each arm is to have, as `homeostat.domain.arms` takes."""
        return {arm: round(self.traffic * s, 9) for arm, s in self.design.share_of.items()}

    @property
    def measured(self) -> tuple[tuple[Metric, Source], ...]:
        """Each metric with its source."""
        return tuple(zip(self.design.metrics, self.sources, strict=True))

    @property
    def immediate(self) -> tuple[Metric, ...]:
        """Metrics that are known as soon as an entity was observed."""
        return tuple(m for m, source in self.measured if m.kind in SERVING and not source.of)

    def without(self, arm: str) -> ExperimentPlan:
        """Return the plan of what goes on once an arm is taken back; raises ValueError.

        The others keep what they have, and each of them the error rate that it had.

        Examples
        --------
        >>> from homeostat.rollout.experiment.design import Metric
        >>> paid = Metric("paid", Kind.CONVERSION)
        >>> design = Experiment("checkout", ("v7", "v8", "v9"), (paid,), size=10_000)
        >>> plan = ExperimentPlan("fraud", design, (Source("paid"),)).without("v9")
        >>> plan.shares, plan.design.size, plan.design.alpha
        ({'v7': 0.8, 'v8': 0.1}, 9000, 0.025)
        """
        design = self.design
        shares = {name: share for name, share in design.share_of.items() if name != arm}
        left = sum(shares.values())
        others = len(design.treated)
        design = replace(
            design,
            arms=tuple(shares),
            shares=tuple(share / left for share in shares.values()),
            size=round(design.size * left),
            alpha=design.alpha * (others - 1) / others,
        )
        return replace(self, design=design, traffic=min(1.0, self.traffic * left))
