import hashlib
import hmac
from datetime import timedelta

import pyarrow as pa
import pytest

from homeostat.domain.errors import ConfigError
from homeostat.domain.model import (
    Column,
    ColumnKind,
    Handling,
    LabelSpec,
    ModelSpec,
    Schema,
    Task,
)
from homeostat.domain.personal import NOT_KEPT, Protector, handled, reason_kept

KEY = b"a secret of some length"
MAIL = Column("mail", ColumnKind.CATEGORICAL, personal=True, handling=Handling.HASH)
AGE = Column("age", ColumnKind.NUMERIC, personal=True, handling=Handling.DROP)
SHOP = Column("shop", ColumnKind.CATEGORICAL, personal=True)


def spec(*columns: Column, entity: str = "", way: Handling = Handling.KEEP) -> ModelSpec:
    labels = LabelSpec(timedelta(days=1))
    return ModelSpec("m", Task.BINARY, Schema(columns), labels, entity=entity, entity_handling=way)


def test_a_hash_is_the_keyed_one_of_the_standard_library_and_stays_as_it_is() -> None:
    protector = Protector(KEY)
    found = protector.text("ada@example.org")
    expected = hmac.new(KEY, b"ada@example.org", hashlib.sha256).hexdigest()
    assert found == f"hmac:{expected[:32]}"
    assert protector.text(found) == found
    assert protector.text("") == ""
    assert Protector(b"another secret of a length").text("ada@example.org") != found
    assert "secret" not in repr(protector)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="personal_key_env"):
        Protector(b"short").text("a")


def test_columns_are_hashed_or_dropped_and_the_others_stay() -> None:
    rows = pa.table(
        {
            "entity": pa.chunked_array([["a", "b"], ["a"]]),
            "mail": pa.chunked_array([["a", None], ["a"]]),
            "age": [30.0, 40.0, 50.0],
            "shop": ["x", "y", "z"],
        }
    )
    one = Protector(KEY).table(spec(MAIL, AGE, SHOP, entity="mail"), rows)
    assert one.schema.equals(rows.schema)
    hashed = Protector(KEY).text("a")
    assert one.column("mail").to_pylist() == [hashed, None, hashed]
    assert one.column("entity").to_pylist() == [hashed, Protector(KEY).text("b"), hashed]
    assert one.column("age").null_count == 3
    assert one.column("shop").equals(rows.column("shop"))
    nobody = Protector().table(spec(SHOP, way=Handling.DROP), rows)
    assert nobody.column("entity").to_pylist() == ["", "", ""]
    assert Protector().table(spec(SHOP), rows) is rows
    assert Protector().table(spec(AGE), rows.select(["shop"])).column_names == ["shop"]


def test_refused_rows_are_kept_without_what_is_personal() -> None:
    known = frozenset({"mail", "age", "score", "entity"})
    sent = {"mail": 7, "age": "x", "score": None, "entity": "e", "emial": "ada"}
    kept = Protector(KEY).row(spec(MAIL, AGE), sent, known)
    assert kept == {
        "mail": Protector(KEY).text("7"),
        "age": None,
        "score": None,
        "entity": "e",
        "emial": NOT_KEPT,
    }
    assert Protector(KEY).row(spec(MAIL), "ada@exa", known) == NOT_KEPT
    assert Protector(KEY).row(spec(SHOP), sent, known) is sent
    assert Protector(KEY).row(spec(MAIL), {"mail": None}, known) == {"mail": None}


def test_the_entity_is_handled_like_the_feature_it_repeats() -> None:
    assert handled(spec(MAIL, entity="mail")) == dict.fromkeys(("mail", "entity"), Handling.HASH)
    assert handled(spec(SHOP, entity="shop")) == {}
    assert handled(spec(SHOP, entity="card", way=Handling.HASH)) == {"entity": Handling.HASH}


def test_reasons_quote_no_value_where_columns_are_handled() -> None:
    assert reason_kept(spec(MAIL), "must be text, not 'ada@example.org'") == "must be text"
    assert reason_kept(spec(SHOP), "must be text, not 7") == "must be text, not 7"
