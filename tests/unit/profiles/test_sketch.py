from functools import reduce

import datasketches
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.profiles.sketch import CategorySketch, count_distinct, merge_sketches

LIMIT = 8
COUNTS = st.dictionaries(st.text("abcdefghijklmnop", max_size=2), st.integers(1, 10**6))
PARTS = st.lists(COUNTS, min_size=1, max_size=6)


def total(parts: list[dict[str, int]]) -> dict[str, int]:
    names = {name for part in parts for name in part}
    return {name: sum(part.get(name, 0) for part in parts) for name in names}


def merged(*parts: CategorySketch) -> CategorySketch:
    return merge_sketches(parts, LIMIT)


@given(PARTS, st.data())
def test_true_counts_lie_within_the_bounds_however_parts_are_merged(
    parts: list[dict[str, int]], data: st.DataObject
) -> None:
    truth = total(parts)
    rows = sum(truth.values())
    sketches = [merged(CategorySketch(part)) for part in data.draw(st.permutations(parts))]
    for found in (merged(*sketches), reduce(merged, sketches), merged(*map(CategorySketch, parts))):
        assert found.error <= rows // (LIMIT + 1)
        assert len(found.counts) <= LIMIT
        assert found.exact == (len(truth) <= LIMIT)
        for name, actual in truth.items():
            low, high = found.bounds(name, rows)
            assert low <= actual <= high
        listed = found.listed(rows, LIMIT)
        assert sum(listed.values()) < max(rows, 1)
        for name, estimate in listed.items():
            assert abs(estimate - truth[name]) <= found.error
            assert estimate <= 2 * truth[name]


@given(PARTS, st.data())
def test_merging_two_is_commutative_and_merging_all_is_free_of_order(
    parts: list[dict[str, int]], data: st.DataObject
) -> None:
    sketches = [merged(CategorySketch(part)) for part in parts]
    assert merged(*sketches) == merged(*data.draw(st.permutations(sketches)))
    registers = {
        reduce(merged, data.draw(st.permutations(sketches))).registers.tobytes() for _ in range(2)
    }
    assert len(registers) == 1


@given(PARTS)
def test_few_values_stay_exact(parts: list[dict[str, int]]) -> None:
    few = [{name[:1] or "a": rows for name, rows in part.items()} for part in parts]
    few = [{n: r for n, r in part.items() if n in "abcdefgh"} for part in few]
    found = reduce(merged, [CategorySketch(part) for part in few], CategorySketch())
    assert found == CategorySketch(total(few))
    assert found.exact


def test_a_value_that_was_always_frequent_is_estimated_exactly() -> None:
    rng = np.random.default_rng(3)
    parts = []
    for _ in range(50):
        tail = np.unique(rng.integers(0, 10_000, 200), return_counts=True)
        names = map(str, tail[0].tolist())
        parts.append(dict(zip(names, tail[1].tolist(), strict=True)) | {"often": 40})
    found = reduce(merged, map(CategorySketch, parts))
    assert found.listed(50 * 240, LIMIT) == {"often": 2000}


def test_the_error_is_no_larger_than_that_of_a_datasketches_sketch_of_the_same_size() -> None:
    rng = np.random.default_rng(4)
    names, counts = np.unique(rng.zipf(1.2, 50_000) % 5000, return_counts=True)
    peer = datasketches.frequent_strings_sketch(10)
    for name, rows in zip(names.tolist(), counts.tolist(), strict=True):
        peer.update(str(name), rows)
    rows = {str(n): c for n, c in zip(names.tolist(), counts.tolist(), strict=True)}
    ours = merge_sketches([CategorySketch(rows)], limit=768)  # three quarters of 2**10, as theirs
    top = sorted(rows, key=rows.__getitem__)[-100:]
    assert 0 < ours.error <= peer.get_upper_bound("not there")
    assert ours.listed(50_000, 768).items() >= {name: rows[name] for name in top}.items()
    assert [peer.get_estimate(name) for name in top] == [rows[name] for name in top]


def test_a_merge_of_very_many_values_lets_the_rarest_go_early() -> None:
    parts = [CategorySketch({f"{i} {j}": 1 for j in range(150)} | {"often": 9}) for i in range(12)]
    found = merged(*parts)
    assert found.listed(12 * 159, LIMIT) == {"often": 108}
    assert found.distinct == pytest.approx(12 * 150 + 1, rel=0.03)


@pytest.mark.parametrize("distinct", [1, 100, 10_000, 300_000])
def test_distinct_values_agree_with_datasketches(distinct: int) -> None:
    names = [f"customer {i}" for i in range(distinct)]
    registers = count_distinct(names)
    peer = datasketches.hll_union(14)
    for start in (0, distinct // 3):  # of a union, it estimates from the registers as well
        part = datasketches.hll_sketch(14, datasketches.tgt_hll_type.HLL_8, True)
        for name in names[start:]:
            part.update(name)
        peer.update(part)
    sketch = CategorySketch(registers=registers)
    error = 3 * sketch.distinct_error
    assert sketch.distinct_error == pytest.approx(1.04 / 128)
    assert sketch.distinct == pytest.approx(distinct, rel=error)
    assert sketch.distinct == pytest.approx(peer.get_estimate(), rel=0.005)


@pytest.mark.statistical
def test_the_stated_error_of_distinct_values_is_the_measured_one() -> None:
    names = [f"{i}" for i in range(60 * 3000)]
    few = 1 << 10
    errors = []
    for start in range(0, len(names), 3000):
        wide = count_distinct(names[start : start + 3000])
        narrow = merge_sketches(
            [CategorySketch(registers=wide), CategorySketch(registers=np.zeros(few, np.uint8))], 1
        )
        assert narrow.registers.size == few
        errors.append(narrow.distinct / 3000 - 1.0)
    stated = 1.04 / np.sqrt(few)
    assert abs(np.mean(errors)) < 3 * stated / np.sqrt(60)
    assert 0.75 * stated < np.std(errors) < 1.25 * stated


def test_registers_of_coarser_sketches_hold_the_same() -> None:
    names = [f"{i}" for i in range(5000)]
    peer = datasketches.hll_sketch(12, datasketches.tgt_hll_type.HLL_8, True)
    for name in names:
        peer.update(name)
    theirs = np.frombuffer(peer.serialize_updatable(), np.uint8)[40:]
    both = merge_sketches(
        [CategorySketch(registers=count_distinct(names)), CategorySketch(registers=theirs)], LIMIT
    )
    assert both.registers.tolist() == theirs.tolist()


def test_nothing_seen_is_nothing_distinct() -> None:
    assert CategorySketch().distinct == CategorySketch(registers=count_distinct([])).distinct == 0
    assert CategorySketch().distinct_error == 0.0


def test_a_sketch_is_a_value() -> None:
    one, other = CategorySketch({"a": 1}), CategorySketch({"a": 1})
    assert one == other
    assert one != CategorySketch({"a": 2})
    assert one != "a sketch"
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
    with pytest.raises(ValueError, match="read-only"):
        CategorySketch(registers=count_distinct(["a"])).registers[0] = 9
