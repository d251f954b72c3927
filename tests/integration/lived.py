"""A model that was watched for days, and what is left of it in the records: everything at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from homeostat.detectors.calibration.detector import CalibrationConfig
from homeostat.detectors.series.dynamic import SeriesConfig
from homeostat.detectors.value.metric import parse_metric
from homeostat.domain.expression import Type
from homeostat.domain.verdict import Monitor
from homeostat.domain.window import Window
from homeostat.engine.plan import MetricThreshold
from homeostat.entrypoints.monitoring.control import ControlFigures
from homeostat.entrypoints.worker import Pulse, Worker
from simulation.world import DAY, MODEL, PLAN, START, TICK, Fate, World, memory_world

STEPS = 36
FATE = Fate(1, flips=START + 5 * DAY, cents=Window(START + 8 * DAY, START + 90 * DAY))
LIVED = replace(
    PLAN,
    metric_window=TICK,
    performance=replace(PLAN.performance, share=0.1),
    calibration=CalibrationConfig(every=TICK, share=0.05),
    business=(parse_metric("share_asked", "mean(score)", {"score": Type.NUMBER}),),
    thresholds=(
        MetricThreshold(
            "share_asked",
            "share_asked",
            SeriesConfig(every=TICK, share=0.1, monitor=Monitor.VALUE),
        ),
    ),
)


@dataclass
class Lived:
    """A control plane on simulated time, and what it exports."""

    world: World
    worker: Worker
    figures: ControlFigures

    def go_on(self) -> None:
        """Tick once more, a little later."""
        self.world.clock.advance(timedelta(minutes=1))
        self.worker.once()


def live(folder: Path) -> Lived:
    """Live through nine days in which the concept flips and amounts begin to come in cents."""
    world = memory_world(folder, FATE, LIVED)
    for _ in range(STEPS):
        world.advance()
    ports, pulse = world.ports, Pulse(leads=True)
    worker = Worker(world.engine, ports.log, world.clock, TICK, pulse=pulse)
    plans = {MODEL: LIVED}
    figures = ControlFigures(ports.records, ports.registry, plans, world.clock, pulse, TICK)
    return Lived(world, worker, figures)
