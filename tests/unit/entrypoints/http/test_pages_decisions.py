"""The decision log on its page: search and paging, without script."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from e2e.history import HOSTILE, NOW
from e2e.site import Reader, Site
from homeostat.domain.decision import Decision
from homeostat.entrypoints.http.pages_decisions import PER_PAGE


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path, filled=False)
    old, new = NOW - timedelta(days=40), NOW - timedelta(days=2)
    with made.records.begin() as unit:
        unit.decide(
            Decision("fraud", old, "ana", "roll_back", "v7", "Old is better"),
            Decision("demand", new, "homeostat", "fire", "demand:drift:1", f"because {HOSTILE}"),
            Decision("fraud", new, "homeostat", "promote", "v8", "better"),
        )
    return made


def subjects(site: Site, query: str) -> list[str]:
    page = Reader(site.get(f"/decisions?{query}").text)
    return [word for word in page.words if word in {"v7", "v8", "demand:drift:1"}]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["v8", "demand:drift:1", "v7"]),
        ("model=fraud", ["v8", "v7"]),
        ("text=OLD", ["v7"]),
        ("text=demand", ["demand:drift:1"]),
        ("actor=An", ["v7"]),
        ("action=roll+back", ["v7"]),
        ("action=roll_back", ["v7"]),
        ("action=roll", []),
        ("days=30", ["v8", "demand:drift:1"]),
        ("days=30&until=2024-03-20", ["v7"]),
        ("text=better&days=7&model=fraud", ["v8"]),
        ("page=2", []),
    ],
    ids=str,
)
def test_decisions_are_searched(site: Site, query: str, found: list[str]) -> None:
    assert subjects(site, query) == found


@pytest.mark.parametrize(
    ("query", "status"),
    [("page=0", 400), ("page=x", 400), ("page=9999", 400), ("model=gone", 404), ("days=x", 400)],
    ids=str,
)
def test_what_cannot_be_searched_is_said(site: Site, query: str, status: int) -> None:
    assert site.get(f"/decisions?{query}").status_code == status


def test_the_log_is_paged_and_links_keep_what_is_asked(site: Site) -> None:
    many = [
        Decision("fraud", NOW, "homeostat", "restate", f"w{number}", "late")
        for number in range(PER_PAGE + 20)
    ]
    with site.records.begin() as unit:
        unit.decide(*many)
    first = Reader(site.get("/decisions?model=fraud&text=late").text)
    links = [attrs["href"] for tag, attrs in first.tags if attrs.get("rel") == "next"]
    assert links == ["/decisions?model=fraud&text=late&page=2"]
    second = Reader(site.get(links[0]).text)
    assert "w0" in second.words
    assert "w119" not in second.words
    assert [attrs["href"] for tag, attrs in second.tags if attrs.get("rel") == "prev"]
    assert "Older" not in second.words
    plain = Reader(site.get("/decisions?page=2").text)
    assert "v7" in plain.words


def test_hostile_words_stay_text(site: Site) -> None:
    answer = site.get(f"/decisions?text={quote(HOSTILE[:200])}")
    assert "<script>document.title" not in answer.text
    assert subjects(site, f"text={quote(HOSTILE[:60])}") == ["demand:drift:1"]
    assert "No decision fits" in site.get("/decisions?text=nothing+at+all").text
