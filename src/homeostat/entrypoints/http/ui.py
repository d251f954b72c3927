"""The web pages: server-rendered, live through htmx, without a build step.

Reads go to `Pages`. What a person asks for is put into the model's inbox, where the engine finds it
at its next tick: pages never change state themselves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from homeostat.domain.clock import Clock
from homeostat.domain.model import ModelSpec
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Records, Registry
from homeostat.entrypoints.http.actions import Actions
from homeostat.entrypoints.http.auth import PageGate, Tokens
from homeostat.entrypoints.http.pages import Pages
from homeostat.entrypoints.http.pages_decisions import DecisionPages
from homeostat.entrypoints.http.pages_drift import DriftPages
from homeostat.entrypoints.http.pages_experiments import ExperimentPages
from homeostat.entrypoints.http.pages_retraining import RetrainingPages
from homeostat.entrypoints.http.pages_rollout import RolloutPages
from homeostat.entrypoints.http.reading import Reader
from homeostat.entrypoints.http.runbooks import shelf
from homeostat.entrypoints.http.security import Headers
from homeostat.entrypoints.http.silencing import SilencePages
from homeostat.entrypoints.http.view import STATIC, environment
from homeostat.entrypoints.reports import Reports
from homeostat.rollout.experiment.plan import ExperimentPlan

FOREVER = "public, max-age=31536000, immutable"


def ui(
    records: Records,
    log: PredictionLog,
    registry: Registry,
    specs: Mapping[str, ModelSpec],
    clock: Clock,
    runbooks: Path | None = None,
    reports: Reports | None = None,
    plans: Mapping[str, ModelPlan] | None = None,
    runs: Path | None = None,
    trials: Mapping[str, ExperimentPlan] | None = None,
) -> list[BaseRoute]:
    """Return the routes of the web pages.

    Parameters
    ----------
    records, registry, specs, clock
        Where everything shown is read from.
    log : PredictionLog
        Counts labels that belong to no known prediction.
    runbooks : Path or None
        Folder of runbooks; None: those that Homeostat comes with.
    reports : Reports or None
        Makes weekly and other reports.
    plans : mapping of model name to ModelPlan or None
        Policies that pages on rollouts show; None: they go without.
    runs : Path or None
        Folder in which trainings on this machine keep what they print.
    trials : mapping of name to ExperimentPlan or None
        Experiments that a person may start.

    Returns
    -------
    list of BaseRoute
        ``/``, ``/models/…``, ``/drift/…``, ``/features/…``, ``/rollouts/…``,
        ``/retraining/…``, ``/experiments/…``, ``/confirm``,
        ``/incidents/…``, ``/runbooks/…``, ``/decisions``, ``/charts/…``, ``/reports/…``,
        ``/postmortems/…``, ``/silences``, ``/actions`` and ``/static``. All but the last are
        guarded by `PageGate`.
    """
    reader = Reader(records, specs, clock)
    pages = Pages(reader, log, registry, environment(), runbooks or shelf(), reports)
    plans, trials = {} if plans is None else plans, {} if trials is None else trials
    tries, actions = ExperimentPages(pages, plans, trials), Actions(pages, plans)
    safe = [Middleware(Headers), Middleware(PageGate, tokens=Tokens(records))]
    lasting = [Middleware(Headers, cache=FOREVER)]
    return [
        *(
            Route(path, pages.guarded(endpoint), methods=["GET"], middleware=safe)
            for path, endpoint in (
                _read(pages, plans, runs)
                | {"/confirm": actions.confirm, "/experiments/{model:path}": tries.page}
            ).items()
        ),
        *(
            Route(path, endpoint, methods=["POST"], middleware=safe)
            for path, endpoint in _asked(pages, actions, tries).items()
        ),
        Mount("/static", StaticFiles(directory=STATIC), middleware=lasting),
    ]


def _read(
    pages: Pages, plans: Mapping[str, ModelPlan], runs: Path | None
) -> dict[str, Callable[[Request], Response]]:
    drifts = DriftPages(pages)
    return {
        "/": pages.overview,
        "/models/{model:path}": pages.model,
        "/drift/{model:path}": drifts.map,
        "/features/{model:path}": drifts.feature,
        "/rollouts/{model:path}": RolloutPages(pages, plans).page,
        "/retraining/{model:path}": RetrainingPages(pages, runs).page,
        "/incidents/{key:path}": pages.incident,
        "/runbooks/{name}": pages.runbook,
        "/decisions": DecisionPages(pages).page,
        "/silences": SilencePages(pages).page,
        "/postmortems/{key:path}": pages.postmortem,
        "/charts/{chart}/{model:path}": pages.chart,
        "/reports/{model:path}": pages.report,
    }


def _asked(
    pages: Pages, actions: Actions, tries: ExperimentPages
) -> dict[str, Callable[[Request], Awaitable[Response]]]:
    return {
        "/actions": actions.ask,
        "/experiments": tries.ask,
        "/silences": SilencePages(pages).ask,
    }
