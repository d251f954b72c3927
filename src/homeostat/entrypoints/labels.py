"""Early answers from labels of which some are still on their way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeostat.detectors.performance.arrival import as_seen, early_shares
from homeostat.detectors.performance.cohorts import OUT, settled
from homeostat.detectors.performance.early import EarlyShare
from homeostat.domain.errors import ConfigError, DataError
from homeostat.domain.predictions import (
    NEVER,
    Predictions,
    PredictionSpec,
    from_micros,
    to_micros,
)
from homeostat.domain.text import printable
from homeostat.domain.window import Window, closed_windows
from homeostat.entrypoints.frames import Data
from homeostat.entrypoints.predictions import read_predictions
from homeostat.entrypoints.windows import check_as_of, check_count, check_length, named

MICROSECOND = timedelta(microseconds=1)
MOST_WINDOWS = 1_000


@dataclass(frozen=True, slots=True, repr=False)
class EarlyWindow:
    """What the labels of a window will come to; one `EarlyShare` for each class."""

    window: Window
    classes: tuple[str, ...]
    shares: tuple[EarlyShare, ...]

    @property
    def positive(self) -> EarlyShare:
        """The share of the last class: of a binary model the positive rate."""
        return self.shares[-1]

    def __str__(self) -> str:
        told = [f"{name} {_told(share)}" for name, share in self._named()]
        head = f"{self.window}, labels of {self.positive.coverage:.0%}"
        return printable(f"{head}: {', '.join(told)}")

    def __repr__(self) -> str:
        return f"<EarlyWindow {self}>"

    def _named(self) -> Sequence[tuple[str, EarlyShare]]:
        """Return the shares to show: of two classes that of the second says all."""
        pairs = list(zip(self.classes, self.shares, strict=True))
        return pairs[1:] if len(pairs) == 2 else pairs


def _told(one: EarlyShare) -> str:
    if one.reason:
        return one.reason
    return f"{one.share:.4g} [{one.interval.lower:.4g}, {one.interval.upper:.4g}]"


def early_rates(
    data: Data,
    spec: PredictionSpec,
    every: timedelta = timedelta(days=7),
    as_of: datetime | None = None,
    delay_by: str | Sequence[str] = (),
) -> tuple[EarlyWindow, ...]:
    """Estimate what the labels of young windows will come to, before they are all in.

    Parameters
    ----------
    data : dataframe, mapping of columns or path
    spec : PredictionSpec
        Of a classifier, with ``timestamp``, ``arrival`` and ``maturity``.
    every : timedelta
        Length of a window.
    as_of : datetime, optional
        Leave out what came later.
    delay_by : str or sequence of str
        Columns that decide how long a label takes, for example the lead time of a booking.

    Returns
    -------
    tuple of EarlyWindow
        Of all closed windows that are younger than the maturity, the oldest first.

    Raises
    ------
    ConfigError
        If the spec names no timestamp, arrival or maturity, or is of a regression.
    DataError, NotFoundError
        If data or columns cannot be read, or `as_of` has to say which times are in the future.

    Examples
    --------
    >>> import numpy as np
    >>> rng, start = np.random.default_rng(0), np.datetime64("2024-01-01")
    >>> made = start + np.arange(2000) * np.timedelta64(72, "m")
    >>> fraud = rng.random(2000) < 0.3
    >>> came = made + np.where(fraud, 1, 10) * np.timedelta64(1, "D")
    >>> now = start + np.timedelta64(100, "D")
    >>> rows = {"at": made, "score": np.full(2000, 0.3), "came": came,
    ...         "fraud": np.where(came <= now, fraud, None)}
    >>> spec = PredictionSpec(label="fraud", timestamp="at", arrival="came",
    ...                       maturity=timedelta(days=20))
    >>> newest = early_rates(rows, spec)[-1].positive
    >>> round(newest.naive, 2), round(newest.share, 2), round(newest.coverage, 2)
    (0.55, 0.36, 0.65)
    """
    check_as_of(as_of, spec)
    if spec.maturity is None or not spec.arrival:
        raise ConfigError(
            "early answers need to know when labels are complete, and when they came",
            "give timestamp, arrival and maturity in the spec",
        )
    check_length("every", every)
    rows = read_predictions(data, spec, labelled=True)
    if not rows.classes:
        raise ConfigError("early rates are of classes", "give the spec of a classifier")
    return _windows(rows, spec.maturity, every, as_of, named(delay_by))


def _windows(
    rows: Predictions,
    maturity: timedelta,
    every: timedelta,
    as_of: datetime | None,
    delay_by: tuple[str, ...],
) -> tuple[EarlyWindow, ...]:
    assert rows.timestamps is not None
    assert rows.arrivals is not None
    made = rows.timestamps[rows.timestamps != NEVER]
    if not made.size:
        return ()
    kept, newest = settled(rows, maturity)
    if as_of is None and kept is not rows:
        raise DataError(kept.problems[-1].replace(OUT, "they would count as now"))
    now = newest if as_of is None else to_micros(as_of)
    length = every // MICROSECOND
    since = max(int(made.min()), now - maturity // MICROSECOND)
    check_count((now - since) // length, MOST_WINDOWS)
    learned = as_seen(rows, now, maturity, delay_by)
    ages = learned.rows.ages
    found = []
    for window in closed_windows(from_micros(since), from_micros(now), every):
        oldest = now - to_micros(window.start)
        inside = (ages <= oldest) & (ages > oldest - length)
        shares = early_shares(learned, inside, oldest, length)
        found.append(EarlyWindow(window, rows.classes, shares))
    return tuple(found)
