from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from homeostat.alerting.escalation import EscalationStep
from homeostat.domain.choice import RowChoice
from homeostat.domain.decision import Severity
from homeostat.domain.errors import ConfigError
from homeostat.engine.plan import DegradedPolicy
from homeostat.entrypoints.settings import Settings, load
from homeostat.entrypoints.settings.plan import breaker_config, model_fallback, model_plan
from homeostat.retraining.gate.limits import GateLimits
from homeostat.retraining.rows import DataPolicy
from homeostat.serving.breaker import BreakerConfig
from homeostat.serving.fallback import Cached, Lighter, Rules

TEXT = """\
runbooks: https://example.org/runbooks/
receivers: {a: {type: console}, b: {type: console}}
gateway: {breaker: {faults: 7, window: 2m, cooldown: 5s}}
models:
  - name: fraud
    task: binary
    features: {amount: numeric}
    labels: {maturity: 60d}
"""
MORE = """\
    budget: {alarms: 2, per: 30d}
    monitors:
      drift: {window: 12h, match: hour}
      service: {max_latency: 80ms}
    fallback:
      - cached: {ttl: 5m}
      - lighter: {version: v0}
      - rules: [{when: amount > 500, score: 0.9}]
      - default: {score: 0.2}
    retraining: {trainer: 'train.py:train', floor: {auc: 0.8}, cooldown: 2d, margin: 0.1}
    rollout: {ramp: [0.2], shadow_min: 3h}
    alerts:
      receivers: [b]
      overrides:
        data_drift: {severity: critical, hold: 2h}
        volume_anomaly: {receivers: [], keep_firing: 0s}
"""


def plain(folder: Path, text: str) -> Settings:
    path = folder / "homeostat.yaml"
    path.write_text(text)
    return load(path)


def test_the_shares_of_the_alarm_budget_add_up_to_one(tmp_path: Path) -> None:
    plan = model_plan(plain(tmp_path, TEXT))
    spent = 2 * plan.drift.share + plan.performance.share + plan.quality.share
    assert plan.calibration is not None
    spent += plan.calibration.share
    assert abs(spent + plan.volume.share + 2 * plan.service.share - 1) < 1e-9


def test_escalation_is_the_models_own_or_that_of_the_deployment(tmp_path: Path) -> None:
    steps = "[{after: 15m, receivers: [a]}, {after: 1h, receivers: [b, a]}]"
    top = f"alerts: {{escalation: {steps}}}\n{TEXT}"
    minutes = timedelta(minutes=15)
    both = (EscalationStep(minutes, ("a",)), EscalationStep(4 * minutes, ("b", "a")))
    assert model_plan(plain(tmp_path, TEXT)).escalation == ()
    assert model_plan(plain(tmp_path, top)).escalation == both
    none = top + "    alerts: {escalation: []}\n"
    assert model_plan(plain(tmp_path, none)).escalation == ()
    own = top + "    alerts: {escalation: [{after: 30m, receivers: [b]}]}\n"
    assert model_plan(plain(tmp_path, own)).escalation == (EscalationStep(2 * minutes, ("b",)),)


def test_alertmanager_groups_by_itself(tmp_path: Path) -> None:
    text = TEXT.replace("b: {type: console}", "b: {type: alertmanager, url: 'http://am:9093'}")
    assert model_plan(plain(tmp_path, text)).apart == {"b"}


def test_calibration_is_of_binary_models_and_else_costs_nothing(tmp_path: Path) -> None:
    chosen = TEXT + "    monitors: {calibration: {tolerance: 0.5, cells: 3, min_rows: 9}}\n"
    found = model_plan(plain(tmp_path, chosen)).calibration
    assert found is not None
    assert (found.tolerance, found.cells, found.min_rows) == (0.5, 3, 9)
    share = model_plan(plain(tmp_path, TEXT)).performance.share + found.share
    for text in (
        TEXT + "    monitors: {calibration: {enabled: false}}\n",
        TEXT.replace("task: binary", "task: regression"),
    ):
        plan = model_plan(plain(tmp_path, text))
        assert plan.calibration is None
        assert plan.performance.share == share


