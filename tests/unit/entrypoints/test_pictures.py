"""The picture in a mail about an incident: there if there are figures, and never in the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from e2e.history import NOW
from e2e.site import INCIDENT, Site
from homeostat.adapters.notifiers.mail import MailNotifier
from homeostat.alerting.episode import IncidentState, Stage
from homeostat.domain.decision import Decision, Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.errors import StorageError
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.watch import incident_key
from homeostat.entrypoints.pictures import Pictures
from homeostat.entrypoints.receivers import receivers
from homeostat.entrypoints.settings import load

HOUR = timedelta(hours=1)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def notice(action: NotifyAction = NotifyAction.TRIGGER, key: str = INCIDENT) -> Notify:
    return Notify(key, action, "mail", Severity.CRITICAL, "fraud", "t", "b", "r.md", NOW)


def pictures(site: Site) -> Pictures:
    return Pictures(site.records, site.specs, site.clock)


def test_the_scores_are_drawn_with_words(site: Site) -> None:
    window = Window(NOW - HOUR, NOW)
    down = Verdict(
        Monitor.SERVICE, "fraud", "availability", window, Status.DRIFT, 0.7, 0.1, 1e6, 100.0, 0.0,
        0, 50, "no answers",
    )  # fmt: skip
    with site.records.begin() as uow:
        uow.judge(down)
    drawn = pictures(site).of(notice())
    assert drawn is not None
    assert drawn.png.startswith(b"\x89PNG")
    assert drawn.words.startswith("service availability: from ")


def test_there_is_none_where_there_is_nothing_to_show(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pictures(site)
    assert made.of(notice(NotifyAction.ACKNOWLEDGE)) is None
    assert made.of(notice(key="~test:mail:1")) is None
    with site.records.begin() as uow:
        uow.decide(Decision("fresh", NOW, "homeostat", "fire", "fresh:data_drift:1", "moved"))
    assert made.of(notice(key="fresh:data_drift:1")) is None

    def broken(*_: object, **__: object) -> None:
        raise StorageError("the disk is gone")

    monkeypatch.setattr(site.records, "decisions", broken)
    assert made.of(notice()) is None


def test_an_incident_on_a_metric_shows_the_metric(site: Site) -> None:
    key = incident_key("fresh", "low_auc")
    state = IncidentState(
        "fresh", "low_auc", Stage.FIRING, 1, subjects=("auc of country=FR",), fired_at=NOW
    )
    window = Window(NOW - 2 * HOUR, NOW - HOUR)
    point = MetricPoint("fresh", "1", "auc", window, 0.7, 0.6, 0.8, 100, segment="country=FR")
    with site.records.begin() as uow:
        uow.save(key, state)
        uow.measure(point, replace(point, segment=""))
    drawn = pictures(site).of(notice(key="fresh:low_auc:1"))
    assert drawn is not None
    assert drawn.words.startswith("auc of country=FR 1: from 0.7 to 0.7")


def test_figures_that_cannot_be_drawn_keep_no_mail_back(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    window = Window(NOW - HOUR, NOW)
    down = Verdict(
        Monitor.SERVICE, "fraud", "availability", window, Status.DRIFT, 1.5e308, 0.1, 1e6, 100.0,
        0.0, 0, 50, "no answers",
    )  # fmt: skip
    before = Window(NOW - 2 * HOUR, NOW - HOUR)
    with site.records.begin() as uow:
        uow.judge(replace(down, window=before, score=-1.5e308), down)
    assert pictures(site).of(notice()) is None
    assert "goes without its chart: ValueError" in caplog.text


def test_mails_of_a_deployment_have_pictures(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "homeostat.yaml"
    file.write_text(
        "receivers: {mail: {type: mail, host: h, port: 25, sender: a@x.org, to: [b@x.org]}}\n"
        "models: [{name: fraud, task: binary, features: {a: numeric}, labels: {maturity: 1d}}]\n"
    )
    clock = pictures(site).clock
    with_records = receivers(load(file), clock, {}, records=site.records)["mail"]
    without = receivers(load(file), clock, {})["mail"]
    assert isinstance(with_records, MailNotifier)
    assert isinstance(without, MailNotifier)
    assert with_records.chart is not None
    assert without.chart is None
