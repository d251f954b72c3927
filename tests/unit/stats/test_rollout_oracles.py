"""Values that others publish for what experiments and rollouts are decided by.

Sources are named with each; where a source states a tolerance it is used, else the digits printed.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from homeostat.stats import mixtures
from homeostat.stats.chance_better import chance_better
from homeostat.stats.difference import (
    anytime_interval,
    difference,
    relative,
    welch_interval,
    welch_p,
)
from homeostat.stats.discordant import discordant_e, mcnemar, mcnemar_exact
from homeostat.stats.location import mann_whitney
from homeostat.stats.mixtures import share_interval
from homeostat.stats.moments import Moments
from homeostat.stats.power import rows_for_shares
from homeostat.stats.quantile_shift import counted, same_quantile_p
from homeostat.stats.sample_ratio import fixed_sample_ratio, sample_ratio
from homeostat.stats.shift import hodges_lehmann

# gbstats, tests/frequentist/test_tests.py: means 0.41 and 0.70
WELCH = difference(Moments(3407, 0.41, 3.9**2), Moments(3461, 0.70, 6.2**2))


def share(hits: int, n: int) -> Moments:
    return Moments(n, hits / n, hits / n * (1 - hits / n))


# gbstats, tests/frequentist/test_tests.py: a sequential test of relative effects, tuned for 5000
SEQUENTIAL = relative(share(1396, 3000), share(2422, 3461))
LOOKED = anytime_interval(SEQUENTIAL, tuned_for=5000)

# confseq, test/uniform_boundaries_unittest.cpp: s = 10, v = 100, v_opt = 100, alpha 0.05
TWO, ONE = mixtures.normal_prior(100), mixtures.normal_prior(100, one_sided=True)


def quantile_p(shift: int, at: float) -> float:
    """Test 1 to 1000 against the same moved up; also confseq's."""
    one = counted(np.arange(1.0, 1001.0))
    return same_quantile_p(one, counted(one.values + shift), at, tuned_for=100)


CASES: list[tuple[str, Callable[[], float], float, float]] = [
    ("welch p", lambda: welch_p(WELCH), 0.02016, 5e-6),
    ("welch lower", lambda: welch_interval(WELCH).lower, 0.04538, 5e-6),
    ("welch upper", lambda: welch_interval(WELCH).upper, 0.53462, 5e-6),
    ("sequential uplift", lambda: SEQUENTIAL.value, 0.50386, 5e-6),
    ("sequential lower", lambda: LOOKED.lower, 0.40098, 5e-6),
    ("sequential upper", lambda: LOOKED.upper, 0.60675, 5e-6),
    ("normal mixture rho", lambda: TWO, 12.60056, 1e-5),
    ("normal mixture", lambda: mixtures.log_normal_mixture(10, 100, TWO), -0.6510052, 1e-7),
    ("normal bound", lambda: mixtures.normal_bound(100, 0.05, TWO), 30.35209, 5e-6),
    (
        "one-sided mixture",
        lambda: mixtures.log_normal_mixture(10, 100, ONE, one_sided=True),
        -0.06502391,
        5e-9,
    ),
    (
        "one-sided bound",
        lambda: mixtures.normal_bound(100, 0.05, ONE, one_sided=True),
        27.66071,
        5e-6,
    ),
    ("share of 700 lower", lambda: share_interval(700, 1000, 0.95, 100).lower, 0.651629, 1e-5),
    ("share of 700 upper", lambda: share_interval(700, 1000, 0.95, 100).upper, 0.745949, 1e-5),
    ("share of 15 lower", lambda: share_interval(15, 50, 0.95, 50).lower, 0.129556, 1e-5),
    ("share of 15 upper", lambda: share_interval(15, 50, 0.95, 50).upper, 0.511896, 1e-5),
    ("share of 1 lower", lambda: share_interval(1, 50, 0.95, 50).lower, 0.0, 1e-5),
    ("share of 1 upper", lambda: share_interval(1, 50, 0.95, 50).upper, 0.13489, 1e-5),
    ("share of two rows", lambda: share_interval(1, 2, 0.95, 50).upper, 1.0, 1e-5),
    ("share tuned early", lambda: share_interval(100, 200, 0.95, 1).lower, 0.328923, 1e-5),
    ("median moved by 70", lambda: quantile_p(70, 0.5), 0.814704, 1e-6),
    ("median moved by 85", lambda: quantile_p(85, 0.5), 0.0838055, 1e-7),
    ("median moved by 100", lambda: quantile_p(100, 0.5), 0.0054947, 1e-7),
    ("tenth decile moved by 55", lambda: quantile_p(55, 0.9), 0.0340463, 1e-7),
    # web calculators of sample ratio mismatch
    ("split 600", lambda: fixed_sample_ratio([600, 400], [1, 1]).p_value, 2.54e-10, 5e-13),
    ("split 44k", lambda: fixed_sample_ratio([44_000, 45_000], [1, 1]).p_value, 0.0008, 5e-5),
    # SciPy and statsmodels; the table is Agresti's, of approval ratings
    ("mcnemar", lambda: mcnemar(86, 150).statistic, 17.356, 5e-4),
    ("mcnemar corrected", lambda: mcnemar(86, 150, corrected=True).statistic, 16.818, 5e-4),
    ("mcnemar exact", lambda: mcnemar_exact(86, 150).p_value, 3.716e-5, 5e-9),
    # the design's own, by SciPy
    ("e-process", lambda: discordant_e(15, 5), 6.35552, 5e-6),
    ("e-process later", lambda: discordant_e(121, 59), 9461.96, 5e-3),
    ("chance better", lambda: chance_better((101, 901), (121, 881)), 0.923183, 5e-7),
    ("rows an arm", lambda: rows_for_shares(0.05, 0.06), 8142.6, 0.05),  # statsmodels
]


