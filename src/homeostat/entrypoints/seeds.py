"""Random numbers from the seed that a caller gave."""

from __future__ import annotations

import numpy as np

from homeostat.domain.errors import ConfigError


def generator(seed: object) -> np.random.Generator:
    """Return a generator; the same seed draws the same numbers.

    Raises
    ------
    ConfigError
        If the seed is no whole number of 0 or more.

    Examples
    --------
    >>> bool(generator(7).random() == generator(7).random())
    True
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigError(f"seed is {seed!r}", "give a whole number of 0 or more")
    return np.random.default_rng(int(seed))
