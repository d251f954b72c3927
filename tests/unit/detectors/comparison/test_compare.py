import math

import numpy as np
import pytest

from homeostat.detectors.comparison.compare import compare_profiles, statistics
from homeostat.detectors.comparison.config import ComparisonConfig
from homeostat.detectors.drift.presets import PresetDecision
from homeostat.domain.model import ColumnKind
from homeostat.domain.verdict import Status
from homeostat.profiles.build import profile_numbers
from homeostat.profiles.cast import Reading
from homeostat.profiles.profile import ColumnProfile, Profile

NUMERIC, CATEGORICAL, BOOLEAN = ColumnKind


def normal(n: int, mean: float = 0.0, seed: int = 0, missing: int = 0) -> ColumnProfile:
    values = np.random.default_rng(seed).normal(mean, 1.0, n)
    return profile_numbers(values, missing=missing)


def one(column: ColumnProfile) -> Profile:
    return Profile(column.count, {"x": column})


def kind_of(
    values: dict[str, int], kind: ColumnKind = CATEGORICAL, missing: int = 0
) -> ColumnProfile:
    rows = sum(values.values())
    return ColumnProfile(kind, rows + missing, missing=missing, values=values)


def test_a_real_change_that_matters_is_drift() -> None:
    found = compare_profiles(one(normal(1000)), one(normal(1000, 0.4, seed=1)))["x"]
    assert found.verdict is Status.DRIFT
    assert found.drift_score == pytest.approx(8, rel=0.2)
    assert found.p_value < 1e-6
    assert found.reason.startswith("values rose by 0.")


def test_a_real_change_too_small_to_matter_is_none() -> None:
    found = compare_profiles(one(normal(400_000)), one(normal(400_000, 0.02, seed=1)))["x"]
    assert (found.verdict, found.reason) == (Status.OK, "changed, but too little to matter")
    assert found.p_value < 0.01


def test_a_change_that_chance_explains_is_none() -> None:
    found = compare_profiles(one(normal(60)), one(normal(60, 0.2, seed=3)))["x"]
    assert found.verdict is Status.OK
    assert found.drift_score > 1
    assert found.reason.endswith("no more than chance explains")


def test_the_real_aspect_must_be_the_one_that_matters() -> None:
    before = one(normal(50_000))
    after = one(profile_numbers(np.random.default_rng(1).normal(size=49_500), missing=500))
    found = compare_profiles(before, after)["x"]
    assert found.verdict is Status.OK
    assert found.p_value < 1e-9


def test_a_falling_mean_and_rising_gaps_are_told_apart() -> None:
    found = compare_profiles(one(normal(1000)), one(normal(900, -1, seed=1, missing=100)))["x"]
    assert "values fell by" in found.reason
    assert "rows without a usable value went from 0.00% to 10.00%" in found.reason
    assert found.findings == ("missing values went from 0.00% to 10.00% of rows",)


def test_categories_and_booleans_are_compared() -> None:
    before = Profile(
        1000, {"c": kind_of({"a": 800, "b": 200}), "y": kind_of({"true": 10}, BOOLEAN, 990)}
    )
    after = Profile(
        1000, {"c": kind_of({"a": 740, "b": 260}), "y": kind_of({"true": 10}, BOOLEAN, 990)}
    )
    found = compare_profiles(before, after)
    assert found.drifted == ["c"]
    assert found["c"].reason.endswith("of rows moved to other categories")
    assert found["y"].verdict is Status.INCONCLUSIVE


def test_no_column_is_named_without_a_change() -> None:
    named = 0
    for seed in range(25):
        sides = [
            Profile(300, {f"x{k}": normal(300, seed=1000 * seed + 2 * k + side) for k in range(35)})
            for side in (0, 1)
        ]
        named += bool(compare_profiles(*sides).drifted)
    assert named <= 2  # 0.25 expected


