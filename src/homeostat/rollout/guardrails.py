"""Guardrails of a canary: whether its answers do harm, by evidence that may be read at any time.

A guardrail compares what the challenger answered with what the champion answered *at the same
time*, to entities that a hash dealt out (`homeostat.stats.split_bets`); never with the past. Each
bets against "not worse than is tolerated", so that the error rate that the owner accepts, split
over the guardrails, holds for the rollout as a whole, however often it is looked at.

==============  ======================================  ===========================================
guardrail       what counts                             is breached if the challenger's
==============  ======================================  ===========================================
``errors``      answers that the model failed to give   share is higher by more than `errors`
``latency``     answers slower than the champion's      quantile is more than `latency` times the
                quantile was a moment before            champion's
``scores``      scores beyond one of five levels        distribution is further away than `scores`
                                                        (Kolmogorov distance)
``value:NAME``  a business metric of matured rows       mean is worse by more than `value`
``labels``      whether a matured row has a label       coverage is another one: holds, aborts not
==============  ======================================  ===========================================

Before all of them comes the sample ratio: whether as many entities as should be are in the log.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np

from homeostat.rollout.guardrails_bets import (
    Flags,
    Floats,
    Rail,
    bet_on_errors,
    bet_on_labels,
    bet_on_latency,
    bet_on_scores,
    bet_on_value,
)
from homeostat.stats.mixtures import log_multinomial

ERRORS, LATENCY, SCORES, VALUE, LABELS = "errors", "latency", "scores", "value:", "labels"
BLOCK, MOST_BLOCKS = 256, 64


@dataclass(frozen=True, slots=True)
class GuardrailPolicy:
    """What a canary may do worse than the champion before it is taken back.

    Attributes
    ----------
    alpha : float
        Probability that a challenger that is not worse is ever taken back; all guardrails share it.
    latency : float or None
        The challenger's latency at `quantile` may be so many times the champion's; None: not
        guarded.
    quantile : float
        In (0, 1).
    errors : float or None
        The share of answers that the challenger fails to give may be so much higher.
    scores : float or None
        So far apart may the distributions of the scores be (Kolmogorov distance, in (0, 1)).
    value : float or None
        By this part of the champion's mean may a business metric be worse.
    sample_ratio : float
        Probability that a split that is as published is ever taken for another one.
    settle : timedelta
        After a change of the route, how long answers do not count: gateways take it up one by one.

    Raises
    ------
    ValueError
        If a figure is out of range.
    """

    alpha: float = 0.05
    latency: float | None = 1.25
    quantile: float = 0.95
    errors: float | None = 0.005
    scores: float | None = 0.4
    value: float | None = 0.0
    sample_ratio: float = 0.001
    settle: timedelta = timedelta(minutes=1)

    def __post_init__(self) -> None:
        shares = (self.alpha, self.quantile, self.sample_ratio)
        if not all(0.0 < share < 1.0 for share in shares):
            raise ValueError(f"alpha, quantile and sample_ratio lie between 0 and 1, not {shares}")
        if self.latency is not None and not self.latency >= 1.0:
            raise ValueError(f"latency is {self.latency}; it is a factor of at least 1")
        for name in (ERRORS, SCORES):
            tolerated: float | None = getattr(self, name)
            if tolerated is not None and not 0.0 <= tolerated < 1.0:
                raise ValueError(f"{name} is {tolerated}; a tolerance lies in [0, 1)")
        if self.value is not None and not self.value >= 0.0:
            raise ValueError(f"value is {self.value}; a tolerance is never negative")

    def names(self, metrics: Sequence[str] = ()) -> tuple[str, ...]:
        """Return the guardrails that share `alpha`, given the business metrics.

        Examples
        --------
        >>> GuardrailPolicy(latency=None).names(["profit"])
        ('errors', 'scores', 'value:profit')
        """
        fixed = {ERRORS: self.errors, LATENCY: self.latency, SCORES: self.scores}
        named = [name for name, tolerated in fixed.items() if tolerated is not None]
        valued = [] if self.value is None else [VALUE + metric for metric in metrics]
        return (*named, *valued)


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What two arms answered, each entity once, in order of time.

    Attributes
    ----------
    treated : ndarray of bool, shape (n,)
        The challenger was to answer.
    failed : ndarray of bool, shape (n,)
        It was the model's fault that it did not.
    latency, score : ndarray of float64, shape (n,)
        NaN where there is none.
    """

    treated: Flags
    failed: Flags
    latency: Floats
    score: Floats


