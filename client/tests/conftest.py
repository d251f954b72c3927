from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

import homeostat_client
from real_server import Make, Reader, Server

# A busy machine is slow, not wrong: examples are not timed.
settings.register_profile("homeostat", deadline=None)
settings.load_profile("homeostat")


@pytest.fixture(scope="session")
def reader() -> Iterator[Reader]:
    found = Reader()
    yield found
    found.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, reader: Reader) -> Iterator[Server]:
    """A control plane that is up, for all tests that do not kill it."""
    found = Server(tmp_path_factory.mktemp("server"), reader)
    yield found.start()
    found.kill()


@pytest.fixture
def own_server(tmp_path: Path, reader: Reader) -> Iterator[Server]:
    """A control plane that is not up yet, for one test."""
    folder = tmp_path / "server"
    folder.mkdir()
    found = Server(folder, reader)
    yield found
    found.kill()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Makes clients that spill into the test's folder and is closed with it."""
    made: list[homeostat_client.Client] = []

    def client(url: str, **settings: Any) -> homeostat_client.Client:
        usual = {"model": "fraud", "spill": str(tmp_path / "spill"), "flush_interval": 0.05}
        quick = {"retry_first": 0.02, "retry_most": 0.2}
        made.append(homeostat_client.Client(url, **{**usual, **quick, **settings}))
        return made[-1]

    yield client
    for each in made:
        each.close(0.0)