def test_defaults_tell_everybody_and_never_retrain(tmp_path: Path) -> None:
    plan = model_plan(plain(tmp_path, TEXT))
    assert plan.retraining is None
    assert {rule.receivers for rule in plan.rules} == {("a", "b")}
    assert plan.rules[0].runbook == "https://example.org/runbooks/data-fault.md"
    assert all(rule.runbook for rule in plan.rules)


def test_what_the_owner_says_reaches_the_parts(tmp_path: Path) -> None:
    plan = model_plan(plain(tmp_path, TEXT + MORE), "fraud")
    assert plan.drift.budget.period == timedelta(days=30)
    assert (plan.drift.every, plan.drift.match) == (timedelta(hours=12), "hour")
    assert plan.service.max_latency_ms == 80
    assert plan.rollout.ramp == (0.2,)
    assert plan.rollout.shadow_min == timedelta(hours=3)
    assert plan.retraining is not None
    assert plan.retraining.performance_floor == (("auc", 0.8),)
    assert plan.retraining.cooldown == timedelta(days=2)
    assert plan.gate_margin == 0.1


def test_the_share_of_degraded_answers_has_a_limit_unless_it_is_taken_away(
    tmp_path: Path,
) -> None:
    usual = model_plan(plain(tmp_path, TEXT)).degraded
    assert usual == DegradedPolicy()
    part = "{max_degraded: 0.3, degraded_window: 1h, min_rows: 5}"
    own = model_plan(plain(tmp_path, TEXT + f"    monitors: {{service: {part}}}\n")).degraded
    assert own is not None
    assert (own.limit.above, own.limit.min_rows, own.every) == (0.3, 5, timedelta(hours=1))
    none = TEXT + "    monitors: {service: {max_degraded: null}}\n"
    assert model_plan(plain(tmp_path, none)).degraded is None


def test_overrides_change_only_what_they_name(tmp_path: Path) -> None:
    before = {rule.name: rule for rule in model_plan(plain(tmp_path, TEXT)).rules}
    after = {rule.name: rule for rule in model_plan(plain(tmp_path, TEXT + MORE)).rules}
    drift = after["data_drift"]
    assert (drift.severity, drift.hold) == (Severity.CRITICAL, timedelta(hours=2))
    assert drift.keep_firing == before["data_drift"].keep_firing
    assert drift.receivers == ("b",)
    assert after["volume_anomaly"].receivers == ()
    assert after["volume_anomaly"].keep_firing == timedelta(0)
    assert after["data_fault"].severity is before["data_fault"].severity


def test_serving(tmp_path: Path) -> None:
    settings = plain(tmp_path, TEXT + MORE)
    fallback = model_fallback(settings.model(), settings.specs[0])
    cached, lighter, rules = fallback.tiers
    assert cached == Cached(timedelta(minutes=5))
    assert lighter == Lighter("v0")
    assert isinstance(rules, Rules)
    assert fallback.default == 0.2
    breaker = breaker_config(settings)
    assert (breaker.faults, breaker.window, breaker.cooldown) == (7, 120.0, 5.0)


BREAKER = "gateway: {breaker: {faults: 7, window: 2m, cooldown: 5s}}\n"


def test_breaker_by_default_looks_at_shares_and_at_runs_of_faults(tmp_path: Path) -> None:
    assert breaker_config(plain(tmp_path, TEXT.replace(BREAKER, ""))) == BreakerConfig(run=10)


def test_every_way_to_open_a_breaker(tmp_path: Path) -> None:
    ways = "last: 50, minimum: 9, run: 3, slow: 150ms, slow_share: 0.1, interval: 1m, share: 0.0"
    settings = plain(tmp_path, TEXT.replace(BREAKER, f"gateway: {{breaker: {{{ways}}}}}\n"))
    assert breaker_config(settings) == BreakerConfig(
        last=50, minimum=9, run=3, slow=0.15, slow_share=0.1, interval=60.0, share=0.0
    )


def test_the_breaker_of_the_guide(tmp_path: Path) -> None:
    guide = Path(__file__).parents[4] / "docs" / "guide" / "breaker.md"
    shown = guide.read_text().split("```yaml\n")[1].split("```")[0]
    settings = plain(tmp_path, TEXT.replace(BREAKER, shown))
    assert (breaker_config(settings).run, settings.gateway.redis_env) == (3, "BREAKERS_URL")


