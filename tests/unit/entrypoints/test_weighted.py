"""Figures of young windows: early labels weighted for those still to come."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

import homeostat as hs
from homeostat.domain.errors import ConfigError, DataError

START, DAYS = np.datetime64("2024-01-01"), 100
NOW = datetime(2024, 4, 10)
SPEC = hs.PredictionSpec(timestamp="at", arrival="came", maturity=timedelta(days=20))


def world(seed: int, n: int = 6000) -> dict[str, np.ndarray]:
    """Return rows whose positive labels come sooner than the others."""
    rng = np.random.default_rng(seed)
    at = START + (np.arange(n) * (DAYS * 86_400 / n)).astype("timedelta64[s]")
    score = rng.beta(1.0, 3.0, n)
    truth = (rng.random(n) < score).astype(float)
    days = np.minimum(rng.exponential(np.where(truth == 1.0, 3.0, 8.0)), 19.9)
    came = at + (days * 86_400).astype("timedelta64[s]")
    label = np.where(came <= np.datetime64(NOW), truth, np.nan)
    return {"at": at, "score": score, "truth": truth, "came": came, "label": label}


def seen(rows: dict[str, np.ndarray]) -> pa.Table:
    return pa.table({name: rows[name] for name in ("at", "score", "came", "label")})


@pytest.mark.statistical
@pytest.mark.unwatched
def test_figures_of_young_windows_are_unbiased_and_covered() -> None:
    names = ("accuracy", "brier", "positive_rate")
    off: dict[tuple[str, str], list[float]] = {}
    hits: list[bool] = []
    for seed in range(16):
        rows = world(seed)
        for cohort in ("weighted", "known"):
            found = hs.evaluate(
                seen(rows), SPEC, metrics=names, as_of=NOW, window=timedelta(days=10),
                cohort=cohort,  # type: ignore[arg-type]
            )  # fmt: skip
            part = found.select(by="window")[-2 * len(names)].window
            assert part is not None
            start, end = (np.datetime64(t.replace(tzinfo=None)) for t in (part.start, part.end))
            here = (rows["at"] >= start) & (rows["at"] < end)
            truth = hs.evaluate(
                {"score": rows["score"][here], "label": rows["truth"][here]},
                hs.PredictionSpec(), metrics=names,
            )  # fmt: skip
            for figure in found.select(by="window"):
                if figure.window == part:
                    final = truth[figure.metric].value
                    assert figure.value is not None
                    assert figure.lower is not None
                    assert figure.upper is not None
                    assert final is not None
                    off.setdefault((figure.metric, cohort), []).append(figure.value - final)
                    if cohort == "weighted":
                        hits.append(figure.lower <= final <= figure.upper)
    for name in names:
        weighted, known = np.array(off[name, "weighted"]), np.array(off[name, "known"])
        assert abs(weighted.mean()) < 3.5 * weighted.std() / 4.0
        assert abs(weighted.mean()) < 0.1 * abs(known.mean())
    assert np.mean(hits) >= 0.95


def test_figures_say_what_they_rest_on() -> None:
    rows = world(1)
    found = hs.evaluate(seen(rows), SPEC, as_of=NOW, cohort="weighted", window=timedelta(days=10))
    assert found.cohort == "weighted"
    assert found.rows == 6000
    whole, old = found["accuracy"], found.select("accuracy", "window")[0]
    assert whole.cohort == "weighted"
    assert whole.coverage == pytest.approx(np.mean(~np.isnan(rows["label"])))
    assert 0.8 * whole.n < whole.effective < whole.n
    assert old.coverage == 1.0
    assert old.effective == pytest.approx(old.n)
    assert "as good as" in str(whole)
    column = found.table.column("effective").to_pylist()
    assert column[0] == whole.effective
    assert [f.by for f in found.figures][-1] == "window"
    plain = hs.evaluate(seen(rows), SPEC, as_of=NOW, cohort="weighted", metrics=["auc"])
    assert len(plain.figures) == 1
    assert plain["auc"].value == pytest.approx(hs.evaluate(
        seen(rows), SPEC, as_of=NOW, cohort="weighted")["auc"].value)  # fmt: skip


def test_what_cannot_be_told_yet_says_so() -> None:
    rows = world(2, 1500)
    found = hs.evaluate(seen(rows), SPEC, as_of=NOW, cohort="weighted", window=timedelta(days=1))
    newest = found.select("accuracy", "window")[-1]
    assert newest.value is None
    assert newest.problem.startswith("not yet identifiable")
    oldest = found.select("positive_rate", "window")[0]
    assert oldest.problem == "15 labelled rows, 30 are needed"
    first = {name: values[:100] for name, values in rows.items()}
    young = hs.evaluate(seen(first), SPEC, as_of=datetime(2024, 1, 8), cohort="weighted")
    assert young["auc"].value is None
    assert young["auc"].problem.startswith("not yet identifiable")


def test_labels_that_never_come_do_not_shrink_old_windows() -> None:
    rows = world(3)
    rows["label"][::3] = np.nan
    weight = np.full(6000, 2.0)
    table = seen(rows).append_column("weight", pa.array(weight))
    found = hs.evaluate(
        table, replace(SPEC, weight="weight"), cohort="weighted", window=1000, as_of=NOW
    )
    known = hs.evaluate(table, SPEC, cohort="known", window=1000, as_of=NOW)
    old, same = (one.select("auc", "window")[0] for one in (found, known))
    assert old.value == pytest.approx(same.value)
    assert np.sum(found.confusion) == pytest.approx(2.0 * 6000, rel=0.01)


def test_without_a_time_given_it_is_the_latest_in_the_data() -> None:
    rows = world(4)
    told = hs.evaluate(seen(rows), SPEC, cohort="weighted")
    assert told.as_of is not None
    known = rows["came"][~np.isnan(rows["label"])]
    latest = max(known.max(), rows["at"].max())
    assert told.as_of.replace(tzinfo=None) == latest.astype(datetime)


@pytest.mark.parametrize(
    ("spec", "options", "error", "message"),
    [
        (SPEC, {"cohort": "young"}, ConfigError, "choose from matured, weighted, known"),
        (replace(SPEC, maturity=None), {"cohort": "weighted"}, ConfigError, "when labels are comp"),
        (replace(SPEC, arrival="gone"), {"cohort": "weighted"}, DataError, "no column 'gone'"),
    ],
    ids=["cohort", "no maturity", "no arrivals"],
)
def test_a_wrong_option_is_named(
    spec: hs.PredictionSpec, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        hs.evaluate(seen(world(5, 60)), spec, **options)  # type: ignore[arg-type]
