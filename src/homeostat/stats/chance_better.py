"""The chance that one share exceeds another, given what was seen of both."""

from __future__ import annotations

import math

import numpy as np

from homeostat.stats.special import beta_sf, digamma, expit, log_beta, trigamma

_NODES = 401


def chance_better(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Return ``P(B > A)`` of two independent beta variables.

    A trapezoid over the log-odds of the narrower one, where the density falls off exponentially on
    both sides: all digits with a few hundred nodes.

    Parameters
    ----------
    a, b : (float, float)
        Both parameters of each, at least 1/2: successes and failures plus those of the prior.

    Raises
    ------
    ValueError
        If a parameter is below 1/2.

    Examples
    --------
    >>> round(chance_better((101, 901), (121, 881)), 6)  # 100 and 120 of 1000, flat prior
    0.923183
    """
    if min(*a, *b) < 0.5:
        raise ValueError(f"both parameters are at least 1/2, not {a} and {b}")
    if _width(a) < _width(b):
        return 1.0 - chance_better(b, a)
    centre, width = digamma(b[0]) - digamma(b[1]), _width(b)
    reach_down = max(12.0 * width, 40.0 / b[0])
    reach_up = max(12.0 * width, 40.0 / b[1])
    points = np.linspace(centre - reach_down, centre + reach_up, _NODES)
    # x**a (1 - x)**b / B(a, b), by logarithms of both shares that lose nothing at the ends
    logs = -b[0] * np.logaddexp(0.0, -points) - b[1] * np.logaddexp(0.0, points)
    density = np.exp(logs - log_beta(*b))
    below = np.array([1.0 - beta_sf(*a, expit(point)) for point in points.tolist()])
    return float(min(1.0, density @ below / density.sum()))


def _width(of: tuple[float, float]) -> float:
    return math.sqrt(trigamma(of[0]) + trigamma(of[1]))
