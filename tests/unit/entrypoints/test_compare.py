import json
import warnings
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import homeostat as hs
from homeostat.domain.errors import DataError, NotFoundError

N = 400
RNG = np.random.default_rng(11)
BEFORE = {
    "amount": RNG.normal(50, 10, N),
    "kids": RNG.poisson(1, N),
    "shop": RNG.choice(["a", "b", "c"], N),
    "paid": RNG.choice(["yes", "no"], N),
    "ready": RNG.random(N) < 0.5,
}
AFTER = BEFORE | {
    "amount": RNG.normal(58, 10, N),
    "shop": RNG.choice(["a", "b", "d"], N),
}


def beside(before: object, after: object, name: str = "x") -> hs.Report:
    """Compare a column that is a test's subject beside one that is as it was."""
    good = {"good": BEFORE["amount"][: len(before)]}  # type: ignore[arg-type]
    now = {"good": BEFORE["amount"][: len(after)]}  # type: ignore[arg-type]
    found = hs.compare({name: before} | good, {name: after} | now)
    assert found["good"].verdict in {hs.Status.OK, hs.Status.INCONCLUSIVE}
    return found


def test_pandas_polars_arrow_and_files_agree(tmp_path: Path) -> None:
    expected = hs.compare(BEFORE, AFTER).to_dict()
    assert expected["drifted"] == ["amount", "shop"]
    sides = [pa.table(BEFORE), pa.table(AFTER)]
    for name, side in zip(("before", "after"), sides, strict=True):
        pq.write_table(side, tmp_path / f"{name}.parquet")
    frames = {
        "arrow": sides,
        "pandas": [side.to_pandas() for side in sides],
        "polars": [pl.DataFrame(side) for side in (BEFORE, AFTER)],
        "lazy": [pl.LazyFrame(side) for side in (BEFORE, AFTER)],
        "files": [tmp_path / "before.parquet", str(tmp_path / "after.parquet")],
        "mixed": [BEFORE, pl.DataFrame(AFTER)],
    }
    for name, (before, after) in frames.items():
        found = hs.compare(before, after).to_dict()
        strip_types(found)
        strip_types(expected)
        assert json.dumps(found) == json.dumps(expected), name


def strip_types(found: dict[str, object]) -> None:
    for column in found["columns"]:  # type: ignore[attr-defined]
        column["quality"].pop("type_reference", None)
        column["quality"].pop("type_current", None)


def test_missing_values_count_alike_however_they_are_written() -> None:
    holes = np.where(np.arange(N) % 5 == 0, np.nan, BEFORE["amount"])
    sides = [
        {"x": holes},
        pd.DataFrame({"x": holes}),
        pl.DataFrame({"x": holes}),
        pl.DataFrame({"x": holes}).fill_nan(None),
    ]
    verdicts = {
        (found.verdict, found.drift_score, found.reason)
        for side in sides
        for found in [hs.compare({"x": BEFORE["amount"]}, side)["x"]]
    }
    assert len(verdicts) == 1


def test_the_json_has_the_documented_keys() -> None:
    found = hs.compare(BEFORE, AFTER).to_dict()
    assert list(found) == [
        "columns", "drifted", "share_drifted", "dataset_drift", "n_reference", "n_current",
    ]  # fmt: skip
    column = found["columns"][0]  # type: ignore[index]
    assert list(column) == [
        "name", "kind", "verdict", "drift_score", "p_value", "statistics", "quality",
    ]  # fmt: skip
    assert {"ks", "psi", "wasserstein", "js", "chi2"} <= set(column["statistics"])
    assert found["share_drifted"] == 0.4
    assert found["dataset_drift"] is True


def test_a_stored_profile_stands_in_for_rows_on_either_side(tmp_path: Path) -> None:
    expected = hs.compare(BEFORE, AFTER)
    for name, side in (("before", BEFORE), ("after", AFTER)):
        hs.profile(side).save(tmp_path / name)
    before, after = hs.load_profile(tmp_path / "before"), tmp_path / "after"
    for pair in ((before, after), (before, AFTER), (BEFORE, after)):
        found = hs.compare(*pair)
        assert found.drifted == expected.drifted
        assert all(found[c.name].p_value == c.p_value for c in expected.columns)
    ignored = hs.compare(before, AFTER, kinds={"shop": "ignore"})
    assert ignored.drifted == ["amount"]
    assert "shop" not in {column.name for column in ignored.columns}


