"""Profiles exchanged with the real whylogs, in an environment that has it (and NumPy 1)."""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters.whylogs import export_whylogs, import_whylogs
from homeostat.domain.errors import DataError, NotFoundError
from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_table
from homeostat.profiles.compare import ks, quantiles
from homeostat.profiles.profile import CATEGORY_LIMIT, Profile

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

AT = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = 20_000
KINDS = {
    "amount": ColumnKind.NUMERIC,
    "items": ColumnKind.NUMERIC,
    "shop": ColumnKind.CATEGORICAL,
    "customer": ColumnKind.CATEGORICAL,
    "online": ColumnKind.BOOLEAN,
}


def data() -> dict[str, list[Any]]:
    rng = np.random.default_rng(1)
    amount = rng.lognormal(3, 1, ROWS)
    amount[:50] = np.nan
    shops = rng.choice(["grocery", "ä", "travel"], ROWS, p=[0.7, 0.2, 0.1]).astype(object)
    shops[:30] = None
    customers = rng.integers(0, 12_000, ROWS)
    customers[rng.random(ROWS) < 0.1] = 7
    return {
        "amount": amount.tolist(),
        "items": rng.poisson(3, ROWS).tolist(),
        "shop": shops.tolist(),
        "customer": [f"customer {i}" for i in customers.tolist()],
        "online": (rng.random(ROWS) < 0.25).tolist(),
    }


