"""Refused requests, and the form in which each protocol tells of them."""

from __future__ import annotations

from homeostat.domain.errors import DataError

OIP = "/v2"
INVOCATIONS = "/invocations"
CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    503: "TEMPORARILY_UNAVAILABLE",
}
OTHER_CODE = "INVALID_PARAMETER_VALUE"


class RefusedError(DataError):
    """A request that is not answered: the caller's mistake, or there are too many of them.

    Parameters
    ----------
    status : int
        As of HTTP.
    message : str
        What is wrong and what to do.
    row : int, optional
    column : str
        Where, as far as known.
    """

    def __init__(self, status: int, message: str, row: int | None = None, column: str = "") -> None:
        self.status, self.row, self.column = status, row, column
        super().__init__(message)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer."""
        if self.status == 413:  # the rest of the body is not waited for
            return {"connection": "close"}
        return {"retry-after": "1"} if self.status == 503 else {}


def told(refused: RefusedError, path: str) -> dict[str, object]:
    """Return the body of the answer to a request for a path.

    Examples
    --------
    >>> told(RefusedError(404, "no such model"), "/v2/models/x/infer")
    {'error': 'no such model'}
    >>> told(RefusedError(404, "no such model"), "/models/x/invocations")
    {'error_code': 'RESOURCE_DOES_NOT_EXIST', 'message': 'no such model'}
    >>> told(RefusedError(404, "no such model"), "/v1/models/x/predict")
    {'error': {'message': 'no such model', 'row': None, 'column': ''}}
    """
    if path == OIP or path.startswith(f"{OIP}/"):
        return {"error": str(refused)}
    if path.endswith(INVOCATIONS):
        code = CODES.get(refused.status, OTHER_CODE)
        return {"error_code": code, "message": str(refused)}
    return {"error": {"message": str(refused), "row": refused.row, "column": refused.column}}
