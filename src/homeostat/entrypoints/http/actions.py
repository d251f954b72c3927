"""What people ask for from pages: confirmed on a page of its own, and put into the inbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from homeostat.domain.errors import ConflictError, DataError, HomeostatError, NotFoundError
from homeostat.engine import commands
from homeostat.engine.bandit_state import BanditState, bandit_key
from homeostat.engine.incidents import ABOUT_INCIDENTS
from homeostat.engine.plan import ModelPlan
from homeostat.entrypoints.http.pages import Pages
from homeostat.entrypoints.http.security import read_form

LONGEST_REASON = 500
BACK = ("rollouts", "retraining", "experiments")
"""Pages of a model to go back to; else its own."""


@dataclass(frozen=True, slots=True)
class Words:
    """How an action is asked for and what it does."""

    title: str
    does: str
    back: str = ""


ASKED = {
    commands.Request.APPROVE: Words(
        "Approve {subject}", "It becomes champion at the next tick and answers everyone.", BACK[0]
    ),
    commands.Request.ABORT: Words(
        "Abort {subject}",
        "It gets no more traffic and is never rolled out again by itself.",
        BACK[0],
    ),
    commands.Request.ROLL_BACK: Words(
        "Roll back from {subject}",
        "The previous champion serves everyone again; {subject} is not rolled out again by itself.",
        BACK[0],
    ),
    commands.Request.RETRAIN: Words(
        "Ask for a retraining",
        "Guards still apply: never on faulty data, never on too few labels.",
        BACK[1],
    ),
    commands.Request.START_BANDIT: Words(
        "Start the bandit {subject}",
        "It deals traffic among its arms from the next tick on.",
        BACK[2],
    ),
    commands.Request.STOP_BANDIT: Words(
        "Stop the bandit {subject}", "The champion answers everyone again.", BACK[2]
    ),
}
"""What has a page to confirm it on."""


@dataclass(frozen=True)
class Actions:
    """What a person can ask for from a page."""

    pages: Pages
    plans: Mapping[str, ModelPlan]

    def confirm(self, request: Request) -> Response:
        """Say what an action would do, and ask for a reason; it is refused if it no longer fits."""
        given = request.query_params
        model, subject = given.get("model", ""), given.get("subject", "")
        self.pages.reader.spec(model)
        asked = _request(given.get("request", ""))
        if asked not in ASKED:
            raise DataError(f"{asked} is asked for where it is about, not on a page of its own")
        self._check(asked, model, subject)
        words = ASKED[asked]
        values: dict[str, object] = {
            "model": model,
            "subject": subject,
            "request": asked.value,
            "title": words.title.format(subject=subject),
            "does": words.does.format(subject=subject),
            "back": words.back,
            "asked": self.pages.reader.asked(model),
        }
        return self.pages.render(request, "confirm", values)

    async def ask(self, request: Request) -> Response:
        """Take a form, put the command into the inbox, and go back to the page."""
        try:
            fields = await read_form(request)
            where = await run_in_threadpool(self._submit, fields, request.user.display_name)
        except HomeostatError as error:
            return await run_in_threadpool(self.pages.problem, request, error)
        return RedirectResponse(where, status_code=303)

    def _submit(self, fields: Mapping[str, str], who: str) -> str:
        model, subject = fields.get("model", ""), fields.get("subject", "")
        reader = self.pages.reader
        reader.spec(model)
        request = _request(fields.get("request", ""))
        self._check(request, model, subject)
        reason = fields.get("reason", "").strip()[:LONGEST_REASON]
        command = commands.Command(request, model, who, subject, reason)
        commands.submit(reader.records, command, reader.clock.now())
        if request in ABOUT_INCIDENTS:
            return f"/incidents/{quote(subject)}"
        back = fields.get("back", "")
        return f"/{back if back in BACK else 'models'}/{quote(model)}"

    def _check(self, request: commands.Request, model: str, subject: str) -> None:
        """Refuse what was asked on the ground of a page that is out of date."""
        reader = self.pages.reader
        match request:
            case commands.Request.ACKNOWLEDGE:
                line = reader.incident(subject)
                if not line.open or line.acknowledged_by:
                    raise ConflictError(f"this incident is {line.stage} already; look at it again")
            case commands.Request.CLOSE:
                line = reader.incident(subject)
                if not line.open:
                    raise ConflictError(f"this incident is {line.stage} already; look at it again")
            case commands.Request.PUSH | commands.Request.SUBMIT:
                self.pages.registry.get(model, subject)
            case commands.Request.APPROVE | commands.Request.ABORT:
                self._same(subject, "challenger", model)
            case commands.Request.ROLL_BACK:
                self._same(subject, "champion", model)
            case commands.Request.START_BANDIT | commands.Request.STOP_BANDIT:
                self._deals(model, subject, start=request is commands.Request.START_BANDIT)
            case _:
                return

    def _deals(self, model: str, name: str, *, start: bool) -> None:
        plan = self.plans.get(model)
        if name not in {each.name for each in (plan.bandits if plan else ())}:
            raise NotFoundError(f"{model} has no bandit {name[:200]!r}")
        state = self.pages.reader.records.read(bandit_key(model), BanditState)
        on = state is not None and state.on and state.name == name
        if on is start:
            raise ConflictError(f"the bandit {name} {'runs' if on else 'is off'} already")

    def _same(self, version: str, role: str, model: str) -> None:
        state = self.pages.reader.rollout(model)
        now = "" if state is None else getattr(state, role)
        if not version or version != now:
            raise ConflictError(
                f"the {role} is now {now or 'none'}, not {version or 'none'}; "
                "the model's page shows where the rollout stands"
            )


def _request(text: str) -> commands.Request:
    try:
        return commands.Request(text)
    except ValueError:
        known = ", ".join(commands.Request)
        raise DataError(f"request is {text!r}; it must be one of {known}") from None
