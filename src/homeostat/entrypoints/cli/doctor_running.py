"""What ``homeostat doctor`` finds of a deployment that runs, or should."""

from __future__ import annotations

import ssl
import stat
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from homeostat.domain.text import printable
from homeostat.domain.verdict import Status
from homeostat.entrypoints import current
from homeostat.entrypoints.cli.findings import Finding, Grade
from homeostat.entrypoints.cli.options import Deployment
from homeostat.entrypoints.cli.output import when

SKEW = timedelta(seconds=30)
SILENT = timedelta(minutes=10)
WATCHED = timedelta(days=7)
LOOKED = 50
"""Newest notices of a receiver that are looked at."""
OPENSSL = (3, 0)


def libraries(openssl: tuple[int, ...] = ssl.OPENSSL_VERSION_INFO) -> Finding:
    """Say which Python and OpenSSL run this, and whether that is looked after still.

    Examples
    --------
    >>> libraries((1, 1, 1)).grade.value
    'warning'
    """
    said = f"Python {sys.version.split()[0]}, OpenSSL {'.'.join(map(str, openssl[:3]))}"
    if openssl < OPENSSL:
        remedy = "it gets no repairs any more; use a Python with OpenSSL 3"
        return Finding("libraries", Grade.WARNING, f"{said}: {remedy}")
    return Finding("libraries", Grade.OK, said)


def rights(folder: Path) -> Iterator[Finding]:
    """Say whether anybody on this machine may change the data."""
    if folder.is_dir() and folder.stat().st_mode & stat.S_IWOTH:
        text = f"everybody on this machine can write in {folder}; chmod o-w {folder}"
        yield Finding("rights", Grade.WARNING, text)


def running(opened: Deployment) -> Iterator[Finding]:
    """Yield what the records say: ticks, clocks, deliveries, predictions and labels."""
    yield _ticks(opened)
    for name in opened.settings.receivers:
        yield _delivered(opened, name)
    for model in opened.settings.models:
        if current.rollout(opened.records, model.name).champion:
            yield _watched(opened, model.name)


def _ticks(opened: Deployment) -> Finding:
    leader, now = current.leader(opened.records), opened.clock.now()
    remedy = f"run: homeostat serve -c {opened.settings.file}"
    if leader is None or leader.heard is None:
        return Finding("ticks", Grade.WARNING, f"no control plane has run yet; {remedy}")
    heard, holder = leader.heard, printable(leader.holder)
    if heard - now > SKEW:
        text = (
            f"{holder} was heard of {heard - now} from now: its clock or this one is wrong; "
            "keep both right with NTP"
        )
        return Finding("ticks", Grade.WARNING, text)
    if now - heard > SILENT:
        text = f"nothing ticks since {when(heard)} (UTC), and nobody is told of anything; {remedy}"
        return Finding("ticks", Grade.WARNING, text)
    return Finding("ticks", Grade.OK, f"{holder} was heard of at {when(heard)} (UTC)")


def _delivered(opened: Deployment, receiver: str) -> Finding:
    check, remedy = f"deliveries to {receiver}", f"try: homeostat alerts test {receiver}"
    found = opened.records.deliveries(LOOKED, receiver)
    if not found:
        return Finding(check, Grade.WARNING, f"nothing was sent there yet; {remedy}")
    done = [delivery.at for delivery in found if delivery.status == "done"]
    if done:
        return Finding(check, Grade.OK, f"the newest arrived at {when(max(done))} (UTC)")
    said = printable(found[0].said) or "nothing was said yet"
    return Finding(check, Grade.WARNING, f"none of {len(found)} arrived ({said}); {remedy}")


def _watched(opened: Deployment, model: str) -> Finding:
    check, now = f"predictions of {model}", opened.clock.now()
    found = opened.records.verdicts(model, now - WATCHED)
    if not found:
        text = f"no monitor has said anything in {WATCHED.days} days: does homeostat serve run?"
        return Finding(check, Grade.WARNING, text)
    if all(verdict.status is Status.NO_DATA for verdict in found):
        text = (
            f"none in {WATCHED.days} days; send them: homeostat.Client, homeostat import, or "
            "through homeostat gateway"
        )
        return Finding(check, Grade.WARNING, text)
    return _labelled(opened, model)


def _labelled(opened: Deployment, model: str) -> Finding:
    """Say whether performance could be measured of what is old enough to have its labels."""
    check, now = f"labels of {model}", opened.clock.now()
    maturity = opened.settings.model(model).labels.maturity
    since = now - maturity - 4 * WATCHED
    measured = opened.records.metrics(model, since=since, limit=1)
    older = opened.records.verdicts(model, since, now - maturity - WATCHED)
    if measured or not any(verdict.status is not Status.NO_DATA for verdict in older):
        return Finding(check, Grade.OK, "predictions come, and nothing says that labels do not")
    text = f"nothing was measured since {when(since)} (UTC): send labels (homeostat import, Client)"
    return Finding(check, Grade.WARNING, text)
