from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from homeostat.adapters.notifiers.alertmanager import AlertmanagerNotifier
from homeostat.adapters.notifiers.console import ConsoleNotifier
from homeostat.adapters.notifiers.mail import MailNotifier
from homeostat.adapters.notifiers.opsgenie import OpsgenieNotifier
from homeostat.adapters.notifiers.pagerduty import PagerDutyNotifier
from homeostat.adapters.notifiers.slack import SlackNotifier
from homeostat.adapters.notifiers.teams import TeamsNotifier
from homeostat.adapters.notifiers.webhook import WebhookNotifier
from homeostat.alerting.delivery import Limit, Manners
from homeostat.alerting.hours import Hours
from homeostat.domain.errors import ConfigError
from homeostat.engine.ports import Notifier
from homeostat.entrypoints.http.paging import Inbound
from homeostat.entrypoints.inbound import inbound
from homeostat.entrypoints.receivers import receivers
from homeostat.entrypoints.settings import Settings, load
from homeostat.entrypoints.settings.hours import Stretch
from homeostat.entrypoints.settings.receivers import manners_of
from homeostat.simulation.clock import SimulatedClock

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
HEAD = "server: {url: 'https://ml.example.org'}\nreceivers:\n"
MODELS = """\
models:
  - name: fraud
    task: binary
    features: {amount: numeric}
    labels: {maturity: 1d}
"""
MAIL = "{type: mail, host: x, sender: a@b, to: [a@b]"
ALL = """\
  console: {type: console}
  hook: {type: webhook, url_env: HOOK_URL, secret_env: HOOK_KEY, template: {text: '{{title}}'}}
  plain: {type: webhook, url: 'https://example.org/hook'}
  duty: {type: pagerduty, key_env: PD_KEY}
  old: {type: opsgenie, key_env: OG_KEY, url: 'https://api.eu.opsgenie.com', team: ml}
  jira: {type: jira, key_env: OG_KEY, timeout: 5s}
  slack: {type: slack, url_env: HOOK_URL}
  teams: {type: teams, url_env: HOOK_URL}
  am: {type: alertmanager, url: 'http://am', token_env: AM_TOKEN, labels: {env: prod}, kept: 2h}
  mail:
    {type: mail, host: mx, sender: a@b.c, to: [d@e.f], user: ops, password_env: MAIL_PASSWORD}
"""
SECRETS = {
    "HOOK_URL": "https://example.org/secret",
    "HOOK_KEY": "hook-key",
    "PD_KEY": "pd-key",
    "OG_KEY": "og-key",
    "AM_TOKEN": "am-token",
    "MAIL_PASSWORD": "mail-password",
}


def made(folder: Path, text: str, secrets: dict[str, str]) -> dict[str, Notifier]:
    file = folder / "homeostat.yaml"
    file.write_text(HEAD + text + MODELS)
    return receivers(load(file), SimulatedClock(NOW), secrets)


def test_each_receiver_gets_its_settings_and_secrets(tmp_path: Path) -> None:
    found = made(tmp_path, ALL, SECRETS)
    assert isinstance(found["console"], ConsoleNotifier)
    hook, plain = found["hook"], found["plain"]
    assert isinstance(hook, WebhookNotifier)
    assert isinstance(plain, WebhookNotifier)
    assert (hook.poster.url, hook.secret) == ("https://example.org/secret", "hook-key")
    assert hook.template == {"text": "{{title}}"}
    assert (plain.poster.url, plain.secret, plain.template) == (
        "https://example.org/hook", "", None,
    )  # fmt: skip
    duty, old, jira = found["duty"], found["old"], found["jira"]
    assert isinstance(duty, PagerDutyNotifier)
    assert (duty.poster.url, duty.routing_key) == ("https://events.pagerduty.com", "pd-key")
    assert (duty.base, duty.poster.secrets) == ("https://ml.example.org", ("pd-key",))
    assert isinstance(old, OpsgenieNotifier)
    assert (old.poster.url, old.key, old.team) == ("https://api.eu.opsgenie.com", "og-key", "ml")
    assert isinstance(jira, OpsgenieNotifier)
    assert jira.poster.url == "https://api.atlassian.com/jsm/ops/integration"
    assert jira.poster.timeout == timedelta(seconds=5)
    slack, teams, manager, mail = found["slack"], found["teams"], found["am"], found["mail"]
    assert isinstance(slack, SlackNotifier)
    assert isinstance(teams, TeamsNotifier)
    assert slack.poster.url == teams.poster.url == "https://example.org/secret"
    assert isinstance(manager, AlertmanagerNotifier)
    assert (manager.token, manager.labels) == ("am-token", {"env": "prod"})
    assert manager.kept == timedelta(hours=2)
    assert isinstance(mail, MailNotifier)
    assert (mail.port, mail.security, mail.password) == (587, "starttls", "mail-password")
    assert not [key for key in SECRETS.values() if key in repr(found) and not key.startswith("h")]


@pytest.mark.parametrize("name", SECRETS)
def test_a_variable_that_is_not_set_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f"receivers.*_env: .*{name} is not set"):
        made(tmp_path, ALL, {**SECRETS, name: ""})


