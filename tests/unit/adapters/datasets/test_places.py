"""Files elsewhere are read as those on this machine are."""

from __future__ import annotations

import http.server
import io
import re
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from homeostat.adapters.datasets import open_dataset
from homeostat.domain.errors import DataError, NotFoundError, UserError
from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_table

TABLE = pa.table({"x": np.random.default_rng(1).normal(size=5000), "t": ["a", "b"] * 2500})
KINDS = {"x": ColumnKind.NUMERIC, "t": ColumnKind.CATEGORICAL}


@pytest.fixture
def store() -> Iterator[MemoryFileSystem]:
    store = fsspec.filesystem("memory")
    yield store
    store.store.clear()
    store.pseudo_dirs[:] = [""]


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(TABLE, sink, row_group_size=1500)
    return sink.getvalue()


def test_a_file_in_a_store_is_profiled(store: MemoryFileSystem) -> None:
    store.pipe("/bucket/x.parquet", parquet())
    feather = io.BytesIO()
    pyarrow.feather.write_feather(TABLE, feather)
    store.pipe("/bucket/x.feather", feather.getvalue())
    for name in ("x.parquet", "x.feather"):
        found = open_dataset(f"memory://bucket/{name}").profile(KINDS, sample=10)
        assert found.profile == profile_table(TABLE, KINDS)
        assert found.sample.num_rows == 10
    assert open_dataset("memory://bucket/x.parquet").to_table() == TABLE


def test_a_folder_in_a_store_is_one_table(store: MemoryFileSystem) -> None:
    store.pipe("/bucket/day/2.csv", b"x,t\n2,b\n")
    store.pipe("/bucket/day/1.csv", b"x,t\n1,a\n")
    store.pipe("/bucket/day/_SUCCESS", b"")
    dataset = open_dataset("memory://bucket/day/")
    assert dataset.to_table()["t"].to_pylist() == ["a", "b"]
    store.pipe("/bucket/day/3.csv", b"y\n1\n")
    with pytest.raises(DataError, match=r"memory://.*bucket/day/3\.csv has no column 'x', 't'"):
        open_dataset("memory://bucket/day")


def test_what_is_wrong_elsewhere_is_told(store: MemoryFileSystem) -> None:
    store.pipe("/bucket/empty.csv", b"")
    store.pipe("/bucket/broken.parquet", b"PAR1")
    with pytest.raises(DataError, match=r"empty\.csv is empty"):
        open_dataset("memory://bucket/empty.csv")
    with pytest.raises(DataError, match=r"broken\.parquet cannot be read"):
        open_dataset("memory://bucket/broken.parquet")
    with pytest.raises(NotFoundError, match=r"there is nothing at memory://bucket/absent\.csv"):
        open_dataset("memory://bucket/absent.csv")
    with pytest.raises(UserError, match="is no address that can be read"):
        open_dataset("nowhere://bucket/x.csv")


def test_a_store_that_fails_later_is_told(
    store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.pipe("/bucket/x.csv", b"x\n1\n")
    dataset = open_dataset("memory://bucket/x.csv")

    def refuse(*_: object) -> None:
        raise RuntimeError("token expired at 'http://ada:pw@x/y?key=1'\nat line 3")

    monkeypatch.setattr(MemoryFileSystem, "open", refuse)
    with pytest.raises(
        DataError, match=r"x\.csv cannot be read: token expired at 'http://x/y'; check"
    ):
        dataset.to_table()
    monkeypatch.setattr(MemoryFileSystem, "info", refuse)
    with pytest.raises(DataError, match="token expired"):
        open_dataset("memory://bucket/x.csv")


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(UserError, match=re.escape("pip install 'homeostat[remote]'")) as raised:
        open_dataset("s3://bucket/x.parquet")
    assert "s3fs" in str(raised.value)


class NoJumps(io.BytesIO):
    def __init__(self, body: Any) -> None:
        super().__init__(body.read())

    def seekable(self) -> bool:
        return False


class Refusing(NoJumps):
    """As a web server is read of which is not known yet that it knows no ranges."""

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        raise ValueError("no range requests")


class Web(fsspec.AbstractFileSystem):
    """A web server's files as fsspec gives them when the server knows no ranges."""

    protocol = ("http", "https")
    cachable = False
    opened: type[io.BytesIO] = NoJumps

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return path

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "size": None, "type": "file"}

    def _open(self, path: str, mode: str = "rb", **how: Any) -> Any:
        body = urllib.request.urlopen(path)
        if how.get("block_size") == 0:
            return body
        return type(self).opened(body)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    def handler(*args: Any) -> http.server.SimpleHTTPRequestHandler:
        return Quiet(*args, directory=str(tmp_path))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_file_on_a_web_server_is_profiled(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_registry, "http", Web)
    (tmp_path / "x.parquet").write_bytes(parquet())
    (tmp_path / "x.csv").write_text("x,t\n1,a\n2,a\n")
    for opened in (NoJumps, Refusing):
        monkeypatch.setattr(Web, "opened", opened)
        found = open_dataset(f"{site}/x.parquet?token=secret").profile(KINDS)
        assert found.profile == profile_table(TABLE, KINDS)
    assert open_dataset(f"{site}/x.csv").profile(KINDS).profile.columns["t"].values == {"a": 2}
    with pytest.raises(DataError, match="cannot be read") as raised:
        open_dataset(f"{site.replace('//', '//ada:pass@')}/absent.csv?token=secret")
    assert "secret" not in str(raised.value)
    assert "pass@" not in str(raised.value)
