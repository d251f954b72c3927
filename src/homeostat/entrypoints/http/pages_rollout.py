"""The page of a rollout: stages, the evidence so far, what is awaited, and what can be done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from homeostat.domain.decision import Decision
from homeostat.domain.errors import HomeostatError, NotFoundError
from homeostat.engine.arms import arms_of
from homeostat.engine.guardrails import GuardrailMemory, metrics_of
from homeostat.engine.outcomes import paired_evidence
from homeostat.engine.paired_report import PairedReport
from homeostat.engine.plan import ModelPlan
from homeostat.engine.watch import Pairing, Watch, guardrails_key, watch_key
from homeostat.entrypoints.http.pages import ROLLOUT_STEPS, Pages
from homeostat.entrypoints.http.view import period
from homeostat.entrypoints.steering import compared
from homeostat.rollout.state import RolloutPolicy, RolloutState, Stage

MOST_DECISIONS = 50


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that may be proven: its e-value, and from which one on it counts."""

    name: str
    e: float
    enough: float
    leads: str


@dataclass(frozen=True, slots=True)
class Guard:
    """A guardrail as far as it has seen the canary."""

    name: str
    champion: float
    challenger: float
    rows: int
    e: float
    enough: float


@dataclass(frozen=True, slots=True)
class Need:
    """Something that the stage waits for: how much there is, and how much is needed."""

    what: str
    have: str
    need: str
    met: bool


@dataclass(frozen=True)
class RolloutPages:
    """Where a model's rollout stands."""

    pages: Pages
    plans: Mapping[str, ModelPlan]

    def page(self, request: Request) -> Response:
        """Everything about the rollout of a model; with ``paired=1`` the comparison on its rows."""
        reader = self.pages.reader
        name = request.path_params["model"]
        spec, now = reader.spec(name), reader.clock.now()
        shown = period(request, now)
        state = reader.rollout(name) or RolloutState(name)
        plan = self.plans.get(name)
        watch = reader.records.read(watch_key(name), Watch)
        values: dict[str, object] = {
            "spec": spec,
            "period": shown,
            "rollout": state,
            "steps": [stage.value for stage in ROLLOUT_STEPS],
            "policy": plan.rollout if plan else None,
            "claims": _claims(plan, state, watch),
            "pairs": _pairing(state, watch).bets.n,
            "needs": _needs(plan.rollout, state, _pairing(state, watch), now) if plan else (),
            "guards": self._guards(plan, state),
            "arms": arms_of(reader.records, name),
            "asked": reader.asked(name),
            "decisions": _about(reader.records.decisions(name, since=shown.window.start), state),
            **self._compared(request, plan, now),
        }
        return self.pages.render(request, "rollout", values)

    def _guards(self, plan: ModelPlan | None, state: RolloutState) -> dict[str, object]:
        found = self.pages.reader.records.read(guardrails_key(state.model), GuardrailMemory)
        if plan is None or found is None or found.challenger != state.challenger:
            return {"lines": (), "problem": ""}
        policy = plan.rollout.guardrails
        names = policy.names([metric.name for metric in metrics_of(plan)])
        enough = len(names) / policy.alpha
        lines = []
        for name in names:
            rail = found.rails.rail(name)
            told = dict(rail.figures)
            rows = int(told["challenger_rows"] + told["champion_rows"])
            guard = Guard(name, told["champion"], told["challenger"], rows, rail.e, enough)
            lines.append(guard)
        return {"lines": tuple(lines), "problem": found.problem}

    def _compared(
        self, request: Request, plan: ModelPlan | None, now: datetime
    ) -> dict[str, object]:
        """Compare champion and challenger on their rows, if asked for: that reads the log."""
        report: PairedReport | None = None
        problem = ""
        if request.query_params.get("paired") == "1":
            if plan is None:
                raise NotFoundError("this server has no plan of the model to compare by")
            try:
                report = compared(self.pages.reader.records, self.pages.log, plan, now)
            except HomeostatError as error:
                problem = str(error)
        return {"paired": report, "paired_problem": problem, "comparable": plan is not None}


def _pairing(state: RolloutState, watch: Watch | None) -> Pairing:
    found = watch.challenger if watch else Pairing()
    same = (found.champion, found.other) == (state.champion, state.challenger)
    return found if same and state.challenger else Pairing()


def _claims(plan: ModelPlan | None, state: RolloutState, watch: Watch | None) -> tuple[Claim, ...]:
    pairing = _pairing(state, watch)
    if plan is None or not pairing.bets.n:
        return ()
    found, enough = paired_evidence(pairing), 1 / plan.rollout.alpha
    return (
        Claim("better than the champion", found.better_e, enough, "it goes on"),
        Claim("not worse than is tolerated", found.not_worse_e, enough, "it goes on"),
        Claim("worse than the champion", found.worse_e, enough, "it is aborted"),
    )


def _needs(
    policy: RolloutPolicy, state: RolloutState, pairing: Pairing, now: datetime
) -> tuple[Need, ...]:
    """Return what the stage waits for besides evidence."""
    match state.stage:
        case Stage.SHADOW:
            least, rows, have = policy.shadow_min, policy.shadow_min_rows, pairing.answered
        case Stage.CANARY:
            least, rows = policy.step_min, policy.step_min_rows
            have = min(pairing.answered, pairing.served)
        case _:
            return ()
    spent = now - state.since if state.since else timedelta(0)
    return (
        Need("time in this step", _hours(spent), _hours(least), spent >= least),
        Need("rows with complete labels", f"{have:,}", f"{rows:,}", have >= rows),
    )


def _hours(length: timedelta) -> str:
    return f"{max(length.total_seconds(), 0.0) / 3600:,.1f} h"


def _about(decisions: tuple[Decision, ...], state: RolloutState) -> tuple[Decision, ...]:
    """Return what was decided about the versions of the rollout, the newest first."""
    versions = {state.champion, state.challenger, *state.lineage, *state.aborted} - {""}
    found = [decision for decision in decisions if decision.subject in versions]
    return tuple(found[::-1][:MOST_DECISIONS])
