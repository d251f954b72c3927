from dataclasses import replace

import pytest

from homeostat.domain.decision import Cause, Diagnosis
from homeostat.domain.verdict import AlarmBudget, Monitor, Status
from homeostat.reports.actions import cost, gain, trainings
from homeostat.reports.advice import Advice, recommend, retraining
from homeostat.reports.alarms import Judgement, review, thresholds
from homeostat.reports.facts import Business, Facts
from homeostat.reports.monthly import shifts
from homeostat.reports.parts import (
    arrivals,
    business,
    interval,
    judged,
    moved,
    performance,
    standing,
)
from homeostat.reports.weekly import weekly
from unit.reports.told import DAY, END, bare, decision, incident, point, rich, verdict

KEY = "fraud:data_drift:1"


def diagnosed(cause: Cause, *, retrain: bool) -> Diagnosis:
    return Diagnosis(cause, ("amount",), "Do this.", "Because of that.", retrain)


def judgement(facts: Facts) -> tuple[Judgement, str]:
    (alarm,) = review(facts).alarms
    return alarm.judgement, alarm.by


def fired(**parts: object) -> Facts:
    given = {"decisions": (decision(5, "fire", KEY),)} | parts
    return replace(bare(), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("False alarm: a sale", Judgement.FALSE), ("True alarm, fixed upstream", Judgement.TRUE)],
    ids=["false", "true"],
)
def test_people_who_close_an_incident_judge_it(reason: str, expected: Judgement) -> None:
    closed = decision(4, "resolve", KEY, "ana", reason)
    facts = fired(decisions=(decision(5, "fire", KEY), closed))
    assert judgement(facts) == (expected, "ana")


def test_a_page_that_somebody_closed_without_a_word_is_judged_by_outcomes() -> None:
    closed = decision(4, "resolve", KEY, "ana (pagerduty)", "ended by ana (pagerduty)")
    facts = fired(decisions=(decision(5, "fire", KEY), closed))
    assert judgement(facts) == (Judgement.UNKNOWN, "labels are not complete")


def test_what_fires_on_labels_is_measured() -> None:
    facts = fired(decisions=(decision(5, "fire", "fraud:performance_drop:2"),))
    assert judgement(facts) == (Judgement.TRUE, "labels")


def test_outcomes_judge_what_nobody_closed() -> None:
    over = (decision(6.5, "fire", KEY), decision(6.4, "resolve", KEY))
    worse = verdict(4, 1.0, Status.DRIFT, "loss", Monitor.PERFORMANCE)
    assert judgement(fired(verdicts=(worse,))) == (Judgement.TRUE, "performance became worse")
    healthy = replace(worse, status=Status.OK)
    assert judgement(fired(verdicts=(healthy,))) == (Judgement.OPEN, "")
    assert judgement(fired(decisions=over))[0] is Judgement.UNKNOWN
    later = replace(point(0, 0.9), window=replace(point(0, 0.9).window, end=END + 9 * DAY))
    known = fired(decisions=over, points=(later,))
    assert judgement(known) == (Judgement.FALSE, "no harm in labels since")
    fault = (*over, decision(6, "diagnose", Cause.DATA_FAULT))
    assert judgement(fired(decisions=fault)) == (Judgement.TRUE, "a data fault was diagnosed")
    back = (*over, decision(20, "roll_back"), decision(6, "diagnose", Cause.COVARIATE_SHIFT))
    assert judgement(fired(decisions=back, points=(later,)))[0] is Judgement.FALSE
    back = (*over, decision(6, "roll_back"))
    assert judgement(fired(decisions=back)) == (Judgement.TRUE, "the champion was rolled back")


def test_the_budget_is_held_against_false_alarms_only() -> None:
    false = [
        each
        for k in range(3)
        for each in (
            decision(5, "fire", f"fraud:data_drift:{k}"),
            decision(4, "resolve", f"fraud:data_drift:{k}", "ana", "false alarm"),
        )
    ]
    loud = thresholds(fired(decisions=tuple(false), budget=AlarmBudget(1.0, 7 * DAY)))
    assert loud.words[0] == "Alarms: 3; 0 true, 3 false, 0 unknown, 0 open."
    assert loud.words[1] == "False alarms that the budget allows in this time: 1; used 300 %."
    assert loud.words[2].startswith("Of those judged 0 % were true (0 to ")
    assert "alerts tune" in loud.words[3]
    quiet = thresholds(fired())
    assert quiet.words[-1] == "No threshold needs to change for its false alarms."


