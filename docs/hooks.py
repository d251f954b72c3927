"""Pages that are made from the code while the documentation is built.

MkDocs calls `on_files`; see https://www.mkdocs.org/user-guide/configuration/#hooks.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import homeostat
from homeostat.entrypoints.cli import homeostat as root
from homeostat.entrypoints.gateway.openapi import document as gateway_document
from homeostat.entrypoints.http.openapi import of as control_plane_document
from homeostat.entrypoints.settings import json_schema

REPOSITORY = Path(__file__).parents[1]
SHOWN = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
WITH_PARENTS = (homeostat.Client, homeostat.AsyncClient)
OUTWARD = re.compile(r"\]\((?:\.\./)*(?!https?:|#)[^)]*\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that code and the rest of the repository hold."""
    made = {
        "reference/cli.md": commands(),
        "reference/settings.md": settings(),
        "reference/http.md": interfaces(),
        "reference/python.md": names(),
        "runbooks/index.md": runbooks(),
    }
    made |= {f"runbooks/{path.name}": path.read_text() for path in _runbooks()}
    # Their links lead to files that are no pages.
    made |= {to: OUTWARD.sub("]", (REPOSITORY / at).read_text()) for at, to in SHOWN.items()}
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def commands() -> str:
    """Return the help of every command, as the command itself prints it."""
    return "# Command line\n\n" + "\n".join(_command(root, ("homeostat",), None))


def _command(
    command: click.Command, path: tuple[str, ...], parent: click.Context | None
) -> Iterator[str]:
    context = click.Context(command, parent, path[-1], max_content_width=90, terminal_width=90)
    title, told = f"{'#' * min(len(path) + 1, 4)} {' '.join(path)}", command.get_help(context)
    yield f"{title}\n\n```text\n{told}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None and not inner.hidden:
                yield from _command(inner, (*path, name), context)


def settings() -> str:
    """Return one table for each block of ``homeostat.yaml``, from its JSON Schema."""
    found = json_schema()
    blocks = {"homeostat.yaml": found, **found["$defs"]}
    head = (
        "# Settings\n\nEvery block of `homeostat.yaml`. `homeostat config check` holds a file to "
        "it; editors complete from [its JSON Schema](homeostat.schema.json).\n"
    )
    return head + "\n".join(_block(name, block) for name, block in blocks.items())


def _block(name: str, block: Mapping[str, object]) -> str:
    fields = block.get("properties")
    lines = [f"\n## {name}\n", str(block.get("description", "")) + "\n"]
    if isinstance(fields, dict):
        needed = frozenset(block.get("required", ()))
        lines += ["| field | values | default | meaning |", "| --- | --- | --- | --- |"]
        lines += [_field(key, field, needed) for key, field in fields.items()]
    elif isinstance(values := block.get("enum"), list):
        lines.append("One of " + ", ".join(f"`{value}`" for value in values) + ".")
    return "\n".join(lines)


def _field(name: str, field: Mapping[str, object], needed: frozenset[str]) -> str:
    default = field.get("default")
    shown = (
        "required" if name in needed else "" if default in (None, "", [], {}) else f"`{default}`"
    )
    if isinstance(default, dict) and default:
        shown = "see there"
    words = html.escape(str(field.get("description", "")), quote=False).replace("|", "\\|")
    return f"| `{name}` | {_values(field)} | {shown} | {words} |"


def _values(field: Mapping[str, object]) -> str:
    match field:
        case {"$ref": str(ref)}:
            block = ref.rsplit("/", 1)[-1]
            found = f"[{block}](#{block.lower()})"
        case {"anyOf": list(ways)} | {"oneOf": list(ways)}:
            found = " or ".join(dict.fromkeys(_values(way) for way in ways))
        case {"enum": list(values)}:
            found = ", ".join(f"`{value}`" for value in values)
        case {"const": value}:
            found = f"`{value}`"
        case {"type": "array", "items": dict(items)}:
            found = f"list of {_values(items)}"
        case {"type": "object", "additionalProperties": dict(items)}:
            found = f"name: {_values(items)}"
        case _:
            found = str(field.get("type", "any"))
    return found


def interfaces() -> str:
    """Return the operations of both HTTP interfaces, from their OpenAPI documents."""
    parts = {
        "Control plane, port 8420": control_plane_document(["fraud"]),
        "Gateway, port 8421": gateway_document(["fraud"]),
    }
    head = (
        "# HTTP\n\nBoth servers give their whole OpenAPI document at `/openapi.json`: bodies, "
        "answers, errors. These are the operations.\n"
    )
    return head + "".join(f"\n## {name}\n\n{_paths(found)}" for name, found in parts.items())


def _paths(found: Mapping[str, object]) -> str:
    paths = found["paths"]
    lines = ["| | path | what it does |", "| --- | --- | --- |"]
    if isinstance(paths, dict):
        for path, operations in sorted(paths.items()):
            for method, operation in operations.items():
                if isinstance(operation, dict) and "responses" in operation:
                    told = str(operation.get("summary", "")).replace("|", "\\|")
                    lines.append(f"| {method.upper()} | `{path}` | {told} |")
    return "\n".join(lines) + "\n"


def names() -> str:
    """Return the page of the Python interface: each public name with its docstring."""
    public = sorted((n for n in homeostat.__all__ if n[0] != "_"), key=str.lower)
    told = "\n".join(_told(getattr(homeostat, name)) for name in public)
    return f"# Python\n\n    import homeostat as hs\n\n{told}"


def _told(found: object) -> str:
    whole = "    options: {inherited_members: true}\n" if found in WITH_PARENTS else ""
    return f"::: {_home(found)}\n{whole}"


def _home(found: object) -> str:
    if isinstance(found, ModuleType):
        return found.__name__
    named = found if hasattr(found, "__qualname__") else type(found)
    return f"{named.__module__}.{named.__qualname__}"


def runbooks() -> str:
    """Return the list of runbooks."""
    return "# Runbooks\n\nWhat to do, condition by condition; pages link here.\n\n" + _bullets(
        (path.read_text().splitlines()[0].lstrip("# "), path.name) for path in _runbooks()
    )


def _bullets(entries: Iterable[tuple[str, str]]) -> str:
    return "".join(f"- [{title}]({link})\n" for title, link in entries)


def _runbooks() -> list[Path]:
    return sorted((REPOSITORY / "runbooks").glob("*.md"))
