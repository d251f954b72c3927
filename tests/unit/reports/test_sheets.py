import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from homeostat.domain.window import Window
from homeostat.reports.card import card, drift_report
from homeostat.reports.facts import Facts
from homeostat.reports.monthly import monthly
from homeostat.reports.sheet import LARGEST, Sheet, to_html, to_json, to_markdown, together
from homeostat.reports.weekly import weekly
from unit.reports.told import DAY, END, bare, decision, rich

MAKERS: dict[str, Callable[[Facts], Sheet]] = {
    "weekly": weekly,
    "monthly": monthly,
    "drift": drift_report,
    "card": card,
}
MONTH = Window(END - 30 * DAY, END)


class Reader(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def facts(kind: str) -> Facts:
    return rich(MONTH if kind == "monthly" else rich().window)


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("empty", [False, True], ids=["rich", "empty"])
def test_a_file_runs_nothing_asks_for_nothing_and_shows_names_as_text(
    kind: str, empty: bool
) -> None:
    made = MAKERS[kind](bare() if empty else facts(kind))
    text = to_html(made)
    read = Reader(text)
    assert not {tag for tag, _ in read.tags} & {"script", "link", "img", "iframe", "object", "use"}
    for _, attrs in read.tags:
        assert not {name for name in attrs if name in {"src", "xlink:href"} or name[:2] == "on"}
        assert (attrs.get("href") or "#").startswith("#")
    assert re.search(r"url\(|@import", text) is None
    assert len(text.encode()) < LARGEST
    assert "nan" not in re.sub("[^ 0-9a-z.%(>]", "", text.lower()).split()
    if not empty:
        assert "<script>" in "".join(read.words)
        assert "svg" in {tag for tag, _ in read.tags}


@pytest.mark.parametrize("kind", MAKERS)
def test_markdown_and_json_say_the_same_tables(kind: str) -> None:
    made = MAKERS[kind](facts(kind))
    said, told = to_markdown(made), json.loads(to_json(made))
    titles = [section.title for part in made.parts for section in part.sections]
    assert [each["title"] for each in told["models"][0]["sections"]] == titles
    assert all(f"### {title}" in said for title in titles)
    assert "<script>" not in said
    assert "NaN" not in to_json(made).decode()
    charts = [chart for each in told["models"][0]["sections"] for chart in each["charts"]]
    assert all(chart["$schema"].startswith("https://vega.github.io/") for chart in charts)
    assert "Missing: profiles of the prediction log" in said


def test_several_models_are_one_file_with_a_way_to_each() -> None:
    one, two = weekly(rich()), weekly(bare())
    both = together([one, two], "Weekly report of 2 models")
    text = to_html(both)
    assert 'href="#m2"' in text
    assert 'id="m2"' in text
    assert both.headline == "2 models: 1 warning, 1 unknown"
    assert one.headline.startswith("fraud: At its end: needs a look. ")
    assert card(bare()).headline == "fraud: binary model, 4 features."
    silent = replace(card(bare()).parts[0], lead=())
    assert replace(card(bare()), parts=(silent,)).headline == "fraud"
    with pytest.raises(ValueError, match="no report"):
        together([], "none")


def test_a_file_that_would_be_too_large_leaves_charts_out_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("homeostat.reports.sheet.LARGEST", 200_000)
    many = together([weekly(rich())] * 4, "Weekly report of many models")
    text = to_html(many)
    assert len(text.encode()) <= 200_000
    assert "Charts are left out" in text
    assert "<svg" in text


def test_what_is_left_out_of_a_table_is_counted() -> None:
    busy = replace(rich(), decisions=tuple(decision(1, "promote", f"v{k}") for k in range(80)))
    assert "20 further rows are left out" in to_html(weekly(busy))


def test_a_week_without_anything_says_why() -> None:
    said = to_markdown(weekly(bare()))
    for words in (
        "No predictions were judged in this week",
        "No window has complete labels yet: they count as complete after 2 days",
        "Nothing was estimated in this time",
        "No drift was judged in this time",
        "No business figures are configured",
        "None fired",
        "Homeostat did nothing to this model by itself",
        "Nobody did anything by hand",
    ):
        assert words in said, words


def test_a_month_without_anything_says_why() -> None:
    said = to_markdown(monthly(replace(bare(), window=MONTH)))
    for words in (
        "No importances are measured",
        "Not known: no metric is known both now and from before the champion served",
        "Alarms: 0; 0 true",
        "There is no version yet",
        "No predictions were judged in this month",
    ):
        assert words in said, words


def test_a_card_tells_lineage_and_asks_what_only_its_owner_knows() -> None:
    said = to_markdown(card(rich()))
    assert re.search(r"\| v2 \| .*\n\| v1 \|", said), "the parent comes after the version"
    assert "Whom do wrong predictions harm" in said
    assert "personal, hash" in said
    assert "| amount | numeric | from 0 | yes |" in said
    assert "| rows new to the champion, before it served | auc | 0.93 |" in said
    other = to_markdown(card(rich(), "v1"))
    assert "not the champion" in other
    assert "trained elsewhere" in other
    missing = to_markdown(card(rich(), "v9"))
    assert "There is no card of version v9" in missing
    assert "There is no version yet" in to_markdown(card(bare()))


def test_the_lead_names_what_moved() -> None:
    lead = weekly(rich()).parts[0].lead
    assert lead[0] == "28,000 predictions, answered by v2."
    assert re.fullmatch(r"auc 0\.8\d* \(.*\) up to 2024-03-09 00:00 UTC: worse\.", lead[1])
    assert lead[2] == "1 of 4 columns drifted: amount."
    assert lead[3] == "Incidents: 2 fired, 1 open."
    several = replace(
        rich(),
        answered=(),
        champion="",
        points=(),
        verdicts=tuple(
            replace(v, subject=f"c{k}") for v in rich().verdicts[:1] for k in range(5)
        ) + rich().verdicts[-1:],
    )  # fmt: skip
    lead = weekly(several).parts[0].lead
    assert lead[0] == "700 predictions, answered by no version."
    assert lead[1] == "5 of 5 columns drifted: c0, c1, c2 and 2 more."
