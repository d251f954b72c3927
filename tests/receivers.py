"""Receivers that refuse what the real services refuse: PagerDuty, Opsgenie, Slack, Teams and more.

One server on the loopback address speaks for all of them, each under the paths of the real one, so
that a real Alertmanager can page them, too. What is known of each service is in its ``_take``.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

SEVERITIES = {"critical", "error", "warning", "info"}
AFTER = {"trigger": "triggered", "acknowledge": "acknowledged", "resolve": "resolved"}
ROUTING_KEY = "0123456789abcdef0123456789abcdef"
GENIE_KEY = "11111111-2222-3333-4444-555555555555"
PRIORITIES = {f"P{n}" for n in range(1, 6)}
CARD = "application/vnd.microsoft.card.adaptive"
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True)
class Got:
    """One request that was taken or refused."""

    path: str
    headers: dict[str, str]
    body: Any
    status: int


@dataclass
class Receivers:
    """What arrived, and how the next requests are treated.

    Attributes
    ----------
    moods : list of str
        Of the next requests, in order: ``hang``, ``drip``, ``drop`` (taken, and no answer),
        ``html`` (502), ``portal`` (200, a page for people), ``redirect``, ``later`` (429,
        Retry-After 120), ``nonsense`` (no HTTP), a status code, or ``fine``.
    got : list of Got
        Every request, with the status that it was answered with.
    pages : dict
        Of PagerDuty and Opsgenie: the state of each alert by its key; a repeated trigger of an open
        alert is none.
    pageable : list of (str, str)
        Key and action of everything that changed an alert.
    firing : dict
        Of Alertmanager: the end of each alert by its ``incident`` label.
    """

    port: int = 0
    moods: list[str] = field(default_factory=list)
    got: list[Got] = field(default_factory=list)
    pages: dict[str, str] = field(default_factory=dict)
    paged: list[tuple[str, str]] = field(default_factory=list)
    firing: dict[str, datetime] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def bodies(self) -> list[Any]:
        return [entry.body for entry in self.got]

    def taken(self) -> list[Any]:
        """Return the bodies of what was not refused."""
        return [entry.body for entry in self.got if entry.status < 300]

    def take(self, path: str, headers: dict[str, str], data: bytes) -> tuple[int, str]:
        """Return how the service of this path answers."""
        parts = urlsplit(path)
        takers: dict[str, Callable[[str, dict[str, str], Any], tuple[int, str]]] = {
            r"/v2/enqueue": self._take_pagerduty,
            r"(/jsm/ops/integration)?/v2/alerts(/.*)?": self._take_opsgenie,
            r"/services/.*": self._take_slack,
            r"/workflows/.*": self._take_teams,
            r"/api/v2/alerts": self._take_alertmanager,
            r"/hook.*": lambda *_: (204, ""),
        }
        try:
            body = json.loads(data)
        except ValueError:
            return 400, "no JSON"
        for pattern, taker in takers.items():
            if re.fullmatch(pattern, parts.path):
                status, said = taker(path, headers, body)
                self.got.append(Got(path, headers, body, status))
                return status, said
        return 404, "nothing here"

    def _page(self, key: str, action: str) -> None:
        before = self.pages.get(key)
        after = AFTER[action]
        again = before == after or (action == "trigger" and before == "acknowledged")
        unknown = action != "trigger" and before in {None, "resolved"}
        if not again and not unknown:
            self.pages[key] = after
            self.paged.append((key, action))

    def _take_pagerduty(self, _path: str, _headers: dict[str, str], event: Any) -> tuple[int, str]:
        """Check as PagerDuty's OpenAPI of events v2 says."""
        errors = _event_errors(event)
        if errors:
            said = {"status": "invalid event", "message": "Event object is invalid"}
            return 400, json.dumps({**said, "errors": errors})
        self._page(event["dedup_key"], event["event_action"])
        done = {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]}
        return 202, json.dumps(done)

    def _take_opsgenie(self, path: str, headers: dict[str, str], body: Any) -> tuple[int, str]:
        if headers.get("Authorization") != f"GenieKey {GENIE_KEY}":
            return 401, json.dumps({"message": "API Key does not exist", "took": 0.0})
        found = re.search(
            r"/v2/alerts/([^/?]+)/(close|acknowledge|notes)\?identifierType=alias$", path
        )
        if found is None and not urlsplit(path).path.endswith("/v2/alerts"):
            return 404, json.dumps({"message": "no such call"})
        if found is not None:
            actions = {"close": "resolve", "acknowledge": "acknowledge"}
            if found[2] in actions:
                self._page(unquote(found[1]), actions[found[2]])
            elif not body.get("note"):
                return 422, json.dumps({"message": "note is mandatory"})
        else:
            errors = _alert_errors(body)
            if errors:
                said = {"message": "Request body is not processable", "errors": errors}
                return 422, json.dumps(said)
            self._page(body["alias"], "trigger")
        return 202, json.dumps({"result": "Request will be processed", "requestId": "43a29c5c"})

    def _take_slack(self, _path: str, _headers: dict[str, str], body: Any) -> tuple[int, str]:
        if not any(body.get(part) for part in ("text", "blocks", "attachments")):
            return 400, "no_text"
        return (200, "ok") if _blocks_fit(body.get("blocks", [])) else (400, "invalid_blocks")

    def _take_teams(self, _path: str, _headers: dict[str, str], body: Any) -> tuple[int, str]:
        attachments = body.get("attachments") or [{}]
        card = attachments[0].get("content", {})
        if body.get("type") != "message" or attachments[0].get("contentType") != CARD:
            return 400, "no card"
        if card.get("type") != "AdaptiveCard" or not card.get("version") or not card.get("body"):
            return 400, "not an adaptive card"
        return (413, "too large") if len(json.dumps(body)) > 28 * 1024 else (202, "")

    def _take_alertmanager(self, _path: str, _heads: dict[str, str], body: Any) -> tuple[int, str]:
        """Answer as Alertmanager 0.25 was seen to."""
        if not isinstance(body, list):
            return 400, "parsing alerts body failed"
        for alert in body:
            status, said = _alert_status(alert)
            if status != 200:
                return status, said
        for alert in body:
            self.firing[alert["labels"].get("incident", "")] = _moment(alert["endsAt"])
        return 200, ""


