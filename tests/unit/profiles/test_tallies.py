import pyarrow as pa
import pytest

from homeostat.profiles.tallies import tally

WORDS = ["b", "a", None, "a", "b", "a"]


@pytest.mark.parametrize(
    "column",
    [
        pa.chunked_array([pa.array(WORDS)]),
        pa.chunked_array([pa.array(WORDS).dictionary_encode()]),
        pa.chunked_array([pa.array(WORDS).dictionary_encode(null_encoding="encode")]),
        pa.chunked_array([pa.array(["a", *WORDS, "c"]).dictionary_encode().slice(1, 6)]),
        pa.chunked_array([pa.array(WORDS[:2]).dictionary_encode(), pa.array(WORDS[2:], pa.string())
                          .dictionary_encode()]),
        pa.chunked_array([pa.array(WORDS, pa.large_string()).dictionary_encode()]),
        pa.chunked_array([pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 1, 2, 1]),
                                                         ["b", "a", "b"])]),
    ],
)  # fmt: skip
def test_values_of_any_encoding_are_counted(column: pa.ChunkedArray) -> None:
    assert tally(column) == ({"a": 3, "b": 2}, 1)


@pytest.mark.parametrize("kind", [pa.uint8(), pa.int32(), pa.int64()])
def test_codes_of_any_width_are_counted(kind: pa.DataType) -> None:
    codes = pa.DictionaryArray.from_arrays(pa.array([2, 0, 2, 2], kind), ["a", "unused", "b"])
    assert tally(pa.chunked_array([codes, codes.slice(3)])) == ({"a": 1, "b": 4}, 0)
    assert tally(pa.chunked_array([codes.slice(0, 0)])) == ({}, 0)


def test_a_column_without_chunks_has_no_values() -> None:
    kind = pa.dictionary(pa.int32(), pa.string())
    assert tally(pa.chunked_array([], kind)) == ({}, 0)


def test_values_that_are_no_text_become_text() -> None:
    assert tally(pa.chunked_array([[1, 2, 1, None]])) == ({"1": 2, "2": 1}, 1)
    with pytest.raises(pa.ArrowException):
        tally(pa.chunked_array([[[1], [2]]]))
