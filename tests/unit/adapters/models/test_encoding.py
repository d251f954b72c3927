"""The encoding that training and serving share."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters.models import Encoding, fit_encoding
from homeostat.domain.errors import ArtifactError, DataError

ROWS = pa.table(
    {
        "land": pa.array(["FR", "DE", None, "XX"]),
        "online": pa.array([True, False, None, True]),
        "amount": pa.array([1, 2, None, 4], pa.int64()),
    }
)


def test_matrix_has_the_columns_in_order_and_codes_for_categories() -> None:
    encoding = Encoding(("amount", "land", "online"), {"land": ("DE", "FR")})
    nan = np.nan
    expected = [[1, 1, 1], [2, 0, 0], [nan, nan, nan], [4, nan, 1]]
    np.testing.assert_array_equal(encoding.matrix(ROWS), expected)
    assert encoding.categorical == (1,)


def test_fit_and_round_trip(tmp_path: Path) -> None:
    encoding = fit_encoding(ROWS, ["land", "amount"])
    encoding.save(tmp_path / "meta.json")
    assert Encoding.load(tmp_path / "meta.json") == encoding
    assert encoding.categories == {"land": ("DE", "FR", "XX")}


def test_dictionary_columns_are_categories_too() -> None:
    rows = pa.table({"land": ROWS["land"].dictionary_encode()})
    encoding = fit_encoding(rows, ["land"])
    np.testing.assert_array_equal(encoding.matrix(rows)[:, 0], [1, 0, np.nan, 2])


def test_chunks_make_no_difference() -> None:
    encoding = fit_encoding(ROWS, ROWS.column_names)
    parts = pa.concat_tables([ROWS.slice(0, 1), ROWS.slice(1, 3)])
    np.testing.assert_array_equal(encoding.matrix(parts), encoding.matrix(ROWS))


def test_absent_and_unsuitable_columns_are_named() -> None:
    with pytest.raises(DataError, match="'age'"):
        Encoding(("age",)).matrix(ROWS)
    with pytest.raises(DataError, match="'land' of type string"):
        Encoding(("land",)).matrix(ROWS)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"features": "amount"}',
        '{"features": [1]}',
        '{"features": ["a"], "categories": []}',
        '{"features": ["a"], "categories": {"a": 5}}',
    ],
)
def test_wrong_meta_is_an_artifact_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "meta.json"
    path.write_text(content)
    with pytest.raises(ArtifactError, match=r"meta\.json"):
        Encoding.load(path)
