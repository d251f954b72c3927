"""Calls to Airflow's REST API, version 2 (Airflow 3.0 and later)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import quote, urlsplit

from homeostat.domain.errors import ConfigError, DeliveryError
from homeostat.domain.text import printable

MOST_READ = 4 * 1024 * 1024
MOST_SAID = 300
CONFLICT, MISSING, UNAUTHORISED = 409, 404, 401
AGAIN = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Login:
    """A user of Airflow's own, whose tokens are asked for at ``/auth/token`` as they end."""

    user: str
    password: str = field(repr=False)


@dataclass
class AirflowApi:
    """Asks one Airflow, and follows no redirect away from it.

    Parameters
    ----------
    url : str
        Of its API server, such as ``https://airflow.example.org``.
    credentials : Login or str
        A user, or a bearer token that was issued elsewhere.
    timeout : timedelta
        Of each exchange.

    Raises
    ------
    ConfigError
        If the address is not one of http or https, or holds a password.
    """

    url: str
    credentials: Login | str = field(repr=False)
    timeout: timedelta = timedelta(seconds=10)
    _token: str = field(default="", init=False, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            remedy = "use one such as https://airflow.example.org, without a user in it"
            raise ConfigError("the address of Airflow is not an http or https URL", remedy)

    def start(self, dag: str, run: str, conf: Mapping[str, object]) -> None:
        """Begin a run; one that is there already by this id stays as it is.

        Raises
        ------
        DeliveryError
            If Airflow cannot be reached (``retry``), or refuses.
        """
        body = {"dag_run_id": run, "logical_date": None, "conf": conf}
        status, said = self._call("POST", f"/api/v2/dags/{_part(dag)}/dagRuns", body)
        if status != CONFLICT:
            self._check(status, said)

    def state(self, dag: str, run: str) -> str:
        """Return ``queued``, ``running``, ``success`` or ``failed``; empty if there is no such run.

        Raises
        ------
        DeliveryError
            If Airflow cannot be reached (``retry``), or refuses.
        """
        status, said = self._call("GET", f"/api/v2/dags/{_part(dag)}/dagRuns/{_part(run)}")
        if status == MISSING:
            return ""
        found = self._check(status, said).get("state")
        if not isinstance(found, str):
            raise DeliveryError(f"airflow says no state of the run {run}", retry=True)
        return found

    def fail(self, dag: str, run: str) -> None:
        """Mark a run as failed, which ends its tasks; one that is not there is no error.

        Raises
        ------
        DeliveryError
            If Airflow cannot be reached (``retry``), or refuses.
        """
        path = f"/api/v2/dags/{_part(dag)}/dagRuns/{_part(run)}?update_mask=state"
        status, said = self._call("PATCH", path, {"state": "failed"})
        if status != MISSING:
            self._check(status, said)

    def _call(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        for last in (False, True):
            token = self.credentials if isinstance(self.credentials, str) else self._login()
            status, said = self._exchange(method, path, body, token)
            if status != UNAUTHORISED or last or isinstance(self.credentials, str):
                break
            self._token = ""  # it has ended: one more try with a new one
        return status, said

    def _login(self) -> str:
        assert isinstance(self.credentials, Login)
        if not self._token:
            asked = {"username": self.credentials.user, "password": self.credentials.password}
            found = self._check(*self._exchange("POST", "/auth/token", asked, "")).get(
                "access_token"
            )
            if not isinstance(found, str) or not found:
                raise DeliveryError("airflow gave no token at /auth/token", retry=False)
            self._token = found
        return self._token

    def _exchange(self, method: str, path: str, body: object, token: str) -> tuple[int, bytes]:
        parts = urlsplit(self.url)
        connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        headers = {"Accept": "application/json", "User-Agent": "homeostat"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        try:
            line = connect(parts.hostname or "", parts.port, timeout=self.timeout.total_seconds())
            try:
                line.request(method, parts.path.rstrip("/") + path, data, headers)
                answer = line.getresponse()
                return answer.status, answer.read(MOST_READ)
            finally:
                line.close()
        except (OSError, HTTPException, ValueError) as error:
            problem = f"airflow {parts.hostname} cannot be reached: {type(error).__name__}: {error}"
            raise DeliveryError(problem, retry=True) from error

    def _check(self, status: int, said: bytes) -> dict[str, object]:
        if not 200 <= status < 300:
            text = printable(said[:MOST_SAID].decode(errors="replace"))
            host = urlsplit(self.url).hostname
            again = status in AGAIN or status >= 500
            raise DeliveryError(f"airflow {host} answered {status}: {text}", retry=again)
        try:
            found: object = json.loads(said)
        except ValueError as error:
            raise DeliveryError("airflow answered with something else than JSON", retry=True) from (
                error
            )
        return found if isinstance(found, dict) else {}


def _part(name: str) -> str:
    return quote(name, safe="")
