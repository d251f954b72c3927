"""Bodies that were good once: mutated, cut, mixed, compressed.

Against a server of its own: ``PYTHONPATH=src:tests python tests/fuzzing.py REQUESTS SEED``.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

import httpx
import numpy as np
import pyarrow as pa

from homeostat.entrypoints.http.formats import ARROW
from integration.live_site import Service

T = TypeVar("T")

JSON, LINES = "application/json", "application/x-ndjson"
NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
FIELDS = {
    "predictions": (
        "prediction_id",
        "timestamp",
        "version",
        "score",
        "role",
        "amount",
        "country",
        "night",
        "probabilities",
        "prediction",
    ),
    "labels": ("prediction_id", "label", "arrival"),
    "outcomes": ("prediction_id", "outcome", "value", "arrival"),
}
GOOD: dict[str, Any] = {
    "prediction_id": "a",
    "timestamp": NOW.isoformat(),
    "version": "1",
    "score": 0.5,
    "role": "champion",
    "amount": 3,
    "country": "PT",
    "label": 1,
    "arrival": NOW.isoformat(),
    "outcome": "money",
    "value": 2.5,
    "night": True,
    "prediction": 1,
    "probabilities": [0.2, 0.3, 0.5],
}
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 7, 2**53 + 1, 2**64, 10**400, 1e308, float("nan"), float("inf"), "", "x",
    "\0", "\ud83d\ude00", "x" * 3000, [], [1], {}, {"a": None}, "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00+14:00", "2024-03-01", NOW.isoformat(),
)  # fmt: skip
TOKENS = (
    b"null", b"NaN", b"1e999", b"-", b"{", b"}", b"[", b"]", b",", b":", b'"', b"\n", b"\0",
    b"\\ud800", b"\xff", b"\xef\xbb\xbf", b"9" * 400, b"[" * 2000, b'{"a":' * 500, b"true", b" ",
)  # fmt: skip


CONFIG = """\
server: {port: 0, tick: 1s}
models:
  - name: fraud
    task: binary
    classes: [no, yes]
    outcomes: [money]
    features: {amount: numeric, country: categorical, night: boolean}
    labels: {maturity: 30d}
  - name: tone
    task: multiclass
    classes: [bad, so, good]
    features: {amount: numeric, country: categorical, night: boolean}
    labels: {maturity: 30d}
"""


@dataclass(frozen=True)
class Sent:
    """A request's body and what is said of it."""

    path: str
    kind: str
    body: bytes
    encoding: str


