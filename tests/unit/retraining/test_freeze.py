"""Freezes."""

from datetime import UTC, datetime, time, timedelta

import pytest

from homeostat.alerting.hours import Hours
from homeostat.retraining.freeze import Freeze, Span, frozen_by
from homeostat.retraining.policy import (
    Facts,
    Guard,
    RetrainingPolicy,
    TriggerKind,
    guards,
    triggers,
)

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize("kind", list(TriggerKind))
def test_no_trigger_starts_a_training_inside(kind: TriggerKind) -> None:
    weekend = Freeze("weekend", Hours(time(0), time(0), UTC, frozenset({5, 6})))
    policy = RetrainingPolicy(freezes=(weekend,), min_rows=0)
    inside = guards(policy, Facts(NOON), kind)
    assert [guard for guard, _ in inside.objections] == [Guard.FREEZE]
    assert not guards(policy, Facts(NOON + timedelta(days=2)), kind).objections


def test_every_freeze_that_holds_is_named() -> None:
    sale, audit = Span(NOON, NOON + HOUR), Span(NOON - HOUR, NOON + HOUR)
    freezes = (Freeze("sale", sale), Freeze("audit", audit))
    assert len(list(frozen_by(freezes, NOON))) == 2
    assert len(list(frozen_by(freezes, NOON - HOUR))) == 1
    assert not list(frozen_by(freezes, NOON + HOUR))


def test_a_span_has_a_length() -> None:
    with pytest.raises(ValueError, match="must end after it starts"):
        Span(NOON, NOON)


@pytest.mark.parametrize(("days", "asks"), [(89, False), (90, True)])
def test_the_champions_age_counts_whatever_was_tried_since(days: int, asks: bool) -> None:
    policy = RetrainingPolicy(max_age=timedelta(days=90))
    facts = Facts(NOON, trained_until=NOON - timedelta(days=days), starts=(NOON - HOUR,))
    assert bool(triggers(policy, facts)) is asks