@dataclass(frozen=True, slots=True, eq=False)
class MaturedAnswers:
    """The same of rows whose labels are complete.

    Attributes
    ----------
    treated, labelled : ndarray of bool, shape (n,)
    values : mapping of str to ndarray of float64, shape (n,)
        By business metric, such that more is better; NaN where it is not known.
    """

    treated: Flags
    labelled: Flags
    values: dict[str, Floats]


@dataclass(frozen=True, slots=True)
class Rails:
    """Evidence of all guardrails of one rollout.

    ``counts`` are the entities of champion and challenger in the current step, `split_log` the
    logarithm of the e-value against a right split from the steps before.
    """

    rails: tuple[Rail, ...] = ()
    counts: tuple[int, int] = (0, 0)
    split_log: float = 0.0

    def rail(self, name: str) -> Rail:
        """Return a guardrail, fresh if it has seen nothing."""
        return next((rail for rail in self.rails if rail.name == name), Rail(name))

    def noting(self, *changed: Rail) -> Rails:
        """Return the same with these guardrails in place of their predecessors."""
        newest = {rail.name: rail for rail in (*self.rails, *changed)}
        return replace(self, rails=tuple(newest.values()))

    def log_split(self, weight: float) -> float:
        """Return the logarithm of the e-value against a right split (Lindon & Malek 2022)."""
        if not sum(self.counts):
            return self.split_log
        return self.split_log + log_multinomial(self.counts, (1.0 - weight, weight))

    def next_step(self, weight: float) -> Rails:
        """Return the same at the end of a step of that weight: its counts are closed."""
        if not sum(self.counts):
            return self
        return replace(self, counts=(0, 0), split_log=self.log_split(weight))


@dataclass(frozen=True, slots=True)
class Breach:
    """A guardrail that is breached, in words and figures."""

    name: str
    reason: str
    figures: tuple[tuple[str, float], ...]


def see_answers(policy: GuardrailPolicy, rails: Rails, answers: Answers, weight: float) -> Rails:
    """Bet on new answers; each once.

    Parameters
    ----------
    policy : GuardrailPolicy
    rails : Rails
    answers : Answers
    weight : float
        In (0, 1): share of these entities that the challenger was to answer.
    """
    for block in _blocks(answers.treated.size):
        treated = answers.treated[block]
        changed = []
        if policy.errors is not None:
            failed = answers.failed[block].astype(np.float64)
            changed.append(
                bet_on_errors(rails.rail(ERRORS), failed, treated, weight, policy.errors)
            )
        if policy.latency is not None:
            found = bet_on_latency(
                rails.rail(LATENCY), policy.latency, policy.quantile, answers.latency[block],
                treated, weight,
            )  # fmt: skip
            changed.append(found)
        if policy.scores is not None:
            rail = rails.rail(SCORES)
            changed.append(
                bet_on_scores(rail, policy.scores, answers.score[block], treated, weight)
            )
        rails = rails.noting(*changed)
    return rails


def see_matured(
    policy: GuardrailPolicy, rails: Rails, rows: MaturedAnswers, weight: float
) -> Rails:
    """Bet on answers whose labels are complete; each once. Parameters as in `see_answers`."""
    for block in _blocks(rows.treated.size):
        treated = rows.treated[block]
        labelled = rows.labelled[block].astype(np.float64)
        changed = [bet_on_labels(rails.rail(LABELS), labelled, treated, weight)]
        for metric, values in rows.values.items():
            if policy.value is not None:
                rail = rails.rail(VALUE + metric)
                changed.append(bet_on_value(rail, policy.value, values[block], treated, weight))
        rails = rails.noting(*changed)
    return rails