class Chance:
    """Draws what comes next, the same of the same seed."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def random(self) -> float:
        return float(self._rng.random())

    def below(self, end: int) -> int:
        return int(self._rng.integers(end))

    def choice(self, among: Sequence[T]) -> T:
        return among[self.below(len(among))]


def bodies(seed: int) -> Iterator[Sent]:
    """Yield bodies without end, the same ones of the same seed."""
    chance = Chance(seed)
    while True:
        field = chance.choice(tuple(FIELDS))
        kind = chance.choice((JSON, LINES, ARROW, ARROW))
        body = _arrow(chance, field) if kind == ARROW else _text(chance, field, kind)
        if chance.random() < 0.7:
            body = _mutated(chance, body)
        encoding = "identity"
        if chance.random() < 0.2:
            body, encoding = gzip.compress(body, mtime=0), "gzip"
            if chance.random() < 0.3:
                body = _mutated(chance, body)
        path = f"/api/v1/models/{chance.choice(('fraud', 'fraud', 'tone'))}/{field}"
        yield Sent(path, kind, body, encoding)


def _text(chance: Chance, field: str, kind: str) -> bytes:
    rows = []
    for number in range(chance.below(6)):
        rare = {"probabilities", "prediction"}
        row = {
            name: GOOD[name]
            for name in FIELDS[field]
            if chance.random() < (0.1 if name in rare else 0.9)
        }
        row["prediction_id"] = f"{chance.below(10**6)}-{number}"
        for _ in range(chance.choice((0, 0, 1, 2))):
            row[chance.choice((*FIELDS[field], "odd"))] = chance.choice(ODD)
        rows.append(chance.choice(ODD) if chance.random() < 0.05 else row)
    if kind == LINES:
        return "\n".join(map(json.dumps, rows)).encode()
    whole = json.dumps({field: rows}, indent=chance.choice((None, 1))).encode()
    return whole + b" " * chance.choice((0, 0, 0, 2**20))


def _arrow(chance: Chance, field: str) -> bytes:
    count = chance.choice((0, 1, 2, 7))
    rare = {"probabilities", "prediction"}
    names = [n for n in FIELDS[field] if chance.random() < (0.1 if n in rare else 0.9)]
    if chance.random() < 0.1:
        names.append("odd")
    table = pa.table({name: _column(chance, name, count) for name in names})
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=chance.choice((None, None, "zstd", "lz4")))
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table, chance.choice((None, 1)))
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _column(chance: Chance, name: str, count: int) -> pa.Array[Any]:
    """Return a column as senders have it, or as none should."""
    moment = pa.array([NOW - timedelta(seconds=n) for n in range(count)], pa.timestamp("us", "UTC"))
    text = pa.array([f"{chance.below(10**6)}" for _ in range(count)], pa.string())
    number = pa.array([float(chance.below(2)) for _ in range(count)], pa.float64())
    plain = {"timestamp": moment, "arrival": moment, "prediction_id": text, "version": text}
    usual: Any = plain.get(name, number)
    if name in {"role", "outcome", "country"}:
        usual = pa.array([str(GOOD[name])] * count)
    if chance.random() < 0.7:
        return cast("pa.Array[Any]", usual)
    ends = pa.array([count] if count else [], pa.int32())
    wide = pa.array([chance.choice((0, 1, 2**62, -(2**62))) for _ in range(count)], pa.int64())
    made: tuple[Any, ...] = (
        lambda: pa.nulls(count),
        usual.dictionary_encode,
        lambda: pa.RunEndEncodedArray.from_arrays(ends, usual[: len(ends)]),
        lambda: text.cast(pa.string_view()),
        lambda: text.cast(pa.large_string()),
        lambda: text.cast(pa.binary()),
        lambda: wide,
        lambda: wide.cast(pa.timestamp(chance.choice(("s", "ms", "us", "ns")), "UTC")),
        lambda: wide.cast(pa.duration("ns")),
        lambda: moment.cast(pa.timestamp("us", chance.choice((None, "Mars/Olympus")))),
        lambda: pa.array([Decimal(n) for n in range(count)], pa.decimal256(50, 2)),
        lambda: pa.array([[n] for n in range(count)], pa.list_(pa.int8())),
        lambda: pa.array(
            [{"x": [n]} for n in range(count)], pa.struct([("x", pa.list_(pa.int8()))])
        ),
        lambda: pa.array([[("k", n)] for n in range(count)], pa.map_(pa.string(), pa.int8())),
        lambda: pa.array([n % 2 == 0 for n in range(count)], pa.bool_()),
        lambda: pa.array([b"x" * 16] * count, pa.binary(16)).cast(pa.uuid()),
    )
    try:
        found: pa.Array[Any] = chance.choice(made)()
    except pa.ArrowException:
        return pa.nulls(count)
    return found


def _mutated(chance: Chance, body: bytes) -> bytes:
    made = bytearray(body)
    for _ in range(chance.choice((1, 1, 2, 5))):
        place = chance.below(len(made) + 1)
        match chance.below(5):
            case 0:
                made[place : place + 1] = bytes([chance.below(256)])
            case 1:
                made[place:place] = chance.choice(TOKENS)
            case 2:
                del made[place : place + chance.below(30) + 1]
            case 3:
                size = chance.choice((1, 2, 4, 8))
                made[place : place + size] = chance.choice((b"\xff", b"\x7f", b"\0")) * size
            case _:
                start = chance.below(len(made) + 1)
                made[place:place] = made[start : start + 40]
    return bytes(made)


def main(requests: int, seed: int) -> int:
    """Send bodies to a server; tell how it answered, and at which one it failed."""
    counts = Counter[int]()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "homeostat.yaml").write_text(CONFIG)
        service = Service(Path(folder), "serve")
        failed = False
        for number, sent in enumerate(islice(bodies(seed), requests)):
            headers = {"Content-Type": sent.kind, "Content-Encoding": sent.encoding}
            try:
                answer = service.http.post(sent.path, content=sent.body, headers=headers)
                counts[answer.status_code] += 1
                failed = answer.status_code >= 500
                said = answer.text
            except httpx.HTTPError as error:
                failed, said = True, repr(error)
            if failed:
                sys.stdout.write(f"{number}: {sent!r:.3000}\n{said}\n")
                break
        sys.stdout.write(f"{dict(counts)} {'ended' if service.ended else 'alive'}\n")
        if failed:
            sys.stdout.write(service.log[-6000:])
        service.process.kill()
        service.process.wait()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
