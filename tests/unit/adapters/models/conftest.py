"""Servers of models, for the tests of those that ask them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from upstreams import ModelServer


@pytest.fixture
def server() -> Iterator[ModelServer]:
    made = ModelServer()
    yield made
    made.close()


@pytest.fixture
def second() -> Iterator[ModelServer]:
    made = ModelServer()
    yield made
    made.close()
