"""Tables of numbers and categories as matrices, for methods that look at all columns at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

_KNOTS = 512  # steps of a column's distribution that an encoder keeps

_MIDDLE = (
    (
        2509.0809287301227,
        33430.57558358813,
        67265.7709270087,
        45921.95393154987,
        13731.69376550946,
        1971.5909503065513,
        133.14166789178438,
        3.3871328727963665,
    ),
    (
        5226.495278852854,
        28729.085735721943,
        39307.89580009271,
        21213.794301586597,
        5394.196021424751,
        687.1870074920579,
        42.31333070160091,
        1.0,
    ),
)
_TAIL = (
    (
        0.0007745450142783414,
        0.022723844989269184,
        0.2417807251774506,
        1.2704582524523684,
        3.6478483247632045,
        5.769497221460691,
        4.630337846156546,
        1.4234371107496835,
    ),
    (
        1.0507500716444169e-09,
        0.0005475938084995345,
        0.015198666563616457,
        0.14810397642748008,
        0.6897673349851,
        1.6763848301838038,
        2.053191626637759,
        1.0,
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows of named columns.

    Attributes
    ----------
    numbers : mapping of str to ndarray of float64, shape (rows,)
        NaN is missing; infinities are extremes like any other.
    categories : mapping of str to ndarray of int64, shape (rows,)
        Codes, which must mean the same in every table; negative is missing.

    Raises
    ------
    ValueError
        If there is no column, two have different lengths or the same name.

    Examples
    --------
    >>> table = Table({"age": np.array([31.0, np.nan])}, {"shop": np.array([4, -1])})
    >>> table.names, table.rows, table.take([1]).categories["shop"].tolist()
    (('age', 'shop'), 2, [-1])
    """

    numbers: Mapping[str, Floats]
    categories: Mapping[str, Codes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {name: column.shape for name, column in self._columns()}
        if not lengths:
            raise ValueError("a table needs at least one column")
        if both := sorted(self.numbers.keys() & self.categories.keys()):
            raise ValueError(f"{both[0]!r} is both a number and a category; rename one of them")
        first, shape = next(iter(lengths.items()))
        for name, other in lengths.items():
            if len(other) != 1 or other != shape:
                raise ValueError(
                    f"columns must be one-dimensional and equally long: {first!r} has shape "
                    f"{shape}, {name!r} {other}"
                )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the numbers, then of the categories."""
        return (*self.numbers, *self.categories)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return next(column.size for _, column in self._columns())

    def take(self, rows: Codes | Sequence[int]) -> Self:
        """Return some rows, in the order given."""
        chosen = np.asarray(rows, dtype=np.int64)
        return type(self)(
            {name: column[chosen] for name, column in self.numbers.items()},
            {name: column[chosen] for name, column in self.categories.items()},
        )

    def _columns(self) -> tuple[tuple[str, Floats | Codes], ...]:
        return (*self.numbers.items(), *self.categories.items())


def stack(tables: Sequence[Table]) -> Table:
    """Put tables with the same columns one below the other.

    Raises
    ------
    ValueError
        If there is no table or one has other columns than the first.

    Examples
    --------
    >>> stack([Table({"x": np.array([1.0])}), Table({"x": np.array([2.0])})]).rows
    2
    """
    if not tables:
        raise ValueError("there are no tables; give at least one")
    first = tables[0]
    for table in tables:
        numbers = table.numbers.keys() ^ first.numbers.keys()
        if differing := sorted(numbers | (table.categories.keys() ^ first.categories.keys())):
            raise ValueError(
                f"tables must have the same columns of the same kinds; {differing[0]!r} differs"
            )
    return Table(
        {name: np.concatenate([table.numbers[name] for table in tables]) for name in first.numbers},
        {
            name: np.concatenate([table.categories[name] for table in tables])
            for name in first.categories
        },
    )


@dataclass(frozen=True, slots=True, eq=False)
class NumberScale:
    """One column of numbers: ``knots`` of shape (k,) and ``scores`` of shape (2 k + 1,).

    Odd places hold the scores at the knots, even ones those below, between and above.
    """

    name: str
    knots: Floats
    scores: Floats


@dataclass(frozen=True, slots=True, eq=False)
class CategoryScale:
    """One column of categories: the ``codes``, ascending, that have an indicator of their own."""

    name: str
    codes: Codes


@dataclass(frozen=True, slots=True, eq=False)
class Encoder:
    """How each column becomes numbers, learnt once by `fit_encoder`."""

    numbers: tuple[NumberScale, ...]
    categories: tuple[CategoryScale, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Columns in the order of `owners`."""
        numbers = [scale.name for scale in self.numbers]
        return (*numbers, *[scale.name for scale in self.categories])

    @property
    def owners(self) -> Codes:
        """Which column each feature comes from: shape (features,), indices into `names`."""
        widths = [2] * len(self.numbers) + [scale.codes.size + 2 for scale in self.categories]
        return np.repeat(np.arange(len(widths)), widths)

    def transform(self, table: Table) -> Floats:
        """Return the features of a table's rows.

        Returns
        -------
        ndarray of float64, shape (rows, features)
            Finite. A column of numbers gives its normal score (0 where missing) and whether it is
            missing; one of categories an indicator for each frequent code, for any other, and for
            missing. Columns that the encoder does not know are ignored.

        Raises
        ------
        ValueError
            If a column that was there at fitting is absent.
        """
        held = {*table.numbers.keys(), *table.categories.keys()}
        if absent := [name for name in self.names if name not in held]:
            raise ValueError(f"the table has no column {', '.join(map(repr, absent))}")
        features = np.zeros((self.owners.size, table.rows))
        place = 0
        for scale in self.numbers:
            values = table.numbers[scale.name]
            missing = np.isnan(values)
            features[place] = np.where(missing, 0.0, _look_up(scale, values))
            features[place + 1] = missing
            place += 2
        for group in self.categories:
            codes = table.categories[group.name]
            size = group.codes.size
            # The code after the last known one stands for every other, the next for missing.
            position = np.searchsorted(group.codes, codes)
            known = np.append(group.codes, -1)[position] == codes
            indicator = np.where(codes < 0, size + 1, np.where(known, position, size))
            features[place + indicator, np.arange(table.rows)] = 1.0
            place += size + 2
        return np.ascontiguousarray(features.T)


def fit_encoder(reference: Table, max_categories: int = 20, min_count: int = 10) -> Encoder:
    """Learn how the columns of a reference become numbers.

    Parameters
    ----------
    reference : Table
    max_categories : int
        Most frequent codes of a column that get an indicator of their own, at most; of equally
        frequent ones the smaller code.
    min_count : int
        Rows from which a code is frequent.

    Notes
    -----
    A normal score is the normal quantile of a value's mid-distribution in the reference, P(X < x) +
    P(X = x) / 2, so that neither heavy tails nor infinities dominate. Values beyond the reference's
    own get the quantile of a quarter of a row: further out than any of them, and bounded.

    Examples
    --------
    >>> reference = Table({"x": np.arange(99.0)}, {"shop": np.repeat([0, 1, 2], 33)})
    >>> encoder = fit_encoder(reference)
    >>> now = Table({"x": np.array([49.0, np.nan, np.inf])}, {"shop": np.array([1, 7, -1])})
    >>> encoder.transform(now).round(2)[:, :2].tolist()
    [[0.0, 0.0], [0.0, 1.0], [2.8, 0.0]]
    >>> encoder.transform(now)[:, 2:].astype(int).tolist()
    [[0, 1, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]
    """
    numbers = tuple(_fit_numbers(name, values) for name, values in reference.numbers.items())
    categories = []
    for name, codes in reference.categories.items():
        values, counts = np.unique(codes[codes >= 0], return_counts=True)
        values, counts = values[counts >= min_count], counts[counts >= min_count]
        kept = np.argsort(-counts, kind="stable")[:max_categories]
        categories.append(CategoryScale(name, np.sort(values[kept])))
    return Encoder(numbers, tuple(categories))


def normal_scores(values: Floats) -> Floats:
    """Return normal quantiles of mid-ranks; NaN stays NaN.

    The quantile of ``(rank - 1/2) / n`` among the n values that are there. Ties share the quantile
    of their mean rank.

    Parameters
    ----------
    values : ndarray of float64, shape (rows,)
        Infinities are extremes.

    Examples
    --------
    >>> normal_scores(np.array([1.0, np.inf, np.nan, 2.0])).round(2).tolist()
    [-0.97, 0.97, nan, 0.0]
    """
    scores = np.full(values.shape, np.nan)
    there = ~np.isnan(values)
    size = int(np.count_nonzero(there))
    if size:
        _, group, counts = np.unique(values[there], return_inverse=True, return_counts=True)
        middle = np.cumsum(counts) - counts / 2.0
        scores[there] = _quantiles(middle / size)[group]
    return scores


def _fit_numbers(name: str, values: Floats) -> NumberScale:
    ordered = np.sort(values[~np.isnan(values)])
    size = ordered.size
    if not size:
        return NumberScale(name, np.empty(0), np.zeros(1))
    knots = np.unique(ordered)
    if knots.size > _KNOTS:
        chosen = np.linspace(0, size - 1, _KNOTS).round().astype(np.int64)
        knots = np.unique(ordered[chosen])
    below = np.searchsorted(ordered, knots, side="left")
    upto = np.searchsorted(ordered, knots, side="right")
    places = np.empty(2 * knots.size + 1)
    places[1::2] = (below + upto) / 2.0
    places[0::2] = (np.append(0, upto) + np.append(below, size)) / 2.0
    return NumberScale(name, knots, _quantiles(np.clip(places, 0.25, size - 0.25) / size))


def _look_up(scale: NumberScale, values: Floats) -> Floats:
    place = np.searchsorted(scale.knots, values, side="left")
    place = place + np.searchsorted(scale.knots, values, side="right")
    found: Floats = scale.scores[np.minimum(place, scale.scores.size - 1)]
    return found


def _quantiles(levels: Floats) -> Floats:
    """Return normal quantiles of shares of rows (Wichura's AS241 down to 1e-11, to 1e-15)."""
    q = levels - 0.5
    central = 0.180625 - q * q
    middle = q * np.polyval(_MIDDLE[0], central) / np.polyval(_MIDDLE[1], central)
    outer = np.sqrt(-np.log(np.minimum(levels, 1.0 - levels))) - 1.6
    tail = np.polyval(_TAIL[0], outer) / np.polyval(_TAIL[1], outer)
    return np.where(np.abs(q) <= 0.425, middle, np.copysign(tail, q))
