"""Domain classifier: whether current rows can be told from reference rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from homeostat.stats.classifier import fit_quadratic
from homeostat.stats.encoding import Encoder, Table, fit_encoder, stack
from homeostat.stats.metrics import auc
from homeostat.stats.special import normal_sf

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_NAMED = 0.2  # share of what AUC has over chance that a column must carry to be named in a reason

Scorer = Callable[[Floats], Floats]
"""From rows of shape (rows, features) to scores of shape (rows,); higher means more like current.

Must not depend on the other rows that it is given.
"""


class Learner(Protocol):
    """Learns to tell label 1 (current) from label 0 (reference).

    Examples
    --------
    A LightGBM model in place of the built-in one::

        def learn(rows, labels):
            model = LGBMClassifier(n_estimators=100, random_state=0).fit(rows, labels)
            return lambda held_out: model.predict_proba(held_out)[:, 1]
    """

    def __call__(self, rows: Floats, labels: Floats, /) -> Scorer:
        """Return a scorer fitted to rows of shape (rows, features), labels 0.0 or 1.0."""
        ...


@dataclass(frozen=True, slots=True)
class ClassifierConfig:
    """How hard to look.

    Attributes
    ----------
    folds : int
        Parts that the rows are dealt into, at least 3.
    min_rows : int
        Rows below which a side is not judged, at least `folds`.
    max_rows : int
        Rows of a side that are used, drawn at random.
    max_values : int
        Rows times features that are used: bounds memory and time for wide tables.
    explain_below : float
        Columns to blame are sought if the p-value is at most this.
    max_explained : int
        Columns that are tried, those with the largest differences of their own first.

    Raises
    ------
    ValueError
        If there are fewer than 3 folds or `min_rows` is below them.
    """

    folds: int = 5
    min_rows: int = 50
    max_rows: int = 10_000
    max_values: int = 20_000_000
    explain_below: float = 0.05
    max_explained: int = 100

    def __post_init__(self) -> None:
        if self.folds < 3:
            raise ValueError(f"folds must be at least 3, not {self.folds}")
        if self.min_rows < self.folds:
            raise ValueError(f"min_rows must be at least {self.folds} (folds), not {self.min_rows}")


@dataclass(frozen=True, slots=True)
class Share:
    """A column and what AUC loses on held-out rows when it is shuffled."""

    column: str
    drop: float


@dataclass(frozen=True, slots=True)
class ClassifierDrift:
    """What a domain classifier found.

    Attributes
    ----------
    statistic : float
        Standard normal if rows are alike; NaN if there was nothing to test.
    p_value : float
        One-sided.
    effect : float
        Cross-fitted AUC, averaged over folds: 0.5 if nothing can be told apart, 1 if everything.
    columns : tuple of Share
        Columns that carry it, largest first; empty if the p-value is above ``explain_below``.
    n_reference, n_current : int
        Rows used.
    reason : str
        For people.
    """

    statistic: float
    p_value: float
    effect: float
    columns: tuple[Share, ...]
    n_reference: int
    n_current: int
    reason: str


def classify(
    reference: Table,
    current: Table,
    rng: np.random.Generator,
    config: ClassifierConfig | None = None,
    learner: Learner | None = None,
) -> ClassifierDrift:
    """Test whether a classifier can tell current rows from reference rows.

    Parameters
    ----------
    reference, current : Table
        The same columns; rows independent within and between both.
    rng : Generator
        Deals rows into folds; the same seed gives the same result.
    config : ClassifierConfig, optional
    learner : Learner, optional
        `homeostat.stats.classifier.fit_quadratic` by default.

    Raises
    ------
    ValueError
        If the tables have different columns, or the learner returns scores of another shape or NaN.

    Notes
    -----
    Classifier two-sample test (Lopez-Paz & Oquab, ICLR 2017). The AUCs of ordinary folds depend on
    each other through the rows that they train on: taken for independent, those of 200 + 200 rows
    of 22 columns alarm in 11 % of cases at a level of 5 %. The p-value therefore comes from a
    chain: fold k is ranked by a classifier that was trained on the folds before it only. Given
    those, its Mann-Whitney statistic is that of a random order if rows are alike, whatever the
    classifier; so the standardised statistics are independent and their weighted sum is standard
    normal. Features are encoded by the ranks of both sides together, which know no labels.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> before = Table({"a": rng.normal(size=500), "b": rng.normal(size=500)})
    >>> a = rng.normal(size=500)
    >>> now = Table({"a": a, "b": (a + rng.normal(size=500)) / 2**0.5})
    >>> found = classify(before, now, rng)
    >>> found.p_value < 1e-6, sorted(share.column for share in found.columns)
    (True, ['a', 'b'])
    """
    config = config or ClassifierConfig()
    if min(reference.rows, current.rows) < config.min_rows:
        return _nothing(reference.rows, current.rows, config.min_rows)
    reference, current = _sample(reference, current, rng, config)
    frame = _prepare(reference, current, rng, config, learner)
    aucs, scorers = _cross_fit(frame)
    statistic = _chain(frame, scorers[-1])
    p_value, effect = normal_sf(statistic), float(np.mean(aucs))
    columns: tuple[Share, ...] = ()
    if p_value <= config.explain_below:
        columns = _explain(frame, scorers, aucs, rng, config.max_explained)
    reason = _reason(effect, p_value, columns)
    return ClassifierDrift(
        statistic, p_value, effect, columns, reference.rows, current.rows, reason
    )


def _nothing(n: int, m: int, needed: int) -> ClassifierDrift:
    nan = math.nan
    short = [
        f"{rows} rows in the {side}, {needed} are needed"
        for side, rows in (("reference", n), ("current window", m))
        if rows < needed
    ]
    return ClassifierDrift(nan, nan, nan, (), n, m, "; ".join(short))


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """Encoded rows of both sides with their labels and folds."""

    encoder: Encoder
    rows: Floats
    labels: Floats
    folds: Indices
    count: int
    learner: Learner


def _sample(
    reference: Table, current: Table, rng: np.random.Generator, config: ClassifierConfig
) -> tuple[Table, Table]:
    features = 2 * len(reference.numbers) + 22 * len(reference.categories)
    most = min(config.max_rows, max(config.min_rows, config.max_values // (2 * features)))

    def draw(table: Table) -> Table:
        if table.rows <= most:
            return table
        return table.take(np.sort(rng.choice(table.rows, most, replace=False)))

    return draw(reference), draw(current)


def _prepare(
    reference: Table,
    current: Table,
    rng: np.random.Generator,
    config: ClassifierConfig,
    learner: Learner | None,
) -> _Frame:
    both = stack((reference, current))
    encoder = fit_encoder(both)
    labels = np.repeat([0.0, 1.0], [reference.rows, current.rows])
    # Each side is dealt separately, so that every fold has the same shares of both.
    dealt = [rng.permutation(table.rows) % config.folds for table in (reference, current)]
    owners = encoder.owners

    def quadratic(rows: Floats, labels: Floats, /) -> Scorer:
        return fit_quadratic(rows, labels, owners).log_odds

    folds = np.concatenate(dealt)
    rows = encoder.transform(both)
    return _Frame(encoder, rows, labels, folds, config.folds, learner or quadratic)


def _fit(frame: _Frame, train: NDArray[np.bool_]) -> Scorer:
    return frame.learner(frame.rows[train], frame.labels[train])


def _score(scorer: Scorer, rows: Floats) -> Floats:
    scores = np.asarray(scorer(rows), dtype=np.float64)
    if scores.shape != rows.shape[:1] or bool(np.isnan(scores).any()):
        raise ValueError(
            f"the learner must give one score per row and no NaN: {rows.shape[0]} rows gave shape "
            f"{scores.shape}"
        )
    return scores


def _cross_fit(frame: _Frame) -> tuple[list[float], list[Scorer]]:
    """Return each fold's AUC under a classifier trained on all others, and these classifiers."""
    aucs, scorers = [], []
    for fold in range(frame.count):
        held = frame.folds == fold
        scorers.append(_fit(frame, ~held))
        aucs.append(auc(frame.labels[held], _score(scorers[-1], frame.rows[held])))
    return aucs, scorers


