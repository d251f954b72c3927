from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.domain.errors import DataError, NotFoundError
from homeostat.entrypoints.files import to_microseconds
from homeostat.entrypoints.history import read_history
from homeostat.entrypoints.settings import load

START = datetime(2024, 1, 1, tzinfo=UTC)
CONFIG = """\
models:
  - name: m
    task: {task}
    features: {{amount: numeric, country: categorical}}
    labels: {{maturity: 1d}}
    {more}
"""


def read(folder: Path, more: str = "", task: str = "binary", **columns: Any) -> pa.Table:
    """Write two columns of two rows, or what is given instead, and read them."""
    (folder / "homeostat.yaml").write_text(CONFIG.format(task=task, more=more))
    base = {
        "timestamp": [START + timedelta(hours=1), START],
        "amount": [1.5, None],
        "country": ["PT", "DE"],
        "label": [1, 0],
    }
    table = pa.table({k: v for k, v in {**base, **columns}.items() if v is not None})
    pq.write_table(table, folder / "history.parquet")
    return read_history(load(folder / "homeostat.yaml"), "m", folder / "history.parquet")


def test_rows_come_by_time_with_ids_and_arrivals(tmp_path: Path) -> None:
    found = read(tmp_path).to_pylist()
    assert [row["prediction_id"] for row in found] == ["row-1", "row-0"]
    assert [row["label"] for row in found] == [0.0, 1.0]
    assert [row["arrival"] for row in found] == [START, START + timedelta(hours=1)]
    assert found[0]["amount"] is None


def test_names_of_the_configuration_are_used(tmp_path: Path) -> None:
    more = """history: {id: key, timestamp: at, label: truth, label_timestamp: known, where: used}
    entity: card"""
    zone = timezone(timedelta(hours=2))
    found = read(
        tmp_path,
        more,
        timestamp=None,
        label=None,
        key=[7, 8],
        at=pa.array([datetime(2024, 1, 1), datetime(2024, 1, 2)], pa.timestamp("s")),
        truth=[True, False],
        known=[datetime(2024, 2, 1, 2, tzinfo=zone), None],
        used=[True, True],
        card=["a", None],
    ).to_pylist()
    assert [row["prediction_id"] for row in found] == ["7", "8"]
    assert found[0]["timestamp"] == START, "times without a zone are UTC"
    assert [row["arrival"] for row in found] == [datetime(2024, 2, 1, tzinfo=UTC), None]
    assert [row["entity"] for row in found] == ["a", None]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([1.0, 0.0], [0.0, 1.0]),
        (["yes", "no"], [0.0, 1.0]),
        (pa.array(["yes", "no"]).dictionary_encode(), [0.0, 1.0]),
        ([True, False], [0.0, 1.0]),
    ],
)
def test_labels_are_places_in_the_list_of_classes(
    tmp_path: Path, labels: Any, found: list[float]
) -> None:
    rows = read(tmp_path, "classes: ['no', 'yes']", label=labels)
    assert rows["label"].to_pylist() == found


@pytest.mark.parametrize("labels", [[float("nan"), 2.5], [None, 2.5], [None, "2.5"]])
def test_an_absent_label_is_unknown_and_a_regression_takes_any_number(
    tmp_path: Path, labels: Any
) -> None:
    assert read(tmp_path, task="regression", label=labels)["label"].to_pylist() == [2.5, None]


def test_no_label_at_all_is_left_to_those_who_need_them(tmp_path: Path) -> None:
    unknown = pa.nulls(2, pa.float64())
    assert read(tmp_path, label=unknown)["label"].to_pylist() == [None, None]


BAD = {
    "no-time-column": ({"timestamp": None}, "has no column 'timestamp'; set history.timestamp"),
    "no-label-column": ({"label": None}, "has no column 'label'; set history.label"),
    "no-feature": ({"amount": None}, "has no column 'amount'; name it under history or features"),
    "wrong-type": ({"amount": ["12", "x"]}, "column 'amount' cannot be read as double"),
    "no-time": ({"timestamp": [START, None]}, "column 'timestamp' has 1 rows without a time"),
    "text-time": ({"timestamp": ["soon", "now"]}, "column 'timestamp' cannot be read as timestamp"),
    "id-twice": ({"prediction_id": ["a", "a"]}, "'prediction_id' holds 'a' more than once"),
    "no-id": ({"prediction_id": ["a", None]}, "'prediction_id' has rows without an id"),
    "one-class": ({"label": [0, 0]}, "column 'label' holds the class no only"),
    "other-class": ({"label": [0, 2]}, "column 'label' holds 2; a label is one of the classes"),
    "half-class": ({"label": [0, 0.5]}, "column 'label' holds 0.5; a label is one of"),
    "other-name": ({"label": ["no", "maybe"]}, "holds other values than the classes no, yes"),
    "infinite": ({"label": [0, float("inf")]}, "column 'label' holds infinite values"),
}


@pytest.mark.parametrize(("columns", "said"), BAD.values(), ids=BAD)
def test_what_cannot_be_used_is_named(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, "classes: ['no', 'yes']", **columns)
    assert said in str(caught.value)
    assert "history.parquet" in str(caught.value)


def test_nothing_left(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows are left where used is true"):
        read(tmp_path, "history: {where: used}", used=[False, False])
    with pytest.raises(DataError, match="has no column 'used'"):
        read(tmp_path, "history: {where: used}")
    pq.write_table(pa.table({"timestamp": pa.array([], pa.int64())}), tmp_path / "none.parquet")
    settings = load(tmp_path / "homeostat.yaml")
    with pytest.raises(DataError, match="has no rows"):
        read_history(settings, "m", tmp_path / "none.parquet")
    with pytest.raises(NotFoundError):
        read_history(settings, "m", tmp_path / "absent.parquet")


def test_nanoseconds_as_pandas_writes_them_are_cut() -> None:
    kind = pa.timestamp("ns", "UTC")
    table = pa.table({"at": pa.array([1_700_000_000_123_456_789], kind), "n": [1]})
    cut = to_microseconds(table)
    assert cut["at"].cast(pa.int64()).to_pylist() == [1_700_000_000_123_456]
    assert cut["n"].to_pylist() == [1]
