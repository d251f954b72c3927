"""Budgets for extra calls."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from homeostat.serving.retries import HedgeDelay, RetryBudget


@given(st.lists(st.booleans(), max_size=400), st.sampled_from([0.05, 0.1, 0.5]))
def test_extra_calls_stay_within_the_budget(events: list[bool], share: float) -> None:
    budget, requests, extra = RetryBudget(share, 3.0), 0, 0
    for request in events:
        if request:
            budget.earn()
            requests += 1
        else:
            extra += budget.spend()
        assert extra <= 3 + share * requests + 1e-6


def test_ten_requests_pay_for_one_extra_call() -> None:
    budget = RetryBudget()
    assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]
    for _ in range(10):
        budget.earn()
    assert [budget.spend(), budget.spend()] == [True, False]


def test_the_delay_is_the_95th_percentile_of_the_newest() -> None:
    delay, rng = HedgeDelay(), np.random.default_rng(3)
    for _ in range(100):
        delay.add(9.0)
    latencies = rng.exponential(0.05, 1000)
    for latency in latencies.tolist():
        delay.add(latency)
    low, high = np.quantile(latencies[-200:], [0.93, 0.97])
    assert low <= delay.seconds <= high
