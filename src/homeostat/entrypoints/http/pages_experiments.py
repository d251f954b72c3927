"""The page of a model's experiments and bandits: what they say, and starting and ending them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from homeostat.domain.errors import ConflictError, DataError, HomeostatError, NotFoundError
from homeostat.engine.experiments import end, experiments_of, start
from homeostat.engine.plan import ModelPlan
from homeostat.entrypoints.bandits import told
from homeostat.entrypoints.experiments import Standing, listed, page_of, standing_of
from homeostat.entrypoints.http.pages import Pages
from homeostat.entrypoints.http.security import read_form
from homeostat.entrypoints.http.view import period
from homeostat.reports.experiment import HEIGHT, WIDTH, FigureLine, bar, percent, reach
from homeostat.rollout.experiment.plan import ExperimentPlan

LONGEST_REASON = 500
ORDERS = {
    "start": "Its arms are published at the next tick: entities are dealt out to them.",
    "stop": "Everybody is answered by the champion again.",
    "promote": "It ends, and the version that won is submitted to the rollout.",
}
OPEN = frozenset({"running", "waiting"})


@dataclass(frozen=True)
class ExperimentPages:
    """Experiments and bandits of a model."""

    pages: Pages
    plans: Mapping[str, ModelPlan]
    trials: Mapping[str, ExperimentPlan]

    def page(self, request: Request) -> Response:
        """All of a model; with ``name`` what one of them says, with ``order`` a confirmation."""
        reader = self.pages.reader
        model = request.path_params["model"]
        spec, now = reader.spec(model), reader.clock.now()
        name, order = (request.query_params.get(key, "") for key in ("name", "order"))
        found = self._listed(model)
        if name:
            self._fits(found, name, order)
        plan = self.plans.get(model)
        values: dict[str, object] = {
            "spec": spec,
            "period": period(request, now),
            "experiments": found,
            "bandits": [told(reader.records, each) for each in plan.bandits] if plan else [],
            "name": name,
            "order": order,
            "does": ORDERS.get(order, ""),
            "asked": reader.asked(model),
            "standing": next((each for each in found if each.name == name), None),
            **self._shown(model, name),
        }
        return self.pages.render(request, "experiments", values)

    async def ask(self, request: Request) -> Response:
        """Start or end an experiment, and go back to its page."""
        try:
            fields = await read_form(request)
            where = await run_in_threadpool(self._do, fields, request.user.display_name)
        except HomeostatError as error:
            return await run_in_threadpool(self.pages.problem, request, error)
        return RedirectResponse(where, status_code=303)

    def _do(self, fields: Mapping[str, str], who: str) -> str:
        reader = self.pages.reader
        model, name, order = (fields.get(key, "") for key in ("model", "name", "order"))
        reader.spec(model)
        if order not in ORDERS:
            raise DataError(f"order is {order!r}; it must be one of {', '.join(ORDERS)}")
        self._fits(self._listed(model), name, order)
        reason, now = fields.get("reason", "").strip()[:LONGEST_REASON], reader.clock.now()
        if order == "start":
            start(reader.records, self.pages.registry, self.trials[name], who, now, reason)
        else:
            promote = order == "promote"
            end(reader.records, model, name, who, now, reason, promote=promote)
        return f"/experiments/{quote(model)}?{urlencode({'name': name})}"

    def _listed(self, model: str) -> list[Standing]:
        mine = {name: plan for name, plan in self.trials.items() if plan.model == model}
        records = self.pages.reader.records
        if mine:
            return listed(records, mine)
        return [standing_of(state) for state in experiments_of(records, model).states]

    def _fits(self, found: list[Standing], name: str, order: str) -> None:
        """Refuse what is not there, and what was asked on the ground of an older page."""
        standing = next((each for each in found if each.name == name), None)
        if standing is None:
            raise NotFoundError(f"there is no experiment {name[:200]!r} of this model")
        begun = standing.stage in OPEN
        if order == "start" and name not in self.trials:
            raise NotFoundError(f"{name} is no longer configured: homeostat.yaml names experiments")
        if (order == "start" and begun) or (order in {"stop", "promote"} and not begun):
            raise ConflictError(f"{name} is {standing.stage} already; look at it again")

    def _shown(self, model: str, name: str) -> dict[str, object]:
        """Return what an experiment says, once it was started."""
        reader = self.pages.reader
        state = experiments_of(reader.records, model).named(name) if name else None
        if state is None:
            return {"story": None, "halves": (), "edge": 0.0, "wide": WIDTH, "tall": HEIGHT}
        made = page_of(reader.records, state, reader.clock.now())
        edge = reach((*made.figures, *made.segments))
        halves = (("Everybody", made.figures), ("By segment", made.segments))
        parts = [(title, _drawn(lines, edge)) for title, lines in halves if lines]
        return {"story": made, "halves": parts, "edge": edge, "wide": WIDTH, "tall": HEIGHT}


def _drawn(lines: tuple[FigureLine, ...], edge: float) -> list[dict[str, object]]:
    return [
        {
            "line": line,
            "bar": bar(line, edge),
            "change": percent(line.change),
            "span": f"{percent(line.lower)} to {percent(line.upper)}",
        }
        for line in lines
    ]
