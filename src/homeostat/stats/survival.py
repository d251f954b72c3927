"""How long something takes to arrive, learned while some of it is still on its way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A step function that rises to the right: the share that has arrived by a time.

    Attributes
    ----------
    times : ndarray of float64, shape (m,)
        Where it steps, ascending.
    share : ndarray of float64, shape (m,)
        From each time on, in [0, 1]; 0 before the first.
    error : ndarray of float64, shape (m,)
        Standard error of the share.
    """

    times: Floats
    share: Floats
    error: Floats

    def at(self, times: ArrayLike) -> Floats:
        """Return the share that has arrived by each time.

        Examples
        --------
        >>> curve = kaplan_meier([1.0, 2.0], [True, True])
        >>> curve.at([0.5, 1.0, 9.0]).tolist()
        [0.0, 0.5, 1.0]
        """
        place = np.searchsorted(self.times, np.asarray(times, np.float64), side="right")
        return np.concatenate(([0.0], self.share))[place]


def kaplan_meier(durations: ArrayLike, arrived: ArrayLike) -> Curve:
    """Return the share that has arrived by each age, from rows of which some still wait.

    Kaplan & Meier (1958), with Greenwood's (1926) error. All rows must be of a kind whose delay
    does not depend on what arrives; where it does, see `right_truncated`.

    Parameters
    ----------
    durations : array_like of float, shape (n,)
        Delay of what has arrived, present age of what has not.
    arrived : array_like of bool, shape (n,)

    Returns
    -------
    Curve
        Ends below 1 where the oldest rows have not arrived: some may never.

    Raises
    ------
    ValueError
        If the shapes differ or a duration is NaN.

    Examples
    --------
    >>> curve = kaplan_meier([1.0, 2.0, 3.0, 4.0], [True, False, True, False])
    >>> curve.times.tolist(), curve.share.tolist()
    ([1.0, 3.0], [0.25, 0.625])
    """
    event = np.asarray(arrived, bool)
    ages = _checked(durations, event)
    times, events = np.unique(ages[event], return_counts=True)
    at_risk = ages.size - np.searchsorted(np.sort(ages), times, side="left")
    waiting = np.asarray(np.cumprod(1.0 - events / at_risk), np.float64)
    error = waiting * np.sqrt(np.cumsum(_greenwood(events, at_risk)))
    return Curve(times, 1.0 - waiting, error)


def right_truncated(delays: ArrayLike, limits: ArrayLike) -> Curve:
    """Return the delay distribution from rows that are seen only because they have arrived.

    A row of age ``limits[i]`` is in the data only if its delay is no longer. Going back in time,
    such rows enter late and the product-limit estimator applies (Lagakos, Barraj & De Gruttola,
    "Nonparametric analysis of truncated survival data, with application to AIDS", Biometrika
    75, 1988). Needed for delays by class: of a row that has not arrived, the class is not known.

    Parameters
    ----------
    delays, limits : array_like of float, shape (n,)
        Each delay is at most its limit.

    Returns
    -------
    Curve
        Among what arrives within the largest limit: its share ends at 1.

    Raises
    ------
    ValueError
        If the shapes differ, a value is NaN, or a delay is above its limit.

    Examples
    --------
    Two of three old rows took a day, and a young one can only be seen if it took a day:

    >>> curve = right_truncated([1.0, 1.0, 2.0, 1.0], [5.0, 5.0, 5.0, 1.5])
    >>> curve.times.tolist(), curve.share.round(3).tolist()
    ([1.0, 2.0], [0.667, 1.0])
    """
    most = np.asarray(limits, np.float64)
    taken = _checked(delays, most)
    if not (taken <= most).all():
        raise ValueError("a delay is above its limit: such a row cannot have been seen")
    times, events = np.unique(taken, return_counts=True)
    begun = np.searchsorted(np.sort(taken), times, side="right")
    at_risk = begun - np.searchsorted(np.sort(most), times, side="left")
    share = arrived_by(events / at_risk)
    later = np.cumsum(_greenwood(events, at_risk)[::-1])[::-1]
    return Curve(times, share, share * np.sqrt(np.append(later, 0.0)[1:]))


def arrived_by(hazards: Floats) -> Floats:
    """Return the share that has arrived by the end of each step, from reverse-time hazards.

    Parameters
    ----------
    hazards : ndarray of float64, shape (..., m)
        Of what arrived by the end of a step, the share that arrived within it.

    Returns
    -------
    ndarray of float64, shape (..., m)
        1 at the last step.

    Examples
    --------
    >>> arrived_by(np.array([1.0, 0.5, 0.25])).tolist()
    [0.375, 0.75, 1.0]
    """
    later = np.cumprod((1.0 - hazards)[..., :0:-1], axis=-1)[..., ::-1]
    return np.concatenate((later, np.ones((*hazards.shape[:-1], 1))), axis=-1)


def _checked(values: ArrayLike, other: NDArray[np.bool_] | Floats) -> Floats:
    floats = np.asarray(values, np.float64)
    if floats.shape != other.shape:
        raise ValueError(f"{floats.size} values for {other.size}")
    if np.isnan(floats).any():
        raise ValueError("there is a NaN among the values: leave such rows out")
    return floats


def _greenwood(events: NDArray[np.intp], at_risk: NDArray[np.intp]) -> Floats:
    """Return the terms of the error; 0 where all at risk arrive: the share is then certain."""
    left = at_risk * (at_risk - events)
    terms = np.zeros(events.size)
    np.divide(events, left, out=terms, where=left > 0)
    return terms
