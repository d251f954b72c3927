"""Ninety quiet days, and twenty incidents: who is paged for what, how soon, and how often.

Run it from the repository (a seed takes about ten minutes of one core):

    PYTHONPATH=src:tests python benchmarks/quiet_days.py [--days 90] [--seeds 1 2 3] [--tick 15]
                                                         [--kinds SLOW CENTS] [--http]
    PYTHONPATH=src:tests python benchmarks/quiet_days.py --volumes 60

The engine is the real one, on the plan of a homeostat.yaml with nearly nothing but defaults; the
log and the records are in memory. Traffic, and what befalls it: `tests/simulation/shop.py`. With
``--http`` notices go through the real adapters to strict fakes of PagerDuty, Opsgenie and Slack
that now and then answer 429, 500 or HTML, or hang up after they have read.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np

from homeostat.detectors.volume.detector import VolumeConfig, VolumeState, evaluate, fit
from homeostat.domain.effect import Notify
from homeostat.domain.window import Window
from homeostat.engine.ports import Notifier
from homeostat.simulation.fakes import MemoryNotifier
from receivers import Receivers, serving
from simulation.duty import MODEL, START, Duty, begin, planned, slot
from simulation.mortal import RECEIVERS, notifiers
from simulation.shop import DAY, HOUR, Kind, Shop, expected
from simulation.tally import Outcome, tally

BAD_MOODS = ("later", "500", "html", "drop", "503")


class Both:
    """Tells a real receiver, and remembers in memory what it took."""

    def __init__(self, real: Notifier, kept: MemoryNotifier) -> None:
        self.real, self.kept = real, kept

    def send(self, notice: Notify) -> str | None:
        """Deliver it."""
        said = self.real.send(notice)
        self.kept.send(notice)
        return said


@contextmanager
def told(*, http: bool) -> Iterator[tuple[dict[str, Notifier], dict[str, Receivers]]]:
    """Return notifiers, and the receivers behind them if they are real."""
    if not http:
        yield {"pager": MemoryNotifier()}, {}
        return
    with ExitStack() as stack:
        fakes = {name: stack.enter_context(serving()) for name in RECEIVERS}
        yield dict(notifiers([each.url for each in fakes.values()])), fakes


def live(
    duty: Duty, until: timedelta, fakes: dict[str, Receivers], seed: int, *, lively: bool
) -> int:
    """Live on; return how often the control plane was begun anew."""
    rng, restarts, away = np.random.default_rng([seed, 90]), 0, START
    while duty.clock.now() < START + until:
        now = duty.clock.now()
        if lively and rng.random() < duty.tick / DAY / 2:  # every other day
            duty.restart()
            restarts += 1
            if rng.random() < 0.3:
                away = now + timedelta(hours=float(rng.uniform(0.5, 6)))
        if lively and now in {START + 24 * DAY, START + 66 * DAY}:
            duty.deploy()
        for fake in fakes.values():
            if rng.random() < 0.2 and not fake.moods:
                fake.moods.append(str(rng.choice(BAD_MOODS)))
        duty.advance(away=now < away)
    return restarts


def quiet(seed: int, days: int, tick: timedelta, *, http: bool) -> None:
    """Live through quiet days and print who was paged."""
    holiday = (START + 41 * DAY).date()
    hiccup = Window(START + 30 * DAY, START + 31 * DAY)
    with tempfile.TemporaryDirectory() as folder, told(http=http) as (notifying, fakes):
        began = time.process_time()
        duty = begin(
            Path(folder), Shop(seed, holidays=(holiday,), hiccups=(hiccup,)), tick, notifying
        )
        restarts = live(duty, days * DAY, fakes, seed, lively=True)
        made = Counter(d.action for d in duty.ports.records.decisions(MODEL))
        versions = f"{made['push']} pushed, {made['promote']} promoted, {made['roll_back']} back"
        paged = sum(len(fake.paged) for fake in fakes.values()) if http else len(duty.pages())
        print(
            f"quiet, seed {seed}: {days} days, {restarts} restarts, versions {versions}: "
            f"{paged} pages, {len(duty.problems)} problems, "
            f"{time.process_time() - began:.0f} s of CPU",
            flush=True,
        )
        for page in [] if http else duty.pages():
            print(f"  {page.fired} {page.rule} {page.title}: {page.body}", flush=True)
        for problem in duty.problems[:3]:
            print(f"  {problem}")


def troubled(seed: int, kinds: list[Kind], tick: timedelta) -> list[Outcome]:
    """Live through incidents in an order of chance, and print what they came to."""
    order = [kinds[i] for i in np.random.default_rng(seed).permutation(len(kinds))]
    incidents = planned(order, START + 4 * DAY)
    last = incidents[-1]
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        duty = begin(Path(folder), Shop(seed, incidents=incidents), tick, retrains=False)
        live(duty, last.window.start + slot(last.kind) - START, {}, seed, lively=False)
        outcomes, false = tally(incidents, duty.pages())
        for page in false:
            print(f"  of nothing: {page.fired} {page.rule} {page.title}: {page.body}")
        for each in outcomes:
            print(f"  {each.incident.kind.name} {each.incident.window}")
            for page in each.pages:
                ended = page.resolved and page.resolved - each.incident.window.end
                print(f"    {page.rule} after {page.fired - each.incident.window.start}, "
                      f"over {ended} after its end: {page.body.splitlines()[0]}")  # fmt: skip
        print(f"incidents, seed {seed}: {time.process_time() - began:.0f} s of CPU", flush=True)
        for problem in duty.problems[:3]:
            print(f"  {problem}")
    return outcomes


def delivered(seed: int, kinds: list[Kind], tick: timedelta) -> None:
    """Live through incidents with real receivers in bad moods, and print what these were told."""
    incidents = planned(kinds, START + 2 * DAY)
    with tempfile.TemporaryDirectory() as folder, told(http=True) as (notifying, fakes):
        kept = {name: MemoryNotifier() for name in notifying}
        both: dict[str, Notifier] = {n: Both(each, kept[n]) for n, each in notifying.items()}
        duty = begin(Path(folder), Shop(seed, incidents=incidents), tick, both, retrains=False)
        last = incidents[-1]
        live(duty, last.window.start + slot(last.kind) - START, fakes, seed, lively=False)
        made = [(d.action, d.subject) for d in duty.ports.records.decisions(MODEL)]
        fired = Counter(action for action, _ in made if action in {"fire", "resolve"})
        print(f"http, seed {seed}: {len(incidents)} incidents, decided {dict(fired)}")
        for name, fake in fakes.items():
            refused = Counter(entry.status for entry in fake.got if entry.status >= 300)
            changes = Counter(action for _, action in fake.paged)
            twice = [key for key, count in Counter(fake.paged).items() if count > 1]
            print(
                f"  {name}: taken {len(kept[name].attempts)} notices in {len(fake.got)} requests; "
                f"{dict(changes)}, twice {twice}, refused {dict(refused)}"
            )
        print(f"  left: {len(duty.ports.records.pending(duty.clock.now() + 30 * DAY))}")


def volumes(worlds: int) -> None:
    """Count alarms about volume alone, in ninety quiet days of many worlds."""
    holiday, alarms, there = (START + 41 * DAY).date(), 0, 0
    config = VolumeConfig()
    for seed in range(100, 100 + worlds):
        shop = Shop(seed, holidays=(holiday,))
        hours = [Window(START + n * HOUR, START + (n + 1) * HOUR) for n in range(-35 * 24, 90 * 24)]
        rows = [(hour, expected(shop, hour.start)) for hour in hours]
        reference, state, firing = fit(rows[: 35 * 24], config), VolumeState(), False
        for hour, count in rows[35 * 24 :]:
            before = firing
            state, _ = evaluate(reference, state, MODEL, hour, count, config)
            firing = state.firing
            alarms += firing and not before
            there += firing and not before and hour.start.date() == holiday
    print(f"volume alone: {worlds} worlds, {alarms} alarms, {there} of them on the holiday")


def table(found: dict[Kind, list[Outcome]]) -> None:
    """Print what the incidents came to, by kind."""
    print(
        "\n| incident | found | first page after | rules that paged | a rule twice | early ends |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for kind, outcomes in found.items():
        delays = sorted(each.delay for each in outcomes if each.delay is not None)
        rules = Counter(page.rule for each in outcomes for page in each.pages)
        told = ", ".join(f"{rule} {count}" for rule, count in rules.most_common())
        when = f"{delays[0]} to {delays[-1]}" if delays else "never"
        again, early = (
            sum(n) for n in zip(*((e.again, len(e.early)) for e in outcomes), strict=True)
        )
        found_of = f"{len(delays)} of {len(outcomes)}"
        print(f"| {kind.value} | {found_of} | {when} | {told} | {again} | {early} |")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=90, help="quiet days; 0: none")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--tick", type=int, default=15, help="minutes")
    parser.add_argument("--kinds", nargs="*", default=[kind.name for kind in Kind])
    parser.add_argument("--volumes", type=int, default=0, help="worlds; volume alone")
    parser.add_argument("--http", action="store_true", help="real adapters and strict fakes")
    asked = parser.parse_args()
    tick, kinds = timedelta(minutes=asked.tick), [Kind[name] for name in asked.kinds]
    found: dict[Kind, list[Outcome]] = defaultdict(list)
    if asked.volumes:
        return volumes(asked.volumes)
    for seed in asked.seeds:
        if asked.days:
            quiet(seed, asked.days, tick, http=asked.http)
        if asked.http:
            delivered(seed, kinds, tick)
        elif kinds:
            for outcome in troubled(seed, kinds, tick):
                found[outcome.incident.kind].append(outcome)
    return table(dict(sorted(found.items())))


if __name__ == "__main__":
    main()