def test_retraining_is_advised_if_the_champion_lost_what_it_could_do() -> None:
    found = recommend(rich())
    assert found.advice is Advice.RETRAIN
    assert found.metric == "auc"
    assert found.gain is not None
    assert 0 < found.gain.lower < 0.93 - 0.87 < found.gain.upper
    well = replace(rich(), baseline=(("auc", 0.80),))
    assert recommend(well).advice is Advice.NOTHING
    told = replace(well, diagnosis=diagnosed(Cause.CONCEPT_DRIFT, retrain=True))
    assert recommend(told).advice is Advice.RETRAIN


def test_nothing_is_learnt_from_broken_data_and_nothing_is_made_up() -> None:
    broken = replace(rich(), diagnosis=diagnosed(Cause.DATA_FAULT, retrain=False))
    assert recommend(broken).advice is Advice.FIX
    assert retraining(broken).words == ("Fix the data first: Because of that. Do this.",)
    assert recommend(bare()).advice is Advice.UNKNOWN
    told = replace(bare(), diagnosis=diagnosed(Cause.COVARIATE_SHIFT, retrain=True))
    assert recommend(told).advice is Advice.RETRAIN
    endless = tuple(replace(p, upper=float("inf")) for p in rich().points)
    assert recommend(replace(rich(), points=endless)).advice is Advice.UNKNOWN
    strange = tuple(replace(p, name="own") for p in rich().points if p.name == "auc")
    other = replace(rich(), points=strange, baseline=(("own", 1.0),))
    assert recommend(other).advice is Advice.UNKNOWN


def test_a_loss_is_better_lower() -> None:
    points = tuple(
        replace(p, name="log_loss", value=1 - p.value, lower=1 - p.upper, upper=1 - p.lower)
        for p in rich().points
        if p.name == "auc"
    )
    facts = replace(rich(), points=points, baseline=(("log_loss", 0.07),))
    found = standing(facts, "log_loss")
    assert found is not None
    assert judged(facts, found) == "worse"
    assert recommend(facts).advice is Advice.RETRAIN
    better = replace(facts, points=tuple(p for p in points if p.window.end <= END - 6 * DAY))
    again = standing(better, "log_loss")
    assert again is not None
    assert judged(better, again) == "as before, within its interval"


def test_a_promotion_tells_its_paired_gain_and_what_labels_said_since() -> None:
    facts = rich()
    promoted = next(each for each in facts.decisions if each.action == "promote")
    said = gain(facts, promoted)
    assert said.startswith("loss 0.0123 lower on 3,120 rows that both scored; auc 0.92")
    assert said.endswith(": worse")
    early = decision(1, "promote", difference=-0.01)
    assert "loss 0.01 higher on 0 rows that both scored" in gain(facts, early)
    assert "not known since, labels are not complete" in gain(facts, decision(1, "roll_back"))
    assert gain(bare(), decision(1, "roll_back")) == "not known: no labels from before"
    assert "no difference beyond its interval" in gain(facts, decision(20, "push"))
    strange = tuple(replace(p, name="own") for p in facts.points if p.name == "auc")
    assert gain(replace(facts, points=strange), decision(6, "push")).endswith(": moved")
    up = tuple(
        replace(p, value=1 - p.value, lower=1 - p.upper, upper=1 - p.lower) for p in facts.points
    )
    assert gain(replace(facts, points=up), decision(6, "push")).endswith(": better")
    accepted = next(each for each in facts.decisions if each.action == "accept_candidate")
    assert gain(facts, accepted) == "loss 0.01 lower (0.005 to 0.02) on 900 hold-out rows"
    assert gain(facts, decision(1, "abort")) == "kept the champion that was there"
    assert gain(facts, decision(1, "ramp")) == "—"
    assert gain(bare(), decision(1, "promote")) == "not known: no labels from before"
    both = (point(0, 0.9), *(point(back, 0.2, name="brier") for back in range(9)))
    assert gain(replace(bare(), points=both), decision(4, "push")).startswith("brier 0.2 → 0.2")


