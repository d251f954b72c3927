"""The suites of routers, notifiers and trainers on the real adapters."""

import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters.notifiers.console import ConsoleNotifier
from homeostat.adapters.notifiers.http import Poster
from homeostat.adapters.notifiers.opsgenie import OpsgenieNotifier
from homeostat.adapters.notifiers.pagerduty import PagerDutyNotifier
from homeostat.adapters.notifiers.webhook import WebhookNotifier
from homeostat.adapters.records import DatabaseRecords
from homeostat.adapters.routes import RecordsRoutes
from homeostat.adapters.trainers.local import LocalTrainer
from homeostat.domain.model import ModelSpec
from homeostat.engine.ports import Notifier, Routes, Trainer
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance import NOTIFIER_CHECKS, ROUTES_CHECKS, TRAINER_CHECKS
from homeostat.simulation.conformance.log import NOW, SPEC, predictions
from receivers import GENIE_KEY, ROUTING_KEY, Receivers, serving

Delivered = Callable[[], list[tuple[str, str]]]


@pytest.fixture
def records(tmp_path: Path) -> Iterator[DatabaseRecords]:
    made = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", SimulatedClock(NOW))
    yield made
    made.close()


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    with serving() as state:
        yield state


@pytest.mark.parametrize("check", ROUTES_CHECKS)
def test_router_on_records(check: Callable[[Routes], None], records: DatabaseRecords) -> None:
    check(RecordsRoutes(records))


def test_a_route_is_seen_by_another_process_and_written_once(records: DatabaseRecords) -> None:
    for check in ROUTES_CHECKS:
        check(RecordsRoutes(records))
    stamp = records.database.stamp()
    other = DatabaseRecords(str(records.database.url), SimulatedClock(NOW))
    router = RecordsRoutes(other)
    route = router.current("fraud")
    assert route is not None
    router.publish(route)
    assert records.database.stamp() == stamp, "what is there already is not written again"
    other.close()


@pytest.mark.parametrize("check", NOTIFIER_CHECKS)
def test_console(check: Callable[[Notifier, Delivered], None]) -> None:
    stream = io.StringIO()

    def delivered() -> list[tuple[str, str]]:
        heads = [line.split() for line in stream.getvalue().splitlines() if line[0] != " "]
        return [(words[4], words[3]) for words in heads]

    check(ConsoleNotifier(stream), delivered)


@pytest.mark.parametrize("check", NOTIFIER_CHECKS)
def test_webhook(check: Callable[[Notifier, Delivered], None], receivers: Receivers) -> None:
    def delivered() -> list[tuple[str, str]]:
        return [(body["incident"], body["action"]) for body in receivers.taken()]

    poster = Poster("webhook", f"{receivers.url}/hook", SimulatedClock(NOW))
    check(WebhookNotifier(poster, "secret"), delivered)


PAGING: dict[str, Callable[[Poster], Notifier]] = {
    "pagerduty": lambda poster: PagerDutyNotifier(poster, ROUTING_KEY),
    "opsgenie": lambda poster: OpsgenieNotifier(poster, GENIE_KEY),
}


@pytest.mark.parametrize("check", NOTIFIER_CHECKS)
@pytest.mark.parametrize("name", PAGING)
def test_paging_services(
    check: Callable[[Notifier, Delivered], None], name: str, receivers: Receivers
) -> None:
    notifier = PAGING[name](Poster(name, receivers.url, SimulatedClock(NOW)))
    check(notifier, lambda: receivers.paged)


@pytest.mark.parametrize("check", TRAINER_CHECKS)
def test_local_trainer(
    check: Callable[[Trainer, ModelSpec, pa.Table], None], tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text(
        "def train(rows, spec, out):\n    (out / 'model.json').write_text('{}')\n"
    )
    trainer = LocalTrainer(
        tmp_path / "runs",
        f"{tmp_path}/train.py:train",
        SimulatedClock(NOW),
        timedelta(minutes=2),
        wait=True,
    )
    spec = ModelSpec("fraud", SPEC.task, SPEC.schema, SPEC.labels)
    check(trainer, spec, predictions(["a", "b"]).append_column("label", pa.array(np.zeros(2))))
