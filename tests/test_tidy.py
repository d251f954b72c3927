"""Style as a test: what a reviewer would otherwise have to say again and again."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

pytestmark = pytest.mark.unwatched  # nothing of ours runs here

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "homeostat"
FILE_LINES = 400
FUNCTION_LINES = 60
VAGUE = {"utils", "util", "common", "helpers", "legacy", "future", "misc", "shared"}
UNFINISHED = re.compile(
    r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b|\bfor now\b(?!(, \w+)* in\b)|\bin a real\b"
)
MACHINE = re.compile(
    r"(?<![\w.])/(work|tmp|root|home)/\w|pypi\.org|pythonhosted|localhost:\d+/simple"
)
IMPLIED = {"httptools", "uvloop"}  # uvicorn takes them where they are installed
OURS = {"homeostat_client": ["homeostat-client"]}  # a distribution of its own, in client/
VARIANTS = {"xgboost": ["xgboost"]}  # in CI it comes in xgboost-cpu, which is smaller
# pydantic's documented names for custom errors; a name that several distributions have in common
PARTS = {"pydantic_core": "pydantic", "google": "protobuf"}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for line in listed.stdout.splitlines() if (path := ROOT / line).is_file()]


@functools.cache
def lines_of(path: Path) -> tuple[str, ...]:
    """Return the lines of a file, empty those that are comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple("" if line.lstrip().startswith("#") else line for line in lines)


def said(path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return "\n".join(lines_of(path)[node.lineno - 1 : node.end_lineno])


@functools.cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


PYTHON = tracked("*.py")


def test_files_are_short() -> None:
    long = {relative(p): n for p in PYTHON if (n := len(p.read_text().splitlines())) > FILE_LINES}
    assert not long, f"split these files (limit {FILE_LINES} lines): {long}"


def test_functions_are_short() -> None:
    long = {
        f"{relative(path)}:{node.lineno} {node.name}": lines
        for path in PYTHON
        for node in functions(path)
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES
    }
    assert not long, f"split these functions (limit {FUNCTION_LINES} lines): {long}"


def test_no_vague_folders_or_modules() -> None:
    vague = {relative(p) for p in PYTHON if {*p.relative_to(ROOT).parts[:-1], p.stem} & VAGUE}
    assert not vague, f"name these for what they hold: {vague}"


def test_nothing_is_left_unfinished() -> None:
    found = [
        f"{relative(path)}:{number}"
        for path in PYTHON
        if path.name != Path(__file__).name
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert not found, f"finish these or take them out: {found}"


def test_nothing_of_the_machine_is_named() -> None:
    texts = tracked("*.py", "*.md", "*.toml", "*.yaml", "*.yml", "*.lock", "Makefile", ".ci/run")
    found = [
        f"{relative(path)}:{number}"
        for path in texts
        if path.name != Path(__file__).name
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if MACHINE.search(line)
    ]
    assert not found, f"paths of one machine or registry hosts: {found}"


def test_unit_tests_mirror_the_source() -> None:
    """A test file under tests/unit/a/ belongs to the package src/homeostat/a/."""
    unit = ROOT / "tests" / "unit"
    strays = {
        relative(path)
        for path in unit.rglob("test_*.py")
        if not (SRC / path.parent.relative_to(unit)).is_dir()
        and path.parent.relative_to(unit).parts[:1] != ("examples",)
    }
    assert not strays, f"no source package for these tests: {strays}"


def test_every_test_asserts() -> None:
    """A test without an assertion cannot fail for the right reason."""
    words = ("assert", "raises", "warns", "check", "expect", "verify", "fail(")
    empty = {
        f"{relative(path)}:{node.lineno} {node.name}"
        for path in PYTHON
        if path.name.startswith("test_")
        for node in functions(path)
        if node.name.startswith("test") and not any(word in said(path, node) for word in words)
    }
    assert not empty, f"these tests assert nothing: {empty}"


def imported(path: Path) -> Iterator[str]:
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def test_dependencies_are_what_the_source_imports() -> None:
    """Nothing is installed that nothing uses, and nothing works by luck of another's choice."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name for names in project["optional-dependencies"].values() for name in names}
    declared, optional = (
        {re.split(r"[^\w-]", name)[0].lower() for name in names}
        for names in (project["dependencies"], extras)
    )
    names = {name for path in tracked("src/*.py") for name in imported(path)}
    owners = {**packages_distributions(), **OURS, **VARIANTS}
    used = {
        PARTS.get(name, owners[name][0].lower())
        for name in names - sys.stdlib_module_names - {"homeostat"}
        if name in owners
    }
    assert used - (optional - declared) == declared - IMPLIED


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE"])
def test_the_files_a_stranger_looks_for_exist(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8").strip()
