from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import homeostat as hs
from homeostat.domain.errors import DataError, NotFoundError


def test_profiles_of_parts_merge_into_that_of_the_whole(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=500)
    parts = [hs.profile({"x": part}) for part in np.split(values, 5)]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.merge(part)
    assert isinstance(whole, hs.Profile)
    assert whole.columns == hs.profile({"x": values}).columns
    whole.save(tmp_path / "x.profile")
    again = hs.load_profile(str(tmp_path / "x.profile"))
    assert again.columns == whole.columns
    assert again.rows == 500


def test_assumptions_stay_with_the_profile() -> None:
    one = hs.profile({"id": [1, 2, 3, 4, 5, 6], "x": [1.5] * 6})
    assert one.assumptions == ("id is left out: an identifier: every value is another",)
    two = hs.profile({"paid": ["yes", "no"], "x": [1.5, 2.5]})
    both = one.merge(two)
    assert both.assumptions == (
        *one.assumptions,
        "paid is taken as boolean: its values are no and yes",
    )
    assert hs.profile(both) == both
    assert hs.profile(one.merge(one)).assumptions == one.assumptions


def test_files_are_read_whole_or_a_piece_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    pd.DataFrame({"x": np.arange(100) / 7}).to_csv(path, index=False)
    read: list[int] = []
    streamed = hs.profile(path, streaming=True, progress=read.append)
    assert streamed.columns == hs.profile(str(path)).columns
    assert sum(read) == 100


def test_a_file_of_odd_columns_only_is_profiled(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    odd = {"day": pd.to_datetime(["2024-01-31"] * 40), "user_id": [f"u{k}" for k in range(40)]}
    pd.DataFrame(odd).to_parquet(path)
    found = hs.profile(path, streaming=True)
    assert (found.rows, dict(found.columns)) == (40, {})
    assert len(found.assumptions) == 2
    kinds = {"user_id": "categorical", "day": "numeric"}
    found = hs.profile(path, streaming=True, kinds=kinds)
    assert found.columns["user_id"].distinct == 40
    assert found.columns["day"].present == 40
    pd.DataFrame(odd).iloc[:0].to_parquet(path)
    assert hs.profile(path, streaming=True).rows == 0


def test_mistakes_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no kind; choose one of numeric"):
        hs.profile({"x": [1]}, kinds={"x": "text"})
    with pytest.raises(NotFoundError):
        hs.load_profile(tmp_path / "none")
    (tmp_path / "text").write_text("nothing")
    with pytest.raises(DataError):
        hs.load_profile(tmp_path / "text")


def test_names_are_loaded_when_used() -> None:
    assert set(hs.__all__) <= set(dir(hs))
    with pytest.raises(AttributeError, match="no attribute 'comparison'"):
        hs.comparison  # noqa: B018
