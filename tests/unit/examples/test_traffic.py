import doctest
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import traffic
from traffic import FEATURES, MATURITY, Traffic, World

from homeostat.domain.record import LABEL_SCHEMA, feature_schema
from homeostat.domain.window import Window
from homeostat.entrypoints.settings import load

START = datetime(2024, 3, 4, tzinfo=UTC)
pytestmark = pytest.mark.unwatched  # the example is its own; of ours, little runs here

DAY = timedelta(days=1)
SETTINGS = Path(__file__).parents[3] / "examples" / "fraud" / "homeostat.yaml"


def span(days: float, start: datetime = START) -> Window:
    return Window(start, start + days * DAY)


@pytest.fixture(scope="module")
def month() -> pa.Table:
    return Traffic(7, START).payments(span(28))


def cuts(reference: pa.Table, name: str) -> np.ndarray | None:
    """Inner borders of tenths; None for a column of categories."""
    if not pa.types.is_floating(reference[name].type):
        return None
    return np.unique(np.quantile(reference[name].to_numpy(), np.linspace(0.1, 0.9, 9)))


def shares(table: pa.Table, name: str, borders: np.ndarray | None) -> np.ndarray:
    column = table[name]
    if borders is None:
        counted = column.value_counts().to_pylist()
        counts = np.array([c["counts"] for c in sorted(counted, key=lambda c: str(c["values"]))])
    else:
        counts = np.bincount(borders.searchsorted(column.to_numpy(), "right"), minlength=10)
    return np.clip(counts / counts.sum(), 1e-4, None)


def psi(reference: np.ndarray, current: np.ndarray) -> float:
    return float(np.sum((reference - current) * np.log(reference / current)))


def test_rows_are_what_the_configured_model_takes() -> None:
    rows, labels = Traffic(7, START).batch(span(0.1))
    spec = load(SETTINGS).specs[0]
    assert spec.schema.names == FEATURES
    assert spec.entity == "customer"
    for field in feature_schema(spec):
        assert rows.schema.field(field.name).type == field.type, field.name
    assert labels.schema.equals(LABEL_SCHEMA)


def test_rows_keep_the_constraints_of_the_configuration(month: pa.Table) -> None:
    for column in load(SETTINGS).specs[0].schema.columns:
        values = month[column.name]
        assert values.null_count == 0
        if column.minimum is not None:
            assert pc.min(values).as_py() >= column.minimum
        if column.maximum is not None:
            assert pc.max(values).as_py() <= column.maximum
        if column.categories is not None:
            assert set(values.unique().to_pylist()) == set(column.categories)


