import pyarrow as pa
import pytest

from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_table
from homeostat.profiles.forget import ERASED, counted, forget, mentions
from homeostat.profiles.format import from_bytes, to_bytes

KINDS = {"card": ColumnKind.CATEGORICAL, "amount": ColumnKind.NUMERIC}


def table(cards: list[str]) -> pa.Table:
    return pa.table({"card": cards, "amount": [float(i) for i in range(len(cards))]})


def test_a_profile_forgets_a_name_and_keeps_its_count() -> None:
    profile = profile_table(table(["a", "b", "a"]), KINDS)
    left = forget(profile, {"a"})
    assert left.columns["card"].values == {"b": 1, ERASED: 2}
    assert (left.rows, left.columns["amount"]) == (3, profile.columns["amount"])
    assert not mentions(left, {"a"})
    assert forget(left, {"a"}) == left
    assert forget(left, {"b"}).columns["card"].values == {ERASED: 3}
    assert from_bytes(to_bytes(left)) == left


def test_the_hash_of_a_personal_value_is_forgotten_too() -> None:
    profile = profile_table(table(["ada", "bob"]), KINDS, {"card"})
    assert mentions(profile, {"ada"})
    left = forget(profile, {"ada"})
    assert not mentions(left, {"ada"})
    assert mentions(left, {"bob"})


def test_a_sketch_forgets_a_frequent_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homeostat.profiles.profile.CATEGORY_LIMIT", 5)
    profile = profile_table(table(["often"] * 50 + [f"once {i}" for i in range(20)]), KINDS)
    assert profile.columns["card"].sketch is not None
    assert mentions(profile, {"often"})
    left = forget(profile, {"often"})
    assert "often" not in counted(left)
    assert left.columns["card"].present == profile.columns["card"].present
    assert left.columns["card"].other == profile.columns["card"].other
    assert not mentions(left, {"often"})
