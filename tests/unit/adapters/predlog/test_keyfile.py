"""Key files: what comes back, of this release and of older ones, and what damage is told."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homeostat.adapters.predlog import runs
from homeostat.adapters.predlog.keyfile import read_keys, write_keys
from homeostat.adapters.predlog.keys import Keys, in_key_order
from homeostat.adapters.predlog.runs import Runs, runs_in
from homeostat.adapters.predlog.sieve import may_hold, put_in, words_for

HASHES = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 5), max_size=60)
EACH_OWN_FOLDER = [HealthCheck.function_scoped_fixture]


def some(rows: int, seed: int = 1) -> Keys:
    rng = np.random.default_rng(seed)
    keys, details = rng.integers(0, 2**64, (2, rows), np.uint64)
    return in_key_order(keys, details, np.arange(rows, dtype=np.uint32))


def same(one: Keys, other: Keys) -> bool:
    parts = ((getattr(keys, name) for name in ("keys", "details", "rows")) for keys in (one, other))
    return all(np.array_equal(*pair) for pair in zip(*parts, strict=True))


@given(HASHES, HASHES)
def test_a_sieve_lets_no_key_through_its_fingers(held: list[int], others: list[int]) -> None:
    keys = np.sort(np.array(held, np.uint64))
    words = np.zeros(words_for(len(keys)), np.uint64)
    for part in np.array_split(keys, 3):  # as they come, in order
        put_in(words, part)
    assert may_hold(words, keys).all()
    assert len(may_hold(words, np.array(others, np.uint64))) == len(others)


def test_a_sieve_holds_back_most_of_what_is_not_there() -> None:
    held, others = some(100_000).keys, some(100_000, seed=2).keys
    words = np.zeros(words_for(len(held)), np.uint64)
    put_in(words, held)
    share = may_hold(words, others).mean()
    # 6.4 keys a word on average; of a word with j of them 1 - (1 - 1/64)^4j of its bits are set.
    counts = np.arange(60)
    chances = np.exp(-6.4 + counts * np.log(6.4) - np.cumsum(np.log(np.maximum(counts, 1))))
    expected = chances @ (1 - (1 - 1 / 64) ** (4 * counts)) ** 4
    assert abs(share - expected) < 5 * np.sqrt(expected / len(others))


@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_a_key_file_comes_back(tmp_path: Path, rows: int) -> None:
    path, keys = tmp_path / "x.keys", some(rows)
    parts = [slice(0, rows // 3), slice(rows // 3, rows)]
    write_keys(path, [Keys(keys.keys[p], keys.details[p], keys.rows[p]) for p in parts], rows)
    again = read_keys(path, rows, check=True)
    assert same(again, keys)
    assert again.sieve is not None
    assert again.has(keys.keys).all()
    found = again.find(keys.keys, keys.details)
    assert found[0].all()
    again.let_go()
    assert same(again, keys), "what was let go of is read again"
    with pytest.raises(ValueError, match=f"is of {rows:,} rows, not of {rows + 1:,}"):
        read_keys(path, rows + 1)


def test_a_key_file_of_an_older_release_is_read(tmp_path: Path) -> None:
    path, keys = tmp_path / "x.keys", some(5000)
    rest = b"".join(part.tobytes() for part in (keys.keys, keys.details, keys.rows))
    path.write_bytes(struct.pack("<4sIQ", b"HSK1", zlib.crc32(rest), 5000) + rest)
    again = read_keys(path, 5000, check=True)
    assert same(again, keys)
    assert again.sieve is None
    assert again.find(keys.keys, keys.details)[0].all()
    assert not again.has(some(5000, seed=2).keys).any()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert len(read_keys(path, 5000)) == 5000
    with pytest.raises(ValueError, match="another checksum"):
        read_keys(path, 5000, check=True)


def test_every_flipped_bit_and_every_cut_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.keys"
    write_keys(path, [some(1)], 1)
    whole = path.read_bytes()
    assert len(whole) == 40 + 8 + 20
    for place in range(8 * len(whole)):
        content = bytearray(whole)
        content[place // 8] ^= 1 << place % 8
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"is |has |checksum"):
            read_keys(path, 1, check=True)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"is cut short|is no whole key file"):
            read_keys(path, 1)


@settings(deadline=None, suppress_health_check=EACH_OWN_FOLDER)
@given(st.lists(HASHES, min_size=1, max_size=6), st.integers(1, 40))
def test_runs_give_what_sorting_all_at_once_gives(
    tmp_path: Path, pieces: list[list[int]], block: int
) -> None:
    whole = np.array([key for piece in pieces for key in piece], np.uint64)
    details = whole[::-1] % np.uint64(3)
    expected = in_key_order(whole, details, np.arange(len(whole), dtype=np.uint32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "BLOCK", block)
        with runs_in(tmp_path / "x.tmp") as made:
            ends = np.cumsum([len(piece) for piece in pieces])
            for part in np.split(np.arange(len(whole)), ends[:-1]):
                made.add(whole[part], details[part])
            blocks = list(made.blocks())
        assert made.rows == len(whole)
    assert not list(tmp_path.iterdir())
    assert np.array_equal(np.concatenate([b.keys for b in blocks]), expected.keys)
    assert np.array_equal(np.concatenate([b.details for b in blocks]), expected.details)
    rows = np.concatenate([b.rows for b in blocks])
    assert np.array_equal(np.sort(rows), np.arange(len(whole)))
    assert np.array_equal(whole[rows], expected.keys)
    assert np.array_equal(details[rows], expected.details)


def test_keys_of_many_rows_are_never_all_in_memory(tmp_path: Path) -> None:
    rng, total, step = np.random.default_rng(1), 2**21, 2**17
    made = Runs(tmp_path / "x.tmp")
    tracemalloc.start()
    try:
        for _ in range(total // step):
            keys, details = rng.integers(0, 2**64, (2, step), np.uint64)
            made.add(keys, details)
        write_keys(tmp_path / "x.keys", made.blocks(), made.rows)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        made.close()
    assert most < total * 20 / 1.5, "all keys take 42 MB, and as much again while they are sorted"
    written = read_keys(tmp_path / "x.keys", total, check=True)
    assert (written.keys[1:] >= written.keys[:-1]).all()
    assert np.array_equal(np.sort(written.rows), np.arange(total))
