"""Questions to a server, and its refusals as errors that say what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from homeostat.domain.errors import (
    DataError,
    HomeostatError,
    NotFoundError,
    OverloadError,
    PermissionDeniedError,
    StorageError,
)
from homeostat.domain.text import printable
from homeostat_client.wire import Address

LONGEST = 500
ERRORS: Mapping[int, type[HomeostatError]] = {
    401: PermissionDeniedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    422: DataError,
    429: OverloadError,
    503: StorageError,
}
REMEDIES = {
    401: "make a token: homeostat token create NAME --scope read",
    404: "is this the address of a control plane (homeostat serve)?",
    503: "try again in a moment",
}
NEXT = "homeostat-next"


class _Stay(HTTPRedirectHandler):
    """Follows no redirect: the token is for the server that was named."""

    def redirect_request(self, *_: object) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Wire:
    """One server.

    Parameters
    ----------
    url, token : str
    timeout : float
        Seconds that each wait may take.

    Raises
    ------
    DataError
        If the address is none.
    """

    url: str
    token: str = field(default="", repr=False)
    timeout: float = 60.0
    _base: str = field(init=False, repr=False)
    _opener: OpenerDirector = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            at = Address.parse(self.url)
        except ValueError as error:
            raise DataError(str(error)) from error
        object.__setattr__(self, "_base", f"{at.scheme}://{at.netloc}{at.path}/api/v1")
        object.__setattr__(self, "_opener", build_opener(_Stay()))

    def get(self, *path: str, **query: str | int) -> dict[str, object]:
        """Return the answer, a JSON object; raises HomeostatError."""
        body, _ = self.read(*path, **query)
        try:
            found: object = json.loads(body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise NotFoundError(f"{self.url} does not answer as Homeostat does; {REMEDIES[404]}")
        return found

    def read(self, *path: str, **query: str | int) -> tuple[bytes, str]:
        """Return the body, and where to go on if the server says so; raises HomeostatError."""
        asked = urlencode(query)
        where = "/".join([self._base, *(quote(part, safe="") for part in path)])
        request = Request(f"{where}?{asked}" if asked else where)  # noqa: S310 - http(s) only
        if self.token:
            # "Unredirected" headers do not go to a proxy, either.
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        try:
            with self._opener.open(request, timeout=self.timeout) as answer:
                return answer.read(), answer.headers.get(NEXT) or ""
        except HTTPError as error:
            with error:
                raise self._refusal(error.code, error.read()) from error
        except (URLError, HTTPException, OSError, ValueError) as error:
            said = getattr(error, "reason", None) or error
            raise HomeostatError(
                f"{self.url} cannot be reached: {printable(str(said))}; is homeostat serve running?"
            ) from error

    def _refusal(self, status: int, body: bytes) -> HomeostatError:
        try:
            found: object = json.loads(body)
        except ValueError:
            found = None
        told = found if isinstance(found, dict) else {}
        said = str(told.get("error") or f"{self.url} answers with HTTP {status}")
        remedy = str(told.get("remedy") or REMEDIES.get(status, ""))
        if 300 <= status < 400:
            remedy = "it sends callers elsewhere: give the address of the server itself"
        text = f"{said}; {remedy}" if remedy else said
        return ERRORS.get(status, HomeostatError)(printable(text)[:LONGEST])
