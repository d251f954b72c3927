"""``homeostat consume``: Kafka topics into the prediction log."""

from __future__ import annotations

import logging
import os
import signal
import threading
from pathlib import Path

import click
from starlette.types import ASGIApp

from homeostat.adapters.clock import SystemClock
from homeostat.domain.errors import ConfigError
from homeostat.entrypoints.bootstrap import open_log, open_records
from homeostat.entrypoints.cli.options import config_option, listen_options
from homeostat.entrypoints.cli.serve import address, listen, log_to_stderr, run, spare_memory
from homeostat.entrypoints.consume import Consumer, open_consumer, watch
from homeostat.entrypoints.gateway.door import Door
from homeostat.entrypoints.http.auth import Tokens, check_bind, is_loopback
from homeostat.entrypoints.settings import load

logger = logging.getLogger(__name__)

PATIENCE = 60.0  # seconds for the step under way


@click.command()
@config_option
@listen_options
def consume(*, config_path: Path, host: str | None, port: int | None) -> None:
    """Read the Kafka topics of the configuration into the prediction log.

    Offsets are committed once rows are durable; ids make repetitions harmless. Start as many as
    there is work for: they share the partitions. SIGTERM and Ctrl-C let the batch under way finish.

    Example: homeostat consume -c homeostat.yaml
    """
    log_to_stderr()
    spare_memory()
    settings, clock = load(config_path), SystemClock()
    kafka = settings.kafka
    if kafka is None:
        remedy = "add kafka: {brokers: [...], topics: [...]}"
        raise ConfigError("is missing", remedy, str(settings.file), None, "kafka")
    records = open_records(settings, clock)
    try:
        log = open_log(settings, records)
        try:
            tokens = Tokens(records)
            where = kafka.host if host is None else host, kafka.port if port is None else port
            check_bind(where[0], tokens, str(settings.file), "kafka.host")
            bound = listen(*where, "kafka.port")
            shown = address(where[0], bound.getsockname()[1])
            consumer = open_consumer(settings, kafka, log, clock)
            click.echo(f"consume on http://{shown}/", err=True)
            plane: ASGIApp = watch(consumer)
            if not is_loopback(where[0]):
                plane = Door(plane, tokens, clock)
            thread = threading.Thread(target=_work, args=(consumer,), name="homeostat-consume")
            thread.daemon = True
            thread.start()
            try:
                run(plane, bound)
            finally:
                consumer.stop()
                thread.join(PATIENCE)
                if thread.is_alive():
                    logger.error("the batch under way hangs; it is read again")
        finally:
            log.close()
    finally:
        records.close()
    if consumer.fault is not None:
        raise consumer.fault


def _work(consumer: Consumer) -> None:
    try:
        consumer.run()
    finally:
        # Without its work the process has no use; whoever started it may start it again.
        os.kill(os.getpid(), signal.SIGTERM)
