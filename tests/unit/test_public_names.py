from __future__ import annotations

import pkgutil
from importlib import import_module

import pytest

import homeostat
import homeostat_client

# They import an extra that the tests do without, or what Alembic sets up.
APART = ("homeostat.adapters.records.migrations", "homeostat.adapters.registry.mlflow_client")

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(homeostat.__path__, "homeostat.")
    if not module.name.startswith(APART)
)


def test_every_public_name_resolves() -> None:
    broken = [
        f"{name}.{public}"
        for name in MODULES
        for module in [import_module(name)]
        for public in getattr(module, "__all__", ())
        if not hasattr(module, public)
    ]
    assert not broken


@pytest.mark.parametrize("name", ["AsyncClient", "Client", "HomeostatMiddleware", "log"])
def test_the_client_is_that_of_its_own_distribution(name: str) -> None:
    assert getattr(homeostat, name) is getattr(homeostat_client, name)
    assert name in dir(homeostat)


def test_public_names_stand_once() -> None:
    lists = {name: list(getattr(import_module(name), "__all__", ())) for name in MODULES}
    assert not {name: names for name, names in lists.items() if len(names) != len({*names})}


def test_the_examples_in_docstrings_are_run(pytestconfig: pytest.Config) -> None:
    assert "src" in pytestconfig.getini("testpaths")
    assert pytestconfig.getoption("doctestmodules")