def test_both_sides_are_read_as_the_reference_is() -> None:
    before = {"code": ["1", "2"] * 50, "n": [5, 7, 9, 400] * 25}
    after = {"code": [1, 2] * 50, "n": ["5", "7", "9", "400"] * 25}
    found = hs.compare(before, after, kinds={"code": "categorical", "n": "numeric"})
    assert not found.drifted
    assert found["n"].findings == ("its type changed from int64 to string",)
    assert found["code"].findings == ("its type changed from string to int64",)


def test_columns_are_mapped_and_kinds_are_given() -> None:
    after = {"amt": AFTER["amount"], "shop": AFTER["shop"]}
    before = {"amount": BEFORE["amount"], "shop": BEFORE["shop"]}
    found = hs.compare(
        before, after, columns={"amount": "amt"}, kinds={"shop": hs.ColumnKind.CATEGORICAL}
    )
    assert found.drifted == ["amount", "shop"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"amount": "amt"}}, "no column 'amt' to map"),
        ({"columns": {"amount": "kids"}}, "a column 'amount' besides the mapped one"),
        ({"kinds": {"amt": "numeric"}}, "no column 'amt' to take as numeric"),
        ({"kinds": {"amount": "number"}}, "'number' is no kind; choose one of numeric"),
        ({"segments": ["region"]}, "no column 'region' to segment by"),
        ({"preset": "psi"}, "no preset 'psi'; choose one of evidently"),
    ],
)
def test_options_that_name_what_is_not_there_are_refused(
    options: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        hs.compare(BEFORE, AFTER, **options)  # type: ignore[arg-type]


def test_what_needs_rows_refuses_profiles() -> None:
    profile = hs.profile(BEFORE)
    for options, message in (
        ({"preset": "psi-0.2"}, "give files or dataframes"),
        ({"segments": ["shop"]}, "a stored profile has no rows to split"),
        ({"columns": {"a": "b"}}, "a stored profile keeps its names"),
    ):
        with pytest.raises(DataError, match=message):
            hs.compare(BEFORE, profile, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [7, [1, 2, 3], None, pl.Series([1]), pd.Series([1])])
def test_what_is_no_data_is_named(wrong: object) -> None:
    with pytest.raises(DataError, match="reference is of type"):
        hs.compare(wrong, BEFORE)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match="there is no file"):
        hs.compare("nowhere.parquet", BEFORE)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(DataError, match="the columns have 1 to 2 rows"):
        hs.compare({"x": [1], "y": [1, 2]}, BEFORE)


def test_presets_decide_in_our_place() -> None:
    for preset in ("evidently", "nannyml", "psi-0.2", "ks-0.05"):
        found = hs.compare(BEFORE, AFTER, preset=preset)
        assert {"amount", "shop"} <= set(found.drifted), preset
        assert "by the preset" in found["amount"].reason
    assert hs.compare(BEFORE, BEFORE, preset="psi-0.2").drifted == []


def test_a_preset_with_segments_is_refused() -> None:
    with pytest.raises(DataError, match=r"preset psi-0\.2 knows no segments"):
        hs.compare(BEFORE, AFTER, preset="psi-0.2", segments=["shop"])


def test_a_report_prints_what_was_found() -> None:
    found = hs.compare(BEFORE, AFTER)
    assert str(found).splitlines()[1].startswith("amount: drift (")
    assert len(repr(found)) < 200
    wide = {f"c{i}": BEFORE["amount"] for i in range(35)}
    assert str(hs.compare(wide, wide)).endswith("... and 5 more columns")


@pytest.mark.parametrize("rows", [40_000, 300_000])
def test_row_numbers_in_any_order_are_left_out_of_samples_too(tmp_path: Path, rows: int) -> None:
    data = {"number": RNG.permutation(rows), "amount": RNG.normal(50, 10, rows)}
    pq.write_table(pa.table(data), tmp_path / "rows.parquet")
    for side in (data, tmp_path / "rows.parquet"):
        assert [column.name for column in hs.compare(side, side).columns] == ["amount"]


def test_segments_are_compared_and_the_carrier_is_named() -> None:
    region = np.repeat(["n", "s"], 1000)
    quiet = RNG.normal(0, 1, 2000)
    before = pd.DataFrame({"region": region, "x": quiet})
    after = before.assign(x=RNG.normal(0, 1, 2000) + (region == "n"))
    found = hs.compare(before, after, segments=["region"])
    assert found.carriers["x"] == "region=n carries it: without its rows there is no drift"
    assert [part["segment"] for part in found.to_dict()["segments"]] == [  # type: ignore[attr-defined]
        {"region": "n"}, {"region": "s"},
    ]  # fmt: skip
    two = before.assign(kind=np.tile(["a", None], 1000))
    names = {part.name for part in hs.compare(two, two, segments=["region", "kind"]).segments}
    assert names == {f"region={r}, kind={k}" for r in "ns" for k in ("a", "(missing)")}
    many = {"id": np.arange(3000), "x": np.zeros(3000)}
    with pytest.raises(DataError, match="over 1,000 values"):
        hs.compare(many, many, segments=["id"])


