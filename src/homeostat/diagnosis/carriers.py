"""Which columns and segments carry a change, and when it set in."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import Columns, Values
from homeostat.detectors.faults.masses import as_words
from homeostat.diagnosis.mechanisms import Evidence
from homeostat.diagnosis.sides import SCORE, Sides
from homeostat.domain.decision import Cause
from homeostat.domain.explanation import Carrier
from homeostat.stats.classifier import fit_logistic
from homeostat.stats.overlap import apply_ridge, fit_ridge
from homeostat.stats.shapley import shapley

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_MOST = 5  # columns among which a change is shared out
_ROWS = 3_000
_SURE = 3.5  # standard errors from which a column is looked at
_SEGMENTS = 20  # values of a column that may be segments


def moved_columns(sides: Sides, found: Evidence, cause: Cause) -> tuple[str, ...]:
    """Return the columns that show a cause beyond chance, strongest first."""
    gaps = found.input_gaps.z if cause is not Cause.CONCEPT_DRIFT else found.label_gaps.z[1:]
    strongest: dict[str, float] = {}
    for place, z in zip(found.columns.tolist(), np.abs(gaps).tolist(), strict=True):
        name = sides.names[place]
        strongest[name] = max(z, strongest.get(name, 0.0))
    ranked = sorted(strongest, key=lambda name: -strongest[name])
    level = _SURE if cause is not Cause.LABEL_SHIFT else np.inf
    return tuple(n for n in ranked if strongest[n] >= level and not n.startswith(SCORE))


def share_out(
    sides: Sides, found: Evidence, cause: Cause, amount: float, rng: np.random.Generator
) -> tuple[Carrier, ...]:
    """Share out what a cause adds to the loss among the columns that show it.

    Shapley values over columns (Zhang et al. 2210.10769 use them over mechanisms): for covariate
    shift, a set of columns is worth the change of reference loss when rows are re-weighted by how
    these columns moved; for concept drift, the mean square of the change of labels that they tell.
    """
    names = moved_columns(sides, found, cause)[:_MOST]
    if not names:
        return ()
    places = [sides.names.index(name) for name in names]
    rows = tuple(_some(len(side), rng) for side in (sides.before, sides.now))

    def by_inputs(players: frozenset[int]) -> float:
        chosen = np.isin(sides.owners, [places[p] for p in players])
        one = sides.before.rows[rows[0]][:, chosen]
        two = sides.now.rows[rows[1]][:, chosen]
        labels = np.repeat([0.0, 1.0], [len(one), len(two)])
        odds = fit_logistic(np.vstack((one, two)), labels, 5.0).log_odds(one)
        weights = np.exp(np.clip(odds, -4.0, 4.0))
        loss = sides.before.loss[rows[0]]
        return float(weights @ loss / weights.sum() - loss.mean())

    def by_meaning(players: frozenset[int]) -> float:
        chosen = np.isin(found.columns, [places[p] for p in players])
        models = [
            fit_ridge(f[at][:, chosen], r[at][:, :1], np.ones(at.size), 50.0)
            for f, r, at in zip(found.functions, found.residuals, rows, strict=True)
        ]
        change = apply_ridge(models[1] - models[0], found.functions[1][rows[1]][:, chosen])
        return float((change**2).mean())

    worth = by_meaning if cause is Cause.CONCEPT_DRIFT else by_inputs
    values = shapley(len(names), lambda p: worth(p) if p else 0.0, rng)
    whole = float(values.sum())
    # What the columns explain together is known up to scale; what the cause adds is measured.
    scaled = values * (amount / whole) if cause is Cause.CONCEPT_DRIFT and whole > 0.0 else values
    found_out = [Carrier(n, v) for n, v in zip(names, scaled.tolist(), strict=True)]
    return tuple(sorted(found_out, key=lambda carrier: -abs(carrier.amount)))


def segment_shares(
    columns: tuple[Columns, Columns],
    losses: tuple[Floats, Floats],
    names: tuple[str, ...],
    most: int = 5,
) -> tuple[Carrier, ...]:
    """Return what rows of each segment add to the change of the mean loss, largest first.

    The shares of one column's values add up to the change; a value whose rows are as many, and as
    good, as before adds nothing.
    """
    found = []
    usual = float(np.nanmean(losses[0]))
    for name in names:
        one, two = columns[0][name], columns[1][name]
        if not one.is_code or one.kind is not two.kind:
            continue
        words = _values(one), _values(two)
        if len(set(words[0])) > _SEGMENTS:
            continue
        for word in sorted({*words[0], *words[1]}):
            before, now = (
                _excess(side, word, loss, usual) for side, loss in zip(words, losses, strict=True)
            )
            found.append(Carrier(f"{name}={word}", now - before))
    return tuple(sorted(found, key=lambda carrier: -abs(carrier.amount))[:most])


def onset(values: Floats, times: NDArray[np.int64], usual: float) -> int:
    """Return the time from which values depart from their usual mean.

    The likeliest place of one change from the usual mean to another that lasts.

    Examples
    --------
    >>> values = np.concatenate((np.zeros(50), np.ones(30))) + np.tile([0.1, -0.1], 40)
    >>> onset(values, np.arange(80), 0.0)
    50
    """
    order = np.argsort(times, kind="stable")
    sums = np.cumsum((values[order] - usual)[::-1])[::-1]
    rows = np.arange(order.size, 0, -1)
    return int(times[order[int(np.argmax(sums**2 / rows))]])


def _some(rows: int, rng: np.random.Generator) -> Indices:
    return np.sort(rng.permutation(rows)[:_ROWS]).astype(np.int64)


def _values(column: Values) -> Mapping[str, NDArray[np.bool_]]:
    words = as_words(column)
    there = np.unique(words.codes[words.codes >= 0]).tolist()
    return {words.words[place]: words.codes == place for place in there}


def _excess(words: Mapping[str, NDArray[np.bool_]], word: str, loss: Floats, usual: float) -> float:
    if word not in words:
        return 0.0
    return float((loss[words[word]] - usual).sum() / loss.size)


def trace(evidence: Evidence, cause: Cause) -> tuple[Floats, Floats]:
    """Return, row by row, the quantity whose mean shows a cause most clearly."""
    one, two = evidence.functions
    if cause is Cause.COVARIATE_SHIFT:
        place = int(np.argmax(np.abs(evidence.input_gaps.z)))
        return one[:, place], two[:, place]
    place = int(np.argmax(np.abs(evidence.label_gaps.z)))
    first = evidence.residuals[0][:, 0], evidence.residuals[1][:, 0]
    if place == 0:
        return first
    return first[0] * one[:, place - 1], first[1] * two[:, place - 1]
