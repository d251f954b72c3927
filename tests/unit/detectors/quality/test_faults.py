"""Patterns that name a fault."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from homeostat.detectors.quality.faults import SCALES, find_faults
from homeostat.detectors.quality.reference import QualityConfig, fit
from homeostat.domain.model import Column, ColumnKind, Schema
from homeostat.domain.window import Window
from homeostat.profiles.build import profile_numbers
from homeostat.profiles.profile import Profile

START = datetime(2024, 1, 1, tzinfo=UTC)
CONFIG = QualityConfig()
SCHEMA = Schema((Column("x", ColumnKind.NUMERIC),))


@pytest.mark.parametrize("factor", [f for f in SCALES if f > 0])
def test_every_known_factor_is_told_apart_given_rows_enough(factor: float) -> None:
    rng = np.random.default_rng(0)
    usual = profile_numbers(np.exp(rng.normal(3.0, 0.5, 20_000)))
    reference = fit(
        [(Window(START, START + timedelta(days=8)), Profile(20_000, {"x": usual}))], SCHEMA, CONFIG
    )
    seen = profile_numbers(np.exp(rng.normal(3.0, 0.5, 5000)) * factor)
    found = find_faults(seen, reference.columns["x"], CONFIG, comparable=True, long=True)
    scale = next(fault for fault in found if fault.name == "scale")
    assert scale.value == factor
    assert scale.p_value < 1e-6
    assert scale.size > 0.9


def test_a_shift_that_no_factor_undoes_is_no_change_of_unit() -> None:
    rng = np.random.default_rng(1)
    usual = profile_numbers(rng.normal(50.0, 10.0, 5000))
    reference = fit(
        [(Window(START, START + timedelta(days=8)), Profile(5000, {"x": usual}))], SCHEMA, CONFIG
    )
    seen = profile_numbers(rng.uniform(200.0, 220.0, 500))
    found = find_faults(seen, reference.columns["x"], CONFIG, comparable=True, long=True)
    scale = next(fault for fault in found if fault.name == "scale")
    assert scale.size < scale.needed
