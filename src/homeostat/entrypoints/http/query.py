"""What stands in the address of a request."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.requests import Request

from homeostat.domain.model import ModelSpec
from homeostat.engine.plan import ModelPlan
from homeostat.entrypoints.http.problem import ProblemError

DEFAULT_LIMIT = 1000
MOST = 10_000


def model_of(request: Request, specs: Mapping[str, ModelSpec]) -> ModelSpec:
    """Return the model in the path; raises ProblemError."""
    name = str(request.path_params["model"])
    if name not in specs:
        known = ", ".join(specs) or "none"
        raise ProblemError(404, f"no model named {name!r}", f"known models: {known}", "model")
    return specs[name]


def plan_of(request: Request, plans: Mapping[str, ModelPlan]) -> ModelPlan:
    """Return the plan of the model in the path; raises ProblemError."""
    return plans[model_of(request, {name: plan.spec for name, plan in plans.items()}).name]


def time_of(request: Request, name: str) -> datetime | None:
    """Return a time in the query string, None if it is not there; raises ProblemError."""
    text = request.query_params.get(name)
    if text is None:
        return None
    remedy = "use ISO 8601 with a zone, such as 2024-01-31T12:00:00Z"
    wrong = ProblemError(422, f"{text!r} is not a time with a zone", remedy, name)
    try:
        # An unescaped + in a query string is a space.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
        if moment.tzinfo is None:
            raise wrong
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise wrong from None


def limit_of(request: Request, default: int = DEFAULT_LIMIT, most: int = MOST) -> int:
    """Return the limit in the query string; raises ProblemError."""
    text = request.query_params.get("limit", str(default))
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= most:
        raise ProblemError(422, f"{text!r} is no limit", f"use a number from 1 to {most}", "limit")
    return int(text)
