"""A seasonal band through `Engine.tick`."""

from __future__ import annotations

from pathlib import Path

from homeostat.alerting.incident import Stage
from unit.engine.ruled import HOUR, Site, plan_of

ALERTS = """\
alerts:
  rules:
    odd_traffic: {metric: requests, over: 1h, band: {}, keep_firing: 0s, runbook: odd.md}
"""


def live(site: Site, *rows: int) -> None:
    for count in rows:
        site.answer(count, HOUR)


def test_traffic_that_is_unlike_its_past_is_told_once_and_ends(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, ALERTS)
    site = Site(plan, tmp_path)
    live(site, *(40 + place * 7 % 5 for place in range(50)))
    assert site.stage("odd_traffic") in {None, Stage.INACTIVE}
    live(site, 160)
    # A restart loses nothing of what was learnt.
    site.follow(plan)
    live(site, 41, 43)
    assert site.stage("odd_traffic") is Stage.FIRING
    live(site, *(40 + place * 7 % 5 for place in range(30)))
    assert site.problems == []
    assert site.told == [("odd_traffic", "trigger"), ("odd_traffic", "resolve")]
