"""Settings that hold for every test."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from databases import close_all, place
from objects import ENVIRONMENT, Server
from postgres import Postgres, begin_or_tell

# A busy machine is slow, not wrong: examples are not timed.
settings.register_profile("homeostat", deadline=None)
settings.load_profile("homeostat")

ROOT = Path(__file__).parents[1]
# Their files take longest. Workers take file after file: many small ones, last, end together.
LONG = (
    "tests/e2e",
    "tests/integration",
    "tests/realdata",
    "tests/statistical",
    "tests/simulation",
    "tests/faults",
    "client/tests",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files begin; the order within a file stays."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    folder = item.path.parent.relative_to(ROOT).as_posix()
    return LONG.index(folder) if folder in LONG else len(LONG)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    """Count no lines under an unwatched test, nor in its processes: it would last twice as long."""
    if item.get_closest_marker("unwatched") is None:
        return (yield)
    tracer, of_threads = sys.gettrace(), threading.gettrace()
    config = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("COV")}
    sys.settrace(None)
    threading.settrace(None)
    try:
        return (yield)
    finally:
        os.environ.update(config)
        threading.settrace(of_threads)
        sys.settrace(tracer)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: a fifth of the time a test waits for a process, a server or a disk."""
    return (os.cpu_count() or 1) + 1


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without the shared data sets, tests on them say so; in CI they fail."""
    folder = Path(os.environ.get("HOMEOSTAT_DATA", ROOT.parent / "shared" / "data"))
    if item.get_closest_marker("realdata") is None or folder.is_dir():
        return
    message = f"no data sets in {folder}: point HOMEOSTAT_DATA at their folder"
    if os.environ.get("CI") == "true":
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server."""
    server = begin_or_tell()
    yield server
    server.end()


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """An empty PostgreSQL database."""
    url = postgres.database()
    yield url
    postgres.drop(url)


@pytest.fixture(scope="session")
def s3() -> Iterator[Server]:
    """A server that speaks S3."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    server = Server.begin()
    yield server
    server.end()
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture(params=["sqlite", "postgresql"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """Run a test twice: with its records in a file of its folder, and in PostgreSQL."""
    if request.param == "postgresql":
        place(tmp_path, request.getfixturevalue("postgres_url"))
    yield
    close_all()
