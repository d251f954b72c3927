"""Floors of metrics, below which a model is trained again, are of metrics that there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from homeostat.detectors.estimation.estimate import IDENTIFIABLE
from homeostat.detectors.performance.realized import NAMES
from homeostat.domain.model import Task
from homeostat.entrypoints.settings.metrics import limits, useless
from homeostat.entrypoints.settings.model import Model
from homeostat.entrypoints.settings.values import nearest, wrong
from homeostat.reports.facts import LOWER


def check_floors(models: Sequence[Model]) -> None:
    """Raise PydanticCustomError if a floor can never be, or always is, gone below."""
    for number, model in enumerate(models):
        asked = model.retraining
        if asked is not None:
            place = ("models", number, "retraining")
            _check(model.task, asked.floor, NAMES[model.task], (*place, "floor"))
            estimated = IDENTIFIABLE[model.task]
            _check(model.task, asked.estimated_floor, estimated, (*place, "estimated_floor"))


def _check(
    task: Task, floors: Mapping[str, float], known: Sequence[str], place: tuple[str | int, ...]
) -> None:
    rising = [name for name in known if name not in LOWER]
    for name, floor in floors.items():
        if name not in known:
            raise wrong(
                f"there is no such metric of a {task} model", nearest(name, known), *place, name
            )
        if name in LOWER:
            problem = "a lower value is a better one: a good model would be trained again"
            remedy = (
                f"write a floor of {', '.join(rising[:3])}; a rise of the loss triggers by itself"
            )
            raise wrong(problem, remedy, *place, name)
        found = useless(limits(task, name), None, floor)
        if found is not None:
            raise wrong(
                found[1].replace("the alarm", "the trigger"), "write another floor", *place, name
            )