def test_apprise_is_asked_for_only_where_it_is_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    with pytest.raises(ConfigError, match="Apprise is not installed"):
        made(tmp_path, "  a: {type: apprise, url_env: HOOK_URL}\n", SECRETS)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{type: webhook, url: 'ftp://x'}", "is not an http or https URL"),
        ("{type: webhook, url: 'http://x', template: {a: '{{b}}'}}", "the template names 'b'"),
        ("{type: pagerduty, key_env: K, url: 'x'}", "is not an http or https URL"),
        ("{type: pagerduty}", "is missing"),
        ("{type: opsgenie, key_env: K, url: 'http://u:p@x'}", "holds a password"),
        ("{type: jira, key_env: K, url: 'x'}", "is not an http or https URL"),
        ("{type: slack, url_env: 'https://hooks.slack.com/x'}", "is not the name of an env"),
        ("{type: alertmanager, url: 'am:9093'}", "is not an http or https URL"),
        ("{type: alertmanager, url: 'http://a', labels: {'a-b': x}}", "cannot be a label here"),
        ("{type: alertmanager, url: 'http://a', labels: {model: x}}", "cannot be a label here"),
        ("{type: mail, host: x, sender: a@b, to: []}", "must not be empty"),
        ("{type: mail, host: x, sender: a@b, to: ['a']}", "is no mail address: 'a'"),
        ('{type: mail, host: x, sender: "a@b\\n", to: [a@b]}', "is no mail address"),
        ("{type: mail, host: x, sender: a@b, to: ['a@b, c@d']}", "is no mail address"),
        ("{type: mail, host: x, sender: a@b, to: [a@b], user: u}", "stand together"),
        (
            f"{MAIL}, user: u, password_env: P, security: none}}",
            "needs an encrypted connection",
        ),
    ],
)
def test_wrong_settings_are_told_with_their_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        made(tmp_path, f"  r: {text}\n", SECRETS)
    assert caught.value.line == 3


def test_the_address_of_the_pages_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "homeostat.yaml"
    file.write_text("server: {url: 'ml.example.org'}\n" + MODELS)
    with pytest.raises(ConfigError, match=r"server\.url: is not an http or https URL"):
        load(file)


def load_all(folder: Path) -> Settings:
    file = folder / "all.yaml"
    file.write_text(HEAD + ALL + MODELS)
    return load(file)


def test_quiet_hours_and_limits_become_manners(tmp_path: Path) -> None:
    file = tmp_path / "homeostat.yaml"
    night = '{start: "22:00", end: "07:00", zone: Europe/Berlin, days: [sat, sun]}'
    file.write_text(
        f"{HEAD}  plain: {{type: console}}\n"
        f"  slack: {{type: slack, url_env: U, limit: {{notices: 5}}, quiet: [{night}]}}\n{MODELS}"
    )
    settings = load(file)
    night_again = Stretch(start=time(22), end=time(7), zone="Europe/Berlin", days=("sat", "sun"))
    assert settings.receivers["slack"].model_dump()["quiet"] == (night_again.model_dump(),)
    assert manners_of(load_all(tmp_path).receivers) == dict.fromkeys(
        ("duty", "old", "jira", "slack", "teams", "mail"), Manners(Limit(30, timedelta(hours=1)))
    )
    assert manners_of(settings.receivers) == {
        "slack": Manners(
            Limit(5, timedelta(hours=1)),
            (Hours(time(22), time(7), ZoneInfo("Europe/Berlin"), frozenset({5, 6})),),
        )
    }
    shown = settings.model_dump(mode="json")["receivers"]["slack"]["quiet"][0]
    assert (shown["start"], shown["end"]) == ("22:00", "07:00")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('start: 7, end: "08:00"', "is no time of day: 7"),
        ('start: "22:00", end: "24:00"', "is no time of day: '24:00'"),
        ('start: "22:00", end: "07:00", zone: Europe/Bonn', "is no known time zone"),
        ('start: "22:00", end: "07:00", zone: ../etc', "is no known time zone"),
        ('start: "22:00", end: "07:00", days: [monday]', "'monday' is not known"),
    ],
)
def test_wrong_hours_are_told(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        made(tmp_path, f"  r: {{type: slack, url_env: HOOK_URL, quiet: [{{{text}}}]}}\n", SECRETS)


def test_only_receivers_with_a_secret_may_answer(tmp_path: Path) -> None:
    file = tmp_path / "homeostat.yaml"
    file.write_text(
        f"{HEAD}  console: {{type: console}}\n"
        "  duty: {type: pagerduty, key_env: PD_KEY, inbound_env: BACK}\n"
        "  jira: {type: jira, key_env: OG_KEY, inbound_env: BACK}\n"
        f"  mute: {{type: opsgenie, key_env: OG_KEY}}\n{MODELS}"
    )
    settings = load(file)
    found = inbound(settings, {"BACK": "s3cret"})
    assert found == {"duty": Inbound("pagerduty", "s3cret"), "jira": Inbound("jira", "s3cret")}
    assert "s3cret" not in repr(found)
    with pytest.raises(ConfigError, match=r"receivers\.duty\.inbound_env: .*BACK is not set"):
        inbound(settings, {})
