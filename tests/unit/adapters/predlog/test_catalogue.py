import pyarrow as pa

from homeostat.adapters.predlog.hours import of_kinds
from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_table

KINDS = {"amount": ColumnKind.NUMERIC, "age": ColumnKind.NUMERIC, "shop": ColumnKind.CATEGORICAL}


def test_pairs_outlast_the_columns_that_they_do_not_need() -> None:
    table = pa.table({"amount": [1.0, 2.0], "age": [3, 4], "shop": ["a", "b"]})
    profile = profile_table(table, KINDS, pairs=True)
    without_shop = of_kinds(profile, KINDS | {"shop": ColumnKind.BOOLEAN})
    assert list(without_shop.columns) == ["amount", "age"]
    assert without_shop.pairs == profile.pairs
    assert of_kinds(profile, KINDS | {"age": ColumnKind.CATEGORICAL}).pairs is None
