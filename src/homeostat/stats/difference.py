"""How far apart two means are, from their moments: at a fixed size, or whenever one looks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from homeostat.stats import mixtures, special
from homeostat.stats.intervals import NAN, Interval
from homeostat.stats.moments import Moments


@dataclass(frozen=True, slots=True)
class Difference:
    """An estimate of a difference and what is known of its error.

    Attributes
    ----------
    value : float
    error : float
        Standard error; NaN where a side has fewer than two rows, 0 where no row differs.
    n : float
        Rows of both sides.
    dof : float
        Welch's degrees of freedom.
    """

    value: float
    error: float
    n: float
    dof: float

    @property
    def testable(self) -> bool:
        """Whether there is an error to hold the difference against."""
        return self.error > 0.0 and math.isfinite(self.error) and math.isfinite(self.value)

    def times(self, sign: float) -> Difference:
        """Return the difference as seen from the other side, if the sign is negative."""
        return Difference(sign * self.value, self.error, self.n, self.dof)


def difference(control: Moments, treated: Moments, factor: float = 1.0) -> Difference:
    """Return ``treated - factor * control``, for independent rows of finite variance.

    With a factor other than 1 it is how far the treated mean is above so many times the control's:
    a relative margin without dividing by a mean that may be near 0.

    Examples
    --------
    >>> found = difference(Moments(3407, 0.41, 3.9**2), Moments(3461, 0.70, 6.2**2))
    >>> round(found.value, 2), round(found.error, 4)
    (0.29, 0.1248)
    """
    if control.n < 2.0 or treated.n < 2.0:
        return Difference(NAN, NAN, control.n + treated.n, NAN)
    a = factor * factor * control.variance / control.n
    b = treated.variance / treated.n
    spread = a * a / (control.n - 1.0) + b * b / (treated.n - 1.0)
    dof = (a + b) * (a + b) / spread if spread > 0.0 else NAN
    value = treated.mean - factor * control.mean
    return Difference(value, math.sqrt(a + b), control.n + treated.n, dof)


def steadied(control: Moments, treated: Moments) -> tuple[Moments, Moments]:
    """Return both with at least the pooled variance on the side with fewer rows.

    Where few rows of many are large, a small sample without them has a low mean and a low variance
    at once, and looks sure of it. Rows of both sides have the same distribution under the null, so
    the variance of both together is one that the small side cannot make too low.

    Examples
    --------
    >>> _, small = steadied(Moments(900, 5.0, 100.0), Moments(100, 4.0, 20.0))
    >>> small.variance
    92.0
    """
    n = control.n + treated.n
    pooled = (control.n * control.variance + treated.n * treated.variance) / n if n else NAN
    if treated.n <= control.n:
        raised = max(treated.variance, pooled)
        return control, Moments(treated.n, treated.mean, raised)
    raised = max(control.variance, pooled)
    return Moments(control.n, control.mean, raised), treated


def relative(control: Moments, treated: Moments) -> Difference:
    """Return ``treated / control - 1`` by the delta method; for a control mean well away from 0.

    Examples
    --------
    >>> found = relative(Moments(3000, 0.5, 0.25), Moments(3000, 0.6, 0.24))
    >>> round(found.value, 3), round(found.error, 4)
    (0.2, 0.0283)
    """
    plain = difference(control, treated)
    if not (math.isfinite(control.mean) and control.mean) or math.isnan(plain.error):
        return Difference(NAN, NAN, plain.n, NAN)
    quotient = treated.mean / control.mean
    a, b = control.variance / control.n, treated.variance / treated.n
    error = math.hypot(math.sqrt(b), math.sqrt(a) * quotient) / abs(control.mean)
    return Difference(quotient - 1.0, error, plain.n, plain.dof)


def welch_interval(found: Difference, level: float = 0.95) -> Interval:
    """Return the interval at a size that was fixed beforehand (Welch 1947).

    NaN bounds where the difference is not testable.

    Examples
    --------
    >>> found = difference(Moments(3407, 0.41, 3.9**2), Moments(3461, 0.70, 6.2**2))
    >>> interval = welch_interval(found)
    >>> round(interval.lower, 5), round(interval.upper, 5)
    (0.04538, 0.53462)
    """
    if not found.testable:
        return Interval(NAN, NAN)
    reach = special.t_quantile(found.dof, (1.0 + level) / 2.0) * found.error
    return Interval(found.value - reach, found.value + reach)


def welch_p(found: Difference, *, one_sided: bool = False) -> float:
    """Return the p-value of "no difference", or of "not above 0"; NaN if not testable.

    Examples
    --------
    >>> found = difference(Moments(3407, 0.41, 3.9**2), Moments(3461, 0.70, 6.2**2))
    >>> round(welch_p(found), 5), round(welch_p(found, one_sided=True), 5)
    (0.02016, 0.01008)
    """
    if not found.testable:
        return NAN
    t = found.value / found.error
    if one_sided:
        return special.t_sf(found.dof, t)
    return min(1.0, 2.0 * special.t_sf(found.dof, abs(t)))


def anytime_interval(
    found: Difference, level: float = 0.95, tuned_for: float = 5000.0, *, one_sided: bool = False
) -> Interval:
    """Return an interval that may be looked at whenever one likes, at any large size.

    The normal mixture of `mixtures` on the scale of the error: time is the number of rows, each
    with the variance ``n error^2`` (Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform
    central limit theory and asymptotic confidence sequences", Annals of Statistics 2024). Begin at
    a few dozen rows a side, more if they are skewed: the promise is a limit.

    Parameters
    ----------
    found : Difference
    level : float
        In (0, 1).
    tuned_for : float
        Rows of both sides at which it is to be narrowest; chosen before the first.
    one_sided : bool
        Whether only one of the bounds will be used, which then has the whole error rate.

    Examples
    --------
    >>> share = 1396 / 3000
    >>> other = 2422 / 3461
    >>> found = relative(
    ...     Moments(3000, share, share * (1 - share)), Moments(3461, other, other * (1 - other))
    ... )
    >>> interval = anytime_interval(found)
    >>> round(interval.lower, 5), round(interval.upper, 5)
    (0.40098, 0.60675)
    """
    if not found.testable:
        return Interval(NAN, NAN)
    alpha = 1.0 - level
    prior = mixtures.normal_prior(tuned_for, alpha, one_sided=one_sided)
    bound = mixtures.normal_bound(found.n, alpha, prior, one_sided=one_sided)
    reach = bound / math.sqrt(found.n) * found.error
    return Interval(found.value - reach, found.value + reach)


def anytime_p(
    found: Difference, level: float = 0.95, tuned_for: float = 5000.0, *, one_sided: bool = False
) -> float:
    """Return a p-value of "no difference", or of "not above 0", that is valid at any time.

    At most ``1 - level`` just where `anytime_interval` leaves 0 out. NaN if not testable.

    Examples
    --------
    >>> found = difference(Moments(5000, 0.10, 0.09), Moments(5000, 0.12, 0.1056))
    >>> round(anytime_p(found), 4)
    0.0335
    """
    if not found.testable:
        return NAN
    prior = mixtures.normal_prior(tuned_for, 1.0 - level, one_sided=one_sided)
    total = found.value / found.error * math.sqrt(found.n)
    log = mixtures.log_normal_mixture(total, found.n, prior, one_sided=one_sided)
    return math.exp(min(0.0, -log))
