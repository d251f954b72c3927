"""Bandits as the command line and the API show them, and what another way to deal would earn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.errors import ConfigError, DataError, NotFoundError
from homeostat.domain.expression import Expression, column_types, parse
from homeostat.domain.model import Schema
from homeostat.domain.window import Window
from homeostat.engine.arms import arms_of
from homeostat.engine.bandit_rows import BanditRows
from homeostat.engine.bandit_state import BanditState, bandit_key, owner_of
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Records
from homeostat.engine.watch import Watch, watch_key
from homeostat.rollout.bandit.design import Bandit
from homeostat.rollout.bandit.evaluate import Evaluation, evaluate, shares_of
from homeostat.rollout.bandit.off_policy import OffPolicy

MOST_RULES = 20


@dataclass(frozen=True, slots=True)
class Policy:
    """Another way to deal.

    Attributes
    ----------
    shares : mapping of version to share
        Of sum 1; for whom no rule holds.
    rules : tuple of (str, str)
        Condition over the features, and the version that is to answer; the first that holds counts.
    """

    shares: Mapping[str, float]
    rules: tuple[tuple[str, str], ...] = ()


def design_of(plans: Mapping[str, ModelPlan], name: str) -> tuple[ModelPlan, Bandit]:
    """Return a bandit by its name, and the plan of its model.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    known = {bandit.name: (plan, bandit) for plan in plans.values() for bandit in plan.bandits}
    if name not in known:
        there = f"there are: {', '.join(known)}" if known else "homeostat.yaml has no bandits"
        raise NotFoundError(f"no bandit is named {name!r}; {there}")
    return known[name]


def told(records: Records, design: Bandit) -> dict[str, object]:
    """Return a bandit, where it stands, and what is known of its arms."""
    state = records.read(bandit_key(design.model), BanditState)
    if state is None or state.name != design.name:
        return {"bandit": design, "stands": "not started", "state": None, "shares": {}}
    arms = arms_of(records, design.model)
    shares = arms.shares if state.on and arms.owner == owner_of(design.name) else {}
    stands = "stopped" if not state.on else "held" if state.held else "runs"
    return {"bandit": design, "stands": stands, "state": state, "shares": shares}


def judged(
    records: Records,
    log: PredictionLog,
    plan: ModelPlan,
    design: Bandit,
    policy: Policy,
    now: datetime,
) -> Evaluation:
    """Return what a policy would have earned since the bandit was started last.

    Only answers whose labels are complete count, and none of times of a data fault.

    Raises
    ------
    DataError
        If the bandit was never started, its last start is of another one, or the policy is none.
    """
    state = records.read(bandit_key(design.model), BanditState)
    if state is None or state.name != design.name:
        raise DataError(f"{design.name} was not started, or another bandit since: nothing to judge")
    watch = records.read(watch_key(design.model), Watch)
    faults = tuple(fault.window(now) for fault in watch.faults) if watch else ()
    until = now - plan.spec.labels.maturity
    if until <= state.since:
        raise DataError(f"no labels of {design.name} are complete yet: ask again later")
    dealt = read_policy(plan.spec.schema, design, policy)
    rows = BanditRows(log, plan.spec, design, now, faults)
    logged, table = rows.logged(Window(state.since, until), dealt.columns)
    return evaluate(design.arms, dealt.chances(table), logged)


@dataclass(frozen=True)
class Dealt:
    """A policy that was checked: chances of the arms, and who is excepted from them."""

    shares: NDArray[np.float64]
    rules: tuple[tuple[Expression, NDArray[np.float64]], ...]

    @property
    def columns(self) -> list[str]:
        """Features that the rules look at."""
        return sorted({name for rule, _ in self.rules for name in rule.columns})

    def chances(self, rows: pa.Table) -> NDArray[np.float64]:
        """Return the chance of each arm for each row."""
        found = np.tile(self.shares, (rows.num_rows, 1))
        for rule, always in reversed(self.rules):
            found[rule.matches(rows)] = always
        return found


def read_policy(schema: Schema, design: Bandit, policy: Policy) -> Dealt:
    """Check a policy.

    Raises
    ------
    DataError
        If a rule cannot be read or names no arm, or the shares are none.
    """
    if len(policy.rules) > MOST_RULES:
        raise DataError(f"at most {MOST_RULES} rules, not {len(policy.rules)}")
    types = column_types(schema)
    try:
        rules = tuple(
            (parse(when, types), shares_of(design.arms, {version: 1.0}))
            for when, version in policy.rules
        )
        return Dealt(shares_of(design.arms, policy.shares), rules)
    except ValueError as error:
        raise DataError(f"the policy: {error}") from None
    except ConfigError as error:
        raise DataError(f"a rule of the policy: {error}") from None


def read_shares(pairs: Sequence[str]) -> dict[str, float]:
    """Read ``VERSION=SHARE`` pairs.

    Raises
    ------
    DataError
        If one is none, or a version is named twice.

    Examples
    --------
    >>> read_shares(["v7=0.5", "v8=0.5"])
    {'v7': 0.5, 'v8': 0.5}
    """
    found: dict[str, float] = {}
    for pair in pairs:
        version, sign, text = pair.rpartition("=")
        try:
            share = float(text)
        except ValueError:
            share = math.nan
        if not sign or not version or not math.isfinite(share) or version in found:
            raise DataError(f"{pair!r} is no new VERSION=SHARE; write v7=0.5 v8=0.5")
        found[version] = share
    return found


def read_rule(text: str) -> tuple[str, str]:
    """Read ``CONDITION -> VERSION``; raises DataError.

    Examples
    --------
    >>> read_rule("country == 'FR' -> v8")
    ("country == 'FR'", 'v8')
    """
    when, arrow, version = text.rpartition("->")
    if not arrow or not when.strip() or not version.strip():
        raise DataError(f"{text!r} is no rule; write country == 'FR' -> v8")
    return when.strip(), version.strip()


def plain(found: Evaluation) -> dict[str, object]:
    """Return an evaluation as JSON has it: no NaN."""
    names = ("ips", "snips", "doubly_robust")
    parts = {name: _estimate(getattr(found, name)) for name in names}
    logged = None if math.isnan(found.logged) else found.logged
    counted = {"rows": found.rows, "entities": found.entities, "refused": found.refused}
    return {**parts, "logged": logged, **counted}


def _estimate(found: OffPolicy | None) -> dict[str, float] | None:
    if found is None:
        return None
    lower, upper = found.interval.lower, found.interval.upper
    return {"value": found.value, "lower": lower, "upper": upper, "effective": found.effective}
