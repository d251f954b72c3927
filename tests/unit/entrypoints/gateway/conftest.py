"""A gateway on simulated time and a request for it."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from unit.entrypoints.gateway.gateway_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.backend.released.set()


@pytest.fixture
def rows() -> pa.Table:
    return pa.table(
        {
            "amount": [10.0, 20.0, 30.0, 40.0],
            "age": [30.0, 40.0, 50.0, 60.0],
            "card": ["anna", "ben", "cem", "dora"],
        }
    )