def _chain(frame: _Frame, last: Scorer) -> float:
    """Return the combined statistic of folds ranked by classifiers trained on earlier ones."""
    total = weights = 0.0
    for fold in range(1, frame.count):
        held = frame.folds == fold
        scorer = last if fold == frame.count - 1 else _fit(frame, frame.folds < fold)
        # A classifier's strength grows with the root of its training rows, and weights follow it.
        total += math.sqrt(fold) * _rank_z(frame.labels[held], _score(scorer, frame.rows[held]))
        weights += fold
    return total / math.sqrt(weights)


def _rank_z(labels: Floats, scores: Floats) -> float:
    """Return the Mann-Whitney statistic in standard errors, corrected for ties; 0 if all tie."""
    size, ones = labels.size, float(labels.sum())
    zeros = size - ones
    _, ties = np.unique(scores, return_counts=True)
    share = float((ties.astype(np.float64) ** 3 - ties).sum()) / (size**3 - size)
    if share >= 1.0:
        return 0.0
    error = math.sqrt((size + 1.0) * (1.0 - share) / (12.0 * ones * zeros))
    return (auc(labels, scores) - 0.5) / error


def _explain(
    frame: _Frame,
    scorers: list[Scorer],
    aucs: list[float],
    rng: np.random.Generator,
    most: int,
) -> tuple[Share, ...]:
    """Return the columns whose shuffling costs AUC on held-out rows, largest first."""
    owners, names = frame.encoder.owners, frame.encoder.names
    one = frame.labels == 1.0
    gaps = np.abs(frame.rows[one].mean(axis=0) - frame.rows[~one].mean(axis=0))
    largest = np.zeros(len(names))
    np.maximum.at(largest, owners, gaps)
    tried = np.sort(np.argsort(-largest, kind="stable")[:most])
    drops = np.zeros(len(names))
    for fold, scorer in enumerate(scorers):
        held = frame.folds == fold
        labels, rows = frame.labels[held], frame.rows[held]
        order = rng.permutation(labels.size)
        for column in tried.tolist():
            features = np.flatnonzero(owners == column)
            shuffled = rows.copy()
            shuffled[:, features] = rows[np.ix_(order, features)]
            drops[column] += (aucs[fold] - auc(labels, _score(scorer, shuffled))) / frame.count
    found = sorted(zip(names, drops.tolist(), strict=True), key=lambda pair: -pair[1])
    return tuple(Share(name, drop) for name, drop in found if drop > 0.0)


def _reason(effect: float, p_value: float, columns: tuple[Share, ...]) -> str:
    found = f"AUC {effect:.3f} (p = {p_value:.2g}) at telling current rows from reference rows"
    enough = _NAMED * (effect - 0.5)
    if named := [repr(share.column) for share in columns if share.drop >= enough > 0.0][:5]:
        return f"{found}, mostly by {', '.join(named)}"
    return found
