"""Segments of a model."""

from pathlib import Path

import pytest

from homeostat.domain.errors import ConfigError
from homeostat.domain.verdict import segment_name
from homeostat.entrypoints.settings import load

TEXT = """\
models:
  - name: fraud
    task: binary
    features:
      amount: numeric
      country: categorical
      new: boolean
      card & pin: categorical
      email: {kind: categorical, personal: true}
    labels: {maturity: 60d}
    segments: SEGMENTS
"""


def write(folder: Path, segments: str) -> Path:
    path = folder / "homeostat.yaml"
    path.write_text(TEXT.replace("SEGMENTS", segments), encoding="utf-8")
    return path


def test_features_and_combinations_of_them(tmp_path: Path) -> None:
    spec = load(write(tmp_path, "[country, country & new, card & pin]")).specs[0]
    assert spec.segment_columns == (("country",), ("country", "new"), ("card & pin",))
    assert segment_name(spec.segment_columns[1], ("FR", False)) == "country=FR & new=false"


def test_none_unless_asked_for(tmp_path: Path) -> None:
    assert load(write(tmp_path, "[]")).specs[0].segment_columns == ()


@pytest.mark.parametrize(
    ("segments", "problem"),
    [
        ("[land]", "no column named 'land'; there are amount, country"),
        ("[country & land]", "no column named 'land'"),
        ("[country &]", "no column named ''"),
        ("[amount]", "'amount' is numeric: each value would be a segment"),
        ("[new & email]", "'email' is personal: its values would be on record"),
        ("[new & new]", "named twice"),
    ],
)
def test_mistakes_name_the_segment(tmp_path: Path, segments: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, segments))
    assert problem in caught.value.problem
    assert (caught.value.line, caught.value.field) == (11, "models.0.segments.0")


def test_a_segment_named_twice(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, "[new, country, new]"))
    assert (caught.value.field, caught.value.problem) == ("models.0.segments.2", "is named twice")