def _event_errors(event: Any) -> list[str]:
    if not isinstance(event, dict):
        return ["not an object"]
    action, payload = event.get("event_action"), event.get("payload", {})
    key = event.get("dedup_key", "")
    wrong = {
        "'routing_key' is invalid": len(event.get("routing_key", "")) != 32,
        f"'event_action' must be one of {sorted(AFTER)}": action not in AFTER,
        "'dedup_key' is missing or too long": not 0 < len(key) <= 255,
    }
    if action == "trigger":
        wrong |= {
            f"'payload.{name}' is missing or blank": not payload.get(name)
            for name in ("summary", "source", "severity")
        }
        wrong["'payload.severity' is invalid"] = payload.get("severity") not in SEVERITIES
        wrong["'payload.summary' is too long"] = len(payload.get("summary", "")) > 1024
        links = event.get("links", [])
        wrong["'links' hold no href"] = any(not _is_url(link.get("href")) for link in links)
    wrong["event is too large"] = len(json.dumps(event)) > 512_000
    return [error for error, is_so in wrong.items() if is_so]


def _alert_errors(body: Any) -> dict[str, str]:
    most = {"message": 130, "alias": 512, "description": 15_000, "source": 100, "entity": 512}
    details, tags = body.get("details", {}), body.get("tags", [])
    wrong = {name: len(body.get(name, "")) > limit for name, limit in most.items()}
    wrong |= {
        "message": wrong["message"] or not body.get("message"),
        "priority": body.get("priority", "P3") not in PRIORITIES,
        "details": not all(isinstance(v, str) for v in details.values())
        or sum(len(k) + len(v) for k, v in details.items()) > 8000,
        "tags": len(tags) > 20 or any(len(tag) > 50 for tag in tags),
    }
    return {name: "is not valid" for name, is_so in wrong.items() if is_so}


def _blocks_fit(blocks: list[dict[str, Any]]) -> bool:
    limits = {"header": 150, "section": 3000}
    for block in blocks:
        text = block.get("text", {})
        if block["type"] in limits and not 0 < len(text.get("text", "")) <= limits[block["type"]]:
            return False
        if block["type"] == "header" and text.get("type") != "plain_text":
            return False
        if block["type"] == "context" and not 0 < len(block["elements"]) <= 10:
            return False
    return len(blocks) <= 50


def _alert_status(alert: dict[str, Any]) -> tuple[int, str]:
    labels = alert.get("labels")
    if not labels or not all(isinstance(v, str) for v in labels.values()):
        return 400, "at least one label pair required"
    if not all(LABEL.fullmatch(name) for name in labels):
        return 400, "invalid label set"
    if _moment(alert["endsAt"]) < _moment(alert["startsAt"]):
        return 400, "start time must be before end time"
    if "generatorURL" in alert and not _is_url(alert["generatorURL"]):
        return 422, "generatorURL must be of type uri"
    return 200, ""


def _is_url(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"https?://[!-~]+", text) is not None


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    assert found.tzinfo is not None
    return found


class _Handler(BaseHTTPRequestHandler):
    state: Receivers

    def do_POST(self) -> None:
        """Treat one request as the mood says."""
        mood = self.state.moods.pop(0) if self.state.moods else "fine"
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if mood in {"fine", "drop"}:
            status, said = self.state.take(self.path, dict(self.headers), data)
            if mood == "fine":
                self._answer(status, said, "application/json")
        elif mood == "hang":
            self.state.released.wait(20)
        elif mood == "drip":
            self._drip()
        elif mood == "nonsense":
            self.wfile.write(b"what?\r\n\r\n")
        elif mood == "html":
            self._answer(502, "<html><body><h1>502</h1>\nBad Gateway</body></html>", "text/html")
        elif mood == "portal":
            self._answer(200, "<!DOCTYPE html><html><body>Sign in</body></html>", "text/html")
        elif mood == "redirect":
            self._answer(302, "", "text/html", {"Location": "/hook/elsewhere"})
        elif mood == "later":
            self._answer(429, "slow down", "text/plain", {"Retry-After": "120"})
        else:
            self._answer(int(mood), f"said {mood}", "text/plain")
        self.close_connection = True

    def _answer(
        self, status: int, said: str, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        with suppress(OSError):  # whoever asked may be gone
            self._write(status, said.encode(), kind, headers or {})

    def _write(self, status: int, body: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drip(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not self.state.released.wait(0.02):
            try:
                self.wfile.write(b"x")
            except OSError:
                return

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Receivers]:
    """Run the receivers on a free port."""
    state = Receivers()
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
