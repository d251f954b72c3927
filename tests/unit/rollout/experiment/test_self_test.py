import numpy as np
import pytest

from homeostat.rollout.experiment.design import Experiment, Kind, Metric
from homeostat.rollout.experiment.self_test import self_test
from homeostat.rollout.experiment.tally import Tally, measure

PAID = Metric("paid", Kind.CONVERSION)
SPENT = Metric("spent", Kind.REVENUE, covariate=True)
CLICKS = Metric("clicks", Kind.RATIO)
SLOW = Metric("slow", Kind.LATENCY)
DESIGN = Experiment("x", ("a", "b"), (PAID, SPENT, CLICKS, SLOW), 10_000)


def buckets(repeats: int) -> list[Tally]:
    """A hundred buckets of forty entities, each counted so many times."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(100):
        paid = np.repeat(rng.random(40) < 0.3, repeats)
        before = np.repeat(rng.gamma(2.0, 1.0, 40), repeats)
        noise = np.repeat(rng.normal(0.0, 1.0, 40), repeats)
        views = np.repeat(rng.poisson(3.0, 40) + 1.0, repeats)
        rates = np.repeat(rng.random(40), repeats)
        metrics = {
            "paid": measure(PAID, paid),
            "spent": measure(SPENT, before + noise, before),
            "clicks": measure(CLICKS, views * rates, views),
        }
        found.append(Tally(40 * repeats, metrics))
    return found


def test_independent_entities_pass() -> None:
    results = self_test(DESIGN, buckets(1), np.random.default_rng(1), runs=200)
    assert [result.metric for result in results] == ["paid", "spent", "clicks"]
    assert all(result.sound and 0.0 <= result.rate < 0.12 for result in results)
    assert "5 % are due" in results[0].reason


def test_entities_counted_again_and_again_are_found_out() -> None:
    results = self_test(DESIGN, buckets(5), np.random.default_rng(1), runs=200)
    assert not any(result.sound for result in results)
    assert all(
        result.rate > 0.2 and "count each entity once" in result.reason for result in results
    )


def test_what_does_not_vary_cannot_be_tried() -> None:
    flat = [Tally(10, {"paid": measure(PAID, np.zeros(10))})] * 30
    (paid, *_) = self_test(DESIGN, flat, np.random.default_rng(0), runs=20)
    assert (paid.sound, paid.reason) == (False, "nothing varies")


def test_too_few_buckets_are_refused() -> None:
    with pytest.raises(ValueError, match="19 buckets are too few"):
        self_test(DESIGN, [Tally()] * 19, np.random.default_rng(0))
