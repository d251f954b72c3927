"""Signed webhooks and the HTTP that all receivers on the web have in common."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.notifiers.http import Poster
from homeostat.adapters.notifiers.webhook import (
    Json,
    WebhookNotifier,
    filled,
    payload,
    signature,
)
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.errors import ConfigError, DeliveryError
from homeostat.simulation.clock import SimulatedClock
from receivers import Receivers, serving

NOW = datetime(2024, 1, 1, 12, tzinfo=UTC)
NOTICE = Notify(
    "fraud:data_fault:1", NotifyAction.TRIGGER, "hook", Severity.CRITICAL, "fraud",
    "fraud: data fault (amount)", "amount is 100 times too big", "runbooks/data-fault.md", NOW,
)  # fmt: skip


@pytest.fixture
def receiver() -> Iterator[Receivers]:
    with serving() as state:
        yield state


def hook(url: str, secret: str = "", template: Json = None) -> WebhookNotifier:
    return WebhookNotifier(Poster("webhook", url, SimulatedClock(NOW)), secret, template)


def test_everything_arrives_signed(receiver: Receivers) -> None:
    assert hook(f"{receiver.url}/hook", "secret").send(NOTICE) == "204"
    (got,) = receiver.got
    assert got.path == "/hook"
    assert got.body == {
        "key": "notify:hook:fraud:data_fault:1:trigger",
        "incident": "fraud:data_fault:1",
        "action": "trigger",
        "receiver": "hook",
        "severity": "critical",
        "model": "fraud",
        "title": "fraud: data fault (amount)",
        "body": "amount is 100 times too big",
        "runbook": "runbooks/data-fault.md",
        "at": "2024-01-01T12:00:00+00:00",
    }
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["Idempotency-Key"] == NOTICE.key
    assert got.headers["X-Homeostat-Timestamp"] == "1704110400"
    expected = signature("secret", "1704110400", payload(NOTICE))
    assert got.headers["X-Homeostat-Signature"] == expected


def test_the_signature_is_what_openssl_computes() -> None:
    # printf '1704110400.{}' | openssl dgst -sha256 -hmac secret
    expected = "f3817c196e58b728e07e8a3b5204ec984ab8d8c5baa0ad0e15947c0d29839e35"
    assert signature("secret", "1704110400", b"{}") == f"sha256={expected}"


def test_without_a_secret_nothing_is_signed(receiver: Receivers) -> None:
    hook(f"{receiver.url}/hook").send(NOTICE)
    assert "X-Homeostat-Signature" not in receiver.got[0].headers


def test_a_template_says_what_is_posted(receiver: Receivers) -> None:
    template = {"text": "{{ title }}: {{body}}", "n": 1, "to": [{"who": "{{severity}}"}, None]}
    hook(f"{receiver.url}/hook", template=template).send(
        replace(NOTICE, title='"{{key}}"', body="a\nb")
    )
    expected = {"text": '"{{key}}": a\nb', "n": 1, "to": [{"who": "critical"}, None]}
    assert receiver.bodies == [expected]


@pytest.mark.parametrize("name", ["titel", "title.__class__", "", "7*7"])
def test_a_template_names_fields_only(name: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"the template names {name!r}; use one of")):
        hook("http://localhost/", template={"text": [f"{{{{{name}}}}}"]})


def test_what_a_field_holds_is_not_looked_at_again() -> None:
    assert filled("{{a}}", {"a": "{{b}}", "b": "secret"}) == "{{b}}"


@pytest.mark.parametrize("status", ["200", "201", "202"])
def test_any_success_will_do_and_is_told(receiver: Receivers, status: str) -> None:
    receiver.moods = [status]
    assert hook(f"{receiver.url}/hook").send(NOTICE) == f"{status} said {status}"


@pytest.mark.parametrize(
    ("status", "retry"),
    [
        *((status, True) for status in (408, 429, 500, 503)),
        *((status, False) for status in (400, 401, 404, 410)),
    ],
)
def test_refusals_say_whether_trying_again_helps(
    receiver: Receivers, status: int, retry: bool
) -> None:
    receiver.moods = [str(status)]
    expected = f"webhook 127.0.0.1 answered {status}: said {status}$"
    with pytest.raises(DeliveryError, match=expected) as caught:
        hook(f"{receiver.url}/hook").send(NOTICE)
    assert caught.value.retry is retry
    assert caught.value.after is None


@pytest.mark.parametrize(
    ("said", "after"),
    [
        ("120", timedelta(minutes=2)),
        ("Mon, 01 Jan 2024 12:00:30 GMT", timedelta(seconds=30)),
        ("Mon, 01 Jan 2024 11:00:00 -0000", timedelta(0)),
        ("99999999999999", timedelta(seconds=999999999)),
        ("soon", None),
        ("-1", None),
        ("\u00b2", None),
    ],
)
def test_when_to_come_back_is_read_as_seconds_or_a_date(said: str, after: timedelta | None) -> None:
    assert Poster("webhook", "http://localhost", SimulatedClock(NOW))._after(said) == after


def test_a_refusal_says_when_to_come_back(receiver: Receivers) -> None:
    receiver.moods = ["later"]
    with pytest.raises(DeliveryError, match="429: slow down") as caught:
        hook(f"{receiver.url}/hook").send(NOTICE)
    assert (caught.value.retry, caught.value.after) == (True, timedelta(seconds=120))


def test_redirects_are_not_followed(receiver: Receivers) -> None:
    receiver.moods = ["redirect"]
    with pytest.raises(DeliveryError, match="redirects are not followed") as caught:
        hook(f"{receiver.url}/hook").send(NOTICE)
    assert not caught.value.retry
    assert receiver.got == []


def test_proxies_of_the_environment_are_not_used(
    receiver: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    hook(f"{receiver.url}/hook").send(NOTICE)
    assert len(receiver.got) == 1


@pytest.mark.parametrize("mood", ["hang", "drip"])
def test_a_slow_receiver_is_given_up(receiver: Receivers, mood: str) -> None:
    """The time is for all of it: a byte now and then does not prolong it."""
    receiver.moods = [mood]
    quick = timedelta(milliseconds=100)
    notifier = WebhookNotifier(Poster("webhook", f"{receiver.url}/hook", SystemClock(), quick))
    with pytest.raises(DeliveryError, match="timed out") as caught:
        notifier.send(NOTICE)
    assert caught.value.retry


def test_time_that_is_up_between_two_steps_is_told_as_well(receiver: Receivers) -> None:
    class Hasty(SimulatedClock):
        def monotonic(self) -> float:
            self.seconds = getattr(self, "seconds", 0.0) + 4.0
            return self.seconds

    notifier = WebhookNotifier(Poster("webhook", f"{receiver.url}/hook", Hasty(NOW)))
    with pytest.raises(DeliveryError, match="TimeoutError: timed out"):
        notifier.send(NOTICE)


@pytest.mark.parametrize(
    ("mood", "problem"), [("drop", "RemoteDisconnected"), ("nonsense", "BadStatusLine")]
)
def test_no_answer_may_be_tried_again(receiver: Receivers, mood: str, problem: str) -> None:
    receiver.moods = [mood]
    with pytest.raises(DeliveryError, match=problem) as caught:
        hook(f"{receiver.url}/hook").send(NOTICE)
    assert caught.value.retry


def test_nobody_there_may_be_tried_again() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DeliveryError, match="ConnectionRefusedError") as caught:
        hook(f"http://127.0.0.1:{port}").send(NOTICE)
    assert caught.value.retry


def test_an_unknown_host_may_be_tried_again() -> None:
    with pytest.raises(DeliveryError, match=r"webhook nowhere\.invalid: gaierror") as caught:
        hook("http://nowhere.invalid/hook").send(NOTICE)
    assert caught.value.retry


def test_https_does_not_fall_back_to_plain(receiver: Receivers) -> None:
    with pytest.raises(DeliveryError, match="SSL"):
        hook(f"{receiver.url}/hook".replace("http:", "https:")).send(NOTICE)
    assert receiver.got == []


def test_a_page_of_html_becomes_one_line(receiver: Receivers) -> None:
    receiver.moods = ["html"]
    with pytest.raises(DeliveryError) as caught:
        hook(f"{receiver.url}/hook").send(NOTICE)
    expected = "502: <html><body><h1>502</h1> Bad Gateway</body></html>"
    assert str(caught.value).endswith(expected)


def test_hostile_names_stay_in_their_header(receiver: Receivers) -> None:
    hostile = replace(NOTICE, incident="m\r\nX-Evil: 1:r\u00e9gle:1", title="\u2028\r\n")
    hook(f"{receiver.url}/hook").send(hostile)
    (got,) = receiver.got
    assert "X-Evil" not in got.headers
    assert got.headers["Idempotency-Key"].startswith("notify:hook:m%0D%0AX-Evil")
    assert got.body["title"] == "\u2028\r\n"


def test_path_and_query_are_kept(receiver: Receivers) -> None:
    hook(f"{receiver.url}/hook/a b?token=x%20y&z=1").send(NOTICE)
    assert receiver.got[0].path == "/hook/a%20b?token=x%20y&z=1"
    with pytest.raises(DeliveryError, match="404"):
        hook(receiver.url).send(NOTICE)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://example.org/x",
        "file:///etc/passwd",
        "http://",
        "example.org/hook",
        "http://example.org:99999/",
        "http://example.org:0/",
        "http://user:password@example.org/",
        "http://[::1/",
        f"http://{'a' * 64}.org/",
    ],
)
def test_an_unusable_address_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError, match="the webhook's address"):
        hook(url)


def test_secrets_stay_out_of_errors_and_reprs(receiver: Receivers) -> None:
    """A receiver that repeats a key or its path does not bring them into our records."""
    url, key = f"{receiver.url}/unknown/T0KEN-0123456789", "secret-key"
    poster = Poster("webhook", url, SimulatedClock(NOW), secrets=(key, url))
    receiver.take = lambda path, _headers, _data: (400, f"no {path} with {key}")  # type: ignore[method-assign]
    with pytest.raises(DeliveryError) as caught:
        WebhookNotifier(poster, key).send(NOTICE)
    assert str(caught.value).endswith("answered 400: no /unknown/*** with ***")
    assert "T0KEN" not in repr(WebhookNotifier(poster, key))
    assert "secret-key" not in repr(WebhookNotifier(poster, key))


@pytest.mark.parametrize("status", [202, 400])
def test_a_query_that_is_repeated_stays_out_of_what_is_kept(
    receiver: Receivers, status: int
) -> None:
    """As that of a Teams workflow, whose signature is all that one needs to post there."""
    signed = "api-version=1&sp=%2Ftriggers%2Fmanual&sig=S3CR3T-0123_aB%2Bc d"
    poster = Poster("teams", f"{receiver.url}/workflows?{signed}", SimulatedClock(NOW))
    said = "at {} with S3CR3T-0123_aB+c d, S3CR3T-0123_aB%2Bc+d and <a href='?v=1&amp;sig={}'>"
    receiver.take = lambda path, *_: (status, said.format(path, path.partition("sig=")[2]))  # type: ignore[method-assign]
    with nullcontext() if status == 202 else pytest.raises(DeliveryError) as caught:
        kept = str(poster.post(b""))
    kept = kept if caught is None else str(caught.value)
    assert "S3CR3T" not in kept
    assert "triggers" not in kept


def test_the_payload_is_plain_ascii() -> None:
    assert payload(replace(NOTICE, body="\u00e9")).isascii()
    assert json.loads(payload(NOTICE))["key"] == NOTICE.key
