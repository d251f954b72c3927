"""Windows of a log, and files, profiled, compared and evaluated by other engines."""

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

import homeostat as hs
from deployed import MONDAY, NOW, deploy, opened
from homeostat.adapters.profilers.dask import dask_engine
from homeostat.domain.errors import ConfigError, DataError, NotFoundError, UserError
from homeostat.domain.evaluation import Evaluation
from homeostat.domain.window import Window
from homeostat.entrypoints.engines import EngineName, profile_log
from homeostat.entrypoints.logged import LogWindow
from homeostat.entrypoints.settings import load
from homeostat.profiles.format import to_bytes

Floats = NDArray[np.float64]
DAY = timedelta(days=1)
ENGINES: list[EngineName] = ["local", "dask"]
SPEC = hs.PredictionSpec(
    "binary",
    label="fraud",
    timestamp="at",
    arrival="came",
    version="model",
    segments=("land",),
    maturity=DAY,
)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deploy(tmp_path_factory.mktemp("deployed"), 120)


@pytest.fixture
def window(config: Path) -> LogWindow:
    start = MONDAY + timedelta(hours=5)
    end = MONDAY + timedelta(days=2, hours=20, minutes=30)
    return LogWindow("fraud", Window(start, end), config=config)


def rows(count: int = 1_500, seed: int = 3) -> pa.Table:
    rng = np.random.default_rng(seed)
    at = [MONDAY + timedelta(minutes=int(m)) for m in rng.integers(0, 4320, count)]
    scores = rng.random(count).round(3)
    labels = [None if hide else word for hide, word in zip(
        rng.random(count) < 0.2, np.where(rng.random(count) < scores, "yes", "no").tolist(),
        strict=True,
    )]  # fmt: skip
    scores[:5] = 7.0
    return pa.table(
        {
            "score": scores,
            "fraud": labels,
            "at": pa.array(at, pa.timestamp("us", "UTC")),
            "came": pa.array([t + timedelta(hours=3) for t in at], pa.timestamp("us", "UTC")),
            "model": rng.choice(["1", "2"], count),
            "land": pa.array(rng.choice(["DE", "FR"], count), mask=rng.random(count) < 0.1),
            "amount": rng.lognormal(size=count),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scored")
    for number in range(3):
        pq.write_table(rows().slice(number * 500, 500), path / f"{number}.parquet")
    return path


def expect_alike(mine: Evaluation, theirs: Evaluation) -> None:
    """Check that all is equal, but for the last digits of sums and how problems are worded."""
    assert (mine.confusion, mine.calibration) == (theirs.confusion, theirs.calibration)
    assert (mine.rows, mine.labelled, mine.as_of, mine.classes) == (
        theirs.rows, theirs.labelled, theirs.as_of, theirs.classes,
    )  # fmt: skip
    for one, other in zip(mine.figures, theirs.figures, strict=True):
        told = (other.metric, other.by, other.part, other.window, other.n, other.coverage)
        assert (one.metric, one.by, one.part, one.window, one.n, one.coverage) == told
        assert one.problem == other.problem
        for value, wanted in ((one.value, other.value), (one.lower, other.lower)):
            assert value == (None if wanted is None else pytest.approx(wanted, rel=1e-10))


def test_a_window_of_a_log_has_the_profile_that_the_log_keeps(window: LogWindow) -> None:
    kept = hs.profile(window)
    assert kept.rows > 300
    assert kept.pairs is not None
    assert to_bytes(hs.profile(window, engine="dask")) == to_bytes(kept)
    old = LogWindow("fraud", window.window, "1", window.config)
    assert to_bytes(profile_log(old, "dask")) == to_bytes(profile_log(old, "local"))
    assert 0 < profile_log(old, "local").rows < kept.rows


@pytest.mark.parametrize("engine", ENGINES)
def test_the_performance_of_a_log_is_that_of_its_labelled_rows(
    window: LogWindow, engine: EngineName
) -> None:
    log, records = opened(load(window.config))
    spec = load(window.config).model().spec()
    as_of = NOW - timedelta(days=7)
    table = log.labelled(spec, window.window, as_of)
    log.close()
    records.close()
    table = table.filter((pc.field("role") != "shadow") & (pc.field("tier") == "model"))
    names = pc.if_else(pc.equal(table["label"], pa.scalar(1.0)), "fraud", "legitimate")
    table = table.append_column("named", names).append_column("by", table["country"])
    told = hs.PredictionSpec(
        "binary", label="named", classes=spec.classes, timestamp="timestamp", arrival="arrival",
        version="version", maturity=DAY,
    )  # fmt: skip
    theirs = hs.evaluate(table, told, window=DAY, as_of=as_of)
    mine = hs.evaluate(window, window=DAY, as_of=as_of, engine=engine)
    lands = {figure.part for figure in mine.select("auc", "country")}
    assert lands == {"country=DE", "country=FR", "country=(missing)"}
    count = len(theirs.figures)
    assert 0 < mine.labelled < mine.rows
    expect_alike(replace(mine, figures=mine.figures[:count]), theirs)
    again = hs.evaluate(window, window=DAY, as_of=as_of, engine="local")
    assert again == mine


@pytest.mark.parametrize("cohort", ["matured", "known"])
def test_files_are_evaluated_as_in_one_place(folder: Path, cohort: str) -> None:
    as_of = MONDAY + timedelta(days=3)
    theirs = hs.evaluate(folder, SPEC, window=DAY, as_of=as_of, cohort=cohort)  # type: ignore[arg-type]
    mine = hs.evaluate(
        folder, SPEC, window=DAY, as_of=as_of, cohort=cohort, engine="dask",  # type: ignore[arg-type]
    )  # fmt: skip
    expect_alike(mine, theirs)
    assert mine.classes == ("no", "yes")
    assert "5 scores are outside 0 to 1: left out" in mine.problems


def test_other_tasks_are_evaluated_as_in_one_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    said, true = rng.choice(["a", "b", "c"], (2, 300))
    table = pa.table({"said": said, "true": true, "x": rng.random(300), "y": rng.random(300)})
    pa_csv.write_csv(table[:150], tmp_path / "1.csv")
    pa_csv.write_csv(table[150:], tmp_path / "2.csv")
    classes = hs.PredictionSpec("multiclass", label="true", score="said")
    expect_alike(hs.evaluate(tmp_path, classes, engine="dask"), hs.evaluate(tmp_path, classes))
    numbers = hs.PredictionSpec("regression", label="y", score="x")
    mine, theirs = (
        hs.evaluate(tmp_path, numbers, metrics=["mae", "rmse", "bias"], engine=engine)
        for engine in ENGINES[::-1]
    )
    expect_alike(mine, theirs)
    assert hs.evaluate(tmp_path, numbers, engine="dask")["r2"].problem.startswith("its interval")


def test_what_needs_all_rows_is_refused(folder: Path) -> None:
    def asked(**options: object) -> hs.PredictionSpec:
        return hs.PredictionSpec(**{"label": "fraud", "timestamp": "at", **options})  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match="repeated ids"):
        hs.evaluate(folder, asked(prediction_id="land"), engine="dask")
    with pytest.raises(ConfigError, match="weighted rows"):
        hs.evaluate(folder, asked(weight="amount"), engine="dask")
    with pytest.raises(ConfigError, match="windows of so many rows"):
        hs.evaluate(folder, asked(), window=100, engine="dask")
    with pytest.raises(ConfigError, match="give as_of"):
        hs.evaluate(folder, asked(maturity=DAY), engine="dask")
    with pytest.raises(ConfigError, match="needs the rows themselves"):
        hs.evaluate(folder, asked(), cohort="weighted", engine="dask")
    many = hs.PredictionSpec("multiclass", label="amount", score="land")
    with pytest.raises(DataError, match="has over 1000 classes"):
        hs.evaluate(folder, many, engine="dask")
    with pytest.raises(DataError, match="dask reads files"):
        hs.evaluate({"score": [0.5], "label": [1]}, hs.PredictionSpec(), engine="dask")
    with pytest.raises(DataError, match="no column 'nothing'"):
        hs.evaluate(folder, hs.PredictionSpec(label="nothing"), engine="dask")
    with pytest.raises(ConfigError, match="spec is None"):
        hs.evaluate(folder)
    with pytest.raises(ConfigError, match="quantile is 2"):
        hs.evaluate(folder, asked(), quantile=2.0, engine="dask")


def test_files_compare_by_profiles_of_another_engine(folder: Path, tmp_path: Path) -> None:
    moved = rows(seed=8).set_column(6, "amount", pa.array(rows(seed=9)["amount"].to_numpy() * 3))
    pq.write_table(moved, tmp_path / "now.parquet")
    mine = hs.compare(folder, tmp_path / "now.parquet", engine="dask")
    theirs = hs.compare(
        hs.profile(folder, engine="dask"), hs.profile(tmp_path / "now.parquet", engine="dask")
    )
    assert mine.drifted == ["amount"]
    assert mine.to_dict() == theirs.to_dict()
    assert to_bytes(mine.reference) == to_bytes(hs.profile(folder))
    assert any(sentence.startswith("at ") for sentence in mine.assumptions), mine.assumptions
    kept = tmp_path / "kept.profile"
    hs.profile(folder).save(kept)
    assert hs.compare(kept, tmp_path / "now.parquet", engine="dask").drifted == ["amount"]


def test_windows_of_a_log_are_compared(window: LogWindow) -> None:
    first = LogWindow("fraud", Window(MONDAY, MONDAY + DAY), config=window.config)
    later = LogWindow("fraud", Window(MONDAY + DAY, MONDAY + 2 * DAY), config=window.config)
    mine, theirs = (hs.compare(first, later, engine=engine) for engine in ENGINES)
    assert mine.to_dict() == theirs.to_dict()
    assert mine.n_reference > mine.n_current > 0


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_dask_runs_in_threads_and_processes(
    folder: Path, scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = str(Path(hs.__file__).parents[1])
    monkeypatch.setenv("PYTHONPATH", source)
    kinds = {"amount": hs.ColumnKind.NUMERIC}
    from homeostat.entrypoints.engines import profile_files

    found = profile_files(dask_engine(scheduler), str(folder), kinds)
    assert to_bytes(found) == to_bytes(hs.profile(pa.table({"amount": rows()["amount"]})))


def test_engines_that_cannot_be_had_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="no engine 'abacus'"):
        hs.profile(folder, engine="abacus")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="dask reads files"):
        hs.profile({"x": [1.0]}, engine="dask")
    wanted: list[tuple[EngineName, str]] = [("dask", r"'homeostat\[dask\]'"), ("ray", "ray")]
    for name, remedy in wanted:
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(UserError, match=f"pip install {remedy}"):
            hs.profile(folder, engine=name)


