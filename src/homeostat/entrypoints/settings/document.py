"""A YAML file as plain values, with the line on which each of them stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from homeostat.domain.errors import ConfigError

Node = yaml.nodes.Node
TAG = "tag:yaml.org,2002:"
MERGE = f"{TAG}merge"


class Loader(yaml.SafeLoader):
    """Reads plain scalars as YAML 1.2 does: ``no`` is text (Norway), ``1e-3`` a number.

    Dates stay text, and so do ``007`` and ``1:30``, which YAML 1.1 takes for numbers.
    """


Loader.yaml_implicit_resolvers = {}
for _tag, _form, _first in (
    ("merge", r"<<", "<"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9]\d*)", "-+0123456789"),
    ("float", r"[-+]?(\.\d+|\d+\.\d*|\d+(\.\d*)?[eE][-+]?\d+)", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
):
    Loader.add_implicit_resolver(TAG + _tag, re.compile(f"(?:{_form})$"), list(_first))


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its values, and where they stand."""

    file: str
    values: object
    root: Node
    text: str

    def locate(self, path: Sequence[str | int], *, lacking: bool = False) -> tuple[int, str]:
        """Return the one-based line and the dotted name of the value at `path`.

        Steps that the file does not have are passed over; if the last one is what is `lacking`, it
        is named, and the line is that of the part which lacks it.
        """
        node, line = self.root, self.root.start_mark.line + 1
        named: list[str] = []
        for number, step in enumerate(path):
            found = _child(node, step)
            if found is not None:
                node, line = found
            if found is not None or (lacking and number == len(path) - 1):
                named.append(str(step))
        return line, ".".join(named)


def read(path: Path, copy: Path | None = None) -> Document:
    """Read a YAML file, or a copy of it under its name.

    Raises
    ------
    ConfigError
        If it is missing, unreadable, empty, no YAML, no mapping, or has a key twice.
    """
    name = str(path)
    text = _text(copy or path)
    try:
        loader = Loader(text)
        root = loader.get_single_node()
        if root is None:
            raise ConfigError("the file is empty", "write one with: homeostat init DATA", name)
        _refuse_duplicates(root, name, ())
        values: object = loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        raise _syntax(error, name) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"holds a character that YAML forbids (#x{ord(text[error.position]):04x})"
        raise ConfigError(problem, "delete it", name, line) from None
    except ValueError as error:
        # An explicit tag that its value does not fit, such as !!int x.
        raise ConfigError(f"holds a wrong value: {error}", "remove the '!!' tag", name) from None
    if not isinstance(values, dict):
        line = root.start_mark.line + 1
        remedy = "begin with a line such as 'models:'"
        raise ConfigError("the file must be a mapping of settings", remedy, name, line)
    return Document(name, values, root, text)


def _text(path: Path) -> str:
    name = str(path)
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        remedy = "write one with: homeostat init DATA, or name another with -c"
        raise ConfigError("there is no such file", remedy, name) from None
    except IsADirectoryError:
        raise ConfigError("is a folder", "name the homeostat.yaml in it", name) from None
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8 text", "save it as UTF-8", name) from None
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise ConfigError(problem, "check its permissions", name) from None


def _child(node: Node, step: str | int) -> tuple[Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        # Construction has put what was merged (<<: *defaults) before the node's own entries.
        for key, value in reversed(node.value):
            if isinstance(key, yaml.ScalarNode) and key.value == str(step):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        item: Node = node.value[step]
        return item, item.start_mark.line + 1
    return None


def _refuse_duplicates(node: Node, file: str, above: tuple[Node, ...]) -> None:
    if any(node is other for other in above):
        line = node.start_mark.line + 1
        raise ConfigError("a value contains itself", "remove the alias (*name)", file, line)
    inside = (*above, node)
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_duplicates(item, file, inside)
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
                if key.value in lines:
                    problem = f"stands twice, first on line {lines[key.value]}"
                    raise ConfigError(problem, "keep one of them", file, line, key.value)
                lines[key.value] = line
            _refuse_duplicates(value, file, inside)


def _syntax(error: yaml.MarkedYAMLError, file: str) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    line = None if mark is None else mark.line + 1
    problem = f"is not YAML: {error.problem or error.context or 'cannot be parsed'}"
    remedy = "check indentation, colons and quotes on this line and the one above"
    if error.problem and "'\\t'" in error.problem:
        remedy = "indent with spaces, not tabs"
    return ConfigError(problem, remedy, file, line)
