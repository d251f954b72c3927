"""Who may see the pages: the API's tokens, kept in a cookie after signing in with one."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from homeostat.domain.errors import HomeostatError, PermissionDeniedError
from homeostat.entrypoints.http import auth
from homeostat.entrypoints.http.pages import Pages
from homeostat.entrypoints.http.problem import ProblemError
from homeostat.entrypoints.http.security import read_form

COOKIE = "homeostat_token"
SIGN_IN = "/sign-in"
UNAUTHORIZED = 401


class Door:
    """ASGI middleware: admits readers to pages and operators to actions, as the API's gate does.

    Who was admitted stands in ``scope["state"]["actor"]``.

    Parameters
    ----------
    app : ASGIApp
    gate : Gate
    pages : Pages
    """

    def __init__(self, app: ASGIApp, gate: auth.Gate, pages: Pages) -> None:
        self._app, self._gate, self._pages = app, gate, pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit the request or answer it with what is missing."""
        request = Request(scope, receive)
        held = request.cookies.get(COOKIE)
        if held and "authorization" not in request.headers:
            MutableHeaders(scope=scope)["authorization"] = f"Bearer {held}"
            request = Request(scope, receive)
        needed = auth.Scope.READ if request.method in {"GET", "HEAD"} else auth.Scope.OPERATE
        try:
            actor = await self._gate.admit(request, needed)
        except ProblemError as problem:
            answer = await run_in_threadpool(self._refuse, request, problem)
            await answer(scope, receive, send)
            return
        scope.setdefault("state", {})["actor"] = actor
        await self._app(scope, receive, send)

    def _refuse(self, request: Request, problem: ProblemError) -> Response:
        if problem.status == UNAUTHORIZED and request.method == "GET":
            return RedirectResponse(f"{SIGN_IN}?then={quote(request.url.path)}", status_code=303)
        return self._pages.problem(request, PermissionDeniedError(str(problem)))


@dataclass(frozen=True)
class SignIn:
    """The page that takes a token."""

    tokens: auth.Tokens
    pages: Pages

    def show(self, request: Request) -> Response:
        """Ask for a token."""
        return self.pages.render(request, "signin", {"then": _inside(request)})

    async def take(self, request: Request) -> Response:
        """Keep a valid token in a cookie that scripts and other sites cannot use."""
        try:
            secret = (await read_form(request)).get("token", "").strip()
            token = await run_in_threadpool(self.tokens.find, secret)
            if token is None:
                raise PermissionDeniedError(
                    "the token is not valid; homeostat token create makes one"
                )
        except HomeostatError as error:
            return await run_in_threadpool(self.pages.problem, request, error)
        answer = RedirectResponse(_inside(request), status_code=303)
        secure = request.url.scheme == "https"
        answer.set_cookie(COOKIE, secret, httponly=True, samesite="strict", secure=secure)
        return answer


def _inside(request: Request) -> str:
    """Return the page to go to, which can only be one of this site."""
    then = request.query_params.get("then", "/")
    return quote(then) if then.startswith("/") and then[1:2] not in {"/", "\\"} else "/"
