import re
from html.parser import HTMLParser

import numpy as np

from homeostat.domain.comparison import ColumnComparison, Comparison, SegmentComparison
from homeostat.domain.model import ColumnKind
from homeostat.domain.verdict import Status
from homeostat.profiles.build import profile_numbers
from homeostat.profiles.profile import EMPTY, ColumnProfile, Profile
from homeostat.reports.comparison import render_comparison, summarise

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "\u202eabc",
    "a'b&c",
]
RNG = np.random.default_rng(2)


class Reader(HTMLParser):
    """Collects the tags and the text of a page; raises on what is left open."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.open
    return reader


def column(name: str, kind: ColumnKind | None, verdict: Status = Status.DRIFT) -> ColumnComparison:
    quality = {"findings": (f"{name} is odd",)}
    return ColumnComparison(name, kind, verdict, 2.0, 0.001, {}, quality, f"{name} moved")


def page(names: list[str], *, fragment: bool = False) -> str:
    numbers = profile_numbers(RNG.lognormal(3, 2, 3000))
    texts = ColumnProfile(ColumnKind.CATEGORICAL, 5, values=dict.fromkeys(names, 1))
    columns = {name: (numbers, texts)[place % 2] for place, name in enumerate(names)}
    judged = tuple(column(name, columns[name].kind) for name in names)
    segment = SegmentComparison({names[0]: names[1]}, Comparison(judged, 5, 5))
    comparison = Comparison(
        judged, 5, 5, assumptions=tuple(names), segments=(segment,),
        carriers={name: name for name in names},
    )  # fmt: skip
    profile = Profile(5, columns)
    return render_comparison(comparison, profile, profile, names[0], fragment=fragment)


def test_hostile_names_and_values_are_text() -> None:
    found = page(HOSTILE)
    reader = read(found)
    assert not {"script", "img", "iframe", "link", "object"} & set(reader.tags)
    shown = "".join(reader.text)
    assert all(text in shown for text in HOSTILE)
    assert "49" not in re.findall(r"\b49\b", shown)


def test_the_page_asks_nothing_of_the_network() -> None:
    found = page(HOSTILE)
    assert "default-src 'none'" in found
    assert not re.search(r"(?:src|href)\s*=|url\(|@import|https?://", found.replace("src=x", ""))


def test_a_fragment_is_a_part_of_a_page() -> None:
    tags = read(page(HOSTILE, fragment=True)).tags
    assert {"html", "body", "head", "meta"}.isdisjoint(tags)
    assert tags.count("svg") >= 5


def test_many_columns_stay_a_small_page() -> None:
    found = page([f"column number {k}" for k in range(1200)])
    assert len(found) < 1_000_000
    assert "200 further columns" in found
    assert "1160 further drifted columns are not drawn" in found
    thirty_five = page([f"c{k}" for k in range(35)])
    assert len(thirty_five) < 300_000


def test_rows_and_reasons_are_shown() -> None:
    calm = Comparison((column("x", None, Status.NO_DATA),), 12_345, 0)
    shown = "".join(read(render_comparison(calm, EMPTY, EMPTY, "t")).text)
    assert "12,345 rows" in shown
    assert "x moved" in shown
    assert "What drifted" not in shown


def test_the_outcome_is_a_sentence() -> None:
    def of(*verdicts: Status) -> str:
        found = tuple(
            ColumnComparison(f"c{k}", None, verdict, 1.0, 1.0, {}, {}, "")
            for k, verdict in enumerate(verdicts)
        )
        return summarise(Comparison(found, 1, 1))

    assert of(Status.OK) == "The one column did not drift."
    assert of(Status.OK, Status.OK, Status.NO_DATA) == "None of 2 columns drifted."
    assert of(*[Status.OK] * 9, Status.DRIFT) == "1 of 10 columns drifted: c9."
    assert of(*[Status.DRIFT] * 7).startswith(
        "7 of 7 columns drifted: c0, c1, c2, c3, c4 and 2 more."
    )
    assert of(Status.DRIFT).endswith("That is enough to call it a drift of the data set.")
    assert summarise(Comparison((column("x", None, Status.OK),), 1, 1)).endswith(
        "1 finding on data quality."
    )
