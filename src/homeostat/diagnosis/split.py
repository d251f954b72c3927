"""How much of a change of a mean each mechanism brings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from homeostat.diagnosis.basis import expectations
from homeostat.diagnosis.mechanisms import Evidence
from homeostat.diagnosis.sides import Side, Sides
from homeostat.domain.decision import Cause
from homeostat.domain.explanation import Change, Part
from homeostat.stats.overlap import block_variance
from homeostat.stats.special import normal_quantile, t_quantile

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]
_REACH = normal_quantile(0.975)


def split_change(
    metric: str,
    amounts: tuple[Floats, Floats],
    sides: Sides,
    found: Evidence,
    causes: Sequence[Cause],
    rng: np.random.Generator,
) -> Change:
    """Split the change of a mean into parts that add up to it.

    Parameters
    ----------
    metric : str
    amounts : tuple of ndarray of float64, shapes (n,) and (m,)
        Of labelled rows before and now, finite.
    sides : Sides
        The same rows.
    found : Evidence
    causes : sequence of Cause
        What changed: whether label shift is a part of its own, and whether what inputs do not
        explain is the meaning of inputs or a fault.
    rng : Generator

    Notes
    -----
    Cai, Namkoong & Yadlowsky (2023): the part of changed meaning is the difference of both sides on
    their shared support, that of changed inputs what it takes to get there and back. Overlap
    weights are cross-fitted, and so is what inputs make one expect of an amount, which is taken
    out first, so that an error of one of the two does little harm. The part of a changed mix of
    labels is the sum over labels of the change of their share times their mean before. Intervals
    come from influence functions; where rows have days, how those of the reference differ is part
    of their errors, and Student's quantiles take the normal's place.
    """
    before, now = amounts
    n, m = before.size, now.size
    total = float(now.mean() - before.mean())
    whole = -(before - before.mean()) / n, (now - now.mean()) / m
    expected = expectations(found.functions, before[:, None], rng)
    left = before - expected[0][:, 0], now - expected[1][:, 0]
    one, two = found.weights.before, found.weights.now
    means = float(one @ left[0]), float(two @ left[1])
    meaning = means[1] - means[0]
    inner = -one * (left[0] - means[0]), two * (left[1] - means[1])
    only = Cause.LABEL_SHIFT in causes and Cause.COVARIATE_SHIFT not in causes
    if only and Cause.CONCEPT_DRIFT not in causes:
        first, amount, influence = "label", *_label_part(before, sides, found)
    else:
        # Where meaning changed as well, today's labels do not tell how their mix moved: inputs do.
        first, amount = "label" if only else "covariate", total - meaning
        influence = whole[0] - inner[0], whole[1] - inner[1]
    rest = whole[0] - influence[0], whole[1] - influence[1]
    days = sides.days
    parts = (
        _part(first, amount, influence, days),
        _part(_rest_name(first, causes), total - amount, rest, days),
    )
    return Change(
        metric, float(before.mean()), float(now.mean()), _part("total", total, whole, days), parts
    )


def add_fault(
    change: Change,
    amounts: tuple[Floats, Floats],
    kept: tuple[Mask, Mask],
    days: tuple[Indices, Indices] | None,
) -> Change:
    """Add what rows that are broken, and were left out of a change, do to it.

    Parameters
    ----------
    change : Change
        On the rows kept.
    amounts : tuple of ndarray of float64
        Of all rows; NaN where not known.
    kept : tuple of ndarray of bool
    days : tuple of ndarray of int64, optional
    """
    means, influence = [], []
    for side, sound in zip(amounts, kept, strict=True):
        known = side[~np.isnan(side)]
        inside = sound[~np.isnan(side)]
        mean, usual = float(known.mean()), float(known[inside].mean())
        means.append((mean, usual))
        whole = (known - mean) / known.size
        influence.append((whole, whole - inside * (known - usual) / np.count_nonzero(inside)))
    total = means[1][0] - means[0][0]
    part = total - (means[1][1] - means[0][1])
    if days is not None:
        ours, theirs = (day[~np.isnan(side)] for day, side in zip(days, amounts, strict=True))
        days = ours, theirs
    change_total = _part("total", total, (influence[0][0], influence[1][0]), days)
    fault = _part("fault", part, (influence[0][1], influence[1][1]), days)
    others = tuple(
        Part("concept", p.amount, p.lower, p.upper) if p.name == "fault" else p
        for p in change.parts
    )
    return Change(change.metric, means[0][0], means[1][0], change_total, (*others, fault))


def _rest_name(first: str, causes: Sequence[Cause]) -> str:
    """Name what is left when inputs, or the mix of labels, are accounted for."""
    if Cause.DATA_FAULT in causes:
        return "fault"
    if first == "covariate" and Cause.LABEL_SHIFT in causes:
        return "label"
    return "concept"


def _part(
    name: str,
    amount: float,
    influence: tuple[Floats, Floats],
    days: tuple[Indices, Indices] | None,
) -> Part:
    variance, reach = sum(float(side @ side) for side in influence), _REACH
    if days is not None and variance > 0.0:
        flat = tuple(np.full(side.size, 1.0 / side.size) for side in influence)
        rows = (influence[0] * influence[0].size)[:, None]
        more, freedom = block_variance(rows, (flat[0], flat[1]), days, np.array([variance]))
        variance += float(more[0])
        reach = t_quantile(float(freedom[0]), 0.975) if np.isfinite(freedom[0]) else _REACH
    error = float(np.sqrt(variance))
    return Part(name, amount, amount - reach * error, amount + reach * error)


def _label_part(
    before: Floats, sides: Sides, found: Evidence
) -> tuple[float, tuple[Floats, Floats]]:
    was, now = found.shares
    means = _group_means(before, sides.before, sides.groups)
    amount = float((now - was) @ means)
    ours, theirs = sides.before.groups, sides.now.groups
    ratio = np.where(was > 0.0, (now - was) / np.where(was > 0.0, was, 1.0), 0.0)
    left = ratio[ours] * (before - means[ours]) - (means[ours] - was @ means)
    return amount, (left / before.size, (means[theirs] - now @ means) / theirs.size)


def _group_means(amounts: Floats, side: Side, groups: int) -> Floats:
    counts = np.bincount(side.groups, minlength=groups)
    sums = np.bincount(side.groups, weights=amounts, minlength=groups)
    found: Floats = np.where(counts > 0, sums / np.maximum(counts, 1), amounts.mean())
    return found


def is_harmful(loss: Change, needed: float) -> bool:
    """Whether a mean loss, or what meaning or faults add, rose beyond chance by what matters."""
    worse = [loss.total, *(part for part in loss.parts if part.name in {"concept", "fault"})]
    return any(part.lower > 0.0 and part.amount >= needed * abs(loss.before) for part in worse)


def rank(causes: tuple[Cause, ...], loss: Change) -> tuple[Cause, ...]:
    """Put what adds most to the loss first; a fault before all unless it is known to do less."""
    names = {
        Cause.COVARIATE_SHIFT: "covariate",
        Cause.LABEL_SHIFT: "label",
        Cause.CONCEPT_DRIFT: "concept",
        Cause.DATA_FAULT: "fault",
    }
    told = {part.name for part in loss.parts}
    most = max((part.lower for part in loss.parts if part.name != "fault"), default=0.0)
    measured = "fault" in told and {"concept", "label"} & told and most > loss["fault"].upper

    def urgency(cause: Cause) -> float:
        first = cause is Cause.DATA_FAULT and not measured
        return np.inf if first else loss[names[cause]].amount

    return tuple(sorted(causes, key=lambda cause: -urgency(cause)))
