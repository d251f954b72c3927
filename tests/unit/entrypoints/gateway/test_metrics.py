"""Prometheus text."""

from homeostat.entrypoints.gateway.metrics import Metrics
from homeostat.serving.breaker import BreakerConfig, Outcome
from homeostat.serving.circuit import Circuit
from unit.entrypoints.gateway.gateway_world import World, answers


def test_histogram_is_cumulative(world: World) -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.02, 0.02, 99.0):
        metrics.answered(answers(world.spec, "a", rows=1, milliseconds=seconds * 1000))
    text = metrics.text({}, {}, {})
    for bound, count in (("0.005", 1), ("0.01", 1), ("0.025", 3), ("10.0", 3), ("+Inf", 4)):
        assert f'_bucket{{model="fraud",tier="model",le="{bound}"}} {count}\n' in text
    assert 'seconds_sum{model="fraud",tier="model"} 99.041\n' in text


def test_hostile_names_are_escaped() -> None:
    metrics = Metrics()
    metrics.shadowed('a"b\\c\nd', "v1", "scored", 3)
    breaker = Circuit(BreakerConfig(faults=1))
    breaker.settle(breaker.acquire(0.0), Outcome.FAULT, 0.0)
    assert breaker.acquire(0.0) is None
    text = metrics.text({"accepted": 1}, {"disk": 2}, {("m", "v"): breaker})
    assert '{model="a\\"b\\\\c\\nd",version="v1",result="scored"} 3\n' in text
    assert 'mode="open"} 1\n' in text
    assert 'mode="closed"} 0\n' in text
    assert 'homeostat_breaker_calls_total{model="m",version="v",outcome="fault"} 1\n' in text
    assert 'outcome="refused"} 1\n' in text
