"""Which features a segment is told by."""

from dataclasses import replace

import pytest

from homeostat.domain.errors import NotFoundError
from homeostat.domain.model import Column, ColumnKind, Schema
from homeostat.domain.segments import columns_of
from homeostat.simulation.conformance.log import SPEC

NAMES = ("country", "new", "country = new")
COLUMNS = tuple(Column(name, ColumnKind.CATEGORICAL) for name in NAMES)
TOLD = replace(SPEC, schema=Schema(COLUMNS), segments=("country", "country & new"))


@pytest.mark.parametrize(
    ("segment", "names"),
    [
        ("country=FR", ("country",)),
        ("country=FR & new=true", ("country", "new")),
        ("country= & new=", ("country", "new")),
        ("country=FR & old=true", ("country",)),
    ],
)
def test_features_of_a_segment(segment: str, names: tuple[str, ...]) -> None:
    assert columns_of(TOLD, segment) == names


@pytest.mark.parametrize("segment", ["new=true", "", "FR", "x country=FR"])
def test_a_segment_that_is_not_told_is_named_with_those_that_are(segment: str) -> None:
    with pytest.raises(NotFoundError, match=r"its segments are by: country, country"):
        columns_of(TOLD, segment)
    with pytest.raises(NotFoundError, match="are by: none"):
        columns_of(replace(TOLD, segments=()), segment)
