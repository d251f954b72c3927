"""Pages on drift, without script: the heat map, and a feature's distributions and evidence."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from e2e.history import HOSTILE, NOW, verdict
from e2e.site import FRAUD, Reader, Site
from homeostat.domain.errors import StorageError
from homeostat.domain.model import Column, ColumnKind
from homeostat.domain.record import prediction_schema
from homeostat.domain.verdict import Monitor, Status
from homeostat.domain.window import Window
from homeostat.profiles.build import profile_table
from homeostat.profiles.profile import Profile

DAY = timedelta(days=1)
HOUR = "/features/fraud?column=hour"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def words(site: Site, path: str) -> str:
    return " ".join(" ".join(Reader(site.get(path).text).words).split())


def refer(site: Site, table: dict[str, list[float] | list[str]], kind: ColumnKind) -> None:
    profile = profile_table(pa.table(table), dict.fromkeys(table, kind))
    window = Window(NOW - 60 * DAY, NOW - 59 * DAY)
    site.records.save_reference("fraud", "v2", [(window, profile)])


def answer(site: Site, column: str, values: NDArray[np.generic]) -> None:
    spec = site.specs["fraud"]
    schema = prediction_schema(spec)
    same = {"timestamp": NOW - DAY, "version": "v2", "role": "champion", "tier": "model"}
    rows: dict[str, list[object]] = {
        **{name: [value] * values.size for name, value in same.items()},
        "prediction_id": [f"p{k}" for k in range(values.size)],
        "score": [0.5] * values.size,
        "prediction": [1.0] * values.size,
        column: values.tolist(),
    }
    absent: list[object] = [None] * values.size
    columns = {field.name: rows.get(field.name, absent) for field in schema}
    receipt = site.log.append(spec, pa.table(columns, schema))
    assert receipt.accepted == values.size, receipt


def test_the_map_has_the_features_that_drifted_most_first(site: Site) -> None:
    page = Reader(site.get("/drift/fraud").text)
    links = [
        attrs["href"] for tag, attrs in page.tags if tag == "a" and "/features/" in attrs["href"]
    ]
    assert links[0].startswith("/features/fraud?column=hour&days=30")
    assert quote(HOSTILE) in links[1]
    assert page.words.count("▲") == 9
    told = [attrs["title"] for tag, attrs in page.tags if tag == "td" and "title" in attrs]
    assert "drift, 2.4 times the threshold" in told
    assert "no data" in told


def test_the_map_keeps_its_range_and_finds_features(site: Site) -> None:
    text = site.get("/drift/fraud?days=7&until=2024-03-20&find=HOU").text
    assert "days=90&amp;until=2024-03-20T00%3A00%3A00%2B00%3A00&amp;find=HOU" in text
    assert "column=hour" in text
    assert "column=amount" not in text
    assert "No feature with this name" in words(site, "/drift/fraud?find=nothing")
    assert "No drift was judged" in words(site, "/drift/fresh")
    assert site.get("/drift/gone").status_code == 404


def test_long_times_are_drawn_in_few_stretches(site: Site) -> None:
    page = Reader(site.get("/drift/fraud?days=400").text)
    heads = [tag for tag, attrs in page.tags if tag == "th" and attrs.get("scope") == "col"]
    assert len(heads) < 45
    assert "▲" in page.words


def test_segments_count_for_their_feature(site: Site) -> None:
    window = Window(NOW - DAY, NOW)
    odd = verdict(
        "fraud", Monitor.DATA_DRIFT, window, subject="amount [country=FR]", status=Status.DRIFT
    )
    with site.records.begin() as unit:
        unit.judge(odd, replace(odd, subject="gone"), replace(odd, subject=""))
    told = words(site, "/features/fraud?column=amount")
    assert "country=FR" in told
    assert "gone" in words(site, "/drift/fraud")
    assert site.get("/features/fraud?column=gone").status_code == 200


def test_a_feature_tells_effect_evidence_and_thresholds(site: Site) -> None:
    told = words(site, HOUR)
    for text in ("changed", "hour moved by 3", "cares from 0.1 (2.4 times)", "180 is enough"):
        assert text in told
    assert "no reference" in told
    assert "was not judged" in words(site, f"{HOUR}&days=1&until=2023-01-01")


def test_the_score_has_a_page(site: Site) -> None:
    window = Window(NOW - DAY, NOW)
    moved = verdict("fraud", Monitor.PREDICTION_DRIFT, window, reason="scores rose")
    with site.records.begin() as unit:
        unit.judge(moved, replace(moved, subject="score"))
    assert "scores rose" in words(site, "/features/fraud?column=score")


def test_numbers_are_drawn_over_each_other(site: Site) -> None:
    rng = np.random.default_rng(1)
    refer(site, {"hour": rng.normal(10, 2, 500).tolist()}, ColumnKind.NUMERIC)
    assert "No values of it were logged" in words(site, HOUR)
    answer(site, "hour", rng.normal(14, 2, 400))
    page = Reader(site.get(HOUR).text)
    assert {"polygon", "polyline"} <= {tag for tag, _ in page.tags}
    told = " ".join(" ".join(page.words).split())
    assert "reference, 500 values" in told
    assert "now, 400 values" in told
    assert "Quantiles over time" in told


def test_categories_are_drawn_as_bars_and_personal_ones_are_not(site: Site) -> None:
    spec = site.specs["fraud"]
    country = Column("country", ColumnKind.CATEGORICAL)
    columns = tuple(country if c.name == "country" else c for c in spec.schema.columns)
    site.specs["fraud"] = replace(spec, schema=replace(spec.schema, columns=columns))
    refer(site, {"country": [1.0, 2.0]}, ColumnKind.NUMERIC)
    answer(site, "country", np.array([HOSTILE, "FR", "FR"], dtype=object))
    path = "/features/fraud?column=country"
    assert "kind has changed" in words(site, path)
    refer(site, {"country": [HOSTILE, "DE"]}, ColumnKind.CATEGORICAL)
    text = site.get(path).text
    assert "66.7 %" in text
    assert "<script>document.title" not in text
    secret = tuple(replace(c, personal=True) for c in columns)
    site.specs["fraud"] = replace(spec, schema=replace(spec.schema, columns=secret))
    assert "is personal" in words(site, path)


def test_a_log_that_cannot_be_read_leaves_the_verdicts(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> Profile:
        raise StorageError("the prediction log cannot be read: disk I/O error")

    monkeypatch.setattr(site.log, "profile", broken)
    told = words(site, HOUR)
    assert "disk I/O error" in told
    assert "hour moved by 3" in told


def test_hostile_features_stay_text(site: Site) -> None:
    for path in ("/drift/fraud", f"/features/fraud?column={quote(HOSTILE)}"):
        answer_ = site.get(path)
        assert answer_.status_code == 200
        assert "<script>document.title" not in answer_.text
        assert not [a for _, a in Reader(answer_.text).tags if "style" in a]
    assert site.get(f"/features/fraud?column={quote('<b>')}").status_code == 404
    assert "/drift/fraud" in site.get(FRAUD).text
    part = site.get("/drift/fraud", **{"HX-Request": "true"}).text
    assert part.lstrip().startswith('<div id="live"')