@pytest.mark.parametrize(
    ("before", "after", "verdict", "reason"),
    [
        (normal(1000), normal(29), Status.INCONCLUSIVE, "the current data has 29"),
        (normal(5), normal(1000), Status.INCONCLUSIVE, "the reference has 5"),
        (normal(1000), normal(0), Status.NO_DATA, "the current data has no rows"),
        (normal(1000), normal(0, missing=5), Status.NO_DATA, "the current data has no values in 5"),
        (normal(5, missing=995), normal(6, missing=995), Status.INCONCLUSIVE, "reference has 5"),
        (normal(0, missing=9), normal(0, missing=9), Status.NO_DATA, "no values on either side"),
        (normal(50), kind_of({"a": 50}), Status.ERROR, "numeric in the reference, categorical"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_says_why(
    before: ColumnProfile, after: ColumnProfile, verdict: Status, reason: str
) -> None:
    comparison = compare_profiles(one(before), one(after))
    found = comparison["x"]
    assert found.verdict is verdict
    assert reason in found.reason
    assert math.isnan(found.drift_score)
    assert not found.statistics
    assert math.isnan(comparison.share_drifted)
    assert not comparison.dataset_drift


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (normal(5000), normal(0, missing=5000)),
        (normal(5000), normal(2, missing=4998)),
        (normal(0, missing=50), normal(50)),
        (kind_of({"a": 50}), kind_of({}, missing=50)),
    ],
)
def test_a_column_that_loses_or_gets_its_values_drifted(
    before: ColumnProfile, after: ColumnProfile
) -> None:
    found = compare_profiles(one(before), one(after))["x"]
    assert found.verdict is Status.DRIFT
    assert found.drift_score > 10
    assert found.p_value < 1e-9
    assert found.reason.startswith("rows without a usable value went from")
    assert not found.statistics


def test_absent_new_and_unreadable_columns_do_not_stop_the_others() -> None:
    before = Profile(100, {"gone": normal(100), "bad": normal(100), "same": normal(100)})
    after = Profile(100, {"new": normal(100), "same": normal(100)})
    bad = Reading("string", 100, 100)
    found = compare_profiles(before, after, readings=({"empty": Reading()}, {"bad": bad}))
    assert {column.name: column.verdict for column in found.columns} == {
        "gone": Status.ERROR,
        "bad": Status.ERROR,
        "same": Status.OK,
        "empty": Status.NO_DATA,
        "new": Status.NO_DATA,
    }
    assert found["gone"].findings == ("absent from the current data",)
    assert "100% of its values (string) cannot be read so" in found["bad"].reason
    assert found["empty"].kind is None


def test_types_and_unreadable_values_are_findings() -> None:
    readings = ({"x": Reading("double", 100)}, {"x": Reading("string", 100, 3)})
    found = compare_profiles(one(normal(100)), one(normal(97, missing=3)), readings=readings)["x"]
    assert found.findings == (
        "its type changed from double to string",
        "3.00% of its current values are unreadable as numeric",
    )
    assert found.quality["unreadable_current"] == 0.03


def test_other_values_in_a_boolean_column_are_unreadable_not_missing() -> None:
    before = kind_of({"true": 500, "false": 500}, BOOLEAN)
    after = kind_of({"true": 400, "false": 400}, BOOLEAN, missing=200)
    readings = ({"x": Reading("int64", 1000)}, {"x": Reading("int64", 1000, 200)})
    found = compare_profiles(one(before), one(after), readings=readings)["x"]
    assert found.findings == ("20.00% of its current values are unreadable as boolean",)


def test_infinite_values_and_values_out_of_range_are_told() -> None:
    before = one(profile_numbers(np.linspace(1.0, 2.0, 100)))
    after = one(profile_numbers(np.append(np.linspace(1.0, 2.0, 90), [5.0] * 8 + [np.inf] * 2)))
    found = compare_profiles(before, after)["x"]
    assert found.findings == ("2 infinite values; the reference has none",)
    assert found.quality["out_of_range"] == 0.08


def test_values_far_outside_the_range_are_a_finding() -> None:
    before = normal(1000, 50.0)
    values = np.random.default_rng(1).normal(50.0, 1.0, 1000)
    values[:15] *= 1000.0
    values[15:30] *= -1000.0
    found = compare_profiles(one(before), one(profile_numbers(values)))["x"]
    assert len(found.findings) == 1
    assert found.findings[0].startswith("3.00% of rows lie far outside the reference's 4")
    few = one(profile_numbers(values[26:]))
    assert not compare_profiles(one(before), few)["x"].findings
    constant = one(profile_numbers(np.full(1000, 50.0)))
    assert not compare_profiles(constant, few)["x"].findings


def test_new_categories_are_a_finding_unless_rare_ones_were_to_be_expected() -> None:
    before = one(kind_of({"a": 500, "b": 500}))
    found = compare_profiles(before, one(kind_of({"a": 900, "new": 100})))["x"]
    assert found.findings == ("10% of rows have categories that the reference lacks: new",)
    assert found.quality["gone_categories"] == ("b",)
    singles = kind_of({f"s{k}": 1 for k in range(100)})
    others = kind_of({f"t{k}": 1 for k in range(100)})
    assert not compare_profiles(one(singles), one(others))["x"].findings


def test_findings_are_seldom_made_by_chance() -> None:
    rng = np.random.default_rng(5)
    shares = np.append(np.full(30, 0.01), 0.7)
    said = 0
    for _ in range(150):
        sides = []
        for _ in "rc":
            counts = rng.multinomial(300, shares)
            values = {str(k): int(n) for k, n in enumerate(counts) if n}
            gone = rng.binomial(300, 0.5, 10).tolist()
            gaps = {f"g{k}": kind_of({"a": 300 - n}, missing=n) for k, n in enumerate(gone)}
            sides.append(Profile(300, {"x": kind_of(values), **gaps}))
        said += bool(compare_profiles(*sides).findings)
    assert said <= 6  # 1.5 expected


def test_a_category_explosion_is_drift_with_a_finding() -> None:
    exploded = ColumnProfile(CATEGORICAL, 10_000, values={"a": 100}, other=9900)
    found = compare_profiles(one(kind_of({"a": 500, "b": 500})), one(exploded))["x"]
    assert found.verdict is Status.DRIFT
    assert found.findings == ("99% of rows have categories that the reference lacks",)


def test_what_an_overflown_reference_may_have_held_is_not_new() -> None:
    many = ColumnProfile(CATEGORICAL, 10_000, values={"a": 5000}, other=5000)
    assert not compare_profiles(one(many), one(kind_of({"a": 500, "b": 500})))["x"].findings


def test_names_of_categories_are_cut() -> None:
    found = compare_profiles(one(kind_of({"a": 100})), one(kind_of({"x" * 5000: 100})))["x"]
    assert found.quality["new_categories"] == ("x" * 59 + "…",)


def test_another_tools_decisions_replace_our_own() -> None:
    before = Profile(100, {name: normal(100) for name in "abcde"})
    decided = {
        "a": PresetDecision(True, "ks_p_value", 0.01, 0.05),
        "b": PresetDecision(False, "psi", 0.1, 0.2),
        "c": PresetDecision(False, "psi", float("nan"), 0.2),
        "d": PresetDecision(True, "ks_p_value", 0.0, 0.05),
    }
    found = compare_profiles(before, before, decided=decided)
    assert found.drifted == ["a", "d"]
    assert (found["a"].drift_score, found["b"].drift_score) == pytest.approx((5.0, 0.5))
    assert found["d"].drift_score == math.inf
    assert found["c"].verdict is found["e"].verdict is Status.NO_DATA
    assert found["e"].reason == "the preset does not judge it"
    assert math.isnan(found["a"].p_value)
    lost = one(normal(0, missing=100))
    said = {"x": PresetDecision(False, "psi", float("nan"), 0.2)}
    assert compare_profiles(one(normal(100)), lost, decided=said)["x"].verdict is Status.NO_DATA


def test_statistics_hold_every_distance() -> None:
    found = statistics(normal(500), normal(500, 0.5, seed=1))
    assert {"ks", "psi", "wasserstein", "wasserstein_normed", "js", "hellinger", "total_variation",
            "linf", "chi2"} <= set(found)  # fmt: skip
    constant = profile_numbers(np.full(50, 2.0))
    assert math.isnan(statistics(constant, constant)["wasserstein_normed"])
    assert "ks" not in statistics(kind_of({"a": 5}), kind_of({"a": 5}))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"alpha": 0.0}, "alpha is a probability"),
        ({"min_shift": 0.0}, "min_shift must be above 0"),
        ({"dataset_share": float("nan")}, "dataset_share must be above 0"),
        ({"min_rows": 1}, "min_rows must be at least 2"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ComparisonConfig(**wrong)  # type: ignore[arg-type]