@pytest.mark.parametrize(
    ("found", "expected", "within"),
    [case[1:] for case in CASES],
    ids=[case[0].replace(" ", "-") for case in CASES],
)
def test_published_values(found: Callable[[], float], expected: float, within: float) -> None:
    assert found() == pytest.approx(expected, abs=within)


def test_sequential_split_stops_where_savvi_does() -> None:
    """savvi, examples/Multinomial.qmd: shares .1 .3 .6 against .1 .4 .5, NumPy's old seed 1."""
    old = np.random.RandomState(1)
    counts = old.multinomial(1, [0.1, 0.3, 0.6], size=1000).cumsum(axis=0)
    looks = [sample_ratio(row, [0.1, 0.4, 0.5]).p_value for row in counts[:402].tolist()]
    assert min(looks[:-1]) > 0.05
    assert looks[-1] == pytest.approx(0.04845591105969517, abs=1e-9)


def test_kayenta_mann_whitney() -> None:
    """Kayenta, MannWhitneySuite.scala, where R's wilcox.test is followed."""
    found = hodges_lehmann([1, 2, 3, 4], [10, 20, 30, 40])
    assert (found.interval.lower, found.interval.upper, found.value) == (6.0, 39.0, 22.5)
    assert mann_whitney([10, 20, 30, 40], [1, 2, 3, 4]).p_value == pytest.approx(0.0285714285714)


LOW = (
    "9.7767343120109462 10.587071850477695 7.8375506388901766 9.3243326886113884 8.3774505409784421"
    " 8.9359264399606282 8.2707663324728511 9.7484308126716925 11.623746715547156"
    " 9.2753442679633942 8.1538047749171518 10.562020975754294 13.498135575451835"
    " 11.054419256110332 6.9538903590055092 12.521008342195479 9.0216358603546443"
    " 4.9234856699531662 11.251360203607172 11.598449508040337 8.435232204668182"
    " 11.110228516867279 10.70063380164755 8.9212773652115249 10.086167067942661 11.42107515483087"
    " 9.3792347813644952 7.7980320148552593 10.62339807275746 11.909642062063739"
)
ALIKE = (
    "11.1453586774086 9.9618059885597017 7.068574306369829 7.3012661810483657 9.7944630265656727"
    " 9.6037918603687302 6.1867793350339388 12.345599159550174 10.371891733859533"
    " 8.6094300785016724 9.913162673361084 10.361375299003466 14.206800387518818"
    " 10.946153754753301 10.215876627044048 11.739760899484603 10.907627468626439"
    " 12.823353694464775 8.1018609771732137 8.4981616408804932 12.113441374697231"
    " 13.272210809932028 10.114579381663297 6.9463958767978067 6.2105278541727778"
    " 10.160401684903775 8.3457712066455461 8.383822063895833 7.0020205070083765 10.755757401808442"
)
HIGH = (
    "20.758113589510348 22.802059629464559 20.612340363492208 20.973274654749986 23.469237330498622"
    " 21.53133988954805 21.767353687439805 18.308050730374301 19.062145167827566"
    " 25.879498436001779 18.982629726336128 19.387920182269266 18.995398251246982"
    " 24.228420230932805 20.050985172694688 18.2340451091756 17.870515494460435 23.058103863806618"
    " 18.400259567501134 16.971352091177167 19.467529066052151 17.90465423342031 17.553948617825831"
    " 16.104611843907193 24.38171081433039 15.919294339922635 20.479409626304697 19.08307201492406"
    " 17.455788050722866 18.853826823235142"
)


@pytest.mark.parametrize(
    ("control", "verdict"), [(ALIKE, "pass"), (HIGH, "low")], ids=["pass", "low"]
)
def test_kayenta_classifies_by_the_interval_of_the_shift(control: str, verdict: str) -> None:
    """Kayenta, ClassifierSuite.scala: beyond a tenth of the estimate, at 95 %."""
    found = hodges_lehmann(np.array(control.split(), float), np.array(LOW.split(), float))
    tolerance = 0.1 * abs(found.value)
    assert (found.interval.upper < -tolerance) is (verdict == "low")
    assert not found.interval.lower > tolerance


def test_simulated_a_a_crossings_of_the_coin() -> None:
    """The reference's own simulation: under 5 % of fair coins ever reach 20."""
    rng = np.random.default_rng(3)
    wins = np.cumsum(rng.random((150, 400)) < 0.5, axis=1)
    looks = range(19, 400, 20)
    crossed = [
        any(discordant_e(int(row[i]), i + 1 - int(row[i])) >= 20.0 for i in looks) for row in wins
    ]
    assert sum(crossed) <= 0.05 * 150