@pytest.mark.parametrize("world", [World(), World(new_pattern=0.03), World(cents=True)])
@pytest.mark.parametrize("minutes", [7, 30, 240])
def test_cutting_windows_differently_changes_nothing(world: World, minutes: int) -> None:
    start = START + timedelta(hours=20)
    whole = Traffic(7, START).batch(Window(start, start + timedelta(minutes=1680)), world=world)
    step, stepped = timedelta(minutes=minutes), Traffic(7, START)
    pieces = [Window(start + k * step, start + (k + 1) * step) for k in range(1680 // minutes)]
    parts = [stepped.batch(cut, world=world) for cut in pieces]
    assert pa.concat_tables([rows for rows, _ in parts]).equals(whole[0])
    labels = pa.concat_tables([labels for _, labels in parts])
    by_time = [("arrival", "ascending"), ("prediction_id", "ascending")]
    assert labels.sort_by(by_time).equals(whole[1])


def test_switches_leave_other_payments_alone() -> None:
    quiet = Traffic(7, START).payments(span(1))
    busy = Traffic(7, START).payments(span(1), World(new_pattern=0.05))
    known = busy.filter(pc.not_equal(busy["pattern"], "wallet_takeover"))
    assert known.equals(quiet)
    assert 0.04 < 1 - known.num_rows / busy.num_rows < 0.06


def test_seeds_differ() -> None:
    one, other = (Traffic(seed, START).payments(span(1)) for seed in (1, 2))
    assert not one["amount"].equals(other["amount"])


def test_volume_has_weekdays_paydays_and_hours(month: pa.Table) -> None:
    days = month["timestamp"].cast(pa.int64()).to_numpy() // 86_400_000_000
    volume = np.bincount(days - days.min())
    assert 9_000 < volume.mean() < 11_500
    sunday, saturday = volume[6::7].mean(), volume[5::7].mean()
    assert saturday > 1.2 * sunday
    friday_15th, other_fridays = volume[11], volume[[4, 18, 25]].mean()
    assert friday_15th > 1.2 * other_fridays
    hours = np.bincount(month["hour"].to_numpy().astype(int))
    assert hours[3] < hours[12] / 5


def test_fraud_is_rare_but_not_too_rare(month: pa.Table) -> None:
    assert 0.03 < pc.mean(month["label"]).as_py() < 0.04
    assert pc.all(
        pc.equal(pc.equal(month["label"], 1.0), pc.not_equal(month["pattern"], ""))
    ).as_py()


def test_ids_are_unique_and_rows_in_time_order() -> None:
    rows, _ = Traffic(7, START).batch(span(3), world=World(new_pattern=0.03))
    assert len(rows["prediction_id"].unique()) == rows.num_rows
    stamps = rows["timestamp"].cast(pa.int64()).to_numpy()
    assert (np.diff(stamps) >= 0).all()


def delays(table: pa.Table) -> np.ndarray:
    return (
        table["arrival"].cast(pa.int64()).to_numpy()
        - table["timestamp"].cast(pa.int64()).to_numpy()
    ) / 86_400e6


def test_labels_arrive_as_documented(month: pa.Table) -> None:
    age, fraud = delays(month), month["label"].to_numpy() == 1
    audited = month["audited"].to_numpy()
    chargebacks = age[fraud & ~audited]
    assert np.median(chargebacks) == pytest.approx(4, rel=0.05)
    assert np.mean(chargebacks <= 10) == pytest.approx(0.99, abs=0.005)
    assert (age[~fraud & ~audited] == 10).all()
    assert np.mean(age[audited] <= 90 / 86_400) == pytest.approx(0.95, abs=0.005)


def test_three_in_ten_are_audited_and_independent_of_the_outcome(month: pa.Table) -> None:
    audited, fraud = month["audited"].to_numpy(), month["label"].to_numpy() == 1
    assert audited.mean() == pytest.approx(0.3, abs=0.003)
    error = 5 * np.sqrt(0.3 * 0.7 / fraud.sum())
    assert audited[fraud].mean() == pytest.approx(audited[~fraud].mean(), abs=error)


def test_late_chargebacks_correct_a_settlement() -> None:
    rows, labels = Traffic(7, START).batch(span(3))
    counts = labels.group_by("prediction_id").aggregate([("label", "count")])
    corrected = set(
        counts.filter(pc.greater(counts["label_count"], 1))["prediction_id"].to_pylist()
    )
    assert corrected
    assert labels.num_rows == rows.num_rows + len(corrected)
    made = dict(zip(rows["prediction_id"].to_pylist(), rows["timestamp"].to_pylist(), strict=True))
    for key in corrected:
        events = labels.filter(pc.equal(labels["prediction_id"], key)).to_pylist()
        assert [event["label"] for event in events] == [0.0, 1.0]
        assert events[0]["arrival"] == made[key] + MATURITY < events[1]["arrival"]


def test_cents_touch_amount_and_ratio_only() -> None:
    right, _ = Traffic(7, START).batch(span(0.5))
    wrong, labels = Traffic(7, START).batch(span(0.5), world=World(cents=True))
    assert labels.num_rows >= wrong.num_rows
    changed = {name for name in right.column_names if not right[name].equals(wrong[name])}
    assert changed == {"amount", "amount_ratio"}
    for name in changed:
        ratio = wrong[name].to_numpy() / right[name].to_numpy()
        assert ratio == pytest.approx(np.full(len(ratio), 100.0))


def test_nothing_drifts_by_itself_nor_under_the_new_pattern() -> None:
    source = Traffic(7, START)
    reference = source.history(28)
    cases = {
        "quiet": [source.payments(span(1, START + day * DAY)) for day in range(7)],
        "new pattern": [
            source.payments(span(1, START + day * DAY), World(new_pattern=0.03)) for day in range(7)
        ],
        "a year later": [source.payments(span(7, START + 365 * DAY))],
    }
    for name in FEATURES:
        borders = cuts(reference, name)
        expected = shares(reference, name, borders)
        for case, tables in cases.items():
            for day, table in enumerate(tables):
                assert psi(expected, shares(table, name, borders)) < 0.05, (case, day, name)


def test_history_ends_where_live_traffic_starts() -> None:
    history = Traffic(7, START).history(2)
    assert history.column_names[-2:] == ["label", "arrival"]
    assert history["timestamp"][0].as_py() >= START - 2 * DAY
    assert history["timestamp"][-1].as_py() < START
    again = Traffic(7, START - 2 * DAY).batch(Window(START - 2 * DAY, START))[0]
    assert again.equals(history.select(again.column_names))


def test_recent_payments_count_across_midnight() -> None:
    table = Traffic(7, START).payments(span(2))
    place = pc.utf8_slice_codeunits(table["customer"], 0, 6).to_numpy()
    stamps = table["timestamp"].cast(pa.int64()).to_numpy()
    first = int(stamps.searchsorted(stamps[0] + 86_400_000_000))
    for k in range(first, first + 100):
        earlier = (place[:k] == place[k]) & (stamps[:k] >= stamps[k] - 86_400_000_000)
        expected = int(earlier.sum())
        assert table["payments_last_24h"][k].as_py() == expected


def test_a_day_takes_little_time() -> None:
    source = Traffic(7, START)
    begin = time.process_time()
    source.batch(span(5))
    assert (time.process_time() - begin) / 6 < 1.0


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="share"):
        World(new_pattern=1.0)
    with pytest.raises(ValueError, match="time zone"):
        Traffic(1, datetime(2024, 1, 1))


def test_docstrings() -> None:
    assert doctest.testmod(traffic).failed == 0
