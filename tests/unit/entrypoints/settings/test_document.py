import math
from pathlib import Path

import pytest

from homeostat.domain.errors import ConfigError
from homeostat.entrypoints.settings.document import read

BROKEN = [
    (b"", None, "is empty"),
    (b"# nothing\n", None, "is empty"),
    (b"- a\n", 1, "must be a mapping"),
    (b"a: [1\nb: 2\n", 2, "is not YAML"),
    (b"a: 1\nb: 2\na: 3\n", 3, "stands twice, first on line 1"),
    (b"a:\n\t- b\n", 2, "is not YAML"),
    (b"a: 1\nb: \x00\n", 2, "forbids (#x0000)"),
    (b"\xff\xfe", None, "not UTF-8"),
    (b"x: 1\na: &a [*a]\n", 2, "contains itself"),
    (b"a: *b\n", 1, "undefined alias"),
    (b"{[a]: 1}\n", 1, "unhashable key"),
    (b"a: !!int x\n", None, "wrong value"),
    (b"a: !!python/object:os.x {}\n", 1, "is not YAML"),
    (b"a: 1\n---\nb: 2\n", 2, "is not YAML"),
]


@pytest.mark.parametrize(("content", "line", "problem"), BROKEN)
def test_broken_files(tmp_path: Path, content: bytes, line: int | None, problem: str) -> None:
    path = tmp_path / "h.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert caught.value.file == str(path)
    assert caught.value.line == line
    assert problem in caught.value.problem
    assert caught.value.remedy


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; write one with: homeostat init"):
        read(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read(tmp_path / ("x" * 300))


def test_plain_scalars_are_read_as_yaml_1_2_does(tmp_path: Path) -> None:
    path = tmp_path / "h.yaml"
    path.write_text(
        "a: [no, on, 007, 1:30, 2024-01-31, 1_000, -2, 1e-3, .5, true, null, ~, .inf, .nan]\n"
    )
    values = read(path).values
    assert isinstance(values, dict)
    found = values["a"]
    assert found[:6] == ["no", "on", "007", "1:30", "2024-01-31", "1_000"]
    assert found[6:13] == [-2, 0.001, 0.5, True, None, None, math.inf]
    assert math.isnan(found[13])


def test_locate_names_the_line_of_a_value_or_of_what_lacks_it(tmp_path: Path) -> None:
    path = tmp_path / "h.yaml"
    path.write_text(
        "a: &d\n  b: 1\nc:\n  - x: 1\n  - <<: *d\n    y: 2\ne: {<<: [*d]}\nf:\n  <<: *d\n  b: 3\n"
    )
    document = read(path)
    assert document.locate(("a", "b")) == (2, "a.b")
    assert document.locate(("c", 1, "y")) == (6, "c.1.y")
    assert document.locate(("c", 1, "b")) == (2, "c.1.b")
    assert document.locate(("e", "b")) == (2, "e.b")
    assert document.locate(("f", "b")) == (10, "f.b")
    assert document.locate(("c", 0, "z"), lacking=True) == (4, "c.0.z")
    assert document.locate(("c", 9)) == (3, "c")
    assert document.locate(("a", "a-tag", "b")) == (2, "a.b")
