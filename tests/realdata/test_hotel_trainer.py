import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from homeostat.adapters.models import load_predictor
from homeostat.adapters.trainers.child import load_function
from homeostat.domain.errors import DataError
from homeostat.domain.record import TIMESTAMP
from homeostat.entrypoints.settings import load

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "hotel"
MODEL = load(FOLDER / "homeostat.yaml").models[0]
SPEC = MODEL.spec()
pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def bookings() -> pa.Table:
    data = Path(os.environ.get("HOMEOSTAT_DATA", ROOT.parent / "shared" / "data"))
    rows = pq.read_table(data / "hotel_resort_dev.parquet")
    for name in ("timestamp", "label_timestamp"):
        rows = rows.set_column(rows.column_names.index(name), name, rows[name].cast(TIMESTAMP))
    return rows.filter(rows[MODEL.history.where])


def day(year: int, month: int, number: int = 1) -> pa.Scalar:
    return pa.scalar(datetime(year, month, number, tzinfo=UTC), TIMESTAMP)


def made(rows: pa.Table, since: pa.Scalar, until: pa.Scalar) -> pa.Table:
    made_at = rows["timestamp"]
    return rows.filter(pc.and_(pc.greater_equal(made_at, since), pc.less(made_at, until)))


def known(rows: pa.Table, at: pa.Scalar) -> pa.Table:
    return rows.filter(pc.less_equal(rows["label_timestamp"], at))


def scores(train_on: pa.Table, rows: pa.Table, out: Path) -> np.ndarray:
    load_function(f"{FOLDER / 'train.py'}:train")(train_on, SPEC, out)
    return load_predictor(out, "lightgbm").predict(rows)


def auc(rows: pa.Table, score: np.ndarray) -> float:
    return float(roc_auc_score(rows["label"].to_numpy(), score))


def test_features_are_what_is_known_at_booking(bookings: pa.Table) -> None:
    names = bookings.column_names
    first, last = names.index("lead_time"), names.index("total_of_special_requests")
    assert list(SPEC.schema.names) == names[first : last + 1]


def test_maturity_covers_the_label_delay(bookings: pa.Table) -> None:
    age = pc.subtract(bookings["label_timestamp"], bookings["timestamp"])
    late = pc.mean(
        pc.greater(age.cast(pa.int64()), SPEC.labels.maturity // timedelta(microseconds=1))
    )
    assert late.as_py() < 0.001


def test_first_model_falls_in_january_2016(bookings: pa.Table, tmp_path: Path) -> None:
    cut = day(2015, 12)
    first = known(made(bookings, day(2015, 1), cut), cut)
    december = made(bookings, cut, day(2016, 1))
    january = made(bookings, day(2016, 1), day(2016, 2))
    good = auc(december, scores(first, december, tmp_path))
    bad = auc(january, scores(first, january, tmp_path))
    assert good > 0.80
    assert bad < good - 0.05


def test_early_labels_overstate_cancellations_and_matured_ones_do_not(
    bookings: pa.Table, tmp_path: Path
) -> None:
    now, quarter = day(2016, 6), day(2016, 3)
    june = made(bookings, now, day(2016, 7))
    truth = pc.mean(june["label"].cast(pa.float64())).as_py()
    recent = scores(known(made(bookings, quarter, now), now), june, tmp_path / "naive")
    old_enough = made(bookings, day(2015, 1), day(2016, 1, 23))
    matured = scores(known(old_enough, now), june, tmp_path / "matured")
    assert recent.mean() > truth + 0.1
    assert matured.mean() == pytest.approx(truth, abs=0.06)
    label = june["label"].to_numpy()
    assert np.mean((matured - label) ** 2) < np.mean((recent - label) ** 2) - 0.03


def test_one_class_is_refused(bookings: pa.Table, tmp_path: Path) -> None:
    kept = bookings.filter(pc.equal(bookings["label"], 0))
    with pytest.raises(DataError, match="one class"):
        scores(kept, kept, tmp_path)