def breach(policy: GuardrailPolicy, rails: Rails, metrics: Sequence[str] = ()) -> Breach | None:
    """Return the guardrail with the strongest evidence, if it is enough.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> treated = rng.random(5000) < 0.2
    >>> slow = rng.lognormal(3.0, 0.4, 5000) * np.where(treated, 2.0, 1.0)
    >>> fine = np.zeros(5000, np.bool_)
    >>> answers = Answers(treated, fine, slow, np.full(5000, np.nan))
    >>> policy = GuardrailPolicy()
    >>> found = breach(policy, see_answers(policy, Rails(), answers, weight=0.2))
    >>> found.name, found.reason.split(":")[0]
    ('latency', 'guardrail latency')
    """
    names = policy.names(metrics)
    if not names:
        return None
    worst = max((rails.rail(name) for name in names), key=lambda rail: rail.e)
    enough = len(names) / policy.alpha
    if worst.e < enough:
        return None
    figures = (*worst.figures, ("e_needed", enough))
    return Breach(worst.name, f"guardrail {worst.name}: {_told(policy, worst)}", figures)


def split_is_off(policy: GuardrailPolicy, rails: Rails, weight: float) -> Breach | None:
    """Return how the sample ratio differs from the published split, if that is sure."""
    log = rails.log_split(weight)
    if log < -math.log(policy.sample_ratio):
        return None
    control, treated = rails.counts
    share = treated / max(control + treated, 1)
    reason = (
        f"sample ratio: {treated} of {control + treated} entities in the log are the challenger's, "
        f"{share:.2%} where {weight:.2%} were sent to it; what else is compared means nothing"
    )
    figures = (
        ("log_e_value", log),
        ("challenger_share", share),
        ("published_share", weight),
        ("entities", float(control + treated)),
    )
    return Breach("sample_ratio", reason, figures)


def labels_differ(policy: GuardrailPolicy, rails: Rails) -> str:
    """Say how the arms' labels differ in number; empty if they do not, as far as is known."""
    rail = rails.rail(LABELS)
    if rail.e < 1.0 / policy.alpha:
        return ""
    (control, treated), (champion, challenger) = rail.bets[0].units, rail.bets[0].means
    return (
        f"labels came for {challenger:.0%} of the challenger's {treated} matured answers and for "
        f"{champion:.0%} of the champion's {control}; a comparison by labels means nothing"
    )


def _told(policy: GuardrailPolicy, rail: Rail) -> str:
    figures = dict(rail.figures)
    ours, theirs = figures["challenger"], figures["champion"]
    rows = f"on {figures['challenger_rows']:.0f} and {figures['champion_rows']:.0f} answers"
    if rail.name == ERRORS:
        what = f"the challenger failed {ours:.2%}, the champion {theirs:.2%}"
    elif rail.name == LATENCY:
        what = (
            f"{ours:.1%} of the challenger's answers took more than {policy.latency:g} times the "
            f"champion's {policy.quantile:.0%} quantile, {theirs:.1%} of its own more than that"
        )
    elif rail.name == SCORES:
        what = f"{ours:.1%} of the challenger's scores lie where {theirs:.1%} of the champion's do"
    else:
        what = (
            f"it is worse, {1.0 - ours:.3f} of the champion's range on average where the champion "
            f"has {1.0 - theirs:.3f}"
        )
    return f"{what} ({rows} of the same time, e-value {rail.e:.4g})"


def _blocks(size: int) -> Iterator[slice]:
    """Yield short stretches, so that each is bet on with what those before it have shown."""
    length = max(BLOCK, -(-size // MOST_BLOCKS))
    for start in range(0, size, length):
        yield slice(start, start + length)
