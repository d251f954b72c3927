"""Settings that hold for every test."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is slow, not wrong: examples are not timed.
settings.register_profile("homeostat", deadline=None)
settings.load_profile("homeostat")
