"""The report of a backtest: alarms, policies by month, what they gain and cost, and advice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from homeostat.domain.decision import Decision
from homeostat.entrypoints.backtest import ALONE, HOMEOSTAT, Result
from homeostat.entrypoints.backtest_alarms import Alarms
from homeostat.entrypoints.backtest_figures import months as by_calendar
from homeostat.entrypoints.replay_advice import Proposal
from homeostat.reports.charts import DEPLOYS
from homeostat.reports.plot import NAN, Axis, Dot, Line, Marks, Plot, Scale
from homeostat.reports.sheet import Part, Section, Sheet, listing
from homeostat.reports.wording import number, span, when

HIGHER = frozenset({"auc", "accuracy"})
LOWER = frozenset({"brier", "mae", "rmse"})
MOST_LINES = 12
QUIET = frozenset({"hold", "submit", "ready_to_promote"})
NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True, slots=True)
class Prices:
    """What one label and one retraining cost, in any unit; None: that is not known."""

    label: float | None = None
    retraining: float | None = None


def backtest_sheet(
    result: Result,
    found: Alarms,
    prices: Prices,
    generated: datetime,
    advice: Proposal | None = None,
    notes: Sequence[str] = (),
) -> Sheet:
    """Return the report of a backtest; see `homeostat.reports.sheet.to_html`.

    Parameters
    ----------
    result : Result
    found : Alarms
    prices : Prices
    generated : datetime
    advice : Proposal, optional
        Settings for a budget of pages.
    notes : sequence of str
        What is peculiar about the history.
    """
    sections = [_alarms(result, found), _policies(result, found), _gains(result, prices)]
    if advice is not None:
        sections.append(_advice(advice))
    sections.append(_decisions(result))
    lead = (
        (
            f"{result.answered.num_rows:,} predictions in {span(result.span.length)}; "
            "a label was known only once it had arrived"
        ),
        *notes,
    )
    part = Part(result.model, tuple(sections), lead, verdict=in_short(found))
    title = f"Backtest of {result.model}"
    return Sheet("backtest", title, result.span, generated, (part,))


def in_short(found: Alarms) -> str:
    """Return in a line what the alarms came to.

    Examples
    --------
    >>> in_short(Alarms(()))
    '0 alarms; precision, recall and delay are not known: no incidents were given'
    """
    count = len(found.episodes)
    told = f"{count} alarm{'' if count == 1 else 's'}"
    if found.score is None:
        return f"{told}; precision, recall and delay are not known: no incidents were given"
    delay = found.score.delay
    return (
        f"{told}; precision {share(found.precision)}, recall {share(found.recall)}, "
        f"median delay {'not known' if delay is None else span(delay)}"
    )


def share(value: float | None) -> str:
    """Return a share in percent.

    Examples
    --------
    >>> share(0.5), share(None)
    ('50 %', 'not known')
    """
    return "not known" if value is None else f"{value:.0%}".replace("%", " %")


def alarm_rows(result: Result, found: Alarms) -> Iterator[tuple[str, ...]]:
    """Yield a row an alarm: fired, for, rule, severity, truth, delay, why."""
    for each in found.episodes:
        delay = found.delay(each)
        truth = "not known"
        if found.score is not None:
            truth = "false" if each in found.score.false else "true"
        yield (
            when(each.began),
            span(each.length(result.end)) + ("" if each.ended else " so far"),
            each.rule,
            each.severity.value,
            truth,
            "-" if delay is None else span(delay),
            each.reason,
        )


ALARM_TITLES = ("fired", "for", "rule", "severity", "truth", "delay", "why")
INCIDENT_TITLES = ("start", "end", "kind", "told by", "delay")


def incident_rows(found: Alarms) -> list[tuple[str, ...]]:
    """Return a row a known incident: start, end, kind, told by, delay; by time."""
    score = found.score
    if score is None:
        return []
    rows = [(d.trouble, d.episode.rule, span(d.delay)) for d in score.found]
    rows += [(trouble, "missed", "-") for trouble in score.missed]
    rows += [(trouble, "outside of what was lived through", "-") for trouble in score.outside]
    rows.sort(key=lambda row: (row[0].start, row[0].kind))
    return [(when(t.start), when(t.end), t.kind or "any", by, late) for t, by, late in rows]


def _alarms(result: Result, found: Alarms) -> Section:
    tables = [listing("Alarms", ALARM_TITLES, list(alarm_rows(result, found)), "None fired")]
    if found.score is not None:
        tables.append(
            listing("Known incidents", INCIDENT_TITLES, incident_rows(found), "None is known")
        )
    return Section("Timeline of alarms", (), (_timeline(result, found),), tuple(tables))


def _timeline(result: Result, found: Alarms) -> Plot:
    """Draw when each rule fired; with the truth, the known incidents on a line of their own."""
    rows = {rule: place for place, rule in enumerate(dict.fromkeys(e.rule for e in found.episodes))}
    marks: list[Marks] = []
    for rule, place in rows.items():
        spells = [(e.began, e.ended or result.end) for e in found.episodes if e.rule == rule]
        marks.append(Marks(rule, _level(spells, float(place))))
    if found.score is not None:
        known = [each.trouble for each in found.score.found] + list(found.score.missed)
        spells = [(t.start, t.end) for t in sorted(known, key=lambda t: t.start)]
        marks.append(Marks("known incidents", _level(spells, float(len(rows)))))
    events = (d for d in result.decisions if d.action in DEPLOYS and d.at > result.start)
    lines = [Line(f"{d.action.replace('_', ' ')} {d.subject}", x=d.at) for d in events]
    return Plot(
        "What fired, and when",
        Axis("UTC", Scale.TIME),
        Axis("rule, by number", low=-0.5, high=len(marks) - 0.5),
        tuple(marks),
        tuple(lines[:MOST_LINES]),
        note="a line is as long as the alarm fired",
        empty="Nothing fired",
    )


def _level(spells: Sequence[tuple[datetime, datetime]], place: float) -> tuple[Dot, ...]:
    dots: list[Dot] = []
    for start, end in spells:
        dots += [Dot(start, place), Dot(end, place), Dot(end, NAN)]
    return tuple(dots)


def _policies(result: Result, found: Alarms) -> Section:
    months = result.months[:-1]
    if not months:
        return Section("By month and policy", ("No row has a label.",))
    spans = by_calendar(result.start, result.end)
    middles = {f"{each.start:%Y-%m}": each.start + each.length / 2 for each in spans}
    fired = tuple(Line(e.rule, x=e.began) for e in found.episodes[:MOST_LINES])
    pictures, tables = [], []
    for metric in result.months[-1].figures[ALONE]:
        name = metric.replace("_", " ")
        marks = tuple(
            Marks(
                policy,
                tuple(
                    Dot(middles[month.month], month.figures[policy][metric], n=month.rows)
                    for month in months
                ),
            )
            for policy in result.scores
        )
        pictures.append(
            Plot(f"{name} by month", Axis("UTC", Scale.TIME), Axis(name), marks, fired,
                 note="upright lines are alarms")
        )  # fmt: skip
        rows = [
            (month.month, f"{month.rows:,}", number(month.mean_label),
             *(number(month.figures[policy][metric]) for policy in result.scores))
            for month in result.months
        ]  # fmt: skip
        header = ("month", "rows", "mean label", *result.scores)
        tables.append(listing(f"{name} by month", header, rows, "No row has a label"))
    return Section("By month and policy", (), tuple(pictures), tuple(tables))


def gain(metric: str, policy: Mapping[str, float], alone: Mapping[str, float]) -> float:
    """Return by how much a policy is better than the first model left alone; NaN: no direction.

    Examples
    --------
    >>> gain("brier", {"brier": 0.125}, {"brier": 0.25}), gain("auc", {"auc": 0.75}, {"auc": 0.5})
    (0.125, 0.25)
    """
    if metric not in HIGHER | LOWER:
        return NAN
    better, worse = (policy, alone) if metric in HIGHER else (alone, policy)
    return better[metric] - worse[metric]


def _gains(result: Result, prices: Prices) -> Section:
    whole = result.months[-1].figures if result.months else {}
    metrics = [m for m in whole.get(ALONE, {}) if m in HIGHER | LOWER]
    rows = [
        (
            policy,
            *(number(gain(metric, whole[policy], whole[ALONE])) for metric in metrics),
            *cost_cells(result, policy, prices),
        )
        for policy in whole
    ]
    header = ("policy", *(f"better in {m}" for m in metrics), "retrainings", "labels", "cost")
    words: tuple[str, ...] = ()
    if prices.label is None and prices.retraining is None:
        words = ("What a label and a retraining cost was not given, so that costs are not known.",)
    if HOMEOSTAT not in whole:
        words = (*words, ("The model is served elsewhere: nothing is retrained, and nobody answers "
                 "in its place."))  # fmt: skip
    note = "beside the first model left alone; more is better; labels are those of the rows"
    table = listing("Policies", header, rows, "No row has a label: nothing can be compared", note)
    return Section("What each policy would have gained and cost", words, (), (table,))


def costs(result: Result, policy: str, prices: Prices) -> tuple[int, int, float | None]:
    """Return how often a policy trains, how many labels it needs, and what both cost together."""
    runs = result.retrainings.get(policy, 0)
    # The first model left alone learns from no label of the time that is lived through.
    labels = 0 if policy == ALONE or not result.months else result.months[-1].rows
    parts = [(prices.label, labels), (prices.retraining, runs)]
    known = [price * count for price, count in parts if price is not None]
    missing = any(price is None and count for price, count in parts)
    return runs, labels, None if missing or not known else sum(known)


def cost_cells(result: Result, policy: str, prices: Prices) -> tuple[str, str, str]:
    """Return `costs` in words."""
    runs, labels, cost = costs(result, policy, prices)
    return str(runs), f"{labels:,}", "not known" if cost is None else number(cost)


def _advice(advice: Proposal) -> Section:
    words = (
        (
            f"The budget is {advice.budget:g} pages a week; with all that is proposed it is "
            f"{advice.after}."
        ),
        *advice.warnings,
    )
    table = listing("Settings that keep within it", advice.titles, list(advice.rows()), "No rule")
    lines = [(_indented(line),) for line in advice.snippet.splitlines()]
    file = listing("Lines for homeostat.yaml", ("line",), lines, "Nothing is to be changed")
    return Section("Thresholds and windows for a budget of alarms", words, (), (table, file))


def _indented(line: str) -> str:
    text = line.lstrip(" ")
    return NO_BREAK * (len(line) - len(text)) + text


def told(decisions: Sequence[Decision]) -> list[Decision]:
    """Leave out decisions to go on waiting."""
    return [decision for decision in decisions if decision.action not in QUIET]


def _decisions(result: Result) -> Section:
    rows = [(when(d.at), d.action, d.subject, d.reason) for d in told(result.decisions)]
    table = listing("Decisions", ("when", "decision", "about", "why"), rows, "Nothing was decided")
    return Section("Everything that was decided", (), (), (table,))