def logged(columns: dict[str, list[Any]]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import whylogs

        return whylogs.log(pa.table(columns).to_pandas()).view()


def profiled(columns: dict[str, list[Any]]) -> Profile:
    return profile_table(pa.table(columns), KINDS)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """What whylogs logged, imported."""
    path = tmp_path_factory.mktemp("whylogs") / "logged.bin"
    path.write_bytes(logged(data()).serialize())
    return import_whylogs(path)


def test_counts_moments_and_kinds_are_imported(theirs: Profile) -> None:
    ours = profiled(data())
    assert theirs.rows == ROWS
    for name, kind in KINDS.items():
        mine, other = ours.columns[name], theirs.columns[name]
        assert other.kind is kind
        assert (other.count, other.missing, other.nan) == (mine.count, mine.missing, mine.nan)
        assert (other.infinite, other.present) == (mine.infinite, mine.present)
        if kind is ColumnKind.NUMERIC:
            assert (other.minimum, other.maximum) == (mine.minimum, mine.maximum)
            assert other.mean == pytest.approx(mine.mean, rel=1e-9)
            assert other.variance == pytest.approx(mine.variance, rel=1e-9)
            assert ks(mine, other).statistic < 0.015  # KLL k=256: rank error 0.9 %, 99 % sure
    assert theirs.columns["items"].zeros == pytest.approx(ours.columns["items"].zeros, rel=0.3)


def test_categories_are_imported(theirs: Profile) -> None:
    ours = profiled(data())
    for name in ("shop", "online"):
        assert theirs.columns[name].values == ours.columns[name].values
        assert theirs.columns[name].other == 0
    mine, other = ours.columns["customer"], theirs.columns["customer"]
    assert next(iter(other.values)) == "customer 7"
    low, high = other.bounds("customer 7")
    assert low <= mine.rows_with(["customer 7"])[0] <= high
    assert sum(other.values.values()) + other.other == ROWS
    assert other.distinct == pytest.approx(mine.distinct, rel=0.06)


def test_an_imported_column_merges_with_one_of_ours(theirs: Profile) -> None:
    ours = profiled(data())
    both = ours.merge(theirs)
    customer = both.columns["customer"]
    assert both.rows == 2 * ROWS
    assert customer.distinct == pytest.approx(ours.columns["customer"].distinct, rel=0.06)
    assert customer.values["customer 7"] == pytest.approx(0.1 * 2 * ROWS, rel=0.1)


def exported(profile: Profile, path: Path) -> Any:
    from whylogs.core import DatasetProfileView

    export_whylogs(profile, path, at=AT)
    return DatasetProfileView.read(str(path))


def test_whylogs_reads_what_is_exported(tmp_path: Path) -> None:
    columns = data()
    columns["amount"][60:64] = [np.inf, 0.0, -np.inf, -5.0]
    profile = profiled(columns)
    view = exported(profile, tmp_path / "profile.bin")
    assert view.dataset_timestamp == AT
    amount = view.get_column("amount").to_summary_dict()
    mine = profile.columns["amount"]
    assert (amount["counts/n"], amount["counts/null"], amount["counts/nan"]) == (ROWS, 50, 50)
    assert (amount["counts/inf"], amount["types/fractional"]) == (2, ROWS - 50)
    assert (amount["distribution/min"], amount["distribution/max"]) == (mine.minimum, mine.maximum)
    assert amount["distribution/mean"] == mine.mean
    spread = np.sqrt(mine.variance * mine.present / (mine.present - 1))
    assert amount["distribution/stddev"] == pytest.approx(spread)
    assert amount["distribution/n"] == mine.present
    assert amount["distribution/median"] == pytest.approx(
        quantiles(mine, np.array([0.5]))[0], rel=0.05
    )
    for name in ("shop", "customer", "online"):
        found = view.get_column(name).to_summary_dict()
        distinct = profile.columns[name].distinct
        assert found["cardinality/est"] == pytest.approx(distinct, rel=0.02)
        top = max(found["frequent_items/frequent_strings"], key=lambda item: item.est)
        assert top.value.lower() == next(iter(sorted_values(profile, name)))
    assert view.get_column("online").to_summary_dict()["counts/true"] == pytest.approx(
        5000, rel=0.1
    )


def sorted_values(profile: Profile, name: str) -> list[str]:
    values = profile.columns[name].values
    return sorted(values, key=lambda value: -values[value])


def test_what_is_exported_merges_with_what_whylogs_logs(tmp_path: Path) -> None:
    view = exported(profiled(data()), tmp_path / "profile.bin").merge(logged(data()))
    summary = view.get_column("customer").to_summary_dict()
    distinct = len(set(data()["customer"]))
    assert summary["counts/n"] == 2 * ROWS
    assert summary["cardinality/est"] == pytest.approx(distinct, rel=0.06)
    amount = view.get_column("amount").to_summary_dict()
    assert amount["distribution/median"] == pytest.approx(np.exp(3), rel=0.05)


def test_a_round_trip_keeps_what_whylogs_keeps(tmp_path: Path) -> None:
    profile = profiled(data())
    export_whylogs(profile, tmp_path / "profile.bin", at=AT)
    again = import_whylogs(tmp_path / "profile.bin")
    for name, column in profile.columns.items():
        other = again.columns[name]
        assert (other.kind, other.count, other.present) == (
            column.kind,
            column.count,
            column.present,
        )
        assert (other.minimum, other.maximum) == pytest.approx(
            (column.minimum, column.maximum), nan_ok=True, abs=0
        )
        assert other.mean == pytest.approx(column.mean, nan_ok=True, rel=1e-12)
        if column.kind is ColumnKind.NUMERIC:
            assert ks(column, other).statistic < 0.03


def test_a_profile_of_nothing_can_be_exchanged(tmp_path: Path) -> None:
    empty = profiled(
        {"amount": [None], "items": [None], "shop": [None], "customer": [None], "online": [None]}
    )
    export_whylogs(empty, tmp_path / "p", at=AT)
    again = import_whylogs(tmp_path / "p")
    assert {column.present for column in again.columns.values()} == {0}
    assert {column.missing for column in again.columns.values()} == {1}


def test_many_distinct_values_are_exchanged_as_a_sketch(tmp_path: Path) -> None:
    names = [f"customer {i}" for i in range(3 * CATEGORY_LIMIT)] + ["often"] * 5000
    profile = profile_table(pa.table({"customer": names}), {"customer": ColumnKind.CATEGORICAL})
    export_whylogs(profile, tmp_path / "p", at=AT)
    column = import_whylogs(tmp_path / "p").columns["customer"]
    assert column.values == {"often": 5000}
    assert column.present == 3 * CATEGORY_LIMIT + 5000
    assert column.distinct == profile.columns["customer"].distinct


def test_what_is_no_whylogs_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"PAR1")
    export_whylogs(profiled(data()), tmp_path / "whole", at=AT)
    whole = (tmp_path / "whole").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    for name in ("other", "cut"):
        with pytest.raises(DataError, match=f"{name} is not a whylogs profile"):
            import_whylogs(tmp_path / name)
    with pytest.raises(DataError, match="cannot be read"):
        import_whylogs(tmp_path)
    with pytest.raises(NotFoundError, match="there is no file"):
        import_whylogs(tmp_path / "absent")
