"""Topics into the log, over the real protocol: each row once, whoever crashes or goes away."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pyarrow as pa
import pytest
from confluent_kafka import KafkaError

from homeostat.adapters.kafka import Feed, Message
from homeostat.domain.errors import ConfigError
from homeostat.entrypoints.cli import run
from homeostat.entrypoints.consume import Consumer, client_settings
from homeostat.entrypoints.messages import Parsed, Reader
from homeostat.entrypoints.settings import load
from integration.brokers import Brokers
from integration.live_site import Service, until
from integration.topics import EVER, T0, Deployed, row, running

HERE = Path(__file__).parent
LATER = datetime(2040, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Brokers]:
    brokers = Brokers()
    yield brokers
    brokers.close()


@pytest.fixture
def brokers(cluster: Brokers) -> Brokers:
    return cluster


@pytest.fixture
def site(tmp_path: Path, brokers: Brokers, request: pytest.FixtureRequest) -> Deployed:
    found = Deployed(tmp_path, brokers, request.node.name.replace("test_", "")[:40])
    for name in ("predictions", "labels", "outcomes", "tables"):
        brokers.topic(f"{found.group}-{name}", 2)
    return found


def seen(consumer: Consumer) -> int:
    return sum(consumer.counts.messages.values())


def stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def test_every_form_comes_in_and_poison_is_set_aside(site: Deployed, brokers: Brokers) -> None:
    spec, name = site.settings.model().spec(), f"{site.group}-predictions"
    brokers.send(name, row("a"), b"\xff\xfe not json", row("b"), None, row("c", score="high"))
    brokers.send(name, row("d") + b"\n" + row("e") + b'\n{"cut', partition=1)
    brokers.send(name, orjson.dumps({"predictions": [orjson.loads(row("f"))]}), partition=1)
    brokers.send(name, b"[" + row("g") + b"," + row("h") + b"]", b"17", partition=1)
    brokers.send(name, b"a,b", headers={"Content-Type": "text/csv"})
    table = pa.table(
        {
            "prediction_id": ["x"],
            "timestamp": [T0],
            "version": ["1"],
            "score": [0.1],
            "amount": [2.0],
        }
    )
    brokers.send(f"{site.group}-tables", stream(table), b"no stream", stream(table))
    brokers.send(f"{site.group}-tables", stream(table.append_column("odd", [[1.0]])))
    arrow = {"content-type": "application/vnd.apache.arrow.stream"}
    brokers.send(name, stream(table.set_column(0, "prediction_id", [["y"]])), headers=arrow)
    sent = int((T0 + timedelta(days=2)).timestamp() * 1000)
    brokers.send(f"{site.group}-labels", b'{"prediction_id":"a","label":"yes"}', at=sent)
    early = (T0 + timedelta(days=1)).isoformat()
    named = orjson.dumps({"prediction_id": "b", "label": 0, "arrival": early})
    brokers.send(f"{site.group}-labels", named, at=sent)
    money = b'{"prediction_id":"a","outcome":"lost","value":12.5}'
    brokers.send(f"{site.group}-outcomes", money, at=sent)
    with site.log() as log:
        consumer = site.consumer(log)
        with running(consumer):
            until(lambda: seen(consumer) == 18, what="messages")
            until(lambda: not any(consumer.feed.lag.values()), what="no lag")
            assert consumer.ready
            text = consumer.text()
        columns = ["prediction_id", "lost"]
        rows = log.labelled(spec, EVER, LATER, columns).to_pylist()
        refused = {(r.column, r.reason, r.row) for r in log.quarantined()}
    assert sorted(r["prediction_id"] for r in rows) == ["a", "b", "d", "e", "f", "g", "h", "x", "y"]
    labelled = {r["prediction_id"]: r for r in rows}
    assert labelled["a"]["label"] == 1.0
    assert labelled["a"]["arrival"] == T0 + timedelta(days=2)
    assert labelled["a"]["lost"] == 12.5
    assert labelled["b"]["arrival"] == T0 + timedelta(days=1)
    reasons = {reason for _, reason, _ in refused}
    for place in (f"topic {name}, partition 0, offset 1)", "partition 1, offset 3)", "offset 1)"):
        assert any(reason.endswith(place) for reason in reasons), (place, reasons)
    assert any("line 3 is not JSON" in reason and name in reason for reason in reasons)
    assert any(column == "odd" and '"x"' in kept for column, _, kept in refused), refused
    assert any(column == "score" and "high" in kept for column, _, kept in refused)
    assert f'homeostat_kafka_rows_total{{topic="{name}",fate="accepted"}} 8' in text
    assert f'homeostat_kafka_poison_messages_total{{topic="{name}"}} 3' in text
    assert f'homeostat_kafka_empty_messages_total{{topic="{name}"}} 1' in text
    assert 'fate="duplicate"} 1' in text
    assert f'homeostat_kafka_lag{{topic="{name}",partition="1"}} 0' in text
    assert brokers.committed(site.group, name, 2) == [7, 4]


def test_rows_count_once_if_the_consumer_is_killed_before_it_commits(
    site: Deployed, brokers: Brokers
) -> None:
    name = f"{site.group}-predictions"
    for number in range(2):
        brokers.send(name, *(row(f"{number} {i}") for i in range(100)))
        brokers.send(f"{site.group}-labels", b'{"prediction_id":"%d 0","label":1}' % number)
        died = subprocess.run(
            [sys.executable, str(HERE / "doomed_consumer.py"), str(site.folder)],
            check=False,
            timeout=60,
        )
        assert died.returncode == -signal.SIGKILL
        assert brokers.committed(site.group, name)[0] < 0
        assert len(site.ids()) == 100 * (number + 1)
    with site.log() as log:
        consumer = site.consumer(log)
        with running(consumer):
            until(lambda: brokers.committed(site.group, name) == [200], what="commit")
        assert consumer.counts.rows[name, "duplicate"] == 200
        assert consumer.counts.rows[name, "accepted"] == 0
        # A label that says no arrival came when its message was sent: the same each time.
        assert log.status().labels == 2
    assert sorted(site.ids()) == sorted(f"{n} {i}" for n in range(2) for i in range(100))


def test_partitions_rest_while_the_log_is_full(site: Deployed, brokers: Brokers) -> None:
    name = f"{site.group}-predictions"
    brokers.send(name, *(row(f"a{i}") for i in range(50)))
    with site.log(most_landed=1) as log, site.log() as other:
        consumer = site.consumer(log)
        with running(consumer):
            until(lambda: brokers.committed(site.group, name) == [50], what="first batch")
            brokers.send(name, *(row(f"b{i}") for i in range(50)))
            until(lambda: consumer.problem, what="a full log")
            brokers.send(name, *(row(f"c{i}") for i in range(50)))
            until(lambda: consumer.counts.retries >= 2, what="a retry")
            assert "takes no more" in consumer.problem
            assert not consumer.ready
            assert "homeostat_kafka_resting 1" in consumer.text()
            assert seen(consumer) == 100
            assert brokers.committed(site.group, name) == [50]
            other.roll(site.clock.now())
            log._landing.most_landed = 2**30
            until(lambda: brokers.committed(site.group, name) == [150], what="all")
            assert consumer.ready
    assert len(site.ids()) == len(set(site.ids())) == 150


def test_partitions_move_between_consumers(site: Deployed, brokers: Brokers) -> None:
    name = f"{site.group}-predictions"

    def send(mark: str) -> None:
        for partition in range(2):
            brokers.send(
                name, *(row(f"{mark}{partition}{i}") for i in range(20)), partition=partition
            )

    with ExitStack() as stack:
        logs = [stack.enter_context(site.log()) for _ in range(2)]
        one = site.consumer(logs[0])
        with running(one):
            until(lambda: len(one.feed.parts) == 8, what="all partitions")
            send("a")
            two = site.consumer(logs[1])
            with running(two):
                until(lambda: len(two.feed.parts) == 4 and len(one.feed.parts) == 4, what="half")
                send("b")
                until(lambda: brokers.committed(site.group, name, 2) == [40, 40], what="both")
                assert seen(two) > 0
            until(lambda: len(one.feed.parts) == 8, what="all partitions again")
            send("c")
            until(lambda: brokers.committed(site.group, name, 2) == [60, 60], what="the rest")
    assert len(site.ids()) == len(set(site.ids())) == 120


def test_brokers_may_go_away_and_come_back(site: Deployed, brokers: Brokers) -> None:
    name = f"{site.group}-predictions"
    brokers.send(name, row("before"))
    with site.log() as log:
        consumer = site.consumer(log)
        with running(consumer):
            until(lambda: brokers.committed(site.group, name) == [1], what="the first")
            brokers.go_away()
            try:
                until(lambda: consumer.feed.problem, what="a problem")
                assert not consumer.ready
            finally:
                brokers.come_back()
            until(lambda: consumer.ready, what="ready again")
            brokers.send(name, row("after"))
            until(lambda: brokers.committed(site.group, name) == [2], what="the second")
        assert consumer.fault is None
    assert sorted(site.ids()) == ["after", "before"]


def test_a_commit_that_fails_is_made_up_for(site: Deployed, brokers: Brokers) -> None:
    name = f"{site.group}-predictions"
    with site.log() as log:
        consumer = site.consumer(log)
        while not consumer.feed.parts:
            consumer.step()
        brokers.send(name, row("one"))
        while not (found := consumer.feed.take(0.1)):
            pass
        brokers.go_away()
        try:
            consumer._store(found)
            consumer.feed.done(found)
            assert consumer.feed.failed_commits == 1
            assert consumer.feed.problem
        finally:
            brokers.come_back()
        with running(consumer):
            until(lambda: brokers.committed(site.group, name) == [1], what="commit")
        assert consumer.counts.rows[name, "accepted"] == 1
    assert site.ids() == ["one"]


def test_it_can_leave_while_the_brokers_are_away(site: Deployed, brokers: Brokers) -> None:
    name = f"{site.group}-predictions"
    with site.log() as log:
        consumer = site.consumer(log)
        brokers.send(name, row("one"))
        while not consumer.counts.rows:
            consumer.step()
        brokers.go_away()
        try:
            with running(consumer):
                until(lambda: consumer.feed.problem, what="a problem")
        finally:
            brokers.come_back()
    assert site.ids() == ["one"]


def test_the_command_reads_and_stops(site: Deployed, brokers: Brokers) -> None:
    name = f"{site.group}-predictions"
    brokers.send(name, *(row(f"a{i}") for i in range(1000)))
    service = Service(site.folder, "consume")
    try:
        until(lambda: "homeostat_kafka_lag" in service.http.get("/metrics").text, what="partitions")
        wanted = f'homeostat_kafka_rows_total{{topic="{name}",fate="accepted"}} 1000'
        until(lambda: wanted in service.http.get("/metrics").text, what="rows")
        assert service.http.get("/health/ready").json() == {"ready": True}
        assert service.send(signal.SIGTERM) == 0, service.log
    finally:
        if not service.ended:
            service.process.kill()
    assert brokers.committed(site.group, name) == [1000]
    assert len(site.ids()) == 1000


def test_what_the_client_does_not_know_is_told(site: Deployed) -> None:
    with pytest.raises(ConfigError, match=r"client says.*no\.such"):
        Feed({"bootstrap.servers": "127.0.0.1:1", "group.id": "g", "no.such": 1}, ["t"])


def test_secrets_come_from_the_environment(site: Deployed) -> None:
    text = (site.folder / "homeostat.yaml").read_text()
    sasl = "  tls: true\n  ca: ca.pem\n  sasl: {username_env: KUSER, password_env: KPASS}\n"
    (site.folder / "homeostat.yaml").write_text(text.replace("  port: 0\n", f"  port: 0\n{sasl}"))
    settings = load(site.folder / "homeostat.yaml")
    assert settings.kafka is not None
    found = client_settings(settings, settings.kafka, {"KUSER": "me", "KPASS": "hidden"})
    assert found["security.protocol"] == "SASL_SSL"
    assert found["ssl.ca.location"] == str(site.folder / "ca.pem")
    assert (found["sasl.username"], found["sasl.password"]) == ("me", "hidden")
    assert "hidden" not in settings.model_dump_json()
    with pytest.raises(ConfigError, match="KPASS is not set"):
        client_settings(settings, settings.kafka, {"KUSER": "me"})


def test_a_fault_of_ours_sets_one_message_aside(site: Deployed, brokers: Brokers) -> None:
    class Faulty(Reader):
        def read(self, messages: Sequence[Message], now: datetime) -> Parsed:
            if any(b"bug" in (message.value or b"") for message in messages):
                raise ZeroDivisionError
            return super().read(messages, now)

    name = f"{site.group}-predictions"
    brokers.send(name, *(row(f"a{i}") for i in range(10)), row("bug"), row("last"))
    with site.log() as log:
        consumer = site.consumer(log)
        sound = consumer.readers[name]
        faulty = Faulty(sound.spec, sound.field, sound.usual, sound.limit)
        consumer.readers = {**consumer.readers, name: faulty}
        with running(consumer):
            until(lambda: brokers.committed(site.group, name) == [12], what="commit")
        ((reason, kept),) = {(r.reason, r.row) for r in log.quarantined()}
    assert len(site.ids()) == 11
    assert reason.startswith("a fault in Homeostat: ZeroDivisionError (topic")
    assert "bug" in kept


def test_what_ends_the_client_ends_the_consumer(site: Deployed) -> None:
    with site.log() as log:
        consumer = site.consumer(log)
        # As the brokers say when another member has taken this one's group.instance.id.
        consumer.feed._failed(KafkaError(KafkaError._FATAL, "fenced", fatal=True))
        consumer.run()
        assert consumer.fault is not None
        assert "cannot go on: fenced" in str(consumer.fault)
        assert not consumer.ready


def test_a_deployment_without_topics_says_what_to_add(
    site: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    config = site.folder / "homeostat.yaml"
    config.write_text(config.read_text().partition("kafka:")[0])
    assert run(["consume", "-c", str(config)]) == 2
    assert "kafka: is missing; add kafka: {brokers" in capsys.readouterr().err