def test_streaming_gives_the_same(tmp_path: Path) -> None:
    for name, side in (("before", BEFORE), ("after", AFTER)):
        pq.write_table(pa.table(side), tmp_path / f"{name}.parquet", row_group_size=100)
    paths = [tmp_path / "before.parquet", tmp_path / "after.parquet"]
    read: list[int] = []
    whole, streamed = hs.compare(*paths), hs.compare(*paths, streaming=True, progress=read.append)
    assert json.dumps(streamed.to_dict()) == json.dumps(whole.to_dict())
    assert sum(read) == 2 * N


def test_large_files_are_not_held_in_memory(tmp_path: Path) -> None:
    rows = 260_000
    side = {
        "amount": RNG.normal(size=rows),
        "code": RNG.choice([5411, 5812, 7995], rows),
        "number": np.char.mod("%.1f", RNG.normal(size=rows)),
        "shop": RNG.choice(["a", "b"], rows),
    }
    pq.write_table(pa.table(side), tmp_path / "before.parquet")
    moved = side | {"amount": side["amount"] + 0.1}
    pq.write_table(pa.table(moved), tmp_path / "after.parquet")
    renamed = {("amt" if name == "amount" else name): values for name, values in moved.items()}
    pq.write_table(pa.table(renamed), tmp_path / "renamed.parquet")
    expected = hs.compare(side, moved)
    for name, columns in (("after", {}), ("renamed", {"amount": "amt"})):
        found = hs.compare(
            tmp_path / "before.parquet", tmp_path / f"{name}.parquet", columns=columns
        )
        assert found.drifted == ["amount"]
        assert [c.p_value for c in found.columns] == [c.p_value for c in expected.columns]
    changed = tmp_path / "changed.parquet"
    pq.write_table(pa.table({"amount": pa.array([[1.0]] * 40), "shop": ["a", "b"] * 20}), changed)
    found = hs.compare(tmp_path / "before.parquet", changed, streaming=True)
    assert found["amount"].verdict is hs.Status.ERROR
    assert found["shop"].verdict is hs.Status.OK


