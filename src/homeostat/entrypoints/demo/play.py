"""Plays the story: payments to the gateway, labels to the control plane, a tick, and on."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa

from homeostat.domain.window import Window
from homeostat.entrypoints.demo.server import Client
from homeostat.entrypoints.demo.stage import MODEL, Stage
from homeostat.entrypoints.demo.story import NEW_PATTERN, Story

PREDICT = f"/gateway/v1/models/{MODEL}/predict"
LABELS = f"/api/v1/models/{MODEL}/labels"
COMMANDS = f"/api/v1/models/{MODEL}/commands"
MOST_LABELS = 20_000
ROLL_EVERY = timedelta(days=1)

Progress = Callable[[datetime], None]


@dataclass
class Played:
    """What the play itself knows: real seconds by simulated time, and what was sent.

    ``problems`` are failures that the engine reported; there should be none.
    """

    seconds: dict[datetime, float] = field(default_factory=dict)
    payments: int = 0
    labels: int = 0
    answered_by: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


@dataclass
class Play:
    """One run of the story on a stage."""

    stage: Stage
    story: Story
    client: Client
    played: Played = field(default_factory=Played)
    _labels: list[tuple[datetime, str, float]] = field(default_factory=list)
    _pushed: bool = False
    _asked: bool = False
    _rolled: datetime | None = None

    def run(self, progress: Progress) -> Played:
        """Play to the end."""
        began = time.perf_counter()
        before = self.story.start
        for now in self.story.moments():
            self._act(before)
            self._send(Window(before, now))
            self._deliver(now)
            self.stage.clock.set(now)
            self.stage.gateway.flush()
            self._roll(now)
            self.played.problems += self.stage.engine.tick(now)
            self.played.seconds[now] = time.perf_counter() - began
            progress(now)
            before = now
        return self.played

    def _act(self, now: datetime) -> None:
        """Do what people and the world do at this moment."""
        story, backend = self.story, self.stage.backend
        if now >= story.asked_at and not self._asked:
            self._asked = True
            self._command("retrain", "", "scores look odd, please retrain")
        if now >= story.bad_version.start and not self._pushed:
            self._pushed = True
            version = self.stage.register_bad_model()
            self._command("push", version, "urgent: numbers looked great on my laptop")
        if story.outage.start <= now < story.outage.end:
            backend.hang()
        else:
            backend.recover()

    def _command(self, request: str, subject: str, reason: str) -> None:
        self.client.post(COMMANDS, {"request": request, "subject": subject, "reason": reason})

    def _send(self, window: Window) -> None:
        """Send the payments of a stretch of time: in one request, or each by itself."""
        story = self.story
        world = self.stage.world.World(
            new_pattern=NEW_PATTERN if window.start >= story.pattern.start else 0.0,
            cents=story.fault.start <= window.start < story.fault.end,
        )
        requests, labels = self.stage.traffic.batch(window, world=world)
        names = ("arrival", "prediction_id", "label")
        for label in zip(*(labels[name].to_pylist() for name in names), strict=True):
            heapq.heappush(self._labels, label)
        self.played.payments += requests.num_rows
        if not story.outage.start <= window.start < story.outage.end + timedelta(minutes=5):
            self.stage.clock.set(window.end)
            self._predict(requests)
            return
        for place in range(requests.num_rows):
            one = requests.slice(place, 1)
            self.stage.clock.set(one["timestamp"][0].as_py())
            self._predict(one)

    def _predict(self, requests: pa.Table) -> None:
        if not requests.num_rows:
            return
        answer = self.client.post(PREDICT, {"rows": requests.to_pylist()})
        predictions = answer["predictions"]
        assert isinstance(predictions, list)
        for item in predictions:
            tier = str(item["tier"])
            self.played.answered_by[tier] = self.played.answered_by.get(tier, 0) + 1

    def _deliver(self, now: datetime) -> None:
        """Send the labels that have arrived by now."""
        while self._labels and self._labels[0][0] <= now:
            due: list[dict[str, object]] = []
            while self._labels and self._labels[0][0] <= now and len(due) < MOST_LABELS:
                arrival, name, label = heapq.heappop(self._labels)
                due.append({"prediction_id": name, "label": label, "arrival": arrival})
            self.client.post(LABELS, {"labels": due})
            self.played.labels += len(due)

    def _roll(self, now: datetime) -> None:
        if self._rolled is None or now - self._rolled >= ROLL_EVERY:
            self._rolled = now
            self.stage.deployment.log.roll(now)