def test_cost_counts_trainings_shadows_and_notices() -> None:
    assert trainings([decision(3, "start_training"), decision(2.5, "train")]) == (1, DAY / 2)
    assert trainings([decision(3, "train"), decision(2, "start_training")]) == (1, 0 * DAY)
    (table,) = cost(rich()).tables
    said = {row[0]: row[1] for row in table.rows}
    assert said["trainings"] == "1 (2 hours)"
    assert said["time in which requests were scored twice"] == "1 day"
    assert (said["notices sent"], said["notices to mail"]) == ("4", "3")
    assert said["time in incidents that are over"] == "1 day"
    (table,) = cost(replace(bare(), decisions=(decision(2, "shadow"),))).tables
    assert ("time in which requests were scored twice", "2 days") in table.rows
    (table,) = cost(bare()).tables
    assert ("trainings", "0") in table.rows


def test_business_says_what_is_worth_less() -> None:
    worse = tuple(
        replace(p, value=20.0, lower=19.0, upper=21.0)
        if p.name == "saved" and p.window.start >= END - 9 * DAY
        else p
        for p in rich().points
    )
    facts = replace(rich(), points=worse, business=(Business("saved", total=True), Business("x")))
    found = business(facts)
    assert found.words == ("Worth less than before: saved.",)
    assert found.tables[0].rows[0][5] == "140"
    mean = replace(facts, business=(Business("saved"),))
    assert business(mean).tables[0].rows[0][5] == "—"


def test_what_is_only_estimated_is_not_said_to_be_known() -> None:
    estimated = (point(0, 0.9, 0.02, "estimated_auc", cohort="estimated"),)
    facts = replace(bare(), points=estimated, verdicts=(verdict(0),))
    assert weekly(facts).parts[0].lead[0] == "auc is not known: no window has complete labels yet."
    assert interval(replace(point(0, 0.9), lower=float("-inf"))) == "0.9 (no interval)"


def test_labels_that_come_late_are_said_to_be_from_before() -> None:
    old = tuple(p for p in rich().points if p.window.end <= END - 8 * DAY)
    words = performance(replace(rich(), points=old)).words
    assert words[0].endswith("up to 2024-03-03 00:00 UTC, before the time of this report.")
    assert performance(rich()).words == ()


def test_arrivals_take_the_best_known_of_each_window() -> None:
    facts = replace(
        bare(),
        points=(
            point(0, 0.9, cohort="weighted", n=10, coverage=0.1),
            point(0, 0.9, cohort="weighted", name="brier", n=8, coverage=0.1),
            point(1, 0.9, n=5, coverage=0.0),
            point(-1, 0.9),
            point(2, 0.9, segment="country=FR"),
            point(3, 0.9, cohort="audit"),
        ),
    )
    assert [(a.age / DAY, a.n) for a in arrivals(facts)] == [(1, 5), (0, 100)]


def test_moved_columns_say_why_and_since_when() -> None:
    first, *rest = moved(rich())
    assert (first.column, first.drifted, first.judged) == ("amount", 3, 7)
    assert first.since == "2024-03-08 00:00 UTC"
    assert {each.column for each in rest} == {"country", "score (prediction)", rest[0].column}
    unjudged = next(each for each in rest if each.column == "country")
    assert unjudged.judged == 0


def test_importances_move_if_intervals_leave_each_other_out() -> None:
    found = {shift.column: shift for shift in shifts(rich())}
    assert found["amount"].clear
    assert not found["country"].clear
    assert "gone" not in found
    other = next(shift for name, shift in found.items() if name not in {"amount", "country"})
    assert not other.clear


def test_an_incident_without_a_time_is_told_too() -> None:
    unknown = replace(incident(1), opened=None)
    rows = weekly(replace(bare(), incidents=(unknown,))).parts[0].sections[3].tables[0].rows
    assert rows[0][0] == rows[0][4] == "—"


def test_a_figure_whose_better_side_is_not_known_only_moved() -> None:
    strange = tuple(replace(p, name="own") for p in rich().points if p.name == "auc")
    facts = replace(rich(), points=strange)
    found = standing(facts, "own")
    assert found is not None
    assert judged(facts, found) == "moved"
    alone = replace(facts, points=tuple(p for p in strange if p.cohort == "matured")[:1])
    found = standing(alone, "own")
    assert found is not None
    assert judged(alone, found) == "nothing to compare with"