class TestBadInput:
    """A clear verdict for that column, and the rest still compared."""

    def test_disjoint_columns(self) -> None:
        found = hs.compare({"a": BEFORE["amount"]}, {"b": BEFORE["amount"]})
        assert found["a"].reason == "absent from the current data"
        assert found["b"].reason == "new: the reference has no such column"
        assert "no column in common" in found.assumptions[-1]
        assert found.drifted == []

    @pytest.mark.parametrize(
        "after",
        [
            ["word"] * N,
            [[1.0]] * N,
            [{"k": 1}] * N,
            [datetime(2024, 1, 1, tzinfo=UTC)] * N,
            [b"x"] * N,
        ],
    )
    def test_changed_types(self, after: list[object]) -> None:
        found = beside(BEFORE["amount"], after)["x"]
        assert found.verdict in {hs.Status.ERROR, hs.Status.DRIFT}
        assert found.findings[0].startswith("its type changed from double to")

    def test_all_null_on_either_side(self) -> None:
        empty = [None] * N
        assert beside(BEFORE["amount"], empty)["x"].verdict is hs.Status.DRIFT
        assert beside(empty, BEFORE["amount"])["x"].verdict is hs.Status.DRIFT
        assert beside(empty, empty)["x"].verdict is hs.Status.NO_DATA
        gone = beside(BEFORE["amount"], [None] * N)["x"]
        assert gone.findings[-1] == "missing values went from 0.00% to 100.00% of rows"

    def test_one_row_and_no_rows(self) -> None:
        assert beside(BEFORE["amount"], [1.5])["x"].verdict is hs.Status.INCONCLUSIVE
        empty = hs.compare(pa.table(BEFORE), pa.table(BEFORE).slice(0, 0))
        assert {column.verdict for column in empty.columns} == {hs.Status.NO_DATA}
        assert hs.compare({}, {}).columns == ()

    def test_objects_of_mixed_types(self) -> None:
        mixed = [1, "two", 3.0, None] * (N // 4)
        for frame in (lambda x: x, pd.DataFrame):
            found = hs.compare(
                frame({"x": mixed, "y": BEFORE["amount"]}),
                frame({"x": mixed, "y": AFTER["amount"]}),
            )
            assert found["x"].verdict is hs.Status.OK
            assert found.drifted == ["y"]
            assert any("x holds values of several types" in said for said in found.assumptions)

    def test_nested_types_are_left_out(self) -> None:
        found = beside([[1, 2]] * N, [[1, 2]] * N)
        assert "x is left out: its values are nested" in found.assumptions[0]
        matrix = hs.compare({"m": np.ones((N, 2))}, {"m": np.ones((N, 2))})
        assert matrix.columns == ()

    def test_time_zones(self) -> None:
        start = datetime(2024, 3, 31, tzinfo=UTC)
        moments = [start + timedelta(minutes=k) for k in range(N)]
        before = pa.array(moments, pa.timestamp("us", "Europe/Rome"))
        after = pa.array(moments, pa.timestamp("ns", "America/New_York"))
        found = beside(before, after)
        assert "a date or time" in found.assumptions[0]
        frame = pd.DataFrame(
            {"x": pd.to_datetime(moments).tz_convert("Asia/Tokyo"), "y": BEFORE["amount"]}
        )
        assert [column.name for column in hs.compare(frame, frame).columns] == ["y"]

    def test_duplicate_columns(self) -> None:
        twice = pd.DataFrame(
            np.c_[BEFORE["amount"], BEFORE["amount"], AFTER["amount"]], columns=["x", "x", "y"]
        )
        once = pd.DataFrame({"x": BEFORE["amount"], "y": BEFORE["amount"]})
        for frame in (twice, pa.table([*twice.to_numpy().T], names=list(twice.columns))):
            found = hs.compare(once, frame)
            assert found["x"].verdict is hs.Status.ERROR
            assert "several columns have this name" in found["x"].reason
            assert found.drifted == ["y"]
        assert hs.profile(twice).assumptions[-1].startswith("x is left out: several columns")

    def test_names_that_are_no_text(self) -> None:
        frame = pd.DataFrame({0: BEFORE["amount"], ("a", 1): BEFORE["shop"]})
        assert [c.name for c in hs.compare(frame, frame).columns] == ["0", "('a', 1)"]

    def test_infinite_values(self) -> None:
        after = np.where(np.arange(N) % 10 == 0, np.inf, BEFORE["amount"])
        found = beside(BEFORE["amount"], after)["x"]
        assert found.findings == ("40 infinite values; the reference has none",)
        assert found.verdict is hs.Status.DRIFT
        assert beside(np.full(N, np.inf), np.full(N, np.inf))["x"].verdict is hs.Status.NO_DATA

    def test_numbers_of_any_size_and_sort(self) -> None:
        huge = np.array([1e308, -1e308] * (N // 2))
        assert beside(huge, huge)["x"].verdict is hs.Status.OK
        decimals = [Decimal("1.10"), Decimal("2.25")] * (N // 2)
        assert beside(decimals, decimals)["x"].verdict is hs.Status.OK
        beyond = [2**70, 1] * (N // 2)
        assert beside(beyond, beyond)["x"].verdict is hs.Status.OK

    def test_an_explosion_of_categories(self) -> None:
        before = RNG.choice(["a", "b"], 20_000)
        after = np.char.add("c", np.arange(20_000).astype(str))
        found = hs.compare({"x": before}, {"x": after}, kinds={"x": "categorical"})["x"]
        assert found.verdict is hs.Status.DRIFT
        assert found.findings == ("100% of rows have categories that the reference lacks",)

    def test_many_columns(self) -> None:
        values = RNG.normal(size=(500, 40))
        side = pa.table({f"c{k}": row for k, row in enumerate(values)})
        found = hs.compare(side, side)
        assert len(found.columns) == 500
        assert found.drifted == []
        assert len(found.to_html()) < 1_000_000


def test_the_notebook_shows_a_fragment_that_stands_alone() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = hs.compare(BEFORE, AFTER)._repr_html_()
    assert "<html" not in shown
    assert "2 of 5 columns drifted: " in shown


def test_the_table_has_a_row_a_column() -> None:
    table = hs.compare(BEFORE, AFTER).table
    assert table.column("name").to_pylist() == list(BEFORE)
    assert {"verdict", "drift_score", "p_value", "psi", "ks", "missing_current"} <= set(
        table.column_names
    )
