"""What was freed is given back to the system."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest

from homeostat.adapters.heap import give_back


def resident() -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


def test_what_lies_between_what_is_used_is_given_back() -> None:
    if not hasattr(ctypes.CDLL(None), "malloc_trim"):
        pytest.skip("another C library")
    small = [np.ones(4096) for _ in range(4000)]  # 32 KB each, 128 MB
    kept = small[::100]
    small.clear()
    before = resident()
    give_back()
    assert resident() < before - 50_000
    assert all(one.sum() == 4096 for one in kept)