def test_without_tiers_the_answer_is_zero(tmp_path: Path) -> None:
    settings = plain(tmp_path, TEXT)
    fallback = model_fallback(settings.model(), settings.specs[0])
    assert (fallback.tiers, fallback.default) == ((), 0.0)


def test_freezes_and_floors_of_estimates_reach_the_policy(tmp_path: Path) -> None:
    text = (
        "    retraining:\n      trainer: 'train.py:train'\n      estimated_floor: {auc: 0.7}\n"
        "      freeze:\n        sale: {dates: {since: 2026-11-27, until: 2026-12-01}}\n"
        "        weekend: {weekly: {start: '00:00', end: '00:00', days: [sat, sun]}}\n"
    )
    policy = model_plan(plain(tmp_path, TEXT + text)).retraining
    assert policy is not None
    assert policy.estimated_floor == (("auc", 0.7),)
    sale, weekend = policy.freezes
    black_friday = datetime(2026, 11, 27, tzinfo=UTC)
    held = [sale.times.hold(black_friday + timedelta(days=n)) for n in (-1, 0, 3, 4)]
    assert held == [False, True, True, False]
    assert [weekend.times.hold(black_friday + timedelta(days=n)) for n in range(4)] == [
        False, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("times", "problem"),
    [
        ("{}", "needs exactly one of weekly, dates"),
        ("{dates: {since: 2026-12-01, until: 2026-12-01}}", "is not after since"),
    ],
)
def test_a_freeze_without_times_is_refused(tmp_path: Path, times: str, problem: str) -> None:
    text = f"    retraining: {{trainer: 'train.py:train', freeze: {{sale: {times}}}}}\n"
    with pytest.raises(ConfigError, match=problem):
        plain(tmp_path, TEXT + text)


def test_the_gates_limits_reach_the_policy(tmp_path: Path) -> None:
    text = (
        "    retraining:\n      trainer: 'train.py:train'\n"
        "      gate: {segment: null, value: 0.1, latency: 3, size_mb: 1.5, segment_proof: true}\n"
    )
    policy = model_plan(plain(tmp_path, TEXT + text)).retraining
    assert policy is not None
    assert policy.gate == GateLimits(None, True, 0.02, 0.1, 3.0, 1_500_000, 0.5)


def test_the_choice_of_rows_reaches_the_policy(tmp_path: Path) -> None:
    text = (
        "    retraining:\n      trainer: 'train.py:train'\n"
        "      data: {refit: true, early: true, kinds: [amount], agreement: 0.1, half_life: 90d,\n"
        "        negatives: 0.2, max_rows: 5000, propensity: amount}\n"
    )
    policy = model_plan(plain(tmp_path, TEXT + text)).retraining
    assert policy is not None
    choice = RowChoice(timedelta(days=90), 0.2, 5000, "amount")
    assert policy.data == DataPolicy(choice, True, True, ("amount",), 0.1)


@pytest.mark.parametrize(
    ("task", "features", "data", "problem"),
    [
        ("regression", "amount", "refit: true, early: true", "early: is for binary models"),
        ("regression", "amount", "negatives: 0.5", "negatives: is for binary models"),
        ("binary", "training_weight", "half_life: 9d", "training_weight hides the weights"),
    ],
    ids=["early", "negatives", "name"],
)
def test_rows_that_a_model_cannot_have_are_refused(
    tmp_path: Path, task: str, features: str, data: str, problem: str
) -> None:
    text = TEXT.replace("task: binary", f"task: {task}").replace("{amount:", f"{{{features}:")
    text += f"    retraining: {{trainer: 'train.py:train', data: {{{data}}}}}\n"
    with pytest.raises(ConfigError, match=problem):
        plain(tmp_path, text)


def test_a_feature_may_be_called_as_the_weights_where_there_are_none(tmp_path: Path) -> None:
    text = TEXT.replace("{amount:", "{training_weight:")
    text += "    retraining: {trainer: 'train.py:train', data: {refit: true}}\n"
    policy = model_plan(plain(tmp_path, text)).retraining
    assert policy is not None
    assert policy.data.choice.plain
