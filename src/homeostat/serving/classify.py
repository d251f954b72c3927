"""What a call's end tells about the model: from exceptions and from answers of model servers.

The servers disagree about 400. KServe and most JSON services keep it for wrong input. MLflow gives
it to any exception of the model, MLServer to every inference error, Triton to unknown errors. To
ignore it blinds the breaker; to count it lets a client with bad rows stop the model for everybody.
The rule: of these three servers a 400 is a fault if, and only if, the request had been *checked*:
it satisfied the model's schema before it was sent. Bad rows never pass that check, and a model that
cannot take good ones is at fault.
"""

from __future__ import annotations

from enum import StrEnum

from homeostat.domain.errors import HomeostatError, UserError
from homeostat.serving.breaker import Outcome


class Upstream(StrEnum):
    """Who answers; the first three speak the Open Inference Protocol V2."""

    KSERVE = "kserve"
    MLSERVER = "mlserver"
    TRITON = "triton"
    MLFLOW = "mlflow"
    JSON = "json"


AMBIGUOUS_400 = frozenset({Upstream.MLSERVER, Upstream.TRITON, Upstream.MLFLOW})

# The caller of these is the gateway, and its configuration names the model: whoever asked for a
# prediction has no part in them. A plain JSON service may answer 404 about the entity.
OURS = frozenset({401, 403, 405, 406, 407, 410})
OVERLOADED = 429
GONE_AWAY = frozenset({408, 499})  # the connection idled or was given up: nothing was tried

_CLIENT = frozenset({"INVALID_ARGUMENT", "OUT_OF_RANGE", "ALREADY_EXISTS"})


class UpstreamError(HomeostatError):
    """A server elsewhere gave no answer, or none that can be used.

    Parameters
    ----------
    message : str
    outcome : Outcome
        What that tells about the model.
    overloaded : bool
        Whether it said that there is too much to do.
    """

    def __init__(self, message: str, outcome: Outcome, *, overloaded: bool = False) -> None:
        self.outcome, self.overloaded = outcome, overloaded
        super().__init__(message)


def of_error(error: BaseException) -> Outcome:
    """Say what an exception tells about the model.

    Errors of connections and time-outs are faults as any other exception. `UserError` is the
    caller's. An `UpstreamError` says it itself. What ends a task or the program
    (``CancelledError``, ``KeyboardInterrupt``, ``SystemExit``, ``GeneratorExit``) tells nothing.

    Examples
    --------
    >>> of_error(TimeoutError()).value, of_error(UserError()).value, of_error(SystemExit()).value
    ('fault', 'client_error', 'neutral')
    """
    if isinstance(error, UpstreamError):
        return error.outcome
    if isinstance(error, UserError):
        return Outcome.CLIENT_ERROR
    return Outcome.FAULT if isinstance(error, Exception) else Outcome.NEUTRAL


def of_status(upstream: Upstream, status: int, *, checked: bool) -> Outcome:
    """Say what the HTTP status of an answer tells about the model.

    Parameters
    ----------
    upstream : Upstream
    status : int
    checked : bool
        Whether the request satisfied the model's schema before it was sent.

    Returns
    -------
    Outcome
        2xx is a success; 5xx, redirects, 429 (it is overloaded) and refusals that only the
        gateway's own configuration can cause are faults, among them 404 of a model server; 408
        and 499 are neutral; 400 as told above; other 4xx are the client's.

    Examples
    --------
    >>> of_status(Upstream.MLFLOW, 400, checked=True).value
    'fault'
    >>> of_status(Upstream.MLFLOW, 400, checked=False).value
    'client_error'
    >>> of_status(Upstream.KSERVE, 400, checked=True).value
    'client_error'
    """
    if 200 <= status < 300:
        return Outcome.SUCCESS
    if not 400 <= status < 500 or status in OURS or status == OVERLOADED:
        return Outcome.FAULT
    if status in GONE_AWAY:
        return Outcome.NEUTRAL
    model_missing = status == 404 and upstream is not Upstream.JSON
    own_failure = status == 400 and checked and upstream in AMBIGUOUS_400
    return Outcome.FAULT if model_missing or own_failure else Outcome.CLIENT_ERROR


def of_code(code: str) -> Outcome:
    """Say what the name of a gRPC status code tells about the model.

    Examples
    --------
    >>> [of_code(code).value for code in ("OK", "UNAVAILABLE", "INVALID_ARGUMENT", "CANCELLED")]
    ['success', 'fault', 'client_error', 'neutral']
    """
    if code == "OK":
        return Outcome.SUCCESS
    if code == "CANCELLED":
        return Outcome.NEUTRAL
    return Outcome.CLIENT_ERROR if code in _CLIENT else Outcome.FAULT
