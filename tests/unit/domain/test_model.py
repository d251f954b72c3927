import pytest

from homeostat.domain.errors import NotFoundError
from homeostat.domain.model import Column, ColumnKind, Schema

AMOUNT = Column("amount", ColumnKind.NUMERIC, minimum=0.0)
COUNTRY = Column("country", ColumnKind.CATEGORICAL)


def test_schema_keeps_the_order_of_its_columns() -> None:
    schema = Schema((COUNTRY, AMOUNT))
    assert schema.names == ("country", "amount")
    assert schema["amount"] is AMOUNT


def test_a_column_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="columns named twice: amount"):
        Schema((AMOUNT, COUNTRY, AMOUNT))


def test_an_unknown_column_is_named_with_those_that_exist() -> None:
    with pytest.raises(NotFoundError, match="no column named 'amout'; there are amount, country"):
        Schema((AMOUNT, COUNTRY))["amout"]
