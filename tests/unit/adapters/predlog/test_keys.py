"""Hashes and sorted keys against plain dictionaries."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from homeostat.adapters.predlog.hashing import hash_numbers, hash_texts
from homeostat.adapters.predlog.keys import Keys, merge

SALT = 0x1234_5678_9ABC_DEF0
TEXTS = st.lists(st.text(max_size=90), max_size=30)
SMALL = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=40)


def keys_of(pairs: list[tuple[int, int]]) -> Keys:
    values = np.array(pairs, np.uint64).reshape(-1, 2)
    rows = np.arange(len(pairs), dtype=np.uint32)
    return merge([Keys(values[:, 0], values[:, 1] << np.uint64(31), rows)])


@given(TEXTS, st.integers(0, 7))
def test_texts_hash_alike_if_they_are_and_only_then(values: list[str], cut: int) -> None:
    column = pa.chunked_array([values[:cut], values[cut:]], pa.string())
    hashes = hash_texts(column, SALT).tolist()
    assert len(hashes) == len(values)
    for one, first in zip(values, hashes, strict=True):
        for other, second in zip(values, hashes, strict=True):
            assert (one == other) == (first == second)


def test_a_slice_and_its_copy_hash_alike() -> None:
    column = pa.array([f"id-{i}" * (i % 20) for i in range(100)])
    part = pa.chunked_array([column.slice(17, 50)])
    assert (hash_texts(part, SALT) == hash_texts(pa.chunked_array([column]), SALT)[17:67]).all()


def test_the_salt_decides_which_texts_collide() -> None:
    column = pa.chunked_array([[f"{i}" for i in range(1000)] + ["long" * 40]])
    one, other = hash_texts(column, 1), hash_texts(column, 2)
    assert not (one == other).any()


def test_hashes_are_spread_evenly() -> None:
    hashes = hash_texts(pa.chunked_array([[f"{i:036d}" for i in range(100_000)]]), SALT)
    assert len(np.unique(hashes)) == 100_000
    for shift in (0, 30, 56):
        counts = np.bincount((hashes >> np.uint64(shift) & np.uint64(255)).astype(np.int64))
        statistic = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
        assert statistic < 380, "chi-square of 255 degrees of freedom, p = 4e-7"


def test_numbers_hash_by_their_bits_and_their_order() -> None:
    times, scores = np.array([1, 1, 2, 0]), np.array([0.5, 0.25, 0.5, 0.0])
    assert len(set(hash_numbers(times, scores).tolist())) == 4
    swapped = hash_numbers(np.array([0, 1]), np.array([1, 0]))
    assert swapped[0] != swapped[1]


@given(SMALL, SMALL)
def test_find_says_what_a_dictionary_would(
    stored: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    keys, questions = keys_of(stored), np.array(asked, np.uint64).reshape(-1, 2)
    details = questions[:, 1] << np.uint64(31)
    same, alike = keys.find(questions[:, 0], details)
    assert same.tolist() == [pair in stored for pair in asked]
    halves = {(key, detail >> 1) for key, detail in stored}
    assert alike.tolist() == [(key, detail >> 1) in halves for key, detail in asked]
    assert keys.has(questions[:, 0]).tolist() == [k in {s for s, _ in stored} for k, _ in asked]


@given(SMALL, st.lists(st.integers(0, 6), max_size=20))
def test_match_gives_every_pair(stored: list[tuple[int, int]], asked: list[int]) -> None:
    values = np.array(stored, np.uint64).reshape(-1, 2)
    order = np.lexsort((values[:, 1], values[:, 0]))
    keys = Keys(values[order, 0], values[order, 1], order.astype(np.uint32))
    places, rows = keys.match(np.array(asked, np.uint64))
    expected = [(a, r) for a, k in enumerate(asked) for r, s in enumerate(stored) if s[0] == k]
    assert sorted(zip(places.tolist(), rows.tolist(), strict=True)) == expected


def test_one_id_with_very_many_labels_is_found_by_halving() -> None:
    details = np.arange(1_000_000, dtype=np.uint64) << np.uint64(33)
    keys = Keys(np.full(len(details), 7, np.uint64), details, np.zeros(len(details), np.uint32))
    asked = np.array([0, 999_999, 1_000_000], np.uint64) << np.uint64(33)
    same, _ = keys.find(np.full(3, 7, np.uint64), asked)
    assert same.tolist() == [True, True, False]
