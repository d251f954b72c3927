"""Settings that hold for every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is slow, not wrong: examples are not timed.
settings.register_profile("homeostat", deadline=None)
settings.load_profile("homeostat")

ROOT = Path(__file__).parents[1]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without the shared data sets, tests on them say so; in CI they fail."""
    folder = Path(os.environ.get("HOMEOSTAT_DATA", ROOT.parent / "shared" / "data"))
    if item.get_closest_marker("realdata") is None or folder.is_dir():
        return
    message = f"no data sets in {folder}: point HOMEOSTAT_DATA at their folder"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
