"""What keeps the pages safe: response headers, and proof that a form came from one of them."""

from __future__ import annotations

import hmac
import secrets
from urllib.parse import parse_qsl

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from homeostat.domain.errors import DataError, PermissionDeniedError

COOKIE = "homeostat_form"
FIELD = "form_token"
TOKEN_BYTES = 32
LARGEST_FORM = 16_384

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class Headers:
    """ASGI middleware that adds the security headers to each response.

    Parameters
    ----------
    app : ASGIApp
    cache : str
        ``Cache-Control`` for the answers.
    """

    def __init__(self, app: ASGIApp, cache: str = "no-store") -> None:
        self._app, self._cache = app, cache

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the call on and complete the answer's headers."""

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
                headers["Cache-Control"] = self._cache
            await send(message)

        await self._app(scope, receive, complete)


def form_token(request: Request) -> str:
    """Return the browser's token for forms, a new one if it has none yet."""
    return request.cookies.get(COOKIE) or secrets.token_urlsafe(TOKEN_BYTES)


def remember(request: Request, response: Response, token: str) -> None:
    """Give the browser its token, which only this site's own pages can repeat in a form."""
    if request.cookies.get(COOKIE) != token:
        response.set_cookie(
            COOKIE,
            token,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a posted form.

    Raises
    ------
    DataError
        If it is too large or not text.
    PermissionDeniedError
        If it was not sent from one of our pages.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            raise DataError(f"the form is larger than {LARGEST_FORM} bytes")
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=20))
    except ValueError as error:
        raise DataError(f"the form cannot be read: {error}") from error
    known = request.cookies.get(COOKIE, "")
    sent = fields.pop(FIELD, "")
    if not known or not hmac.compare_digest(known.encode(), sent.encode()):
        raise PermissionDeniedError(
            "the form did not come from this page, or the page is from an earlier session; "
            "load the page again and repeat"
        )
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise PermissionDeniedError("forms are taken from this site's own pages only")
    return fields