def test_values_are_read_as_in_one_place_and_columns_that_cannot_be_are_told(
    tmp_path: Path,
) -> None:
    pq.write_table(pa.table({"x": ["1", "2"], "y": [[1], [2]]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": ["3", "many"], "y": [[1], [2]]}), tmp_path / "b.parquet")
    kinds = {"x": "numeric", "y": "ignore"}
    mine, theirs = (hs.profile(tmp_path, kinds=kinds, engine=engine) for engine in ENGINES)
    assert to_bytes(mine) == to_bytes(theirs)
    assert mine.columns["x"].missing == 1
    with pytest.raises(DataError, match="column 'y' as numeric"):
        hs.profile(tmp_path, kinds={"x": "ignore", "y": "numeric"}, engine="dask")


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("log:a@b@2026-10-05", "2026-10-05T00:00", "2026-10-06T00:00"),
        ("log:m@2026-10-05/2026-11-01", "2026-10-05T00:00", "2026-11-01T00:00"),
        ("log:m@2026-10-05T06:30/2026-10-05T08:00+02:00", "", ""),
        ("log:m@2026-10-05T04:30/2026-10-05T08:00+02:00", "2026-10-05T04:30", "2026-10-05T06:00"),
    ],
)
def test_addresses_of_windows(text: str, start: str, end: str) -> None:
    if not start:
        with pytest.raises(DataError, match="ends before it starts"):
            LogWindow.parse(text)
        return
    assert str(LogWindow.parse(text).window) == f"{start}/{end}"


@pytest.mark.parametrize("text", ["log:", "log:m", "log:m@", "log:m@today", "log:m@1/2/3"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(DataError, match="write log:MODEL@2026-10-01/2026-11-01"):
        hs.profile(text)


def test_logs_that_are_not_there(tmp_path: Path, config: Path) -> None:
    with pytest.raises(UserError):
        hs.profile(LogWindow.parse("log:fraud@2026-10-05", tmp_path / "none.yaml"))
    other = tmp_path / "homeostat.yaml"
    other.write_text(config.read_text())
    with pytest.raises(NotFoundError, match="nothing is recorded"):
        hs.profile(LogWindow.parse("log:fraud@2026-10-05", other))
    with pytest.raises(ConfigError, match="give no spec"):
        hs.evaluate(LogWindow.parse("log:fraud@2026-10-05", config), SPEC)
    with pytest.raises(ConfigError, match="windows of so many rows"):
        hs.evaluate(LogWindow.parse("log:fraud@2026-10-05", config), window=100)
    empty = hs.evaluate(LogWindow.parse("log:fraud@2020-10-05", config))
    assert (empty.rows, empty["auc"].value) == (0, None)


MODEL = """\
models:
  - name: {task}
    task: {task}
    {classes}
    features: {{amount: numeric, land: categorical}}
    segments: [land]
    labels: {{maturity: 1d}}
"""


def answers(said: Floats, rng: np.random.Generator) -> pa.Table:
    count = said.size
    at = [MONDAY + timedelta(minutes=3 * row) for row in range(count)]
    return pa.table(
        {
            "prediction_id": [f"p{row}" for row in range(count)],
            "timestamp": pa.array(at, pa.timestamp("us", "UTC")),
            "version": ["1"] * count,
            "role": ["champion"] * count,
            "tier": ["model"] * count,
            **dict.fromkeys(("reason", "entity"), [""] * count),
            "score": said,
            "prediction": said,
            "latency_ms": [1.0] * count,
            "amount": rng.normal(size=count),
            "land": ["DE", "FR", None] * (count // 3),
        }
    )


@pytest.mark.parametrize(
    ("task", "classes"), [("multiclass", "classes: [a, b, c]"), ("regression", "")]
)
def test_logs_of_other_tasks_are_evaluated(tmp_path: Path, task: str, classes: str) -> None:
    config = tmp_path / "homeostat.yaml"
    config.write_text(MODEL.format(task=task, classes=classes))
    settings = load(config)
    spec = settings.model().spec()
    log, records = opened(settings)
    rng = np.random.default_rng(4)
    count = 300
    chances = rng.dirichlet(np.ones(3), count)
    said = chances.argmax(axis=1) * 1.0 if classes else rng.normal(size=count)
    true = np.array([rng.choice(3, p=row) for row in chances]) if classes else said + 1.0
    table = answers(said, rng)
    if classes:
        lists = [None if row % 50 == 0 else list(chances[row]) for row in range(count)]
        table = table.append_column("probabilities", pa.array(lists, pa.list_(pa.float64())))
    log.append(spec, table)
    arrival = pc.add(table["timestamp"], pa.scalar(timedelta(hours=1), pa.duration("us")))
    ids = table["prediction_id"]
    labels = pa.table({"prediction_id": ids, "label": true * 1.0, "arrival": arrival})
    log.append_labels(spec, labels)
    log.roll(NOW)
    log.close()
    records.close()
    window = LogWindow(task, Window(MONDAY, MONDAY + DAY), config=config)
    mine, spread = (hs.evaluate(window, as_of=NOW, engine=engine) for engine in ENGINES)
    assert mine == spread
    plain = pa.table({"y": true * 1.0, "s": said})
    if classes:
        names = np.array(["a", "b", "c"])
        shown = {name: chances[:, place] for place, name in enumerate("abc")}
        kept = np.arange(count) % 50 != 0
        plain = pa.table({**shown, "y": names[true]}).filter(pa.array(kept))
        asked = hs.PredictionSpec(task, label="y", score=dict(zip("abc", "abc", strict=True)))
    else:
        asked = hs.PredictionSpec(task, label="y", score="s")
    theirs = hs.evaluate(plain, asked)
    assert mine.confusion == theirs.confusion
    for figure in theirs.figures:
        told = mine[figure.metric]
        if not told.problem.startswith("its interval"):
            assert told.value == pytest.approx(figure.value, rel=1e-10)
            assert told.n == figure.n
    assert {figure.part for figure in mine.select(by="land")} == {
        "land=DE", "land=FR", "land=(missing)",
    }  # fmt: skip


def test_a_column_with_too_many_values_is_no_segment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homeostat.adapters.profilers.performance.MOST_CELLS", 20)
    spec = hs.PredictionSpec(label="fraud", segments=("amount",))
    with pytest.raises(DataError, match="amount has over 20 values"):
        hs.evaluate(folder, spec, engine="dask")
