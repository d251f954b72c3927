import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from homeostat.domain.model import ColumnKind
from homeostat.profiles.infer import Guess, guess, infer_kinds

NUMERIC, CATEGORICAL, BOOLEAN = ColumnKind
N = 2000
RNG = np.random.default_rng(5)
NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)

COLUMNS: dict[str, tuple[object, ColumnKind | None]] = {
    "amount": (RNG.normal(size=N), NUMERIC),
    "age": (RNG.integers(17, 111, N), NUMERIC),
    "cents": (RNG.integers(0, 10**7, N), NUMERIC),
    "children": (RNG.poisson(1, N), NUMERIC),
    "stars": (RNG.integers(1, 6, N), NUMERIC),
    "children_with_gaps": (np.where(RNG.random(N) < 0.1, np.nan, RNG.integers(0, 6, N)), NUMERIC),
    "constant": (np.full(N, 7), NUMERIC),
    "not_finite": (np.full(N, np.inf), NUMERIC),
    "price": ([Decimal("12.50"), Decimal("3.25")] * (N // 2), NUMERIC),
    "text_number": ([f"{x:.2f}" for x in RNG.normal(size=N)], NUMERIC),
    "text_many": ([str(x) for x in RNG.poisson(100, N)], NUMERIC),
    "length": ([timedelta(seconds=5)] * N, NUMERIC),
    "merchant": (RNG.choice([5411, 5812, 7995], N), CATEGORICAL),
    "sex": (RNG.integers(1, 3, N), CATEGORICAL),
    "product_code": (RNG.integers(0, 40, N), CATEGORICAL),
    "store_id": (RNG.integers(1, 11, N), CATEGORICAL),
    "pickup_location_id": (np.repeat(np.arange(101) ** 2, 20)[:N], CATEGORICAL),
    "zip_text": ([f"{x:05d}" for x in RNG.integers(0, 300, N)], CATEGORICAL),
    "text_few": ([str(x) for x in RNG.poisson(1, N)], CATEGORICAL),
    "city": (RNG.choice(["Rome", "Oslo"], N), CATEGORICAL),
    "declared": (pa.array(["1", "0"] * (N // 2)).dictionary_encode(), CATEGORICAL),
    "flag": (RNG.integers(0, 2, N), BOOLEAN),
    "answer": (RNG.choice(["yes", "No "], N), BOOLEAN),
    "truth": (RNG.choice(["True", "FALSE"], N), BOOLEAN),
    "bit_text": (RNG.choice(["0", "1"], N), BOOLEAN),
    "real": (RNG.random(N) < 0.5, BOOLEAN),
    "customer_id": (RNG.integers(0, 1000, N), None),
    "userId": (RNG.integers(10**9, 10**12, N), None),
    "row": (np.arange(N), None),
    "shuffled": (RNG.permutation(N), None),
    "guid": ([str(uuid.UUID(int=i << 80)) for i in range(N)], None),
    "token": ([f"tok{i}" for i in range(N)], None),
    "account_id": ([f"A{i % 300}" for i in range(N)], None),
    "day_text": ([f"2024-01-{1 + i % 28:02d}" for i in range(N)], None),
    "clock_text": ([f"31.1.2024 {i % 24:02d}:15" for i in range(N)], None),
    "at": (pa.array([NOON] * N, pa.timestamp("us", "Europe/Rome")), None),
    "day": ([date(2024, 1, 31)] * N, None),
    "created_at": (1_700_000_000 + RNG.integers(0, 10**6, N), None),
    "note": ([f"the customer called again about order {i}" for i in range(N)], None),
    "void": (pa.nulls(N), None),
    "gone": (pa.nulls(N, pa.float64()), None),
    "nested": ([[1, 2]] * N, None),
    "blob": (pa.array([b"x"] * N), None),
}  # fmt: skip


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_taken_for_what_they_are(name: str) -> None:
    values, kind = COLUMNS[name]
    found = infer_kinds(pa.table({name: values})).guesses[name]
    assert found.kind is kind
    assert found.reason or kind is not None


@pytest.mark.parametrize("name", ["paid", "humid", "width", "grid"])
def test_words_that_end_like_an_identifier_are_none(name: str) -> None:
    assert guess(name, pa.chunked_array([RNG.integers(0, 1000, N)])).kind is NUMERIC


def test_a_sample_of_row_numbers_is_told_by_the_rows_in_all() -> None:
    sample = RNG.permutation(10**6)[:N]
    assert guess("x", pa.chunked_array([sample]), rows=10**6).kind is None
    assert guess("x", pa.chunked_array([sample])).kind is NUMERIC


def test_a_handful_of_rows_is_not_overread() -> None:
    table = pa.table({"age": [31, 47, 52], "shop": ["a", "b", "c"], "id": [4, 8, 9]})
    assert set(infer_kinds(table).kinds.values()) == {NUMERIC, CATEGORICAL}


def test_the_caller_has_the_last_word() -> None:
    table = pa.table({"age": [1, 2], "row_id": [1, 2], "shop": ["a", "b"]})
    found = infer_kinds(table, {"age": CATEGORICAL, "row_id": NUMERIC, "shop": None})
    assert found.kinds == {"age": CATEGORICAL, "row_id": NUMERIC}
    assert found.assumptions == ("shop is left out: as you asked",)


def test_what_has_no_values_says_so() -> None:
    found = infer_kinds(pa.table({"x": pa.nulls(3), "y": pa.nulls(3, pa.int64())}))
    assert all(item.empty for item in found.guesses.values())


def test_each_guess_has_a_sentence_and_each_certainty_has_none() -> None:
    table = pa.table({name: values for name, (values, _) in COLUMNS.items()})
    found = infer_kinds(table)
    certain = {name for name, item in found.guesses.items() if not item.reason}
    assert certain >= {"amount", "age", "city", "real", "price", "declared"}
    assert len(found.assumptions) == len(COLUMNS) - len(certain)
    assert Guess(NUMERIC).sentence("x") == ""
