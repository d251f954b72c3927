"""What goes into a serving image: small, old Pythons welcome, nothing else needed."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import fields
from pathlib import Path

import homeostat_client
from homeostat_client.settings import Options, Settings
from real_server import ROOT, run_python

SOURCE = Path(homeostat_client.__file__).parent
MODULES = sorted(SOURCE.glob("*.py"))
STDLIB = getattr(sys, "stdlib_module_names", None)  # since Python 3.10


def test_the_source_is_python_3_9() -> None:
    assert len(MODULES) > 10
    for path in MODULES:
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))


def test_annotations_are_never_evaluated() -> None:
    """Only so may they be written as in later Pythons."""
    assert [
        path.name
        for path in MODULES
        if "from __future__ import annotations" not in path.read_text()
    ] == []


def test_only_the_standard_library_is_imported() -> None:
    names: set[str] = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                names.add((node.module or "").partition(".")[0])
    assert "http" in names
    if STDLIB is not None:
        assert names - STDLIB == {"homeostat_client"}


def test_every_setting_is_typed_where_it_is_given() -> None:
    placed = {"server", "model", "token", "version"}
    assert set(Options.__annotations__) | placed == {field.name for field in fields(Settings)}


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in SOURCE.rglob("*") if path.is_file()) < 1_000_000


def test_importing_it_loads_next_to_nothing() -> None:
    code = "import sys; before = set(sys.modules); import homeostat_client; "
    code += "print(sorted(set(sys.modules) - before - {'homeostat_client', '__future__'}))"
    assert run_python(code).stdout == "[]\n"


def test_public_names_resolve() -> None:
    for name in homeostat_client.__all__:
        assert getattr(homeostat_client, name) is not None
    assert set(homeostat_client.__all__) <= set(dir(homeostat_client))


def test_both_distributions_have_one_version() -> None:
    versions = {
        re.search(r'^version = "(.+)"', path.read_text(), re.MULTILINE)[1]  # type: ignore[index]
        for path in (ROOT / "pyproject.toml", ROOT / "client" / "pyproject.toml")
    }
    assert versions == {homeostat_client.__version__}
