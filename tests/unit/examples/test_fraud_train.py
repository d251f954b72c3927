from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import roc_auc_score
from traffic import Traffic, World

from homeostat.adapters.models import load_predictor
from homeostat.adapters.trainers.child import load_function
from homeostat.domain.errors import DataError
from homeostat.domain.expression import column_types, parse
from homeostat.domain.window import Window
from homeostat.entrypoints.settings import load

pytestmark = pytest.mark.unwatched  # the example is its own; of ours, little runs here

FOLDER = Path(__file__).parents[3] / "examples" / "fraud"
SETTINGS = load(FOLDER / "homeostat.yaml")
SPEC = SETTINGS.specs[0]
START = datetime(2024, 3, 4, tzinfo=UTC)
DAY = timedelta(days=1)
NEW = World(new_pattern=0.03)

Score = Callable[[pa.Table], np.ndarray]


def fitted(rows: pa.Table, out: Path, function: str = "train") -> Score:
    load_function(f"{FOLDER / 'train.py'}:{function}")(rows, SPEC, out)
    return load_predictor(out, "lightgbm").predict


def brier(score: Score, rows: pa.Table) -> float:
    return float(np.mean((score(rows) - rows["label"].to_numpy()) ** 2))


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return Traffic(11, START)


@pytest.fixture(scope="module")
def first(traffic: Traffic, tmp_path_factory: pytest.TempPathFactory) -> Score:
    return fitted(traffic.history(28), tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module")
def quiet(traffic: Traffic) -> pa.Table:
    return traffic.payments(Window(START, START + 4 * DAY))


def test_first_model_is_good_and_calibrated(first: Score, quiet: pa.Table) -> None:
    scores, labels = first(quiet), quiet["label"].to_numpy()
    assert roc_auc_score(labels, scores) > 0.93
    assert brier(first, quiet) < 0.012
    assert scores.mean() == pytest.approx(labels.mean(), rel=0.15)
    confident = scores > 0.5
    assert labels[confident].mean() == pytest.approx(scores[confident].mean(), abs=0.06)


def test_audited_rows_tell_the_same_story(first: Score, quiet: pa.Table) -> None:
    audited = quiet.filter(quiet["audited"])
    assert brier(first, audited) == pytest.approx(brier(first, quiet), abs=0.003)


def test_new_pattern_hurts_and_retraining_on_few_days_of_it_heals(
    traffic: Traffic, first: Score, tmp_path: Path
) -> None:
    change = START + 14 * DAY
    later = traffic.payments(Window(change + 5 * DAY, change + 8 * DAY), NEW)
    before = traffic.payments(Window(change - 25 * DAY, change)).drop_columns("pattern")
    since = traffic.payments(Window(change, change + 3 * DAY), NEW).drop_columns("pattern")
    healed = fitted(pa.concat_tables([before, since]), tmp_path)
    new = later.filter(pc.equal(later["pattern"], "wallet_takeover"))
    assert first(new).mean() < 0.05
    assert brier(first, later) > 0.035
    assert brier(healed, later) < 0.020
    assert healed(new).mean() > 0.5


def test_cents_ruin_the_scores(traffic: Traffic, first: Score, quiet: pa.Table) -> None:
    wrong = traffic.payments(Window(START, START + 4 * DAY), World(cents=True))
    assert brier(first, wrong) > 2 * brier(first, quiet)


def test_bad_model_flags_about_half(traffic: Traffic, quiet: pa.Table, tmp_path: Path) -> None:
    bad = fitted(traffic.history(28), tmp_path, "bad_model")
    assert 0.35 < np.mean(bad(quiet) >= 0.5) < 0.65
    assert brier(bad, quiet) > 0.2


def test_same_rows_give_the_same_model(traffic: Traffic, tmp_path: Path) -> None:
    rows = traffic.history(3)
    shuffled = rows.take(np.random.default_rng(1).permutation(rows.num_rows))
    fitted(rows, tmp_path / "a")
    fitted(shuffled, tmp_path / "b")
    for name in ("model.txt", "meta.json"):
        assert (tmp_path / "a" / name).read_text() == (tmp_path / "b" / name).read_text()


def test_long_histories_are_thinned(traffic: Traffic, tmp_path: Path) -> None:
    train = load_function(f"{FOLDER / 'train.py'}:train")
    metrics = train(traffic.history(28), SPEC, tmp_path)
    assert 100_000 < metrics["rows"] <= 144_000
    assert 0.02 < metrics["fraud_share"] < 0.05
    assert metrics["brier"] < 0.015


def test_one_class_is_refused(quiet: pa.Table, tmp_path: Path) -> None:
    honest = quiet.filter(pc.equal(quiet["label"], 0.0))
    with pytest.raises(DataError, match="one class"):
        fitted(honest, tmp_path)


def test_fallback_rules_are_calibrated_and_do_without_the_amount(quiet: pa.Table) -> None:
    tiers = SETTINGS.models[0].fallback
    rest = quiet
    for rule in tiers[0].rules or ():
        when = parse(rule.when, column_types(SPEC.schema))
        assert not when.columns & {"amount", "amount_ratio"}
        hit = when.matches(rest)
        fraud = pc.mean(rest.filter(pa.array(hit))["label"]).as_py()
        assert rule.score == pytest.approx(fraud, abs=0.2), rule.when
        rest = rest.filter(pa.array(~hit))
    default = tiers[-1].default
    assert default is not None
    assert default.score == pytest.approx(pc.mean(rest["label"]).as_py(), abs=0.005)
